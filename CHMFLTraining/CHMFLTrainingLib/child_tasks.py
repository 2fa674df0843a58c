"""What the panel has done in a child process because it takes longer than a window may stand still:
``python -m CHMFLTrainingLib.child_tasks methods | check CSV | dicom FOLDER OUTPUT | metrics RUN... | report RUN |
export RUN BUNDLE``.

Prints the child protocol's lines: ``progress`` (done, of, text), and last ``result`` or ``error``.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from CHMFLPredictorLib.errors import ChmflError
from CHMFLPredictorLib.failures import as_known


def say(event: dict) -> None:
    """One line of the protocol."""
    print(json.dumps(event, default=str), flush=True)


def list_methods(arguments) -> dict:
    """Every installed method with what the paper reports of it."""
    from . import methods

    return {
        "methods": [
            {
                "name": name,
                "group": method.GROUP,
                "paper": method.PAPER,
                "dice": (getattr(method, "PAPER_SEGMENTATION", None) or {}).get("dice"),
                "source": method.SOURCE,
                "open": method.OPEN,
                "needs": sorted(method.NEEDS),
            }
            for name, method in methods.all_methods().items()
        ]
    }


def check(arguments) -> dict:
    """Check a cohort's CSV."""
    return _checked(arguments.cohort, arguments, [])


def dicom(arguments) -> dict:
    """Make a cohort of a folder of DICOM series, and check it."""
    from .cohort_dicom import cohort_from_dicom

    made = cohort_from_dicom(arguments.folder, arguments.output, arguments.roi, arguments.outcomes, _progress)
    return _checked(made.cohort, arguments, made.findings)


def metrics(arguments) -> dict:
    """Metrics of the methods of several runs."""
    from .run_watch import metrics_of

    return {"rows": metrics_of(arguments.runs)}


def report(arguments) -> dict:
    """Tables, figures and report.html of what is finished."""
    from .run_report import write_report

    return {"path": str(write_report(arguments.run_folder))}


def export(arguments) -> dict:
    """A model bundle of a run's CHMFL, as ``export RUN --method CHMFL --output BUNDLE`` makes it."""
    from .cli_run import export_method

    export_method(arguments.run_folder, "CHMFL", 0, arguments.bundle, arguments.name, arguments.version)
    return {"bundle": str(arguments.bundle)}


def _checked(cohort: Path, arguments, earlier: list) -> dict:
    from CHMFLPredictorLib.presets import PRESETS

    from . import methods
    from .cohort_check import check_cohort, check_needs
    from .findings import counts, sorted_findings

    found = check_cohort(cohort, PRESETS[arguments.preset].preprocessing.size_mm, arguments.folds, _progress)
    needed = check_needs(found.patients, methods.find(arguments.methods)) if arguments.methods else []
    findings = sorted_findings([*earlier, *found.findings, *needed])
    patients = [
        {
            "patient_id": patient.patient_id,
            "label": patient.label,
            "files": {name: str(getattr(patient, name) or "") for name in ("pet", "ct", "mask")},
        }
        for patient in found.patients
    ]
    listed = [asdict(finding) for finding in findings]
    usable = len(found.usable)
    return {
        "cohort": str(cohort), "patients": patients, "findings": listed, "counts": counts(findings), "usable": usable
    }  # fmt: skip


def _progress(done: int, of: int, name: str) -> None:
    say({"event": "progress", "done": done, "of": of, "text": name})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m CHMFLTrainingLib.child_tasks", description=__doc__)
    commands = parser.add_subparsers(required=True)
    commands.add_parser("methods").set_defaults(run=list_methods)
    checked = argparse.ArgumentParser(add_help=False)
    checked.add_argument("--preset", default="paper")
    checked.add_argument("--folds", type=int, default=6)
    checked.add_argument("--methods", default="", help="those that are to be trained")
    csv = commands.add_parser("check", parents=[checked])
    csv.add_argument("cohort", type=Path)
    csv.set_defaults(run=check)
    folder = commands.add_parser("dicom", parents=[checked])
    folder.add_argument("folder", type=Path)
    folder.add_argument("output", type=Path)
    folder.add_argument("--outcomes", type=Path)
    folder.add_argument("--roi")
    folder.set_defaults(run=dicom)
    runs = commands.add_parser("metrics")
    runs.add_argument("runs", type=Path, nargs="+")
    runs.set_defaults(run=metrics)
    reported = commands.add_parser("report")
    reported.add_argument("run_folder", type=Path)
    reported.set_defaults(run=report)
    exported = commands.add_parser("export")
    exported.add_argument("run_folder", type=Path)
    exported.add_argument("bundle", type=Path)
    exported.add_argument("--name", default="sts-dm")
    exported.add_argument("--version", default="0.1.0")
    exported.set_defaults(run=export)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Do one task; returns the exit code of the child protocol."""
    arguments = _parser().parse_args(argv)
    try:
        say({"event": "result", **arguments.run(arguments)})
    except Exception as error:
        known = as_known(error)
        if known is None:
            if not isinstance(error, OSError):
                raise
            known = ChmflError("file_unusable", f"{error}.", "Check the file or folder and its permissions.")
        say({"event": "error", "code": known.code, "message": known.message, "hint": known.hint})
        return known.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
