"""The command line. Heavy packages are imported inside the verbs, so that help and errors are instant."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from rsir_bench.errors import UserError

app = typer.Typer(
    name="rsir-bench",
    help="Trains, describes and scores methods of remote sensing image retrieval, and tabulates them.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

DataRoot = Annotated[Path, typer.Option(help="Folder that holds the datasets.", envvar="RSIR_BENCH_DATA")]


@app.command()
def run(
    methods: Annotated[str, typer.Option(help="Comma list, e.g. jsst,jsst+se,timm:resnet50@FILE; or all.")],
    targets: Annotated[str, typer.Option(help="Comma list of datasets or folder:PATH; or all.")] = "all",
    protocol: Annotated[str, typer.Option(help="Name, or a TOML file.")] = "patternnet",
    seeds: Annotated[str, typer.Option(help="Comma list of integers.")] = "0",
    data_root: DataRoot = Path("data"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    out: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    override: Annotated[list[str] | None, typer.Option("--set", help="section.key=value; may be repeated.")] = None,
    plugin: Annotated[list[Path] | None, typer.Option(help="A .py file with a method; may be repeated.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print the plan and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the records as JSON lines.")] = False,
) -> None:
    """Trains and scores methods: every missing run x row x target of the request."""
    from rsir_bench.campaign import campaign, to_stderr
    from rsir_bench.leaderboard import terminal_table
    from rsir_bench.plan import Request

    request = Request(
        methods=_comma_list(methods),
        targets=_comma_list(targets),
        protocol=protocol,
        seeds=[_seed(word) for word in _comma_list(seeds)],
        data_root=data_root,
        device=_device(device),
        out=out,
        overrides=override or [],
        plugins=plugin or [],
        command=shlex.join(["rsir-bench", *sys.argv[1:]]),
    )
    outcome = campaign(request, to_stderr, plan_only=plan)
    if as_json:
        for record in outcome.records:
            print(record.model_dump_json())
    elif outcome.records:
        print(terminal_table(outcome.records))
    for title, reason in outcome.failures.items():
        to_stderr(f"failed: {title}: {reason}")
    if outcome.failures:
        raise typer.Exit(1)


@app.command()
def leaderboard(
    runs: Annotated[list[Path] | None, typer.Argument(help="Folders of records.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the rendered tables.")] = Path("leaderboards"),
    check: Annotated[
        bool, typer.Option("--check", help="Compare with the files there; exit 1 if any differs.")
    ] = False,
) -> None:
    """Renders the tables of all records in Markdown, CSV and LaTeX."""
    from rsir_bench import leaderboard as tables
    from rsir_bench.results import read_records

    records = read_records(runs or [Path("leaderboards/results")])
    if not check:
        for path in tables.render_leaderboards(records, out):
            print(path)
        return
    different = tables.check(records, out)
    for path in different:
        print(f"{path}: differs from what the records give")
    if different:
        raise typer.Exit(1)


def _comma_list(text: str) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise UserError(f"empty list {text!r}: name at least one, or all")
    return words


def _seed(word: str) -> int:
    if not word.isdecimal():
        raise UserError(f"--seeds {word!r}: not a whole number >= 0; write for example --seeds 0,1,2")
    return int(word)


def _device(name: str) -> str:
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name != "cpu" and not name.startswith("cuda"):
        raise UserError(f"--device {name!r}: unknown; known: auto, cpu, cuda, cuda:N")
    count = torch.cuda.device_count()
    number = name.partition(":")[2] or "0"
    if name != "cpu" and (not number.isdecimal() or int(number) >= count):
        raise UserError(f"--device {name}: this machine has {count} CUDA devices; use --device cpu")
    return name


def main() -> NoReturn:
    """Runs a verb; an error that the user can mend is printed without a traceback and exits with 2."""
    try:
        app(standalone_mode=True)
    except UserError as error:
        for line in str(error).splitlines():
            print(f"rsir-bench: {line}", file=sys.stderr)
    sys.exit(2)
