"""``python -m rsir_bench`` is ``rsir-bench``."""

from rsir_bench.cli.app import main

main()
