"""The command ``cohort``: make a cohort's CSV, of the public data or of DICOM, and check it before anything trains."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.protocol import Progress

from ..training.settings import PRESETS, Settings
from .progress import counted, talking

if TYPE_CHECKING:
    from ..cohort.check import CheckedCohort
    from ..cohort.cohort import Patient
    from ..cohort.findings import Finding


def add_cohort(commands) -> None:
    """Add the command to the parser of ``python -m CHMFLTrainingLib``."""
    talk = [talking()]
    cohort = commands.add_parser("cohort", parents=talk, help="make or check a cohort.csv")
    cohort.add_argument("--sts", type=Path, metavar="FOLDER", help="of the public data, with clinical.csv and images/")
    cohort.add_argument("--output", type=Path, metavar="CSV")
    cohort.set_defaults(run=_sts)
    kinds = cohort.add_subparsers(metavar="download | check | from-dicom")

    public = kinds.add_parser(
        "download", parents=talk, help="fetch the public cohort, some 200 MB, and write its cohort.csv"
    )
    public.add_argument("folder", type=Path, metavar="FOLDER", help="gets images/ and cohort.csv")
    public.add_argument("--outcomes", type=Path, metavar="CSV", help="patient_id, label; time, event, clinical columns")
    public.set_defaults(run=_download)

    check = kinds.add_parser(
        "check", parents=talk, help="a table of findings; exit code 2 where a patient cannot be used as it is"
    )
    check.add_argument("cohort", type=Path, metavar="CSV")
    check.add_argument("--folds", type=Path, metavar="CSV", help="check only its patients, for its number of folds")
    check.add_argument("--fold-count", type=int, metavar="N", help="how many folds will be drawn (default six)")
    check.add_argument("--preset", default="compact", metavar="|".join(PRESETS), help="whose box is meant")
    check.add_argument("--methods", metavar="NAMES", help="check that every patient has what these methods need")
    check.add_argument("--methods-folder", type=Path, metavar="FOLDER", help="with methods of your own, a file each")
    check.add_argument("--all", action="store_true", help="a line for every finding, also where many patients share it")
    check.add_argument("--table", type=Path, metavar="CSV", help="write the findings there too")
    check.set_defaults(run=_check)

    dicom = kinds.add_parser(
        "from-dicom", parents=talk, help="PET, CT and RTSTRUCT series of patients as cohort.csv and masks"
    )
    dicom.add_argument("folder", type=Path, metavar="FOLDER", help="one subfolder a patient, or files of many mixed")
    dicom.add_argument("--output", type=Path, required=True, metavar="DIR", help="for cohort.csv, findings.csv, masks/")
    dicom.add_argument("--outcomes", type=Path, metavar="CSV", help="patient_id, label; time, event, clinical columns")
    dicom.add_argument("--roi", metavar="NAME", help="of the tumor; default the only one, or the one named like GTV")
    dicom.set_defaults(run=_from_dicom)


def check(
    path: Path, folds: Path | None, preset: str, methods: list, on_progress=None, fold_count: int | None = None
) -> tuple[CheckedCohort, list[Finding]]:
    """A cohort as a run of these methods would use it: its patients, and all findings, sorted.

    :param folds: CSV of folds, or None: then all patients, for the folds that a run draws.
    :param methods: classes of :class:`..methods.base.Method`.
    :param fold_count: how many are drawn where they are not the usual six.
    :raises BadInput: of reading the cohort or the folds.
    """
    from CHMFLPredictorLib.network.presets import PRESETS

    from ..cohort.check import check_cohort, check_needs
    from ..cohort.cohort import read_cohort
    from ..cohort.findings import sorted_findings
    from ..cohort.folds import read_folds
    from ..run.run import DRAWN_FOLDS

    chosen = read_folds(folds, 0, read_cohort(path)) if folds else {}
    box_mm = PRESETS[Settings(preset).preset].preprocessing.size_mm
    count = len(set(chosen.values())) or fold_count or DRAWN_FOLDS
    checked = check_cohort(path, box_mm, count, on_progress)
    findings = [*checked.findings, *check_needs(checked.patients, methods)]
    if chosen:  # what is wrong with patients whom nobody asks for stops nothing
        findings = [one for one in findings if one.patient_id in ("", *chosen)]
    return checked, sorted_findings(findings)


def _sts(arguments, progress: Progress) -> None:
    from ..cohort.cohort import STS, sts_cohort, write_cohort

    if arguments.sts is None or arguments.output is None:
        text = "`cohort` alone needs --sts and --output."
        hint = "Give both, or one of `cohort download`, `cohort check`, `cohort from-dicom`."
        raise BadInput("command_line", text, hint)
    patients = sts_cohort(arguments.sts)
    write_cohort(arguments.output, patients, STS)
    _made(arguments.output, patients, progress)


def _download(arguments, progress: Progress) -> None:
    from ..cohort.cohort import read_cohort
    from ..cohort.public import download, write_public_cohort

    download(arguments.folder, counted(progress, "file"))
    path = write_public_cohort(arguments.folder, arguments.outcomes)
    _made(path, read_cohort(path), progress)
    if not progress.machine_reads and not arguments.outcomes:
        print("Nobody has a label yet: --outcomes CSV adds them.")


def _check(arguments, progress: Progress) -> None:
    from ..cohort.findings import as_text, counts, write_findings
    from ..run.run import find_methods

    folder = str(arguments.methods_folder.resolve()) if arguments.methods_folder else None
    methods = find_methods(arguments.methods, folder) if arguments.methods else []
    asked = (arguments.cohort, arguments.folds, arguments.preset, methods)
    checked, findings = check(*asked, counted(progress, "patient"), arguments.fold_count)
    if arguments.table:
        write_findings(arguments.table, findings)
    if not progress.machine_reads:
        if findings:
            print(as_text(findings, together=not arguments.all))
        count = counts(findings).items()
        print(", ".join(f"{number} {severity}{'s' * (number != 1)}" for severity, number in count), flush=True)
    _say_found(arguments.cohort, checked.patients, findings, len(checked.usable), progress)


def _from_dicom(arguments, progress: Progress) -> None:
    from ..cohort.dicom import cohort_from_dicom
    from ..cohort.findings import as_text

    asked = (arguments.folder, arguments.output, arguments.roi, arguments.outcomes)
    made = cohort_from_dicom(*asked, counted(progress, "patient"))
    if made.findings and not progress.machine_reads:
        print(as_text(made.findings))
    if not progress.machine_reads:
        labeled = sum(patient.label is not None for patient in made.patients)
        print(f"{made.cohort}: {len(made.patients)} patients, {labeled} of them with a label", flush=True)
    _say_found(made.cohort, made.patients, made.findings, len(made.patients), progress)


def _made(path: Path, patients: list[Patient], progress: Progress) -> None:
    """A cohort's CSV that was written."""
    labels = [patient.label for patient in patients]
    progress.say({"event": "result", "cohort": str(path), "patients": len(patients)})
    if not progress.machine_reads:
        print(f"{path}: {len(labels)} patients, {labels.count(1)} with and {labels.count(0)} without the event")


def _say_found(path: Path, patients: list[Patient], findings: list[Finding], usable: int, progress: Progress) -> None:
    """The event ``findings``, and the result.

    :raises BadInput: cohort_findings, where one is an error.
    """
    from ..cohort.findings import counts

    count = counts(findings)
    listed = [
        {
            "patient_id": patient.patient_id,
            "label": patient.label,
            "files": {name: str(getattr(patient, name) or "") for name in ("pet", "ct", "mask")},
        }
        for patient in patients
    ]
    found = {"cohort": str(path), "usable": usable, "counts": count}
    progress.say({"event": "findings", **found, "patients": listed, "findings": [asdict(one) for one in findings]})
    if count["error"]:
        text = f"{path}: {count['error']} error{'s' * (count['error'] != 1)} among {len(patients)} patients."
        raise BadInput("cohort_findings", text, "Mend them, or leave the patients out of cohort and folds.")
    progress.say({"event": "result", **found})
