"""The command line as a child process of Slicer."""
