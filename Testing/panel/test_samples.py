"""Sample data: what the Sample Data module lists, what a click on it loads, and what happens without a network.

The files come from a server on this computer: small ones, with checksums of their own.
"""

import functools
import hashlib
import http.server
import os
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SampleData
import SimpleITK as sitk
import slicer
from CHMFLPredictorLib.errors import ChmflError
from CHMFLPredictorLib.scene import samples
from CHMFLPredictorLib.scene.nodes import check_inputs, coded_units
from CHMFLPredictorLib.scene.samples import CATEGORY, SAMPLES, load_sample, register
from slicer_standin import sample_data

ICONS = Path(__file__).resolve().parents[2] / "CHMFLPredictor" / "Resources" / "Icons"


@pytest.fixture(autouse=True)
def nothing_registered():
    for name in ("sampleDataSources", "sampleDataSourceCategories"):
        if hasattr(slicer.modules, name):
            getattr(slicer.modules, name).pop(CATEGORY, None)


@pytest.fixture
def cache(tmp_path):
    """An empty cache folder for this test."""
    manager, folder = slicer.mrmlScene.GetCacheManager(), tmp_path / "cache ü"
    before = manager.GetRemoteCacheDirectory()
    manager.SetRemoteCacheDirectory(str(folder))
    yield folder
    manager.SetRemoteCacheDirectory(before)


@pytest.fixture
def server(tmp_path, cache, monkeypatch):
    """STS_006 on a server of this computer; gives its folder, and counts requests in ``server.requests``."""
    folder = tmp_path / "www"
    folder.mkdir()
    values = {"PET": np.linspace(0, 9, 210, dtype=np.float32), "CT": np.arange(210, dtype=np.int16)}
    checksums = {}
    for modality, shape in (("PET", (5, 6, 7)), ("CT", (7, 5, 6))):
        image = sitk.GetImageFromArray(values[modality].reshape(shape))
        image.SetSpacing((1.0, 2.0, 3.0))
        image.SetOrigin((10.0, 20.0, 30.0))
        sitk.WriteImage(image, str(folder / f"{modality}_image.nii.gz"))
        checksums[modality] = hashlib.sha256((folder / f"{modality}_image.nii.gz").read_bytes()).hexdigest()

    class Handler(http.server.SimpleHTTPRequestHandler):
        requests = []

        def log_message(self, *words):
            self.requests.append(self.path)

    handler = functools.partial(Handler, directory=str(folder))
    service = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    here = f"http://127.0.0.1:{service.server_address[1]}"
    local = replace(SAMPLES[0], address=here, pet_sha256=checksums["PET"], ct_sha256=checksums["CT"])
    monkeypatch.setattr(samples, "SAMPLES", (local, *SAMPLES[1:]))
    service.folder, service.requests = folder, Handler.requests
    yield service
    service.shutdown()
    service.server_close()


def volumes():
    return [node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")]


def is_shown_as_pet_over_ct(pet, ct):
    assert (coded_units(pet), coded_units(ct)) == ("SUV", "HU")
    assert pet.GetVoxelValueUnits().GetCodingSchemeDesignator() == "UCUM"
    assert pet.GetVoxelValueQuantity().GetCodeValue() == "126400"
    assert pet.GetDisplayNode().GetColorNodeID() == "vtkMRMLPETProceduralColorNodePET-Heat"
    shown = pet.GetDisplayNode()
    assert (shown.GetWindowLevelMin(), shown.GetWindowLevelMax(), shown.GetAutoWindowLevel()) == (0.0, 10.0, 0)
    shown = ct.GetDisplayNode()
    assert (shown.GetWindowLevelMin(), shown.GetWindowLevelMax(), shown.GetAutoWindowLevel()) == (-160.0, 240.0, 0)
    red = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceCompositeNodeRed")
    assert (red.GetBackgroundVolumeID(), red.GetForegroundVolumeID()) == (ct.GetID(), pet.GetID())
    check_inputs(pet, ct)
    return True


# What is listed ------------------------------------------------------------------------------------------------------


def test_the_module_lists_every_sample_once():
    register(ICONS)
    register(str(ICONS))
    sources = slicer.modules.sampleDataSources[CATEGORY]
    assert [source.sampleName for source in sources] == ["CHMFL STS_006", "CHMFL STS_015", "CHMFL Phantom"]
    assert SampleData.SampleDataLogic.categoryTitle(CATEGORY) == samples.CATEGORY_TITLE
    for source in sources[:2]:
        assert all(uri.startswith("https://raw.githubusercontent.com/theibsi/data_sets/") for uri in source.uris)
        assert [os.path.basename(address) for address in source.uris] == ["PET_image.nii.gz", "CT_image.nii.gz"]
        assert all(checksum.startswith("SHA256:") and len(checksum) == 71 for checksum in source.checksums)
    names = [name for source in sources for name in source.fileNames]
    assert len(set(names)) == len(names)  # they share one cache folder


def test_a_reload_lists_nothing_twice():
    import importlib

    register(ICONS)
    importlib.reload(samples)
    samples.register(ICONS)
    assert len(slicer.modules.sampleDataSources[CATEGORY]) == len(SAMPLES)


def test_a_slicer_without_categories_lists_them_too(monkeypatch):
    monkeypatch.delattr(SampleData.SampleDataLogic, "registerCustomSampleDataCategory")
    register(ICONS)
    assert len(slicer.modules.sampleDataSources[CATEGORY]) == len(SAMPLES)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_thumbnails(sample):
    import qt

    image = qt.QImage(str(ICONS / sample.thumbnail))
    assert (image.width(), image.height()) == (260, 280)


# What is loaded ------------------------------------------------------------------------------------------------------


def test_a_download_is_shown_in_its_units(server, cache):
    pet, ct = load_sample("STS_006")
    assert (pet.GetName(), ct.GetName()) == ("STS_006 PET", "STS_006 CT") and is_shown_as_pet_over_ct(pet, ct)
    assert pet.GetSpacing() == (1.0, 2.0, 3.0) and pet.GetOrigin() == (-10.0, -20.0, 30.0)
    assert slicer.util.arrayFromVolume(pet).max() == 9.0
    assert sorted(path.name for path in cache.glob("CHMFL*")) == ["CHMFL_STS_006_CT.nii.gz", "CHMFL_STS_006_PET.nii.gz"]
    assert len(server.requests) == 2
    again = load_sample("STS_006")  # from the cache, under a name of its own
    assert len(server.requests) == 2 and len(set(volumes())) == 4 and again[0] is not pet


def test_a_click_in_the_sample_data_module_does_the_same(server):
    register(ICONS)
    sample_data.press("CHMFL STS_006")
    is_shown_as_pet_over_ct(*(slicer.util.getNode(f"STS_006 {modality}") for modality in ("PET", "CT")))


def test_a_script_gets_both_from_the_sample_data_module(server):
    register(ICONS)
    nodes = SampleData.SampleDataLogic().downloadSamples("CHMFL STS_006")
    assert [node.GetName() for node in nodes] == ["STS_006 PET", "STS_006 CT"]


def test_a_file_in_the_cache_that_was_spoiled_is_fetched_again(server, cache):
    load_sample("STS_006")
    (cache / "CHMFL_STS_006_CT.nii.gz").write_bytes(b"half of a downl")
    load_sample("STS_006")
    assert len(server.requests) == 3


@pytest.mark.slow
def test_the_phantom_needs_no_network(cache):
    pet, ct = load_sample("Phantom")
    assert (pet.GetName(), ct.GetName()) == ("Phantom PET", "Phantom CT") and is_shown_as_pet_over_ct(pet, ct)
    assert list(cache.glob("CHMFL*")) == []
    assert slicer.util.arrayFromVolume(ct).dtype == np.int16
    import vtk
    from CHMFLPredictorLib.phantom.phantom import make_phantom

    phantom, matrix = make_phantom(), vtk.vtkMatrix4x4()
    for node, image in ((pet, phantom.pet), (ct, phantom.ct)):
        assert np.array_equal(slicer.util.arrayFromVolume(node), sitk.GetArrayFromImage(image))
        node.GetIJKToRASMatrix(matrix)
        lps = image.TransformIndexToPhysicalPoint((3, 5, 7))
        ras = matrix.MultiplyPoint((3.0, 5.0, 7.0, 1.0))[:3]
        assert ras == pytest.approx((-lps[0], -lps[1], lps[2]))


# What goes wrong -----------------------------------------------------------------------------------------------------


def failed(name, code):
    before = slicer.mrmlScene.GetNumberOfNodes()
    with pytest.raises(ChmflError) as caught:
        load_sample(name)
    assert caught.value.code == code and slicer.mrmlScene.GetNumberOfNodes() == before
    return caught.value


def test_without_a_network_the_phantom_is_named(server):
    server.shutdown()
    server.server_close()
    error = failed("STS_006", "sample_download")
    assert "refused" in error.message and "Phantom" in error.hint


def test_a_file_that_is_gone_from_the_server(server, cache):
    (server.folder / "CT_image.nii.gz").unlink()
    assert "404" in failed("STS_006", "sample_download").message
    assert volumes() == []


def test_another_file_than_was_published_is_not_loaded(server, cache):
    with open(server.folder / "CT_image.nii.gz", "ab") as stream:
        stream.write(b"more")
    error = failed("STS_006", "sample_download")
    assert "SHA-256" in error.message and "CT_image.nii.gz" in error.message
    assert not (cache / "CHMFL_STS_006_CT.nii.gz").exists()


def test_a_file_that_is_no_volume(server, monkeypatch):
    spoiled = b"no image at all"
    (server.folder / "CT_image.nii.gz").write_bytes(spoiled)
    local = replace(samples.SAMPLES[0], ct_sha256=hashlib.sha256(spoiled).hexdigest())
    monkeypatch.setattr(samples, "SAMPLES", (local,))
    assert "CHMFL_STS_006_CT.nii.gz" in failed("STS_006", "sample_unreadable").message
    assert "Phantom" not in failed("other", "sample_unknown").hint
