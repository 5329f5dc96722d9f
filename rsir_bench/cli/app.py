"""The command line. Heavy packages are imported inside the verbs, so that help and errors are instant."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from rsir_bench.base.errors import UserError, run_and_exit

if TYPE_CHECKING:
    from rsir_bench.runs.runners.cluster import Cluster


def _group(text: str) -> typer.Typer:
    return typer.Typer(help=text, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


app = _group("Trains, describes and scores methods of remote sensing image retrieval, and tabulates them.")
methods_app = _group("Lists the methods; shows, checks or starts one.")
datasets_app = _group("Lists the datasets and what is present, or downloads one.")
app.add_typer(methods_app, name="methods", invoke_without_command=True)
app.add_typer(datasets_app, name="datasets", invoke_without_command=True)

DataRoot = Annotated[Path, typer.Option(help="Folder that holds the datasets.", envvar="RSIR_BENCH_DATA")]
Plugins = Annotated[list[Path] | None, typer.Option("--plugin", help="A .py file with a method; may be repeated.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Launcher = Annotated[str, typer.Option(help="local, or ray: on a cluster (docs/scale.md).")]
Address = Annotated[str | None, typer.Option(help="With --launcher ray: HOST:PORT; this machine's by default.")]
TABLES = Path("leaderboards")
RESULTS = TABLES / "results"


@app.command()
def run(
    methods: Annotated[str, typer.Option(help="Comma list, e.g. baseline,jsst,timm:resnet50@FILE; or all.")],
    targets: Annotated[str, typer.Option(help="Comma list of datasets or folder:PATH; or all.")] = "all",
    protocol: Annotated[str, typer.Option(help="Name, or a TOML file.")] = "patternnet",
    seeds: Annotated[str, typer.Option(help="Comma list of whole numbers.")] = "0",
    data_root: DataRoot = Path("data"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    devices: Annotated[
        int, typer.Option(min=1, help="Processes, one per GPU or sharing the CPU, that train and describe together.")
    ] = 1,
    out: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    override: Annotated[list[str] | None, typer.Option("--set", help="section.key=value; may be repeated.")] = None,
    distort: Annotated[
        str, typer.Option(help="Comma list of NAME:SEVERITY or NAME; or all: what targets are put through too.")
    ] = "",
    plugin: Plugins = None,
    again: Annotated[bool, typer.Option("--again", help=f"Make results too that {RESULTS} holds.")] = False,
    time_limit: Annotated[
        float | None, typer.Option(min=0.01, help="Minutes for each run, in a process of its own; it is stopped then.")
    ] = None,
    launcher: Launcher = "local",
    address: Address = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print the plan and stop.")] = False,
    as_json: AsJson = False,
) -> None:
    """Trains and scores methods: every result of the request that is not there yet."""
    method_names, target_names = _names_or_all("--methods", methods), _names_or_all("--targets", targets)
    seed_numbers = [_seed(word) for word in _comma_list("--seeds", seeds)]
    _check_protocol(protocol, override or [])
    from rsir_bench.leaderboard import terminal_table
    from rsir_bench.runs.artifacts.stages import follow
    from rsir_bench.runs.request import Request
    from rsir_bench.runs.runners.campaign import campaign, one_by_one, to_stderr
    from rsir_bench.scenes.distortions import parse_distortions
    from rsir_bench.training.distributed import launched, team
    from rsir_bench.training.loop import find_device

    if launched() or devices > 1:
        device = _share(devices, device, plan_only=plan, apart=launcher != "local" or time_limit is not None)
    with _cluster(launcher, address) as cluster, team(device) as rank:
        request = Request(
            methods=method_names,
            targets=target_names,
            protocol=protocol,
            seeds=seed_numbers,
            data_root=data_root,
            device=(cluster.find_device if cluster else find_device)(device),
            out=out,
            overrides=override or [],
            plugins=plugin or [],
            distortions=parse_distortions(_comma_list("--distort", distort)) if distort else [],
            published=None if again else RESULTS,
            time_limit=time_limit,
        )
        if rank:
            follow(request)
            raise typer.Exit
        start = cluster.launch if cluster else one_by_one
        outcome = campaign(request, to_stderr, plan_only=plan, launcher=start)
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
def score(
    descriptors: Annotated[Path, typer.Option(help="N descriptors or codes: .npy, .npz or .parquet.")],
    labels: Annotated[Path | None, typer.Option(help="N labels, unless the descriptors' file has them.")] = None,
    codes: Annotated[bool, typer.Option("--codes", help="Binary codes: 0/1 of shape (N, bits), or packed.")] = False,
    bits: Annotated[int | None, typer.Option(help="Bits of packed codes.")] = None,
    queries: Annotated[Path | None, typer.Option(help="Indices or a mask of the scenes that are queries.")] = None,
    similarity: Annotated[str, typer.Option(help="pearson, cosine, 'inner product' or euclidean.")] = "pearson",
    block: Annotated[int | None, typer.Option(help="Queries per block; fewer take less memory.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "cpu",
    launcher: Launcher = "local",
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Scores descriptors that were made anywhere."""
    from rsir_bench.cli.score_verb import run_score_verb
    from rsir_bench.training.loop import find_device

    if launcher == "ray" and device != "cpu":
        raise UserError(f"--device {device}: a cluster scores on its CPUs; leave --device or --launcher out")
    device = find_device(device)
    with _cluster(launcher, address) as cluster:
        measure = cluster.measure if cluster else None
        print(run_score_verb(descriptors, labels, codes, bits, queries, similarity, as_json, block, device, measure))


@app.command()
def search(
    image: Annotated[Path, typer.Argument(help="An image file from anywhere.")],
    target: Annotated[str, typer.Option(help="The dataset that is searched, or folder:PATH.")],
    method: Annotated[str, typer.Option(help="A trained method, or timm:NAME@WEIGHTS.")],
    top: Annotated[int, typer.Option(min=1, help="Scenes to find.")] = 10,
    ann: Annotated[str | None, typer.Option(help="hnsw or ivf: approximate, its recall printed.")] = None,
    row: Annotated[str | None, typer.Option(help="A row of the method; its PCA or code row by default.")] = None,
    protocol: Annotated[str, typer.Option(help="Name, or a TOML file.")] = "patternnet",
    seed: Annotated[int, typer.Option(min=0, help="Of the run.")] = 0,
    data_root: DataRoot = Path("data"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    out: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    override: Annotated[list[str] | None, typer.Option("--set", help="section.key=value; may be repeated.")] = None,
    plugin: Plugins = None,
    panel: Annotated[Path | None, typer.Option(help="An HTML file to write, with pictures.")] = None,
    as_json: AsJson = False,
) -> None:
    """Searches a target for the scenes most like an image, as a trained method sees them."""
    _check_protocol(protocol, override or [])
    from rsir_bench.cli.search_verb import run_search_verb
    from rsir_bench.runs.request import Request
    from rsir_bench.runs.runners.campaign import to_stderr
    from rsir_bench.training.loop import find_device

    request = Request(
        methods=[method],
        targets=[target],
        protocol=protocol,
        seeds=[seed],
        data_root=data_root,
        device=find_device(device),
        out=out,
        overrides=override or [],
        plugins=plugin or [],
    )
    print(run_search_verb(image, request, row, top, ann, as_json, panel, to_stderr))


@app.command()
def leaderboard(
    runs: Annotated[list[Path] | None, typer.Argument(help=f"Folders of records; {RESULTS} by default.")] = None,
    out: Annotated[Path | None, typer.Option(help=f"Folder of the rendered tables; {TABLES} for {RESULTS}.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Compare with the files there; 1 if any differs.")] = False,
) -> None:
    """Renders the tables of all records in Markdown, CSV, LaTeX and HTML."""
    from rsir_bench import leaderboard as tables
    from rsir_bench.records.store import read_published, read_records

    records = read_records(runs) if runs else read_published(RESULTS)
    if runs and out is None:
        raise UserError(f"leaderboard: {TABLES} is for the published records; name another folder with --out")
    if not records:
        raise UserError(f"no records in {', '.join(map(str, runs or [RESULTS]))}; make some with `rsir-bench run`")
    if not check:
        removed: list[Path] = []
        for path in tables.render_leaderboards(records, out or TABLES, removed.append):
            print(path)
        for path in removed:
            print(f"{path}: removed, there are no records of it any more")
        return
    different = tables.check(records, out or TABLES)
    for path in different:
        print(f"{path}: differs from what the records give; run `rsir-bench leaderboard`")
    if different:
        raise typer.Exit(1)


@app.command()
def report(
    records: Annotated[list[Path] | None, typer.Argument(help=f"Folders of records; {RESULTS} by default.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the report; index.html opens from disk.")] = Path("report"),
    runs: Annotated[
        list[Path] | None, typer.Option(help="A folder that `run` wrote, for pages of scenes; may be repeated.")
    ] = None,
    data_root: DataRoot = Path("data"),
    protocol: Annotated[str | None, typer.Option(help="Your own TOML file, for runs under it.")] = None,
    plugin: Plugins = None,
) -> None:
    """Makes a folder of pages: leaderboard, methods, datasets and figures, and with --runs the scenes behind them."""
    from rsir_bench.records.store import read_published, read_records
    from rsir_bench.report.site import build_report

    found = read_records(records) if records else read_published(RESULTS)
    pages = build_report(found, out, runs or [], data_root, plugin or [], protocol)
    print(f"{out / 'index.html'}: open it in a browser; {len(pages)} pages")


@app.command()
def publish(
    runs: Annotated[list[Path], typer.Argument(help="Folders that `run` wrote.")],
    results: Annotated[Path, typer.Option(help="Where the records go.")] = RESULTS,
) -> None:
    """Copies finished records, checked, to where the leaderboards are rendered from."""
    from rsir_bench.publishing.publish import publish as publish_records

    for path in publish_records(runs, results):
        print(path)


@app.command()
def drift(
    runs: Annotated[list[Path] | None, typer.Argument(help="Folders of records.")] = None,
    baseline: Annotated[
        Path | None, typer.Option(help=f"The records they are compared with; {RESULTS} by default.")
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Compare each step on scenes that come along.")] = False,
    accept: Annotated[
        str | None, typer.Option(metavar="REASON", help="Put the results in the baseline's place; REASON is kept.")
    ] = None,
    markdown: Annotated[Path | None, typer.Option(help="File for a Markdown report.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compares results with a baseline; 1 if any moved further than seeds explain, or if nothing was compared."""
    from rsir_bench.cli.drift_verb import run_accept_verb, run_drift_verb, run_exact_verb

    if exact and (runs or baseline):
        raise UserError("drift: --exact brings its own results and baseline; leave folders and --baseline out")
    if exact:
        passed = run_exact_verb(accept, markdown, as_json, print)
    elif accept is not None:
        if markdown or as_json:
            raise UserError("drift: --accept of results makes no report; leave --markdown and --json out")
        passed = run_accept_verb(runs or [], baseline or RESULTS, accept, print)
    else:
        passed = run_drift_verb(runs or [], baseline or RESULTS, markdown, as_json, print)
    if not passed:
        raise typer.Exit(1)


@methods_app.callback()
def methods(context: typer.Context, plugin: Plugins = None, as_json: AsJson = False) -> None:
    """Lists the methods; shows, checks or starts one."""
    _refuse_options_before(context)
    if context.invoked_subcommand is None:
        from rsir_bench.method.card_text import method_list

        print(method_list(plugin or [], as_json))


@methods_app.command("show")
def show_method(name: str, plugin: Plugins = None) -> None:
    """Shows a method's card: paper, rows, what is stated there, what is our choice, its settings."""
    from rsir_bench.method.card_text import method_card

    print(method_card(name, plugin or []))


@methods_app.command("check")
def check_method(name_or_file: str, plugin: Plugins = None) -> None:
    """Checks that a method, or every method of a .py file, keeps the contract; 1 if any check fails."""
    from rsir_bench.conformance import check

    reports = check(name_or_file, plugin or [])
    print("\n\n".join(map(str, reports)))
    if not all(report.passed for report in reports):
        raise typer.Exit(1)


@methods_app.command("new")
def new_method(name: str) -> None:
    """Writes NAME.py here: a commented method to start from, which passes the check as it is."""
    from rsir_bench.method.template import write_template

    path = write_template(name, Path())
    print(f"{path}: edit it, then run `rsir-bench methods check {path}`")


@datasets_app.callback()
def datasets(context: typer.Context, data_root: DataRoot = Path("data"), as_json: AsJson = False) -> None:
    """Lists the datasets and what is present; shows, downloads, verifies or audits them."""
    _refuse_options_before(context)
    if context.invoked_subcommand is None:
        from rsir_bench.scenes.inspect.listing import dataset_list

        print(dataset_list(data_root, as_json))


@datasets_app.command("download")
def download_dataset(
    name: str,
    data_root: DataRoot = Path("data"),
    accept_licence: Annotated[bool, typer.Option("--accept-licence", help="Accept it without a question.")] = False,
) -> None:
    """Downloads a dataset from its pinned source, checks and unpacks it; a download that was cut goes on."""
    from rsir_bench.scenes.acquire.download import download
    from rsir_bench.scenes.index import find_card

    print(download(find_card(name), data_root, accept_licence))


@datasets_app.command("show")
def show_dataset(name: str) -> None:
    """Shows a dataset's card: classes, pixels, source, licence, citation, known faults."""
    from rsir_bench.scenes.inspect.listing import dataset_card

    print(dataset_card(name))


@datasets_app.command("verify")
def verify_datasets(
    names: Annotated[list[str], typer.Argument(help="Datasets, folder:PATH, or all for those that are present.")],
    data_root: DataRoot = Path("data"),
    as_json: AsJson = False,
) -> None:
    """Reads every scene and compares with card and manifest; 1 if a dataset is incomplete or a scene unreadable."""
    from rsir_bench.cli.verify_verb import run_verify_verb

    wanted = [name for words in names for name in _comma_list("datasets verify", words)]
    if not run_verify_verb(wanted, data_root, as_json, print):
        raise typer.Exit(1)


@datasets_app.command("audit")
def audit_datasets(
    source: Annotated[str, typer.Argument(help="A dataset or folder:PATH.")],
    targets: Annotated[list[str] | None, typer.Argument(help="Others, which are compared with it.")] = None,
    data_root: DataRoot = Path("data"),
    out: Annotated[Path | None, typer.Option(help="Folder for audit.html, with pictures, and audit.json.")] = None,
    examples: Annotated[int, typer.Option(min=0, help="Pairs that are printed for each comparison.")] = 10,
    strict: Annotated[bool, typer.Option("--strict", help="1 if there are duplicates.")] = False,
    as_json: AsJson = False,
) -> None:
    """Looks for scenes that are there twice, within each dataset and between the source and each target."""
    from rsir_bench.cli.audit_verb import run_audit_verb

    found = run_audit_verb([source, *(targets or [])], data_root, out, examples, as_json, print)
    if strict and found:
        raise typer.Exit(1)


def _refuse_options_before(context: typer.Context) -> None:
    """Refuses options that stand before a subcommand, which would not see them."""
    for option in context.command.params:
        source = context.get_parameter_source(str(option.name))
        if context.invoked_subcommand and source is not None and source.name == "COMMANDLINE":
            raise UserError(f"{option.opts[0]}: put it behind {context.invoked_subcommand}, which does not see it here")


def _comma_list(option: str, text: str) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise UserError(f"{option} {text!r}: empty list; name at least one")
    return words


def _names_or_all(option: str, text: str) -> list[str]:
    words = _comma_list(option, text)
    if "all" in words and len(words) > 1:
        raise UserError(f"{option} {text}: all stands alone; give the others in a command of their own")
    return words


def _share(devices: int, device: str, *, plan_only: bool, apart: bool) -> str:
    """The device of this rank; where torchrun has not started ranks yet, they are started and this process ends."""
    from rsir_bench.training import distributed
    from rsir_bench.training.loop import find_device

    if apart:
        raise UserError("--devices: not with --launcher ray or --time-limit, which give each run a process of its own")
    if not distributed.launched() and not plan_only:
        raise typer.Exit(distributed.launch(devices, find_device(device), sys.argv[1:]))
    return distributed.rank_device(find_device(device), devices)


def _cluster(launcher: str, address: str | None) -> AbstractContextManager[Cluster | None]:
    """The cluster to compute on; None stands for this process."""
    if launcher not in ("local", "ray"):
        raise UserError(f"--launcher {launcher!r}: unknown; known: local, ray")
    if launcher == "local":
        if address is not None:
            raise UserError("--address: only a cluster has one; add --launcher ray")
        return nullcontext()
    if find_spec("ray") is None:
        raise UserError("--launcher ray: Ray is not installed; install it with `pip install 'rsir-bench[cluster]'`")
    from rsir_bench.runs.runners.campaign import to_stderr
    from rsir_bench.runs.runners.cluster import connected

    return connected(address, to_stderr)


def _check_protocol(protocol: str, overrides: list[str]) -> None:
    """Tells what is wrong there before torch is loaded, which takes seconds."""
    from rsir_bench.protocol import load_protocol

    load_protocol(protocol, overrides)


def _seed(word: str) -> int:
    if not word.isdecimal():
        raise UserError(f"--seeds {word!r}: not a whole number >= 0; write for example --seeds 0,1,2")
    return int(word)


def main() -> NoReturn:
    """Runs a verb."""
    run_and_exit(app, "rsir-bench")
