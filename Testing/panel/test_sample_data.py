"""SampleData of the stand-in, over a web server on the loopback."""

import gc
import hashlib
import http.server
import logging
import socket
import threading

import numpy as np
import pytest
from own_modules import PACKAGES, use_module

pytestmark = pytest.mark.standin

PATIENCE = 30  # seconds for an answer of the loopback


@pytest.fixture
def server(tmp_path):
    """A web server on the loopback: (address, folder that it serves, list of the paths it was asked for)."""
    folder = tmp_path / "served"
    folder.mkdir()
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(folder))

        def do_GET(self):
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *arguments):
            pass

    # widgets that nobody holds any more must not be deleted in a thread of the server, where Qt may wait forever
    gc.collect()
    gc.disable()
    socket.setdefaulttimeout(PATIENCE)
    try:
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
            threading.Thread(target=running.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{running.server_port}", folder, asked
            running.shutdown()
    finally:
        socket.setdefaulttimeout(None)
        gc.enable()


@pytest.fixture(params=PACKAGES)
def sample_data(request, monkeypatch, tmp_path):
    """SampleData with an empty cache and nothing of ours registered."""
    import slicer

    for name in ("sampleDataSources", "sampleDataSourceCategories"):
        monkeypatch.setattr(slicer.modules, name, {}, raising=False)
    manager = slicer.mrmlScene.GetCacheManager()
    before = manager.GetRemoteCacheDirectory()
    cache = tmp_path / "cache"
    cache.mkdir()
    manager.SetRemoteCacheDirectory(str(cache))
    yield use_module(request, monkeypatch, "SampleData")
    manager.SetRemoteCacheDirectory(before)


def write_volume(path, value):
    import SimpleITK as sitk

    sitk.WriteImage(sitk.GetImageFromArray(np.full((3, 4, 5), value, np.float32)), str(path))
    return "SHA256:" + hashlib.sha256(path.read_bytes()).hexdigest()


def register_pair(sample_data, server, **changes):
    address, folder, _ = server
    sums = [write_volume(folder / f"{name}.nrrd", value) for name, value in (("PET", 2), ("CT", -100))]
    arguments = {
        "category": "CHMFL",
        "sampleName": "Thigh",
        "uris": [f"{address}/PET.nrrd", f"{address}/CT.nrrd"],
        "fileNames": ["thigh_PET.nrrd", "thigh_CT.nrrd"],
        "nodeNames": ["thigh PET", "thigh CT"],
        "checksums": sums,
    } | changes
    sample_data.SampleDataLogic.registerCustomSampleDataSource(**arguments)
    return arguments


def test_a_pair_is_downloaded_checked_loaded_and_then_cached(sample_data, server):
    import slicer.util

    register_pair(sample_data, server)
    pet, ct = sample_data.downloadSamples("Thigh")
    assert (pet.GetName(), ct.GetName()) == ("thigh PET", "thigh CT")
    assert slicer.util.arrayFromVolume(ct).max() == -100
    assert pet.GetStorageNode() is None
    assert server[2] == ["/PET.nrrd", "/CT.nrrd"]
    assert sample_data.downloadSample("Thigh").GetName().startswith("thigh PET")
    assert len(server[2]) == 2


def test_a_wrong_checksum_is_tried_three_times_and_gives_nothing(sample_data, server, tmp_path):
    sums = ["SHA256:" + 64 * "0", None]
    register_pair(sample_data, server, checksums=sums)
    (only,) = sample_data.downloadSamples("Thigh")
    assert only.GetName() == "thigh CT"
    assert server[2].count("/PET.nrrd") == 3
    assert not (tmp_path / "cache" / "thigh_PET.nrrd").exists()


def test_a_damaged_file_in_the_cache_is_downloaded_again(sample_data, server, tmp_path):
    register_pair(sample_data, server)
    (tmp_path / "cache" / "thigh_PET.nrrd").write_bytes(b"half of it")
    assert len(sample_data.downloadSamples("Thigh")) == 2
    assert server[2].count("/PET.nrrd") == 1


def test_offline_nothing_comes_and_only_the_log_says_why(sample_data, server, caplog):
    address = server[0]
    register_pair(sample_data, server, uris=[f"{address}/gone.nrrd", f"{address}/gone_too.nrrd"])
    assert sample_data.downloadSamples("Thigh") == []
    assert "Download failed" in caplog.text
    with pytest.raises(IndexError):
        sample_data.downloadSample("Thigh")


def test_messages_can_go_elsewhere(sample_data, server):
    heard = []
    register_pair(sample_data, server)
    logic = sample_data.SampleDataLogic(lambda message, level=logging.DEBUG: heard.append(message))
    logic.downloadSamples("Thigh")
    assert any("PET.nrrd" in message for message in heard)


def test_files_that_are_not_loaded_come_as_paths(sample_data, server, tmp_path):
    register_pair(sample_data, server, loadFiles=[False, False])
    assert sample_data.downloadSamples("Thigh") == [
        str(tmp_path / "cache" / name) for name in ("thigh_PET.nrrd", "thigh_CT.nrrd")
    ]


def test_names_that_are_left_out_come_from_the_address(sample_data, server):
    address, folder, _ = server
    write_volume(folder / "PET.nrrd", 1)
    (node,) = sample_data.downloadFromURL(uris=f"{address}/PET.nrrd")
    assert node.GetName() == "PET"


def test_a_custom_downloader_is_called_by_the_button_alone(sample_data):
    from slicer_standin.sample_data import press

    called = []
    sample_data.SampleDataLogic.registerCustomSampleDataSource(
        category="CHMFL",
        sampleName="Phantom",
        uris="made on the spot",
        fileNames="phantom",
        customDownloader=called.append,
    )
    assert sample_data.downloadSamples("Phantom") == []
    assert called == []
    press("Phantom")
    assert [source.sampleName for source in called] == ["Phantom"]


def test_registration(sample_data):
    logic = sample_data.SampleDataLogic
    arguments = {"category": "CHMFL", "sampleName": "Thigh", "uris": "a", "fileNames": "b"}
    for _attempt in range(2):
        logic.registerCustomSampleDataSource(**arguments)
    logic.registerCustomSampleDataCategory("CHMFL", "Sarcoma")
    assert len(logic.sampleDataSourcesByCategory("CHMFL")) == 1
    assert (logic.categoryTitle("CHMFL"), logic.categoryTitle("other")) == ("Sarcoma", "other")
    with pytest.raises(ValueError, match="same length"):
        logic.registerCustomSampleDataSource(uris=["a", "b"], fileNames=["c"])
    with pytest.raises(TypeError):
        logic.registerCustomSampleDataSource(sampleName="no files", customDownloader=print)
    with pytest.raises(TypeError):
        logic.registerCustomSampleDataSource(description="unknown argument")
    assert sample_data.downloadSamples("unknown") == []
