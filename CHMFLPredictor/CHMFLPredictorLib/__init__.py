"""Prediction of distant metastases of soft-tissue sarcoma from FDG-PET-CT. Runs without Slicer: ``python -m
CHMFLPredictorLib``.
"""

__version__ = "0.1.0"
