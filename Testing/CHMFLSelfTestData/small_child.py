"""Stands for the command line where a self-test is about the panel: real arguments, files of the real kind, no network.

``CHMFL_CHILD`` in the environment says how it ends: done, error, memory (exit code 4 with words), silent (no result),
hang (at the first stage), after_risk (hangs after the risk), stubborn (like after_risk, and deaf to SIGTERM).
"""

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk

HOT = 5.0  # SUV: what the tumor of a self-test's patient exceeds
PATIENCE_S = 120  # a child that hangs ends by itself some day
BOX_MM = [192.0, 192.0, 240.0]


def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def end_with_error(exit_code, code, message, hint):
    say("error", code=code, message=message, hint=hint, exit_code=exit_code)
    sys.exit(exit_code)


def read_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("command")
    for name in ("pet", "ct", "output", "progress", "device", "model", "segmentation"):
        parser.add_argument(f"--{name}")
    for name in ("pet-name", "ct-name", "segmentation-name"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--center", nargs=3, type=float)
    parser.add_argument("--risk-only", action="store_true")
    return parser.parse_args()


def on_grid_of(ct, pet):
    """The PET on the CT's grid."""
    return sitk.GetArrayFromImage(sitk.Resample(pet, ct, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32))


def middle(mask, ct):
    """Center of a mask in RAS."""
    x, y, z = ct.TransformContinuousIndexToPhysicalPoint(np.argwhere(mask).mean(axis=0)[::-1].tolist())
    return [-x, -y, z]


def predict(arguments, pet, ct):
    """The numbers of ``result.json``: made up, but the patient's own."""
    suv = on_grid_of(ct, pet)
    mask = suv > HOT
    highest = float(suv.max())
    risk = min(highest / 20.0, 0.95)
    card = json.loads(Path(arguments.model, "model.json").read_text(encoding="utf-8")) if arguments.model else {}
    found_by = "point" if arguments.center else "mask" if arguments.segmentation else "automatic"
    result = {
        "schema_version": 1,
        "risk": risk,
        "risk_interval": [risk / 2, (1 + risk) / 2],
        "members": [risk * 0.9, min(risk * 1.1, 1.0)],
        "baseline_risk": risk * 0.8,
        "threshold": 0.5,
        "label": "high" if risk >= 0.5 else "low",
        "tumor": None,
        "box": {"center_ras_mm": arguments.center or middle(mask, ct), "size_mm": BOX_MM, "found_by": found_by},
        "model": {"name": "small", "version": "0", "sha256": card.get("weights_sha256", "")},
        "device": "cpu",
        "engine": "none",
        "inputs": {},
        "units": {},
        "timings_s": {"total": 0.1},
        "warnings": [{"code": "uncertain_location", "text": "The tumor's place is uncertain."}],
        "software": {},
    }
    if not arguments.risk_only:
        volume = float(mask.sum() * np.prod(ct.GetSpacing()) / 1000)
        mean = float(suv[mask].mean())
        result["tumor"] = {
            "volume_ml": volume, "suv_max": highest, "suv_mean": mean, "tlg": volume * mean, "longest_diameter_mm": None
        }  # fmt: skip
    return result, mask, suv / highest


def write(values, ct, path):
    image = sitk.GetImageFromArray(values)
    image.CopyInformation(ct)
    sitk.WriteImage(image, str(path))


def hang():
    time.sleep(PATIENCE_S)
    sys.exit(1)


def main():
    arguments, manner = read_arguments(), os.environ.get("CHMFL_CHILD", "done")
    if manner == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("This goes to the log.", file=sys.stderr, flush=True)
    say("progress", stage="read", fraction=0.1, text="Reading PET and CT")
    if manner == "hang":
        hang()
    if manner == "error":
        end_with_error(2, "no_tumor_found", "No tumor was found.", "Place a point in it.")
    if manner == "memory":
        end_with_error(4, "gpu_out_of_memory", "The memory of the GPU is exhausted.", "Choose the CPU.")
    if manner == "silent":
        return
    pet, ct = sitk.ReadImage(arguments.pet), sitk.ReadImage(arguments.ct)
    result, mask, relevance = predict(arguments, pet, ct)
    risk = {key: result[key] for key in ("risk", "risk_interval", "members", "baseline_risk", "threshold", "label")}
    say("risk", **risk, elapsed_s=0.1)
    say("progress", stage="segmentation", fraction=0.5, text="Segmenting the tumor")
    if manner in ("after_risk", "stubborn"):
        hang()
    output = Path(arguments.output)
    output.mkdir()
    if not arguments.risk_only:
        write(mask.astype(np.uint8), ct, output / "segmentation.nii.gz")
        write(relevance.astype(np.float32), ct, output / "relevance.nii.gz")
    (output / "result.json").write_text(json.dumps(result), encoding="utf-8")
    (output / "report.html").write_text("<!DOCTYPE html><html><body><p>Prüfung</p></body></html>", encoding="utf-8")
    say("result", output=str(output), files=[], result=result)


if __name__ == "__main__":
    main()
