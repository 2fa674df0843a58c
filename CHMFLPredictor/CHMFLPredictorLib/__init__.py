"""Prediction of distant metastases of soft-tissue sarcoma from FDG-PET-CT. Runs without Slicer: ``python -m
CHMFLPredictorLib``.
"""

from pathlib import Path

__version__ = "0.1.0"
MODULE_FOLDER = Path(__file__).resolve().parents[1]  # with the library and Resources, in the sources and installed
