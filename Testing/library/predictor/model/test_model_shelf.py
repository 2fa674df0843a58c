"""The list of models: what ships is always there, what was added is remembered, what vanished says so."""

import json
import shutil

import pytest
from CHMFLPredictorLib import files
from CHMFLPredictorLib.errors import BadInput, MissingModel
from CHMFLPredictorLib.model import bundle
from CHMFLPredictorLib.model.bundle import CARD_FILE, WEIGHTS_FILE, load_bundle
from CHMFLPredictorLib.model.shelf import ModelShelf


@pytest.fixture
def shelf(tmp_path):
    return ModelShelf(tmp_path / "settings" / "models.json")


@pytest.fixture
def file(tmp_path):
    return tmp_path / "settings" / "models.json"


@pytest.fixture
def model(tiny_bundle, tmp_path):
    """A copy of the tiny bundle that a test may spoil."""
    return shutil.copytree(tiny_bundle, tmp_path / "módel")


def folders(shelf):
    return [model.folder for model in shelf.models() if not model.shipped]


def added(shelf):
    return [model for model in shelf.models() if not model.shipped]


def test_the_shipped_models_are_there_without_a_file(shelf, file):
    """The default one first, the paper's after it."""
    shipped, papers = shelf.models()
    assert (shipped.name, papers.name) == ("sts-dm-compact", "sts-dm-chmfl") and papers.shipped and not papers.problem
    assert shipped.shipped and not shipped.problem and shipped.folder == bundle.default_bundle()
    assert shipped.label == f"{shipped.name} {shipped.version}" and shipped.name == load_bundle().card["name"]
    assert not file.exists() and not shelf.problem


def test_an_added_model_is_remembered_and_stays_where_it_is(shelf, file, model):
    made = shelf.add(model)
    assert (made.name, made.version, made.shipped, made.problem) == ("tiny", "0.0.1", False, "")
    again = ModelShelf(file).models()
    assert [one for one in again if not one.shipped] == [made] and again[0].shipped
    shelf.remove(model)
    assert folders(ModelShelf(file)) == [] and (model / WEIGHTS_FILE).is_file()
    shelf.remove(model)  # twice does no harm


def test_one_folder_is_listed_once_however_it_is_spelled(shelf, model, tmp_path, monkeypatch):
    shelf.add(model)
    link = tmp_path / "link"
    link.symlink_to(model, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    for spelling in (str(model) + "/", f"{model}/../{model.name}", link, "módel", model / CARD_FILE):
        assert shelf.add(spelling).name == "tiny"
    assert len(folders(shelf)) == 1
    shipped = shelf.add(bundle.default_bundle())
    assert shipped.shipped and len(added(shelf)) == 1


def test_two_models_of_one_name_are_told_apart(shelf, model, tmp_path):
    shelf.add(model)
    shelf.add(shutil.copytree(model, tmp_path / "other"))
    assert [one.label for one in added(shelf)] == ["tiny 0.0.1 (módel)", "tiny 0.0.1 (other)"]
    shelf.add(shutil.copytree(model, tmp_path / "elsewhere" / "other"))
    labels = [one.label for one in added(shelf)]
    assert labels[0] == "tiny 0.0.1 (módel)" and labels[2] == f"tiny 0.0.1 ({tmp_path / 'elsewhere' / 'other'})"
    assert len(set(labels)) == 3


def test_a_model_that_vanished_stays_listed_with_its_problem(shelf, model):
    shelf.add(model)
    model.rename(model.with_name("moved"))
    (gone,) = added(shelf)
    assert (gone.name, gone.version) == ("tiny", "0.0.1") and str(model) in gone.problem
    model.with_name("moved").rename(model)
    assert added(shelf)[0].problem == ""


def test_a_card_that_was_changed_is_a_problem(shelf, model):
    shelf.add(model)
    card = json.loads((model / CARD_FILE).read_text(encoding="utf-8"))
    (model / CARD_FILE).write_text(json.dumps({**card, "version": "9"}), encoding="utf-8")
    (changed,) = added(shelf)
    assert "checksum" in changed.problem and changed.version == "0.0.1"


@pytest.mark.parametrize("spoiled", ["folder", "weights", "pickle"])
def test_what_is_no_model_is_not_added(shelf, file, model, spoiled):
    if spoiled == "folder":
        (model / CARD_FILE).unlink()
    elif spoiled == "weights":
        with open(model / WEIGHTS_FILE, "rb+") as stream:
            stream.seek(-1, 2)
            stream.write(b"\x55")
    else:
        (model / "extra.pkl").write_bytes(b"\x80\x04N.")
    with pytest.raises(MissingModel) as caught:
        shelf.add(model)
    expected = {"folder": "model_missing", "weights": "model_altered", "pickle": "model_unsafe"}
    assert caught.value.code == expected[spoiled] and caught.value.hint
    assert not file.exists()


def test_the_shipped_model_cannot_be_removed(shelf):
    with pytest.raises(BadInput) as caught:
        shelf.remove(bundle.default_bundle())
    assert caught.value.code == "model_shipped" and added(shelf) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"models": 3}', b"\xff\xfe", b"null"])
def test_a_damaged_file_costs_only_the_added_models(shelf, file, model, content):
    file.parent.mkdir()
    file.write_bytes(content)
    assert all(one.shipped for one in shelf.models()) and str(file) in shelf.problem
    shelf.add(model)
    assert folders(shelf) == [model] and not shelf.problem
    assert file.with_name("models.json.damaged").read_bytes() == content


def test_a_damaged_entry_costs_only_itself(shelf, file, model):
    shelf.add(model)
    content = json.loads(file.read_text())
    content["models"] = [None, {"folder": 3}, {"name": "x"}, {"folder": ""}, {"folder": str(model)}]
    file.write_text(json.dumps(content))
    assert [one.name for one in added(shelf)] == ["tiny"]


def test_a_list_that_cannot_be_written_says_so_and_stays(shelf, file, model, tmp_path, monkeypatch):
    shelf.add(model)
    before, other = file.read_bytes(), shutil.copytree(model, tmp_path / "other")

    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_bytes", full)
    for change in (lambda: shelf.add(other), lambda: shelf.remove(model)):
        with pytest.raises(BadInput, match="No space") as caught:
            change()
        assert caught.value.code == "shelf_unwritable"
    assert file.read_bytes() == before


def test_an_installation_without_a_model(shelf, model, monkeypatch, tmp_path):
    monkeypatch.setattr(bundle, "MODELS_FOLDER", tmp_path / "none")
    assert shelf.models() == []
    assert shelf.add(model) == shelf.models()[0]
