"""Files: every format and geometry comes back as it was, every bad input is refused with a reason."""

import gzip
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from CHMFLPredictorLib.errors import OutOfMemory
from CHMFLPredictorLib.reading import image_files
from CHMFLPredictorLib.reading.checks import check_geometry
from CHMFLPredictorLib.reading.volumes import (
    check_mask,
    read_ct,
    read_mask,
    read_pair,
    read_pet,
    read_volume,
    write_image,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_volumes import codes, make_ct, make_image, make_pet, refusal, save
from scipy.spatial.transform import Rotation

FORMATS = [".nii.gz", ".nii", ".nrrd", ".mha"]


# Good input -----------------------------------------------------------------------------------------------------------


def test_a_good_pair(pet, ct):
    pet_volume, ct_volume, warnings = read_pair(pet, ct)
    assert (pet_volume.modality, pet_volume.units, ct_volume.modality, ct_volume.units) == ("PT", "SUV", "CT", "HU")
    assert (pet_volume.image.GetPixelID(), ct_volume.image.GetPixelID()) == (sitk.sitkFloat32, sitk.sitkInt16)
    assert read_ct(ct).image.GetPixelID() == sitk.sitkFloat32
    assert pet_volume.image.GetSize() != ct_volume.image.GetSize(), "the two keep their own grids"
    np.testing.assert_array_equal(sitk.GetArrayFromImage(ct_volume.image), sitk.GetArrayFromImage(make_ct()))
    assert codes(warnings) == ["pet_units_assumed"] and "body-weight SUV" in warnings[0]["text"]


def test_the_phantom_is_good(phantom):
    pet_volume, ct_volume, warnings = read_pair(phantom / "PET.nii.gz", phantom / "CT.nii.gz")
    mask = read_mask(phantom / "mask.nii.gz")
    assert codes(warnings) == ["pet_units_assumed"]
    assert check_mask(mask, ct_volume) == [] and mask.image.GetPixelID() == sitk.sitkUInt8
    assert pet_volume.units == "SUV"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    suffix=st.sampled_from([*FORMATS, ".mhd"]),
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    mirrored=st.booleans(),
    spacing=st.tuples(*[st.floats(0.3, 9)] * 3),
    origin=st.tuples(*[st.floats(-900, 900)] * 3),
)
def test_any_geometry_survives(tmp_path_factory, suffix, angles, mirrored, spacing, origin):
    """Oblique, flipped and left-handed grids: every corner stays where it was, in every format."""
    direction = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.diag(
        [-1.0 if mirrored else 1.0, 1, 1]
    )
    values = np.random.default_rng(3).normal(0, 1, (20, 17, 23)).astype(np.float32)
    image = make_image(values, spacing, origin, direction)
    path = save(image, tmp_path_factory.mktemp("geometry") / f"v{suffix}")
    back = read_volume(path).image
    np.testing.assert_array_equal(sitk.GetArrayFromImage(back), values)
    for corner in [(0, 0, 0), (22, 0, 0), (0, 16, 0), (0, 0, 19), (22, 16, 19)]:
        there, here = (np.array(one.TransformIndexToPhysicalPoint(corner)) for one in (image, back))
        assert np.linalg.norm(there - here) < 2e-3  # NIfTI keeps positions as 32-bit floats


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("name", ["ä ö ü – 日本 (1)", "n" * 200, "it's [new] & 50% #1"])
def test_names_that_are_hard(tmp_path, suffix, name):
    folder = tmp_path / ("ß " + "d" * 100)
    folder.mkdir()
    path = folder / (name + suffix)
    write_image(make_pet(), path)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_pet(path).image), sitk.GetArrayFromImage(make_pet()))
    assert os.listdir(folder) == [path.name]


def test_one_frame_of_4d_is_a_volume(tmp_path):
    for suffix in (".nrrd", ".mha", ".nii.gz"):
        path = save(sitk.JoinSeries([make_pet()]), tmp_path / f"v{suffix}")
        assert read_pet(path).image.GetSize() == (40, 30, 20)


def test_relative_path_and_home(pet, monkeypatch):
    monkeypatch.chdir(pet.parent)
    assert read_pet("PET.nii.gz").image.GetSize() == (40, 30, 20)
    monkeypatch.setenv("HOME", str(pet.parent))
    monkeypatch.setenv("USERPROFILE", str(pet.parent))
    assert read_pet("~/PET.nii.gz").image.GetSize() == (40, 30, 20)


def test_ct_padding_becomes_air(tmp_path):
    image = make_ct()
    image[0, 0, 0] = -3024
    assert sitk.GetArrayFromImage(read_ct(save(image, tmp_path / "CT.nrrd")).image).min() == -1024


# Files that are no volume ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", [read_pet, read_ct, read_mask, read_volume])
def test_missing_zero_byte_and_unreadable_files(tmp_path, read):
    assert refusal(read, tmp_path / "nothing.nii.gz").code == "not_found"
    assert refusal(read, tmp_path / ("x" * 300 + ".nii.gz")).code == "not_found"
    for suffix in [*FORMATS, ".mhd", ".dcm"]:
        (tmp_path / f"zero{suffix}").write_bytes(b"")
        code = refusal(read, tmp_path / f"zero{suffix}").code
        assert code == ("mask_is_dicom" if read is read_mask and suffix == ".dcm" else "empty_file")
        if suffix != ".dcm":
            (tmp_path / f"text{suffix}").write_text("This is a text, and no image at all.\n" * 50)
            assert refusal(read, tmp_path / f"text{suffix}").code == "unreadable"


def test_forbidden_file(pet, monkeypatch):
    def forbidden(path, *_):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(image_files, "open", forbidden, raising=False)
    error = refusal(read_pet, pet)
    assert error.code == "unreadable" and "Permission denied" in error.message


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
@pytest.mark.parametrize(
    ("suffix", "compressed"),
    [(".nii.gz", True), (".nii", False), (".hdr", False)] + [(s, c) for s in (".nrrd", ".mha", ".mhd") for c in (0, 1)],
)
def test_truncated_files(tmp_path, suffix, share, compressed):
    path = tmp_path / f"v{suffix}"
    sitk.WriteImage(make_pet(), str(path), bool(compressed))
    data = {".mhd": path.with_suffix(".zraw" if compressed else ".raw"), ".hdr": path.with_suffix(".img")}.get(
        suffix, path
    )
    assert read_volume(path).image.GetSize() == (40, 30, 20)
    whole = data.read_bytes()
    data.write_bytes(whole[: int(len(whole) * share)])
    assert refusal(read_volume, path).code == "truncated_file"


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".nrrd"])
def test_a_flipped_byte_in_a_compressed_file(tmp_path, suffix):
    path = tmp_path / f"v{suffix}"
    sitk.WriteImage(make_pet(), str(path), True)
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    path.write_bytes(whole)
    assert refusal(read_volume, path).code in ("damaged_file", "truncated_file")


def test_gzip_of_several_members_is_whole(tmp_path):
    """As pigz or `cat a.gz b.gz` makes them; the size in the last member's end says nothing of the others."""
    raw = save(make_pet(), tmp_path / "v.nii").read_bytes()
    path = tmp_path / "v.nii.gz"
    path.write_bytes(gzip.compress(raw[:5000]) + gzip.compress(raw[5000:]))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_volume(path).image), sitk.GetArrayFromImage(make_pet()))


def test_a_data_file_that_is_gone(tmp_path):
    for suffix, data in ((".mhd", ".raw"), (".hdr", ".img")):
        path = save(make_pet(), tmp_path / f"v{suffix}")
        path.with_suffix(data).unlink()
        assert refusal(read_volume, path).code in ("truncated_file", "unreadable")


def test_4d_color_and_complex(tmp_path):
    frames = sitk.JoinSeries([make_pet(), make_pet(seed=5)])
    color = sitk.Compose([make_pet()] * 3)
    for suffix in FORMATS:
        error = refusal(read_pet, save(frames, tmp_path / f"f{suffix}"))
        assert error.code == "four_d" and "40 x 30 x 20 x 2" in error.message
        error = refusal(read_pet, save(color, tmp_path / f"c{suffix}"))
        assert error.code == "color_volume" and "3 numbers" in error.message
    gone = save(sitk.RealAndImaginaryToComplex(make_pet(), make_pet()), tmp_path / "complex.mha")
    assert refusal(read_pet, gone).code == "color_volume"


def test_one_slice(tmp_path):
    assert refusal(read_pet, save(make_pet()[:, :, :1], tmp_path / "a.nii.gz")).code == "one_slice"
    assert refusal(read_pet, save(make_pet()[:, :, 0], tmp_path / "b.nrrd")).code == "one_slice"
    picture = sitk.Cast(make_pet()[:, :, 0], sitk.sitkUInt8)
    assert refusal(read_ct, save(picture, tmp_path / "c.png")).code == "one_slice"


def test_thin_volume_warns(tmp_path):
    assert "thin_volume" in codes(read_pet(save(make_pet()[:, :, 8:12], tmp_path / "a.nrrd")).warnings)


# Geometry that is none ------------------------------------------------------------------------------------------------


def patched_nifti(tmp_path, *patches):
    raw = bytearray(save(make_pet(), tmp_path / "v.nii").read_bytes())
    for place, form, *values in patches:
        raw[place : place + struct.calcsize(form)] = struct.pack(form, *values)
    path = tmp_path / "patched.nii"
    path.write_bytes(raw)
    return path


SHEARED = (280, "<12f", 4, 1, 0, -80, 0, 4, 0, -60, 0, 0, 3, 10)


@pytest.mark.parametrize("qform", [0, 1])
def test_sheared_nifti(tmp_path, qform):
    """With a valid qform beside it, ITK would take that one and say nothing."""
    error = refusal(read_volume, patched_nifti(tmp_path, (252, "<2h", qform, 1), SHEARED))
    assert error.code == "sheared" and "14.04 degrees" in error.message


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_nifti_spacing_of_zero(tmp_path, value):
    """ITK reads it as 1 mm."""
    assert refusal(read_volume, patched_nifti(tmp_path, (80, "<f", value))).code == "bad_spacing"


def text_header(path, head, values):
    path.write_bytes(head.encode() + values.tobytes())
    return path


def nrrd(path, directions):
    head = (
        "NRRD0004\ntype: float\ndimension: 3\nsizes: 12 11 10\nspace: left-posterior-superior\nencoding: raw\n"
        f"endian: little\nspace directions: {directions}\nspace origin: (0,0,0)\n\n"
    )
    return text_header(path, head, np.random.default_rng(0).random((10, 11, 12), np.float32))


def mha(path, extra):
    head = (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\n"
        f"{extra}\nDimSize = 12 11 10\nElementType = MET_FLOAT\nElementDataFile = LOCAL\n"
    )
    return text_header(path, head, np.random.default_rng(0).random((10, 11, 12), np.float32))


def test_memory_exhausted_is_said_as_such(pet, monkeypatch):
    def exhausted(*_):
        raise RuntimeError("ITK ERROR: ImportImageContainer: Failed to allocate memory for image.")

    monkeypatch.setattr(sitk.ImageFileReader, "Execute", exhausted)
    with pytest.raises(OutOfMemory) as caught:
        read_pet(pet)
    assert caught.value.exit_code == 4 and caught.value.hint


def test_sheared_nrrd_and_mha(tmp_path):
    assert refusal(read_volume, nrrd(tmp_path / "a.nrrd", "(4,0,0) (1,4,0) (0,0,4)")).code == "sheared"
    for matrix in ("1 0 0 0.3 1 0 0 0 1", "1 0 0 1 0 0 0 0 1"):
        path = mha(tmp_path / "a.mha", f"TransformMatrix = {matrix}\nElementSpacing = 4 4 4")
        assert refusal(read_volume, path).code == "sheared"
    assert read_volume(nrrd(tmp_path / "b.nrrd", "(4,0,0) (0.001,4,0) (0,0,4)")).image.GetSize() == (12, 11, 10)


@pytest.mark.parametrize("last", ["(0,0,0)", "(0,0,1e9)", "(0,0,25)", "(0,0,0.001)"])
def test_nrrd_spacing_zero_or_huge(tmp_path, last):
    assert refusal(read_volume, nrrd(tmp_path / "a.nrrd", f"(4,0,0) (0,4,0) {last}")).code == "bad_spacing"


def test_mha_spacing_zero(tmp_path):
    assert refusal(read_volume, mha(tmp_path / "a.mha", "ElementSpacing = 0 4 4")).code == "bad_spacing"


def test_a_patient_of_ten_meters(tmp_path):
    image = make_image(np.random.default_rng(0).random((600, 3, 3), np.float32), (4, 4, 18.0))
    error = refusal(read_volume, save(image, tmp_path / "a.nrrd"))
    assert error.code == "bad_spacing" and "10800 mm" in error.message


def test_position_that_is_no_number():
    image = make_pet()
    image.SetOrigin((float("nan"), 0, 0))
    assert refusal(check_geometry, image, "PET").code == "bad_position"


# Values that are none -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", [read_pet, read_ct, read_volume])
@pytest.mark.parametrize(
    ("value", "code"), [(0.0, "empty_volume"), (1.5, "constant_volume"), (-1000.0, "constant_volume")]
)
def test_empty_and_constant(tmp_path, read, value, code):
    path = save(make_image(np.full((20, 30, 40), value, np.float32)), tmp_path / "a.nii.gz")
    error = refusal(read, path)
    assert error.code == code and f"{value:g}" in error.message


@pytest.mark.parametrize("read", [read_pet, read_ct, read_volume])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinite(tmp_path, read, value):
    image = make_pet() if read is read_pet else sitk.Cast(make_ct(), sitk.sitkFloat32)
    for index in ((3, 4, 5), (6, 7, 8)):
        image[index] = float(value)
    error = refusal(read, save(image, tmp_path / "a.nii.gz"))
    assert error.code == "not_finite" and " 2 " in error.message


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
@pytest.mark.parametrize("labels", [2, 12])
def test_label_map_as_pet_or_ct(tmp_path, kind, labels):
    values = np.arange(20 * 30 * 40).reshape(20, 30, 40) % labels
    path = save(make_image(values.astype(kind)), tmp_path / "a.nii.gz")
    assert refusal(read_pet, path).code == "label_map_as_pet"
    assert refusal(read_ct, path).code == "label_map_as_ct"


@pytest.mark.parametrize(
    ("factor", "kind", "code"),
    [(3000, np.float32, "pet_in_bqml"), (3000, np.int16, "pet_in_bqml"), (40, np.float32, "pet_units_unknown"),
     (9, np.int16, "pet_units_unknown")],
)  # fmt: skip
def test_pet_in_other_units(tmp_path, factor, kind, code):
    values = np.minimum(sitk.GetArrayFromImage(make_pet()) * factor, 32000).astype(kind)
    error = refusal(read_pet, save(make_image(values), tmp_path / "a.nii.gz"))
    assert error.code == code and "DICOM" in error.hint


def test_ct_without_its_offset(tmp_path):
    shifted = sitk.Maximum(make_ct() + 1024, 0)
    assert refusal(read_ct, save(shifted, tmp_path / "a.nii.gz")).code == "ct_not_hu"


def test_ct_cut_to_a_window_warns(tmp_path):
    clipped = sitk.Clamp(sitk.Cast(make_ct(), sitk.sitkFloat32), sitk.sitkFloat32, -160.0, 240.0)
    assert codes(read_ct(save(clipped, tmp_path / "a.nii.gz")).warnings) == ["ct_without_air"]


def test_units_that_the_scene_wrote_are_believed(tmp_path):
    """A PET known to be in SUV is not judged by its values; the same file without the field is, with a warning."""
    values = np.random.default_rng(0).gamma(2.0, 1.0, (20, 30, 30)).astype(np.float32)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((4.0, 4.0, 3.0))
    sitk.WriteImage(image, str(tmp_path / "plain.nrrd"))
    image.SetMetaData("chmfl_modality", "PT")
    image.SetMetaData("chmfl_units", "SUV")
    sitk.WriteImage(image, str(tmp_path / "told.nrrd"))
    codes = {name: [w["code"] for w in read_pet(tmp_path / f"{name}.nrrd").warnings] for name in ("plain", "told")}
    assert "pet_units_assumed" in codes["plain"] and "pet_units_assumed" not in codes["told"]


# Writing --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", FORMATS)
def test_written_images_come_back(tmp_path, suffix):
    path = tmp_path / f"v{suffix}"
    path.write_text("older")
    write_image(make_ct(), path)
    back = sitk.ReadImage(str(path))
    assert back.GetPixelID() == sitk.sitkInt16 and os.listdir(tmp_path) == [path.name]
    np.testing.assert_array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(make_ct()))


def test_writing_where_it_cannot(tmp_path):
    assert refusal(write_image, make_pet(), tmp_path / "no folder" / "v.nii.gz").code == "output_unwritable"
    assert refusal(write_image, make_pet(), tmp_path / "v.mhd").code == "output_format"
    (tmp_path / "taken.nii.gz").mkdir()
    assert refusal(write_image, make_pet(), tmp_path / "taken.nii.gz").code == "output_unwritable"
    assert os.listdir(tmp_path) == ["taken.nii.gz"]


FULL_DISK = """
import resource, signal, sys
sys.path.insert(0, sys.argv[1])
import SimpleITK as sitk
from CHMFLPredictorLib.errors import BadInput, OutOfMemory
from CHMFLPredictorLib.reading.volumes import write_image
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    write_image(sitk.GaussianSource(sitk.sitkFloat32, [64, 64, 64]), sys.argv[2])
except BadInput as error:
    print(error.code)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs a limit on file sizes")
@pytest.mark.parametrize("suffix", FORMATS)
def test_full_disk_leaves_the_older_file(tmp_path, suffix):
    """A limit on the size of a file stands for the full disk: writes stop short in the same way."""
    library = Path(sys.modules["CHMFLPredictorLib"].__file__).parents[1]
    path = tmp_path / f"v{suffix}"
    path.write_text("older")
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(library), str(path)], capture_output=True, text=True, timeout=60
    )
    assert run.stdout.strip() == "output_unwritable", run.stderr
    assert path.read_text() == "older" and os.listdir(tmp_path) == [path.name]


# Real patients --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_patient_is_read_without_complaint(sts):
    """The only warning is that the units were assumed; every mask lies in its CT."""
    patients = sorted(path.name for path in (sts / "images").iterdir() if path.is_dir())
    assert len(patients) == 51
    for patient in patients:
        folder = sts / "images" / patient
        pet_volume, ct_volume, warnings = read_pair(folder / "PET.nii.gz", folder / "CT.nii.gz")
        assert codes(warnings) == ["pet_units_assumed"], patient
        mask = read_mask(folder / "GTV.nii.gz")
        assert check_mask(mask, ct_volume) == [], patient
        assert pet_volume.image.GetPixelID() == sitk.sitkFloat32


def test_a_patient_swapped_twice_and_in_parts(sts):
    folder = sts / "images" / "STS_006"
    assert refusal(read_pair, folder / "CT.nii.gz", folder / "PET.nii.gz").code == "swapped_pet_ct"
    assert refusal(read_pair, folder / "CT.nii.gz", folder / "CT.nii.gz").code == "same_volume"
    assert refusal(read_pet, folder / "GTV.nii.gz").code == "label_map_as_pet"
    other = sts / "images" / "STS_015"
    assert refusal(read_pair, folder / "PET.nii.gz", other / "CT.nii.gz").code in ("no_overlap", "partial_overlap")


def test_reading_a_patient_is_quick(sts):
    """Decompressing both files in plain Python is the yardstick: reading and checking stay within ten times of it."""
    folder = sts / "images" / "STS_006"
    start = time.process_time()
    for name in ("PET", "CT"):
        gzip.decompress((folder / f"{name}.nii.gz").read_bytes())
    yardstick = time.process_time() - start
    start = time.process_time()
    read_pair(folder / "PET.nii.gz", folder / "CT.nii.gz")
    assert time.process_time() - start < max(10 * yardstick, 1.0)


def test_axes_that_are_zero_but_for_rounding_are_settled(tmp_path):
    """With 5e-324 in its directions ITK resamples an image to nothing."""
    from CHMFLPredictorLib.reading import volumes

    path = tmp_path / "PET.nrrd"
    image = make_pet()
    image.SetDirection([1, 5e-324, 0, -5e-324, 1, 1e-14, 0, 0, 1])
    sitk.WriteImage(image, str(path))
    assert volumes.read_pet(path).image.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)
