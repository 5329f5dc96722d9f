"""Ranks of positives by counting instead of sorting."""
