"""The pages of a board: one module for each, from a board to a document."""
