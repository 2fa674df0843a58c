"""Every row of the paper's tables, and those that it lacks, one file a family."""
