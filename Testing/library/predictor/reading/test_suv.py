"""SUV factors against numbers worked out by hand, vendor by vendor, and a refusal for every tag that can be missing."""

import math

import numpy as np
import pytest
from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.reading.suv import suv_factors
from CHMFLPredictorLib.reading.suv_times import SCANNER_CLOCK, own_zone, parse_datetime, parse_time, shown
from made_dicom import header

pytest.importorskip("pydicom", reason="pydicom is not installed")

# 70 kg, 350 MBq, injected at 9:00 and scanned at 10:00: 3600 s of 6586.2 s half-life
DECAYED = 350e6 * 0.5 ** (3600 / 6586.2)
ONE_HOUR = 70_000 / DECAYED
UNDECAYED = 70_000 / 350e6


def one_factor(*headers):
    conversion = suv_factors(list(headers))
    assert conversion.factors.shape == (len(headers),)
    return conversion.factors[0]


def codes(*headers):
    return [warning["code"] for warning in suv_factors(list(headers)).warnings]


def refusal(*headers):
    with pytest.raises(BadInput) as caught:
        suv_factors(list(headers))
    assert caught.value.exit_code == 2 and caught.value.hint
    return caught.value


def test_hand_worked_example():
    # decay over one hour leaves 68.46 % of the dose: exp(-ln2 * 3600 / 6586.2)
    assert math.isclose(DECAYED / 350e6, math.exp(-math.log(2) * 3600 / 6586.2))
    assert one_factor(header()) == pytest.approx(2.9213e-4, rel=1e-4)
    assert one_factor(header()) == pytest.approx(ONE_HOUR, rel=1e-12)
    assert codes(header()) == []


def test_administration_needs_no_decay():
    late = header(DecayCorrection="ADMIN", SeriesTime=None, AcquisitionTime=None, RadiopharmaceuticalStartTime=None)
    assert one_factor(late) == pytest.approx(UNDECAYED, rel=1e-12)


def test_series_time_wins_over_later_acquisition():
    """Second bed position: acquired 20 minutes into the scan, but decay-corrected to its start."""
    first, second = header(AcquisitionTime="100000"), header(AcquisitionTime="102000")
    assert suv_factors([second, first]).factors == pytest.approx([ONE_HOUR] * 2, rel=1e-12)


def test_ge_private_scan_time_for_post_processed_series():
    late = header(SeriesTime="170000", Manufacturer="GE MEDICAL SYSTEMS")
    late.private_block(0x0009, "GEMS_PETD_01", create=True).add_new(0x0D, "DT", "20200310100000.00")
    late.AcquisitionTime = "104500"
    conversion = suv_factors([late])
    assert conversion.factors[0] == pytest.approx(ONE_HOUR, rel=1e-12)
    assert "GE" in conversion.rule and not conversion.warnings


def test_ge_private_time_as_unknown_bytes():
    """Implicit VR with a private block that was moved: the value arrives as bytes."""
    late = header(SeriesTime="170000", AcquisitionTime="104500")
    late.add_new(0x00090010, "LO", "SOMEBODY ELSE")
    late.add_new(0x00090011, "LO", "GEMS_PETD_01")
    late.add_new(0x0009110D, "UN", b"20200310100000.00 ")
    assert one_factor(late) == pytest.approx(ONE_HOUR, rel=1e-12)


def test_siemens_frames_are_traced_back_to_the_scan_start():
    """Post-processed series of two beds: each frame's acquisition minus its reference time gives the same start."""
    duration, half_life = 180.0, 6586.2
    lam = math.log(2) / half_life
    # the moment within a frame when activity equals the frame's mean, by numerical integration instead of the formula
    times = np.linspace(0, duration, 200_001)
    mean = np.trapezoid(np.exp(-lam * times), times) / duration
    average = -math.log(mean) / lam
    headers = []
    for offset, clock in ((0.0, "100000"), (600.0, "101000")):
        reference_ms = 1000 * (offset + average)
        headers.append(
            header(
                SeriesTime="170000", AcquisitionTime=clock, FrameReferenceTime=reference_ms, ActualFrameDuration=180000
            )
        )
    conversion = suv_factors(headers)
    assert conversion.factors == pytest.approx([ONE_HOUR] * 2, rel=1e-7)
    assert conversion.warnings == []


def test_earliest_acquisition_when_nothing_else_is_known():
    headers = [header(SeriesTime="170000", AcquisitionTime=clock) for clock in ("101000", "100000")]
    conversion = suv_factors(headers)
    assert conversion.factors == pytest.approx([ONE_HOUR] * 2, rel=1e-12)
    assert [warning["code"] for warning in conversion.warnings] == ["scan_time_assumed"]


def test_series_created_during_the_scan_gives_no_scan_time():
    """Between the first and the last bed position: not the time that the first was corrected to."""
    headers = [header(SeriesTime="101000", AcquisitionTime=clock) for clock in ("102000", "100000")]
    conversion = suv_factors(headers)
    assert conversion.factors == pytest.approx([ONE_HOUR] * 2, rel=1e-12)
    assert [warning["code"] for warning in conversion.warnings] == ["scan_time_assumed"]


def test_injection_before_midnight():
    after = {
        "SeriesDate": "20200311",
        "AcquisitionDate": "20200311",
        "SeriesTime": "003000",
        "AcquisitionTime": "003000",
    }
    by_time = header(RadiopharmaceuticalStartTime="233000", **after)
    by_date = header(RadiopharmaceuticalStartDateTime="20200310233000.00", RadiopharmaceuticalStartTime=None, **after)
    assert one_factor(by_time) == pytest.approx(ONE_HOUR, rel=1e-12)
    assert one_factor(by_date) == pytest.approx(ONE_HOUR, rel=1e-12)
    assert codes(by_time) == codes(by_date) == []


def test_scan_that_passes_midnight():
    beds = [header(SeriesTime="235900", AcquisitionTime="235900", RadiopharmaceuticalStartTime="225900")]
    beds.append(
        header(
            SeriesTime="235900",
            AcquisitionDate="20200311",
            AcquisitionTime="000500",
            RadiopharmaceuticalStartTime="225900",
        )
    )
    assert suv_factors(beds).factors == pytest.approx([ONE_HOUR] * 2, rel=1e-12)


def test_shifted_injection_date_falls_back_to_the_time_of_day():
    """De-identification moved one date but not the other, as in the public STS_002."""
    one = header(RadiopharmaceuticalStartDateTime="20200311090000", RadiopharmaceuticalStartTime="090000")
    assert one_factor(one) == pytest.approx(ONE_HOUR, rel=1e-12)
    assert codes(one) == ["injection_date_ignored"]


def test_injection_a_minute_after_the_scan_is_not_taken_for_yesterday():
    error = refusal(header(RadiopharmaceuticalStartTime="100100"))
    assert error.code == "suv_times_implausible" and "24.0 hours" in error.message


def philips(suv_scale=None, activity_scale=None, **changes):
    one = header(Units="CNTS", **changes)
    block = one.private_block(0x7053, "Philips PET Private Group", create=True)
    for element, value in ((0x00, suv_scale), (0x09, activity_scale)):
        if value is not None:
            block.add_new(element, "DS", str(value))
    return one


def test_philips_suv_scale_factor():
    assert one_factor(philips(suv_scale=0.000542, activity_scale=1.9)) == pytest.approx(0.000542)


@pytest.mark.parametrize("suv_scale", [None, 0])
def test_philips_activity_scale_factor(suv_scale):
    assert one_factor(philips(suv_scale, activity_scale=1.9)) == pytest.approx(1.9 * ONE_HOUR, rel=1e-12)


def test_philips_suv_scale_factor_of_some_slices_is_not_enough():
    mixed = [philips(0.5, activity_scale=1.9), philips(0, activity_scale=1.9)]
    assert suv_factors(mixed).factors == pytest.approx([1.9 * ONE_HOUR] * 2, rel=1e-12)


def test_philips_without_factors_names_both_tags():
    error = refusal(header(Units="CNTS"))
    assert error.code == "suv_tag_missing" and "(7053,1000)" in error.message and "(7053,1009)" in error.message


def test_philips_factor_of_another_vendor_is_not_taken():
    one = header(Units="CNTS")
    one.private_block(0x7053, "NOT PHILIPS", create=True).add_new(0x00, "DS", "0.5")
    assert refusal(one).code == "suv_tag_missing"


def test_philips_factors_differ_by_slice():
    assert suv_factors([philips(0.5), philips(0.25)]).factors == pytest.approx([0.5, 0.25])


@pytest.mark.parametrize("kind", [None, "BW"])
def test_gml_is_suv_already(kind):
    assert one_factor(header(Units="GML", SUVType=kind, PatientWeight=None, CorrectedImage=None)) == 1.0


@pytest.mark.parametrize("kind", ["LBM", "LBMJANMA", "BSA", "IBW"])
def test_other_normalizations_are_refused_by_name(kind):
    error = refusal(header(Units="GML", SUVType=kind))
    assert error.code == "suv_type_unsupported" and kind in error.message


@pytest.mark.parametrize(
    ("keyword", "tag"),
    [
        ("Units", "Units (0054,1001)"),
        ("PatientWeight", "Patient's Weight (0010,1030)"),
        ("CorrectedImage", "Corrected Image (0028,0051)"),
        ("DecayCorrection", "Decay Correction (0054,1102)"),
        ("RadiopharmaceuticalInformationSequence", "Radiopharmaceutical Information Sequence (0054,0016)"),
        ("RadionuclideTotalDose", "Radionuclide Total Dose (0018,1074)"),
        ("RadionuclideHalfLife", "Radionuclide Half Life (0018,1075)"),
        ("RadiopharmaceuticalStartTime", "Radiopharmaceutical Start Time (0018,1072)"),
        ("AcquisitionTime", "Acquisition Time (0008,0032)"),
    ],
)
def test_every_missing_tag_is_named(keyword, tag):
    error = refusal(header(**{keyword: None}))
    assert error.code == "suv_tag_missing" and tag in error.message


@pytest.mark.parametrize("keyword", ["PatientWeight", "RadionuclideTotalDose", "RadionuclideHalfLife"])
def test_zero_means_missing(keyword):
    assert refusal(header(**{keyword: 0})).code == "suv_tag_missing"


def test_series_time_missing_is_no_excuse_to_guess():
    error = refusal(header(SeriesTime=None))
    assert error.code == "suv_tag_missing" and "(0008,0031)" in error.message


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("RadionuclideTotalDose", 350), ("PatientWeight", 70000), ("RadionuclideHalfLife", 1.83)],
)
def test_wrong_units_in_a_tag_are_refused(keyword, value):
    error = refusal(header(**{keyword: value}))
    assert error.code == "suv_tag_implausible" and str(value) in error.message


@pytest.mark.parametrize("corrected", [["NORM", "DECY"], ["ATTN", "SCAT"], "NORM"])
def test_uncorrected_images_are_refused(corrected):
    assert refusal(header(CorrectedImage=corrected)).code == "suv_not_corrected"


def test_no_decay_correction_is_refused():
    error = refusal(header(DecayCorrection="NONE"))
    assert error.code == "suv_not_corrected" and "(0054,1102)" in error.message


def test_unknown_units_are_refused():
    error = refusal(header(Units="PROPCPS"))
    assert error.code == "suv_units_unsupported" and "PROPCPS" in error.message


def test_slices_of_two_patients_are_refused():
    error = refusal(header(), header(PatientWeight=80))
    assert error.code == "suv_mixed_slices" and "(0010,1030)" in error.message


def test_unusual_numbers_warn():
    assert codes(header(RadionuclideHalfLife=4062.6)) == ["half_life_unusual"]  # gallium-68
    assert codes(header(RadiopharmaceuticalStartTime="095500")) == ["uptake_time_unusual"]
    assert codes(header(RadiopharmaceuticalStartTime="050000")) == ["uptake_time_unusual"]


def test_dicom_times_in_all_their_forms():
    assert shown(parse_time("20200310", "093000")) == "2020-03-10 09:30:00"
    assert parse_time("20200310", "093000.5").microsecond == 500_000
    assert shown(parse_time("2020.03.10", "09:30:00")) == "2020-03-10 09:30:00"
    assert shown(parse_time("20200310", "0930")) == "2020-03-10 09:30:00"
    assert parse_time("20200310", "") is None and parse_time(None, "093000") is None
    assert parse_time("20201340", "093000") is None
    assert parse_datetime("20200310") is None and parse_datetime(None) is None


def test_a_datetime_is_brought_to_the_zone_of_the_scan():
    value, winter = "20200310093000.000000+0100", own_zone("+0100")
    assert shown(parse_datetime(value, winter)) == "2020-03-10 09:30:00 +0100"
    assert shown(parse_datetime(value, own_zone("-0500"))) == "2020-03-10 03:30:00 -0500"
    assert shown(parse_datetime("20200310093000", winter)) == "2020-03-10 09:30:00 +0100"
    assert shown(parse_datetime(value)) == "2020-03-10 09:30:00"  # no zone to bring it to
    assert parse_datetime(value).tzinfo is SCANNER_CLOCK and own_zone("20200310093000") is None


# Two tags of one fact ------------------------------------------------------------------------------------------------


def told(*headers, suv_max=10.0):
    return {warning["code"]: warning["text"] for warning in suv_factors(list(headers)).told(suv_max)}


HOUR = 2 ** (3600 / 6586.2)  # what an hour of decay makes of SUV


@pytest.mark.parametrize(("start_time", "minutes"), [("090100", 0), ("081500", 45), ("093000", 30)])
def test_start_time_counts_and_a_start_datetime_that_contradicts_it_is_told(start_time, minutes):
    """QIBA's pseudo-code reads Start Time alone; within a minute the one that has a date is taken."""
    one = header(RadiopharmaceuticalStartDateTime="20200310090000", RadiopharmaceuticalStartTime=start_time)
    by_time = one_factor(header(RadiopharmaceuticalStartTime=start_time))
    assert one_factor(one) == pytest.approx(by_time if minutes else ONE_HOUR, rel=1e-12)
    assert list(told(one)) == (["injection_times_differ"] if minutes else [])
    if minutes:
        text = told(one)["injection_times_differ"]
        assert "(0018,1072)" in text and "(0018,1078)" in text and f"{minutes} minutes" in text
        other = 10 * ONE_HOUR / by_time
        assert f"{start_time[:2]}:{start_time[2:4]}:00" in text and "09:00:00" in text
        assert f"10.00 by the first, {other:.2f} by the second" in text


def test_a_start_time_after_the_scan_gives_way_to_the_datetime():
    one = header(RadiopharmaceuticalStartDateTime="20200310090000", RadiopharmaceuticalStartTime="110000")
    assert one_factor(one) == pytest.approx(ONE_HOUR, rel=1e-12)
    assert f"10.00 by the first, {10 / HOUR**2:.2f} by the second" in told(one)["injection_times_differ"]


def test_a_shifted_date_hides_no_other_time_of_day():
    one = header(RadiopharmaceuticalStartDateTime="20210401080000", RadiopharmaceuticalStartTime="090000")
    assert one_factor(one) == pytest.approx(ONE_HOUR, rel=1e-12)
    assert list(told(one)) == ["injection_date_ignored", "injection_times_differ"]
    assert f"{10 * HOUR:.2f} by the second" in told(one)["injection_times_differ"]


def test_ges_private_administration_time_is_compared():
    one = header()
    block = one.private_block(0x0009, "GEMS_PETD_01", create=True)
    block.add_new(0x3B, "DT", "20200310090030.00")
    assert told(one) == {}
    block[0x3B].value = "20200310084500.00"
    assert "GE's private time of administration" in told(one)["injection_times_differ"]


@pytest.mark.parametrize("datetime", ["20200310080000+0000", "20200310090000+0100", "20200310040000-0400"])
@pytest.mark.parametrize("start_time", [None, "090000"])
def test_zones_are_respected(datetime, start_time):
    """The scan at 10:00 in a zone an hour ahead of UTC, the injection written in another one."""
    zoned = {"TimezoneOffsetFromUTC": "+0100", "RadiopharmaceuticalStartDateTime": datetime}
    one = header(RadiopharmaceuticalStartTime=start_time, **zoned)
    assert one_factor(one) == pytest.approx(ONE_HOUR, rel=1e-12)
    assert told(one) == {}


def test_slices_on_either_side_of_a_change_of_the_clock():
    """The second bed was scanned after the clock was put forward: 3:05 then is five minutes after 2:00 now."""
    dates = {"SeriesDate": "20200329", "AcquisitionDate": "20200329", "RadiopharmaceuticalStartTime": "010000"}
    before = {"TimezoneOffsetFromUTC": "+0100", "SeriesTime": "020000", "AcquisitionTime": "020000"}
    after = {"TimezoneOffsetFromUTC": "+0200", "SeriesTime": "030500", "AcquisitionTime": "030500"}
    assert suv_factors([header(**dates, **before), header(**dates, **after)]).factors == pytest.approx([ONE_HOUR] * 2)


@pytest.mark.parametrize(
    ("datetime", "second", "clock"),
    [("20200310090000+0100", HOUR, "UTC"), ("20200310090000+0000", 1 / HOUR, "an hour ahead of UTC")],
)
def test_a_zone_of_the_injection_alone_is_told(datetime, second, clock):
    one = header(RadiopharmaceuticalStartDateTime=datetime, RadiopharmaceuticalStartTime=None)
    assert one_factor(one) == pytest.approx(ONE_HOUR, rel=1e-12)
    text = told(one)["injection_zone_assumed"]
    assert f"10.00 by the first, {10 * second:.2f} if the scanner's clock is {clock}." in text
    assert "(0008,0201)" in text and datetime[-5:] in text


def test_start_time_shares_the_clock_of_a_scan_without_a_zone():
    one = header(RadiopharmaceuticalStartDateTime="20200310080000+0000", RadiopharmaceuticalStartTime="090000")
    assert one_factor(one) == pytest.approx(ONE_HOUR, rel=1e-12)
    assert "in the zone +0000, while the scan's is not given" in told(one)["injection_times_differ"]
    same = header(RadiopharmaceuticalStartDateTime="20200310090000+0100", RadiopharmaceuticalStartTime="090000")
    assert told(same) == {}


def ge(series_time, scan_time, **changes):
    one = header(SeriesTime=series_time, **changes)
    one.private_block(0x0009, "GEMS_PETD_01", create=True).add_new(0x0D, "DT", scan_time)
    return one


def test_a_series_that_was_opened_before_the_scan_is_told():
    """QIBA takes the Series Time that is not after the acquisition; GE's own scan time may be another."""
    early = ge("094000", "20200310100000.00")
    assert one_factor(early) == pytest.approx(one_factor(header(SeriesTime="094000")), rel=1e-12)
    text = told(early)["scan_times_differ"]
    assert "09:40:00" in text and "10:00:00" in text and "20 minutes" in text
    assert f"10.00 by the first, {10 * 2 ** (1200 / 6586.2):.2f} by the second" in text
    assert told(ge("095930", "20200310100000.00")) == {}
    assert told(ge("100000", "20010203100000.00")) == {}  # made anonymous: another date, the same time


@pytest.mark.parametrize("reference_s", [720.0, 720.0 + 90.0])
def test_frames_tell_when_the_scan_began(reference_s):
    """The bed of 10:12, of a series of 10:00 or 9:40; its reference time counts to its start or to its middle."""
    frame = {"AcquisitionTime": "101200", "FrameReferenceTime": 1000 * reference_s, "ActualFrameDuration": 180_000}
    assert told(header(**frame)) == {}
    text = told(header(SeriesTime="094000", **frame))["scan_times_differ"]
    assert "Frame Reference Time" in text
    assert told(header(SeriesTime="094000", NumberOfSlices=40, **frame)) == {}  # of 40 slices one is left


# Several injections and other tracers --------------------------------------------------------------------------------


def injected(*changes):
    """A header with an injection for each set of changes."""
    from pydicom.sequence import Sequence

    one = header()
    one.RadiopharmaceuticalInformationSequence = Sequence(
        [header(**each).RadiopharmaceuticalInformationSequence[0] for each in changes]
    )
    return one


def test_two_injections_are_refused_and_one_told_twice_is_one():
    first = {"RadiopharmaceuticalStartTime": "073000", "RadionuclideTotalDose": 250e6}
    error = refusal(injected(first, {}))
    assert error.code == "suv_several_injections"
    assert all(word in error.message for word in ("073000", "250000000", "090000", "350000000"))
    assert one_factor(injected({}, {})) == pytest.approx(ONE_HOUR, rel=1e-12)


def test_slices_of_two_injections_are_refused():
    error = refusal(header(), header(RadiopharmaceuticalStartTime="081500"))
    assert error.code == "suv_mixed_slices" and "(0018,1072)" in error.message


@pytest.mark.parametrize(
    "name",
    [
        "FDG", "18F-FDG", "F18FDG", "[18F]FDG", "FDG -- fluorodeoxyglucose", "Fluorodeoxyglucose F^18^",
        "Fludeoxyglucose F 18", "2-deoxy-2-[18F]fluoro-D-glucose", "Fluordesoxyglukose", "fluorodésoxyglucose",
        "Fluorodeossiglucosio",
    ],
)  # fmt: skip
def test_fdg_by_any_name(name):
    assert codes(header(Radiopharmaceutical=name)) == []


@pytest.mark.parametrize(
    "name",
    [
        "PSMA-1007", "18F-DCFPyL", "Ga68 DOTATATE", "DOTATOC", "Fluoroestradiol", "FES", "18F-FET", "NaF",
        "Sodium fluoride F-18", "Fluorocholine", "11C-Choline", "Fluciclovine", "F-DOPA", "FLT", "FAPI-46", "FDGal",
    ],
)  # fmt: skip
def test_other_tracers_are_told_by_name(name):
    text = told(header(Radiopharmaceutical=name))["tracer_not_fdg"]
    assert name in text and "FDG alone" in text


def coded(value, meaning="", **changes):
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    one, code = header(**changes), Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "SCT", meaning
    one.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalCodeSequence = Sequence([code])
    return one


def test_tracers_by_code():
    assert codes(coded("35321007", Radiopharmaceutical="Solution")) == []
    assert codes(coded("C-B1031", Radiopharmaceutical=None)) == []
    assert codes(coded("C-B103C", "Fluorodopa F^18^", Radiopharmaceutical=None)) == ["tracer_not_fdg"]
    assert codes(coded("1", "PSMA-1007", Radiopharmaceutical="FDG")) == ["tracer_not_fdg"]
    assert codes(coded("C-B1037", Radiopharmaceutical=None)) == ["tracer_unknown"]


def test_unknown_and_absent_names_are_told():
    assert "'XY-17'" in told(header(Radiopharmaceutical="XY-17"))["tracer_unknown"]
    assert codes(header(Radiopharmaceutical=None)) == ["tracer_unnamed"]


@pytest.mark.parametrize("units", [{"Units": "GML"}, {"DecayCorrection": "ADMIN"}])
def test_the_tracer_is_told_however_suv_is_computed(units):
    assert codes(header(Radiopharmaceutical="PSMA-1007", **units)) == ["tracer_not_fdg"]
