"""Slicer's own packages are never replaced: real pip resolves, without a network, tiny wheels made here."""

import json
import subprocess
import sys
import zipfile

import pytest
from CHMFLPredictorLib.errors import MissingDependency
from CHMFLPredictorLib.panel import constraints
from CHMFLPredictorLib.panel.needed_packages import read_requirements
from CHMFLTrainingLib.panel import packages as for_training

# what Slicer's SuperBuild pins (External_python-numpy, -scipy, -dicom-requirements), by version
SLICERS = {
    "5.10": {"numpy": "2.0.2", "scipy": "1.13.1", "pydicom": "2.4.4", "Pillow": "11.2.1"},
    "5.12": {"numpy": "2.4.6", "scipy": "1.17.1", "pydicom": "3.0.2", "Pillow": "12.2.0"},
    "main": {"numpy": "2.4.6", "scipy": "1.17.1", "pydicom": "3.0.2", "Pillow": "12.2.0"},
}
NEWEST = {"numpy": "2.5.5", "scipy": "1.18.1", "pydicom": "3.0.2", "Pillow": "12.3.0", "torch": "2.14.0"}
# of each package of training two versions: one of today, which wants the newest numpy, and an older one
NEEDS = {"9.0": ("numpy>=2.5", "scipy>=1.18"), "8.0": ("numpy>=1.26", "scipy>=1.11")}


@pytest.fixture
def shelf(tmp_path):
    """Where pip looks: Slicer's packages, the newest ones, and what training needs in two versions."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for pinned in (*SLICERS.values(), NEWEST):
        for name, version in pinned.items():
            wheel(folder, name, version)
    wheel(folder, "torch", "2.6.0")
    wheel(folder, "monai", "1.6.0", "torch>=2.8", "numpy>=1.24")
    wheel(folder, "monai", "1.5.0", "torch>=2.4", "numpy>=1.24")
    for name, _ in read_requirements(for_training.REQUIREMENTS_FILE):
        if name != "monai":
            wheel(folder, name, "9999.0", *NEEDS["9.0"])
            wheel(folder, name, "9998.0", *NEEDS["8.0"])
    return folder


def wheel(folder, name, version, *needs):
    """A package with nothing in it."""
    plain = name.replace("-", "_")
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + "".join(
        f"Requires-Dist: {n}\n" for n in needs
    )
    with zipfile.ZipFile(folder / f"{plain}-{version}-py3-none-any.whl", "w") as archive:
        inside = f"{plain}-{version}.dist-info"
        archive.writestr(f"{inside}/METADATA", about)
        archive.writestr(f"{inside}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{inside}/RECORD", "")


def options(shelf):
    return ["--no-index", "--find-links", str(shelf), "--ignore-installed"]


def has(monkeypatch, **packages):
    """This Slicer has these packages."""
    monkeypatch.setattr(constraints, "installed_version", packages.get)


def chosen(requirements, shelf):
    """What pip would install, by name in lower case."""
    with constraints.constraints_file() as path:
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--report", "-", "-c", str(path)]
        done = subprocess.run([*command, *options(shelf), *requirements], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {one["metadata"]["name"].lower(): one["metadata"]["version"] for one in json.loads(done.stdout)["install"]}


@pytest.mark.parametrize("version", SLICERS)
def test_training_beside_slicers_own(version, shelf, monkeypatch):
    has(monkeypatch, **SLICERS[version], torch="2.6.0")
    assert len(constraints.pins()) == 5
    wanted = [f"{name}>={oldest}" for name, oldest in read_requirements(for_training.REQUIREMENTS_FILE)]
    constraints.check_resolvable(wanted, options=options(shelf))
    found = chosen(wanted, shelf)
    kept = {name.lower(): number for name, number in {**SLICERS[version], "torch": "2.6.0"}.items()}
    assert {name: number for name, number in found.items() if name in kept}.items() <= kept.items()
    assert found["monai"] == "1.5.0" and found["mirp"] == "9998.0"  # older ones, that leave Slicer's alone


@pytest.mark.parametrize("version", SLICERS)
def test_what_slicer_has_serves_a_prediction(version, shelf, monkeypatch):
    has(monkeypatch, **SLICERS[version])
    wanted = [f"{name}>={oldest}" for name, oldest in read_requirements() if name in SLICERS[version]]
    assert len(wanted) == 4
    constraints.check_resolvable(wanted, options=options(shelf))
    assert chosen(wanted, shelf).items() == {name.lower(): one for name, one in SLICERS[version].items()}.items()


def test_what_cannot_be_resolved_is_refused_with_the_reason(shelf, monkeypatch):
    has(monkeypatch, **SLICERS["5.10"])
    wheel(shelf, "greedy", "1.0", "numpy>=2.5")
    with pytest.raises(MissingDependency) as caught:
        constraints.check_resolvable(["greedy>=1.0"], "then click Start again", options(shelf))
    error = caught.value
    assert error.code == "packages_conflict" and "numpy" in error.message and "2.0.2" in error.message
    assert "Nothing was installed" in error.hint and "click Start again" in error.hint


def test_nothing_known_nothing_refused(shelf, monkeypatch):
    has(monkeypatch)
    assert constraints.pins() == []
    constraints.check_resolvable(["numpy"], options=options(shelf))
    constraints.check_resolvable([])
