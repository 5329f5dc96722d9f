"""Train a network and describe scenes with it, on one device or several."""
