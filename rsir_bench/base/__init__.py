"""Errors, files, progress and TOML, used by every room."""
