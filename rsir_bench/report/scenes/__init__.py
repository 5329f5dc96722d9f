"""Pages that need the runs and the scenes behind the records."""
