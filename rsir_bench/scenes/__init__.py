"""Dataset cards, the verified index of scenes and the pixel cache."""
