"""The interface of methods, their registry, and cases with their cache."""

import re
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from CHMFLPredictorLib.errors import BadInput, MissingDependency
from CHMFLPredictorLib.files import read_csv
from CHMFLPredictorLib.network.presets import PRESETS
from CHMFLTrainingLib import methods as package
from CHMFLTrainingLib.cohort.cases import Case, cases_of
from CHMFLTrainingLib.cohort.cohort import Patient
from CHMFLTrainingLib.cohort.planted import planted_cases
from CHMFLTrainingLib.methods import registry
from CHMFLTrainingLib.methods.base import GROUPS, PAPER_FILE, RISK_FIGURES, VOXEL_FIGURES, Method, labels_of
from CHMFLTrainingLib.training.settings import Settings
from conftest import REPOSITORY

SMOKE = Settings("smoke", seed=3)
PAPER_TEXT = REPOSITORY.parent / "shared" / "paper" / "chmfl-paper.txt"


def method(name):
    return registry.find(name)[0]


@pytest.fixture(autouse=True)
def _shipped_only(monkeypatch):
    """A comparison of another test may have added its own methods to this process."""
    monkeypatch.setattr(package, "__path__", package.__path__[:1])


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """Sixteen patients with a planted outcome."""
    return planted_cases(16, True, 5, tmp_path_factory.mktemp("few"))


# The registry --------------------------------------------------------------------------------------------------


def test_every_method_says_what_it_is():
    for name, found in registry.all_methods().items():
        assert found.NAME == name and found.GROUP in GROUPS
        assert found.SOURCE.strip() and found.OPEN.strip(), f"{name} names no source or no open point"
        assert found.NEEDS_TO_PREDICT and found.NEEDS_TO_PREDICT <= found.NEEDS <= {"pet", "ct", "mask", "clinical"}
        if found.PAPER is not None:
            assert set(found.PAPER) <= {"accuracy", "sensitivity", "specificity", "precision", "f1", "auc"}
            assert all(0 <= value <= 1 for value in found.PAPER.values())
        assert not set(name) & {",", "/", "\\"} and registry.slug(name)


def printed_rows(text):
    """Table, place in it, name and figures of every row of the paper's tables of results, as they are printed."""
    for table, rows in re.findall(r"^TABLE (I|II|SII|SIII|SIV)\. [^\n]*\n(.*?\n)\n(?=\S|\s*\n)", text, re.M | re.S):
        found = re.findall(r"^(\S[^\t\n]*)((?:\t[01]\.\d{3}\*?)+)$", rows, re.M)
        assert found, f"Table {table} has no rows"
        for place, (name, figures) in enumerate(found, 1):
            yield f"Table {table}", place, name.removesuffix(" (Ours)"), figures.replace("*", "").split()


@pytest.mark.skipif(not PAPER_TEXT.is_file(), reason="the paper's text is not here")
def test_the_papers_figures_are_those_that_it_prints():
    """Digit by digit; a row stands where the paper prints it first."""
    written = {re.sub(r"\s", "", row["name"]): row for row in read_csv(PAPER_FILE)}
    seen = set()
    for table, place, name, figures in printed_rows(PAPER_TEXT.read_text(encoding="utf-8")):
        row = written[re.sub(r"\s", "", name)]
        names = VOXEL_FIGURES if table == "Table SIV" else RISK_FIGURES
        assert [row[figure] for figure in names] == figures, f"{name} in {table}"
        if name not in seen and (table != "Table SIV" or name == "V-net"):
            assert (row["group"], row["row"]) == (table, str(place)), name
        seen.add(name)
    assert len(seen) == len(written) == 29


def test_rows_of_the_paper_are_methods_with_its_figures():
    known = registry.all_methods()
    assert {row["name"] for row in read_csv(PAPER_FILE)} <= known.keys()
    assert known["V-net"].PAPER is None and known["V-net"].PAPER_SEGMENTATION["dice"] == 0.716
    assert registry.find("CHMFL w=0.5") == [known["CHMFL"]] and known["CHMFL"].PAPER["auc"] == 0.873
    assert known["TLG"].PAPER is None and known["HC + RF"].PAPER_SEGMENTATION is None
    assert known["CFL"].PAPER_SEGMENTATION["specificity"] == 0.941 and known["CFL"].PAPER["specificity"] == 0.667


def test_rows_read_the_options_that_change_them():
    options = {name: one.OPTIONS for name, one in registry.all_methods().items()}
    assert {"epochs", "learning_rate"} <= options["CHMFL"] & options["3DMCL"] & options["3D-CNN-PET"]
    assert "w" in options["CHMFL"] & options["CHMFL + ResNet18 (pretrained)"]
    for name in ("CHMFL w=0.25", "V-net", "CHMFL staged", "ResNet18-PET-CT"):
        assert "w" not in options[name]
    assert "slices" in options["2D-CNN-CT"] and "slices" not in options["3D-CNN-CT"]
    assert [name for name, read in options.items() if "weights" in read] == [n for n in options if "(pre" in n]
    assert not options["TLG"]


@pytest.mark.parametrize("name", ["CHMFL", "3D-CNN-PET", "CHMFL + ResNet18", "3DMCL"])
@pytest.mark.parametrize("value", [0, 1.5, "4", True, float("inf"), [3]])
def test_an_impossible_option_is_refused_as_the_method_is_made(name, value):
    with pytest.raises(BadInput) as refused:
        method(name)(replace(SMOKE, options={"epochs": value}))
    assert refused.value.code == "method_option"
    assert f"epochs of {name} is {value!r}; it must be a whole number from 1 to 1e+06" in refused.value.message


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("HC + RF", {"modalities": ["mr"]}),
        ("HC + RF", {"radiomics": "texture"}),
        ("CNLPC", {"modality": "mr"}),
        ("Clinical", {"columns": []}),
        ("Permuted labels", {"of": 3}),
        ("Cox volume + SUVmax", {"horizon": "late"}),
        ("ResNet18-PET-CT (pretrained)", {"weights": 18}),
    ],
)
def test_options_of_other_kinds_are_held_to_theirs(name, options):
    with pytest.raises(BadInput) as refused:
        method(name)(replace(SMOKE, options=options))
    assert refused.value.code == "method_option" and next(iter(options)) in refused.value.message


def test_options_of_other_methods_are_passed_over():
    """An option of all methods of a run reaches those too that do not read it."""
    read = method("CHMFL w=0.25")(replace(SMOKE, options={"epochs": 3, "w": "of others", "columns": 1})).options
    assert (read.epochs, read.w, read.patience) == (3, None, None)
    assert method("Clinical")(replace(SMOKE, options={"columns": "age, grade"})).options.columns == ("age", "grade")
    assert method("HC + RF")(SMOKE).options.features == 20


def test_methods_come_in_the_order_of_the_tables():
    found = list(registry.all_methods().values())
    assert [GROUPS.index(one.GROUP) for one in found] == sorted(GROUPS.index(one.GROUP) for one in found)
    assert found[0].NAME == "HC + RF"


def test_find_takes_rows_folders_and_all():
    names = [one.NAME for one in registry.find(" hc + rf , TLG,HC_RF")]
    assert names == ["HC + RF", "TLG"]
    assert registry.find("all") == list(registry.all_methods().values())
    assert registry.slug("HC + RF") == "HC_RF"


@pytest.mark.parametrize("names", ["HC + RF, Nothing", "", " , "])
def test_an_unknown_method_is_refused_and_the_known_are_named(names):
    with pytest.raises(BadInput) as refused:
        registry.find(names)
    assert refused.value.code == "method_unknown" and "HC + RF" in refused.value.hint


def test_a_method_is_found_by_its_file_alone(tmp_path, monkeypatch):
    text = "from CHMFLTrainingLib.methods.base import Method\nclass A(Method):\n    NAME = 'Made by a test'\n"
    (tmp_path / "made_by_a_test.py").write_text(text, encoding="utf-8")
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    assert registry.find("made by a test")[0].__name__ == "A"
    (tmp_path / "made_by_another.py").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="share a name"):
        registry.all_methods()


def test_a_method_whose_package_is_missing_says_which(tmp_path, monkeypatch):
    (tmp_path / "needs_more.py").write_text("import a_package_that_nobody_has\n", encoding="utf-8")
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    with pytest.raises(MissingDependency) as refused:
        registry.all_methods()
    assert refused.value.code == "method_dependency" and "a_package_that_nobody_has" in refused.value.message


def test_settings_know_their_presets_and_their_seed():
    with pytest.raises(BadInput) as refused:
        Settings("large")
    assert refused.value.code == "preset_unknown"
    assert Settings(seed=4).random(1).random() == Settings(seed=4).random(1).random()
    assert Settings(seed=4).random(1).random() != Settings(seed=4).random(2).random()
    assert Settings(seed=4).random(1).random() != Settings(seed=5).random(1).random()


def test_labels_must_be_known_and_of_both_kinds(few):
    assert labels_of(few).tolist() == [case.label for case in few]
    with pytest.raises(BadInput) as refused:
        labels_of([few[0], few[1].relabeled(None)])
    assert refused.value.code == "label_missing" and few[1].patient_id in refused.value.message
    with pytest.raises(BadInput) as refused:
        labels_of([case.relabeled(1) for case in few])
    assert refused.value.code == "one_outcome"


def test_what_a_method_needs_to_predict_is_what_it_needs_unless_it_says_otherwise():
    class Plain(Method):
        NEEDS = frozenset({"pet", "mask"})

    class Boxed(Plain):
        NEEDS_TO_PREDICT = frozenset({"pet"})

    class Other(Boxed):
        NEEDS = frozenset({"ct", "mask"})

    assert Plain.NEEDS_TO_PREDICT == {"pet", "mask"} and Boxed.NEEDS == {"pet", "mask"}
    assert Boxed.NEEDS_TO_PREDICT == {"pet"} and Other.NEEDS_TO_PREDICT == {"ct", "mask"}
    # the mask places the box of these; those are measured in it
    for name in ("CHMFL", "CFL", "V-net", "2D-CNN-PET-CT", "CHMFL + ResNet18", "Uptake"):
        assert "mask" not in method(name).NEEDS_TO_PREDICT and "mask" in method(name).NEEDS
    for name in ("HC + RF", "CNLPC", "3DMCL", "MOR + 3D CNNs", "Mask + HMFL", "Volume + SUVmax", "TLG"):
        assert "mask" in method(name).NEEDS_TO_PREDICT


def test_patients_who_lack_an_image_are_named_before_anything_is_read(few):
    without = replace(few[1], paths=few[1].paths._replace(ct=None))
    method("TLG")(SMOKE).check_inputs([few[0], without])
    for one in (method("HC + RF")(SMOKE), method("Permuted labels")(SMOKE)):
        with pytest.raises(BadInput) as refused:
            one.check_inputs([few[0], without])
        assert refused.value.code == "input_missing" and "CT" in refused.value.message
        assert without.patient_id in refused.value.message and few[0].patient_id not in refused.value.message


def test_a_model_is_loaded_for_the_device_that_is_asked_for(few, tmp_path):
    for name, options in (("TLG", {}), ("Permuted labels", {"of": "TLG"})):
        one = method(name)(replace(SMOKE, options=options, device="cuda:1"))
        one.fit(few, tmp_path / "job")
        one.save(tmp_path / name)
        assert type(one).load(tmp_path / name).settings == one.settings
        loaded = type(one).load(tmp_path / name, "cpu")
        assert loaded.settings == replace(one.settings, device="cpu")
        assert np.array_equal(loaded.predict(few), one.predict(few))


def test_most_methods_give_neither_features_nor_relevance(few):
    one = method("TLG")(SMOKE)
    assert one.embedding(few) is None and one.relevance(few[0]) is None and one.segment(few[0]) is None


# Cases ----------------------------------------------------------------------------------------------------------


def test_cases_of_a_cohort_open_no_file(tmp_path):
    patient = Patient("A", tmp_path / "pet.nii", tmp_path / "ct.nii", tmp_path / "mask.nii", 1, {"age": "5"})
    (case,) = cases_of([patient], tmp_path / "cache")
    assert (case.patient_id, case.label, case.clinical, case.time) == ("A", 1, {"age": "5"}, None)
    assert case.paths.mask == patient.mask and not (tmp_path / "cache").exists()


def test_a_crop_comes_through_the_cache(few):
    preprocessing = PRESETS["smoke"].preprocessing
    crop = few[0].crop(preprocessing)
    assert crop.label == few[0].label and crop.mask.any()
    entries = sorted(few[0].cache.rglob("*"))
    assert np.array_equal(few[0].crop(preprocessing).suv, crop.suv)
    assert sorted(few[0].cache.rglob("*")) == entries


@pytest.mark.parametrize(
    "values",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        {"a": 1.5, "vector": np.arange(3), "z/ü": float("nan"), "b": 0.1},
        {},
    ],
)
def test_features_are_computed_once_and_come_back_as_they_were(few, values, tmp_path):
    case, calls = replace(few[0], cache=tmp_path), []

    def compute(of):
        calls.append(of)
        return values

    for _ in range(2):
        read = case.features("x 1", compute)
        assert type(read) is type(values)
        if isinstance(values, dict):
            assert list(read) == list(values)
        np.testing.assert_equal(read, values)
    assert calls == [case]
    case.features("x 2", compute)
    assert len(calls) == 2, "another name is another entry"


def test_features_follow_a_changed_file_and_a_damaged_entry(tmp_path):
    (case,) = planted_cases(1, True, 0, tmp_path)
    first = case.features("sum", _sum)
    image = sitk.ReadImage(str(case.paths.pet)) * 2
    sitk.WriteImage(image, str(case.paths.pet))
    second = case.features("sum", _sum)
    assert second["sum"] == pytest.approx(2 * first["sum"], rel=1e-5)
    for entry in (case.cache / "features").iterdir():
        entry.write_bytes(entry.read_bytes()[:40])
    assert case.features("sum", _sum) == second


def _sum(case: Case) -> dict:
    return {"sum": float(sitk.GetArrayFromImage(sitk.ReadImage(str(case.paths.pet))).sum())}


def test_the_outcome_is_no_part_of_the_cache(few, tmp_path):
    case, calls = replace(few[0], cache=tmp_path), []
    for one in (case, case.relabeled(1 - case.label, 3.0, 0)):
        one.features("x", lambda _: calls.append(1) or {"a": 1.0})
    assert len(calls) == 1


def test_a_refusal_names_the_patient(few, tmp_path):
    empty = sitk.ReadImage(str(few[0].paths.mask)) * 0
    sitk.WriteImage(empty, str(tmp_path / "mask.nii.gz"))
    case = replace(few[0], paths=few[0].paths._replace(mask=tmp_path / "mask.nii.gz"), cache=tmp_path)
    for ask in (lambda: method("TLG")(SMOKE).prepare(case), lambda: case.crop(PRESETS["smoke"].preprocessing)):
        with pytest.raises(BadInput) as refused:
            ask()
        assert refused.value.code == "mask_empty" and refused.value.message.startswith(f"Patient {case.patient_id}")
