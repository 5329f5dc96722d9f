"""Whether a method keeps the contract: ``rsir-bench methods check``, and the same for a plugin's own tests."""

from rsir_bench.conformance.checks import CHECKS, Check
from rsir_bench.conformance.harness import Failure
from rsir_bench.conformance.report import Outcome, Report, check, check_entry

__all__ = ["CHECKS", "Check", "Failure", "Outcome", "Report", "check", "check_entry"]
