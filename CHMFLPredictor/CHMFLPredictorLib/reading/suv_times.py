"""When a PET was decay-corrected to: what vendors differ in when it comes to SUV.

Every moment carries its zone: that of a DateTime with an offset, else the object's Timezone Offset From UTC (0008,0201;
DICOM PS3.3 C.12.1.1.8). Where neither is given, moments are of the scanner's own clock, :data:`SCANNER_CLOCK`.
"""

import math
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

import numpy as np

from ..errors import BadInput
from .suv_tags import missing, private_value

GE = "GEMS_PETD_01"
SCANNER_CLOCK = timezone(timedelta(0), "the scanner's clock")  # told from UTC by identity, never by value
SAME_S = 60.0  # two tags of one moment may differ by so much
LONGEST_UPTAKE_S = 12 * 3600.0
USUAL_UPTAKE_MIN = (20.0, 240.0)


@dataclass
class Doubt:
    """Two readings of one moment, of which the first was taken.

    :ivar warning: ``{"code", "text"}`` with both values.
    :ivar longer_s: seconds by which the decay is longer by the second.
    :ivar second: how the second is called in "SUVmax is ... by the first, ... by the second".
    """

    warning: dict
    longer_s: float
    second: str = "by the second"


@dataclass
class Decay:
    """Seconds from injection to the time that the pixels were decay-corrected to, for each slice."""

    seconds: np.ndarray
    rule: str
    warnings: list[dict] = field(default_factory=list)
    doubts: list[Doubt] = field(default_factory=list)


@dataclass
class Moment:
    """A moment that was chosen among tags, with what there is to say about the choice."""

    at: datetime
    warnings: list[dict] = field(default_factory=list)
    doubts: list[Doubt] = field(default_factory=list)


def decay_seconds(headers: list, injected, half_life: float, name: str) -> Decay:
    """Time from injection to the decay correction's reference, for each slice, of a PET corrected to START.

    :param headers: pydicom Datasets of the slices.
    :param injected: called with the scan's begin, gives the injection's :class:`Moment`.
    :param half_life: of the radionuclide, in seconds.
    :raises BadInput: suv_tag_missing, suv_times_implausible.
    """
    scan = _Scan(headers, half_life, name)
    references, rule = scan.references()
    start = injected(min(references))
    seconds = np.array([(reference - start.at).total_seconds() for reference in references])
    if not 0 <= seconds.min() <= seconds.max() <= LONGEST_UPTAKE_S:
        text = (
            f"Injection ({shown(start.at)}) and scan ({shown(min(references))}) of the {name} "
            f"are {seconds.max() / 3600:.1f} hours apart."
        )
        hint = (
            "Correct Radiopharmaceutical Start Time (0018,1072) or Start DateTime (0018,1078), or give the PET as SUV."
        )
        raise BadInput("suv_times_implausible", text, hint)
    warnings = scan.warnings + start.warnings
    minutes = float(np.median(seconds)) / 60
    if not USUAL_UPTAKE_MIN[0] <= minutes <= USUAL_UPTAKE_MIN[1]:
        text = f"The {name} was scanned {minutes:.0f} minutes after injection; about 60 is usual. Check its times."
        warnings.append({"code": "uptake_time_unusual", "text": text})
    return Decay(seconds, rule, warnings, scan.doubts + start.doubts)


def parse_time(date, time, zone: timezone = SCANNER_CLOCK) -> datetime | None:
    """DICOM DA and TM as a moment, or None if either is missing or damaged; old forms with dots and colons too."""
    day = re.fullmatch(r"(\d{4})[.\-]?(\d{2})[.\-]?(\d{2})", str(date or "").strip())
    clock = re.fullmatch(r"(\d{2}):?(\d{2})?:?(\d{2})?(\.\d+)?", str(time or "").strip())
    if not day or not clock:
        return None
    try:
        base = datetime(*map(int, day.groups()), tzinfo=zone)
        hour, minute, second = (int(part or 0) for part in clock.groups()[:3])
        return base + timedelta(hours=hour, minutes=minute, seconds=second + float(clock[4] or 0))
    except ValueError:
        return None


def parse_datetime(value, zone: timezone = SCANNER_CLOCK) -> datetime | None:
    """DICOM DT as a moment in a zone. Where the zone is not known, an offset from UTC cannot be brought to it: then the
    clock is taken as it stands.
    """
    text = re.sub(r"[+-]\d{4}$", "", str(value or "").strip())
    own = own_zone(value)
    moment = parse_time(text[:8], text[8:], own if own and zone is not SCANNER_CLOCK else zone)
    return moment and moment.astimezone(zone)


def own_zone(value) -> timezone | None:
    """The offset from UTC that a DT, or Timezone Offset From UTC, ends in; None without one."""
    found = re.search(r"([+-])(\d{2})(\d{2})$", str(value or "").strip())
    if not found or int(found[2]) > 14:
        return None
    offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
    return timezone(-offset if found[1] == "-" else offset)


def zones_of(headers: list) -> list[timezone]:
    """The zone of each slice's dates and times; a slice that tells none has that of the others."""
    values = [header.get("TimezoneOffsetFromUTC") or "" for header in headers]
    told = [own_zone(value if isinstance(value, str) else value[0]) for value in values]
    default = next((zone for zone in told if zone), SCANNER_CLOCK)
    return [zone or default for zone in told]


def shown(moment: datetime) -> str:
    """A moment for people, with its zone where that is known."""
    return f"{moment:%Y-%m-%d %H:%M:%S}" + ("" if moment.tzinfo is SCANNER_CLOCK else f" {moment:%z}")


def apart(first: datetime, second: datetime) -> float:
    """Seconds from the first to the second on the face of the clock, -12 to 12 hours: dates are shifted where a PET is
    made anonymous, not always all of them.
    """
    day = 24 * 3600.0
    return ((second - first).total_seconds() + day / 2) % day - day / 2


# Inside ----------------------------------------------------------------------------------------------


class _Scan:
    """The time that each slice was decay-corrected to, by QIBA's rule, and what contradicts it."""

    def __init__(self, headers: list, half_life: float, name: str):
        self._headers, self._half_life, self._name = headers, half_life, name
        self._zones = zones_of(headers)
        self.warnings: list[dict] = []
        self.doubts: list[Doubt] = []

    def references(self) -> tuple[list[datetime], str]:
        """One moment for each slice, and how it was found.

        :raises BadInput: suv_tag_missing.
        """
        headers, zones = self._headers, self._zones
        series = [
            parse_time(one.get("SeriesDate"), one.get("SeriesTime"), zone)
            for one, zone in zip(headers, zones, strict=True)
        ]
        acquired = [_acquired(one, zone) for one, zone in zip(headers, zones, strict=True)]
        ge_times = [
            parse_datetime(private_value(one, 0x0009, GE, 0x0D), zone) for one, zone in zip(headers, zones, strict=True)
        ]
        if None in acquired:
            if None not in ge_times:
                return ge_times, "GE's private scan time"
            raise missing("AcquisitionDate" if not headers[0].get("AcquisitionDate") else "AcquisitionTime", self._name)
        if None not in series and min(series) <= min(acquired):
            self._compare(min(series), ge_times, acquired)
            return [min(series)] * len(headers), "series time"
        # the series was post-processed and its time is that of its creation
        if None not in ge_times:
            return ge_times, "GE's private scan time"
        if None in series and not headers[0].get("SeriesTime"):
            raise missing("SeriesTime" if headers[0].get("SeriesDate") else "SeriesDate", self._name)
        timed = [_frame(header) for header in headers]
        if None not in timed and all(reference > 0 for reference, _ in timed):
            moments = [
                start + timedelta(seconds=_average_count_time(duration, self._half_life) - reference)
                for start, (reference, duration) in zip(acquired, timed, strict=True)
            ]
            return moments, "the frames' reference times"
        text = (
            f"The Series Time (0008,0031) of the {self._name} is later than its Acquisition Time (0008,0032); "
            f"the earliest acquisition ({min(acquired):%H:%M:%S}) was taken for the start of the scan."
        )
        self.warnings.append({"code": "scan_time_assumed", "text": text})
        return [min(acquired)] * len(headers), "the earliest acquisition"

    def _compare(self, series: datetime, ge_times: list, acquired: list) -> None:
        """A scan that began at another time than its series says: the series may have been opened before."""
        if None not in ge_times:
            other, tag = min(ge_times), "GE's private scan time (0009,xx0D)"
        else:
            other, tag = self._by_frames(series, acquired), "its frames' Acquisition and Frame Reference Time"
        if other is None or abs(longer := apart(series, other)) <= SAME_S:
            return
        text = (
            f"The {self._name} was scanned at {shown(series)} by its Series Time (0008,0031), at {shown(other)} by "
            f"{tag}: {abs(longer) / 60:.0f} minutes apart. By QIBA's rule the first was taken."
        )
        self.doubts.append(Doubt({"code": "scan_times_differ", "text": text}, longer))

    def _by_frames(self, series: datetime, acquired: list[datetime]) -> datetime | None:
        """The start of the scan by the frames, as near to the series' as they allow.

        Frame Reference Time is counted from the start of the scan, to the frame's start with one vendor and to its
        average count with another. Without the first frames, in a series that was cropped, nothing is known.
        """
        timed = [_frame(header) for header in self._headers]
        if None in timed or len(self._headers) < int(self._headers[0].get("NumberOfSlices") or 1):
            return None
        earliest, duration = min(
            (start - timedelta(seconds=reference), duration)
            for start, (reference, duration) in zip(acquired, timed, strict=True)
        )
        latest = earliest + timedelta(seconds=_average_count_time(duration, self._half_life))
        return min(max(series, earliest), latest)


def _acquired(header, zone: timezone) -> datetime | None:
    date = header.get("AcquisitionDate") or header.get("SeriesDate")
    return parse_time(date, header.get("AcquisitionTime"), zone) or parse_datetime(
        header.get("AcquisitionDateTime"), zone
    )


def _frame(header) -> tuple[float, float] | None:
    """Frame Reference Time (0 or above) and Actual Frame Duration (above 0) in seconds, where both are given."""
    try:
        reference, duration = (float(header.get(key)) / 1000 for key in ("FrameReferenceTime", "ActualFrameDuration"))
    except (TypeError, ValueError):
        return None
    return (reference, duration) if reference >= 0 and duration > 0 else None


def _average_count_time(duration: float, half_life: float) -> float:
    """Seconds into a frame at which the activity equals the frame's average."""
    decay = math.log(2) / half_life
    return math.log(decay * duration / -math.expm1(-decay * duration)) / decay
