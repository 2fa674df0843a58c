"""What the user sees in Slicer, and the state of the run behind it."""
