"""The command ``cohort``: make a cohort's CSV, of the public data or of DICOM, and check it before anything trains."""

from __future__ import annotations

import logging
from pathlib import Path

from CHMFLPredictorLib.errors import BadInput

_LOG = logging.getLogger(__name__)


def add_cohort(commands) -> None:
    """Add the command to the parser of ``python -m CHMFLTrainingLib``."""
    cohort = commands.add_parser("cohort", help="make or check a cohort.csv")
    cohort.add_argument("--sts", type=Path, metavar="FOLDER", help="of the public data, with clinical.csv and images/")
    cohort.add_argument("--output", type=Path, metavar="CSV")
    cohort.set_defaults(run=_sts)
    kinds = cohort.add_subparsers(metavar="download | check | from-dicom")

    public = kinds.add_parser("download", help="fetch the public cohort, some 200 MB, and write its cohort.csv")
    public.add_argument("folder", type=Path, metavar="FOLDER", help="gets images/ and cohort.csv")
    public.add_argument("--outcomes", type=Path, metavar="CSV", help="patient_id, label; time, event, clinical columns")
    public.set_defaults(run=_download)

    check = kinds.add_parser("check", help="a table of findings; exit code 2 where a patient cannot be used as it is")
    check.add_argument("cohort", type=Path, metavar="CSV")
    check.add_argument("--folds", type=Path, metavar="CSV", help="check only its patients, for its number of folds")
    check.add_argument("--preset", default="compact", choices=["paper", "compact", "smoke"], help="whose box is meant")
    check.add_argument("--methods", metavar="NAMES", help="check that every patient has what these methods need")
    check.add_argument("--methods-folder", type=Path, metavar="FOLDER", help="with methods of your own, a file each")
    check.add_argument("--all", action="store_true", help="a line for every finding, also where many patients share it")
    check.add_argument("--table", type=Path, metavar="CSV", help="write the findings there too")
    check.set_defaults(run=_check)

    dicom = kinds.add_parser("from-dicom", help="PET, CT and RTSTRUCT series of patients as cohort.csv and masks")
    dicom.add_argument("folder", type=Path, metavar="FOLDER", help="one subfolder a patient, or files of many mixed")
    dicom.add_argument("--output", type=Path, required=True, metavar="DIR", help="for cohort.csv, findings.csv, masks/")
    dicom.add_argument("--outcomes", type=Path, metavar="CSV", help="patient_id, label; time, event, clinical columns")
    dicom.add_argument("--roi", metavar="NAME", help="of the tumor; default the only one, or the one named like GTV")
    dicom.set_defaults(run=_from_dicom)


def check(path: Path, folds: Path | None, preset: str, methods: list, on_progress=None) -> list:
    """The findings about a cohort as a run of these methods would use it.

    :param folds: CSV of folds, or None: then all patients, for the folds that a run draws.
    :param methods: classes of :class:`.method.Method`.
    :raises BadInput: of reading the cohort or the folds.
    """
    from CHMFLPredictorLib.presets import PRESETS

    from .cohort import read_cohort
    from .cohort_check import check_cohort, check_needs
    from .comparison import DRAWN_FOLDS
    from .findings import sorted_findings
    from .folds import read_folds

    chosen = read_folds(folds, 0, read_cohort(path)) if folds else {}
    box_mm = PRESETS[preset].preprocessing.size_mm
    checked = check_cohort(path, box_mm, len(set(chosen.values())) or DRAWN_FOLDS, on_progress)
    findings = [*checked.findings, *check_needs(checked.patients, methods)]
    if chosen:  # what is wrong with patients whom nobody asks for stops nothing
        findings = [one for one in findings if one.patient_id in ("", *chosen)]
    return sorted_findings(findings)


def _sts(arguments) -> None:
    from .cohort import STS, sts_cohort, write_cohort

    if arguments.sts is None or arguments.output is None:
        text = "`cohort` alone needs --sts and --output."
        hint = "Give both, or one of `cohort download`, `cohort check`, `cohort from-dicom`."
        raise BadInput("command_line", text, hint)
    patients = sts_cohort(arguments.sts)
    write_cohort(arguments.output, patients, STS)
    labels = [patient.label for patient in patients]
    _LOG.info(
        "%s: %d patients, %d with and %d without DM", arguments.output, len(patients), labels.count(1), labels.count(0)
    )


def _download(arguments) -> None:
    from .public_cohort import download, write_public_cohort

    download(arguments.folder, lambda done, of: _LOG.info("%d of %d files", done, of))
    path = write_public_cohort(arguments.folder, arguments.outcomes)
    hint = "" if arguments.outcomes else "; nobody has a label yet: --outcomes CSV adds them"
    _LOG.info("%s%s", path, hint)


def _check(arguments) -> int:
    from .comparison import find_methods
    from .findings import as_text, counts, write_findings

    folder = str(arguments.methods_folder.resolve()) if arguments.methods_folder else None
    methods = find_methods(arguments.methods, folder) if arguments.methods else []
    findings = check(arguments.cohort, arguments.folds, arguments.preset, methods, _progress)
    if arguments.table:
        write_findings(arguments.table, findings)
    if findings:
        print(as_text(findings, together=not arguments.all))
    count = counts(findings)
    print(", ".join(f"{number} {severity}{'s' * (number != 1)}" for severity, number in count.items()))
    return 2 if count["error"] else 0


def _from_dicom(arguments) -> int:
    from .cohort_dicom import cohort_from_dicom
    from .findings import as_text, counts

    made = cohort_from_dicom(arguments.folder, arguments.output, arguments.roi, arguments.outcomes, _progress)
    if made.findings:
        print(as_text(made.findings))
    labeled = sum(patient.label is not None for patient in made.patients)
    print(f"{made.cohort}: {len(made.patients)} patients, {labeled} of them with a label")
    return 2 if counts(made.findings)["error"] else 0


def _progress(done: int, of: int, name: str) -> None:
    _LOG.info("%d of %d: %s", done + 1, of, name)
