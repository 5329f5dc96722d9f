"""Run by torchrun on any number of ranks: which of so many things each rank has.

Each rank writes {count: its things} as JSON to a file of its own in the folder it is given.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rsir_bench.training import distributed

COUNTS = (0, 1, 4, 7, 15)


def main() -> None:
    with distributed.process_group("cpu") as rank:
        with distributed.collective("sharing"):
            shares = {count: list(range(count))[distributed.shard(count)] for count in COUNTS}
        Path(sys.argv[1], f"{rank}.json").write_text(json.dumps(shares))
        if rank:
            assert not list(distributed.orders())


if __name__ == "__main__":
    main()
