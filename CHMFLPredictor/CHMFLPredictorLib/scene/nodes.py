"""Nodes of a MRML scene into files for a prediction.

Files are in world space: a linear parent transform is hardened into the written copy, never into the node.
"""

import json

import numpy as np
import SimpleITK as sitk
import slicer
import vtk

from ..errors import BadInput
from ..reading.geometry import VoxelGrid, image_at

UNITS = {"{SUVbw}g/ml": "SUV", "[hnsf'U]": "HU", "Bq/ml": "BQML"}


def check_inputs(pet_node, ct_node) -> None:
    """Refuse what cannot be a PET and a CT without looking at a voxel or a file.

    :raises BadInput: those of :func:`check_volumes`, and pet_not_suv, pet_in_bqml.
    """
    check_volumes(pet_node, ct_node)
    check_coded_units(pet_node)


def check_volumes(pet_node, ct_node) -> None:
    """Refuse what are not two volumes in a place, whatever they show.

    :raises BadInput: node_missing, not_a_volume, volume_empty, same_volume, and those of :func:`world_geometry`.
    """
    for role, node in (("PET", pet_node), ("CT", ct_node)):
        if node is None or node.GetScene() is None:
            raise BadInput(
                "node_missing", f"No {role} volume is chosen, or it has left the scene.", f"Choose a {role}."
            )
        if node.GetClassName() != "vtkMRMLScalarVolumeNode":
            kind = node.GetNodeTagName()
            text = f"The {role} '{node.GetName()}' is a {kind}, not a scalar volume."
            raise BadInput("not_a_volume", text, f"Choose the {role} itself.")
        image = node.GetImageData()
        if image is None or image.GetNumberOfPoints() == 0:
            raise BadInput("volume_empty", f"The {role} '{node.GetName()}' has no voxels.", "Load it again.")
        world_geometry(node)
    if pet_node is ct_node:
        text = f"PET and CT are the same volume '{pet_node.GetName()}'."
        raise BadInput("same_volume", text, "Choose the other one of the two.")


def check_coded_units(pet_node) -> None:
    """Refuse a PET whose units are coded and cannot become body-weight SUV.

    :raises BadInput: pet_not_suv, pet_in_bqml.
    """
    units = coded_units(pet_node)
    if units == "BQML" and not instance_uids(pet_node):
        raise pet_in_bqml(pet_node)
    if units not in ("SUV", "BQML", None):
        text = f"The PET '{pet_node.GetName()}' is in {units}, not in body-weight SUV."
        raise BadInput("pet_not_suv", text, "Convert it to body-weight SUV ({SUVbw}g/ml).")


def coded_units(volume_node) -> str | None:
    """The volume's units: "SUV" (body weight), "HU", "BQML", another code as it is, or None if it has none."""
    entry = volume_node.GetVoxelValueUnits()
    code = entry.GetCodeValue() if entry is not None else None
    return UNITS.get(code, code) if code else None


def instance_uids(volume_node) -> list[str]:
    """SOP instance UIDs of the DICOM files that the volume was loaded from, in the order of its slices k."""
    return (volume_node.GetAttribute("DICOM.instanceUIDs") or "").split()


def pet_in_bqml(pet_node, why: str = "") -> BadInput:
    """The refusal of a PET in Bq/ml whose dose and weight are nowhere to be read."""
    text = f"The PET '{pet_node.GetName()}' is in Bq/ml{why}, and no DICOM files tell the dose and the weight."
    hint = "Load it from its DICOM files with the DICOM module, or with the PET DICOM extension, which gives SUV."
    return BadInput("pet_in_bqml", text, hint)


def local_geometry(volume_node) -> np.ndarray:
    """IJK to the RAS that the volume's own parent transform starts from, in mm, 4x4."""
    matrix = vtk.vtkMatrix4x4()
    volume_node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def world_geometry(volume_node) -> np.ndarray:
    """IJK to world RAS in mm, 4x4, the linear parent transforms included.

    :raises BadInput: transform_not_linear, spacing, sheared.
    """
    name, transform = volume_node.GetName(), volume_node.GetParentTransformNode()
    matrix = local_geometry(volume_node)
    if transform is not None:
        if not transform.IsTransformToWorldLinear():
            text = f"'{name}' lies under the non-linear transform '{transform.GetName()}', which would bend its voxels."
            hint = "Harden the transform on a copy, or take the volume out of it."
            raise BadInput("transform_not_linear", text, hint)
        to_world = vtk.vtkMatrix4x4()
        transform.GetMatrixTransformToWorld(to_world)
        matrix = slicer.util.arrayFromVTKMatrix(to_world) @ matrix
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    if not np.all(np.isfinite(matrix)) or lengths.min() <= 0:
        text = f"'{name}' has a voxel size of {_listed(lengths)} mm."
        raise BadInput("spacing", text, "Load it again, or correct its spacing.")
    axes = matrix[:3, :3] / lengths
    if np.abs(axes.T @ axes - np.eye(3)).max() > 1e-4:
        text = f"The axes of '{name}' are not at right angles, by its own directions or by its transform."
        raise BadInput("sheared", text, "Resample it to a straight grid (module Resample Scalar/Vector/DWI Volume).")
    return matrix


def world_grid(volume_node) -> VoxelGrid:
    """The place of a volume's voxels in world RAS.

    :raises BadInput: see :func:`world_geometry`.
    """
    return VoxelGrid.of_matrix(world_geometry(volume_node), volume_node.GetImageData().GetDimensions())


def center_of_volume(volume_node) -> tuple[float, float, float]:
    """The middle of a volume in world RAS, mm.

    :raises BadInput: see :func:`world_geometry`.
    """
    r, a, s = world_grid(volume_node).middle
    return float(r), float(a), float(s)


def write_volume(volume_node, path, modality: str | None = None, conversion=None, warnings=()) -> None:
    """Write a volume in world space, uncompressed, with its modality ("PT", "CT") and its units as header fields.

    :param path: of a .nrrd file.
    :param conversion: a :class:`.suv.Conversion` to apply to the written copy.
    :param warnings: ``{"code", "text"}`` each: what this side knows and the result should say; they go along as the
        header field ``chmfl_warnings`` (JSON).
    :raises BadInput: see :func:`world_geometry`.
    """
    voxels, units = slicer.util.arrayFromVolume(volume_node), coded_units(volume_node)
    if conversion is not None:
        voxels, units = conversion.applied_to(voxels), "SUV"
    image = image_at(voxels, world_geometry(volume_node))
    fields = {
        "chmfl_modality": modality,
        "chmfl_units": units,
        "chmfl_warnings": json.dumps(list(warnings)) if warnings else None,
    }
    for key, value in fields.items():
        if value:
            image.SetMetaData(key, value)
    sitk.WriteImage(image, str(path), useCompression=False)


def write_segment(segmentation_node, segment_id: str, ct_node, path) -> None:
    """Write a segment as a uint8 mask on the CT's grid, in world space.

    :raises BadInput: segment_missing, segment_empty.
    """
    segment = segmentation_node.GetSegmentation().GetSegment(segment_id)
    if segment is None:
        text = f"'{segmentation_node.GetName()}' has no segment '{segment_id}'."
        raise BadInput("segment_missing", text, "Choose one of its segments.")
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation_node, segment_id, ct_node)
    if mask is None or not mask.any():
        text = f"The segment '{segment.GetName()}' is empty on the CT '{ct_node.GetName()}'."
        raise BadInput("segment_empty", text, "Choose the segment that holds the tumor.")
    sitk.WriteImage(image_at((mask > 0).astype(np.uint8), world_geometry(ct_node)), str(path), useCompression=False)


# Inside --------------------------------------------------------------------------------------------------------------


def _listed(numbers) -> str:
    return " x ".join(f"{number:.4g}" for number in numbers)
