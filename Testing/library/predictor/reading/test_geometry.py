"""Grids: ITK's own answers, and LPS and RAS the same place."""

import numpy as np
import pytest
import SimpleITK as sitk
from CHMFLPredictorLib.reading.geometry import VoxelGrid, bounds_lps, flipped, image_at, index_to_ras, middle_lps


@pytest.fixture
def oblique():
    image = sitk.Image(7, 5, 9, sitk.sitkInt16)
    image.SetSpacing((1.5, 2.0, 3.25))
    image.SetOrigin((-20.0, 31.0, 5.5))
    image.SetDirection(sitk.Euler3DTransform((0.0, 0.0, 0.0), 0.3, -0.2, 0.7).GetMatrix())
    return image


def test_points_and_indices_are_those_of_itk(oblique):
    grid, index = VoxelGrid.of_image(oblique), np.random.default_rng(0).uniform(-2, 9, (20, 3))
    expected = [oblique.TransformContinuousIndexToPhysicalPoint(one) for one in index.tolist()]
    np.testing.assert_allclose(grid.points(index), expected)
    np.testing.assert_allclose(grid.index(grid.points(index)), index, atol=1e-12)
    np.testing.assert_allclose(grid.middle, middle_lps(oblique))
    low, high = bounds_lps(oblique)
    everywhere = grid.points(np.random.default_rng(1).uniform(-0.5, grid.size - 0.5, (5000, 3)))
    assert (
        (everywhere >= low).all()
        and (everywhere <= high).all()
        and (high - low < np.ptp(everywhere, axis=0) * 1.3).all()
    )


def test_an_image_and_its_matrix_are_one_place(oblique):
    again = image_at(sitk.GetArrayFromImage(oblique), index_to_ras(oblique))
    for wanted, got in zip(
        vars(VoxelGrid.of_image(oblique)).values(), vars(VoxelGrid.of_image(again)).values(), strict=True
    ):
        np.testing.assert_allclose(got, wanted, atol=1e-12)
    in_the_scene = VoxelGrid.of_matrix(index_to_ras(oblique), oblique.GetSize())
    np.testing.assert_allclose(in_the_scene.middle, flipped(middle_lps(oblique)))


def test_share_is_what_lies_inside_borders_too(oblique):
    grid = VoxelGrid.of_image(oblique)
    half = VoxelGrid.of_image(oblique[:, :, :4])
    assert (half.share_in(grid), grid.share_in(grid), grid.share_in(half)) == (
        1.0,
        1.0,
        pytest.approx(4 / 9, abs=1 / 16),
    )
    border = grid.points(np.array([[-0.5, 0, 0], [-0.51, 0, 0], [6.5, 4.5, 8.5], [6.5, 4.5, 8.51]]))
    assert grid.share(border) == 0.5
