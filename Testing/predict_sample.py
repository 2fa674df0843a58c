"""``run.py predict``: one prediction in a real MRML scene, through the code that Slicer's button calls."""

import argparse
import signal
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "CHMFLPredictor")]
RESULT_FILES = ("result.json", "segmentation.nii.gz", "relevance.nii.gz", "report.html", "scene.mrb", "slices.png")


def main(arguments: list[str] | None = None) -> int:
    """Predict and return the exit code that the command line would."""
    from CHMFLPredictorLib.errors import ChmflError

    options = _parse(arguments)
    try:
        predict(options)
    except ChmflError as error:
        print(f"\nError ({error.code}): {error.message}\n{error.hint}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nCanceled.", file=sys.stderr)
        return 3
    return 0


def predict(options) -> None:
    """Load PET and CT into a scene, predict, save the scene and the picture."""
    import slicer_headless

    scene = slicer_headless.new_scene()
    from CHMFLPredictorLib.scene import run

    pet_node, ct_node = _load(options)
    run_options = run.RunOptions(options.model, options.device, output=options.output)
    print(f"Predicting from PET '{pet_node.GetName()}' and CT '{ct_node.GetName()}' ...")
    prediction = run.predict_in_scene(pet_node, ct_node, run_options, Narrator().tell)
    print("\n" + summary(prediction.result))
    _save_pictures(scene, pet_node, ct_node, prediction, options.output)
    print("\nWritten:")
    for name in RESULT_FILES:
        path = options.output / name
        print(f"  {path}  ({path.stat().st_size / 1024:.0f} kB)" if path.is_file() else f"  {path}  MISSING")


class Narrator:
    """Prints a run's events, a line a stage."""

    def __init__(self):
        self.stage = None

    def tell(self, event: dict) -> None:
        """Print one event."""
        if event["event"] == "progress" and event["stage"] != self.stage:
            self.stage = event["stage"]
            print(f"  {100 * event['fraction']:3.0f} %  {event['text']}", flush=True)
        elif event["event"] == "risk":
            print(f"         Risk of distant metastases: {event['risk']:.2f}", flush=True)
        elif event["event"] == "warning":
            print(f"         Warning: {event['text']}", flush=True)


def summary(result: dict) -> str:
    """Return the numbers of a result for people."""
    from CHMFLPredictorLib.tumor.measurements import MEASUREMENTS

    low, high = result["risk_interval"]
    tumor, members = result.get("tumor") or {}, ", ".join(f"{risk:.2f}" for risk in result["members"])
    rows = [
        ("Risk of distant metastases", f"{result['risk']:.2f}  (interval {low:.2f} to {high:.2f}; members {members})"),
        ("Simple baseline", f"{result['baseline_risk']:.2f}"),
        ("Label", f"{result['label']}  (threshold {result['threshold']:.2f})"),
    ]
    for key, one in MEASUREMENTS.items():
        value = tumor.get(key)
        rows.append((one.title, "not measured" if value is None else f"{one.text(value)} {one.unit}"))
    center = ", ".join(f"{value:.0f}" for value in result["box"]["center_ras_mm"])
    rows.append(("Box", f"center R, A, S = {center} mm, found by: {result['box']['found_by']}"))
    rows.append(("Model", f"{result['model']['name']} {result['model']['version']} on {result['device']}"))
    lines = [f"{title + ':':<28}{text}" for title, text in rows]
    return "\n".join([*lines, "Not for clinical use."])


def _listen() -> None:
    """Make the first signal a KeyboardInterrupt, which cleans up; a second one must not break into that."""
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    numbers = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]  # nohup

    def interrupt(number, frame):
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    for each in numbers:
        signal.signal(each, interrupt)


def _parse(arguments):
    parser = argparse.ArgumentParser(prog="run.py predict", description=__doc__)
    parser.add_argument(
        "--pet",
        type=Path,
        help="PET in body-weight SUV (NIfTI, NRRD, MHA) or DICOM folder; with --ct. Default: a digital phantom",
    )
    parser.add_argument("--ct", type=Path, help="CT in HU, likewise; with --pet")
    parser.add_argument("--model", type=Path, help="folder of a model bundle; default: the one that ships")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:n")
    parser.add_argument("--output", type=Path, default=Path("out"), help="folder for the results (default: out)")
    options = parser.parse_args(arguments)
    if (options.pet is None) != (options.ct is None):
        parser.error("--pet and --ct belong together.")
    return options


def _load(options):
    """Load the user's volumes, or the phantom, into the scene."""
    import slicer_headless
    from CHMFLPredictorLib.errors import BadInput

    with tempfile.TemporaryDirectory(prefix="chmfl-phantom-") as folder:
        if options.pet is None:
            from CHMFLPredictorLib.phantom.phantom import write_phantom

            print("Making a digital PET-CT phantom of a thigh with a tumor ...")
            write_phantom(Path(folder))
            paths = {"phantom PET": Path(folder, "PET.nii.gz"), "phantom CT": Path(folder, "CT.nii.gz")}
        else:
            given = (("PET", options.pet), ("CT", options.ct))
            paths = {f"{role} {path.resolve().name}": _as_file(path, role, folder) for role, path in given}
        try:
            pet_node, ct_node = (slicer_headless.load_volume(path, name) for name, path in paths.items())
        except OSError as error:
            raise BadInput("volume_unreadable", str(error), "Check the path and the file.") from error
    if options.pet is None or options.pet.is_dir():
        slicer_headless.set_units(pet_node, "{SUVbw}g/ml", "Standardized Uptake Value body weight")
    return pet_node, ct_node


def _as_file(path: Path, role: str, folder: str) -> Path:
    """A DICOM folder as a file in SUV or HU, as Slicer's DICOM module would have loaded it; a file as it is."""
    from CHMFLPredictorLib.reading import volumes

    if not path.is_dir():
        return path
    read = {"PET": volumes.read_pet, "CT": volumes.read_ct}[role]
    file = Path(folder, f"{role}.nrrd")
    volumes.write_image(read(path).image, file)
    return file


def _save_pictures(scene, pet_node, ct_node, prediction, folder: Path) -> None:
    """Save what a Slicer user would see: the scene with its slice views, and the slices as a picture."""
    import SimpleITK as sitk
    import slicer
    from CHMFLPredictorLib.errors import BadInput
    from CHMFLPredictorLib.report.pictures import save_picture, slices_picture
    from CHMFLPredictorLib.scene.nodes import write_segment, write_volume
    from CHMFLPredictorLib.scene.results import SEGMENT_ID
    from CHMFLPredictorLib.scene.show import show_in_slices

    show_in_slices(pet_node, ct_node)
    center = prediction.result["box"]["center_ras_mm"]
    for view in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        view.JumpSliceByCentering(*center)
    images = {}
    with tempfile.TemporaryDirectory(prefix="chmfl-") as temporary:
        for name, node in (("pet", pet_node), ("ct", ct_node), ("relevance", prediction.nodes.get("relevance"))):
            if node is not None:
                path = Path(temporary, f"{name}.nrrd")
                write_volume(node, path)
                images[name] = sitk.ReadImage(str(path))
        path = Path(temporary, "mask.nrrd")
        try:
            write_segment(prediction.nodes["segmentation"], SEGMENT_ID, ct_node, path)
            images["mask"] = sitk.ReadImage(str(path))
        except (KeyError, BadInput):
            pass  # nothing was segmented; the warning said so
    picture = slices_picture(images["pet"], images["ct"], images.get("mask"), images.get("relevance"), center)
    save_picture(picture, folder / "slices.png")
    if not scene.WriteToMRB(str(folder / "scene.mrb")):
        raise BadInput("output_unwritable", f"The scene cannot be written to '{folder}'.", "Choose another --output.")


if __name__ == "__main__":
    _listen()
    sys.exit(main())
