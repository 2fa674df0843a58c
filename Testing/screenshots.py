"""``run.py screenshots``: the README's pictures, from a real prediction and a small real training on phantoms.

The panels are real Qt on the stand-in (slicer_standin/README.md); the views are drawn by Slicer's own slice logic and
displayable managers. ``--patient FOLDER`` takes a patient's PET.nii.gz and CT.nii.gz instead: look at those pictures,
but never commit them.
"""

import argparse
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
sys.path[:0] = [str(HERE), str(REPOSITORY / "CHMFLPredictor"), str(REPOSITORY / "CHMFLTraining")]


def main(arguments: list[str] | None = None) -> int:
    """Run the panel and write the pictures."""
    parser = argparse.ArgumentParser(prog="run.py screenshots", description=__doc__)
    parser.add_argument("--patient", type=Path, help="folder with PET.nii.gz and CT.nii.gz; default: the phantom")
    parser.add_argument("--module", choices=("both", "predictor", "training"), default="both")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "Resources" / "Screenshots")
    options = parser.parse_args(arguments)
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    options.output.mkdir(parents=True, exist_ok=True)
    if options.module != "training":
        from photographer import Photographer

        photographer = Photographer(options.output)
        photographer.open_panel()
        photographer.load(options.patient)
        photographer.predict()
        photographer.take_views()
        photographer.tell()
    if options.module != "predictor":
        from screenshots_training import TrainingPhotographer

        with TrainingPhotographer(options.output) as photographer:
            photographer.take_all()
            photographer.tell()
    return 0


if __name__ == "__main__":
    sys.exit(main())
