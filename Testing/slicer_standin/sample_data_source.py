"""One set of sample data, as SampleData.SampleDataSource describes it.

Follows Slicer's Modules/Scripted/SampleData/SampleData.py.
"""

FIELDS = ("uris", "fileNames", "nodeNames", "checksums", "loadFiles", "loadFileTypes")


class SampleDataSource:
    """A set of files: one, or lists of equal length. ``nodeNames`` left out: a node is named after its file."""

    def __init__(
        self,
        sampleName=None,
        sampleDescription=None,
        uris=None,
        fileNames=None,
        nodeNames=None,
        checksums=None,
        loadFiles=None,
        customDownloader=None,
        thumbnailFileName=None,
        loadFileTypes=None,
        loadFileProperties=None,
        loadFileType=None,
    ):
        if loadFileType is not None and loadFileTypes is not None:
            raise ValueError("loadFileType and loadFileTypes cannot be specified at the same time")
        given = {
            "uris": uris,
            "fileNames": fileNames,
            "nodeNames": nodeNames,
            "checksums": checksums,
            "loadFiles": loadFiles,
            "loadFileTypes": loadFileType if loadFileTypes is None else loadFileTypes,
        }
        vars(self).update(_as_lists(given))
        self.sampleName = sampleName
        self.sampleDescription = sampleName if sampleDescription is None else sampleDescription
        self.customDownloader = customDownloader
        self.thumbnailFileName = thumbnailFileName
        self.loadFileProperties = {} if loadFileProperties is None else loadFileProperties
        # the length of None is Slicer's TypeError for a source without uris or fileNames
        if len({len(getattr(self, name)) for name in FIELDS}) != 1:
            raise ValueError("All fields of sample data source must have the same length")

    def __str__(self):
        names = ("sampleName", "sampleDescription", "thumbnailFileName", "loadFileProperties", "customDownloader")
        return "\n".join(f"{name}: {getattr(self, name)}" for name in (*names, *FIELDS))

    def __eq__(self, other):
        return str(self) == str(other)

    __hash__ = None


def _as_lists(given: dict) -> dict:
    """Fields of one file as lists of one; for several files, what was left out as None for each."""
    uris = given["uris"]
    if isinstance(uris, str):
        return {name: [value] for name, value in given.items()}
    if not isinstance(uris, list | tuple):
        return given
    filled = dict(given)
    if filled["loadFileTypes"] is None or isinstance(filled["loadFileTypes"], str):
        filled["loadFileTypes"] = [filled["loadFileTypes"]] * len(uris)
    for name in ("nodeNames", "loadFiles", "checksums"):
        if filled[name] is None:
            filled[name] = [None] * len(uris)
    return filled
