"""`python -m rsir_bench` is `rsir-bench`."""

from rsir_bench.cli import main

main()
