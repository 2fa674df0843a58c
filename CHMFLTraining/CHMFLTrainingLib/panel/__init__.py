"""What the user sees in Slicer, and the state of the training behind it."""
