"""When a PET was decay-corrected to, and when the tracer was injected: what vendors differ in when it comes to SUV."""

import math
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from ..errors import BadInput
from .suv_tags import missing, private_value

GE = "GEMS_PETD_01"
LONGEST_UPTAKE_S = 12 * 3600.0
USUAL_UPTAKE_MIN = (20.0, 240.0)


@dataclass
class Decay:
    """Seconds from injection to the time that the pixels were decay-corrected to, for each slice."""

    seconds: np.ndarray
    rule: str
    warnings: list[dict] = field(default_factory=list)


def decay_seconds(headers: list, injection, half_life: float, name: str) -> Decay:
    """Time from injection to the decay correction's reference, for each slice, of a PET corrected to START.

    :param headers: pydicom Datasets of the slices.
    :param injection: the item of the Radiopharmaceutical Information Sequence.
    :param half_life: of the radionuclide, in seconds.
    :raises BadInput: suv_tag_missing, suv_times_implausible.
    """
    references, rule, warnings = _references(headers, half_life, name)
    start, more = _injection_time(injection, min(references), name)
    seconds = np.array([(reference - start).total_seconds() for reference in references])
    if not 0 <= seconds.min() <= seconds.max() <= LONGEST_UPTAKE_S:
        text = (
            f"Injection ({start:%Y-%m-%d %H:%M:%S}) and scan ({min(references):%Y-%m-%d %H:%M:%S}) of the {name} "
            f"are {seconds.max() / 3600:.1f} hours apart."
        )
        hint = (
            "Correct Radiopharmaceutical Start Time (0018,1072) or Start DateTime (0018,1078), or give the PET as SUV."
        )
        raise BadInput("suv_times_implausible", text, hint)
    minutes = float(np.median(seconds)) / 60
    if not USUAL_UPTAKE_MIN[0] <= minutes <= USUAL_UPTAKE_MIN[1]:
        text = f"The {name} was scanned {minutes:.0f} minutes after injection; about 60 is usual. Check its times."
        more = [*more, {"code": "uptake_time_unusual", "text": text}]
    return Decay(seconds, rule, warnings + more)


def parse_time(date, time) -> datetime | None:
    """DICOM DA and TM as a datetime, or None if either is missing or damaged; old forms with dots and colons too."""
    day = re.fullmatch(r"(\d{4})[.\-]?(\d{2})[.\-]?(\d{2})", str(date or "").strip())
    clock = re.fullmatch(r"(\d{2}):?(\d{2})?:?(\d{2})?(\.\d+)?", str(time or "").strip())
    if not day or not clock:
        return None
    try:
        base = datetime(*map(int, day.groups()))
        hour, minute, second = (int(part or 0) for part in clock.groups()[:3])
        return base + timedelta(hours=hour, minutes=minute, seconds=second + float(clock[4] or 0))
    except ValueError:
        return None


def parse_datetime(value) -> datetime | None:
    """DICOM DT as a datetime in its own clock: an offset from UTC is dropped, since series times have none."""
    text = re.sub(r"[+-]\d{4}$", "", str(value or "").strip())
    return parse_time(text[:8], text[8:]) if len(text) >= 10 else None


# Inside ----------------------------------------------------------------------------------------------


def _references(headers: list, half_life: float, name: str) -> tuple[list[datetime], str, list[dict]]:
    """The time that each slice was decay-corrected to."""
    series = [parse_time(header.get("SeriesDate"), header.get("SeriesTime")) for header in headers]
    acquired = [_acquired(header) for header in headers]
    ge_times = [parse_datetime(private_value(header, 0x0009, GE, 0x0D)) for header in headers]
    if None in acquired:
        if None not in ge_times:
            return ge_times, "GE's private scan time", []
        raise missing("AcquisitionDate" if not headers[0].get("AcquisitionDate") else "AcquisitionTime", name)
    if None not in series and min(series) <= min(acquired):
        return [min(series)] * len(headers), "series time", []
    # the series was post-processed and its time is that of its creation
    if None not in ge_times:
        return ge_times, "GE's private scan time", []
    if None in series and not headers[0].get("SeriesTime"):
        raise missing("SeriesTime" if headers[0].get("SeriesDate") else "SeriesDate", name)
    timed = [_frame(header) for header in headers]
    if None not in timed:
        moments = [
            start + timedelta(seconds=_average_count_time(duration, half_life) - reference)
            for start, (reference, duration) in zip(acquired, timed, strict=True)
        ]
        return moments, "the frames' reference times", []
    text = (
        f"The Series Time (0008,0031) of the {name} is later than its Acquisition Time (0008,0032); "
        f"the earliest acquisition ({min(acquired):%H:%M:%S}) was taken for the start of the scan."
    )
    return [min(acquired)] * len(headers), "the earliest acquisition", [{"code": "scan_time_assumed", "text": text}]


def _acquired(header) -> datetime | None:
    date = header.get("AcquisitionDate") or header.get("SeriesDate")
    return parse_time(date, header.get("AcquisitionTime")) or parse_datetime(header.get("AcquisitionDateTime"))


def _frame(header) -> tuple[float, float] | None:
    """Frame Reference Time and Actual Frame Duration in seconds where both are above 0."""
    try:
        reference, duration = (
            float(header.get(key) or 0) / 1000 for key in ("FrameReferenceTime", "ActualFrameDuration")
        )
    except (TypeError, ValueError):
        return None
    return (reference, duration) if reference > 0 and duration > 0 else None


def _average_count_time(duration: float, half_life: float) -> float:
    """Seconds into a frame at which the activity equals the frame's average."""
    decay = math.log(2) / half_life
    return math.log(decay * duration / -math.expm1(-decay * duration)) / decay


def _injection_time(injection, scan: datetime, name: str) -> tuple[datetime, list[dict]]:
    """When the tracer was injected: the date and time given, else the time of day in the 24 hours before the scan."""
    given = parse_datetime(injection.get("RadiopharmaceuticalStartDateTime"))
    if given and 0 <= (scan - given).total_seconds() <= LONGEST_UPTAKE_S:
        return given, []
    start = parse_time(f"{scan:%Y%m%d}", injection.get("RadiopharmaceuticalStartTime"))
    if start is None and given is not None:
        start = datetime.combine(scan.date(), given.time())
    if start is None:
        raise missing("RadiopharmaceuticalStartTime", name)
    if start > scan:
        start -= timedelta(days=1)
    if given is None:
        return start, []
    text = (
        f"The injection of the {name} is dated {given:%Y-%m-%d}, which does not fit the scan of "
        f"{scan:%Y-%m-%d}; its time of day alone was used."
    )
    return start, [{"code": "injection_date_ignored", "text": text}]
