"""Rankings before and after post-processing: what it changes, and what it takes."""
