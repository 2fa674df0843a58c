"""The report page: self-contained, escaped, complete, honest about what is missing."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from CHMFLPredictorLib.report.plots import LEFT, RIGHT, cohort_plot, percent
from CHMFLPredictorLib.report.report import report_html, write_report

VOID = {"meta", "img", "br", "rect", "line", "path", "circle"}
RESULT = {
    "risk": 0.62,
    "baseline_risk": 0.714,
    "risk_interval": [0.44, 0.8],
    "members": [0.51, 0.66, 0.7],
    "threshold": 0.5,
    "label": "high",
    "tumor": {
        "center_ras_mm": [58.2, -22.1, 5.0],
        "volume_ml": 220.99,
        "suv_max": 11.12,
        "suv_mean": 6.43,
        "tlg": 1420.2,
        "longest_diameter_mm": 112.48,
    },
    "box": {
        "center_ras_mm": [60.7, -24.6, 3.6],
        "size_mm": [192, 192, 240],
        "found_by": "automatic",
        "candidates": [
            {"center_ras_mm": [60.7, -24.6, 3.6], "volume_ml": 163.0, "suv_max": 13.6},
            {"center_ras_mm": [-80.0, 11.0, 120.0], "volume_ml": 17.4, "suv_max": 44.1},
        ],
    },
    "model": {"name": "compact", "version": "1.2.3", "sha256": "ab" * 32},
    "device": "CPU, OpenVINO 2026.1, 2 threads",
    "timings_s": {"read": 1.24, "to_risk": 2.5},
    "warnings": [{"code": "nothing_segmented", "text": "No tumor was segmented."}],
    "software": {"torch": "2.13.0"},
    "inputs": {"pet": {"path": "/data/patient 7/PET.nii.gz"}, "ct": {"path": "/data/patient 7/CT.nii.gz"}},
}
CARD = {
    "name": "compact",
    "version": "1.2.3",
    "method": "CHMFL",
    "training": {
        "cohort": "Soft-tissue-Sarcoma",
        "citation": "Vallières M, 2015",
        "patients": 48,
        "folds": 6,
        "epochs": 20,
    },
    "metrics": {
        "out_of_fold": {"auc": 0.735, "auc_ci": [0.591, 0.872], "accuracy": 0.71},
        "baseline": {"auc": 0.802, "auc_ci": [0.671, 0.913], "accuracy": 0.73},
    },
    "threshold": {"value": 0.5, "chosen_by": "fixed beforehand"},
    "baseline": {"name": "log total uptake", "feature": "ln of the sum"},
    "out_of_fold": {"risk": [0.1, 0.1, 0.1, 0.35, 0.6, 0.9], "dm": [0, 0, 0, 1, 0, 1]},
    "license": "Apache-2.0",
    "weights_sha256": "ab" * 32,
}


class Page(HTMLParser):
    """Checks that every element is closed in order, and keeps elements and visible text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.words = [], [], []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def picture():
    from PIL import Image

    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8))


def test_every_number_is_there_with_its_unit(picture):
    text = Page(report_html(RESULT, CARD, {"slices": picture})).text
    risk = ["62%", "44% to 80%", "71%, agrees", "50%", "high: at or above", "3, 51% to 70%"]
    tumor = ["221 ml", "11.1 g/ml", "6.4 g/ml", "1420 SUV ml", "112 mm"]
    box = ["R 61 mm, P 25 mm, S 4 mm", "192 × 192 × 240 mm", "automatic search", "patient 7/PET.nii.gz"]
    scores = ["0.73 (0.59 to 0.87)", "0.80 (0.67 to 0.91)", "0.71", "lower than that of the simple baseline"]
    model = ["compact 1.2.3", "CHMFL", "48 patients", "Apache-2.0", "fixed beforehand", "log total uptake", "ab" * 32]
    run = ["OpenVINO 2026.1", "to risk 2.5 s", "torch 2.13.0", "Vallières M, 2015"]
    assert [value for value in risk + tumor + box + scores + model + run if value not in text] == []
    for place in ("R 58 mm, P 22 mm, S 5 mm", "L 80 mm, A 11 mm, S 120 mm17.4 ml, SUVmax 44.1"):
        assert place.replace(" ", "") in text.replace(" ", "")
    assert "not available" not in text


def test_an_image_from_a_scene_has_its_name():
    result = {**RESULT, "inputs": {"pet": {"name": "7: PT <WB>"}, "ct": {"path": "/data/patient 7/CT.nii.gz"}}}
    text = Page(report_html(result, CARD, {})).text
    assert "7: PT <WB>" in text and "patient 7/CT.nii.gz" in text


def test_says_at_the_top_and_on_every_printed_page_what_it_is_not(picture):
    html = report_html(RESULT, CARD, {"slices": picture})
    body = Page(html).text
    assert body.index("Not for clinical use") < body.index("62%", body.index("Not for clinical use"))
    assert html.index("Not for clinical use</strong>") < html.index("<h1>")
    assert re.search(r"@page \{[^@]*@bottom-left \{ content: \"Not for clinical use\"", html)


def test_self_contained_and_accessible(picture):
    html = report_html(RESULT, CARD, {"slices": picture, "relevance": picture, "other": picture})
    page = Page(html)
    assert not page.all("script") and not page.all("link") and not page.all("iframe")
    sources = [a[key] for _, a in page.elements for key in ("src", "href", "xlink:href", "action") if key in a]
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not re.search(r"url\(|@import", html)
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert page.all("html") == [{"lang": "en"}] and len(page.all("title")) >= 1 and len(page.all("h1")) == 1
    images = page.all("img")
    assert len(images) == 3 and all(image["alt"] for image in images)
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in page.all("svg")) and len(page.all("svg")) == 2


def test_picture_in_the_page_is_the_picture(picture):
    from PIL import Image

    source = Page(report_html(RESULT, CARD, {"slices": picture})).all("img")[0]["src"]
    with Image.open(io.BytesIO(base64.b64decode(source.split(",", 1)[1]))) as read:
        assert np.array_equal(np.asarray(read), np.asarray(picture))


@pytest.mark.parametrize("nothing", [{}, None, "blank"])
def test_missing_values_are_named_missing(nothing):
    result = dict.fromkeys(RESULT, nothing) if nothing is None else {}
    card = dict.fromkeys(CARD) if nothing is None else {}
    if nothing == "blank":
        result = {"tumor": dict.fromkeys(RESULT["tumor"]), "risk": float("nan"), "box": {}, "warnings": []}
    page = Page(report_html(result, card, {}))
    assert page.text.count("not available") > 15
    assert "None" not in page.text and "nan" not in page.text.lower().split()
    assert not page.all("svg") and not page.all("img")


def test_text_of_others_is_escaped():
    evil = "<script>alert(1)</script>&\"'ü漢"
    result = {
        **RESULT,
        "label": evil,
        "device": evil,
        "warnings": [{"code": evil, "text": evil, "hint": evil}],
        "software": {evil: evil},
        "timings_s": {evil: 1.0},
        "inputs": {"pet": {"path": f"/a/{evil}"}},
        "model": {"name": evil, "version": evil, "sha256": evil},
        "box": {**RESULT["box"], "found_by": evil},
    }
    card = {**CARD, "name": evil, "method": evil, "license": evil, "training": dict.fromkeys(CARD["training"], evil),
            "baseline": {"name": evil, "feature": evil}, "threshold": {"value": 0.5, "chosen_by": evil}}  # fmt: skip
    html = report_html(result, card, {})
    page = Page(html)
    assert "<script" not in html and not page.all("script")
    assert page.text.count(evil) >= 12, "shown as it was written"


def test_warnings_say_what_to_do():
    warnings = [
        {"code": "nothing_segmented", "text": "Nothing."},
        {"code": "pet_voxel_mm_outside_range", "text": "Coarse."},
        {"code": "never_heard_of", "text": "New.", "hint": "Ask."},
    ]
    text = Page(report_html({**RESULT, "warnings": warnings}, CARD, {})).text
    assert (
        "3 warnings" in text
        and "by a point or a mask" in text
        and "not tested on such input" in text
        and "Ask." in text
    )
    calm = Page(report_html({**RESULT, "warnings": []}, {**CARD, "input_ranges": {"a": [0, 1]}}, {})).text
    assert "No warnings: the input lies within" in calm


def test_disagreement_is_said_at_the_risk():
    warned = {**RESULT, "baseline_risk": 0.1, "warnings": [{"code": "baseline_disagrees", "text": "They disagree."}]}
    assert "10%, disagrees" in Page(report_html(warned, CARD, {})).text
    near = {**RESULT, "risk": 0.55, "baseline_risk": 0.45, "warnings": []}
    assert "45%, other side of the threshold, but near" in Page(report_html(near, CARD, {})).text


def test_cohort_plot_puts_every_patient_at_its_risk():
    random = np.random.default_rng(4)
    risks, dm = random.uniform(size=48), np.repeat([0, 1], 24)
    plot = Page(cohort_plot(0.62, [0.44, 0.8], 0.5, risks.tolist(), dm.tolist()))
    width = RIGHT - LEFT
    circles = plot.all("circle")[:-1]  # the last one stands beside the lane's name
    triangles = [mark for mark in plot.all("path") if mark["d"].startswith("M")][:-1]
    found = sorted((float(c["cx"]) - LEFT) / width for c in circles)
    assert found == pytest.approx(sorted(risks[dm == 0]), abs=1e-3)
    found = sorted((float(re.match(r"M([\d.]+)", t["d"])[1]) - LEFT) / width for t in triangles)
    assert found == pytest.approx(sorted(risks[dm == 1]), abs=1e-3)
    places = [(float(c["cx"]), float(c["cy"])) for c in circles]
    assert len(set(places)) == 24, "no mark covers another"
    patient = next(line for line in plot.all("line") if line["stroke-width"] == "3")
    assert (float(patient["x1"]) - LEFT) / width == pytest.approx(0.62, abs=1e-3)
    above = [int((risks[dm == outcome] >= 0.62).sum()) for outcome in (1, 0)]
    assert f"{above[0]} with and {above[1]} without." in plot.text
    assert cohort_plot(0.5, None, None, [], []) == ""


def test_equal_risks_stand_beside_each_other():
    plot = Page(cohort_plot(None, None, None, [0.3] * 24, [0] * 24))
    heights = [float(c["cy"]) for c in plot.all("circle")[:-1]]
    assert len(set(heights)) == 24 and max(heights) - min(heights) < 80


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0%"), (0.004, "<1%"), (0.126, "13%"), (0.994, ">99%"), (1.0, "100%"), (None, "not available")],
)
def test_percent(value, text):
    assert percent(value) == text


def test_written_whole_or_not_at_all(tmp_path, picture, monkeypatch):
    path = tmp_path / "Bericht ü.html"
    assert write_report(path, RESULT, CARD, {"slices": picture}) == path
    before = path.read_text(encoding="utf-8")
    assert before.startswith("<!DOCTYPE html>") and before.rstrip().endswith("</html>")

    class Broken:
        width = height = 1

        def save(self, *_):
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_report(path, {}, {}, {"slices": Broken()})
    assert path.read_text(encoding="utf-8") == before and [p.name for p in tmp_path.iterdir()] == [path.name]
