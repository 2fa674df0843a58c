"""Model bundles: what is saved comes back, and nothing else is accepted."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from CHMFLPredictorLib.errors import MissingModel
from CHMFLPredictorLib.model import bundle as bundle_module
from CHMFLPredictorLib.model.bundle import CARD_FILE, WEIGHTS_FILE, default_bundle, load_bundle, save_bundle
from conftest import make_card


@pytest.fixture
def copy(tiny_bundle, tmp_path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "model"))


def refused(folder) -> MissingModel:
    with pytest.raises(MissingModel) as caught:
        load_bundle(folder).networks()
    assert caught.value.exit_code == 5 and caught.value.hint
    return caught.value


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0x01
    path.write_bytes(content)


def tiny_states(seed: int = 0) -> tuple[dict, list[dict]]:
    import torch
    from CHMFLPredictorLib.network.chmfl import build_network
    from CHMFLPredictorLib.network.presets import PRESETS

    torch.manual_seed(seed)
    preset = PRESETS["smoke"]
    return make_card(preset), [build_network(preset.network).state_dict()]


def test_networks_come_back(tmp_path):
    import torch

    card, states = tiny_states()
    exact = save_bundle(tmp_path / "exact", card, states, half=False).networks()
    assert len(exact) == 1 and not exact[0].training
    for key, value in exact[0].state_dict().items():
        assert torch.equal(value, states[0][key]) and value.shape == states[0][key].shape, key
    halved = save_bundle(tmp_path / "half", card, states).networks()[0]
    for key, value in halved.state_dict().items():
        assert value.dtype == states[0][key].dtype
        assert torch.allclose(value, states[0][key], rtol=1e-3, atol=1e-6), key
    size = [(tmp_path / name / WEIGHTS_FILE).stat().st_size for name in ("exact", "half")]
    assert size[1] < 0.7 * size[0]


def test_own_reader_agrees_with_the_safetensors_package(tiny_bundle):
    from CHMFLPredictorLib.model.weights import Tensors
    from safetensors.numpy import load_file

    expected = load_file(tiny_bundle / WEIGHTS_FILE)
    tensors = Tensors(tiny_bundle / WEIGHTS_FILE)
    assert set(tensors.entries) == set(expected) and len(expected) > 50
    for name, value in expected.items():
        assert np.array_equal(tensors.take(name, value.shape), value)


def test_members_differ_and_predict(tiny_bundle):
    import torch

    networks = load_bundle(tiny_bundle).networks()
    x = torch.randn(1, 2, 32, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        answers = [network(x)[1] for network in networks]
    assert len(answers) == 2 and not torch.allclose(*answers)


@pytest.mark.parametrize("name", [CARD_FILE, WEIGHTS_FILE])
def test_missing(copy, name):
    (copy / name).unlink()
    assert refused(copy).code == "model_missing"
    assert name in refused(copy).message


def test_missing_folder(tmp_path):
    assert refused(tmp_path / "nowhere").code == "model_missing"


@pytest.mark.parametrize("share", [0.0, 0.00002, 0.01, 0.5, 0.999])
def test_truncated_weights(copy, share):
    content = (copy / WEIGHTS_FILE).read_bytes()
    (copy / WEIGHTS_FILE).write_bytes(content[: int(share * len(content))])
    assert refused(copy).code == "model_truncated"


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_truncated_card(copy, share):
    content = (copy / CARD_FILE).read_bytes()
    (copy / CARD_FILE).write_bytes(content[: int(share * len(content))])
    assert refused(copy).code == "model_truncated"


@pytest.mark.parametrize("share", [0.001, 0.2, 0.6, 0.9999])
def test_weights_altered_by_one_byte(copy, share):
    path = copy / WEIGHTS_FILE
    flip(path, int(share * path.stat().st_size))
    assert refused(copy).code in ("model_altered", "model_truncated")


def test_data_altered_by_one_byte_is_altered(copy):
    flip(copy / WEIGHTS_FILE, (copy / WEIGHTS_FILE).stat().st_size - 10)
    error = refused(copy)
    assert error.code == "model_altered" and "SHA-256" in error.message


@pytest.mark.parametrize("field", ["calibration", "threshold", "baseline", "preprocessing", "name"])
def test_card_altered(copy, field):
    card = json.loads((copy / CARD_FILE).read_text())
    if field == "name":
        card[field] += "x"
    else:
        key = next(k for k, v in card[field].items() if isinstance(v, float))
        card[field][key] += 0.001
    (copy / CARD_FILE).write_text(json.dumps(card))
    assert refused(copy).code == "model_altered"


def test_layout_of_the_card_does_not_matter(copy):
    card = json.loads((copy / CARD_FILE).read_text())
    (copy / CARD_FILE).write_text(json.dumps(dict(sorted(card.items())), ensure_ascii=True))
    load_bundle(copy)


def test_every_card_field_is_required(copy):
    original = json.loads((copy / CARD_FILE).read_text())
    for field in original:
        card = {key: value for key, value in original.items() if key != field}
        (copy / CARD_FILE).write_text(json.dumps(card))
        assert refused(copy).code == "model_altered", field


def test_newer_schema(copy):
    card = json.loads((copy / CARD_FILE).read_text())
    card["schema_version"] = 2
    (copy / CARD_FILE).write_text(json.dumps(card))
    error = refused(copy)
    assert error.code == "model_newer" and "Update" in error.hint


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("name", ["optimizer.pkl", "notes.txt", "deep/er.json", WEIGHTS_FILE])
def test_pickle_is_refused_and_not_opened(copy, tmp_path, name):
    (copy / name).parent.mkdir(exist_ok=True)
    (copy / name).write_bytes(pickle.dumps(Trap(tmp_path / "ran")))
    assert refused(copy).code == "model_unsafe"
    assert not (tmp_path / "ran").exists()


def test_torch_archive_is_refused(copy):
    import torch

    torch.save({"a": torch.zeros(3)}, copy / WEIGHTS_FILE)
    assert refused(copy).code == "model_unsafe"


def resave(folder: Path, change) -> Path:
    """A bundle whose checksums agree but whose weights do not fit its card."""
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / WEIGHTS_FILE)
    change(tensors)
    save_file(tensors, str(folder / WEIGHTS_FILE))
    card = json.loads((folder / CARD_FILE).read_text())
    card["weights_sha256"] = bundle_module._sha256(folder / WEIGHTS_FILE)
    card["card_sha256"] = bundle_module._card_sha256(card)
    (folder / CARD_FILE).write_text(json.dumps(card))
    return folder


@pytest.mark.parametrize("change", ["drop", "add", "shape", "nan"])
def test_weights_of_another_network(copy, change):
    key = "member_0.head.third.weight"
    changes = {
        "drop": lambda t: t.pop(key),
        "add": lambda t: t.update(more=np.zeros(2, np.float32)),
        "shape": lambda t: t.update({key: t[key].T.copy()}),
        "nan": lambda t: t.update({key: t[key] * np.float16(np.nan)}),
    }
    assert refused(resave(copy, changes[change])).code == "model_altered"


def test_unknown_configuration(copy):
    card = json.loads((copy / CARD_FILE).read_text())
    card["network"]["attention_heads"] = 3
    card["card_sha256"] = bundle_module._card_sha256(card)
    (copy / CARD_FILE).write_text(json.dumps(card))
    error = refused(copy)
    assert error.code == "model_altered" and "attention_heads" in error.message


def test_save_refuses_what_cannot_be_loaded(tmp_path):
    card, states = tiny_states()
    with pytest.raises(ValueError, match="calibration"):
        save_bundle(tmp_path / "a", {k: v for k, v in card.items() if k != "calibration"}, states)
    states[0]["head.third.bias"] = states[0]["head.third.bias"] * float("nan")
    with pytest.raises(ValueError, match="finite"):
        save_bundle(tmp_path / "b", card, states)
    assert list(tmp_path.iterdir()) == []


def test_saving_replaces_all_or_nothing(copy):
    before = (copy / WEIGHTS_FILE).read_bytes()
    card, states = tiny_states(seed=5)
    broken = [{**states[0], "head.third.bias": states[0]["head.third.bias"][:1]}]
    with pytest.raises(MissingModel):
        save_bundle(copy, card, broken)
    assert (copy / WEIGHTS_FILE).read_bytes() == before
    save_bundle(copy, card, states, extra_files={"out_of_fold.csv": b"patient_id,risk\n"})
    assert (copy / WEIGHTS_FILE).read_bytes() != before
    assert sorted(p.name for p in copy.iterdir()) == [CARD_FILE, "out_of_fold.csv", WEIGHTS_FILE]
    assert [p.name for p in copy.parent.iterdir()] == [copy.name]
    assert load_bundle(copy).card["members"] == 1


def test_default_bundle_is_the_named_one_or_the_newest(tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(bundle_module, "MODELS_FOLDER", tmp_path)
    with pytest.raises(MissingModel, match="No model"):
        default_bundle()
    for name, version in (("b", "1.9"), ("a", "1.10"), ("c", "0.9.9")):
        (tmp_path / name).mkdir()
        (tmp_path / name / CARD_FILE).write_text(json.dumps({"version": version}))
    assert default_bundle() == tmp_path / "a"
    (tmp_path / bundle_module.DEFAULT).mkdir()
    (tmp_path / bundle_module.DEFAULT / CARD_FILE).write_text(json.dumps({"version": "0.0.1"}))
    assert default_bundle() == tmp_path / bundle_module.DEFAULT


def test_shipped_model_is_sound():
    if not list(bundle_module.MODELS_FOLDER.glob(f"*/{CARD_FILE}")):
        pytest.skip("no model is shipped yet")
    bundle = load_bundle()
    assert len(bundle.networks()) == bundle.card["members"]
    assert sum(p.stat().st_size for p in bundle.folder.rglob("*")) < 40e6
    assert bundle.preprocessing.size_voxels == bundle.network_config.input_size
