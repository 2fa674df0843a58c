"""The figures: drawn without a screen, the same each time, readable when small, told apart without colors."""

import numpy as np
import pytest
from CHMFLTrainingLib.report import figures, images
from CHMFLTrainingLib.statistics.metrics import summarize
from made_risks import made
from PIL import Image


def texts(figure):
    import matplotlib.text

    return [one for one in figure.findobj(matplotlib.text.Text) if one.get_text().strip() and one.get_visible()]


def each_figure():
    """One of each kind."""
    methods = {f"Method {number} (pretrained)": made(seed=number) for number in range(8)}
    first = methods["Method 0 (pretrained)"]
    summaries = {w: summarize(found, 50) for w, found in zip((0.0, 0.5, 1.0), methods.values(), strict=False)}
    counts = summaries[0.0]["confusion"]
    pairs = [[("CHMFL + ResNet34 (pretrained): here", counts), ("paper", counts)], [("x", counts)]]
    history = [
        {"epoch": str(e), "loss": str(1 / e), "validation_loss": str(1.2 / e) if e > 1 else ""} for e in range(1, 9)
    ]
    rows = [
        {"name": "A", "auc": 0.8, "interval": [0.7, 0.9], "paper": 0.87},
        {"name": "B", "auc": 0.6, "interval": [0.3, 0.7], "paper": None},
    ]
    box = np.zeros((20, 24, 16))
    mask = box.copy()
    mask[5:12, 6:15, 4:10] = 1
    patient = images.overlay_patient("STS_001", box + 3, box, mask, {"V-net": mask, "CFL": box}, {"V-net": 1.0})
    features = np.random.default_rng(0).normal(size=(24, 5))
    return {
        "roc": figures.roc_figure(methods, {"Method 0 (pretrained)": (0.6, 0.9)}),
        "forest": figures.forest_figure(rows),
        "confusion": figures.confusion_figure(pairs),
        "reliability": figures.reliability_figure(first, "CHMFL"),
        "decision": figures.decision_figure(methods),
        "sweep": figures.sweep_figure(summaries),
        "learning": figures.learning_figure({name: {"fold 0": history} for name in ("CHMFL", "CFL", "3DMCL")}),
        "tsne": figures.tsne_figure({"CHMFL, fold 0": (features, np.arange(24) % 2, np.arange(24) < 4)}),
        "overlay": images.patients_figure([patient, patient]),
    }


@pytest.fixture(scope="module")
def drawn():
    return each_figure()


def test_every_figure_is_written_twice_and_not_empty(drawn, tmp_path):
    for name, figure in drawn.items():
        png, svg = figures.save(figure, tmp_path / "figures" / f"{name}_0.25")
        assert (png.name, svg.name) == (f"{name}_0.25.png", f"{name}_0.25.svg")
        pixels = np.asarray(Image.open(png).convert("L"))
        assert pixels.shape[1] == pytest.approx(800, abs=2) and pixels.std() > 5
        text = svg.read_text()
        assert text.startswith("<?xml") and "<script" not in text and "<dc:date>" not in text


def test_words_are_legible_at_400_pixels(drawn):
    """A point is 400 / (72 * width) pixels; below ten pixels letters run together."""
    for name, figure in drawn.items():
        assert figure.get_size_inches()[0] == figures.WIDTH, name
        least = min(text.get_fontsize() for text in texts(figure))
        assert least * 400 / (72 * figures.WIDTH) > 10, name


def test_no_word_leaves_the_picture(drawn, tmp_path):
    for name, figure in drawn.items():
        figures.save(figure, tmp_path / name)
        for text in texts(figure):
            box = text.get_window_extent()
            inside = box.x0 > -1 and box.y0 > -1 and box.x1 < figure.bbox.width + 1 and box.y1 < figure.bbox.height + 1
            assert inside or not text.axes or not text.axes.get_visible(), (name, text.get_text(), box)


def test_the_same_figure_is_the_same_file(drawn, tmp_path):
    first = [path.read_bytes() for path in figures.save(drawn["decision"], tmp_path / "a")]
    methods = {f"Method {number} (pretrained)": made(seed=number) for number in range(8)}
    again = [path.read_bytes() for path in figures.save(figures.decision_figure(methods), tmp_path / "b")]
    assert first == again


def test_lines_and_outcomes_differ_without_color(drawn):
    styles = [figures.line_style(index) for index in range(figures.MOST_LINES)]
    assert len({(str(style["linestyle"]), style["marker"]) for style in styles}) == figures.MOST_LINES
    assert figures.EVENT_STYLE["marker"] != figures.OTHER_STYLE["marker"]
    assert images.TRUTH["linestyles"] != images.FOUND["linestyles"]
    lines = [line for line in drawn["roc"].axes[0].lines if not line.get_label().startswith("_")]
    assert len({(str(line.get_linestyle()), str(line._dash_pattern), line.get_marker()) for line in lines}) == 8


def test_confusion_shows_its_counts(drawn):
    counts = {"tp": 21, "fp": 4, "fn": 3, "tn": 20}
    words = [text.get_text() for text in texts(figures.confusion_figure([[("x", counts)]]))]
    assert {"21\n88%", "4\n17%", "3\n12%", "20\n83%"} <= set(words)


def test_overlay_shows_the_largest_slice_with_the_right_on_the_left():
    ct, truth = np.zeros((10, 8, 6)), np.zeros((10, 8, 6))
    ct[1, 6, 3] = 100  # far to the right, far to the back
    truth[4:6, 3:5, 3] = 1
    truth[4, 3, 1] = 1
    patient = images.overlay_patient("P", ct, ct, truth, {"A": truth}, {"A": 1.0})
    assert [tile.title for tile in patient.tiles] == ["CT", "PET", "delineated", "A\nDice 1.00"]
    assert patient.tiles[0].image.shape == (8, 10) and patient.tiles[0].image[6, 1] == 100
    assert patient.tiles[3].found.sum() == 4


def test_odd_predictions_are_drawn():
    """One risk for all, and empty masks: nothing to fit, but a picture."""
    found = made(seed=1)
    flat = found.part(found.patients, found.repeats)
    flat.risk[:] = 0.5
    figures.reliability_figure(flat, "flat")
    figures.decision_figure({"flat": flat})
    empty = np.zeros((6, 6, 6))
    images.patients_figure([images.overlay_patient("P", empty, empty, empty, {"A": empty}, {})])


def test_margin_is_cut_evenly():
    volume = np.arange(10**3).reshape(10, 10, 10)
    assert (images.without_margin(volume, (4, 6, 10)) == volume[3:7, 2:8]).all()


def test_maps_of_other_voxels_are_shown_in_the_tumors_slice():
    """One box in two resolutions: both maps in the slice where the tumor is largest."""
    from types import SimpleNamespace

    found = []
    for name, fine in (("A", 1), ("B", 2)):
        truth, heat = np.zeros((2, 8 * fine, 8 * fine, 8 * fine))
        truth[2 * fine : 6 * fine, 2 * fine : 6 * fine, 5 * fine : 6 * fine] = 1
        heat[..., 5 * fine : 6 * fine] = 0.75
        found.append((name, heat, truth, SimpleNamespace(suv=np.zeros_like(heat), hu=heat * 100)))
    patient = images.relevance_patient("P", found)
    assert [tile.title for tile in patient.tiles] == ["CT", "PET", "A", "B"]
    assert all(tile.heat.min() == 0.75 and tile.truth.any() for tile in patient.tiles[2:])
