"""SUV factors against numbers worked out by hand, vendor by vendor, and a refusal for every tag that can be missing."""

import math

import numpy as np
import pytest
from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.reading.suv import suv_factors
from CHMFLPredictorLib.reading.suv_times import parse_datetime, parse_time
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


def test_start_datetime_wins_over_start_time():
    one = header(RadiopharmaceuticalStartDateTime="20200310090000", RadiopharmaceuticalStartTime="081500")
    assert one_factor(one) == pytest.approx(ONE_HOUR, rel=1e-12)


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
    assert parse_time("20200310", "093000.5").isoformat() == "2020-03-10T09:30:00.500000"
    assert parse_time("2020.03.10", "09:30:00").isoformat() == "2020-03-10T09:30:00"
    assert parse_time("20200310", "0930").isoformat() == "2020-03-10T09:30:00"
    assert parse_time("20200310", "") is None and parse_time(None, "093000") is None
    assert parse_time("20201340", "093000") is None
    assert parse_datetime("20200310093000.000000+0100").isoformat() == "2020-03-10T09:30:00"
    assert parse_datetime("20200310") is None and parse_datetime(None) is None
