"""A DICOM study into the scene: PET and CT chosen as the command line does, and loaded by Slicer's own DICOM module."""

import slicer

from ..errors import BadInput

CANNOT_HINT = "Load PET and CT in the DICOM module, and choose them above."


def load_study(folder) -> tuple:
    """Load the PET and the CT out of a folder as an archive exports it, and show the PET over the CT. The folder goes
    into Slicer's DICOM database, which the conversion to SUV asks for the headers; its files stay where they are.

    :return: PET and CT (vtkMRMLScalarVolumeNode), and what was chosen and left alone, in words; empty where the folder
        holds no other PET or CT.
    :raises BadInput: those of :func:`..reading.study.choose_study`; study_not_loaded, nothing stays in the scene then.
    :raises MissingDependency: pydicom_missing.
    """
    from ..reading.dicom import folder_of_index
    from ..reading.study import choose_study
    from . import show

    folder = folder_of_index(str(folder))
    chosen = choose_study(folder)
    nodes = []
    try:
        _import(folder)
        for series in chosen:
            nodes.append(_load(series))
    except BadInput:
        for node in nodes:
            slicer.mrmlScene.RemoveNode(node)
        raise
    pet, ct = nodes
    show.show_in_slices(pet, ct)
    return pet, ct, " ".join(note["text"] for note in chosen[0].notes)


def _import(folder: str) -> None:
    from DICOMLib import DICOMUtils

    if not slicer.dicomDatabase.isOpen or not DICOMUtils.importDicom(folder):
        text = f"Slicer's DICOM database does not take the study '{folder}'."
        raise BadInput("study_not_loaded", text, "Open the DICOM module, which sets up the database, and try again.")


def _load(series):
    """The one volume of a series, as Slicer's plugin of the highest confidence loads it."""
    from DICOMLib import DICOMUtils

    found = [slicer.mrmlScene.GetNodeByID(one) for one in DICOMUtils.loadSeriesByUID([series.uid])]
    volumes = [node for node in found if node is not None and node.IsA("vtkMRMLScalarVolumeNode")]
    if len(volumes) != 1:
        for node in found:
            slicer.mrmlScene.RemoveNode(node)
        text = f"Slicer's DICOM module made {len(volumes)} volumes of the series {series.describe()}."
        raise BadInput("study_not_loaded", text, CANNOT_HINT)
    return volumes[0]
