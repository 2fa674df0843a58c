"""ResNets that begin at weights of torchvision's kind: named or downloaded, checked, refused where they do not fit."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from CHMFLPredictorLib.errors import BadInput
from CHMFLTrainingLib.cohort.planted import planted_cases
from CHMFLTrainingLib.methods.registry import find
from CHMFLTrainingLib.networks import pretrained
from CHMFLTrainingLib.statistics.auc import auc
from CHMFLTrainingLib.training.settings import Settings
from torchvision_weights import torchvision_state, written


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    import torch

    torch.set_num_threads(1)


def method_of(name, **options):
    return find(name)[0](Settings("smoke", seed=3, options=options))


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_training_begins_at_the_weights_of_the_file(depth, tmp_path):
    state = torchvision_state(depth)
    path = written(state, tmp_path, f"resnet{depth}")
    for name in (f"ResNet{depth}-PET-CT (pretrained)", f"CHMFL + ResNet{depth} (pretrained)"):
        for place in (path, tmp_path):
            network = method_of(name, weights=str(place))._initial()
            for branch in (network.pet, network.ct):
                found = branch.state_dict()
                assert set(found) == {key for key in state if not key.startswith("fc.")}
                assert all(found[key].equal(state[key]) for key in found)


@pytest.mark.slow
def test_a_pretrained_method_is_trained_and_needs_its_file_no_more(tmp_path):
    cases = planted_cases(32, True, 5, tmp_path)
    by_label = [[case for case in cases if case.label == label] for label in (0, 1)]
    known, new = ([case for part in by_label for case in part[side]] for side in (slice(8), slice(8, None)))
    path = written(torchvision_state(18), tmp_path, "resnet18")
    name = "ResNet18-PET-CT (pretrained)"
    method = method_of(name, epochs=5, weights=str(path))
    method.fit(known, tmp_path / "job")
    risks = method.predict(new)
    assert auc([case.label for case in new], risks) > 0.9
    method.save(tmp_path / "model")
    path.unlink()
    assert np.array_equal(find(name)[0].load(tmp_path / "model").predict(new), risks)


def refused_weights(depth, place):
    with pytest.raises(BadInput) as refused:
        pretrained.resnet_weights(depth, {"weights": str(place)})
    assert refused.value.hint
    return refused.value


def test_weights_of_another_network_are_refused(tmp_path):
    def code(state):
        return refused_weights(18, written(state, tmp_path, "resnet18", digest=False)).code

    state = torchvision_state(18)
    assert code({**state, "layer1.0.conv9.weight": state["conv1.weight"]}) == "weights_mismatch"
    assert code({key: value for key, value in state.items() if key != "layer2.0.bn1.running_var"}) == "weights_mismatch"
    assert code({**state, "layer3.0.conv1.weight": state["layer3.0.conv1.weight"][:-1]}) == "weights_mismatch"
    assert code(torchvision_state(34)) == "weights_mismatch"
    assert code({**state, "bn1.weight": state["bn1.weight"] * float("nan")}) == "weights_damaged"
    older = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    path = written(older, tmp_path, "resnet18", digest=False)
    assert set(pretrained.resnet_weights(18, {"weights": str(path)})) == set(state) - {"fc.weight", "fc.bias"}


def test_a_file_that_is_no_state_dict_is_refused_and_runs_nothing(tmp_path):
    import torch

    path = written(torchvision_state(18), tmp_path, "resnet18", digest=False)
    path.write_bytes(path.read_bytes()[:5000])
    assert refused_weights(18, path).code == "weights_unreadable"
    torch.save([1, 2], path)
    assert refused_weights(18, path).code == "weights_unreadable"
    torch.save(Runs(tmp_path / "ran"), path)
    assert refused_weights(18, path).code == "weights_unreadable" and not (tmp_path / "ran").exists()


class Runs:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path):
    path = written(torchvision_state(18), tmp_path, "resnet18")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    error = refused_weights(18, path)
    assert error.code == "weights_damaged" and str(path) in error.message


def test_weights_that_are_not_there_are_named(tmp_path):
    for place in (tmp_path, tmp_path / "nothing.pth"):
        error = refused_weights(50, place)
        assert error.code == "weights_absent" and pretrained.FILES[50] in error.hint


# Download -------------------------------------------------------------------------------------------------------


@pytest.fixture
def served(tmp_path):
    """A folder on a server on loopback, and its address."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


def test_weights_are_downloaded_once_and_checked(served, tmp_path, monkeypatch):
    folder, address = served
    path = written(torchvision_state(18), folder, "resnet18")
    monkeypatch.setitem(pretrained.FILES, 18, path.name)
    found = pretrained.downloaded_weights(18, tmp_path / "cache", address)
    assert found.read_bytes() == path.read_bytes() and found.parent == tmp_path / "cache"
    path.unlink()
    assert pretrained.downloaded_weights(18, tmp_path / "cache", address) == found, "from the disk the second time"


def test_an_altered_download_is_not_kept(served, tmp_path, monkeypatch):
    folder, address = served
    path = written(torchvision_state(18), folder, "resnet18")
    path.write_bytes(path.read_bytes()[:-10])
    monkeypatch.setitem(pretrained.FILES, 18, path.name)
    with pytest.raises(BadInput) as refused:
        pretrained.downloaded_weights(18, tmp_path / "cache", address)
    assert refused.value.code == "weights_damaged" and not list((tmp_path / "cache").glob("*"))


def test_without_a_server_the_file_and_its_address_are_named(served, tmp_path):
    _, address = served
    for place in (address, "http://127.0.0.1:9/"):  # no such file; no server at all
        with pytest.raises(BadInput) as refused:
            pretrained.downloaded_weights(34, tmp_path / "cache", place)
        assert refused.value.code == "weights_unavailable" and pretrained.FILES[34] in refused.value.hint


def test_the_usual_folder_is_torchvisions(tmp_path, monkeypatch):
    """Without the option, a file that torchvision has downloaded already is taken."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    path = written(torchvision_state(18), tmp_path / "hub" / "checkpoints", "resnet18")
    monkeypatch.setitem(pretrained.FILES, 18, path.name)
    assert pretrained.downloaded_weights(18) == path and pretrained.resnet_weights(18, {})
