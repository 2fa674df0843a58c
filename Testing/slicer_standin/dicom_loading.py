"""A DICOM series as Slicer's DICOM module loads it: the volume node and its place in the subject hierarchy.

Follows Slicer's Modules/Scripted/DICOMPlugins/DICOMScalarVolumePlugin.py, DICOMLib/DICOMPlugin.py
(addSeriesInSubjectHierarchy, mapSOPClassUIDToDICOMQuantityAndUnits) and DICOMUtils.py (getSortedImageFiles), with the
reader that Slicer uses first (vtkITK with GDCM). PET stays in the file's units, in colors "PETheat" and without a units
code; CT is coded in Hounsfield units. Slices at uneven distances get a grid transform. Not covered: color images, and
subseries (all files of the series make the volume).
"""

import logging
import os

import numpy as np

# the middle part of SOP class UIDs, as DICOMPlugin.mapSOPClassUIDToModality lists them
_STORAGE = "1.2.840.10008.5.1.4.1.1."
MODALITIES = {
    **dict.fromkeys((_STORAGE + "4", _STORAGE + "4.1", _STORAGE + "4.4"), "MR"),
    **dict.fromkeys((_STORAGE + "2", _STORAGE + "2.1", _STORAGE + "2.2"), "CT"),
    **dict.fromkeys((_STORAGE + "128", _STORAGE + "130", _STORAGE + "128.1"), "PT"),
}
CODES = {
    "MR": (("110852", "DCM", "MR signal intensity"), ("1", "UCUM", "no units")),
    "CT": (("112031", "DCM", "Attenuation Coefficient"), ("[hnsf'U]", "UCUM", "Hounsfield unit")),
}
# attribute of the hierarchy item without "DICOM.": tag
SERIES_ATTRIBUTES = {
    "Modality": "0008,0060",
    "SeriesNumber": "0020,0011",
    "FrameOfReferenceUID": "0020,0052",
    "SeriesDescription": "0008,103E",
    "SeriesDate": "0008,0021",
    "SeriesTime": "0008,0031",
    "ContentDate": "0008,0023",
    "ContentTime": "0008,0033",
    "Manufacturer": "0008,0070",
    "Model": "0008,1090",
}
PATIENT_ATTRIBUTES = {"PatientSex": "0010,0040", "PatientBirthDate": "0010,0030", "PatientComments": "0010,4000"}
STUDY_ATTRIBUTES = {"StudyID": "0020,0010", "StudyDate": "0008,0020", "StudyTime": "0008,0030"}
CORNER_TOLERANCE = 1e-3  # mm, of the plugin's acquisition modeling


def load_series(folder, series_uid=None):
    """Insert a folder's files into slicer.dicomDatabase and load one series as Slicer does.

    :param folder: folder (with subfolders) of DICOM files; other files are passed over with a logged word.
    :param series_uid: which series, if there are several.
    :return: the vtkMRMLScalarVolumeNode.
    :raises ValueError: there is no series, or there are several and none was named.
    :raises RuntimeError: the reader could not read the files.
    """
    database = _database()
    files = [os.path.join(place, name) for place, _, names in sorted(os.walk(folder)) for name in sorted(names)]
    for file in files:
        database.insert(file)
    series = sorted({database.seriesForFile(file) for file in files} - {""})
    if series_uid is None and len(series) == 1:
        series_uid = series[0]
    if series_uid not in series:
        raise ValueError(f"'{folder}' has the series {series}, not {series_uid}.")
    return load_files(sorted_files(database.filesForSeries(series_uid)))


def load_files(files):
    """Load sorted files of one series (DICOMScalarVolumePluginClass.load)."""
    node = _read(files, _node_name(files))
    _add_to_hierarchy(files, node)
    files = _right_handed(node, files)
    _set_properties(node, files)
    _add_acquisition_transform(node, files)
    return node


def sorted_files(files):
    """Files along the normal of the first one's plane; in the given order if one lacks its place."""
    values = [_vectors(file, "0020,0032", "0020,0037") for file in files]
    if any(position is None or orientation is None for position, orientation in values):
        return list(files)
    axis = np.cross(values[0][1][:3], values[0][1][3:])
    distance = {file: float(position @ axis) for file, (position, _) in zip(files, values, strict=True)}
    return sorted(files, key=distance.get)


def _database():
    import slicer

    return slicer.dicomDatabase


def _value(file, tag) -> str:
    return _database().fileValue(file, tag)


def _vectors(file, *tags):
    texts = [_value(file, tag) for tag in tags]
    return [np.array([float(part) for part in text.split("\\")]) if text else None for text in texts]


def _node_name(files) -> str:
    number, description = _value(files[0], "0020,0011"), _value(files[0], "0008,103E") or "Unnamed Series"
    name = f"{number}: {description}" if number else description
    for character in "|/\\":
        name = name.replace(character, "-")
    return name.replace("*", "(star)")


def _read(files, name):
    """Read with vtkITK (loadFilesWithSeriesReader): native scalar type, rescaled, RAS geometry."""
    import slicer
    import vtk

    if "MONOCHROME" not in _value(files[0], "0028,0004"):
        raise NotImplementedError("The stand-in loads no color DICOM images.")
    reader = slicer.vtkITKArchetypeImageSeriesScalarReader()
    reader.SetArchetype(files[0])
    for file in files:
        reader.AddFileName(file)
    reader.SetSingleFile(0)
    reader.SetOutputScalarTypeToNative()
    reader.SetDesiredCoordinateOrientationToNative()
    reader.SetUseNativeOriginOn()
    reader.SetDICOMImageIOApproachToGDCM()
    reader.Update()
    if reader.GetErrorCode():
        reason = vtk.vtkErrorCode.GetStringFromErrorCode(reader.GetErrorCode())
        raise RuntimeError(f"Could not read {files[0]}: {reason}")
    plain = vtk.vtkImageChangeInformation()
    plain.SetInputConnection(reader.GetOutputPort())
    plain.SetOutputSpacing(1, 1, 1)
    plain.SetOutputOrigin(0, 0, 0)
    plain.Update()
    scene = slicer.mrmlScene
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", scene.GenerateUniqueName(name))
    node.SetAndObserveImageData(plain.GetOutputDataObject(0))
    slicer.vtkMRMLVolumeArchetypeStorageNode.SetMetaDataDictionaryFromReader(node, reader)
    node.SetRASToIJKMatrix(reader.GetRasToIjkMatrix())
    node.CreateDefaultDisplayNodes()
    return node


def _add_to_hierarchy(files, node) -> None:
    """Series, study and patient items with their UIDs and attributes (addSeriesInSubjectHierarchy)."""
    import slicer

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    first = files[0]
    item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)
    series, study = _value(first, "0020,000E"), _value(first, "0020,000D")
    hierarchy.SetItemUID(item, "DICOM", series)
    _set_attributes(hierarchy, item, first, SERIES_ATTRIBUTES)
    hierarchy.SetItemUID(item, "DICOMInstanceUID", " ".join(_value(file, "0008,0018") or "Unknown" for file in files))
    hierarchy.SetItemAttribute(item, "DICOM.ReferencedInstanceUIDs", "")
    patient = _value(first, "0010,0020") or f"Patient-{study}"
    known = {uid: hierarchy.GetItemByUID("DICOM", uid) for uid in (patient, study)}
    slicer.vtkSlicerSubjectHierarchyModuleLogic.InsertDicomSeriesInHierarchy(hierarchy, patient, study, series)
    if not known[patient]:
        _describe_patient(hierarchy, hierarchy.GetItemByUID("DICOM", patient), first, patient)
    if not known[study]:
        _describe_study(hierarchy, hierarchy.GetItemByUID("DICOM", study), first, study)


def _set_attributes(hierarchy, item, file, attributes) -> None:
    for name, tag in attributes.items():
        hierarchy.SetItemAttribute(item, f"DICOM.{name}", _value(file, tag))


def _describe_patient(hierarchy, item, file, patient: str) -> None:
    name, birth = _value(file, "0010,0010") or "No name", _value(file, "0010,0030")
    hierarchy.SetItemAttribute(item, "DICOM.PatientName", name)
    hierarchy.SetItemAttribute(item, "DICOM.PatientID", patient)
    _set_attributes(hierarchy, item, file, PATIENT_ATTRIBUTES)
    hierarchy.SetItemName(item, f"{name} ({patient})" + (f" ({birth})" if birth else ""))


def _describe_study(hierarchy, item, file, study: str) -> None:
    description, date = _value(file, "0008,1030") or "No study description", _value(file, "0008,0020")
    hierarchy.SetItemAttribute(item, "DICOM.StudyDescription", description)
    hierarchy.SetItemAttribute(item, "DICOM.StudyInstanceUID", study)
    _set_attributes(hierarchy, item, file, STUDY_ATTRIBUTES)
    hierarchy.SetItemName(item, description + (f" ({date})" if date else ""))


def _right_handed(node, files):
    """Turn a left-handed volume's slices around, and with them the files."""
    import slicer
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    if slicer.vtkMRMLVolumeNode.IsIJKCoordinateSystemRightHanded(matrix):
        return files
    slicer.vtkMRMLVolumeNode.ReverseSliceOrder(node.GetImageData(), matrix)
    node.SetIJKToRASMatrix(matrix)
    return files[::-1]


def _set_properties(node, files) -> None:
    """What setVolumeNodeProperties writes on the node, in the order of slices, and on its display node."""
    node.SetAttribute("DICOM.instanceUIDs", " ".join(_value(file, "0008,0018") or "Unknown" for file in files))
    node.SetAttribute("DICOM.instanceNumbers", " ".join(_value(file, "0020,0013") or "?" for file in files))
    _select(node)
    middle = files[len(files) // 2]
    _set_window(node.GetDisplayNode(), middle)
    modality = MODALITIES.get(_value(middle, "0008,0016"))
    if modality == "PT":
        _use_pet_colors(node.GetDisplayNode())
    if modality in CODES:
        quantity, units = (_coded(*code) for code in CODES[modality])
        node.SetVoxelValueQuantity(quantity)
        node.SetVoxelValueUnits(units)


def _select(node) -> None:
    import slicer

    application = getattr(slicer, "app", None)
    if application is not None:
        application.applicationLogic().GetSelectionNode().SetActiveVolumeID(node.GetID())
        application.applicationLogic().PropagateVolumeSelection()


def _set_window(display, file) -> None:
    centers, widths = (_value(file, tag).split("\\") for tag in ("0028,1050", "0028,1051"))
    if centers == widths == [""]:
        return
    try:
        for center, width in zip(centers, widths, strict=True):
            display.AddWindowLevelPreset(float(width), float(center))
        display.SetWindowLevelFromPreset(0)
    except ValueError as error:
        logging.error(f"Failed to parse window center/width values: {error}")


def _use_pet_colors(display) -> None:
    import slicer

    heat = slicer.vtkMRMLPETProceduralColorNode.PETheat
    display.SetAndObserveColorNodeID(slicer.modules.colors.logic().GetPETColorNodeID(heat))


def _coded(value: str, scheme: str, meaning: str):
    import slicer

    entry = slicer.vtkCodedEntry()
    entry.SetValueSchemeMeaning(value, scheme, meaning)
    return entry


def _add_acquisition_transform(node, files) -> None:
    """Put the volume under a grid transform where the slices are not where its matrix says (AcquisitionModeling)."""
    shown, true = _corners_of_matrix(node), _corners_of_files(node, files)
    if true is None or np.abs(shown - true).max() <= CORNER_TOLERANCE:
        return
    logging.warning("Irregular volume geometry detected. Adding acquisition transform to regularize geometry.")
    _grid_transform(node, true - shown)


def _corners_of_matrix(node):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    columns, rows, slices = node.GetImageData().GetDimensions()
    corners = np.zeros((slices, 2, 2, 3))
    for k, row, column in np.ndindex(slices, 2, 2):
        corners[k, row, column] = matrix.MultiplyPoint([column * columns, row * rows, k, 1])[:3]
    return corners


def _corners_of_files(node, files):
    """Corners by the headers in RAS, or None where they do not say, or one file holds all slices."""
    columns, rows, slices = node.GetImageData().GetDimensions()
    if len(files) != slices:
        logging.warning(f"Cannot get DICOM slice positions for volume {node.GetName()}")
        return None
    to_ras = np.array([-1, -1, 1])
    corners = np.zeros((slices, 2, 2, 3))
    for k, file in enumerate(files):
        position, orientation, spacing = _vectors(file, "0020,0032", "0020,0037", "0028,0030")
        if position is None or orientation is None or spacing is None:
            logging.warning("No geometry information available for DICOM data, skipping corner calculations")
            return None
        along_row = columns * spacing[1] * orientation[:3] * to_ras
        along_column = rows * spacing[0] * orientation[3:] * to_ras
        for row, column in np.ndindex(2, 2):
            corners[k, row, column] = position * to_ras + column * along_row + row * along_column
    return corners


def _grid_transform(node, displacements) -> None:
    import slicer
    import slicer.util
    import vtk

    transform_node = slicer.vtkMRMLGridTransformNode()
    transform_node.SetName(slicer.mrmlScene.GenerateUniqueName(f"{node.GetName()} acquisition transform"))
    slicer.mrmlScene.AddNode(transform_node)
    columns, rows, slices = node.GetImageData().GetDimensions()
    spacing = node.GetSpacing()
    grid = vtk.vtkImageData()
    grid.SetOrigin(*node.GetOrigin())
    grid.SetDimensions(2, 2, slices)
    grid.SetSpacing(spacing[0] * columns, spacing[1] * rows, spacing[2])
    grid.AllocateScalars(vtk.VTK_DOUBLE, 3)
    direction = vtk.vtkMatrix4x4()
    node.GetIJKToRASDirectionMatrix(direction)
    transform = slicer.vtkOrientedGridTransform()
    transform.SetGridDirectionMatrix(direction)
    transform.SetDisplacementGridData(grid)
    transform_node.SetAndObserveTransformToParent(transform)
    node.SetAndObserveTransformNodeID(transform_node.GetID())
    slicer.util.arrayFromGridTransform(transform_node)[:] = displacements
