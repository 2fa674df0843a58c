"""The DICOM tags that SUV needs: their names and numbers for messages, and private ones."""

from ..errors import BadInput

TAGS = {
    "Units": "Units (0054,1001)",
    "PatientWeight": "Patient's Weight (0010,1030)",
    "CorrectedImage": "Corrected Image (0028,0051)",
    "DecayCorrection": "Decay Correction (0054,1102)",
    "RadiopharmaceuticalInformationSequence": "Radiopharmaceutical Information Sequence (0054,0016)",
    "RadionuclideTotalDose": "Radionuclide Total Dose (0018,1074)",
    "RadionuclideHalfLife": "Radionuclide Half Life (0018,1075)",
    "RadiopharmaceuticalStartTime": "Radiopharmaceutical Start Time (0018,1072)",
    "RadiopharmaceuticalStartDateTime": "Radiopharmaceutical Start DateTime (0018,1078)",
    "Radiopharmaceutical": "Radiopharmaceutical (0018,0031)",
    "SeriesDate": "Series Date (0008,0021)",
    "SeriesTime": "Series Time (0008,0031)",
    "AcquisitionDate": "Acquisition Date (0008,0022)",
    "AcquisitionTime": "Acquisition Time (0008,0032)",
}
SUV_HINT = "Export the PET with this tag, or convert it to body-weight SUV elsewhere and give it as NIfTI or NRRD."


def missing(keyword: str, name: str) -> BadInput:
    """The refusal for a tag that is missing or empty."""
    return BadInput("suv_tag_missing", f"SUV of the {name} cannot be computed: {TAGS[keyword]} is missing.", SUV_HINT)


def private_value(header, group: int, creator: str, element: int):
    """The value of a private element, wherever its block lies: None if absent, text if its type is unknown."""
    try:
        value = header.private_block(group, creator)[element].value
    except KeyError:
        if any((group, block) in header for block in range(0x10, 0x100)):
            return None
        value = getattr(header.get((group, 0x1000 + element)), "value", None)  # an anonymizer stripped the block's name
    if isinstance(value, bytes):  # implicit VR, and a private dictionary that lacks the element
        return value.decode("ascii", "ignore").strip(" \0")
    return value
