#!/usr/bin/env python3
"""Everything that one can do with a checkout, on a machine with nothing but Python:

    python3 Testing/run.py predict [--pet FILE --ct FILE] [--model FOLDER] [--device auto|cpu|cuda] [--output out]
    python3 Testing/run.py test [--fast] [options of pytest]
    python3 Testing/run.py screenshots [--patient FOLDER] [--output Resources/Screenshots]
    python3 Testing/run.py benchmark [options of Testing/benchmark.py]

The packages go into .venv beside this folder, made at the first call and reused afterwards.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import environment

CANCELED = 3  # exit code
STOPPED = (2, 130, 143)  # pytest's exit code for Ctrl-C, and a shell's for a command that a signal ended
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
SCRIPTS = {"predict": "predict_sample.py", "screenshots": "screenshots.py", "benchmark": "benchmark.py"}
NOTHING_COLLECTED = 5  # pytest's exit code
# Each in a process of its own: the panel's tests put a whole application in place of what the library's tests use bare.
SUITES = ("library", "panel")
# Two processes, each with whole modules, whose trainings and phantoms are made once.
IN_PARALLEL = ("-n", "2", "--dist", "loadfile")
FAST = ("-m", "not slow and not standin")


def main(arguments: list[str]) -> int:
    """Prepare the environment, then hand over to the command."""
    if not arguments or arguments[0] not in ("test", *SCRIPTS):
        print(__doc__.strip())
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    try:
        environment.check_python()
        environment.check_system(environment.missing_packages())
        python = environment.ensure()
    except environment.SetupError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nCanceled.", file=sys.stderr)
        return CANCELED
    folder = Path(__file__).resolve().parent
    if arguments[0] == "test":
        return test(str(python), folder, arguments[1:])
    return hand_over([str(python), str(folder / SCRIPTS[arguments[0]]), *arguments[1:]])


def test(python: str, folder: Path, options: list[str]) -> int:
    """Run the tests that the options name, or every suite; the worst exit code is the answer.

    ``--fast`` leaves out what is marked slow or tests the stand-in for Slicer.
    """
    fast = "--fast" in options
    options = [*(FAST if fast else ()), *(option for option in options if option != "--fast")]
    command = [python, "-m", "pytest", "-c", str(folder / "pytest.ini"), "--rootdir", str(folder), *options]
    if any(Path(option.split("::")[0]).exists() for option in options):
        return hand_over(command)
    codes = []
    for suite in SUITES:
        print(f"\n===== Tests in {folder.name}/{suite} =====", flush=True)
        codes.append(hand_over([*command, *IN_PARALLEL, str(folder / suite)]))
        if codes[-1] in STOPPED:
            break
    ran = [code for code in codes if code != NOTHING_COLLECTED]  # -k may pick tests of one suite only
    return max(ran or codes)


def hand_over(command: list[str]) -> int:
    """Run a command to its end and return its exit code, even when stopped: it has patient images to remove then.

    Ctrl-C reaches the command by itself, from the terminal that it shares; the other signals are passed on.
    """
    child, early, stopped = None, [], False

    def stop(number, frame):
        nonlocal stopped
        stopped = True
        if child is None:
            early.append(number)
        elif number != signal.SIGINT:
            child.send_signal(number)

    # A handler, and not SIG_IGN, which the command would inherit; what is ignored already (nohup) stays so.
    numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    heeded = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in heeded}
    try:
        child = subprocess.Popen(command, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
        for number in early:
            child.send_signal(number)
        code = child.wait()
    finally:
        for number, handler in before.items():
            # who was stopped ends here; one more Ctrl-C must not change the exit code
            signal.signal(number, signal.SIG_IGN if stopped else handler)
    return 128 - code if code < 0 else code  # a command that a signal ended, as a shell tells it


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
