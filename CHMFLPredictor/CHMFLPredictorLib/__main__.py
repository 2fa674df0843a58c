"""``python -m CHMFLPredictorLib``: the command line as a program of its own."""

import signal
import time

_STARTED = time.perf_counter()
_early_signals: list[int] = []  # an interrupt while the libraries load must not end in a traceback


def _install() -> None:
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda number, frame: _early_signals.append(number))


def _own_stdout():
    """A stream to the real standard output, while everything else that writes there lands on standard error.

    The protocol is one JSON object a line; a compiled library that prints must not get in between.
    """
    import os
    import sys

    try:
        stream = os.fdopen(os.dup(1), "w", encoding=sys.stdout.encoding or "utf-8", errors="replace", newline="\n")
        os.dup2(2, 1)
    except (OSError, AttributeError):  # no standard streams, as in a windowed program
        return
    sys.stdout = stream


def run() -> None:
    """Run the command line and end the process at once, native threads and all."""
    import os
    import sys

    _install()
    _own_stdout()
    from .commands.cli import main

    code = main(sys.argv[1:], started=_STARTED, early_signals=_early_signals)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass
    os._exit(code)  # a canceled computation in a native thread would hold up an ordinary exit


if __name__ == "__main__":
    run()
