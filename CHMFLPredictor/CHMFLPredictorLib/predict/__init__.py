"""From the files of one patient, or of many, to the files of results."""
