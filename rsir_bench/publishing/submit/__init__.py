"""Submissions: descriptors of anybody's, and records of runs elsewhere; nothing in them is trusted."""
