"""Sample data: two patients of the cohort by their public addresses, and the phantom for those without a network.

Slicer's Sample Data module lists them (:func:`register`) and downloads into its own cache, whose folder and removal
are in Slicer's settings; the SHA-256 of every file is checked. :func:`load_sample` loads one and shows it.
"""

import contextlib
import os
import socket
from dataclasses import dataclass

import slicer

from ..errors import ChmflError

# Slicer registers the samples at its start: what only loading one needs is imported there.

CATEGORY, CATEGORY_TITLE = "CHMFL", "CHMFL: PET-CT of soft-tissue sarcoma"
_ADDRESS = "https://raw.githubusercontent.com/theibsi/data_sets/master/ibsi_validation/nifti"
_OFFLINE_HINT = (
    "Check the network and try again. Without a network, load the sample 'Phantom': it is made on this computer."
)
_SILENCE_S = 30.0  # of a server, before it is given up
_ATTEMPTS = 2
# what the voxels are: quantity and units, each as value, scheme, meaning
_CODES = {
    "PET": (
        ("126400", "DCM", "Standardized Uptake Value"),
        ("{SUVbw}g/ml", "UCUM", "Standardized Uptake Value body weight"),
    ),
    "CT": (("112031", "DCM", "Attenuation Coefficient"), ("[hnsf'U]", "UCUM", "Hounsfield unit")),
}


@dataclass(frozen=True)
class Sample:
    """A PET and a CT to try the extension with.

    :ivar name: what :func:`load_sample` takes.
    :ivar title: for people, in one line.
    :ivar thumbnail: file name of its picture.
    :ivar pet_sha256: of the file; empty for the phantom, which is not downloaded.
    :ivar ct_sha256: likewise.
    :ivar address: folder of ``PET_image.nii.gz`` and ``CT_image.nii.gz``.
    """

    name: str
    title: str
    thumbnail: str
    pet_sha256: str = ""
    ct_sha256: str = ""
    address: str = "phantom:"

    @property
    def files(self) -> tuple[tuple[str, str, str, str], ...]:
        """PET, then CT: address, file name in the cache, name of the node, checksum as Slicer writes it."""
        return tuple(
            (
                f"{self.address}/{modality}_image.nii.gz",
                f"CHMFL_{self.name}_{modality}.nii.gz",
                f"{self.name} {modality}",
                f"SHA256:{checksum}" if checksum else None,
            )
            for modality, checksum in (("PET", self.pet_sha256), ("CT", self.ct_sha256))
        )


SAMPLES = (
    Sample(
        "STS_006",
        "STS_006: with metastases",
        "CHMFLPredictorSampleSTS006.png",
        "2cb4b877d469637fc06854e20d2f85ef5d3035408c4e9d41a5edc73a055aa731",
        "65f0e6945f500b7bc851afc39ad3494c38d1934580dfeeeaec8d7ec16f55b60c",
        f"{_ADDRESS}/STS_006",
    ),
    Sample(
        "STS_015",
        "STS_015: without",
        "CHMFLPredictorSampleSTS015.png",
        "b048a838c89d7d4a9f8e0cddd5dad1838ddea8576e2b5c26a121288cea55bf18",
        "e494c2246ff196d6c071ef96b479ce15e4ee8a58c482a5211e8bc1b4e42b0456",
        f"{_ADDRESS}/STS_015",
    ),
    Sample("Phantom", "Phantom: a digital thigh", "CHMFLPredictorSamplePhantom.png"),
)


class _Loader:
    """What the Sample Data module calls for a sample of ours: loads it as the panel does, units and colors included."""

    def __init__(self, name: str):
        self._name = name

    def __call__(self, source) -> None:
        with slicer.util.tryWithErrorDisplay(f"The sample {self._name} cannot be loaded.", waitCursor=True):
            load_sample(self._name)

    def __str__(self) -> str:
        return f"CHMFL sample {self._name}"  # sources are compared by their text: a reload must not list them twice


def register(icons_folder) -> None:
    """Add the samples to Slicer's Sample Data module; a second time changes nothing.

    :param icons_folder: folder of the thumbnails.
    """
    import SampleData

    logic = SampleData.SampleDataLogic
    if hasattr(logic, "registerCustomSampleDataCategory"):  # since Slicer 5.12; before, the category was its own title
        logic.registerCustomSampleDataCategory(CATEGORY, CATEGORY_TITLE)
    for sample in SAMPLES:
        addresses, file_names, node_names, checksums = map(list, zip(*sample.files, strict=True))
        logic.registerCustomSampleDataSource(
            category=CATEGORY,
            sampleName=f"CHMFL {sample.name}",
            uris=addresses,
            fileNames=file_names,
            nodeNames=node_names,
            checksums=checksums,
            thumbnailFileName=os.path.join(str(icons_folder), sample.thumbnail),
            customDownloader=_Loader(sample.name),
        )


def load_sample(name: str):
    """Load a sample into the scene, its units coded, and show its PET over its CT. Blocks while it downloads.

    :param name: of one of ``SAMPLES``.
    :return: PET (body-weight SUV) and CT (HU), vtkMRMLScalarVolumeNode.
    :raises ChmflError: ``sample_unknown``, ``sample_download`` (no network, or another file than was published),
        ``sample_unreadable``; nothing stays in the scene then.
    """
    from . import show

    sample = next((one for one in SAMPLES if one.name == name), None)
    if sample is None:
        known = ", ".join(one.name for one in SAMPLES)
        raise ChmflError("sample_unknown", f"There is no sample '{name}'.", f"Choose one of {known}.")
    pet, ct = _make_phantom(sample) if not sample.pet_sha256 else _download(sample)
    for node, modality in ((pet, "PET"), (ct, "CT")):
        quantity, units = _CODES[modality]
        node.SetVoxelValueQuantity(_coded(*quantity))
        node.SetVoxelValueUnits(_coded(*units))
    show.show_in_slices(pet, ct)
    _fit_slices()
    return pet, ct


# Inside --------------------------------------------------------------------------------------------------------------


def _make_phantom(sample: Sample):
    import SimpleITK as sitk

    from ..phantom.phantom import make_phantom

    phantom = make_phantom()
    images = phantom.pet, sitk.Cast(sitk.Round(phantom.ct), sitk.sitkInt16)
    return tuple(_volume_node(image, file[2]) for image, file in zip(images, sample.files, strict=True))


def _volume_node(image, name: str):
    """A SimpleITK image (LPS) as a volume node (RAS), with a display node."""
    import SimpleITK as sitk

    from ..reading.geometry import index_to_ras

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", slicer.mrmlScene.GenerateUniqueName(name))
    slicer.util.updateVolumeFromArray(node, sitk.GetArrayFromImage(image))
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(index_to_ras(image)))
    node.CreateDefaultDisplayNodes()
    return node


def _download(sample: Sample):
    """PET and CT from Slicer's cache, or from the network where the cache does not have them."""
    import SampleData

    from .results import remove_node

    logic, nodes = SampleData.SampleDataLogic(), []
    paths = [_file_in_cache(logic, sample, *file) for file in sample.files]  # both are here before one is loaded
    try:
        for path, (_, _, node_name, _) in zip(paths, sample.files, strict=True):
            node = logic.loadNode(path, node_name, "VolumeFile", {})
            if node is not None:
                nodes.append(node)
            if node is None or not node.IsA("vtkMRMLScalarVolumeNode"):
                text = f"The file '{path}' of the sample {sample.name} cannot be loaded as a volume."
                raise ChmflError("sample_unreadable", text, "Remove the file, then load the sample again.")
    except BaseException:
        for node in nodes:
            if node.IsA("vtkMRMLNode"):
                remove_node(slicer.mrmlScene, node)
        raise
    return nodes


def _file_in_cache(logic, sample: Sample, address: str, file_name: str, node_name: str, checksum: str) -> str:
    """Path of a file whose checksum is right; Slicer leaves no file where it is wrong."""
    reason = ""
    for _ in range(_ATTEMPTS):
        try:
            with _impatience():
                path = logic.downloadFileIntoCache(address, file_name, checksum)
        except (ValueError, OSError, ZeroDivisionError) as error:  # Slicer divides by a size of 0
            reason = str(error.__cause__ or error.__context__ or error)
            continue
        if os.path.isfile(path):
            return path
        reason = "the file there is another one than was published (its SHA-256 differs)"
    text = f"The sample {sample.name} cannot be downloaded from {address}: {reason}."
    raise ChmflError("sample_download", text, _OFFLINE_HINT)


@contextlib.contextmanager
def _impatience():
    """Give up a server that is silent for long: Slicer's downloads would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SILENCE_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _coded(value: str, scheme: str, meaning: str):
    entry = slicer.vtkCodedEntry()
    entry.SetValueSchemeMeaning(value, scheme, meaning)
    return entry


def _fit_slices() -> None:
    """Let the slice views show all of the sample, where there are any on a screen."""
    layout_manager = slicer.app.layoutManager() if hasattr(slicer, "app") else None
    if layout_manager is not None:
        layout_manager.resetSliceViews()
