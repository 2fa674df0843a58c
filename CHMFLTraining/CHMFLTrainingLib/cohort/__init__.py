"""Patients: their table, their images, their folds, and what is wrong with them."""
