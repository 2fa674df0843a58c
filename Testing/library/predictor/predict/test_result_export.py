"""One result as CSV and JSON, and the small plot of the panel."""

import csv
import json
import xml.etree.ElementTree as ET

import pytest
from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.predict.export import export_result
from CHMFLPredictorLib.predict.output_folder import refuse_other_patient
from CHMFLPredictorLib.report.plots import STRIP_HEIGHT, STRIP_WIDTH, cohort_strip

RESULT = {
    "risk": 0.41, "risk_interval": [0.3, 0.5], "members": [0.4, 0.42], "baseline_risk": 0.6, "threshold": 0.5,
    "label": "low",
    "tumor": {"volume_ml": 123.4567, "suv_max": 8.0, "suv_mean": 3.0, "tlg": 370.0, "longest_diameter_mm": 88.0},
    "box": {"center_ras_mm": [1.0, 2.0, 3.0], "size_mm": [192.0, 192.0, 240.0], "found_by": "automatic"},
    "warnings": [{"code": "baseline_disagrees", "text": "They disagree."}],
    "model": {"name": "m", "version": "1", "sha256": "0" * 64},
    "timings_s": {"total": 7.5},
}  # fmt: skip


def test_json_is_the_result_itself(tmp_path):
    assert json.loads(export_result(RESULT, tmp_path / "a.json").read_text()) == RESULT


def test_csv_is_a_row_of_a_batch(tmp_path):
    path = export_result(RESULT, tmp_path / "a.CSV", "Patient; 1")
    with open(path, newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 1
    assert rows[0]["patient_id"] == "Patient; 1" and float(rows[0]["risk"]) == 0.41
    assert float(rows[0]["volume_ml"]) == 123.457 and rows[0]["warnings"] == "baseline_disagrees"


def test_other_formats_and_folders_are_refused(tmp_path):
    with pytest.raises(BadInput) as refused:
        export_result(RESULT, tmp_path / "a.xlsx")
    assert refused.value.code == "export_format"
    with pytest.raises(BadInput) as refused:
        export_result(RESULT, tmp_path / "absent" / "a.csv")
    assert refused.value.code == "output_unwritable"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("risk", [0.0, 0.004, 0.5, 1.0, None])
def test_plot_is_drawn_inside_its_frame(risk):
    svg = cohort_strip(risk, [0.1, 0.9] if risk is not None else None, 0.5, [0.0, 0.2, 0.7, 1.0], [0, 0, 1, 1])
    root = ET.fromstring(svg)
    texts = [element for element in root.iter() if element.tag.endswith("text")]
    assert {"DM (2)", "no DM (2)", "0%", "100%"} <= {element.text for element in texts}
    assert sum("this patient" in element.text for element in texts) == (risk is not None)
    for element in texts:
        half = 3.4 * len(element.text) if element.get("text-anchor") == "middle" else 0
        assert half <= float(element.get("x")) <= STRIP_WIDTH - half and 0 < float(element.get("y")) < STRIP_HEIGHT
    marks = [element.tag.split("}")[1] for element in root]
    assert marks.count("circle") == 2 and marks.count("path") == 2  # two shapes: color is not the only carrier


def test_plot_needs_the_cohort():
    assert cohort_strip(0.5, [0.4, 0.6], 0.5, None, None) == ""


def test_a_folder_of_another_patient_is_refused(tmp_path):
    first = {"pet": {"path": "/a/PET.nii"}, "ct": {"path": "/a/CT.nii"}}
    refuse_other_patient(first, tmp_path)
    (tmp_path / "result.json").write_text(json.dumps({"inputs": first}))
    refuse_other_patient(first, tmp_path)
    refuse_other_patient({**first, "ct": {"path": "/a/CT2.nii"}}, tmp_path)
    with pytest.raises(BadInput) as caught:
        refuse_other_patient({"pet": {"name": "PET b"}, "ct": {"name": "CT b"}}, tmp_path)
    assert caught.value.code == "output_of_another" and "/a/CT.nii" in caught.value.message
    (tmp_path / "result.json").write_text("not JSON")
    refuse_other_patient({"pet": {"name": "PET b"}, "ct": {"name": "CT b"}}, tmp_path)
