"""A comparison on disk: its jobs, who works on it, and what it has found."""
