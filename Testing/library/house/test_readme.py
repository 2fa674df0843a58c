"""The READMEs keep what they promise: links, anchors, files, options, commands, snippets, and the list of messages."""

import json
import os
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import troubleshooting
from CHMFLPredictorLib.events import STAGES
from compared_run import write_cohort
from conftest import REPOSITORY
from test_house_rules import FLOORS

MODEL = "CHMFLPredictor/Resources/Models/sts-dm-compact"

PAPERS = (
    "README.md", "CHMFLPredictor/README.md", "CHMFLTraining/README.md", "Resources/Reproduction/README.md",
    f"{MODEL}/README.md", "CHMFLPredictor/Resources/Models/sts-dm-chmfl/README.md", "Testing/slicer_standin/README.md",
    ".github/CONTRIBUTING.md", ".github/CHANGELOG.md", ".github/pull_request_template.md",
)  # fmt: skip
SOURCES = [path for part in ("CHMFLPredictor", "CHMFLTraining") for path in (REPOSITORY / part).rglob("*.py")]
HOMEPAGE = "https://github.com/SlicerCHMFL/SlicerCHMFL"
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)")
LINK_IN_CODE = re.compile(rf"(?:\{{link\}}|{re.escape(HOMEPAGE)})(?:/blob/main/([\w./-]+))?#([\w-]+)")
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
IN_REPOSITORY = re.compile(r"(?<![\w/.-])((?:CHMFLPredictor|CHMFLTraining|Testing|\.github|\.ci)/[\w./*-]*\w)")
RAISED = re.compile(r'\b(?:BadInput|ChmflError|MissingModel|MissingDependency|OutOfMemory|warning)\(\s*"([a-z_0-9]+)"')
FOREIGN_OPTIONS = {"--no-main-window", "--testing", "--python-script", "--nthreads"}  # Slicer's and Dask's


@cache
def text_of(name):
    return (REPOSITORY / name).read_text(encoding="utf-8")


def anchors_of(name):
    """What GitHub makes of a page's headings."""
    prose = FENCED.sub("", text_of(name))
    headings = re.findall(r"^#+ +(.*)$", prose, re.M)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def snippets(name):
    return [code for language, code in FENCED.findall(text_of(name)) if language == "python"]


@cache
def messages():
    return troubleshooting.written()


# Messages --------------------------------------------------------------------------------------------------------


def test_the_list_of_messages_is_that_of_the_sources():
    assert messages() in text_of("CHMFLPredictor/README.md"), "python3 Testing/troubleshooting.py"


def test_every_message_has_an_entry():
    listed = set(re.findall(r"^\| `([a-z_0-9]+)` \|", messages(), re.M))
    raised = {code for path in SOURCES for code in RAISED.findall(path.read_text(encoding="utf-8"))}
    assert len(raised) > 100  # the search finds what it looks for
    assert raised <= listed
    assert {"dicom_no_pet_series", "tumor_volume_ml_outside_range", "killed", "wrong_modality", "canceled"} <= listed


def test_a_message_is_told_in_its_own_words():
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*)$", messages(), re.M))
    assert rows["empty_mask"] == "The tumor segmentation is empty. | Draw the tumor, or choose another segment. |"
    assert rows["not_found"].startswith("The … '…' does not exist.")


# Links -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAPERS)
def test_what_it_links_to_exists(name):
    missing = []
    for target, anchor in LINK.findall(text_of(name)):
        if target.startswith("http"):
            continue
        path = Path(os.path.normpath((REPOSITORY / name).parent / target)) if target else REPOSITORY / name
        if not path.exists():
            missing.append(target)
        elif anchor and anchor not in anchors_of(path.relative_to(REPOSITORY).as_posix()):
            missing.append(f"{target}#{anchor}")
    assert not missing


def test_no_source_names_a_file_that_is_gone():
    known = {path.name for path in (REPOSITORY / "Testing").rglob("*.py")} | {path.name for path in SOURCES}
    known.add("statistics.py")  # of anybody's, in Slicer's working folder
    for path in SOURCES:
        gone = set(re.findall(r"(?<![\w.*])\w+\.py\b", path.read_text(encoding="utf-8"))) - known
        assert not gone, f"{path.name} names {gone}"


@pytest.mark.parametrize("name", PAPERS)
def test_every_file_that_it_names_exists(name):
    assert not {found for found in IN_REPOSITORY.findall(text_of(name)) if not any(REPOSITORY.glob(found))}


def test_links_in_the_code_and_forms_lead_to_headings():
    forms = list((REPOSITORY / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
    found = [link for path in (*SOURCES, *forms) for link in LINK_IN_CODE.findall(path.read_text(encoding="utf-8"))]
    assert len(found) >= 5
    assert not [(page, anchor) for page, anchor in found if anchor not in anchors_of(page or "README.md")]


def test_every_paper_is_read_here():
    known = {REPOSITORY / name for name in PAPERS}
    papers = {path for path in REPOSITORY.rglob("README.md") if not {".venv", "out", "build"} & {*path.parts}}
    assert papers <= known
    assert set((REPOSITORY / ".github").glob("*.md")) <= known


# Facts -----------------------------------------------------------------------------------------------------------


def test_the_drawn_house_is_the_one_that_the_rules_hold():
    drawing = next(code for _, code in FENCED.findall(text_of(".github/CONTRIBUTING.md")) if "stands on" in code)
    lines = drawing[: drawing.index("───")].splitlines()[2:]
    middle = drawing.splitlines()[0].index("CHMFLTrainingLib")
    for library, column in (("CHMFLPredictorLib", slice(middle)), ("CHMFLTrainingLib", slice(middle, None))):
        drawn = [line[column].split()[0] for line in lines if line[column].strip()]
        assert drawn == [room or "ground" for room in reversed(FLOORS[library])]


def test_every_dependency_has_its_reason():
    reasons = re.search(r"^## Dependencies$(.*?)^## ", text_of(".github/CONTRIBUTING.md"), re.M | re.S)[1]
    listed = {name for row in re.findall(r"^\| ([\w, -]+) \|", reasons, re.M) for name in row.split(", ")}
    files = [REPOSITORY / "Testing" / "requirements.txt", *REPOSITORY.glob("CHMFL*/Resources/requirements-*.txt")]
    needed = {name for path in files for name in re.findall(r"^([A-Za-z][\w-]*)", path.read_text("utf-8"), re.M)}
    assert len(files) == 3
    assert needed <= listed


def test_the_model_is_as_good_as_its_card_says():
    card = json.loads((REPOSITORY / MODEL / "model.json").read_text(encoding="utf-8"))
    metrics = card["metrics"]
    found = [metrics["out_of_fold"], metrics["baseline"], *metrics["compared"].values()]
    for one in found:
        low, high = one["auc_ci"]
        row = f"{one['auc']:.3f} ({low:.2f} to {high:.2f}) | {one['fold_auc']:.3f} | {one['accuracy']:.3f} | "
        assert f"{row}{one['brier']:.3f} |" in text_of(f"{MODEL}/README.md")
    told = re.findall(r"([01]\.\d{3} \([\d.]+ to [\d.]+\)) \|$", text_of("README.md"), re.M)
    assert len(told) == 5
    assert all(f"| {one} |" in text_of(f"{MODEL}/README.md") for one in told)


def test_the_workflow_calls_what_the_house_calls_and_the_form_asks_for_the_log():
    yaml = pytest.importorskip("yaml")
    github = REPOSITORY / ".github"
    job = yaml.safe_load((github / "workflows" / "test.yml").read_text("utf-8"))["jobs"]["test"]
    assert {"ubuntu-latest", "windows-latest"} <= set(job["strategy"]["matrix"]["os"])
    called = job["steps"][-1]["run"]
    assert (REPOSITORY / called).is_file()
    fields = yaml.safe_load((github / "ISSUE_TEMPLATE" / "problem.yml").read_text("utf-8"))["body"]
    asked = {one["attributes"].get("label"): one.get("validations", {}).get("required") for one in fields}
    panel = (REPOSITORY / "CHMFLPredictor" / "Resources" / "UI" / "CHMFLPredictor.ui").read_text("utf-8")
    assert asked["Copy log"]
    assert "<string>Copy log</string>" in panel


def test_the_stages_of_a_prediction_are_those_told():
    told = re.search(r"^Stages: (.*?)\. ", text_of("CHMFLPredictor/README.md"), re.M)[1]
    assert re.findall(r"`(\w+)`", told) == list(STAGES)


# Commands --------------------------------------------------------------------------------------------------------


def commands():
    """Each line for a shell in the papers, with the folder that the lines before it lead to; a chapter begins in that
    of the checkout.
    """
    for name in PAPERS:
        for chapter in re.split(r"^## ", text_of(name), flags=re.M):
            folder = REPOSITORY
            for line in shell_lines(chapter):
                if line.startswith("cd "):
                    folder = Path(os.path.normpath(folder / line.removeprefix("cd ").strip()))
                elif re.match(r"(\S*python3?)\s", line):
                    yield pytest.param(folder, line, id=f"{name}: {line[:60]}")


def shell_lines(text):
    """The lines of its fenced blocks without a language, continued ones as one."""
    return "".join(code for language, code in FENCED.findall(text) if not language).replace("\\\n", " ").splitlines()


@pytest.mark.parametrize(("folder", "line"), commands())
def test_a_command_is_understood_where_it_is_typed(folder, line):
    program, *words = shlex.split(line.replace("[options]", "").replace("[", "").replace("]", ""))
    assert program == "python3" or Path(os.path.normpath(folder / program)) == REPOSITORY / ".venv" / "bin" / "python"
    if words[0] == "-m":
        assert (folder / words[1] / "__main__.py").is_file(), f"{words[1]} is not in {folder.name}"
        parser_of(words[1]).parse_args(words[2:])
        return
    script, *arguments = words
    assert (folder / script).is_file()
    if script == "Testing/run.py":
        understood_by_run(*arguments)
    elif script == "Testing/golden.py":
        import golden

        golden._parse(arguments)


def parser_of(library):
    if library == "CHMFLPredictorLib":
        from CHMFLPredictorLib.commands.options import make_parser
    else:
        from CHMFLTrainingLib.commands.cli import make_parser
    return make_parser()


def understood_by_run(command, *arguments):
    import predict_sample
    import run

    assert command in ("test", *run.SCRIPTS)
    if command == "predict":
        predict_sample._parse(list(arguments))
    elif command == "test":
        assert all(one == "--fast" or (REPOSITORY / one).exists() for one in arguments)
    else:
        assert arguments in ((), ("train",))


def test_commands_in_the_text_are_those_of_run():
    for name in PAPERS:
        for script, arguments in re.findall(r"`python3 (Testing/[\w.]+)((?: [\w.\-/]+)*)`", text_of(name)):
            assert (REPOSITORY / script).is_file()
            if script == "Testing/run.py" and arguments:
                understood_by_run(*arguments.split())


def test_every_option_that_a_paper_names_is_one():
    known = set(FOREIGN_OPTIONS)
    for parser in (parser_of("CHMFLPredictorLib"), parser_of("CHMFLTrainingLib")):
        known |= options_of(parser)
    for script in ("run.py", "benchmark.py", "benchmark_train.py", "troubleshooting.py", "golden.py"):
        known |= set(re.findall(r"--[a-z][\w-]+", (REPOSITORY / "Testing" / script).read_text(encoding="utf-8")))
    for name in PAPERS:
        prose = text_of(name).replace(messages(), "")
        assert set(re.findall(r"(?<![\w-])--[a-z][\w-]+", prose)) <= known, name


def options_of(parser):
    """Options of a parser and of its commands."""
    found = set()
    for action in parser._actions:
        found |= set(action.option_strings)
        if isinstance(action.choices, dict):
            found |= set().union(*map(options_of, action.choices.values()))
    return found


# Snippets --------------------------------------------------------------------------------------------------------


def snippet(name, word):
    """The one snippet of a paper that holds a word; each is run by a test of its own below."""
    found = [code for code in snippets(name) if word in code]
    assert len(found) == 1
    return found[0]


def test_every_snippet_is_run_by_a_test():
    run_here = Path(__file__).read_text(encoding="utf-8")
    asked = re.findall(r'snippet\(\s*"([^"]+)", "([^"]+)"\s*\)', run_here)
    written = [(name, code) for name in PAPERS for code in snippets(name)]
    assert len(written) >= 5
    for name, code in written:
        assert any(name == paper and word in code for paper, word in asked), code


def run_python(code, folder, *paths):
    """Run code in a Python of its own, in a folder, with folders of the repository to import from."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(REPOSITORY / path) for path in paths),
        "QT_QPA_PLATFORM": "offscreen",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def pair(phantom, tmp_path_factory):
    """A folder with the phantom's PET.nii.gz and CT.nii.gz, moved so that the README's point lies in the tumor; the
    same once more for the patients A and B.
    """
    import numpy as np
    import SimpleITK as sitk

    folder = tmp_path_factory.mktemp("pair")
    mask = sitk.ReadImage(str(phantom / "mask.nii.gz"))
    inside = np.argwhere(sitk.GetArrayViewFromImage(mask))
    middle = inside[np.linalg.norm(inside - inside.mean(axis=0), axis=1).argmin()][::-1].tolist()
    center = np.array(mask.TransformIndexToPhysicalPoint(middle))
    named = re.search(r"center=\(([-\d., ]+)\)", text_of("CHMFLPredictor/README.md"))[1]
    wanted = np.array([float(number) for number in named.split(",")]) * (-1, -1, 1)  # RAS to LPS
    for place in (folder, folder / "A", folder / "B"):
        place.mkdir(exist_ok=True)
        for name in ("PET.nii.gz", "CT.nii.gz"):
            image = sitk.ReadImage(str(phantom / name))
            image.SetOrigin((np.array(image.GetOrigin()) + wanted - center).tolist())
            sitk.WriteImage(image, str(place / name))
    return folder


@pytest.mark.slow
def test_the_script_predicts(pair):
    said = run_python(snippet("CHMFLPredictor/README.md", "Predictor(device="), pair, "CHMFLPredictor")
    risk, volume_ml = map(float, said.split()[-2:])
    assert 0 < risk < 1 and volume_ml > 0
    assert {path.parent.name for path in pair.glob("results/*/result.json")} == {"A", "B"}
    result = json.loads((pair / "results" / "A" / "result.json").read_text(encoding="utf-8"))
    told = re.search(r"^## result.json$(.*?)^## ", text_of("CHMFLPredictor/README.md"), re.M | re.S)[1]
    fields = [field for row in re.findall(r"^\| (`.*?) \|", told, re.M) for field in re.findall(r"`([\w.]+)`", row)]
    assert {field.split(".")[0] for field in fields} == set(result)
    for field in fields:
        value = result
        for part in field.split("."):
            value = value[part]


@pytest.mark.slow
def test_the_script_for_slicer_predicts(pair):
    """On the stand-in, in its event loop, as in Slicer's Python console."""
    code = snippet("CHMFLPredictor/README.md", "getModuleLogic")
    module = REPOSITORY / "CHMFLPredictor" / "CHMFLPredictor.py"
    script = f"""
import time
import slicer_standin

slicer_standin.start()
import slicer

slicer_standin.add_module({str(module)!r})
for name in ("PET", "CT"):
    slicer.util.loadVolume(f"{{name}}.nii.gz").SetName(name)
point = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "F")
point.AddControlPoint(-102.5, 31.0, 840.0)
console = {{"slicer": slicer, "getNode": slicer.util.getNode}}


def typed():
    exec({code!r}, console)
    until = time.monotonic() + 300
    while console["run"].run.prediction is None and time.monotonic() < until:
        slicer.app.processEvents()


slicer_standin.run(typed)
assert not slicer_standin.take_errors()
"""
    said = run_python(script, pair, "Testing", "CHMFLPredictor")
    assert "tumor (CFL)" in said
    assert said.splitlines()[-1] == "done"


@pytest.mark.slow
def test_the_stand_in_starts_as_its_paper_says():
    run_python(snippet("Testing/slicer_standin/README.md", "predictButton"), REPOSITORY, "Testing", "CHMFLPredictor")


@pytest.mark.slow
def test_the_example_of_a_method_is_compared(tmp_path):
    """By the paper's own command, on a made cohort."""
    paper = "CHMFLTraining/README.md"
    cohort = write_cohort(tmp_path)
    (cohort / "my_methods").mkdir()
    (cohort / "my_methods" / "nearest_age.py").write_text(snippet("CHMFLTraining/README.md", "class NearestAge"))
    line = next(line for line in shell_lines(text_of(paper)) if "--methods-folder" in line)
    arguments = [*shlex.split(line)[3:], "--folds", "folds.csv", "--jobs", "0", "--no-report"]
    run_python(
        f"import sys\nfrom CHMFLTrainingLib.commands.cli import main\nsys.exit(main({arguments!r}))",
        cohort, "CHMFLTraining", "CHMFLPredictor",
    )  # fmt: skip
    assert len(list(cohort.glob("RUN/Nearest_age/*/*/predictions.csv"))) == 3


def test_the_example_of_an_error_is_raised():
    run_python(
        snippet(".github/CONTRIBUTING.md", "def refuse_one_slice")
        + "\nrefuse_one_slice(2, 'CT')"
        + "\ntry:\n    refuse_one_slice(1, 'CT')\nexcept BadInput as error:\n    assert error.code == 'one_slice'"
        + "\nelse:\n    raise AssertionError",
        REPOSITORY, "CHMFLPredictor",
    )  # fmt: skip
