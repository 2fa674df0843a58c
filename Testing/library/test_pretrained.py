"""ResNets that begin at weights of torchvision's kind: named or downloaded, checked, refused where they do not fit."""

import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from CHMFLPredictorLib.errors import BadInput
from CHMFLTrainingLib import pretrained
from CHMFLTrainingLib.evaluation import auc
from CHMFLTrainingLib.methods import find
from CHMFLTrainingLib.settings import Settings
from planted import planted_cases

NARROW = 0.125  # share of the channels


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    import torch

    torch.set_num_threads(1)


def method_of(name, **options):
    return find(name)[0](Settings("smoke", seed=3, options=options))


def torchvision_state(depth, seed=0, width=NARROW):
    """A state dict with the names and shapes of torchvision's ResNets, written down from its documentation, not taken
    from our network; random values.
    """
    import torch

    random = torch.Generator().manual_seed(seed)
    blocks = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}[depth]
    expansion, stages = (4 if depth == 50 else 1), [int(width * channels) for channels in (64, 128, 256, 512)]
    state = {}

    def convolution(name, inputs, outputs, kernel):
        state[f"{name}.weight"] = torch.randn(outputs, inputs, kernel, kernel, generator=random) * 0.05

    def norm(name, channels):
        state[f"{name}.weight"], state[f"{name}.bias"] = torch.ones(channels), torch.zeros(channels)
        state[f"{name}.running_mean"], state[f"{name}.running_var"] = torch.zeros(channels), torch.ones(channels)
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    convolution("conv1", 3, stages[0], 7)
    norm("bn1", stages[0])
    inputs = stages[0]
    for level, (count, channels) in enumerate(zip(blocks, stages, strict=True), start=1):
        for number in range(count):
            block, outputs = f"layer{level}.{number}", channels * expansion
            kernels = (1, 3, 1) if expansion == 4 else (3, 3)
            widths = [inputs, *[channels] * (len(kernels) - 1), outputs]
            for k, kernel in enumerate(kernels):
                convolution(f"{block}.conv{k + 1}", widths[k], widths[k + 1], kernel)
                norm(f"{block}.bn{k + 1}", widths[k + 1])
            if number == 0 and (level > 1 or inputs != outputs):
                convolution(f"{block}.downsample.0", inputs, outputs, 1)
                norm(f"{block}.downsample.1", outputs)
            inputs = outputs
    state["fc.weight"], state["fc.bias"] = torch.randn(1000, inputs, generator=random), torch.zeros(1000)
    return state


def written(state, folder, name, digest=True):
    """The file, named as torchvision names its files."""
    import torch

    torch.save(state, folder / "state.pth")
    data = (folder / "state.pth").read_bytes()
    (folder / "state.pth").unlink()
    path = folder / (f"{name}-{hashlib.sha256(data).hexdigest()[:8]}.pth" if digest else f"{name}.pth")
    path.write_bytes(data)
    return path


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
