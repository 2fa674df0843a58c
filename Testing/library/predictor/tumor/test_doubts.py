"""Hot places that are no tumor are not taken in silence, and of a mask in pieces it is told which one is meant."""

import numpy as np
import pytest
import SimpleITK as sitk
from CHMFLPredictorLib.tumor import location
from test_location import BODY_PARTS, COMPACT_BOX, PAPER_BOX, ball, codes, distance, made_image, painted, thigh

TUMOR = (90, -20, -450)
SPOT_ARM = [
    (lambda p: (np.hypot(p[0] - 215, p[1]) < 38) & (p[2] > -100) & (p[2] < 400), 0.5, 40),
    (lambda p: ball(p, (215, 0, 150), (22, 22, 30)), 40.0, 40),
]


def body_wide(parts, tumor_suv):
    """The whole body of test_location with other parts, 30 cm to each side."""
    parts = [*parts, (lambda p: ball(p, TUMOR, (22, 22, 40)), tumor_suv, 40)]
    region = ((-300, -150, -560), (300, 150, 740))
    return (
        made_image(painted(0, [(where, suv) for where, suv, _ in parts]), *region, (6, 6, 6)),
        made_image(painted(-1000, [(where, hu) for where, _, hu in parts]), *region, (6, 6, 6)),
    )


CONTRAST_BLADDER = [*BODY_PARTS[:-1], (BODY_PARTS[-1][0], 40.0, 240)]
ONE_KIDNEY = [part for i, part in enumerate(BODY_PARTS) if i != 10]
WITH_PELVIS = [*ONE_KIDNEY, (lambda p: ball(p, (65, -45, 20), (20, 20, 30)), 12.0, 6)]  # a rim is left of it


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        (CONTRAST_BLADDER, "bladder with contrast medium"),
        (ONE_KIDNEY, "where a kidney does"),
        (WITH_PELVIS, "where a kidney does"),
        ([*BODY_PARTS, *SPOT_ARM], "in an arm"),
    ],
    ids=["contrast in the bladder", "one kidney", "its pelvis known as urine", "injection site"],
)
def test_what_takes_the_tumors_place_is_told_with_the_candidates(parts, reason):
    place = location.find(*body_wide(parts, 4.6), PAPER_BOX)
    assert distance(place, TUMOR) > 100  # uptake alone is misled
    assert codes(place) == ["uncertain_location"]
    text = place.warnings[0]["text"]
    assert reason in text
    assert place.candidates[0]["center_ras_mm"] == pytest.approx(place.center_ras, abs=0.1)
    tumor = next(one for one in place.candidates if np.linalg.norm(np.subtract(one["center_ras_mm"], TUMOR)) < 10)
    assert tumor["suv_max"] == pytest.approx(4.6, abs=0.01)
    for one in place.candidates:
        assert f"{one['volume_ml']:.0f} ml, SUVmax {one['suv_max']:.1f}" in text


def test_a_tumor_in_a_body_wide_scan_is_not_doubted():
    place = location.find(*body_wide(BODY_PARTS, 6.0), PAPER_BOX)
    assert distance(place, TUMOR) < 5
    assert place.warnings == []


def test_a_small_very_hot_spot_and_the_images_edge_are_doubted():
    spot = [(lambda p: ball(p, (-30, 10, 130), 14), 60.0, 40)]
    assert "smaller and hotter" in location.find(*thigh(0.7, spot), COMPACT_BOX).warnings[0]["text"]
    at_edge = location.find(*thigh(low=(-110, -100, -70)), PAPER_BOX)
    assert "from the edge of the images" in at_edge.warnings[0]["text"]


# -- a mask in pieces ----------------------------------------------------------------------------


def mask_of(*parts) -> sitk.Image:
    mask = made_image(painted(0, [(where, 1) for where in parts]), (-110, -100, -180), (110, 100, 180), (3, 3, 4))
    return sitk.Cast(mask, sitk.sitkUInt8)


def large(p):
    return ball(p, (30, 0, -120), (25, 25, 30))


def small(p):
    return ball(p, (-20, 10, 140), (12, 12, 15))


def milliliters(mask) -> float:
    return float(sitk.GetArrayViewFromImage(mask).sum() * np.prod(mask.GetSpacing()) / 1000)


def test_a_mask_whose_pieces_do_not_fit_into_the_box_gives_its_largest_piece():
    alone = mask_of(large)
    piece, found = location.one_piece(mask_of(large, small), PAPER_BOX)
    assert np.array_equal(sitk.GetArrayFromImage(piece), sitk.GetArrayFromImage(alone))
    assert piece.GetOrigin() == alone.GetOrigin()
    assert [one["code"] for one in found] == ["mask_in_pieces"]
    assert f"{milliliters(alone):.1f} ml at R 30" in found[0]["text"]
    assert f"left out: {milliliters(mask_of(small)):.1f} ml" in found[0]["text"]


def test_pieces_that_fit_and_gaps_between_slices_leave_the_mask_as_it_is():
    both = mask_of(large, small)
    assert location.one_piece(both, (300, 300, 600)) == (both, [])
    gaps = sitk.Image(mask_of(lambda p: ball(p, (0, 0, 0), (25, 25, 160))))
    array = sitk.GetArrayFromImage(gaps)
    array[::2] = 0
    every_second = sitk.GetImageFromArray(array)
    every_second.CopyInformation(gaps)
    assert location.one_piece(every_second, PAPER_BOX) == (every_second, [])
