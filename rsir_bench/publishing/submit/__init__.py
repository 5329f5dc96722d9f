"""Check and pack submissions: descriptors, or records of runs elsewhere; nothing in them is trusted."""
