"""What was injected and when: one item of the Radiopharmaceutical Information Sequence, and one of its times."""

from datetime import datetime, timedelta, timezone

from ..errors import BadInput
from .suv_tags import TAGS, missing, private_value
from .suv_times import (
    GE,
    LONGEST_UPTAKE_S,
    SAME_S,
    SCANNER_CLOCK,
    Doubt,
    Moment,
    apart,
    own_zone,
    parse_datetime,
    parse_time,
    shown,
    zones_of,
)

SEQUENCE = "RadiopharmaceuticalInformationSequence"
START_TIME, START_DATETIME = "RadiopharmaceuticalStartTime", "RadiopharmaceuticalStartDateTime"
COUNT = (START_TIME, START_DATETIME, "RadionuclideTotalDose", "RadionuclideHalfLife")  # for SUV
GE_ADMINISTRATION = 0x3B


def injections(headers: list, name: str) -> list:
    """The injection that each slice tells of.

    :raises BadInput: suv_tag_missing; suv_several_injections where a slice tells of two that are not the same.
    """
    found = []
    for header in headers:
        items = list(header.get(SEQUENCE) or ())
        if not items:
            raise missing(SEQUENCE, name)
        kinds = {tuple(str(item.get(keyword) or "") for keyword in COUNT): item for item in items}
        if len(kinds) > 1:
            raise _several(list(kinds.values()), name)
        found.append(items[0])
    for keyword in (START_TIME, START_DATETIME):
        values = {str(item.get(keyword) or "") for item in found}
        if len(values) > 1:
            text = f"The slices of the {name} disagree on {TAGS[keyword]}: {', '.join(sorted(values)[:4])}."
            raise BadInput("suv_mixed_slices", text, "Give one reconstruction of one patient.")
    return found


def injection_moment(headers: list, item, scan: datetime, name: str) -> Moment:
    """When the tracer was injected.

    QIBA's rule takes Radiopharmaceutical Start Time, which has "the same time base as Series Time" (DICOM PS3.3
    C.8.9.2), in the 24 hours before the scan. Start DateTime adds the date, stands in where there is no Start Time, and
    is told where it contradicts it, as is the time of administration that GE writes.

    :param headers: of the slices; the first counts.
    :param item: of the Radiopharmaceutical Information Sequence.
    :param scan: its begin.
    :raises BadInput: suv_tag_missing.
    """
    zone = zones_of(headers)[0]
    by_time = _before(scan, parse_time(f"{scan:%Y%m%d}", item.get(START_TIME), zone))
    by_datetime = parse_datetime(item.get(START_DATETIME), zone)
    if by_time is None and by_datetime is None:
        raise missing(START_TIME, name)
    dated = by_datetime if by_datetime is not None and _plausible(by_datetime, scan) else None
    if by_time is None:
        found = Moment(dated or _before(scan, by_datetime.replace(year=scan.year, month=scan.month, day=scan.day)))
        found.doubts += _zone_unknown(item, found.at, zone, name)
    elif dated is None:
        found = Moment(by_time)
    else:
        first, second = (by_time, dated) if _plausible(by_time, scan) else (dated, by_time)
        found = Moment(dated if abs(apart(first, second)) <= SAME_S else first)
    if by_datetime is not None and dated is None:
        text = (
            f"The injection of the {name} is dated {by_datetime:%Y-%m-%d}, which does not fit the scan of "
            f"{scan:%Y-%m-%d}; its time of day alone was used."
        )
        found.warnings.append({"code": "injection_date_ignored", "text": text})
    by_ge = parse_datetime(private_value(headers[0], 0x0009, GE, GE_ADMINISTRATION), zone)
    own = own_zone(item.get(START_DATETIME)) if zone is SCANNER_CLOCK else None
    of_own = f" in the zone {by_datetime.replace(tzinfo=own):%z}, while the scan's is not given" if own else ""
    readings = (
        (by_time, TAGS[START_TIME]),
        (by_datetime, TAGS[START_DATETIME] + of_own),
        (by_ge, "GE's private time of administration (0009,xx3B)"),
    )
    found.doubts += _differing([(moment, tag) for moment, tag in readings if moment is not None], found.at, name)
    return found


# Inside ----------------------------------------------------------------------------------------------


def _before(scan: datetime, moment: datetime | None) -> datetime | None:
    """The same time of day, in the 24 hours before the scan."""
    return moment - timedelta(days=1) if moment is not None and moment > scan else moment


def _plausible(moment: datetime, scan: datetime) -> bool:
    return 0 <= (scan - moment).total_seconds() <= LONGEST_UPTAKE_S


def _differing(readings: list[tuple[datetime, str]], taken: datetime, name: str) -> list[Doubt]:
    """The first reading that is more than a minute off what was taken."""
    taken_tag = next(tag for moment, tag in readings if abs(apart(taken, moment)) <= SAME_S)
    for moment, tag in readings:
        later = apart(taken, moment)
        if abs(later) > SAME_S:
            text = (
                f"The tracer of the {name} was injected at {shown(taken)} by {taken_tag}, at {shown(moment)} by {tag}: "
                f"{abs(later) / 60:.0f} minutes apart. The first was taken; check which is right."
            )
            return [Doubt({"code": "injection_times_differ", "text": text}, -later)]
    return []


def _zone_unknown(item, taken: datetime, zone: timezone, name: str) -> list[Doubt]:
    """An injection with a zone, and a scan without one: whether their clocks are one is not known."""
    own = own_zone(item.get(START_DATETIME))
    if own is None or zone is not SCANNER_CLOCK:
        return []
    ahead = own.utcoffset(None).total_seconds() or -3600.0
    clock = "UTC" if own.utcoffset(None) else "an hour ahead of UTC"
    text = (
        f"The tracer of the {name} was injected at {shown(taken)} in the zone {taken.replace(tzinfo=own):%z} by "
        f"{TAGS[START_DATETIME]}; the scan's zone is not given (Timezone Offset From UTC (0008,0201)), the same was "
        "assumed."
    )
    return [Doubt({"code": "injection_zone_assumed", "text": text}, ahead, f"if the scanner's clock is {clock}")]


def _several(items: list, name: str) -> BadInput:
    listing = "; ".join(
        f"{item.get('RadionuclideTotalDose') or 'no dose'} Bq at {item.get(START_TIME) or item.get(START_DATETIME)}"
        for item in items
    )
    text = f"The {name} tells of {len(items)} injections ({listing}); which one its activity is of cannot be told."
    hint = f"Leave the one of this scan in {TAGS[SEQUENCE]}, or give the PET as body-weight SUV."
    return BadInput("suv_several_injections", text, hint)
