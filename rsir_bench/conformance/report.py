"""Run the checks on a method, or on every method of a file, and report each in one line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from rsir_bench.base.errors import RunError, UserError
from rsir_bench.base.terminal.screen import PLAIN, Screen
from rsir_bench.base.terminal.tables import Column, text_table
from rsir_bench.base.traces import with_place
from rsir_bench.conformance.checks import CHECKS
from rsir_bench.conformance.harness import Bench, Failure
from rsir_bench.conformance.postprocessing import check_kind
from rsir_bench.encoders import encoder_class
from rsir_bench.method.postprocessing import OwnKind
from rsir_bench.method.registry import RegisteredMethod, discover, find, least_schedules, resolve


@dataclass(frozen=True)
class Outcome:
    """The result of one check.

    Attributes:
        check: Its name.
        state: ``"not run"`` if a check that it needs has failed.
        detail: A detail, or what is wrong and where.
    """

    check: str
    state: Literal["ok", "failed", "not run"]
    detail: str = ""


@dataclass(frozen=True)
class Report:
    """All checks of one method.

    Attributes:
        name: The method, or the file that could not be loaded.
        source: The file that defines it.
        outcomes: In the order of the checks.
    """

    name: str
    source: Path
    outcomes: tuple[Outcome, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(outcome.state == "ok" for outcome in self.outcomes)

    @property
    def failed(self) -> list[str]:
        """The names of the checks that failed."""
        return [outcome.check for outcome in self.outcomes if outcome.state == "failed"]

    def __str__(self) -> str:
        return self.as_text()

    def as_text(self, screen: Screen = PLAIN) -> str:
        """Return a line for each check that was run, and the verdict."""
        lines: list[tuple[str, str, str]] = [
            (outcome.check, outcome.state, outcome.detail) for outcome in self.outcomes if outcome.state != "not run"
        ]
        if later := [outcome.check for outcome in self.outcomes if outcome.state == "not run"]:
            lines.append((f"{len(later)} more", "not run", f"they need what failed: {', '.join(later)}"))
        table = text_table([Column("check"), Column("result"), Column("what and where")], lines, screen)
        verdict = "fulfils the contract" if self.passed else f"fails: {', '.join(self.failed)}"
        last = screen.styled(screen.folded(f"{self.name} {verdict}."), "good" if self.passed else "bad")
        return f"{self.name} ({self.source})\n\n{table}\n\n{last}"


def check(name_or_file: str, plugins: Sequence[Path] = ()) -> list[Report]:
    """Check a method by its name (as in ``--methods``), or every method and post-processing of a plugin file.

    Raises:
        UserError: There is no such method or file.
    """
    if not name_or_file.endswith(".py"):
        return [check_entry(name_or_file, discover(plugins))]
    path = Path(name_or_file)
    if not path.is_file():
        raise UserError(f"{path}: no such file; name a .py file or a method")
    found = discover(plugins)
    own = [entry.name for entry in found.values() if entry.source.samefile(path)]
    if not own and not any(kind.source.samefile(path) for kind in found.after.values()):
        try:
            found = discover([*plugins, path])
        except UserError as error:
            return [Report(path.stem, path, (Outcome("loads", "failed", with_place(error, (path,))),))]
        own = [entry.name for entry in found.values() if entry.source.samefile(path)]
    kinds = [kind for kind in found.after.values() if kind.source.samefile(path)]
    return [*(check_entry(name, found) for name in own), *map(_check_kind, kinds)]


def _check_kind(own: OwnKind) -> Report:
    with _one_thread():
        return Report(own.kind.name, own.source, tuple(Outcome(*found) for found in check_kind(own)))


def check_entry(name: str, found: dict[str, RegisteredMethod]) -> Report:
    """Check one method of those that ``rsir_bench.method.registry.discover`` found.

    Raises:
        UserError: There is no such method, it needs an argument (``NAME:ARGUMENT``), or it is an encoder with an input
            of its weights.
    """
    named = resolve(name, found, least_schedules(found), {})
    if (kind := encoder_class(named)) is not None and not kind.sees_protocols_scenes:
        remedy = f"run it: rsir-bench run --protocol frozen --methods {name}"
        raise UserError(f"{name}: the checks train and describe at one size, and it brings its own; {remedy}")
    entry = find(name.partition(":")[0].split("+")[0], found)
    bench = Bench(entry, named)
    outcomes: dict[str, Outcome] = {}
    with _one_thread():
        for each in CHECKS:
            if each.training and not named.card.trained:
                continue
            missing = [need for need in each.needs if need in outcomes and outcomes[need].state != "ok"]
            if missing:
                outcomes[each.name] = Outcome(each.name, "not run", f"needs: {', '.join(missing)}")
            else:
                outcomes[each.name] = _outcome(each.name, each.run, bench)
    return Report(name, entry.source, tuple(outcomes.values()))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread: networks this small take twice the time with several."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _outcome(name: str, run: Any, bench: Bench) -> Outcome:
    try:
        return Outcome(name, "ok", run(bench) or "")
    except (Failure, RunError) as failure:
        return Outcome(name, "failed", str(failure))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin may raise anything; its author wants to see it all
        return Outcome(name, "failed", with_place(error, bench.sources))
