"""Run a campaign: plan, check, make the results of each run, report. A failing run does not stop the others."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from rsir_bench.base.errors import UserError, map_collecting_errors
from rsir_bench.base.progress import duration
from rsir_bench.base.training_progress import planned_runs
from rsir_bench.nn import collectives
from rsir_bench.records.schema import Record
from rsir_bench.records.store import read_record
from rsir_bench.runs.artifacts.chain import RunArtifacts
from rsir_bench.runs.artifacts.code import changed_lines
from rsir_bench.runs.estimate import Costs, cache_bytes, estimate, fitting, kept_epochs
from rsir_bench.runs.plan import Plan, Run, make_plan
from rsir_bench.runs.request import Request
from rsir_bench.runs.runners.inside import attempt, work_off
from rsir_bench.runs.runners.isolated import work_off_apart
from rsir_bench.runs.trial import is_tried, try_method
from rsir_bench.scenes.pixel_cache import open_pixels


@dataclass
class CampaignResult:
    """The records and failures of a campaign.

    Attributes:
        plan: What was planned.
        records: All records of the request, those of earlier calls too.
        failures: Run title -> one line; an encoder that could not be built has no run, and is there by its name.
    """

    plan: Plan
    records: list[Record] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended.

    Attributes:
        run: The run.
        failure: Why it failed, in one line; None otherwise.
        place: Where it ran; empty for this process.
    """

    run: Run
    failure: str | None
    place: str = ""


Launcher = Callable[[Plan], Iterator[RunOutcome]]
"""The type of a function that makes the unfinished runs of a plan and yields the outcome of each as it ends."""


def one_by_one(plan: Plan) -> Iterator[RunOutcome]:
    """Make the runs in this process, in the order of the request."""
    for run in plan.todo:
        yield RunOutcome(run, work_off_within_limit(plan, run))


def campaign(
    request: Request, log: Callable[[str], None], *, plan_only: bool = False, launcher: Launcher = one_by_one
) -> CampaignResult:
    """Make every missing result of a request.

    Args:
        request: What to run.
        log: Shows a line to the user.
        plan_only: Print the plan and stop.
        launcher: Decides where and in which order the runs are made.

    Raises:
        UserError: Anything that the user must change first; nothing was started then.
    """
    plan, known = make_plan(request), Costs()
    _refuse_read_only(plan)
    plan = fitting(plan, known)
    if request.fresh and not plan_only:
        _remove_former(plan, log)
    log(describe_plan(plan, known, reasons=plan_only))
    outcome = CampaignResult(plan, failures=dict(plan.failed))
    if not plan_only:
        map_collecting_errors(
            _finished(plan), read_record
        )  # damaged records and scenes are reported before any training
        _open_all_pixels(plan)
        try:
            with planned_runs(_seconds(plan, known)):
                for done in _tried_and_launched(plan, launcher):
                    log(_describe_outcome(done))
                    if done.failure:
                        outcome.failures[done.run.title] = done.failure
        except KeyboardInterrupt:
            log(_describe_kept(plan))
            raise
    outcome.records = map_collecting_errors(_finished(plan), read_record)
    return outcome


def _tried_and_launched(plan: Plan, launcher: Launcher) -> Iterator[RunOutcome]:
    """Try each method whose network is needed once, then launch the runs of those that pass.

    A method that fails costs only its own runs.

    With a time limit each run tries its method in its own process, and ranks that work together try nothing.
    """
    if plan.request.time_limit is not None or collectives.ranks() > 1:
        yield from launcher(plan)
        return
    failed: dict[str, str] = {}
    wanted: dict[str, Run] = {}
    for run in plan.todo:
        if run.method.label not in wanted and RunArtifacts(plan, run).missing().needs_network:
            wanted[run.method.label] = run
    for run in wanted.values():
        if not is_tried(plan, run) and (failure := attempt(run, partial(try_method, plan, run))):
            failed[run.method.label] = failure
    for run in plan.todo:
        if failure := failed.get(run.method.label):
            yield RunOutcome(run, failure)
    passed = replace(plan, runs=tuple(run for run in plan.runs if run.method.label not in failed))
    if passed.todo:
        yield from launcher(passed)


def _refuse_read_only(plan: Plan) -> None:
    """Refuse folders that the results to make cannot be written into, before hours of decoding and training.

    Raises:
        UserError: There is one; the message has a line for each.
    """
    lines: dict[str, None] = {}
    for run in plan.todo:
        folder = run.folder.absolute()
        there = next(path for path in (folder, *folder.parents) if path.exists())
        if not os.access(there, os.W_OK | os.X_OK):
            lines[f"--out {plan.request.out}: {there} cannot be written; name another folder"] = None
    if lines:
        raise UserError("\n".join(lines))


def _remove_former(plan: Plan, log: Callable[[str], None]) -> None:
    """Remove what the plan's runs have made so far."""
    for run in plan.runs:
        if run.folder.is_dir():
            log(f"fresh     {run.title}: {run.folder} is recomputed")
            RunArtifacts(plan, run).remove()


def _finished(plan: Plan) -> list[Path]:
    return [cell.finished for run in plan.runs for cell in run.cells if cell.done]


def _open_all_pixels(plan: Plan) -> None:
    """Decode every scene that will be needed, so that a damaged one is found before hours of training."""
    map_collecting_errors(plan.needed(), lambda needed: open_pixels(plan.datasets[needed[0]], needed[1]))


def _seconds(plan: Plan, known: Costs) -> dict[str, float | None]:
    """Return the estimated seconds of each run that is to be made, by title; None if a time limit forbids to try."""
    if plan.request.time_limit is not None:
        return dict.fromkeys((run.title for run in plan.todo), None)
    taken = {run.title: estimate(plan, run, known) for run in plan.todo}
    return {title: None if one is None else one.seconds for title, one in taken.items()}


def _describe_kept(plan: Plan) -> str:
    """Return the parts that an interrupted campaign keeps."""
    cells = [cell for run in plan.runs for cell in run.cells]
    kept = [f"{sum(cell.done for cell in cells)} of {len(cells)} results"]
    kept += [f"{run.title} up to epoch {epochs}" for run in plan.todo if (epochs := kept_epochs(run))]
    return f"stopped   kept in {plan.request.out}: {', '.join(kept)}; run the same command to resume"


def _describe_outcome(done: RunOutcome) -> str:
    where = f" on {done.place}" if done.place else ""
    return f"failed: {done.run.title}{where}: {done.failure}" if done.failure else f"done    {done.run.title}{where}"


def work_off_within_limit(plan: Plan, run: Run) -> str | None:
    """Make the runs as ``work_off`` does, each within the request's time limit if there is one."""
    limit = plan.request.time_limit
    return work_off(plan, run) if limit is None else work_off_apart(plan.request, run, limit)


def describe_plan(plan: Plan, costs: Costs | None = None, *, reasons: bool = False) -> str:
    """Return the plan in words: what is done, what is left, and the estimated time and disk space.

    Args:
        plan: The plan.
        costs: Costs of a step that are known; others are looked up or measured.
        reasons: Say why a step cannot be measured; a run that is started says it when it fails.
    """
    protocol, todo = plan.protocol, plan.todo
    trunk = []
    if protocol.trains:
        frozen = ", ".join(protocol.trunk.frozen) or "nothing"
        trunk = [f"trunk     {protocol.trunk.name}, weights {protocol.trunk.weights}, frozen: {frozen}"]
    cells = [cell for run in plan.runs for cell in run.cells]
    done = sum(cell.done for cell in cells)
    published = sum(cell.done and cell.finished == cell.published for cell in cells)
    known = f"{done} done" + (f" ({published} published, in {plan.request.published})" if published else "")
    lines = [
        f"protocol  {plan.board} ({protocol.hash}): {protocol.title}",
        *trunk,
        f"runs      {len(plan.runs)}: {len(plan.runs) - len(todo)} done, {len(todo)} to do",
        f"results   {len(cells)}: {known}, {len(cells) - done} to make",
    ]
    lines += [f"changed   {change}" for change in changed_lines(plan)]
    lines += [f"note      {index.name}: {note}" for index in plan.datasets.values() for note in index.notes]
    lines += [f"absent    {reason}" for reason in plan.absent]
    lines += [f"failed    {name}: {reason}" for name, reason in plan.failed.items()]
    if todo:
        lines += _costs(plan, todo, {} if costs is None else costs, reasons=reasons)
    return "\n".join(lines)


def _costs(plan: Plan, todo: list[Run], known: Costs, *, reasons: bool) -> list[str]:
    if plan.request.time_limit is not None:  # what may hang or crash is not tried here, not even for a step
        lines = [f"to do     {run.title}: {len(run.todo)} results" for run in todo]
        return [*lines, f"estimate  none; {plan.request.time_limit:g} minutes at most for each run"]
    lines = []
    seconds, size, unknown = 0.0, 0, 0
    for run, taken in zip(todo, map_collecting_errors(todo, lambda run: estimate(plan, run, known)), strict=True):
        why = f", its step fails: {known[run.method.label]}" if reasons and taken is None else ""
        time = f"time unknown{why}" if taken is None else f"about {duration(taken.seconds)}"
        time += f"; resumes at epoch {epochs + 1}" if (epochs := kept_epochs(run)) else ""
        lines.append(f"to do     {run.title}: {len(run.todo)} results, {time}")
        seconds += taken.seconds if taken else 0
        size += taken.run_bytes if taken else 0
        unknown += taken is None
    names = dict.fromkeys(name for name, _ in plan.needed())
    scenes = ", ".join(f"{name} {len(plan.datasets[name]):,}" for name in names)
    lines.append(f"scenes    {scenes}")
    time = f"{duration(seconds)} on {plan.request.device}"
    disk = f"{size / 1e6:,.0f} MB in {plan.request.out}, {cache_bytes(plan) / 1e6:,.0f} MB of new pixel cache"
    if unknown:
        return [*lines, f"estimate  at least {time} and {disk}; {unknown} runs unknown"]
    return [*lines, f"estimate  about {time}; at most {disk}"]
