"""One prediction: its result against the same numbers computed another way, and the parts of its judgment."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
from CHMFLPredictorLib.errors import BadInput, Canceled
from CHMFLPredictorLib.events import STAGES, Progress
from CHMFLPredictorLib.model import warnings
from CHMFLPredictorLib.model.baseline import uptake
from CHMFLPredictorLib.model.bundle import load_bundle
from CHMFLPredictorLib.model.calibration import sigmoid
from CHMFLPredictorLib.network.preprocessing import (
    ChannelSteps,
    Grid,
    NetworkInput,
    Preprocessing,
    prepare,
    to_reference,
)
from CHMFLPredictorLib.predict.prediction import Inputs, Predictor, predict
from CHMFLPredictorLib.reading import volumes
from CHMFLPredictorLib.tumor import location
from CHMFLPredictorLib.tumor.segmentation import keep_main_lesion, on_reference
from small_patient import center_of, lively_bundle, small  # noqa: F401

FILES = ["relevance.nii.gz", "report.html", "result.json", "segmentation.nii.gz"]


class Heard(Progress):
    """A progress that remembers."""

    def __init__(self):
        super().__init__()
        self.events = []

    def say(self, event):
        self.events.append(event)


@pytest.fixture(scope="module")
def predicted(small, lively_bundle, tmp_path_factory):  # noqa: F811
    folder, heard = tmp_path_factory.mktemp("out") / "new", Heard()
    result = predict(
        small / "PET.nii.gz", small / "CT.nii.gz", folder, model=lively_bundle, progress=heard, engine="eager"
    )
    return result, folder, heard.events


def test_files_and_result(predicted):
    result, folder, events = predicted
    assert sorted(p.name for p in folder.iterdir()) == FILES
    assert json.loads((folder / "result.json").read_text(encoding="utf-8")) == json.loads(json.dumps(result))
    assert set(result) == {
        "schema_version",
        "risk",
        "risk_interval",
        "members",
        "baseline_risk",
        "threshold",
        "label",
        "tumor",
        "box",
        "model",
        "device",
        "engine",
        "inputs",
        "units",
        "timings_s",
        "warnings",
        "software",
        "created",
    }
    assert 0 <= result["risk_interval"][0] <= result["risk"] <= result["risk_interval"][1] <= 1
    assert len(result["members"]) == 2 and result["label"] == (
        "high" if result["risk"] >= result["threshold"] else "low"
    )
    assert {"volume_ml", "suv_max", "suv_mean", "tlg", "longest_diameter_mm", "center_ras_mm"} == set(result["tumor"])
    assert {"risk", "timings_s", "center_ras_mm", "size_mm", *result["tumor"]} == set(result["units"])
    assert (result["units"]["tlg"], result["units"]["volume_ml"]) == ("SUV ml", "ml")
    assert result["box"]["candidates"][0]["center_ras_mm"] == pytest.approx(result["box"]["center_ras_mm"], abs=0.06)
    assert result["box"]["found_by"] == "automatic" and result["box"]["size_mm"] == [192.0, 192.0, 192.0]
    assert "not for clinical use" in (folder / "report.html").read_text(encoding="utf-8").lower()
    assert events[-1]["event"] == "result" and events[-1]["result"] == result


def test_numbers_computed_another_way(predicted, small, lively_bundle):  # noqa: F811
    import torch

    result, folder, _ = predicted
    bundle = load_bundle(lively_bundle)
    pet, ct = (sitk.ReadImage(str(small / f"{name}.nii.gz"), sitk.sitkFloat32) for name in ("PET", "CT"))
    network_input = prepare(pet, ct, result["box"]["center_ras_mm"], bundle.preprocessing)
    x = torch.from_numpy(network_input.inputs)[None]
    with torch.no_grad():
        outputs = [network(x) for network in bundle.networks()]
    log_odds = [float(dm[0, 1] - dm[0, 0]) for dm, _ in outputs]
    assert abs(log_odds[0] - log_odds[1]) > 0.05  # otherwise the next lines compare nothing
    assert result["members"] == pytest.approx([float(sigmoid(x)) for x in log_odds], abs=1e-3)
    assert result["risk"] == pytest.approx(float(sigmoid(np.mean(log_odds))), abs=1e-3)
    feature = uptake(network_input.suv, network_input.grid.voxel_ml)
    assert result["baseline_risk"] == pytest.approx(float(sigmoid((feature - 6.0) / 1.5)), abs=1e-4)

    probability = np.mean([tumor.softmax(1)[0, 1].numpy() for _, tumor in outputs], axis=0) * network_input.inside
    tumor = keep_main_lesion(probability >= 0.5, 6.0)
    image = to_reference((probability * ~((probability >= 0.5) & ~tumor)).astype(np.float32), network_input.grid, ct)
    expected = sitk.GetArrayFromImage(image) >= 0.5
    found = sitk.ReadImage(str(folder / "segmentation.nii.gz"))
    assert np.count_nonzero(expected != (sitk.GetArrayFromImage(found) == 1)) <= 0.001 * expected.size
    assert result["tumor"]["volume_ml"] == pytest.approx(
        np.count_nonzero(sitk.GetArrayFromImage(found)) * np.prod(found.GetSpacing()) / 1000, rel=1e-6
    )


def test_outputs_lie_on_the_grid_of_the_ct(predicted, small):  # noqa: F811
    ct = sitk.ReadImage(str(small / "CT.nii.gz"))
    for name, pixel in (("segmentation", sitk.sitkUInt8), ("relevance", sitk.sitkFloat32)):
        image = sitk.ReadImage(str(predicted[1] / f"{name}.nii.gz"))
        assert image.GetSize() == ct.GetSize() and image.GetPixelID() == pixel
        for what in ("GetOrigin", "GetSpacing", "GetDirection"):
            assert getattr(image, what)() == pytest.approx(getattr(ct, what)(), abs=1e-5)
        values = sitk.GetArrayFromImage(image)
        assert values.min() >= 0 and values.max() <= 1


def test_risk_comes_before_the_decoder_and_stages_in_order(predicted):
    events = predicted[2]
    names = [e.get("stage", e["event"]) for e in events if e["event"] != "warning"]
    assert list(dict.fromkeys(n for n in names if n in STAGES)) == list(STAGES)
    assert "risk" in [e["event"] for e in events]
    risk_event = next(i for i, e in enumerate(events) if e["event"] == "risk")
    assert risk_event < next(i for i, e in enumerate(events) if e.get("stage") == "segmentation")
    fractions = [e["fraction"] for e in events if e["event"] == "progress"]
    assert fractions == sorted(fractions) and 0 <= fractions[0] and fractions[-1] <= 1
    result = predicted[0]
    assert all(result[key] == events[risk_event][key] for key in ("risk", "members", "baseline_risk", "label"))
    said = [{"code": e["code"], "text": e["text"]} for e in events if e["event"] == "warning"]
    assert said == result["warnings"] and len({w["text"] for w in said}) == len(said)
    assert result["timings_s"]["to_risk"] <= result["timings_s"]["to_segmentation"] <= result["timings_s"]["total"]


def test_point_mask_and_automatic(small, lively_bundle, tmp_path):  # noqa: F811
    mask = small / "mask.nii.gz"
    center = [float(c) for c in center_of(mask)]
    common = {"model": lively_bundle, "risk_only": True}
    pair = (small / "PET.nii.gz", small / "CT.nii.gz")
    pointed = predict(*pair, tmp_path / "a", center=np.array(center), **common)
    masked = predict(*pair, tmp_path / "b", segmentation=mask, **common)
    assert (pointed["box"]["found_by"], masked["box"]["found_by"]) == ("point", "mask")
    assert pointed["box"]["center_ras_mm"] == pytest.approx(center, abs=0.01)
    assert np.linalg.norm(np.subtract(masked["box"]["center_ras_mm"], center)) < 30
    assert pointed["tumor"] is None
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["report.html", "result.json"]
    with pytest.raises(BadInput, match="Give one of them"):
        predict(*pair, tmp_path / "c", center=center, segmentation=mask, **common)


def test_risk_only_clears_older_results(predicted, small, lively_bundle, tmp_path):  # noqa: F811
    for name in FILES:
        (tmp_path / name).write_text("old")
    (tmp_path / "mine.txt").write_text("kept")
    predict(small / "PET.nii.gz", small / "CT.nii.gz", tmp_path, model=lively_bundle, risk_only=True, engine="eager")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.txt", "report.html", "result.json"]
    assert json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))["risk"] == predicted[0]["risk"]


@pytest.mark.parametrize("stage", list(STAGES))
def test_cancel_at_every_stage_leaves_nothing(small, lively_bundle, tmp_path, stage):  # noqa: F811
    heard = Heard()

    def canceled():
        return any(event.get("stage") == stage for event in heard.events)

    with pytest.raises(Canceled):
        predict(
            small / "PET.nii.gz",
            small / "CT.nii.gz",
            tmp_path / "a" / "b",
            model=lively_bundle,
            progress=heard,
            canceled=canceled,
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("patient", ["STS_002", "STS_042"])
def test_dicom_and_nifti_of_a_real_patient_agree(sts, lively_bundle, tmp_path, patient):  # noqa: F811
    images, dicom = sts / "images" / patient, sts / "dicom" / patient
    common = {"model": lively_bundle, "segmentation": images / "GTV.nii.gz", "risk_only": True, "engine": "eager"}
    files = predict(images / "PET.nii.gz", images / "CT.nii.gz", tmp_path / "files", **common)
    series = predict(dicom / "PET" / "image", dicom / "CT" / "image", tmp_path / "series", **common)
    assert series["risk"] == pytest.approx(files["risk"], abs=0.01)
    assert series["baseline_risk"] == pytest.approx(files["baseline_risk"], abs=0.005)
    assert "pet_units_assumed" in [w["code"] for w in files["warnings"]]
    assert "pet_units_assumed" not in [w["code"] for w in series["warnings"]]


def test_names_stand_for_the_files(small, lively_bundle, tmp_path, monkeypatch):  # noqa: F811
    """Whoever hands over temporary files finds none of their paths in the results: not even in a warning."""
    pair = (str(small / "PET.nii.gz"), str(small / "CT.nii.gz"))
    names = {"pet": "7: PT <WB>", "ct": "7: CT", "segmentation": "unused"}
    predictor, read = Predictor(lively_bundle, "cpu"), volumes.read_pair

    def read_with_a_warning(pet, ct):
        *images, found = read(pet, ct)
        return *images, [*found, warnings.warning("odd", f"The PET '{pet}' is odd.")]

    monkeypatch.setattr(volumes, "read_pair", read_with_a_warning)
    result = predictor.predict(Inputs(*pair, names=names), tmp_path / "out", risk_only=True)
    assert result["inputs"]["pet"] == {"name": "7: PT <WB>"} and result["inputs"]["ct"] == {"name": "7: CT"}
    assert {"code": "odd", "text": "The PET '7: PT <WB>' is odd."} in result["warnings"]
    for name in ("result.json", "report.html"):
        assert str(small) not in (tmp_path / "out" / name).read_text(encoding="utf-8"), name
    assert "7: PT &lt;WB&gt;" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    with pytest.raises(BadInput) as caught:
        predictor.predict(Inputs(*reversed(pair), names=names), tmp_path / "swapped", risk_only=True)
    assert "7: CT" in caught.value.message and str(small) not in str(caught.value)


def test_a_hot_organ_is_told_once(small, lively_bundle, tmp_path, monkeypatch):  # noqa: F811
    def found(*texts):
        return [warnings.warning("hot_organ_in_box", text) for text in texts]

    find = location.find

    def find_with_organs(*arguments):
        place = find(*arguments)
        place.warnings[:] = found("The bladder.", "The brain.")
        return place

    monkeypatch.setattr(location, "find", find_with_organs)
    monkeypatch.setattr(warnings, "judge_segmentation", lambda *_: found("Something hot."))
    result = predict(small / "PET.nii.gz", small / "CT.nii.gz", tmp_path / "out", model=lively_bundle)
    hot = [w["text"] for w in result["warnings"] if w["code"] == "hot_organ_in_box"]
    assert hot == ["The bladder.", "The brain."]


# The segmentation ----------------------------------------------------------------------------------------------------


def ball(shape, center, radius) -> np.ndarray:
    grid = np.indices(shape).transpose(1, 2, 3, 0)
    return np.linalg.norm(grid - np.array(center), axis=-1) <= radius


def test_main_lesion_is_the_one_in_the_middle_even_if_smaller():
    shape = (40, 40, 40)
    middle, organ = ball(shape, (20, 20, 20), 4), ball(shape, (5, 5, 5), 7)
    satellite = ball(shape, (20, 20, 27), 1)
    kept = keep_main_lesion(middle | organ | satellite, 2.0)
    assert np.array_equal(kept, middle | satellite)


def test_main_lesion_is_the_largest_where_the_middle_is_empty():
    shape = (40, 40, 40)
    large, little = ball(shape, (7, 7, 7), 5), ball(shape, (33, 33, 33), 3)
    assert np.array_equal(keep_main_lesion(large | little, 2.0), large)
    assert not keep_main_lesion(np.zeros(shape, bool), 2.0).any()


@pytest.mark.parametrize("shift", [(0, 0, 0), (40, 20, -30), (500, 0, 0)])
def test_on_reference_is_the_same_as_resampling_everything(shift):
    reference = sitk.Image(40, 50, 30, sitk.sitkFloat32)
    reference.SetSpacing((2.0, 2.5, 4.0))
    reference.SetOrigin((-30.0, -70.0, 10.0))
    reference.SetDirection(sitk.Euler3DTransform((0, 0, 0), 0.3, -0.2, 0.9).GetMatrix())
    middle = reference.TransformContinuousIndexToPhysicalPoint((20.0, 25.0, 15.0))
    origin = tuple(float(m - 30 + b) for m, b in zip(middle, shift, strict=True))
    grid = Grid(origin, (3.0, 3.0, 3.0), (20, 16, 24))
    array = np.random.default_rng(0).random(grid.size).astype(np.float32)
    expected = sitk.GetArrayFromImage(to_reference(array, grid, reference))
    assert np.allclose(sitk.GetArrayFromImage(on_reference(array, grid, reference)), expected, atol=1e-6)
    cut = on_reference(array, grid, reference, 0.5)
    assert cut.GetPixelID() == sitk.sitkUInt8 and np.array_equal(sitk.GetArrayFromImage(cut), expected >= 0.5)
    assert (expected > 0).any() == (shift != (500, 0, 0))


# The warnings --------------------------------------------------------------------------------------------------------


def made_input(shape=(30, 30, 30), voxel_mm=4.0) -> NetworkInput:
    suv = np.full(shape, 0.7, np.float32)
    grid = Grid((0.0, 0.0, 0.0), (voxel_mm,) * 3, shape)
    return NetworkInput(np.stack([suv, suv]), suv, np.zeros(shape, np.float32), np.ones(shape, bool), grid)


def codes(found) -> list[str]:
    assert all(set(one) == {"code", "text"} and one["text"].endswith(".") for one in found)
    return [one["code"] for one in found]


def test_nothing_segmented():
    assert codes(warnings.judge_segmentation(np.zeros((30, 30, 30), bool), made_input())) == ["nothing_segmented"]


def test_tumor_at_the_face_of_the_box():
    network_input = made_input()
    inside, outside = ball((30, 30, 30), (15, 15, 15), 6), ball((30, 30, 30), (15, 2, 15), 6)
    assert codes(warnings.judge_segmentation(inside, network_input)) == []
    assert codes(warnings.judge_segmentation(outside, network_input)) == ["tumor_larger_than_box"]
    network_input.inside[:, :3] = False  # beyond the image nothing can be missed
    assert codes(warnings.judge_segmentation(outside & network_input.inside, network_input)) == []


def test_hot_organ_away_from_the_tumor():
    network_input, shape = made_input(), (30, 30, 30)
    tumor, bladder = ball(shape, (15, 15, 20), 4), ball(shape, (15, 15, 5), 4)
    network_input.suv[tumor] = 9.0
    network_input.suv[bladder] = 8.0
    assert codes(warnings.judge_segmentation(tumor, network_input)) == []
    network_input.suv[bladder] = 30.0
    found = warnings.judge_segmentation(tumor, network_input)
    assert codes(found) == ["hot_organ_in_box"] and "30.0" in found[0]["text"]
    assert codes(warnings.judge_segmentation(tumor | bladder, network_input)) == []


def test_ranges():
    ranges = warnings.input_ranges(
        [{"pet_voxel_mm": 4.0, "box_filled": 0.5}, {"pet_voxel_mm": 5.5, "box_suv_max": 9.0}]
    )
    assert ranges == {"box_filled": [0.5, 0.5], "box_suv_max": [9.0, 9.0], "pet_voxel_mm": [4.0, 5.5]}
    assert codes(warnings.outside_ranges({"pet_voxel_mm": 5.8, "box_filled": 1.0, "ct_voxel_mm": 99.0}, ranges)) == []
    seen = {"pet_voxel_mm": 8.0, "box_suv_max": 90.0, "box_filled": 0.1}
    found = warnings.outside_ranges(seen, ranges)
    assert codes(found) == ["pet_voxel_mm_outside_range", "box_suv_max_outside_range", "box_filled_outside_range"]
    assert "8 mm" in found[0]["text"] and "4 to 5.5" in found[0]["text"]


def test_an_implausible_tumor_needs_no_range():
    assert codes(warnings.outside_ranges({"tumor_volume_ml": 2900.0}, {})) == []
    found = warnings.outside_ranges({"tumor_volume_ml": 3200.0}, {})
    assert codes(found) == ["tumor_implausible"] and "3200 ml" in found[0]["text"]
    judged = warnings.outside_ranges({"tumor_volume_ml": 3200.0}, {"tumor_volume_ml": [1.0, 900.0]})
    assert codes(judged) == ["tumor_volume_ml_outside_range"]


def test_observations_of_an_image(small):  # noqa: F811
    pet, ct = (sitk.ReadImage(str(small / f"{name}.nii.gz"), sitk.sitkFloat32) for name in ("PET", "CT"))
    network_input = prepare(
        pet, ct, (60.0, -20.0, 0.0), Preprocessing(6.0, (32, 32, 32), ChannelSteps(), ChannelSteps())
    )
    seen = warnings.observe(pet, ct, network_input)
    assert seen["pet_voxel_mm"] == pytest.approx(max(pet.GetSpacing()))
    assert 0 < seen["box_filled"] <= 1 and seen["box_suv_max"] <= float(sitk.GetArrayFromImage(pet).max()) + 1e-5
    assert warnings.observe_tumor({"volume_ml": 3.0, "suv_max": None}) == {"tumor_volume_ml": 3.0}


@pytest.mark.parametrize(
    ("risk", "baseline", "warns"),
    [(0.7, 0.3, True), (0.3, 0.7, True), (0.55, 0.45, False), (0.95, 0.6, False), (0.1, 0.4, False)],
)
def test_disagreement_with_the_baseline(risk, baseline, warns):
    assert codes(warnings.disagreement(risk, 0.5, baseline)) == (["baseline_disagrees"] if warns else [])


def test_mask_against_box_and_segmentation():
    network_input = made_input()
    tumor = ball((30, 30, 30), (15, 15, 15), 5)
    mask = network_input.grid.image(tumor.astype(np.uint8))
    assert codes(warnings.judge_mask(mask, tumor, network_input)) == []
    assert codes(warnings.judge_mask(mask, ball((30, 30, 30), (5, 5, 5), 4), network_input)) == [
        "segmentation_off_mask"
    ]
    mask.SetOrigin((60.0, 0.0, 0.0))
    assert codes(warnings.judge_mask(mask, None, network_input)) == ["tumor_larger_than_box"]
