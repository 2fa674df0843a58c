"""The report of a run: complete, self-contained, escaped, honest about what is missing; its tables in three forms."""

import base64
import csv
import re
from html.parser import HTMLParser

import pytest
from CHMFLPredictorLib.errors import BadInput
from CHMFLTrainingLib.report import report as run_report
from CHMFLTrainingLib.report import tables
from CHMFLTrainingLib.report.results import read_run
from CHMFLTrainingLib.report.words import limits
from CHMFLTrainingLib.statistics.metrics import METRICS
from compared_run import METHODS, PATIENTS, compare, new_run, write_cohort, written_run

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Collects tags, and whether they are closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes, self.words = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def page_of(path):
    page = Page()
    page.feed(path.read_text())
    assert not page.open
    return page


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("reported"))


@pytest.fixture(scope="module")
def run(cohort, tmp_path_factory):
    """A finished run of two repeats."""
    folder = tmp_path_factory.mktemp("run") / "run"
    assert compare(*new_run(cohort, folder, "--repeats", 2)) == 0
    return folder


@pytest.fixture(scope="module")
def report(run):
    return run_report.write_report(run)


def test_page_stands_alone(report):
    page, text = page_of(report), report.read_text()
    assert "script" not in page.tags and "link" not in page.tags and "iframe" not in page.tags
    sources = [value for _, name, value in page.attributes if name in ("src", "href")]
    assert sources and all(value.startswith("data:image/png;base64,") for value in sources)
    assert all(base64.b64decode(value.split(",")[1])[:4] == b"\x89PNG" for value in sources)
    assert not re.search(r"url\(|@import", text)
    alternatives = [value for tag, name, value in page.attributes if (tag, name) == ("img", "alt")]
    assert len(alternatives) == len(sources) and all(len(value) > 30 for value in alternatives)


def test_page_says_what_so_few_patients_cannot_show(report):
    text = page_of(report).text
    assert f"What {PATIENTS} patients cannot show" in text and "Hanley and McNeil" in text
    assert "DeLong's test" in text and "unpaired Student's t-test" in text and "Not for clinical use" in text


def test_48_patients_have_an_error_of_0_065():
    words = " ".join(" ".join(pair) for pair in limits(24, 24, 13, [0.05, 0.06, None, 0.07]))
    assert "standard error of 0.065" in words and "0.67 to 0.93" in words
    assert "in this run is 0.060: differences below 0.12" in words and "one of 0.17 would" in words
    assert "0.11 above their common AUC" in words
    assert "fewer than two" in " ".join(limits(1, 20, 3, [])[0])


def test_every_method_and_figure_is_there(report, run):
    text = page_of(report).text
    assert all(name in text for name in METHODS.split(","))
    names = {path.stem for path in (run / "figures").glob("*.png")}
    assert names == {path.stem for path in (run / "figures").glob("*.svg")}
    assert {"auc", "roc_baseline", "confusion", "decision", "learning_1", "segmentations"} <= names
    assert {"tsne_1", "relevance"} <= names
    assert not list(run.rglob("*.tmp"))


def test_tables_hold_the_statistics(report, run):
    data = read_run(run)
    rows = {row["method"]: row for row in csv.DictReader(open(run / "tables" / "overview.csv", newline=""))}
    assert set(rows) == set(METHODS.split(","))
    for method in data.finished:
        assert float(rows[method.name]["auc_pooled"]) == method.summary["pooled"]["auc"]
    for stem in ("overview", "metrics_baseline", "calibration", "segmentation"):
        assert all((run / "tables" / f"{stem}{suffix}").stat().st_size for suffix in (".csv", ".tex", ".md"))


def test_segmentation_is_compared_with_the_mask(run):
    data = read_run(run)
    method = data.named("Uptake sum")
    assert method.segmentation["patients"] == PATIENTS and not data.named("Walk").segmentation
    for name, counts in method.overlaps.items():
        told = method.found.dice[0][method.found.patients.index(name)]
        assert counts.metrics()["dice"] == pytest.approx(told, abs=1e-4)


def test_times_are_judged_where_the_cohort_has_them(report, run, cohort, tmp_path):
    from CHMFLTrainingLib.statistics.survival import auc_at, concordance

    data = read_run(run)
    method = data.named("Walk")
    patients = [data.run.patients[name] for name in method.found.patients]
    time, event = ([getattr(one, name) for one in patients] for name in ("time", "event"))
    rows = {row["method"]: row for row in csv.DictReader(open(run / "tables" / "survival.csv", newline=""))}
    assert float(rows["Walk"]["c_pooled"]) == concordance(time, event, method.found.risk[0])
    times = [float(name.removeprefix("auc_at_")) for name in rows["Walk"] if name.startswith("auc_at_")]
    seen = sorted(one.time for one in patients if one.event)
    assert times == [seen[1], seen[2], seen[4]]  # quartiles of six
    told = [float(rows["Walk"][f"auc_at_{one:g}"]) for one in times]
    assert told == [auc_at(one, time, event, method.found.risk[0]) for one in times]
    text = page_of(report).text
    assert "Time to the event" in text and "Harrell's C" in text
    without = [",".join(row.split(",")[:5]) for row in (cohort / "cohort.csv").read_text().splitlines()]
    (tmp_path / "cohort.csv").write_text("\n".join(without) + "\n")
    bare = written_run(tmp_path / "run", tmp_path / "cohort.csv", ["TLG"])
    assert "survival" not in [table.stem for table in run_report.make_tables(read_run(bare.folder))]


@pytest.mark.slow
def test_weights_of_the_loss_make_a_curve(cohort, tmp_path):
    """Fig. 5 from rows that are named by their w, listed or not."""
    names = ["CHMFL w=0", "CHMFL w=0.3", "CHMFL w=1", "TLG"]
    made = written_run(tmp_path / "run", cohort / "cohort.csv", names, epochs=3)
    data = read_run(made.folder)
    assert [one.name for one in data.methods] == names
    assert [one.method.W for one in data.methods if one.group == "Figure 5"] == [0.0, 0.3, 1.0]
    text = page_of(run_report.write_report(made.folder)).text
    assert (made.folder / "figures" / "w_sweep.png").exists() and "Eq. 1, Fig. 5" in text
    assert "CHMFL w=0.3" in text and (made.folder / "figures" / "learning_1.png").exists()


@pytest.mark.slow
def test_report_of_the_same_run_is_the_same(report, run):
    first = report.read_bytes()
    assert run_report.write_report(run).read_bytes() == first


@pytest.mark.slow
def test_failed_and_missing_jobs_are_told(cohort, tmp_path):
    folder = tmp_path / "run"
    compare(*new_run(cohort, folder, "--option", "Walk:disturb=refuse"))
    (folder / "Uptake_sum" / "repeat_0" / "fold_2" / "predictions.csv").write_text("patient_id,risk\nx,<b>\n")
    text = page_of(run_report.write_report(folder)).text
    assert "Walk : 1 of 3 jobs failed" in text and "This fold is refused. Do something else. planted_refusal" in text
    assert "Uptake sum : 1 of 3 jobs with damaged predictions" in text
    assert "only 8 of 12 patients are predicted" in text


def test_run_without_a_finished_fold_has_a_page(cohort, tmp_path):
    folder = tmp_path / "run"
    compare(*new_run(cohort, folder))
    for path in folder.glob("*/repeat_*/fold_*/predictions.csv"):
        path.unlink()
    text = page_of(run_report.write_report(folder)).text
    assert "3 of 3 jobs not finished yet" in text and "nothing yet" in text


def test_patients_that_moved_cost_the_segmentation_only(cohort, run, tmp_path):
    import shutil

    folder = shutil.copytree(run, tmp_path / "moved")
    text = (folder / "cohort.csv").read_text()
    shutil.copytree(cohort, tmp_path / "patients")
    (folder / "cohort.csv").write_text(text.replace(str(cohort), str(tmp_path / "patients")))
    shutil.rmtree(folder / "cache")
    shutil.rmtree(folder / "figures")
    (folder / "Walk" / "repeat_0" / "fold_0" / "history.csv").write_bytes(b"\xff")  # costs its curve, no more
    for path in (tmp_path / "patients").rglob("*.nii*"):
        path.write_bytes(b"no image")
    text = page_of(run_report.write_report(folder)).text
    assert "Segmentations could not be compared with the masks" in text
    assert (folder / "figures" / "auc.png").exists() and not (folder / "figures" / "segmentations.png").exists()


def test_no_run_is_bad_input(tmp_path):
    with pytest.raises(BadInput) as caught:
        run_report.write_report(tmp_path)
    assert caught.value.code == "run_missing"


def summary(auc=0.8):
    six = dict.fromkeys(("accuracy", "sensitivity", "specificity", "precision", "f1"), 0.75) | {"auc": auc}
    line = {"slope": 0.5, "intercept": None, "se": 0.1, "excess": -0.02}
    found = {"pooled": six, "fold_mean": six, "fold_sd": six, "folds_used": dict.fromkeys(six, 6)}
    interval = {name: [0.6, 0.9] for name in six}
    return {**found, "interval": interval, "patients": 48, "brier": 0.2, "calibration": line}


def row(name, p=0.03, group="Table I", paper=None):
    test = {"difference": -0.1, "se": 0.05, "low": -0.2, "high": 0.0, "p": p, "patients": 48}
    return tables.Row(name, group, summary(), paper, None, {"CHMFL": {**test, "t_test": {"auc": 0.2}}})


def test_paper_stands_beside_ours():
    paper = dict(zip(METRICS, (0.75, 0.792, 0.708, 0.731, 0.76, 0.726), strict=True))
    table = tables.metrics_table([row("HC + RF", paper=paper), row("CNLPC"), row("x", group="Table II")], "Table I")
    assert [cells[:2] for cells in table.cells[:4]] == [
        ["HC + RF", "paper"], ["HC + RF", "mean of folds"], ["HC + RF", "pooled"], ["HC + RF", "95 % interval"],
    ]  # fmt: skip
    assert table.cells[0][-1] == "0.726" and table.cells[3][-1] == "0.60 to 0.90"
    assert {cells[0] for cells in table.cells} == {"HC + RF", "CNLPC"}
    assert len(table.records) == 12 and table.records[5][:3] == ["HC + RF", "auc", 0.726]
    waiting = tables.metrics_table([tables.Row("later", "Table I", None)], "Table I")
    assert waiting.cells == [["later", "here", *["-"] * 6]]


def test_p_values_are_adjusted_and_the_reference_has_none():
    rows = [row("CHMFL", p=1.0), row("A", p=0.01), row("B", p=0.04), row("C", p=None)]
    table = tables.comparison_table(rows, "CHMFL")
    assert [(cells[0], cells[3], cells[4]) for cells in table.cells] == [
        ("A", "0.010", "0.020"), ("B", "0.040", "0.040"), ("C", "-", "-"),
    ]  # fmt: skip
    assert [cells[-1] for cells in tables.overview_table(rows, ["CHMFL"]).cells][:2] == ["-", "0.010"]


def test_latex_and_markdown_escape(tmp_path):
    table = tables.Table("t", "50 % & more", ["a_b", "p"], [["x|y", "< 0.001"], ["x|y", "{1}"]], ["a"], [[None]])
    assert r"\caption{50 \% \& more}" in tables.latex(table) and r"a\_b & p \\ \hline" in tables.latex(table)
    assert r"x|y & $<$ 0.001 \\" in tables.latex(table) and "\n & \\{1\\} \\\\" in tables.latex(table)
    assert "| x\\|y | < 0.001 |\n|  | {1} |" in tables.markdown(table)
    files = tables.write_table(table, tmp_path)
    assert [path.suffix for path in files] == [".csv", ".tex", ".md"] and files[0].read_text() == 'a\n""\n'


def test_html_is_escaped(run):
    table = tables.Table("overview", "<i>", ["<u>"], [["<script>"]], [], [])
    html = run_report.report_html(read_run(run), [table], [])
    assert "&lt;script&gt;" in html and not any(tag in html for tag in ("<script>", "<i>", "<u>"))
