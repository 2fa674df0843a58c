"""The phantom on a coarse grid: the same road through the program, a fraction of the time."""

import json
from pathlib import Path

import pytest
import SimpleITK as sitk
from CHMFLPredictorLib.commands.cli import main


@pytest.fixture(scope="module")
def small(phantom, tmp_path_factory) -> Path:
    """Folder with PET.nii.gz, CT.nii.gz and mask.nii.gz of about 4 mm, far smaller than a patient's."""
    folder = tmp_path_factory.mktemp("small")
    for name, factors in (("PET", (1, 1, 2)), ("CT", (4, 4, 2)), ("mask", (4, 4, 2))):
        image = sitk.ReadImage(str(phantom / f"{name}.nii.gz"))
        sitk.WriteImage(sitk.Shrink(image, factors), str(folder / f"{name}.nii.gz"))
    return folder


@pytest.fixture(scope="module")
def lively_bundle(tiny_bundle, tmp_path_factory) -> Path:
    """The tiny bundle with another last layer: an untrained network's is zero, and so is every answer."""
    import torch
    from CHMFLPredictorLib.model.bundle import load_bundle, save_bundle

    bundle, members = load_bundle(tiny_bundle), []
    generator = torch.Generator().manual_seed(3)
    for network in bundle.networks():
        values = torch.randn(network.head.third.weight.shape, generator=generator)
        network.head.third.weight.data.copy_(0.2 * values)
        members.append(network.state_dict())
    folder = tmp_path_factory.mktemp("lively") / "lively"
    save_bundle(folder, bundle.card, members)
    return folder


def center_of(mask_path) -> list[str]:
    """The centroid of a mask as the words of --center."""
    mask = sitk.Cast(sitk.ReadImage(str(mask_path)) != 0, sitk.sitkUInt8)
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(mask)
    x, y, z = shape.GetCentroid(1)
    return [f"{-x:.3f}", f"{-y:.3f}", f"{z:.3f}"]


def run(capsys, *arguments) -> tuple[int, list[dict]]:
    """Run the command line in this process with JSON lines; return the exit code and the events."""
    code = main([*map(str, arguments), "--progress", "json"])
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def predict_arguments(folder: Path, model: Path, output: Path) -> list[str]:
    """A complete command line for the patient in a folder."""
    files = ["--pet", folder / "PET.nii.gz", "--ct", folder / "CT.nii.gz"]
    return ["predict", *map(str, files), "--model", str(model), "--output", str(output)]
