"""Fold-based training and evaluation of predictors of distant metastases. Runs without Slicer: ``python -m
CHMFLTrainingLib``.
"""

from pathlib import Path

MODULE_FOLDER = Path(__file__).resolve().parents[1]  # with the library and Resources, in the sources and installed
