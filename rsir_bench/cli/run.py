"""``rsir-bench run``: train and score methods."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from rsir_bench.base.errors import UserError
from rsir_bench.base.progress import log
from rsir_bench.cli import options
from rsir_bench.cli.options import RESULTS, check_protocol, cluster_of
from rsir_bench.cli.shared.help import Panel
from rsir_bench.cli.shared.lists import comma_list, metric_list, names_or_all, seed_numbers
from rsir_bench.cli.shared.outcome import print_table, summary
from rsir_bench.runs.request import Request

if TYPE_CHECKING:
    from pathlib import Path

    from rsir_bench.runs.runners.campaign import CampaignResult


def run(
    methods: options.Methods,
    targets: options.Targets = "all",
    protocol: options.Protocol = Request.protocol,
    seeds: options.Seeds = "0",
    data_root: options.DataRoot = Request.data_root,
    device: options.Device = "auto",
    devices: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="NUMBER",
            help="Processes that train one network together, one per GPU or sharing the CPU.",
            rich_help_panel=Panel.MACHINE,
        ),
    ] = 1,
    out: options.Runs = Request.out,
    override: options.Overrides = None,
    distort: options.Distortions = "",
    after: options.After = None,
    plugin: options.Plugins = None,
    card: options.Cards = None,
    reuse_published: Annotated[
        bool,
        typer.Option(
            "--reuse-published", help=f"Skip results that are published in {RESULTS}.", rich_help_panel=Panel.RESULTS
        ),
    ] = False,
    again: Annotated[bool, typer.Option("--again", hidden=True, help="Deprecated: every run does that.")] = False,
    fresh: options.Fresh = False,
    compile_step: options.Compile = False,
    time_limit: options.TimeLimit = Request.time_limit,
    launcher: options.Launcher = "local",
    address: options.Address = None,
    allow_no_token: options.NoToken = False,
    metrics: options.Metrics = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print the plan and stop.", rich_help_panel=Panel.OUTPUT)
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Train and score methods, skipping results that already exist.

    \b
    rsir-bench run --protocol demo --methods baseline,jsst
    rsir-bench run --protocol ucm --methods 'jsst*' --seeds 0-4 --data-root data
    rsir-bench run --methods baseline --targets ucm,folder:photos --data-root data
    rsir-bench run --protocol demo --methods all --plan
    """  # noqa: D301 - keeps the lines of the examples apart
    if again:
        log("warning   --again: deprecated and without effect; omit it")
    method_names, target_names = names_or_all("--methods", methods), names_or_all("--targets", targets)
    numbers = seed_numbers(seeds)
    distortions = comma_list("--distort", distort) if distort else []
    columns = _columns(metrics, as_json)
    check_protocol(protocol, override or [])
    from rsir_bench.runs.runners.campaign import campaign, one_by_one
    from rsir_bench.runs.runners.ranks import follow
    from rsir_bench.training.device import find_device
    from rsir_bench.training.distributed import launched, process_group

    if launched() or devices > 1:
        if launcher != "local" or time_limit is not None:
            raise UserError("--devices cannot be combined with --launcher ray or --time-limit")
        device = _rank_device(device, devices, out, plan_only=plan)
    with cluster_of(launcher, address, allow_no_token=allow_no_token) as cluster, process_group(device) as rank:
        request = Request(
            methods=method_names,
            targets=target_names,
            protocol=protocol,
            seeds=numbers,
            data_root=data_root,
            device=(cluster.find_device if cluster else find_device)(device),
            out=out,
            overrides=override or [],
            plugins=plugin or [],
            cards=card or [],
            distortions=distortions,
            published=RESULTS if reuse_published else None,
            after=after or [],
            compile=compile_step,
            time_limit=time_limit,
            fresh=fresh,
        )
        if rank:  # the first rank plans, writes and prints; this one takes its share of the training
            follow(request)
            raise typer.Exit
        started = monotonic()
        outcome = campaign(request, log, plan_only=plan, launcher=cluster.launch if cluster else one_by_one)
    if as_json:
        for record in outcome.records:
            print(json.dumps(record.model_dump(mode="json"), allow_nan=False))
    else:
        print_table(outcome, columns)
    if not plan:
        for line in [*summary(outcome, monotonic() - started), *_next(outcome)]:
            log(line)
    if outcome.failures:
        raise typer.Exit(1)


def _rank_device(device: str, devices: int, out: Path, *, plan_only: bool) -> str:
    """Return the device of this rank. Where torchrun has not started ranks yet, start them and exit as they do."""
    from rsir_bench.training import distributed
    from rsir_bench.training.device import find_device

    if not distributed.launched() and not plan_only:
        code = distributed.launch(devices, find_device(device), sys.argv[1:])
        if code == 128 + signal.SIGINT:
            log(f"stopped   complete epochs and finished results are kept in {out}; run the same command to resume")
        raise typer.Exit(code)
    return distributed.rank_device(find_device(device), devices)


def _columns(metrics: str | None, as_json: bool) -> Sequence[str] | None:
    """Return the columns of the table that a run prints; None: the usual ones.

    Raises:
        UserError: No record would hold one of them.
    """
    if metrics is None:
        return None
    if as_json:
        raise UserError("--metrics: --json prints whole records; omit one of the two")
    from rsir_bench.records.metrics import recorded_metrics

    return recorded_metrics(metric_list(metrics) or [])


def _next(outcome: CampaignResult) -> list[str]:
    """Return the line with the next command; no line if there are no records."""
    request = outcome.plan.request
    if not outcome.records:
        return []
    words = ["rsir-bench", "report", str(request.out), "--runs", str(request.out)]
    words += ["--data-root", str(request.data_root)] if request.data_root != Request.data_root else []
    words += ["--protocol", request.protocol] if request.protocol.endswith(".toml") else []
    words += [word for plugin in request.plugins for word in ("--plugin", str(plugin))]
    words += [word for card in request.cards for word in ("--card", str(card))]
    return [f"next      {shlex.join(words)}"]
