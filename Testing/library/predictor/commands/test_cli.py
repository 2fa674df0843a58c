"""The command line as a person and as a parent process use it."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from CHMFLPredictorLib import __version__, failures
from CHMFLPredictorLib.commands.cli import ENGINES, main
from CHMFLPredictorLib.errors import ChmflError, OutOfMemory
from CHMFLPredictorLib.events import STAGES
from CHMFLPredictorLib.model import loader
from CHMFLPredictorLib.network import engines
from CHMFLPredictorLib.protocol import BarProgress
from conftest import REPOSITORY
from made_dicom import write_series
from small_patient import predict_arguments, run, small  # noqa: F401

LIBRARY = REPOSITORY / "CHMFLPredictor"


def child(*arguments, code=None, **options) -> subprocess.CompletedProcess:
    """Run the program, or Python code that ends with it, as a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(LIBRARY), "OMP_NUM_THREADS": "1"}
    start = ["-c", code] if code else ["-m", "CHMFLPredictorLib"]
    command = [sys.executable, *start, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, **options)


@pytest.mark.slow
def test_child_protocol(small, tiny_bundle, tmp_path):  # noqa: F811
    """Standard output holds JSON lines and nothing else, even where a library prints; the words are on standard
    error.
    """
    code = (
        "import os; import CHMFLPredictorLib.__main__ as program, CHMFLPredictorLib.tumor.location as location\n"
        "find = location.find\n"
        "def chatty(*arguments):\n"
        "    os.write(1, b'a library says hello\\n'); return find(*arguments)\n"
        "location.find = chatty\n"
        "program.run()\n"
    )
    done = child(*predict_arguments(small, tiny_bundle, tmp_path / "out"), "--progress", "json", code=code)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.stdout.isascii() and "a library says hello" in done.stderr
    kinds = [event["event"] for event in events]
    assert kinds[-1] == "result" and kinds.count("risk") == kinds.count("result") == 1
    assert set(kinds) <= {"progress", "warning", "risk", "result"}
    assert [s for s in dict.fromkeys(e.get("stage") for e in events) if s] == list(STAGES)
    for path in events[-1]["files"].values():
        assert Path(path).is_file()
    result = json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))
    assert result == events[-1]["result"] and result["software"]["chmfl"] == __version__


def test_start_is_quick_and_says_its_version():
    done = child("--version")
    assert done.returncode == 0 and done.stdout.strip() == f"CHMFL {__version__}"
    heavy = "('torch', 'SimpleITK', 'scipy')"
    code = f"import sys; import CHMFLPredictorLib.commands.cli; print([m for m in {heavy} if m in sys.modules])"
    assert child(code=code).stdout.strip() == "[]"


def test_help_names_every_option_and_exit_code(capsys):
    assert main(["predict", "--help"]) == 0
    text = capsys.readouterr().out
    for word in (
        "--pet",
        "--ct",
        "--output",
        "--model",
        "--center R A S",
        "--segmentation",
        "--device",
        "--risk-only",
        "--progress",
        "--batch",
        "--threads",
        "--engine",
        "--verbose",
        "3 canceled",
        "4 out of memory",
        "patient_id",
        "not for clinical use",
    ):
        assert word in text, word
    assert max(map(len, text.splitlines())) <= 120
    assert "--pet-name" not in text and ENGINES == engines.ENGINES


def test_without_arguments_it_shows_the_help():
    done = child()
    assert done.returncode == 2 and done.stderr == ""
    assert "usage: python -m CHMFLPredictorLib" in done.stdout and "predict one patient" in done.stdout


def test_person_sees_the_code_of_an_error_and_the_hint_below(tmp_path, capsys):
    assert main(["predict", "--pet", "a.nii.gz", "--output", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said == "Error (command_line): --ct must be given.\nGive --pet and --ct, --study, or --batch.\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "required"),
        (["predict"], "--output"),
        (["predict", "--output", "x"], "--pet and --ct must be given"),
        (["predict", "--output", "x", "--pet", "a"], "--ct must be given"),
        (["predict", "--output", "x", "--pet", "a", "--ct", "b", "--center", "1", "2"], "--center"),
        (["predict", "--output", "x", "--pet", "a", "--ct", "b", "--center", "1", "2", "x"], "invalid float"),
        (["predict", "--output", "x", "--pet", "a", "--ct", "b", "--threads", "0"], "--threads"),
        (
            ["predict", "--output", "x", "--pet", "a", "--ct", "b", "--center", "1", "2", "3", "--segmentation", "m"],
            "not allowed",
        ),
        (["predict", "--output", "x", "--batch", "c", "--pet", "a"], "--batch"),
        (["forecast"], "forecast"),
    ],
)
def test_wrong_command_line(capsys, arguments, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, events = run(capsys, *arguments)
    if not arguments:  # --progress alone is no command
        assert code == 2
        return
    assert code == 2 and len(events) == 1
    assert events[0]["code"] == "command_line" and says in events[0]["message"] and events[0]["hint"]
    assert list(tmp_path.iterdir()) == []


def test_person_sees_few_lines(small, tiny_bundle, tmp_path, capsys):  # noqa: F811
    assert main([*predict_arguments(small, tiny_bundle, tmp_path / "out")]) == 0
    seen = capsys.readouterr()
    assert "Risk of distant metastases 0." in seen.out and "ml" in seen.out and str(tmp_path / "out") in seen.out
    assert "Reading PET and CT" in seen.err and "Traceback" not in seen.err
    assert len(seen.out.splitlines()) <= 5 and len(seen.err.splitlines()) <= 20


def test_engine(small, tiny_bundle, tmp_path, capsys, monkeypatch):  # noqa: F811
    arguments = [*predict_arguments(small, tiny_bundle, tmp_path / "out"), "--risk-only", "--device", "cpu"]
    code, events = run(capsys, *arguments, "--engine", "eager")
    assert code == 0 and events[-1]["result"]["engine"] == "eager"
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    code, events = run(capsys, *arguments, "--engine", "openvino")
    assert code == 5 and events[-1]["code"] == "openvino_missing" and "leave out --engine" in events[-1]["hint"]


def test_none_says_nothing_on_the_way(small, tiny_bundle, tmp_path, capsys):  # noqa: F811
    assert main([*predict_arguments(small, tiny_bundle, tmp_path / "out"), "--progress", "none", "--risk-only"]) == 0
    assert capsys.readouterr().err == ""


def test_bar_on_a_terminal_ends_at_the_left_edge():
    class Terminal:
        text = ""

        def isatty(self):
            return True

        def write(self, text):
            self.text += text

        def flush(self):
            pass

    terminal = Terminal()
    bar = BarProgress(terminal)
    for stage in STAGES:
        bar.stage(stage, 0.5)
    bar.say({"event": "result"})
    assert terminal.text.count("\r[") == len(STAGES) and terminal.text.endswith(" \r") and "\n" not in terminal.text


def test_card(tiny_bundle, capsys):
    assert main(["card", "--model", str(tiny_bundle)]) == 0
    text = capsys.readouterr().out
    assert "tiny 0.0.1" in text and "AUC 0.500 (0.350 to 0.650)" in text and "192 x 192 x 192 mm" in text


def test_paths_with_spaces_unicode_and_200_characters(small, tiny_bundle, tmp_path, capsys):  # noqa: F811
    deep = tmp_path / "Größe µ 患者 one" / ("x" * 100) / ("y" * 100)
    deep.mkdir(parents=True)
    for name in ("PET", "CT"):
        (deep / f"{name} é.nii.gz").write_bytes((small / f"{name}.nii.gz").read_bytes())
    files = ["--pet", deep / "PET é.nii.gz", "--ct", deep / "CT é.nii.gz", "--output", deep / "Ergebnis ß"]
    code, events = run(capsys, "predict", *files, "--model", tiny_bundle, "--risk-only")
    assert code == 0, events[-1]
    result = json.loads((deep / "Ergebnis ß" / "result.json").read_text(encoding="utf-8"))
    assert result["inputs"]["pet"]["path"] == str(deep / "PET é.nii.gz")


# Missing packages, memory, defects -----------------------------------------------------------------------------------


@pytest.mark.parametrize("package", ["torch", "PIL"])
def test_missing_package(small, tiny_bundle, tmp_path, capsys, monkeypatch, package):  # noqa: F811
    monkeypatch.setattr(loader, "find_spec", lambda name: None if name == package else object())
    code, events = run(capsys, *predict_arguments(small, tiny_bundle, tmp_path / "out"))
    assert code == 5 and events[-1]["code"] == "dependency_missing" and events[-1]["exit_code"] == 5
    assert "install" in events[-1]["hint"] and {"torch": "torch", "PIL": "Pillow"}[package] in events[-1]["message"]
    assert not (tmp_path / "out").exists()


def test_package_that_turns_out_missing_later(small, tiny_bundle, tmp_path, capsys, monkeypatch):  # noqa: F811
    monkeypatch.setitem(sys.modules, "CHMFLPredictorLib.network.chmfl", None)
    monkeypatch.setitem(sys.modules, "CHMFLPredictorLib.network.engines", None)
    monkeypatch.setitem(sys.modules, "torch", None)
    code, events = run(capsys, *predict_arguments(small, tiny_bundle, tmp_path / "out"))
    assert code in (1, 5) and events[-1]["event"] == "error"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."
        ),
        RuntimeError("Exception thrown in SimpleITK: Failed to allocate memory for image."),
        RuntimeError("std::bad_alloc"),
        RuntimeError("can't start new thread"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        OSError(12, "Cannot allocate memory"),
    ],
)
def test_memory_exhausted(small, tiny_bundle, tmp_path, capsys, monkeypatch, error):  # noqa: F811
    def exhausted(*_):
        raise error

    monkeypatch.setattr("CHMFLPredictorLib.predict.prediction.prepare", exhausted)
    code, events = run(capsys, *predict_arguments(small, tiny_bundle, tmp_path / "out"))
    assert code == 4 and events[-1]["code"] == "out_of_memory" and "--risk-only" in events[-1]["hint"]
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="limits its own address space")
@pytest.mark.parametrize("megabytes", [300, 700])
def test_memory_really_exhausted(small, tiny_bundle, tmp_path, megabytes):  # noqa: F811
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({megabytes} << 20,) * 2)\n"
        "import CHMFLPredictorLib.__main__ as program; program.run()\n"
    )
    done = child(*predict_arguments(small, tiny_bundle, tmp_path / "out"), "--progress", "json", code=code)
    assert done.returncode == 4, done.stdout[-500:] + done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1])["code"] == "out_of_memory"
    assert not (tmp_path / "out").exists()


def test_defect_says_so_and_keeps_the_trace_for_the_log(small, tiny_bundle, tmp_path, capsys, monkeypatch):  # noqa: F811
    def broken(*_):
        raise KeyError("surprise")

    monkeypatch.setattr("CHMFLPredictorLib.predict.prediction.prepare", broken)
    arguments = predict_arguments(small, tiny_bundle, tmp_path / "out")
    assert main([*arguments, "--progress", "none"]) == 1
    plain = capsys.readouterr()
    assert "surprise" in plain.err and "Traceback" not in plain.err and plain.out == ""
    assert main([*arguments, "--progress", "none", "-v"]) == 1
    assert "Traceback" in capsys.readouterr().err
    code = main([*arguments, "--progress", "json"])
    seen = capsys.readouterr()
    event = json.loads(seen.out.splitlines()[-1])
    assert code == 1 and event["code"] == "defect" and "Traceback" in seen.err and "Traceback" not in seen.out
    assert not (tmp_path / "out").exists()


def test_only_memory_and_packages_are_recognized():
    assert failures.as_known(ValueError("out of memory")) is None
    assert failures.as_known(RuntimeError("shape mismatch")) is None
    assert failures.as_known(ModuleNotFoundError("x", name="CHMFLPredictorLib.typo")) is None
    known = OutOfMemory("out_of_memory", "a", "b")
    assert failures.as_known(known) is known
    assert isinstance(failures.as_known(ModuleNotFoundError("x", name="pydicom.uid")), ChmflError)


def test_a_folder_as_a_batch(small, tiny_bundle, tmp_path, capsys):  # noqa: F811
    """As autoPET keeps it; who is incomplete is said and counted."""
    patients, output = tmp_path / "patients", tmp_path / "out"
    for folder in ("a/study", "b/study"):
        (patients / folder).mkdir(parents=True)
        shutil.copy(small / "CT.nii.gz", patients / folder / "CT.nii.gz")
    shutil.copy(small / "PET.nii.gz", patients / "a" / "study" / "SUV.nii.gz")
    arguments = ["predict", "--batch", patients, "--output", output, "--model", tiny_bundle, "--risk-only"]
    for counts in ({"done": 1, "skipped": 0}, {"done": 0, "skipped": 1}):
        code, events = run(capsys, *arguments)
        assert code == 0 and events[0]["code"] == "batch_patient_left_out" and events[0]["text"] == "b: It has no PET."
        assert {key: events[-1][key] for key in ("done", "failed", "skipped", "left_out")} == {
            "failed": 0,
            "left_out": 1,
            **counts,
        }
    with open(output / "results.csv", newline="", encoding="utf-8") as file:
        assert [(row["patient_id"], row["status"]) for row in csv.DictReader(file)] == [("a", "done")]
    code, events = run(capsys, "predict", "--batch", patients / "b", "--output", output)
    assert code == 2 and events[-1]["code"] == "batch_folder_empty"


def write_images(folder, modality, image, **changes):
    """Write an image in SUV or HU as a DICOM series."""
    slope = 0.001 if modality == "PT" else 1
    stored = np.rint(sitk.GetArrayFromImage(image) / slope).astype("<i2")

    def edit(index, one):
        one.PixelData = stored[index].tobytes()

    (x, y, z), units = image.GetSpacing(), {"Units": "GML"} if modality == "PT" else {}
    place = {"shape": stored.shape[1:], "step": z, "origin": image.GetOrigin(), "PixelSpacing": [y, x]}
    scale = {"RescaleSlope": slope, "RescaleIntercept": 0}
    write_series(folder, modality, slices=len(stored), edit=edit, **place, **scale, **units, **changes)


def test_a_study_as_an_archive_exports_it(small, tiny_bundle, tmp_path, capsys):  # noqa: F811
    """The same risk as of its corrected PET and its CT alone; a second CT of the same range is a choice."""
    pet, ct = (sitk.ReadImage(str(small / f"{name}.nii.gz")) for name in ("PET", "CT"))
    write_images(tmp_path / "study" / "1", "PT", pet)
    write_images(tmp_path / "study" / "2", "CT", ct)
    nac = {"CorrectedImage": ["NORM", "DECY"], "SeriesInstanceUID": "1.2.3", "SeriesDescription": "PET NAC"}
    write_images(tmp_path / "study" / "3", "PT", pet * 0.3, **nac)
    common = ["--model", tiny_bundle, "--risk-only", "--output"]
    code, events = run(capsys, "predict", "--study", tmp_path / "study", *common, tmp_path / "out")
    assert code == 0 and [e["code"] for e in events if e["event"] == "warning"].count("study_chosen") == 1
    result = events[-1]["result"]
    assert "PET NAC" in result["warnings"][0]["text"]
    pair = ["--pet", tmp_path / "study" / "1", "--ct", tmp_path / "study" / "2"]
    assert run(capsys, "predict", *pair, *common, tmp_path / "b")[1][-1]["result"]["risk"] == result["risk"]
    write_images(tmp_path / "study" / "4", "CT", ct, SeriesInstanceUID="1.2.4", SeriesDescription="lung kernel")
    code, events = run(capsys, "predict", "--study", tmp_path / "study", *common, tmp_path / "out")
    assert code == 2 and events[-1]["code"] == "study_undecided" and "lung kernel" in events[-1]["message"]
    for extra in (["--pet", "x"], ["--ct", "x"], ["--batch", "x"]):
        code, events = run(capsys, "predict", "--study", tmp_path / "study", *extra, *common, tmp_path / "out")
        assert code == 2 and events[-1]["code"] == "command_line"
