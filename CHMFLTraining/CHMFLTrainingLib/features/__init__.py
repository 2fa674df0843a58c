"""Hand-crafted features, and what learns from them."""
