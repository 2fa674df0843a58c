"""Where the tumor is, what its outline is, and how large and hot it is."""
