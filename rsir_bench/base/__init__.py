"""Errors, files and progress: what every room needs."""
