"""Everything that a user can give wrongly, through the command line: the code, the words, and nothing left behind."""

import errno
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from CHMFLPredictorLib.model.bundle import CARD_FILE, WEIGHTS_FILE
from CHMFLPredictorLib.predict.output_folder import output_error
from made_dicom import write_series
from small_patient import predict_arguments, run, small  # noqa: F401

CODES_OF_A_MODEL = {"model_missing", "model_truncated", "model_altered", "model_newer", "model_unsafe"}


def refused(capsys, code: str | set, exit_code: int, *arguments) -> dict:
    """Run, and expect an error line with words that help."""
    ended, events = run(capsys, *arguments)
    last = events[-1]
    assert last["event"] == "error", last
    assert last["code"] in ({code} if isinstance(code, str) else code), last
    assert ended == exit_code == last["exit_code"]
    assert len(last["message"]) > 15 and len(last["hint"]) > 10
    assert "Traceback" not in last["message"] and not any(event["event"] == "result" for event in events)
    return last


def save(array, path: Path, like: sitk.Image | None = None, **geometry) -> Path:
    image = sitk.GetImageFromArray(array)
    if like is not None:
        image.CopyInformation(like)
    for name, value in geometry.items():
        getattr(image, f"Set{name}")(value)
    sitk.WriteImage(image, str(path))
    return path


@pytest.fixture
def images(small):  # noqa: F811
    return tuple(sitk.ReadImage(str(small / f"{name}.nii.gz")) for name in ("PET", "CT"))


# What is done to the PET: (name, how to write it, codes that may come)
def _constant(pet, path):
    return save(np.full(pet.GetSize()[::-1], 2.5, np.float32), path / "p.nii.gz", pet)


def _zeros(pet, path):
    return save(np.zeros(pet.GetSize()[::-1], np.float32), path / "p.nii.gz", pet)


def _nan(pet, path):
    array = sitk.GetArrayFromImage(pet)
    array[::2] = np.nan
    return save(array, path / "p.nii.gz", pet)


def _inf(pet, path):
    array = sitk.GetArrayFromImage(pet)
    array[3:9] = np.inf
    return save(array, path / "p.nii.gz", pet)


def _one_slice(pet, path):
    sitk.WriteImage(pet[:, :, 5:6], str(path / "p.nii.gz"))
    return path / "p.nii.gz"


def _two_dimensional(pet, path):
    sitk.WriteImage(pet[:, :, 5], str(path / "p.nii.gz"))
    return path / "p.nii.gz"


def _four_d(pet, path):
    sitk.WriteImage(sitk.JoinSeries([pet, pet, pet]), str(path / "p.nii.gz"))
    return path / "p.nii.gz"


def _color(pet, path):
    sitk.WriteImage(sitk.Compose([sitk.Cast(pet, sitk.sitkUInt8)] * 3), str(path / "p.nrrd"))
    return path / "p.nrrd"


def _label_map(pet, path):
    return save((sitk.GetArrayFromImage(pet) > 2).astype(np.uint8), path / "p.nii.gz", pet)


def _huge_spacing(pet, path):
    return save(sitk.GetArrayFromImage(pet), path / "p.nrrd", pet, Spacing=(4e5, 4e5, 4e5))


def _zero_spacing(pet, path):
    save(sitk.GetArrayFromImage(pet), path / "p.mha", pet)
    header, _, data = (path / "p.mha").read_bytes().partition(b"ElementSpacing = ")
    (path / "p.mha").write_bytes(header + b"ElementSpacing = 0 0 0" + data[data.index(b"\n") :])
    return path / "p.mha"


def _sheared(pet, path):
    save(sitk.GetArrayFromImage(pet), path / "p.mha", pet)
    header, _, data = (path / "p.mha").read_bytes().partition(b"TransformMatrix = ")
    (path / "p.mha").write_bytes(header + b"TransformMatrix = 1 0 0 0.5 1 0 0 0 1" + data[data.index(b"\n") :])
    return path / "p.mha"


def _truncated(pet, path):
    sitk.WriteImage(pet, str(path / "p.nii.gz"))
    content = (path / "p.nii.gz").read_bytes()
    (path / "p.nii.gz").write_bytes(content[: len(content) // 2])
    return path / "p.nii.gz"


def _zero_bytes(_, path):
    (path / "p.nii.gz").touch()
    return path / "p.nii.gz"


def _no_image(_, path):
    (path / "p.nii.gz").write_text("this is a letter, not an image\n" * 100)
    return path / "p.nii.gz"


def _missing(_, path):
    return path / "nowhere.nii.gz"


def _far_away(pet, path):
    return save(sitk.GetArrayFromImage(pet), path / "p.nii.gz", pet, Origin=(5000.0, 0.0, 0.0))


def _barely_overlapping(pet, path):
    x, y, z = pet.GetOrigin()
    height = pet.GetSpacing()[2] * pet.GetSize()[2]
    return save(sitk.GetArrayFromImage(pet), path / "p.nii.gz", pet, Origin=(x, y, z + 0.95 * height))


BAD_PETS = {
    _constant: {"empty_volume", "constant_volume", "label_map_as_pet"},
    _zeros: {"empty_volume", "constant_volume"},
    _nan: "not_finite",
    _inf: "not_finite",
    _one_slice: "one_slice",
    _two_dimensional: {"one_slice", "not_3d"},
    _four_d: "four_d",
    _color: "color_volume",
    _label_map: "label_map_as_pet",
    _huge_spacing: "bad_spacing",
    _zero_spacing: {"bad_spacing", "unreadable"},
    _sheared: {"sheared", "unreadable"},
    _truncated: {"truncated_file", "damaged_file"},
    _zero_bytes: "empty_file",
    _no_image: {"unreadable", "damaged_file", "truncated_file"},
    _missing: "not_found",
    _far_away: "no_overlap",
    _barely_overlapping: {"partial_overlap", "no_overlap"},
}


@pytest.mark.parametrize("make", list(BAD_PETS), ids=lambda make: make.__name__.strip("_"))
def test_bad_pet(small, images, tiny_bundle, tmp_path, capsys, make):  # noqa: F811
    pet = make(images[0], tmp_path)
    before = sorted(tmp_path.iterdir())
    files = ["--pet", pet, "--ct", small / "CT.nii.gz", "--model", tiny_bundle, "--output", tmp_path / "out"]
    refused(capsys, BAD_PETS[make], 2, "predict", *files)
    assert sorted(tmp_path.iterdir()) == before


def test_bad_input_spares_earlier_results(small, tiny_bundle, tmp_path, capsys):  # noqa: F811
    (tmp_path / "result.json").write_text("earlier")
    files = ["--pet", tmp_path / "no.nii.gz", "--ct", small / "CT.nii.gz", "--model", tiny_bundle, "--output", tmp_path]
    refused(capsys, "not_found", 2, "predict", *files)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"result.json": "earlier"}


def test_swapped_and_same(small, tiny_bundle, tmp_path, capsys):  # noqa: F811
    pet, ct = small / "PET.nii.gz", small / "CT.nii.gz"
    rest = ["--model", tiny_bundle, "--output", tmp_path / "out"]
    assert "other way" in refused(capsys, "swapped_pet_ct", 2, "predict", "--pet", ct, "--ct", pet, *rest)["hint"]
    refused(capsys, "same_volume", 2, "predict", "--pet", pet, "--ct", pet, *rest)
    shutil.copy(ct, tmp_path / "copy.nii.gz")
    refused(capsys, "same_volume", 2, "predict", "--pet", tmp_path / "copy.nii.gz", "--ct", ct, *rest)
    assert not (tmp_path / "out").exists()


def test_bad_dicom(small, tiny_bundle, tmp_path, capsys):  # noqa: F811
    folder = tmp_path / "dicom"
    folder.mkdir()
    rest = ["--ct", small / "CT.nii.gz", "--model", tiny_bundle, "--output", tmp_path / "out"]
    (folder / "notes.txt").write_text("nothing here")
    refused(capsys, "dicom_none", 2, "predict", "--pet", folder, *rest)
    write_series(folder)
    write_series(tmp_path / "two")
    for number, path in enumerate(sorted((tmp_path / "two").iterdir())):
        shutil.copy(path, folder / f"again{number}.dcm")
    refused(capsys, {"dicom_many_series", "dicom_duplicate_slices"}, 2, "predict", "--pet", folder, *rest)
    write_series(tmp_path / "gap", slices=9, edit=lambda index, _: index != 4)
    refused(capsys, "dicom_missing_slices", 2, "predict", "--pet", tmp_path / "gap", *rest)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("option", "code"),
    [
        (["--center", "9000", "0", "0"], "point_outside_image"),
        (["--center", "nan", "0", "0"], "center_not_finite"),
        (["--segmentation", "nowhere.nii.gz"], "not_found"),
        (["--device", "cuda:7"], "gpu_absent"),
        (["--device", "toaster"], "command_line"),
    ],
)
def test_bad_options(small, tiny_bundle, tmp_path, capsys, option, code):  # noqa: F811
    arguments = [*predict_arguments(small, tiny_bundle, tmp_path / "out"), *option]
    refused(capsys, code, 2, *arguments)
    assert not (tmp_path / "out").exists()


def test_empty_mask(small, images, tiny_bundle, tmp_path, capsys):  # noqa: F811
    mask = save(np.zeros(images[1].GetSize()[::-1], np.uint8), tmp_path / "m.nii.gz", images[1])
    arguments = predict_arguments(small, tiny_bundle, tmp_path / "out")
    refused(capsys, {"mask_empty", "empty_volume"}, 2, *arguments, "--segmentation", mask)
    assert not (tmp_path / "out").exists()


# The model -----------------------------------------------------------------------------------------------------------


def _altered(folder):
    content = bytearray((folder / WEIGHTS_FILE).read_bytes())
    content[-100] ^= 1
    (folder / WEIGHTS_FILE).write_bytes(content)


def _cut(folder):
    content = (folder / WEIGHTS_FILE).read_bytes()
    (folder / WEIGHTS_FILE).write_bytes(content[:-100])


def _newer(folder):
    card = json.loads((folder / CARD_FILE).read_text())
    (folder / CARD_FILE).write_text(json.dumps(card | {"schema_version": 99}))


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (shutil.rmtree, "model_missing"),
        (_altered, "model_altered"),
        (_cut, "model_truncated"),
        (_newer, "model_newer"),
        (lambda folder: (folder / "x.pkl").write_bytes(b"\x80\x04."), "model_unsafe"),
    ],
    ids=["missing", "altered", "truncated", "newer", "pickle"],
)
def test_bad_model(small, tiny_bundle, tmp_path, capsys, spoil, code):  # noqa: F811
    model = Path(shutil.copytree(tiny_bundle, tmp_path / "model"))
    spoil(model)
    refused(capsys, code, 5, *predict_arguments(small, model, tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    assert code in CODES_OF_A_MODEL


# The output folder ---------------------------------------------------------------------------------------------------


def test_output_is_a_file_or_below_one(small, tiny_bundle, tmp_path, capsys):  # noqa: F811
    (tmp_path / "file").write_text("mine")
    for output in (tmp_path / "file", tmp_path / "file" / "below"):
        refused(capsys, "output_unwritable", 2, *predict_arguments(small, tiny_bundle, output))
    assert (tmp_path / "file").read_text() == "mine"


def test_output_name_too_long(small, tiny_bundle, tmp_path, capsys):  # noqa: F811
    error = refused(
        capsys, "output_unwritable", 2, *predict_arguments(small, tiny_bundle, tmp_path / "a" / ("x" * 300))
    )
    assert "shorter" in error["hint"]
    assert list(tmp_path.iterdir()) == []


def test_output_not_writable(small, tiny_bundle, tmp_path, capsys, monkeypatch):  # noqa: F811
    folder = tmp_path / "locked"
    folder.mkdir()
    if os.access(folder, os.W_OK) and os.geteuid() == 0:  # root may write anywhere: let the system say what others hear
        real = os.open

        def refusing(path, *rest, **more):
            if str(path).startswith(str(folder)):
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return real(path, *rest, **more)

        monkeypatch.setattr(os, "open", refusing)
    folder.chmod(0o555)
    error = refused(capsys, "output_unwritable", 2, *predict_arguments(small, tiny_bundle, folder))
    assert str(folder) in error["message"]
    folder.chmod(0o755)
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_disk_full_at_the_end(small, tiny_bundle, tmp_path, capsys, monkeypatch):  # noqa: F811
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("CHMFLPredictorLib.report.report.write_report", full)
    error = refused(capsys, "output_full", 2, *predict_arguments(small, tiny_bundle, tmp_path / "out"))
    assert "Free some space" in error["hint"]
    assert list(tmp_path.iterdir()) == []


def test_disk_really_full(small, tiny_bundle, tmp_path, capsys):  # noqa: F811
    """A file system of 64 kB, where the machine lets the tests mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("no right to mount a small file system")
    try:
        refused(capsys, "output_full", 2, *predict_arguments(small, tiny_bundle, disk / "out"))
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "output_full"),
        (errno.EDQUOT, "output_full"),
        (errno.EFBIG, "output_full"),
        (errno.EROFS, "output_unwritable"),
        (errno.EACCES, "output_unwritable"),
        (errno.ENAMETOOLONG, "output_unwritable"),
        (errno.EIO, "output_unwritable"),
    ],
)
def test_words_for_what_the_system_says(number, code):
    error = output_error(Path("/somewhere"), OSError(number, os.strerror(number)))
    assert error.code == code and error.exit_code == 2 and "/somewhere" in error.message and error.hint
