"""Where voxels lie: the geometry of grids that the files' side and the scene's side share.

The middle of a grid's first voxel has the index (0, 0, 0), its border -0.5. Files (ITK, DICOM) are in LPS mm, Slicer's
scene is in RAS mm: a grid is in the one or the other, and :func:`flipped` turns points of one into the other's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])  # LPS to RAS, and back
LATTICE = 16  # points along each side of a grid, to see how much of it lies in another
SAME_AXES = 1e-5  # of a direction's cosines: what is nearer to right angles is there but for rounding
EDGE = 1e-6  # voxels: what lies on a grid's border but for rounding is inside


@dataclass(frozen=True)
class VoxelGrid:
    """The place of a volume's voxels.

    :ivar size: voxels along i, j, k (3,).
    :ivar origin: the middle of the first voxel, mm (3,).
    :ivar spacing: mm (3,).
    :ivar axes: unit vectors along i, j, k as columns, at right angles (3, 3).
    """

    size: np.ndarray
    origin: np.ndarray
    spacing: np.ndarray
    axes: np.ndarray

    @classmethod
    def of_image(cls, image: sitk.Image) -> VoxelGrid:
        """The grid of an image, LPS."""
        axes = np.array(image.GetDirection()).reshape(3, 3)
        return cls(np.array(image.GetSize()), np.array(image.GetOrigin()), np.array(image.GetSpacing()), axes)

    @classmethod
    def of_matrix(cls, index_to_mm: np.ndarray, size) -> VoxelGrid:
        """The grid of a 4x4 matrix, in the matrix's coordinates."""
        spacing = np.linalg.norm(index_to_mm[:3, :3], axis=0)
        return cls(np.array(size), index_to_mm[:3, 3], spacing, index_to_mm[:3, :3] / spacing)

    @property
    def middle(self) -> np.ndarray:
        """The middle of the grid, mm (3,)."""
        return self.points((self.size - 1) / 2)

    def points(self, index) -> np.ndarray:
        """Points in mm of (continuous) indices (..., 3)."""
        return index @ (self.axes * self.spacing).T + self.origin

    def index(self, points) -> np.ndarray:
        """Continuous indices of points in mm (..., 3)."""
        return (points - self.origin) @ self.axes / self.spacing  # orthonormal: the transpose is the inverse

    def share(self, points) -> float:
        """Share of points in mm (n, 3) that lie inside, 0 to 1."""
        index = self.index(points)
        return float(np.mean(np.all((index >= -0.5 - EDGE) & (index <= self.size - 0.5 + EDGE), axis=1)))

    def share_in(self, other: VoxelGrid, points: int = LATTICE) -> float:
        """Share of this grid's volume inside another of the same coordinates, 0 to 1, by a lattice of points^3."""
        axes = [(np.arange(points) + 0.5) / points * count - 0.5 for count in self.size]
        lattice = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        return other.share(self.points(lattice))


def flipped(points) -> np.ndarray:
    """RAS of LPS, LPS of RAS: points (..., 3) with the signs of the first two coordinates changed."""
    return np.array(points, dtype=float) * (-1.0, -1.0, 1.0)


def squared(axes: np.ndarray) -> np.ndarray:
    """The axes at right angles that are nearest to unit vectors which are not quite, as columns (3, 3)."""
    left, _, right = np.linalg.svd(axes)
    return left @ right


def index_to_ras(image: sitk.Image) -> np.ndarray:
    """The matrix from an image's voxel index to RAS mm, 4x4, as a node of the scene wants it."""
    grid, matrix = VoxelGrid.of_image(image), np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = grid.axes * grid.spacing, grid.origin
    return FLIP @ matrix


def image_at(array_kji: np.ndarray, to_ras: np.ndarray) -> sitk.Image:
    """Voxels (k, j, i) as an image in the place that a matrix from index to RAS mm gives it, 4x4."""
    grid = VoxelGrid.of_matrix(FLIP @ to_ras, array_kji.shape[::-1])
    image = sitk.GetImageFromArray(array_kji)
    image.SetSpacing(grid.spacing.tolist())
    image.SetDirection(grid.axes.ravel().tolist())
    image.SetOrigin(grid.origin.tolist())
    return image


def middle_lps(image: sitk.Image) -> np.ndarray:
    """The middle of an image, LPS mm (3,)."""
    return np.array(image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()]))


def bounds_lps(image: sitk.Image) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest LPS coordinate in mm that the image's voxels reach, along the patient's axes."""
    corners = np.array(list(np.ndindex(2, 2, 2))) * image.GetSize() - 0.5
    points = [image.TransformContinuousIndexToPhysicalPoint(corner.tolist()) for corner in corners]
    return np.min(points, axis=0), np.max(points, axis=0)
