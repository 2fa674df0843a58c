"""The command ``reproduce``: how long it will take, the paper's rows, and its figures beside the run's."""

import re
import shutil

import pytest
from CHMFLTrainingLib.commands import cli
from CHMFLTrainingLib.report.reproduction import PAIRS, write_reproduction
from CHMFLTrainingLib.run.forecast import Forecast, in_words, span
from CHMFLTrainingLib.run.run import Comparison
from compared_run import PATIENTS, write_cohort
from tiny_presets import tiny_presets


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The three rows of the weight that are not CHMFL's, and what stands beside them, on made patients."""
    folder = tmp_path_factory.mktemp("reproduced")
    options = [
        "--cohort",
        write_cohort(folder) / "cohort.csv",
        "--output",
        folder / "run",
        "--preset",
        "smoke",
        "--jobs",
        0,
    ]
    options += ["--device", "cpu", "--threads", 1, "--tables", "Figure 5,CHMFL", "--option", "epochs=1", "--seed", 4]
    said = []

    class Listening:
        machine_reads = True

        def say(self, event):
            said.append(event)

        def check(self):
            """Nobody cancels."""

    with tiny_presets():
        arguments = cli.make_parser().parse_args(["reproduce", *map(str, options)])
        arguments.run(arguments, Listening())
    return folder / "run", said


def test_it_says_beforehand_how_long_it_will_take(run):
    stages = [event.get("stage", event["event"]) for event in run[1]]
    (text,) = [event["text"] for event in run[1] if event.get("stage") == "forecast"]
    assert re.match(r"About .+ on this device, 1 job at once; CHMFL.* takes the longest, .+ a fold\.", text)
    assert text.endswith("Not counted, minutes at most: Volume + SUVmax, Uptake.")
    assert stages.index("forecast") < stages.index("train")


def test_the_papers_figures_stand_beside_the_runs(run):
    text = (run[0] / "reproduction.md").read_text()
    assert f"{PATIENTS} patients" in text and "preset `smoke`" in text
    (row,) = [line for line in text.splitlines() if line.startswith("| Table I | CHMFL |")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[2] == "0.873" and 0 <= float(cells[3]) <= 1 and cells[6] == "0.854"
    assert cells[10] == "6 of 6" and float(cells[11]) >= 0
    assert "CHMFL less CHMFL w=0 " in text and "pooled voxels" in text


def test_a_row_that_is_missing_is_named(run, tmp_path):
    shutil.copytree(run[0], tmp_path / "run")
    for path in (tmp_path / "run" / "CHMFL" / "repeat_0").glob("fold_[45]/predictions.csv"):
        path.unlink()
    text = write_reproduction(tmp_path / "run").read_text()
    assert "- CHMFL: 2 of 6 folds are missing." in text and "4 of 6" in text


def test_the_sweep_has_chmfl_at_the_papers_weight(run):
    opened = Comparison(run[0])
    assert "CHMFL w=0.5" not in opened.plan.methods and (run[0] / "figures" / "w_sweep.png").exists()


def test_pairs_differ_in_nothing_else():
    """Same box, recipe and loss; the configuration of the network tells the rest."""
    from CHMFLTrainingLib.methods.registry import find
    from CHMFLTrainingLib.training.recipes import RECIPES, Recipe
    from CHMFLTrainingLib.training.settings import Settings

    shared = [field for field in vars(Recipe()) if field != "patience"]
    for preset in RECIPES:
        for pair in PAIRS:
            rows = [find(name)[0](Settings(preset)) for name in (pair.one, pair.other)]
            recipes = [[getattr(row.recipe, name) for name in shared] for row in rows]
            assert recipes[0] == recipes[1], (preset, pair)
            boxes = [getattr(row, "preprocessing", None) or row.preset.preprocessing for row in rows]
            assert boxes[0] == boxes[1], (preset, pair)


def test_the_forecast_in_words():
    found = [Forecast("CHMFL", 600.0, 6), Forecast("V-net", 60.0, 6), Forecast("TLG", None, 6)]
    text = in_words(found, 2)
    assert text.startswith(
        "About 33 minutes on this device, 2 jobs at once; CHMFL takes the longest, 10 minutes a fold."
    )
    assert text.endswith("at most: TLG.")
    assert [span(seconds) for seconds in (0.2, 90, 7000, 90000, 400000)] == [
        "2 seconds",
        "90 seconds",
        "117 minutes",
        "25 hours",
        "4.6 days",
    ]
