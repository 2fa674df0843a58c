"""The options of the command line. Loads nothing heavy, so that --help and a wrong option answer at once."""

import argparse
import re

from .. import __version__
from ..errors import BadInput
from ..events import ROLES

ENGINES = ("auto", "eager", "torch", "openvino")  # those of network/engines.py, which loads torch

_USAGE = """%(prog)s --pet PET --ct CT --output DIR [options]
       %(prog)s --study FOLDER --output DIR [options]
       %(prog)s --batch CSV|FOLDER --output DIR [options]"""
_DESCRIPTION = """\
Predict the risk of distant metastases, segment the tumor and explain the risk. Writes result.json, segmentation.nii.gz
and relevance.nii.gz (both on the CT's grid) and report.html into the output folder."""
_EPILOG = """\
exit codes:
  0 done   2 bad input   3 canceled   4 out of memory   5 a package or the model is missing   1 a defect

examples:
  %(prog)s --pet PET.nii.gz --ct CT.nii.gz --output results
  %(prog)s --pet dicom/PT --ct dicom/CT --center -102.5 31 840 --output results
  %(prog)s --study export --output results
  %(prog)s --batch patients.csv --output results

study: a folder with the DICOM of one examination, as archives export it. Of several PETs the one that is corrected for
attenuation is taken, of the CTs the one of its frame of reference that covers it; a warning lists what was left alone.
What that leaves open is refused with the list.

batch: patients.csv has the columns patient_id, pet, ct and, where wanted, segmentation (a mask that places the box) or
center ("R A S" in mm); paths are relative to it. Each patient gets a folder in DIR, all get a row in DIR/results.csv. A
row that fails is reported there and skipped; the exit code is 0 unless every row failed. Run again, patients that are
finished are not computed again. A folder in place of the CSV has a folder for each patient with a PET and a CT in it or
below, known by the words PET, PT, SUV, FDG and CT in file names, or DICOM; autoPET's and BIDS' folders are such.

Research software, not for clinical use.
"""


class CommandParser(argparse.ArgumentParser):
    """Reports a wrong command line like any other bad input."""

    def error(self, message):
        """Raise BadInput command_line instead of leaving."""
        raise BadInput("command_line", f"{message[:1].upper()}{message[1:]}.", f"See: {self.prog} --help")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = CommandParser(
        prog="python -m CHMFLPredictorLib",
        description="Risk of distant metastases of soft-tissue sarcoma from FDG-PET-CT. Research software, not for "
        "clinical use.",
    )
    parser.add_argument("--version", action="version", version=f"CHMFL {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=CommandParser)
    predict = commands.add_parser(
        "predict",
        help="predict one patient, or a batch of them",
        usage=_USAGE,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_predict_options(predict)
    card = commands.add_parser("card", help="show a model's card in short", description="Show a model's card in short.")
    card.add_argument("--model", metavar="BUNDLE", help="folder of a model (default: the one that comes with CHMFL)")
    about = "Show what can compute on this computer, and why a GPU cannot be used."
    devices = commands.add_parser("devices", help="show what can compute here", description=about)
    said = "one event on standard output, for a program; --progress json means the same"
    devices.add_argument("--json", dest="progress", action="store_const", const="json", help=said)
    devices.add_argument("--progress", choices=("json", "none"), help=argparse.SUPPRESS)
    return parser


def _add_predict_options(parser: argparse.ArgumentParser) -> None:
    images = parser.add_argument_group("images")
    images.add_argument("--pet", metavar="PET", help="FDG-PET: NIfTI, NRRD, MHA, ... in SUV, or a DICOM folder")
    images.add_argument("--ct", metavar="CT", help="CT of the same examination: a file in HU, or a DICOM folder")
    images.add_argument("--study", metavar="FOLDER", help="DICOM folder with both and whatever else, see below")
    images.add_argument("--batch", metavar="CSV|FOLDER", help="predict many patients, see below")
    images.add_argument(
        "--output", metavar="DIR", required=True, help="folder for the results, made if it is not there"
    )
    place = parser.add_argument_group(
        "the tumor's place (found automatically if none is given)"
    ).add_mutually_exclusive_group()
    place.add_argument("--center", nargs=3, type=float, metavar=("R", "A", "S"), help="a point in the tumor, RAS mm")
    place.add_argument("--segmentation", metavar="MASK", help="a mask of the tumor, to center the box on")
    how = parser.add_argument_group("how")
    how.add_argument("--model", metavar="BUNDLE", help="folder of a model (default: the one that comes with CHMFL)")
    how.add_argument(
        "--device",
        type=_device,
        default="auto",
        metavar="auto|cpu|cuda[:n]",
        help="where to compute (default: a GPU if there is one that can be used)",
    )
    how.add_argument("--threads", type=_positive, metavar="N", help="CPU threads (default: all)")
    how.add_argument(
        "--risk-only", action="store_true", help="only the risk: faster, no segmentation, relevance or measurements"
    )
    how.add_argument(
        "--engine",
        choices=ENGINES,
        default="auto",
        help="advanced: what computes the network (default: the fastest here; eager: plain PyTorch, the reference)",
    )
    talk = parser.add_argument_group("what it says")
    kinds = "bar: for a person, on standard error (default); json: one event a line on standard output, for a program"
    talk.add_argument("--progress", choices=("json", "bar", "none"), default="bar", help=kinds)
    talk.add_argument("-v", "--verbose", action="store_true", help="more on standard error, and the trace of a defect")
    for role in ROLES:  # for a program that hands over its own temporary files: what its user knows them by
        parser.add_argument(f"--{role}-name", metavar="NAME", help=argparse.SUPPRESS)


def _device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", text):
        raise ValueError(text)
    return text


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


_positive.__name__, _device.__name__ = "number of threads", "device"  # argparse names them in its messages
