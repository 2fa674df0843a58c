"""Slicer's own Python files in place of the stand-in's, where its sources are at hand: CHMFL_SLICER_SOURCE.

Tests of the stand-in's modules run on both, so what they say of the stand-in is true of Slicer.
"""

import importlib.util
import os
import pathlib
import sys

SOURCE = os.environ.get("CHMFL_SLICER_SOURCE", "")
OWN = "Slicer's own"
PACKAGES = ["stand-in", OWN] if SOURCE else ["stand-in"]
NO_SOURCE = "CHMFL_SLICER_SOURCE names no checkout of Slicer's sources"
FILES = {
    "slicer.i18n": "Base/Python/slicer/i18n.py",
    "slicer.packaging": "Base/Python/slicer/packaging.py",
    "slicer.parameterNodeWrapper": "Base/Python/slicer/parameterNodeWrapper/__init__.py",
    "sitkUtils": "Base/Python/sitkUtils.py",
    "SampleData": "Modules/Scripted/SampleData/SampleData.py",
    "DICOMLib.DICOMUtils": "Modules/Scripted/DICOMLib/DICOMUtils.py",
    "DICOMLib.DICOMPlugin": "Modules/Scripted/DICOMLib/DICOMPlugin.py",
    "DICOMScalarVolumePlugin": "Modules/Scripted/DICOMPlugins/DICOMScalarVolumePlugin.py",
}


def load_own(monkeypatch, name: str, alias: str = ""):
    """Import a module from Slicer's sources under its name, or another, for the time of a test."""
    path = pathlib.Path(SOURCE) / FILES[name]
    folders = [str(path.parent)] if path.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(alias or name, path, submodule_search_locations=folders)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, alias or name, module)
    spec.loader.exec_module(module)
    return module


def use_module(request, monkeypatch, name: str):
    """The module that a fixture with ``params=PACKAGES`` is to test: the stand-in's or Slicer's own."""
    return load_own(monkeypatch, name) if request.param == OWN else importlib.import_module(name)
