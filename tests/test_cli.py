"""The command line as a user meets it."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import typer
from command import InProcess
from conftest import REPOSITORY, Tiny
from typer.testing import CliRunner

import rsir_bench
from rsir_bench import ranking
from rsir_bench.base.errors import RunError, UserError
from rsir_bench.cli.app import app
from rsir_bench.cli.shared.lists import seed_numbers
from rsir_bench.runs.request import DESCRIPTIONS, Request

VERBS = ["demo", "run", "score", "search", "leaderboard", "report", "publish", "drift", "export"]
SUBCOMMANDS = {
    "methods": ["list", "show", "check", "new"],
    "datasets": ["list", "show", "download", "verify", "audit"],
    "protocols": ["list", "show", "new"],
    "submit": ["check", "pack"],
}


def _process(*words: object, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A process of its own, as a user starts it."""
    command = [sys.executable, "-m", "rsir_bench", *map(str, words)]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, **variables}
    )


def _imports(words: str, heavy: set[str], folder: Path) -> tuple[int, str, list[str]]:
    """A command's exit status, what it prints, and which packages it has imported by its end."""
    code = (
        f"import sys; sys.argv[1:] = {words.split()!r}\n"
        "from rsir_bench.cli.app import main\n"
        "try: main()\n"
        f"finally: print('HEAVY', *sorted({heavy!r} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    printed, _, found = result.stdout.rpartition("HEAVY")
    return result.returncode, printed + result.stderr, found.split()


def test_every_help_imports_nothing_heavy(tmp_path: Path) -> None:
    """In one process: a module that any of them imports stays."""
    pages = [
        [],
        *([verb] for verb in [*VERBS, *SUBCOMMANDS]),
        *([group, name] for group, names in SUBCOMMANDS.items() for name in names),
    ]
    code = (
        "import contextlib, sys\n"
        "from rsir_bench.cli.app import app\n"
        f"for words in {pages!r}:\n"
        "    with contextlib.suppress(SystemExit): app([*words, '--help'])\n"
        "print('HEAVY', *sorted({'torch', 'timm', 'pandas', 'numpy', 'PIL', 'sklearn', 'rsir_bench.protocol'}"
        " & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    printed, _, found = result.stdout.rpartition("HEAVY")
    assert printed.count("Usage:") == len(pages)
    assert found.split() == []


def test_every_verb_is_known_here() -> None:
    commands = typer.main.get_command(app).commands
    assert sorted(commands) == sorted([*VERBS, *SUBCOMMANDS])
    assert {group: list(commands[group].commands) for group in SUBCOMMANDS} == SUBCOMMANDS


PAGES = [
    [],
    *([verb] for verb in [*VERBS, *SUBCOMMANDS]),
    *([group, sub] for group in SUBCOMMANDS for sub in SUBCOMMANDS[group]),
]


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("words", PAGES, ids=" ".join)
def test_help_is_whole_and_fits(words: list[str], width: int) -> None:
    """Every sentence of every option, though rich takes brackets for markup; and the examples, each on its line."""
    shown = CliRunner().invoke(app, [*words, "-h"], env={"COLUMNS": str(width)}).output
    lines = shown.splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in shown
    command = typer.main.get_command(app)
    for word in words:
        command = command.commands[word]
    said = re.sub(r"[│\s]+", "", shown)  # as one word: lines are broken anywhere
    shown_ones = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    texts = [parameter.help for parameter in shown_ones if parameter.help]
    texts += [other.help.partition("\n")[0] for other in getattr(command, "commands", {}).values()]
    assert [text for text in texts if re.sub(r"\s+", "", text) not in said] == []
    if not hasattr(command, "commands") or not words:
        assert any(line.strip().startswith("rsir-bench ") for line in lines)


@pytest.mark.parametrize("words", ["datasets", "datasets list --data-root data"])
def test_datasets_are_listed_without_torch(words: str, tmp_path: Path) -> None:
    status, printed, found = _imports(words, {"torch", "timm", "pandas"}, tmp_path)
    assert status == 0
    assert "nwpu" in printed
    assert found == []


TOLD_BY_THE_PROTOCOL = [
    ("run --methods baseline --protocol dmo", "did you mean 'demo'?"),
    ("run --methods baseline --protocol demo --set train.epoch=1", "did you mean 'epochs'?"),
    ("run --methods baseline --protocol demo --seeds a", "not a whole number"),
    ("run --methods baseline --protocol gone.toml", "protocol gone.toml: no such file; known: aid, aid-lite"),
    ("run --methods , --protocol demo", "--methods ',': empty list"),
    ("run --methods baseline --protocol demo --seeds ,", "--seeds ',': empty list"),
    ("run --methods all,timm:resnet34@none --protocol demo", "'all' cannot be combined with names"),
    ("run --methods baseline --protocol demo --targets all,ucm", "'all' cannot be combined with names"),
    ("methods --json show jsst", "--json must come after 'show'"),
    ("methods --plugin mine.py show mine", "--plugin must come after 'show'"),
    ("datasets --data-root=elsewhere verify ucm", "--data-root must come after 'verify'"),
    ("methods --json list", "--json must come after 'list'"),
    ("run --methods baseline --protocol demo --targets ,", "empty list"),
    ("search x.png --target ucm --method baseline --protocol dmo", "did you mean 'demo'?"),
]


@pytest.fixture(scope="module")
def told_first(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, list[str], list[str]]]:
    """Exit status, lines, and the heavy packages that are imported by then: of each command, in one process."""
    code = (
        "import contextlib, io, json, sys\n"
        "from rsir_bench.cli.app import main\n"
        "ends = {}\n"
        f"for words in {[words for words, _ in TOLD_BY_THE_PROTOCOL]!r}:\n"
        "    sys.argv[1:] = words.split()\n"
        "    printed, status = io.StringIO(), None\n"
        "    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):\n"
        "        try: main()\n"
        "        except SystemExit as end: status = end.code\n"
        "    heavy = sorted({'torch', 'timm', 'numpy'} & set(sys.modules))\n"
        "    ends[words] = status, printed.getvalue().splitlines(), heavy\n"
        "print(json.dumps(ends))"
    )
    command, folder = [sys.executable, "-c", code], tmp_path_factory.mktemp("told")
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    ends: dict[str, tuple[int, list[str], list[str]]] = json.loads(result.stdout)
    return ends


@pytest.mark.parametrize(("words", "message"), TOLD_BY_THE_PROTOCOL)
def test_what_the_protocol_alone_tells_is_told_before_torch_is_loaded(
    words: str, message: str, told_first: dict[str, tuple[int, list[str], list[str]]]
) -> None:
    status, lines, found = told_first[words]
    assert status == 2
    assert len(lines) == 1
    assert message in lines[0]
    assert found == []


def test_a_plan_does_without_what_only_training_needs(tmp_path: Path) -> None:
    words = "run --methods baseline --protocol demo --targets demo-veiw"
    heavy = {"torch", "lightning_fabric", "sklearn", "timm", "torchvision"}
    status, printed, found = _imports(words, heavy, tmp_path)
    assert status == 2
    assert "did you mean demo-view?" in printed
    assert len(printed.splitlines()) == 1
    assert found == ["torch"]


def test_missing_data_exits_with_2_and_one_line_each(cli: InProcess) -> None:
    result = cli("run", "--methods", "jsst,baselin", "--targets", "all")
    assert result.code == 2
    assert result.out == ""
    lines = result.err.splitlines()
    assert len(lines) == 7  # one method and the six datasets of the protocol
    assert all(line.startswith("rsir-bench: ") for line in lines)


def test_run_then_leaderboard_then_publish(tiny: Tiny, cli: InProcess) -> None:
    words = ["run", "--protocol", tiny.protocol, "--methods", "baseline", "--out", "runs", "--device", "cpu"]
    first = cli(*words)
    assert first.code == 0, first.err
    assert "mAP" in first.out
    assert "AP@10h" in first.out
    assert "1 to do" in first.err
    again = cli(*words, "--json")
    assert "0 to do" in again.err
    records = [json.loads(line) for line in again.out.splitlines()]
    assert [record["row"]["name"] for record in records] == ["FC", "PCA"]
    command = "rsir-bench run --protocol tiny.toml --methods baseline --seeds 0 --targets "
    assert records[0]["command"].startswith(command)

    published = _process("publish", "runs", folder=tiny.folder)
    assert published.returncode == 0, published.stderr
    paths = [tiny.folder / line for line in published.stdout.splitlines()]
    assert len(paths) == 2
    assert all(path.parent.parent.name == records[0]["protocol"]["board"] for path in paths)
    assert cli("publish", "runs").out == ""

    rendered = _process("leaderboard", folder=tiny.folder)
    assert rendered.returncode == 0, rendered.stderr
    assert cli("leaderboard", "--check").code == 0
    refused = cli("leaderboard", "runs")
    assert (refused.code, refused.out) == (2, "")
    assert "name another folder with --out" in refused.err
    table = next((tiny.folder / "leaderboards").rglob("*.md"))
    table.write_text(table.read_text() + "\n")
    check = cli("leaderboard", "--check")
    assert check.code == 1
    assert table.name in check.out


def test_a_failing_run_exits_with_1(tiny: Tiny, cli: InProcess) -> None:
    result = cli("run", "--protocol", tiny.protocol, "--methods", "baseline", "--set", "train.rate=1e30")
    assert result.code == 1
    assert "failed: baseline seed 0:" in result.err
    assert "lower train.rate" in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize("words", ["drift .", "report nowhere", "score --descriptors nowhere.npz"])
def test_a_process_ends_with_the_status_and_the_line_of_its_error(words: str, tmp_path: Path) -> None:
    result = _process(*words.split(), folder=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("rsir-bench: ")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("run --methods baseline --protocol demo --device tpu", "known: auto, cpu, cuda, cuda:N, mps"),
        ("leaderboard nowhere --out elsewhere", "no such folder"),
        ("leaderboard", "leaderboards/results: no published records;"),
        ("drift .", "leaderboards/results: no published records;"),
        ("run --methods baseline --protocol demo --out README.md/runs --plan", "README.md is a file; name a folder"),
        ("run --methods jsst-spat --protocol demo --set methods.jsst.warp=tps", "which are baseline, jsst-spat"),
        ("methods show jst", "did you mean 'jsst'?"),
        ("datasets download demo-view", "needs no download"),
    ],
)
def test_errors_are_one_line_with_what_to_do(words: str, message: str, cli: InProcess) -> None:
    Path("README.md").touch()
    result = cli(*words.split())
    assert result.code == 2
    assert message in result.err
    assert len(result.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("ray", "--launcher ray: Ray is not installed; install it with `pip install 'rsir-bench[cluster]'`"),
        ("local --address host:1", "--address: applies only to a cluster; add --launcher ray"),
        ("local --allow-no-token", "--allow-no-token: applies only to a cluster; add --launcher ray"),
        ("slurm", "--launcher 'slurm': unknown; known: local, ray"),
    ],
)
def test_what_a_cluster_needs_is_one_line_where_there_is_no_ray(
    words: str, message: str, cli: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    result = cli("run", "--methods", "baseline", "--launcher", *words.split())
    assert (result.code, result.err) == (2, f"rsir-bench: {message}\n")


def test_listings(cli: InProcess) -> None:
    methods = json.loads(cli("methods", "--json").out)
    assert json.loads(cli("methods", "list", "--json").out) == methods
    assert {"baseline", "jsst", "timm"} <= {row["method"] for row in methods}
    assert "padding = 'border'" in cli("methods", "show", "jsst").out
    composed = cli("methods", "show", "gamma+timm:resnet18").out
    assert [line.split(":")[0] for line in composed.splitlines() if line.endswith("(2019)")] == ["timm"]
    assert composed.startswith("gamma: ")
    listed = cli("datasets", "--data-root", "data", "--json").out
    assert cli("datasets", "list", "--json").out == listed
    datasets = {row["dataset"]: row for row in json.loads(listed)}
    assert datasets["nwpu"]["scenes"] == 31500
    assert datasets["nwpu"]["present"] == "no"


def test_an_unknown_subcommand_is_told_apart_from_a_list() -> None:
    unknown = CliRunner().invoke(app, ["methods", "shw"])
    assert unknown.exit_code == 2
    assert "No such command 'shw'" in unknown.output


def test_a_plugin_shows_in_the_list(cli: InProcess) -> None:
    plugin = Path(__file__).parent / "plugins" / "everything.py"
    assert "everything" in cli("methods", "--plugin", plugin).out


def test_a_new_method_is_written_checked_and_never_overwritten(cli: InProcess) -> None:
    written = cli("methods", "new", "my-method")
    assert written.code == 0, written.err
    assert "rsir-bench methods check my_method.py" in written.out
    checked = cli("methods", "check", "my_method.py")
    assert checked.code == 0, checked.out + checked.err
    assert "my-method fulfils the contract." in checked.out
    again = cli("methods", "new", "my-method")
    assert again.code == 2
    assert "my_method.py: already exists" in again.err


def test_a_broken_method_fails_its_check_without_a_traceback(cli: InProcess) -> None:
    cli("methods", "new", "mine")
    path = Path("mine.py")
    path.write_text(path.read_text().replace("        self.trunk = setup", "        1 / 0\n        self.trunk = setup"))
    checked = cli("methods", "check", "mine.py")
    assert checked.code == 1
    assert "ZeroDivisionError: division by zero (mine.py:" in checked.out
    assert "Traceback" not in checked.out + checked.err
    unknown = cli("methods", "check", "nonesuch.py")
    assert (unknown.code, len(unknown.err.splitlines())) == (2, 1)


def test_a_method_of_an_installed_package_is_listed(cli: InProcess, tmp_path: Path) -> None:
    """What an installer leaves: a module, and a folder with metadata that names the entry point."""
    cli("methods", "new", "theirs")
    site = tmp_path / "site"
    info = site / "their_package-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "their_package.py").write_text((tmp_path / "theirs.py").read_text())
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[rsir_bench.methods]\ntheirs = their_package:Theirs\n")
    listed = _process("methods", "--json", folder=tmp_path, PYTHONPATH=str(site))
    assert listed.returncode == 0, listed.stderr
    sources = {row["method"]: row["from"] for row in json.loads(listed.stdout)}
    assert sources["theirs"] == str(site / "their_package.py")
    assert "theirs" not in cli("methods", "--json").out


def test_a_broken_package_or_plugin_costs_only_itself(tiny: Tiny) -> None:
    site, torn = tiny.folder / "site", tiny.folder / "torn.py"
    info = site / "broken_package-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[rsir_bench.methods]\nbrk = nonesuch:Z\n")
    torn.write_text("1 / 0")
    plan = ["run", "--protocol", str(tiny.protocol), "--plan", "--plugin", str(torn), "--methods"]

    def call(*words: str) -> tuple[int, list[str]]:
        end = _process(*words, folder=tiny.folder, PYTHONPATH=str(site))
        return end.returncode, end.stderr.splitlines()

    code, lines = call("methods")
    assert (code, len(lines)) == (0, 1)
    assert lines[0].startswith("warning   entry point brk of broken-package: cannot be imported (ModuleNotFoundError")
    code, lines = call(*plan, "baseline")
    assert (code, [line.split()[0] for line in lines[:2]]) == (0, ["warning", "warning"])
    for asked in ("brk", "all", "baseline,torn"):
        code, lines = call(*plan, asked)
        assert code == 2, asked
        named = [line for line in lines if line.startswith("rsir-bench: ")]
        assert ("entry point brk" in named[0]) == (asked != "baseline,torn")
        assert any("plugin" in line and "ZeroDivisionError" in line for line in named) == (asked != "brk")


def test_scores_are_printed_as_a_table_or_json(tmp_path: Path) -> None:
    rows, labels = np.random.default_rng(0).normal(size=(20, 4)), np.repeat([0, 1], 10)
    np.savez(tmp_path / "rows.npz", descriptors=rows, labels=labels)
    words = ["score", "--descriptors", str(tmp_path / "rows.npz"), "--similarity", "cosine"]
    expected = rsir_bench.score(rows, labels, similarity="cosine")
    assert json.loads(CliRunner().invoke(app, [*words, "--json"]).output) == expected.as_dict()
    assert f"{expected.overall['mAP']:.4f}" in CliRunner().invoke(app, words).output
    names = ["mAP@5/R", "hit@1"]
    chosen = CliRunner().invoke(app, [*words, "--metrics", ", ".join(names), "--json"]).output
    assert json.loads(chosen) == rsir_bench.score(rows, labels, similarity="cosine", metrics=names).as_dict()
    header, _, first, *_ = CliRunner().invoke(app, [*words, "--metrics", ",".join(names)]).output.splitlines()
    assert header.split() == ["mAP@5/R", "hit@1", "(R@1)"]
    assert first.split() == ["all", "queries", *(f"{json.loads(chosen)[name]:.4f}" for name in names)]


def test_a_run_takes_the_parameters_of_a_request() -> None:
    parameters = inspect.signature(rsir_bench.run).parameters
    assert list(parameters) == list(DESCRIPTIONS)
    assert parameters["device"].default == "auto"
    assert {name: parameters[name].default for name in parameters if name not in ("methods", "device")} == {
        name: default for name, default in vars(Request(())).items() if name not in ("methods", "device")
    }
    assert all(f"    {name}: {text}\n" in (rsir_bench.run.__doc__ or "") for name, text in DESCRIPTIONS.items())
    with pytest.raises(TypeError, match="unexpected keyword argument 'seed'"):
        rsir_bench.run(["baseline"], seed=3)
    with pytest.raises(TypeError, match="missing a required argument: 'methods'"):
        rsir_bench.run()


def test_the_options_of_a_run_say_what_a_request_says() -> None:
    shown = "\n".join(parameter.help for parameter in typer.main.get_command(app).commands["run"].params)
    others = {"published"}  # --reuse-published chooses it
    assert [name for name, text in DESCRIPTIONS.items() if text not in shown and name not in others] == []


def test_the_bare_program_prints_its_help_and_version(cli: InProcess) -> None:
    bare = cli()
    assert (bare.code, bare.err) == (0, "")
    assert bare.out.split() == cli("--help").out.split()
    assert "protocols" in bare.out
    assert cli("--version").out == cli("-V").out == f"rsir-bench {version('rsir-bench')}\n"


def test_a_slip_on_the_command_line_is_one_line(cli: InProcess) -> None:
    slip = cli("run", "--sedes", "3")
    assert (slip.code, slip.out) == (2, "")
    assert slip.err.startswith("rsir-bench run: No such option: --sedes")
    assert slip.err.endswith("See `rsir-bench run --help`.\n")
    assert len(slip.err.splitlines()) == 1
    assert cli("methods", "shw").err.startswith("rsir-bench methods: No such command 'shw'")
    assert cli("run").err.startswith("rsir-bench run: Missing option '--methods'")


def test_the_shell_completes_verbs_protocols_and_datasets(tmp_path: Path) -> None:
    def complete(line: str) -> list[str]:
        words = line.split(" ")
        variables = {"_RSIR_BENCH_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
        code = "import sys; sys.argv[0] = 'rsir-bench'; from rsir_bench.cli.app import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, **variables}, capture_output=True, text=True
        )
        return done.stdout.split()

    assert complete("rsir-bench lea") == ["leaderboard"]
    assert complete("rsir-bench protocols show ucm-m") == ["ucm-mobile"]
    assert complete("rsir-bench run --targets ucm,rssc") == ["ucm,rsscn7"]


@pytest.mark.parametrize(
    ("text", "seeds"), [("0-4", [0, 1, 2, 3, 4]), ("3, 0-1,1", [3, 0, 1]), ("7-7", [7]), ("0 - 2", [0, 1, 2])]
)
def test_seeds_may_be_ranges(text: str, seeds: list[int]) -> None:
    assert seed_numbers(text) == seeds


@pytest.mark.parametrize("text", ["4-0", "0-", "-3", "0-4-8", "0-1000000", "1.5"])
def test_what_is_no_range_of_seeds_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=f"--seeds '{text}': not a"):
        seed_numbers(text)


def test_importing_the_package_imports_neither_torch_nor_numpy() -> None:
    code = "import sys, rsir_bench; print(dir(rsir_bench), sorted({'torch', 'numpy', 'typer'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == (
        "['__doc__', '__version__', 'read_records', 'run', 'score', 'search_scenes', 'write_report'] []\n"
    )
    assert rsir_bench.score is ranking.score
    with pytest.raises(AttributeError, match="'rsir_bench' has no attribute 'scores'"):
        rsir_bench.scores  # noqa: B018


def test_python_api(tiny: Tiny) -> None:
    options = {"protocol": str(tiny.protocol), "out": str(tiny.folder / "runs"), "device": "cpu"}
    records = rsir_bench.run(["baseline"], **options)
    assert [record.row.name for record in records] == ["FC", "PCA"]
    assert rsir_bench.run(["baseline"], **options) == records
    with pytest.raises(RunError, match=r"lower train\.rate"):
        rsir_bench.run(["baseline"], overrides=["train.rate=1e30"], **options)
    assert rsir_bench.run("baseline", tiny.target, seeds=0, **options) == records
    assert sorted(rsir_bench.read_records(options["out"]), key=lambda one: one.row.name) == records
    assert rsir_bench.write_report(records, tiny.folder / "pages").read_text().lower().startswith("<!doctype html>")
    query = next((tiny.folder / "target").rglob("*.png"))
    found = rsir_bench.search_scenes(query, "baseline", tiny.target, top=3, after="aqe:2,1", **options)
    assert len(found.hits) == 3 + found.hits[0].itself
    assert [one.processing.label for one in found.after] == ["aQE 2,1 (transductive)"]
    scores = rsir_bench.score([[1.0, 0, 2], [0.9, 0, 2], [0, 1, 0], [0, 0.9, 0.2]], [0, 0, 1, 1])
    assert scores.overall["mAP"] == 1


def test_scores_and_records_are_short_in_python_and_tables_in_notebooks() -> None:
    scores = rsir_bench.score([[1.0, 0, 2], [0.9, 0, 2], [0, 1, 0], [0, 0.9, 0.2]], ["a", "a", "<b>", "<b>"])
    named = ", ".join(f"{name} {value:.4f}" for name, value in list(scores.overall.items())[:4])
    assert repr(scores) == f"<Scores: 4 queries, 2 classes: {named}, {len(scores.overall) - 4} more>"
    frame = scores.to_frame()
    assert list(frame.index) == ["all queries", "<b>", "a"]
    assert frame.loc["a"].to_dict() == scores.per_class["a"]
    html = scores._repr_html_()
    assert "&lt;b&gt;" in html
    assert f"{scores.overall['mAP']:.4f}" in html
    published = rsir_bench.read_records(REPOSITORY / "leaderboards" / "results" / "demo" / "baseline")
    record = next(one for one in published if one.row.name == "PCA" and one.seed == 0)
    assert re.fullmatch(r"<Record: baseline PCA on .+, seed 0, board demo: mAP 0\.\d{4}, .+>", repr(record))
    assert str(record) == repr(record)
    assert record.to_frame().loc["all queries"].to_dict() == record.metrics


def test_nothing_but_the_tables_and_the_plan_is_printed_at_the_end_of_a_run(tiny: Tiny) -> None:
    """Nothing of what the libraries report when the process exits."""
    options = ["--protocol", tiny.protocol, "--data-root", tiny.folder, "--out", "runs", "--device", "cpu"]
    done = _process("run", "--methods", "timm:test_resnet@none", *options, folder=tiny.folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1].startswith("next ")


def test_a_run_ends_with_who_leads_and_what_comes_next(tiny: Tiny, cli: InProcess) -> None:
    words = ["run", "--protocol", "tiny.toml", "--methods", "baseline,wallis", "--device", "cpu"]
    made = cli(*words)
    assert made.code == 0, made.err
    *_, ahead, took, following = made.err.splitlines()
    assert re.fullmatch(r"ahead     folder-target: \S+ (FC|PCA), mAP 0\.\d{4}, 0\.\d{4} above \S+ (FC|PCA)", ahead)
    assert re.fullmatch(r"took      \d+ s; 4 records, those of this run in runs", took)
    assert following == "next      rsir-bench report runs --runs runs --protocol tiny.toml"
    assert "ahead" not in made.out
    again = cli(*words, "--again", "--plan")
    assert again.err.startswith("warning   --again: deprecated and without effect; omit it\n")
    assert "2 done, 0 to do" in again.err


def test_published_results_are_made_unless_they_are_reused(tiny: Tiny, cli: InProcess) -> None:
    words = ["run", "--protocol", "tiny.toml", "--methods", "timm:test_resnet@none", "--device", "cpu"]
    assert cli(*words).code == 0
    assert (
        cli("publish", "runs").err
        == "1 records of runs published in leaderboards/results; next: rsir-bench leaderboard\n"
    )
    elsewhere = [*words, "--out", "elsewhere", "--plan"]
    assert "0 done, 1 to do" in cli(*elsewhere).err
    assert "1 done, 0 to do" in cli(*elsewhere, "--reuse-published").err
