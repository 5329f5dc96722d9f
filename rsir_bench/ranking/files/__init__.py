"""Descriptors from files that need a library, or that name their scenes by id."""
