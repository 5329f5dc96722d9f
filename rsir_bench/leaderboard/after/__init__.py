"""Post-processed rankings beside the plain ones: what it changes, and what it takes."""
