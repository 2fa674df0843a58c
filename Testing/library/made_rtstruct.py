"""Hand-made structure sets for the tests, in the frame of ``made_dicom``'s series."""

from pathlib import Path

import numpy as np
from made_dicom import STUDY

SERIES = {"CT": STUDY + ".3", "PT": STUDY + ".2"}


def rectangle(left, top, right, bottom, z):
    """A closed polygon (4, 3) in LPS mm."""
    return np.array([[left, top, z], [right, top, z], [right, bottom, z], [left, bottom, z]], float)


def write_rtstruct(path, rois, drawn_on="CT", kind="CLOSED_PLANAR", types=None, **changes):
    """Write an RTSTRUCT.

    ``rois``: contours (list of (n, 3) arrays, LPS mm) by name. ``drawn_on``: "CT", "PT" or None for no reference.
    ``types``: RT ROI Interpreted Type by name.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    one = Dataset()
    one.SOPClassUID, one.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.481.3", generate_uid()
    one.Modality, one.PatientID, one.SeriesDescription = "RTSTRUCT", "made by hand", "contours"
    one.StudyInstanceUID, one.SeriesInstanceUID = STUDY, generate_uid()
    one.ReferencedFrameOfReferenceSequence = [_frame(drawn_on)] if drawn_on else []
    one.StructureSetROISequence, one.ROIContourSequence, one.RTROIObservationsSequence = [], [], []
    for number, (name, contours) in enumerate(rois.items(), start=1):
        one.StructureSetROISequence.append(
            _dataset(ROINumber=number, ROIName=name, ReferencedFrameOfReferenceUID=STUDY + ".9")
        )
        items = [
            _dataset(
                ContourGeometricType=kind,
                NumberOfContourPoints=len(points),
                ContourData=[f"{value:.6g}" for value in np.ravel(points)],
            )
            for points in contours
        ]
        one.ROIContourSequence.append(_dataset(ReferencedROINumber=number, ContourSequence=items))
        one.RTROIObservationsSequence.append(
            _dataset(ReferencedROINumber=number, RTROIInterpretedType=(types or {}).get(name, ""))
        )
    for keyword, value in changes.items():
        setattr(one, keyword, value)
    one.file_meta = FileMetaDataset()
    one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID
    one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
    one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    one.save_as(path, enforce_file_format=True)
    return path


def _frame(drawn_on):
    series = _dataset(SeriesInstanceUID=SERIES.get(drawn_on, drawn_on))
    study = _dataset(RTReferencedSeriesSequence=[series])
    return _dataset(FrameOfReferenceUID=STUDY + ".9", RTReferencedStudySequence=[study])


def _dataset(**values):
    from pydicom.dataset import Dataset

    one = Dataset()
    for keyword, value in values.items():
        setattr(one, keyword, value)
    return one
