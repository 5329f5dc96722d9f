"""The exact stage of the drift check: small scenes and networks, and the expected output of every step."""

from rsir_bench.runs.golden.golden import STEPS, Finding, accept, check, first_drift

__all__ = ["STEPS", "Finding", "accept", "check", "first_drift"]
