"""The exact stage of the drift check: small scenes and networks as files, and every step that must come out of them."""

from rsir_bench.runs.golden.golden import STEPS, Finding, accept, check, first_drift

__all__ = ["STEPS", "Finding", "accept", "check", "first_drift"]
