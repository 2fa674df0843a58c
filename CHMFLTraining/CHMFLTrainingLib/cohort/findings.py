"""What a check found: one line a problem, with how much it matters and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.files import write_csv

ERROR, WARNING, NOTE = "error", "warning", "note"
SEVERITIES = (ERROR, WARNING, NOTE)
MOST_LINES = 3  # of the same note or warning
COLUMNS = ("severity", "patient_id", "code", "text", "hint", "line")


@dataclass(frozen=True)
class Finding:
    """One thing that a check found.

    :param severity: "error": the patient (or the cohort) cannot be used as it is; "warning": look at it; "note": good
        to know.
    :param patient_id: empty where it concerns the whole cohort.
    :param code: short name in snake_case, stable.
    :param text: what is wrong, with names and numbers.
    :param hint: what to do.
    :param line: line of the patient in the CSV; None where there is none.
    """

    severity: str
    patient_id: str
    code: str
    text: str
    hint: str = ""
    line: int | None = None

    def __post_init__(self):
        if self.severity not in SEVERITIES:
            raise ValueError(f"a finding is one of {SEVERITIES}, not {self.severity!r}")

    @classmethod
    def of_error(cls, error, patient_id: str = "", line: int | None = None) -> Finding:
        """The finding that an expected failure (ChmflError) makes."""
        return cls(ERROR, patient_id, error.code, error.message, error.hint, line)


def sorted_findings(findings: Iterable[Finding]) -> list[Finding]:
    """Errors first, then by patient as they stand in the table; the cohort's own before its patients'."""
    return sorted(
        findings, key=lambda one: (SEVERITIES.index(one.severity), one.patient_id != "", one.line or 0, one.patient_id)
    )


def counts(findings: Iterable[Finding]) -> dict[str, int]:
    """How many findings there are of each severity."""
    severities = [finding.severity for finding in findings]
    return {severity: severities.count(severity) for severity in SEVERITIES}


def together(found: list[dict]) -> dict:
    """The last of some ``findings`` events (:mod:`..commands.cohort`) with the findings of all, of making a cohort
    and of checking what was made.
    """
    findings = sorted_findings(Finding(**one) for event in found for one in event["findings"])
    return {**found[-1], "findings": [asdict(one) for one in findings], "counts": counts(findings)}


def write_findings(path: Path, findings: Iterable[Finding]) -> None:
    """The table of findings as CSV, atomically; columns :data:`COLUMNS`."""
    rows = []
    for finding in findings:
        severity, patient_id, code, text, hint, line = astuple(finding)
        rows.append([severity, patient_id, code, text, hint, "" if line is None else line])
    write_csv(path, list(COLUMNS), rows)


def as_text(findings: Iterable[Finding], together: bool = True) -> str:
    """The findings for a terminal, a line each.

    :param together: a note or warning that more than three patients have is one line, with the first one's words.
    """
    findings = list(findings)
    count = Counter((one.severity, one.code) for one in findings)
    lines, said = [], set()
    for one in findings:
        kind = (one.severity, one.code)
        others = count[kind] - 1 if together and one.severity != ERROR and count[kind] > MOST_LINES else 0
        if others and kind in said:
            continue
        said.add(kind)
        more = f" (and {others} more like it)" if others else ""
        line = f"{one.severity:7} {one.patient_id or 'cohort'}{more}: {one.text} {one.hint}".rstrip()
        lines.append(f"{line} [{one.code}]")
    return "\n".join(lines)


def refuse_errors(findings: Iterable[Finding]) -> None:
    """Raise BadInput cohort_findings, which names every error, where there is one."""
    errors = [finding for finding in findings if finding.severity == ERROR]
    if errors:
        listing = "; ".join(f"{one.patient_id or 'cohort'}: {one.text}" for one in errors)
        text = f"The cohort has {len(errors)} error{'s' * (len(errors) > 1)}: {listing}"
        raise BadInput("cohort_findings", text, "Mend them, or leave the patients out of cohort and folds.")
