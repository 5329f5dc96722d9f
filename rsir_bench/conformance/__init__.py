"""Check that a method fulfils the contract: ``rsir-bench methods check``, also for the tests of a plugin."""

from rsir_bench.conformance.checks import CHECKS, Check
from rsir_bench.conformance.harness import Failure
from rsir_bench.conformance.report import Outcome, Report, check, check_entry

__all__ = ["CHECKS", "Check", "Failure", "Outcome", "Report", "check", "check_entry"]
