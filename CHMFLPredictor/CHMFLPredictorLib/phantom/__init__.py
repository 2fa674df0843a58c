"""A digital patient that needs no download."""
