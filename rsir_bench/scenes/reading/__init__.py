"""Read the pixels of a scene from its file: one reader, chosen by content."""
