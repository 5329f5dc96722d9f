"""Run ``rsir-bench`` as ``python -m rsir_bench``."""

from rsir_bench.cli.app import main

if __name__ == "__main__":
    main()
