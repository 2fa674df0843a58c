"""Slices for people: orientation, scale and outline are right whatever the volumes' grids and directions."""

from functools import cache

import numpy as np
import pytest
import SimpleITK as sitk
from CHMFLPredictorLib.report.outlines import outline_segments
from CHMFLPredictorLib.report.pictures import (
    HEADER,
    MARGIN,
    OUTLINE,
    PANEL,
    WIDTH,
    relevance_picture,
    save_picture,
    slices_picture,
)

DIRECTIONS = {
    "identity": np.eye(3),
    "flipped": np.diag([-1.0, -1.0, -1.0]),
    "axes swapped": np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
    "oblique": np.array(sitk.Euler3DTransform((0, 0, 0), 0.2, -0.1, 0.3).GetMatrix()).reshape(3, 3),
}
BALL_LPS, BALL_MM = np.array([-10.0, 20.0, 30.0]), 30.0
HOT_LPS = BALL_LPS + np.array([-15.0, -12.0, 14.0])  # toward the patient's right, front and head


def volume(function, spacing, direction="identity", extent=260.0, pixel=np.float32):
    """A cube around the origin whose voxels hold a function of their LPS centers."""
    matrix = DIRECTIONS[direction]
    size = [round(extent / s) for s in spacing]
    index = np.stack(np.meshgrid(*(np.arange(n) for n in size), indexing="ij"), axis=-1)
    offset = (np.array(size) - 1) / 2
    points = ((index - offset) * np.array(spacing)) @ matrix.T
    image = sitk.GetImageFromArray(function(points).astype(pixel).transpose(2, 1, 0))
    image.SetSpacing(spacing)
    image.SetDirection(matrix.ravel().tolist())
    image.SetOrigin((matrix @ (-offset * np.array(spacing))).tolist())
    return image


@cache
def patient(direction="identity"):
    """PET with one hot spot, CT of even soft tissue, a ball as tumor."""
    ct = volume(lambda p: np.full(p.shape[:-1], 40.0), (2.0, 2.0, 5.0), direction)
    tumor = volume(
        lambda p: np.linalg.norm(p - BALL_LPS, axis=-1) < BALL_MM, (1.5, 1.5, 4.0), direction, pixel=np.uint8
    )
    pet = volume(lambda p: 10 * np.exp(-(np.linalg.norm(p - HOT_LPS, axis=-1) ** 2) / 60), (4.0, 4.0, 4.0), direction)
    return pet, ct, tumor


def panels(picture, row=0):
    pixels = np.asarray(picture).astype(int)
    top = row * (HEADER + PANEL + MARGIN) + HEADER
    return [pixels[top : top + PANEL, c * (PANEL + MARGIN) : c * (PANEL + MARGIN) + PANEL] for c in range(3)]


def outline_of(panel):
    """Rows and columns of the outline's pixels; nothing else in a panel has this color."""
    return np.nonzero(np.abs(panel - np.array(OUTLINE)).sum(axis=-1) < 60)


def test_outline_of_a_circle_lies_on_the_circle_and_is_closed():
    y, x = np.mgrid[:80, :90]
    segments = outline_segments(30.0 - np.hypot(x - 41.3, y - 38.7), 0.0)
    ends = segments.reshape(-1, 2)
    assert np.hypot(ends[:, 0] - 41.3, ends[:, 1] - 38.7) == pytest.approx(30.0, abs=0.02)
    length = np.hypot(segments[:, 2] - segments[:, 0], segments[:, 3] - segments[:, 1]).sum()
    assert length == pytest.approx(2 * np.pi * 30.0, rel=1e-3)
    _, times = np.unique(np.round(ends, 6), axis=0, return_counts=True)
    assert (times == 2).all(), "every end meets another"


def test_outline_keeps_the_corners_of_a_saddle_apart_and_ignores_flat_fields():
    for saddle in (np.eye(2), np.eye(2)[::-1]):
        segments = outline_segments(saddle, 0.5)
        assert len(segments) == 2
        inside = np.argwhere(saddle > 0.5)[:, ::-1]
        for segment in segments:  # each line cuts off one corner that is inside
            middle = (segment[:2] + segment[2:]) / 2
            assert np.abs(inside - middle).sum(axis=1).min() == pytest.approx(0.5)
    assert outline_segments(np.zeros((5, 5)), 0.5).shape == (0, 4)
    assert outline_segments(np.ones((5, 5)), 0.5).shape == (0, 4)


@pytest.mark.parametrize("direction", list(DIRECTIONS))
def test_ball_is_a_circle_of_true_size_at_one_scale_in_every_plane(direction):
    pet, ct, tumor = patient(direction)
    picture = slices_picture(pet, ct, tumor)
    assert picture.mode == "RGB" and picture.width == WIDTH
    scale = PANEL / 160.0  # pixels per mm; 160 mm is the smallest field
    for panel in panels(picture):
        rows, columns = outline_of(panel)
        for extent in (np.ptp(rows), np.ptp(columns)):
            assert extent == pytest.approx(2 * BALL_MM * scale, abs=4.0 * scale)  # a slice of the mask
        assert np.mean(rows) == pytest.approx(PANEL / 2, abs=6) and np.mean(columns) == pytest.approx(PANEL / 2, abs=6)


@pytest.mark.parametrize("direction", list(DIRECTIONS))
def test_right_is_left_and_front_is_up_and_head_is_up(direction):
    pet, ct, tumor = patient(direction)
    r, a, s = HOT_LPS * (-1, -1, 1)
    for panel in panels(slices_picture(pet, ct, tumor, center_ras=(r, a, s))):
        hot = np.argwhere(panel[..., 0] - panel[..., 2] > 90).mean(axis=0)
        assert hot == pytest.approx(PANEL / 2, abs=6), "the slices meet in the hot spot, in the middle of each panel"
        down, right = (np.mean(axis) - PANEL / 2 for axis in outline_of(panel))
        # of the hot spot, the ball lies to the patient's left, behind and below
        assert down > 20 and right > 20


def test_pictures_of_turned_volumes_agree():
    plain = np.asarray(slices_picture(*patient("identity")).convert("L")).astype(float)
    for direction in ("flipped", "axes swapped"):
        turned = np.asarray(slices_picture(*patient(direction)).convert("L")).astype(float)
        assert np.abs(turned - plain).mean() < 1.5


def test_relevance_has_its_own_row_and_its_own_picture():
    pet, ct, tumor = patient()
    relevance = volume(lambda p: np.exp(-(np.linalg.norm(p - BALL_LPS, axis=-1) ** 2) / 800), (3.0, 3.0, 3.0))
    one, two = slices_picture(pet, ct, tumor), slices_picture(pet, ct, tumor, relevance)
    assert two.size == (WIDTH, 2 * one.height)
    assert np.array_equal(np.asarray(two)[: one.height], np.asarray(one))
    alone = np.asarray(relevance_picture(ct, relevance, tumor))
    assert np.array_equal(np.asarray(two)[one.height :], alone)
    assert all(len(outline_of(panel)[0]) > 200 for panel in panels(two, 1))


@pytest.mark.parametrize("mask", ["none", "empty"])
def test_without_tumor_there_is_no_outline(mask):
    pet, ct, tumor = patient()
    picture = slices_picture(pet, ct, None if mask == "none" else tumor * 0)
    assert not any(len(outline_of(panel)[0]) for panel in panels(picture))
    header = np.asarray(picture)[:HEADER].astype(int)
    assert not len(outline_of(header)[0]), "nor a word about one"


def test_tumor_of_one_voxel_is_outlined():
    pet, ct, tumor = patient()
    small = sitk.Image(tumor.GetSize(), sitk.sitkUInt8)
    small.CopyInformation(tumor)
    small[80, 90, 30] = 1
    assert all(len(outline_of(panel)[0]) > 10 for panel in panels(slices_picture(pet, ct, small)))


def test_center_outside_the_tumor_shows_the_tumor():
    pet, ct, tumor = patient()
    away = slices_picture(pet, ct, tumor, center_ras=(-100.0, -100.0, -100.0))
    assert np.array_equal(np.asarray(away), np.asarray(slices_picture(pet, ct, tumor)))


def test_pet_that_ends_before_the_slice_leaves_the_ct():
    ct = patient()[1]
    pet = volume(lambda p: np.full(p.shape[:-1], 5.0), (4.0, 4.0, 4.0), extent=40.0)
    pet.SetOrigin((400.0, 400.0, 400.0))
    for panel in panels(slices_picture(pet, ct)):
        gray = panel[250, 40:200]
        assert np.ptp(gray, axis=-1).max() == 0 and gray.mean() == pytest.approx(127, abs=3)


def test_saved_whole_or_not_at_all(tmp_path):
    from PIL import Image

    picture = Image.new("RGB", (30, 20), (10, 200, 30))
    path = tmp_path / "slices ü.png"
    assert save_picture(picture, path) == path
    with Image.open(path) as read:
        assert np.array_equal(np.asarray(read), np.asarray(picture))
    before = path.read_bytes()

    class Broken:
        def save(self, file, *_, **__):
            file.write(b"half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        save_picture(Broken(), path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == [path.name]
    with pytest.raises(FileNotFoundError):
        save_picture(picture, tmp_path / "absent" / "a.png")


def test_real_patient(sts):
    folder = sts / "images" / "STS_006"
    pet, ct, gtv = (sitk.ReadImage(str(folder / f"{name}.nii.gz")) for name in ("PET", "CT", "GTV"))
    picture = slices_picture(sitk.Cast(pet, sitk.sitkFloat32), sitk.Cast(ct, sitk.sitkFloat32), gtv)
    for panel in panels(picture):
        assert len(outline_of(panel)[0]) > 500
        hot = (panel[..., 0] - panel[..., 2] > 90).sum()
        assert hot > 1000, "uptake is seen in every plane"
