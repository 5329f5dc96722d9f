"""Datasets from their pinned sources onto the disk."""
