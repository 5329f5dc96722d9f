"""Scenes with several labels: the files that name them, and the scenes they belong to."""
