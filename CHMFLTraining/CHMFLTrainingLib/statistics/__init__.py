"""How good predictions are, with intervals, in numpy: nothing here knows of runs or files."""
