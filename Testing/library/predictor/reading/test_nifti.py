"""The file given is the file read, whatever it is called and whatever lies beside it, in the place that it means."""

import gzip
import math
import shutil
import struct

import numpy as np
import pytest
import SimpleITK as sitk
from CHMFLPredictorLib.reading import nifti
from CHMFLPredictorLib.reading.geometry import VoxelGrid, flipped
from CHMFLPredictorLib.reading.volumes import read_ct, read_mask, read_pet, read_volume
from made_volumes import codes, make_ct, make_pet, refusal, save
from scipy.spatial.transform import Rotation

QFORM_CODE, OFFSET_X, SFORM = 252, 268, 280


def values(image):
    return sitk.GetArrayFromImage(image)


def pet_with(path, qform_code, sform_code, sform=None, **patches):
    """A NIfTI of ``make_pet`` with the header's codes, sform (3, 4) and single floats (by position) changed."""
    raw = bytearray(save(make_pet(), path).read_bytes())
    struct.pack_into("<2h", raw, QFORM_CODE, qform_code, sform_code)
    if sform is not None:
        struct.pack_into("<12f", raw, SFORM, *np.ravel(sform))
    for position, value in patches.items():
        struct.pack_into("<f", raw, int(position.strip("_")), value)
    path.write_bytes(raw)
    return path


def corners(image):
    """The corners of an image's grid, RAS mm (8, 3)."""
    grid = VoxelGrid.of_image(image)
    return flipped(grid.points(np.array(list(np.ndindex(2, 2, 2))) * (grid.size - 1)))


def corners_of(sform):
    size = np.array(make_pet().GetSize())
    return np.c_[np.array(list(np.ndindex(2, 2, 2))) * (size - 1), np.ones(8)] @ np.asarray(sform).T


# Names ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "given"),
    [(".nii.gz", name) for name in ("PET.nii", "PET", "PET.NII", "PET.Nii.Gz", "PET.img", "PET.dat", "PET.nrrd")]
    + [(".nii", name) for name in ("PET.nii.gz", "PET", "PET.NII", "PET.Nii", "PET.mha", "PET.1")]
    + [(".nrrd", name) for name in ("PET", "PET.NRRD", "PET.nii", "PET.mha")]
    + [(".mha", name) for name in ("PET", "PET.MHA", "PET.nii.gz", "PET.nrrd")],
)
def test_a_file_is_known_by_its_content(tmp_path, written, given):
    (tmp_path / "given").mkdir()
    path = tmp_path / "given" / given
    shutil.copy(save(make_pet(), tmp_path / f"PET{written}"), path)
    image = read_pet(path).image
    np.testing.assert_array_equal(values(image), values(make_pet()))
    np.testing.assert_allclose(corners(image), corners(make_pet()), atol=1e-4)


@pytest.mark.parametrize("given", [".nii", ".nii.gz", ".hdr", ".img", ".nrrd", ".mha"])
def test_a_neighbor_of_the_same_stem_is_not_read(tmp_path, given):
    """ITK takes the header of x.nii.gz and the voxels of x.nii beside it."""
    for suffix in (".nii", ".nii.gz", ".hdr", ".nrrd", ".mha"):
        mine = suffix == given or (suffix, given) == (".hdr", ".img")
        save(make_pet(seed=5 if mine else 6), tmp_path / f"PET{suffix}")
    np.testing.assert_array_equal(values(read_volume(tmp_path / f"PET{given}").image), values(make_pet(seed=5)))


def test_a_mask_beside_its_older_self(tmp_path):
    for suffix, label in ((".nii", 1), (".nii.gz", 0)):
        mask = sitk.Cast(make_pet() > (8 if label else 2), sitk.sitkUInt8)
        save(mask, tmp_path / f"GTV{suffix}")
    for suffix, level in ((".nii", 8), (".nii.gz", 2)):
        expected = values(make_pet()) > level
        np.testing.assert_array_equal(values(read_mask(tmp_path / f"GTV{suffix}").image), expected)


@pytest.mark.parametrize("form", ["NRRD", "MetaImage", "ZIP"])
def test_what_is_packed_otherwise_is_said(tmp_path, form):
    inside = save(make_pet(), tmp_path / ("a.nrrd" if form == "NRRD" else "a.mha"))
    path = tmp_path / "PET.nii.gz"
    path.write_bytes(gzip.compress(inside.read_bytes()))
    if form == "ZIP":
        shutil.make_archive(str(tmp_path / "b"), "zip", tmp_path, "a.mha")
        shutil.move(tmp_path / "b.zip", path)
    error = refusal(read_pet, path)
    assert error.code == "packed_file" and form in error.message and "Unpack" in error.hint


def test_nothing_stays_in_the_temporary_folder_and_a_full_one_is_said(tmp_path, monkeypatch):
    path = tmp_path / "PET.dat"
    shutil.copy(save(make_pet(), tmp_path / "a.nii.gz"), path)
    with nifti.as_itk_reads(str(path), "PET") as (copy, _):
        assert copy != str(path)
    assert not nifti.Path(copy).parent.exists()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nifti, "unpacked", full)
    error = refusal(read_pet, path)
    assert error.code == "temporary_unwritable" and "No space" in error.message and str(path) in error.message


# Places --------------------------------------------------------------------------------------------------------------

PLACE = np.array([[-4.0, 0, 0, 80], [0, -4, 0, 60], [0, 0, 3, 10]])  # of make_pet, RAS


@pytest.mark.parametrize("qform_code", [1, 2, 4])
@pytest.mark.parametrize("sform_code", [1, 2, 3, 4])
def test_the_sform_counts_where_its_code_is_set(tmp_path, qform_code, sform_code):
    path = pet_with(tmp_path / "PET.nii", qform_code, sform_code, _268=120.0)
    volume = read_pet(path)
    np.testing.assert_allclose(corners(volume.image), corners_of(PLACE), atol=1e-3)
    (told,) = [one for one in volume.warnings if one["code"] == "nifti_two_positions"]
    assert "40.0 mm" in told["text"] and str(tmp_path) not in told["text"]
    np.testing.assert_array_equal(values(volume.image), values(make_pet()))


def test_the_qform_counts_where_it_is_alone(tmp_path):
    volume = read_volume(pet_with(tmp_path / "PET.nii", 1, 0, PLACE + 500, _268=120.0))
    np.testing.assert_allclose(corners(volume.image), corners_of(PLACE + [[0, 0, 0, 40], [0] * 4, [0] * 4]), atol=1e-3)
    assert volume.warnings == []


@pytest.mark.parametrize("seed", range(6))
def test_an_oblique_sform_against_an_oblique_qform(tmp_path, seed):
    """The quaternion is SimpleITK's own, for grids of both hands; the sform is turned by another 30 degrees."""
    rng = np.random.default_rng(seed)
    image = make_pet()
    turn = Rotation.random(random_state=seed).as_matrix() @ np.diag([1, 1, (-1.0) ** seed])
    image.SetDirection(turn.ravel().tolist())
    path = save(image, tmp_path / "PET.nii")
    assert read_volume(path).warnings == [], "both are the same place"
    raw = bytearray(path.read_bytes())
    own = np.array(struct.unpack_from("<12f", raw, SFORM)).reshape(3, 4)
    other = np.column_stack([Rotation.from_rotvec([0, 0, math.pi / 6]).as_matrix() @ own[:, :3], rng.normal(size=3)])
    struct.pack_into("<12f", raw, SFORM, *other.ravel())
    path.write_bytes(raw)
    volume = read_volume(path)
    np.testing.assert_allclose(corners(volume.image), corners_of(other), atol=1e-3)
    apart = np.linalg.norm(corners_of(other) - corners_of(own), axis=1).max()
    assert f"{apart:.1f} mm apart" in volume.warnings[0]["text"]


def test_two_voxel_sizes(tmp_path):
    """The sform's 4 x 4 x 3 mm, where a tool left 1 x 1 x 1 mm in pixdim: ITK takes these."""
    volume = read_volume(pet_with(tmp_path / "PET.nii", 0, 1, _80=1.0, _84=1.0, _88=1.0))
    np.testing.assert_allclose(volume.image.GetSpacing(), (4, 4, 3), atol=1e-5)
    np.testing.assert_allclose(corners(volume.image), corners_of(PLACE), atol=1e-3)
    assert codes(volume.warnings) == ["nifti_two_spacings"] and "1 x 1 x 1 mm" in volume.warnings[0]["text"]


@pytest.mark.parametrize("qform_code", [0, 1])
@pytest.mark.parametrize("degrees", [0.001, 0.02, 0.05, 0.095])
def test_shear_below_the_limit_reads(tmp_path, qform_code, degrees):
    """Squared around the middle of the volume, no corner moves by more than half of the shear."""
    angle = math.radians(degrees)
    sheared = PLACE.copy()
    sheared[:2, 1] = 4 * math.sin(angle), -4 * math.cos(angle)
    volume = read_volume(pet_with(tmp_path / "PET.nii", qform_code, 1, sheared))
    direction = np.array(volume.image.GetDirection()).reshape(3, 3)
    np.testing.assert_allclose(direction.T @ direction, np.eye(3), atol=1e-5)
    moved = np.linalg.norm(corners(volume.image) - corners_of(sheared), axis=1).max()
    assert moved <= 1e-3 + angle * 4 * 40 / 2
    assert refusal(read_volume, pet_with(tmp_path / "b.nii", qform_code, 1, _284=0.1)).code == "sheared"


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_shear_of_other_formats_is_squared_too(tmp_path, suffix):
    image = make_pet()
    image.SetDirection([1, 0.0008, 0, 0, 1, 0, 0, 0, 1])
    back = read_volume(save(image, tmp_path / f"PET{suffix}")).image
    direction = np.array(back.GetDirection()).reshape(3, 3)
    np.testing.assert_allclose(direction.T @ direction, np.eye(3), atol=1e-12)
    assert np.linalg.norm(corners(back) - corners(image), axis=1).max() < 0.0008 * 4 * 40 / 2


def test_masks_and_cts_say_it_too(tmp_path):
    for name, image, read in (
        ("CT", make_ct(), read_ct),
        ("mask", sitk.Cast(make_pet() > 8, sitk.sitkUInt8), read_mask),
    ):
        raw = bytearray(save(image, tmp_path / f"{name}.nii").read_bytes())
        struct.pack_into("<f", raw, OFFSET_X, 300.0)
        (tmp_path / f"{name}.nii").write_bytes(raw)
        volume = read(tmp_path / f"{name}.nii")
        assert codes(volume.warnings) == ["nifti_two_positions"]
        np.testing.assert_allclose(corners(volume.image), corners(image), atol=1e-3)


def test_a_nifti_2_and_another_byte_order(tmp_path):
    """Made by hand from a NIfTI-1 of the same voxels, both with a qform 40 mm away."""
    raw = pet_with(tmp_path / "a.nii", 1, 2).read_bytes()
    numbers = np.frombuffer(raw, "<f4", offset=352)
    second = bytearray(544)
    struct.pack_into(
        "<i8s2h8q3d8d",
        second,
        0,
        540,
        b"n+2\0\r\n\x1a\n",
        16,
        32,
        3,
        40,
        30,
        20,
        *[1] * 4,
        *[0] * 3,
        1,
        4,
        4,
        3,
        *[0] * 4,
    )
    struct.pack_into("<qdd", second, 168, 544, 1, 0)
    struct.pack_into("<2i6d12d", second, 344, 1, 2, 0, 0, 1, 120, 60, 10, *PLACE.ravel())
    (tmp_path / "second.nii").write_bytes(bytes(second) + numbers.tobytes())
    first = bytearray(352)
    struct.pack_into(">i", first, 0, 348)
    struct.pack_into(">8h", first, 40, 3, 40, 30, 20, 1, 1, 1, 1)
    struct.pack_into(">2h", first, 70, 16, 32)
    struct.pack_into(">8f3f", first, 76, 1, 4, 4, 3, 0, 0, 0, 0, 352, 1, 0)
    struct.pack_into(">2h6f12f", first, QFORM_CODE, 1, 2, 0, 0, 1, 120, 60, 10, *PLACE.ravel())
    first[344:348] = b"n+1\0"
    (tmp_path / "big.nii").write_bytes(bytes(first) + numbers.astype(">f4").tobytes())
    for name in ("second.nii", "big.nii"):
        volume = read_volume(tmp_path / name)
        np.testing.assert_array_equal(values(volume.image), values(make_pet()))
        np.testing.assert_allclose(corners(volume.image), corners_of(PLACE), atol=1e-3)
        assert "40.0 mm" in volume.warnings[0]["text"]


def test_the_public_patients_have_one_place(sts):
    for path in sorted((sts / "images").glob("*/*.nii.gz"))[:12]:
        with nifti.as_itk_reads(str(path), "volume") as (readable, warnings):
            assert readable == str(path) and warnings == []


def test_what_was_told_survives_the_frame_of_4d(tmp_path):
    raw = bytearray(save(sitk.JoinSeries([make_pet()]), tmp_path / "a.nii").read_bytes())
    struct.pack_into("<f", raw, OFFSET_X, 300.0)
    (tmp_path / "a.nii").write_bytes(raw)
    assert codes(read_volume(tmp_path / "a.nii").warnings) == ["nifti_two_positions"]
