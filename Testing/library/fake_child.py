"""Stands for the command line where a test is about the scene: takes the real arguments, writes files of the real kind.

``CHMFL_FAKE`` in the environment: done (default), error, memory, hang (until it is stopped), after_risk (hangs after
the risk), other_grid, no_files, repeats (says the warnings of its input's header).
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk


def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def count(path):
    return int(sitk.GetArrayFromImage(sitk.ReadImage(path)).sum()) if path else None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command")
    names = ("pet-name", "ct-name", "segmentation-name")
    for name in ("pet", "ct", "output", "progress", "device", "model", "segmentation", *names):
        parser.add_argument(f"--{name}")
    parser.add_argument("--center", nargs=3, type=float)
    parser.add_argument("--risk-only", action="store_true")
    arguments, manner = parser.parse_args(), os.environ.get("CHMFL_FAKE", "done")
    assert arguments.progress == "json"
    output = Path(arguments.output)
    output.mkdir()
    (output / ".half-written").write_text("a run in progress")
    say("progress", stage="read", fraction=0.1, text="Reading")
    if manner == "hang":
        time.sleep(60)
    if manner == "error":
        say("error", code="swapped_pet_ct", message="The PET is a CT.", hint="Swap them.")
        sys.exit(2)
    if manner == "memory":
        sys.exit(4)
    pet, ct = sitk.ReadImage(arguments.pet), sitk.ReadImage(arguments.ct)
    warnings = json.loads(pet.GetMetaData("chmfl_warnings")) if manner == "repeats" else []
    for warning in warnings:
        say("warning", **warning)
    say("risk", risk=0.7)
    if manner == "after_risk":
        time.sleep(60)
    center = arguments.center or [-1.0, -2.0, 3.0]
    result = {
        "risk": 0.7, "risk_interval": [0.5, 0.9], "members": [0.6, 0.8], "baseline_risk": 0.6, "threshold": 0.5,
        "label": "high",
        "tumor": {"volume_ml": 12.5, "suv_max": 9.0, "suv_mean": None, "tlg": 50.0, "longest_diameter_mm": 40.0},
        "box": {"center_ras_mm": center, "size_mm": [192.0, 192.0, 240.0], "found_by": "point"},
        "model": {"name": "fake", "version": "0"}, "device": arguments.device, "warnings": warnings,
        "seen": {
            "pet": {key: pet.GetMetaData(key) for key in ("chmfl_modality", "chmfl_units") if pet.HasMetaDataKey(key)},
            "ct": {key: ct.GetMetaData(key) for key in ("chmfl_modality", "chmfl_units") if ct.HasMetaDataKey(key)},
            "pet_max": float(sitk.GetArrayFromImage(pet).max()), "mask_voxels": count(arguments.segmentation),
            "names": [arguments.pet_name, arguments.ct_name, arguments.segmentation_name],
            "folder": str(output.parent), "model": arguments.model,
        },
    }  # fmt: skip
    if manner == "other_grid":
        ct = ct[1:, :, :]
    if not arguments.risk_only and manner != "no_files":
        values = sitk.GetArrayFromImage(ct)
        mask = sitk.GetImageFromArray((values > np.percentile(values, 90)).astype(np.uint8))
        mask.CopyInformation(ct)
        sitk.WriteImage(mask, str(output / "segmentation.nii.gz"))
        relevance = sitk.GetImageFromArray(np.linspace(0, 1, values.size, dtype=np.float32).reshape(values.shape))
        relevance.CopyInformation(ct)
        sitk.WriteImage(relevance, str(output / "relevance.nii.gz"))
    (output / ".half-written").unlink()
    (output / "result.json").write_text(json.dumps(result), encoding="utf-8")
    (output / "report.html").write_text("<p>Prüfung</p>", encoding="utf-8")
    say("result", output=str(output), files=[], result=result)


if __name__ == "__main__":
    main()
