"""slicer.dicomDatabase over real DICOM files that a test inserts.

Follows CTK's Libs/DICOM/Core/ctkDICOMDatabase.h and .cpp and ctkDICOMItem.cpp as PythonQt shows them: lists are tuples,
arguments are positional, what is missing is "" and never an error, unknown attributes raise. The files stay where they
are (CTK's database in memory does not copy either). Not covered: signals, display fields, thumbnails, headers.
"""

import itertools
import logging
import os
from dataclasses import dataclass

from .dicom_loading import load_series

__all__ = ["DicomDatabase", "build", "load_series"]

_PATIENT_ID, _STUDY, _SERIES, _INSTANCE = (0x10, 0x20), (0x20, 0xD), (0x20, 0xE), (0x8, 0x18)


@dataclass(frozen=True)
class _Image:
    """One row of the database."""

    instance: str
    file: str
    series: str
    study: str
    patient: str


class DicomDatabase:
    """The methods of ctkDICOMDatabase that scripts use, on a table in memory.

    Tags are "gggg,eeee" in hexadecimal digits, or a group and an element number. A sequence, a tag inside one, or
    anything that is not a tag gives "".
    """

    isOpen = property(lambda self: True)
    isInMemory = property(lambda self: True)
    lastError = property(lambda self: "")
    databaseFilename = property(lambda self: ":memory:")

    def __init__(self):
        vars(self).update(_images={}, _patients={}, _counter=itertools.count(1), _headers={})

    def __setattr__(self, name, value):
        raise AttributeError(f"Property '{name}' of ctkDICOMDatabase object cannot be set")

    # inserting and removing

    def insert(self, filePath, storeFile=True, generateThumbnail=True, /) -> None:
        """Add a file. One without patient, study or series UID is logged and left out, as CTK does."""
        header = _header(filePath)
        if header is None:
            return
        patient_id, study, series, instance = (_text(header, tag) for tag in (_PATIENT_ID, _STUDY, _SERIES, _INSTANCE))
        patient_id = patient_id or study
        name = _text(header, (0x10, 0x10)) or patient_id
        if not (patient_id and study and series and instance):
            logging.error(f"Failed to insert file into database (required fields missing): {filePath}")
            return
        key = (patient_id, name, _text(header, (0x10, 0x30)))
        if key not in self._patients:
            self._patients[key] = str(next(self._counter))
        file = _absolute(filePath)
        self._images[instance] = _Image(instance, file, series, study, self._patients[key])
        self._headers[file] = header

    def removeSeries(self, seriesInstanceUID, clearCachedTags=False, cleanup=True, /) -> bool:
        gone = [image for image in self._images.values() if image.series == seriesInstanceUID]
        for image in gone:
            del self._images[image.instance]
            self._headers.pop(image.file, None)
        return True

    # what belongs to what

    def patients(self):
        return _unique(image.patient for image in self._images.values())

    def studiesForPatient(self, patientUID, /):
        return _unique(image.study for image in self._images.values() if image.patient == patientUID)

    def seriesForStudy(self, studyUID, /):
        return _unique(image.series for image in self._images.values() if image.study == studyUID)

    def instancesForSeries(self, seriesUID, hits=-1, /):
        return self._of_series("instance", seriesUID, hits)

    def filesForSeries(self, seriesUID, hits=-1, /):
        return self._of_series("file", seriesUID, hits)

    def _of_series(self, what, uid, hits):
        found = tuple(getattr(image, what) for image in self._images.values() if image.series == uid)
        return found[:hits] if hits > 0 else found

    def studyForSeries(self, seriesUID, /) -> str:
        return next((image.study for image in self._images.values() if image.series == seriesUID), "")

    def patientForStudy(self, studyUID, /) -> str:
        return next((image.patient for image in self._images.values() if image.study == studyUID), "")

    def fileForInstance(self, sopInstanceUID, /) -> str:
        image = self._images.get(sopInstanceUID)
        return image.file if image else ""

    def instanceForFile(self, fileName, /) -> str:
        file = _absolute(fileName)
        return next((image.instance for image in self._images.values() if image.file == file), "")

    def seriesForFile(self, fileName, /) -> str:
        image = self._images.get(self.instanceForFile(fileName))
        return image.series if image else ""

    def allFiles(self):
        return tuple(image.file for image in self._images.values())

    def patientsCount(self) -> int:
        return len(self.patients())

    def studiesCount(self) -> int:
        return len({image.study for image in self._images.values()})

    def seriesCount(self) -> int:
        return len({image.series for image in self._images.values()})

    def imagesCount(self) -> int:
        return len(self._images)

    # descriptions

    def nameForPatient(self, patientUID, /) -> str:
        return next((name for (_, name, _), uid in self._patients.items() if uid == patientUID), "")

    def descriptionForStudy(self, studyUID, /) -> str:
        return self._first_value("study", studyUID, (0x8, 0x1030))

    def descriptionForSeries(self, seriesUID, /) -> str:
        return self._first_value("series", seriesUID, (0x8, 0x103E))

    def _first_value(self, what, uid, tag) -> str:
        for image in self._images.values():
            if getattr(image, what) == uid:
                return _text(self._headers[image.file], tag)
        return ""

    # values

    def fileValue(self, fileName, tag, element=None, /) -> str:
        """All values of a tag, joined by backslashes. A file that was never inserted is read too."""
        header = self._header_of(fileName)
        return "" if header is None else _text(header, _tag(tag, element))

    def fileValueExists(self, fileName, tag, element=None, /) -> bool:
        """Whether a file can be read and, in the words of CTK, does not lack the tag.

        CTK takes an empty value that it reads from the file for existing; only a cached lack is one. The stand-in never
        answers so kindly: a tag exists if it is there with a value.
        """
        header = self._header_of(fileName)
        key = _tag(tag, element)
        return header is not None and key in header and not header[key].is_empty

    def instanceValue(self, sopInstanceUID, tag, element=None, /) -> str:
        return self.fileValue(self.fileForInstance(sopInstanceUID), tag, element)

    def instanceValueExists(self, sopInstanceUID, tag, element=None, /) -> bool:
        return self.fileValueExists(self.fileForInstance(sopInstanceUID), tag, element)

    def _header_of(self, fileName):
        if not fileName:
            return None
        file = _absolute(fileName)
        return self._headers[file] if file in self._headers else _header(file)


def build() -> DicomDatabase:
    """Make the object that stands in for slicer.dicomDatabase: an empty database."""
    return DicomDatabase()


def _absolute(path) -> str:
    if not isinstance(path, str):
        raise ValueError(f"ctkDICOMDatabase takes a str for a file name, not {type(path).__name__}")
    return os.path.abspath(path).replace(os.sep, "/")


def _unique(values):
    return tuple(dict.fromkeys(values))


def _header(path):
    """Header of a file, or None with a logged word where there is none to read."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        return pydicom.dcmread(path, defer_size="1 KB")
    except (OSError, InvalidDicomError):
        logging.error(f"File {path} could not be initialized.")
        return None


def _tag(tag, element=None):
    """(group, element) of "gggg,eeee" or of two numbers; a pair that no file has for anything else."""
    if element is not None:
        return int(tag), int(element)
    try:
        group, number = (int(part, 16) for part in tag.split(","))
    except ValueError:
        return 0, 0
    return group, number


def _text(header, tag) -> str:
    """Values of an element as CTK gives them: as written in the file, without padding."""
    if tag not in header or header[tag].VR == "SQ" or header[tag].is_empty:
        return ""
    value = header[tag].value
    if isinstance(value, bytes):
        return ""
    values = value if header[tag].VM > 1 else [value]
    # numbers as they are written; a name keeps bytes in its original_string
    written = [(one, getattr(one, "original_string", one)) for one in values]
    return "\\".join(str(one if isinstance(text, bytes) else text).strip() for one, text in written)
