"""Fold-based training and evaluation of predictors of distant metastases. Runs without Slicer: ``python -m
CHMFLTrainingLib``.
"""
