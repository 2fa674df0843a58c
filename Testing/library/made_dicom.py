"""Hand-made DICOM series for the tests: small, valid, and changeable tag by tag."""

from pathlib import Path

import numpy as np

STUDY = "1.2.826.0.1.3680043.8.498.1"
CLASSES = {"CT": "1.2.840.10008.5.1.4.1.1.2", "PT": "1.2.840.10008.5.1.4.1.1.128"}


def header(modality="PT", **changes):
    """A pydicom Dataset of one slice: Siemens-like FDG PET in Bq/ml, or a CT. A change to None removes the tag."""
    from pydicom.dataset import Dataset

    one = Dataset()
    one.SOPClassUID = CLASSES[modality]
    one.Modality = modality
    one.PatientID = "made by hand"
    one.StudyInstanceUID, one.FrameOfReferenceUID = STUDY, STUDY + ".9"
    one.SeriesInstanceUID = STUDY + {"PT": ".2", "CT": ".3"}[modality]
    one.SeriesDescription = {"PT": "PET AC", "CT": "CT soft"}[modality]
    one.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    one.SeriesDate = one.AcquisitionDate = "20200310"
    one.SeriesTime, one.AcquisitionTime = "100000", "100000.00"
    one.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    one.ImagePositionPatient = [-20, -30, 0]
    one.PixelSpacing = [4, 5] if modality == "PT" else [2, 2.5]  # between rows, between columns
    one.SliceThickness = 3
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.BitsAllocated = one.BitsStored = 16
    one.HighBit, one.PixelRepresentation = 15, 1
    one.RescaleSlope, one.RescaleIntercept = (1, 0) if modality == "PT" else (1, -1024)
    if modality == "PT":
        one.update(pet_tags())
    for keyword, value in changes.items():
        change(one, keyword, value)
    return one


def pet_tags():
    """What SUV needs: 70 kg, 350 MBq of FDG injected at 9:00, one half-life of 6586.2 s."""
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    tags, injection = Dataset(), Dataset()
    tags.Units, tags.DecayCorrection = "BQML", "START"
    tags.CorrectedImage = ["NORM", "DTIM", "ATTN", "SCAT", "DECY", "RAN"]
    tags.PatientWeight = 70
    injection.Radiopharmaceutical = "FDG -- fluorodeoxyglucose"
    injection.RadiopharmaceuticalStartTime = "090000"
    injection.RadionuclideTotalDose = 350e6
    injection.RadionuclideHalfLife = 6586.2
    tags.RadiopharmaceuticalInformationSequence = Sequence([injection])
    return tags


def change(one, keyword, value):
    """Set or remove a tag, wherever it belongs."""
    from pydicom.dataset import Dataset

    injection_tags = ("Radiopharmaceutical", "Radionuclide")
    if keyword.startswith(injection_tags) and keyword != "RadiopharmaceuticalInformationSequence":
        one = one.RadiopharmaceuticalInformationSequence[0]
    if value is None:
        if keyword in one:
            delattr(one, keyword)
    else:
        assert isinstance(one, Dataset)
        setattr(one, keyword, value)


def write_series(
    folder,
    modality="PT",
    slices=6,
    shape=(10, 12),
    step=3.0,
    axes=None,
    origin=(-20.0, -30.0, 0.0),
    edit=None,
    **changes,
):
    """Write a series and return the stored integers, shape (slices, rows, columns), in the order of the files.

    ``axes`` is a (3, 3) matrix with row, column and normal direction as columns; ``edit(index, dataset)`` changes a
    slice's dataset before it is written, and skips the slice by returning False. File names tell nothing of the order.
    """
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    axes = np.eye(3) if axes is None else np.asarray(axes)
    values = stored_values(modality, slices, shape)
    names = np.random.default_rng(1).permutation(slices)
    for index in range(slices):
        one = header(modality, **changes)
        one.Rows, one.Columns = shape
        one.ImageOrientationPatient = [float(value) for value in np.r_[axes[:, 0], axes[:, 1]].round(12)]
        one.ImagePositionPatient = [float(value) for value in (np.array(origin) + axes[:, 2] * step * index).round(9)]
        one.InstanceNumber = index + 1
        one.SOPInstanceUID = generate_uid(entropy_srcs=[str(folder), modality, str(index), one.SeriesInstanceUID])
        one.PixelData = values[index].astype("<i2").tobytes()
        one.file_meta = FileMetaDataset()
        one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID
        one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
        one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        if edit is None or edit(index, one) is not False:
            one.save_as(folder / f"{modality}{names[index]:03d}.dcm", enforce_file_format=True)
    return values


def stored_values(modality, slices, shape):
    """Plausible stored integers: Bq/ml of a body, or CT with an offset of 1024 with air around tissue."""
    rng = np.random.default_rng(7)
    if modality == "PT":
        return rng.integers(0, 20000, (slices, *shape))
    values = rng.integers(900, 1200, (slices, *shape))
    values[:, :3] = rng.integers(20, 40, (slices, 3, shape[1]))
    return values
