"""Pictures and pages for people to read."""
