"""Patients and results of a comparison as nodes of a MRML scene."""
