"""The script for a fresh machine, without installing anything: what it checks, says and reuses."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import environment
import pytest

TESTING = Path(environment.__file__).resolve().parent


def test_an_old_python_is_refused():
    with pytest.raises(environment.SetupError, match=r"Python 3\.11 or newer is needed, this is 3\.9\.2"):
        environment.check_python((3, 9, 2, "final", 0))
    environment.check_python((3, 14, 0, "final", 0))


@pytest.mark.skipif(sys.platform != "linux", reason="Debian packages are asked for on Linux only")
def test_all_missing_libraries_are_cured_by_one_line():
    lacking = {"libEGL.so.1", "libEGL_mesa.so.0", "libEGL_nvidia.so.0", "libGL.so.1"}
    missing = environment.missing_packages(loads=lambda name: name not in lacking, has_venv=False)
    assert missing == ["python3-venv", "libegl1", "libgl1", "libegl-mesa0"]
    with pytest.raises(environment.SetupError) as caught:
        environment.check_system(missing)
    lines = [line for line in str(caught.value).splitlines() if "apt-get" in line]
    assert len(lines) == 1 and lines[0].strip().endswith(" ".join(missing))


@pytest.mark.skipif(sys.platform != "linux", reason="Debian packages are asked for on Linux only")
def test_another_driver_is_as_good():
    missing = environment.missing_packages(loads=lambda name: name != "libEGL_mesa.so.0", has_venv=True)
    assert missing == []


def test_a_library_that_cannot_be_loaded_counts_as_missing():
    assert not environment._loads("libno-such-library.so.7")
    environment.check_system([])


@pytest.mark.parametrize(("gpu", "wanted"), [(None, "torch==2.13.0"), ("/usr/bin/nvidia-smi", "torch>=2.6")])
def test_torch_suits_the_machine(monkeypatch, gpu, wanted):
    monkeypatch.setattr(environment.shutil, "which", lambda name: gpu if name == "nvidia-smi" else None)
    assert environment.torch_requirement() == wanted


@pytest.fixture
def recorded(monkeypatch, tmp_path):
    """Replace the commands that make an environment by ones that only leave their traces."""
    commands = []

    def run(command, **options):
        commands.append([str(part) for part in command])
        if "venv" in command:
            python = environment.venv_python(tmp_path / ".venv")
            python.parent.mkdir(parents=True, exist_ok=True)
            python.write_text("")
        failed = "torch" in str(command) and run.fail
        if options.get("check") and failed:
            raise subprocess.CalledProcessError(1, command)
        return subprocess.CompletedProcess(command, 1 if failed else 0)

    run.fail = False
    monkeypatch.setattr(environment.subprocess, "run", run)
    return commands, run, tmp_path / ".venv"


def test_the_environment_is_made_once_and_reused(recorded):
    commands, _, venv = recorded
    said = []
    python = environment.ensure(venv, said.append)
    assert python == environment.venv_python(venv)
    installs = [command for command in commands if "install" in command]
    assert len(installs) == 2 and environment.torch_requirement() in installs[0]
    assert installs[1][-1] == str(environment.REQUIREMENTS)
    assert "there is none yet" in said[0]
    commands.clear()
    said.clear()
    assert environment.ensure(venv, said.append) == python
    assert not [command for command in commands if "install" in command]
    assert said == [f"Using {venv}"]


def test_a_failed_installation_is_told_and_repeated(recorded):
    _, run, venv = recorded
    run.fail = True
    with pytest.raises(environment.SetupError, match=r"Installing torch.* failed"):
        environment.ensure(venv, lambda text: None)
    assert environment.why_not(venv) == "its installation was not finished"
    run.fail = False
    environment.ensure(venv, lambda text: None)
    assert environment.why_not(venv) == ""


def test_changed_requirements_and_another_python_make_it_anew(recorded, monkeypatch, tmp_path):
    _, _, venv = recorded
    environment.ensure(venv, lambda text: None)
    other = tmp_path / "requirements.txt"
    other.write_text("numpy\n")
    with monkeypatch.context() as patch:
        patch.setattr(environment, "REQUIREMENTS", other)
        assert "other requirements" in environment.why_not(venv)
    with monkeypatch.context() as patch:
        patch.setattr(environment.sys, "version_info", (3, 99, 0))
        assert "another Python" in environment.why_not(venv)
    assert environment.why_not(venv) == ""


def test_a_broken_python_makes_it_anew(recorded, monkeypatch):
    _, _, venv = recorded
    environment.ensure(venv, lambda text: None)

    def broken(command, **options):
        raise FileNotFoundError(command[0])

    monkeypatch.setattr(environment.subprocess, "run", broken)
    assert environment.why_not(venv) == "its Python no longer works"


def test_run_and_environment_need_the_standard_library_only():
    for name in ("run.py", "environment.py"):
        probe = "import runpy, sys; sys.path.insert(0, sys.argv[1]); runpy.run_path(sys.argv[2])"
        subprocess.run([sys.executable, "-S", "-c", probe, str(TESTING), str(TESTING / name)], check=True)


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["nonsense"], 2), (["--help"], 0)])
def test_usage(arguments, code):
    done = subprocess.run([sys.executable, str(TESTING / "run.py"), *arguments], capture_output=True, text=True)
    assert done.returncode == code
    assert "run.py predict" in done.stdout and "run.py test" in done.stdout


def test_one_volume_without_the_other_is_refused():
    import predict_sample

    with pytest.raises(SystemExit) as caught:
        predict_sample._parse(["--pet", "x.nrrd"])
    assert caught.value.code == 2


@pytest.mark.slow
def test_predict_leaves_its_files(tiny_bundle, tmp_path, capsys):
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    import predict_sample

    output = tmp_path / "out"
    assert predict_sample.main(["--model", str(tiny_bundle), "--device", "cpu", "--output", str(output)]) == 0
    said = capsys.readouterr().out
    for words in (
        "Risk of distant metastases",
        "Simple baseline",
        "Tumor volume",
        "Longest diameter",
        "Not for clinical use",
    ):
        assert words in said
    for name in predict_sample.RESULT_FILES:
        assert (output / name).stat().st_size > 0, name
    from PIL import Image

    with Image.open(output / "slices.png") as picture:
        assert min(picture.size) > 300 and len(set(picture.convert("L").resize((64, 64)).tobytes())) > 20


def test_predict_tells_what_is_wrong(tmp_path, capsys):
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    import predict_sample

    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(b"")
    assert predict_sample.main(["--pet", str(broken), "--ct", str(broken), "--output", str(tmp_path / "out")]) == 2
    assert "volume_unreadable" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# Stopped -------------------------------------------------------------------------------------------------------------

# Starts run.py with the packages of this Python and a child of the test's; a shell in the background ignores SIGINT.
RUN = """
import signal, sys
sys.path.insert(0, sys.argv[1])
signal.signal(signal.SIGINT, signal.default_int_handler)
import environment, run
environment.missing_packages, environment.ensure = lambda: [], lambda: sys.executable
run.SCRIPTS["predict"] = sys.argv[2]
sys.exit(run.main(["predict", *sys.argv[3:]]))
"""
SLOW_TO_CLEAN_UP = """
import pathlib, signal, sys, time
def stop(*_):
    raise KeyboardInterrupt
signal.signal(signal.SIGTERM, stop)
try:
    print("started", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(1)
    pathlib.Path(sys.argv[1]).unlink()
    sys.exit(3)
"""


def started(word, *arguments, **options) -> subprocess.Popen:
    """Run ``run.py predict`` in a process group of its own, like a terminal's, until it has said a word."""
    command = [sys.executable, "-c", RUN, str(TESTING), *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True, **options)
    if not any(word in line for line in process.stdout):
        pytest.fail(f"it ended with exit code {process.wait()} before it said {word!r}")
    return process


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(("number", "to_all"), [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_run_waits_for_a_stopped_child(tmp_path, number, to_all):
    child, image = tmp_path / "child.py", tmp_path / "image"
    child.write_text(SLOW_TO_CLEAN_UP)
    image.write_text("of a patient")
    process = started("started", child, image)
    try:
        (os.killpg if to_all else os.kill)(process.pid, number)
        assert process.wait(30) == 3
        assert not image.exists()
    finally:
        process.kill()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_an_impatient_interrupt_leaves_no_patient_image(tiny_bundle, tmp_path):
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    temporary, output = tmp_path / "temporary", tmp_path / "out"
    temporary.mkdir()
    arguments = ("--model", tiny_bundle, "--device", "cpu", "--output", output)
    environ = {**os.environ, "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"}
    process = started("Predicting from", TESTING / "predict_sample.py", *arguments, env=environ)
    try:
        until = time.monotonic() + 60
        while not list(temporary.glob("chmfl-*/CT.nrrd")):
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.02)
        for _ in range(3):
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.3)
        assert process.wait(60) == 3
        assert list(temporary.iterdir()) == [] and not output.exists()
    finally:
        process.kill()
