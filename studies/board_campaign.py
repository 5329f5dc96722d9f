"""Run a board line by line, in the order of a schedule, and publish each line as soon as it is finished.

    python studies/board_campaign.py studies/ucm_lite.toml --plan
    OMP_NUM_THREADS=1 python studies/board_campaign.py studies/ucm_lite.toml --data-root data    # once for each core

A schedule names the protocol, rounds of seeds, and lines: a method, the minutes that one seed takes on one core, and
its targets, distortions and seeds if they are not the usual ones. The seeds of one round come before those of the next
in all lines, so that an interrupted campaign leaves a board with fewer seeds, not with fewer methods. Several of these
commands can share one folder: each takes the next free line. Published results are not computed again, and an
interrupted training continues.
"""

from __future__ import annotations

import argparse
import fcntl
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from rsir_bench.base.errors import UserError, run_and_exit
from rsir_bench.base.files import slug
from rsir_bench.base.progress import log
from rsir_bench.publishing.publish import publish
from rsir_bench.runs.plan import make_plan
from rsir_bench.runs.request import Request
from rsir_bench.runs.runners.campaign import campaign

RESULTS = Path("leaderboards/results")


@dataclass(frozen=True)
class Line:
    """One seed of a method.

    Attributes:
        method: The argument of ``--methods``.
        seed: The seed.
        targets: The arguments of ``--targets``.
        distortions: The arguments of ``--distort``; empty: none.
        minutes: The expected time on one core.
    """

    method: str
    seed: int
    targets: tuple[str, ...]
    distortions: tuple[str, ...]
    minutes: float

    @property
    def name(self) -> str:
        """The name of the line, for files."""
        return f"{slug(self.method)}{'-distorted' if self.distortions else ''}-seed{self.seed}"


def lines_of(schedule: dict[str, Any]) -> list[Line]:
    """Return the lines of a schedule, in its order."""
    found = []
    for seeds in schedule["rounds"]:
        for entry in schedule["lines"]:
            for seed in seeds:
                if seed in entry.get("seeds", seeds):
                    targets, distortions = (tuple(entry.get(name, ())) for name in ("targets", "distortions"))
                    found.append(Line(entry["method"], seed, targets or ("all",), distortions, entry["minutes"]))
    return found


def request_of(line: Line, protocol: str, data_root: Path, out: Path) -> Request:
    """Return the request of a line, for one CPU."""
    return Request(
        methods=[line.method],
        targets=line.targets,
        protocol=protocol,
        seeds=[line.seed],
        distortions=line.distortions,
        data_root=data_root,
        out=out,
        published=RESULTS,
    )


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Lock a file for the block, and yield whether no other process holds it; the lock ends with the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def work(schedule: dict[str, Any], data_root: Path, out: Path) -> dict[str, str]:
    """Run and publish every line that is neither published nor locked by another process; return failures by line."""
    failures: dict[str, str] = {}
    for line in lines_of(schedule):
        with claimed(out / "claims" / line.name) as mine:
            request = request_of(line, schedule["protocol"], data_root, out)
            if not mine or not make_plan(request).todo:
                continue
            outcome = campaign(request, log)
            failures |= outcome.failures
            publish([run.folder for run in outcome.plan.runs if run.title not in outcome.failures], RESULTS)
    return failures


def table(schedule: dict[str, Any], data_root: Path, out: Path) -> str:
    """Return a table of what is done and what is left, by line and round of seeds."""
    rows: list[list[object]] = []
    left = 0.0
    for seeds in schedule["rounds"]:
        for line in lines_of({**schedule, "rounds": [seeds]}):
            todo = sum(len(run.todo) for run in make_plan(request_of(line, schedule["protocol"], data_root, out)).todo)
            left += line.minutes if todo else 0
            rows.append([line.name, line.minutes, f"{todo} results missing" if todo else "done"])
    return f"{tabulate(rows, ['line', 'minutes', ''])}\nleft: {left / 60:.1f} hours on one core"


def main() -> None:
    """Print the plan, or carry it out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("schedule", type=Path, help="for example studies/ucm_lite.toml")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, default=Path("runs"))
    parser.add_argument("--plan", action="store_true", help="print what is done and left, and stop")
    options = parser.parse_args()
    schedule = tomllib.loads(options.schedule.read_text(encoding="utf-8"))
    if options.plan:
        print(table(schedule, options.data_root, options.out))
    elif failures := work(schedule, options.data_root, options.out):
        raise UserError("\n".join(f"{title}: {reason}" for title, reason in failures.items()))


if __name__ == "__main__":
    run_and_exit(main, "board_campaign")
