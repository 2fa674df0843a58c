"""What fills a part of a grid is written as if the whole grid were: every reader finds the same file."""

import gzip

import numpy as np
import pytest
import SimpleITK as sitk
from CHMFLPredictorLib.reading.image_files import read_file
from CHMFLPredictorLib.reading.part_files import write_part


@pytest.mark.parametrize("first", [(0, 0, 0), (37, 20, 55), (80, 60, 90)])
@pytest.mark.parametrize("pixel", [sitk.sitkUInt8, sitk.sitkFloat32])
def test_the_file_holds_the_whole_grid(tmp_path, first, pixel):
    whole = sitk.Image([200, 180, 120], pixel)  # several blocks of zeros before and behind the part
    turn = np.deg2rad(20)
    whole.SetDirection([np.cos(turn), -np.sin(turn), 0, np.sin(turn), np.cos(turn), 0, 0, 0, 1])
    whole.SetSpacing((0.9, 1.1, 2.5))
    whole.SetOrigin((-50.0, 33.0, 700.0))
    part = whole[tuple(slice(n, n + 30) for n in first)]
    values = np.random.default_rng(1).integers(0, 2, part.GetSize()[::-1])
    filled = sitk.GetImageFromArray(values.astype(sitk.GetArrayViewFromImage(part).dtype))
    filled.CopyInformation(part)
    path = write_part(filled, first, whole.GetSize(), tmp_path / "part.nii.gz")
    expected = sitk.Paste(whole, filled, filled.GetSize(), [0, 0, 0], first)

    found = sitk.ReadImage(str(path))
    assert found.GetPixelID() == pixel
    assert np.array_equal(sitk.GetArrayFromImage(found), sitk.GetArrayFromImage(expected))
    for what in ("GetOrigin", "GetSpacing", "GetDirection"):
        assert getattr(found, what)() == pytest.approx(getattr(whole, what)(), abs=1e-4)
    read_file(str(path), "result")  # its own check of size and checksum
    unpacked = gzip.decompress(path.read_bytes())
    sitk.WriteImage(expected, str(tmp_path / "whole.nii"))
    assert unpacked == (tmp_path / "whole.nii").read_bytes()
    assert path.stat().st_size < 0.01 * len(unpacked) + 30**3


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(OSError):
        write_part(sitk.Image([2, 2, 2], sitk.sitkUInt8), (0, 0, 0), (4, 4, 4), tmp_path / "absent" / "a.nii.gz")
    assert list(tmp_path.iterdir()) == []
