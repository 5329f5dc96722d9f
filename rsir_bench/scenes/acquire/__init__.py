"""Download datasets from their pinned sources."""
