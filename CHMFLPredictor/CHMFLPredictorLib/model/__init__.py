"""A trained model on disk: its card, its weights, and how its numbers become a risk."""
