"""Verify datasets against their cards, and find duplicate scenes."""
