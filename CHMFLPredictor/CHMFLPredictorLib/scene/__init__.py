"""Nodes of a MRML scene into files for a prediction, and its files back into nodes."""
