#!/usr/bin/env python3
"""Everything that one can do with a checkout, on a machine with nothing but Python:

    python3 Testing/run.py predict [--pet FILE --ct FILE] [--model FOLDER] [--device auto|cpu|cuda] [--output out]
    python3 Testing/run.py test [options of pytest]
    python3 Testing/run.py benchmark [options of Testing/benchmark.py]

The packages go into .venv beside this folder, made at the first call and reused afterwards.
"""

import os
import subprocess
import sys
from pathlib import Path

import environment

SCRIPTS = {"predict": "predict_sample.py", "benchmark": "benchmark.py"}


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
    folder, command = Path(__file__).resolve().parent, [str(python)]
    if arguments[0] == "test":
        command += ["-m", "pytest", "-c", str(folder / "pytest.ini"), "--rootdir", str(folder), *arguments[1:]]
        if not any(Path(argument.split("::")[0]).exists() for argument in arguments[1:]):
            command.append(str(folder / "library"))
    else:
        command += [str(folder / SCRIPTS[arguments[0]]), *arguments[1:]]
    try:
        return subprocess.run(command, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}).returncode
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
