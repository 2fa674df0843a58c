#!/usr/bin/env python3
"""Chooses the window of the paper's contrast enhancement on images alone: no outcome is read.

    python3 Testing/contrast_window.py ../shared/data/sts [--voxel-mm 2]

Foracchia's step takes slow drifts out of an image, and a tumor that fills its window is such a drift. For each window
this prints how well one voxel's value tells tumor from the rest (area under the ROC curve over the voxels inside both
images, mean of the patients; 0.5: not at all), for PET and CT, and in how many patients the step did harm.
"""

import argparse
import csv
import sys
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "CHMFLPredictor")]

from CHMFLPredictorLib.network.normalization import normalize_luminosity_and_contrast  # noqa: E402
from CHMFLPredictorLib.network.preprocessing import ChannelSteps, Preprocessing, mask_to_grid, prepare  # noqa: E402
from CHMFLPredictorLib.reading import volumes  # noqa: E402
from CHMFLPredictorLib.tumor import location  # noqa: E402

WINDOWS = (13, 25, 51, 75, 101, 127, 143)
EVERY = 5  # voxels: enough for three digits


def main() -> None:
    """Print one line a window."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path, help="folder with clinical.csv and images/NAME/{PET,CT,GTV}.nii.gz")
    parser.add_argument("--voxel-mm", type=float, default=2.0)
    arguments = parser.parse_args()
    settings = Preprocessing(arguments.voxel_mm, pet=ChannelSteps(), ct=ChannelSteps())
    with open(arguments.cohort / "clinical.csv", encoding="utf-8") as stream:
        names = [row["patient_id"] for row in csv.DictReader(stream)]
    found = np.array([of_patient(arguments.cohort / "images" / name, settings) for name in names])
    print(f"{len(names)} patients, voxels of {settings.voxel_mm:g} mm")
    print("window [mm]   PET    harmed   CT     harmed")
    for number, window in enumerate(("none", *WINDOWS)):
        side = window if window == "none" else f"{window * settings.voxel_mm:g}"
        harmed = (found[:, number] < found[:, 0]).sum(0)
        pet, ct = found[:, number].mean(0)
        print(f"{side:>11} {pet:6.3f} {harmed[0]:8d} {ct:6.3f} {harmed[1]:8d}")


def of_patient(folder: Path, settings: Preprocessing) -> np.ndarray:
    """AUC (windows + 1, modalities) of one patient; row 0 is the image as it is."""
    pet, ct = volumes.read_pet(folder / "PET.nii.gz").image, volumes.read_ct(folder / "CT.nii.gz").image
    mask = volumes.read_mask(folder / "GTV.nii.gz").image
    sample = prepare(pet, ct, location.from_mask(mask).center_ras, settings)
    tumor, chosen = mask_to_grid(mask, sample.grid).ravel() > 0, np.flatnonzero(sample.inside.ravel())[::EVERY]

    def auc(values: np.ndarray) -> float:
        ranks, inside = rankdata(values.ravel()[chosen]), tumor[chosen]
        count = int(inside.sum())
        return (ranks[inside].sum() - count * (count + 1) / 2) / (count * (inside.size - count))

    images = (sample.suv, sample.hu)
    rows = [[auc(image) for image in images]]
    rows += [[auc(normalize_luminosity_and_contrast(image, window)) for image in images] for window in WINDOWS]
    return np.array(rows)


if __name__ == "__main__":
    main()
