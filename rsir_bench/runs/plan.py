"""The plan of a campaign: methods x seeds x targets as runs and cells, what is done, and every problem at once."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from rsir_bench.base.errors import RunError, UserError
from rsir_bench.base.files import digest, file_digest, slug
from rsir_bench.method import Card, Row, Setup, Start
from rsir_bench.method.spec import NamedMethod
from rsir_bench.nn.trunk import find_weights
from rsir_bench.protocol import Protocol, board_name, load_protocol, shipped
from rsir_bench.base.errors import suggest
from rsir_bench.ranking.queries import choose_queries
from rsir_bench.ranking import METRIC_VERSION
from rsir_bench.method.registry import discover, resolve
from rsir_bench.records.store import read_record, record_files
from rsir_bench.scenes.pixel_cache import Transform
from rsir_bench.scenes.distortions import DISTORTION_VERSION, Distortion
from rsir_bench.scenes.index import SceneIndex, expect_dataset, resolve_dataset

# Raise when the training loop, or the way descriptors are made, changes results.
TRAINING_VERSION = 1
DESCRIBING_VERSION = 1

Result = TypeVar("Result")
Fit = Literal["source", "target"]


@dataclass(frozen=True)
class Request:
    """What the user asked for, as on the command line.

    Attributes:
        methods: Names, or ``["all"]``.
        targets: Names, or ``["all"]`` for the protocol's.
        protocol: Name or TOML file.
        seeds: One run each.
        data_root: Where datasets lie.
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
        out: Folder of the runs.
        overrides: ``"section.key=value"``.
        plugins: Files with methods.
        distortions: What the targets are scored under, beside as they are.
        published: Folder of published records, which count as done; None: nothing is published.
        time_limit: Minutes for each run, which then has a process of its own; None: as long as it takes, in this one.
    """

    methods: Sequence[str]
    targets: Sequence[str]
    protocol: str = "patternnet"
    seeds: Sequence[int] = (0,)
    data_root: Path = Path("data")
    device: str = "cpu"
    out: Path = Path("runs")
    overrides: Sequence[str] = ()
    plugins: Sequence[Path] = ()
    distortions: Sequence[Distortion] = ()
    published: Path | None = None
    time_limit: float | None = None

    def of(self, method: NamedMethod) -> Request:
        """What of the request is for one of its methods: settings of others are not."""
        kept = [override for override in self.overrides if _whose(override) in (None, *method.parts)]
        return replace(self, methods=[method.word], overrides=kept)

    def command(self, method: str, seed: int, target: str, distortion: Distortion | None = None) -> str:
        """The command that makes one run's results on one target, without the folders of this machine."""
        words = ["rsir-bench", "run", "--protocol", _file_name(self.protocol), "--methods", method]
        words += ["--seeds", str(seed), "--targets", target]
        words += ["--distort", str(distortion)] if distortion else []
        words += [word for override in self.overrides for word in ("--set", override)]
        words += [word for plugin in self.plugins for word in ("--plugin", plugin.name)]
        return shlex.join(words)

    @property
    def weights_folders(self) -> tuple[Path, ...]:
        """Where files of weights are looked for."""
        return (self.data_root / "weights", self.data_root.parent / "weights")


@dataclass(frozen=True)
class Cell:
    """One result to make: a row of the run on a target.

    Attributes:
        row_name: As in the tables.
        row: How it is made.
        fit: For a PCA row, the dataset the components are fitted on.
        round: The round of training, from 1, whose network makes it.
        target: The dataset's name.
        distortion: What its scenes are put through; None: they are taken as they are.
        key: Digest of every setting that changes the result.
        descriptors: File of the row's descriptors.
        record: File of the result record in the run's folder.
        published: File of the same record among the published ones, where it is there.
    """

    row_name: str
    row: Row
    fit: Fit | None
    round: int
    target: str
    distortion: Distortion | None
    key: str
    descriptors: Path
    record: Path
    published: Path | None

    @property
    def done(self) -> bool:
        """Only a written record counts."""
        return self.published is not None or self.record.is_file()

    @property
    def finished(self) -> Path:
        """The record of a result that is done: the one made here before the published one."""
        return self.record if self.published is None or self.record.is_file() else self.published


@dataclass(frozen=True)
class Run:
    """A method under the protocol with one seed.

    Attributes:
        method: The method.
        seed: The seed.
        folder: Where everything of the run lies.
        key: Digest of every setting that changes the trained network.
        cells: The results to make.
        weights: What the networks start from, by setting: ``"none"``, ``"imagenet:NAME"`` or ``"sha256:..."``.
    """

    method: NamedMethod
    seed: int
    folder: Path
    key: str
    cells: tuple[Cell, ...]
    weights: dict[str, str]

    @property
    def title(self) -> str:
        """As in progress and errors."""
        return f"{self.method.label} seed {self.seed}"

    @property
    def todo(self) -> list[Cell]:
        """Cells without a record."""
        return [cell for cell in self.cells if not cell.done]

    def note(self, number: int) -> Path:
        """The file that says that a round of training is done, and what it took."""
        return round_folder(self.folder, number) / "trained.json"

    def is_trained(self, number: int) -> bool:
        """Whether a round of training is done."""
        return self.note(number).is_file()


def round_folder(run: Path, number: int) -> Path:
    """The folder, in a run's, of a round of training: its network, and what this network made."""
    return run / f"round{number}"


@dataclass
class Plan:
    """Everything a campaign will do.

    Attributes:
        request: What was asked.
        protocol: The protocol with the overrides.
        board: The leaderboard's name.
        transform: How scenes become pixels.
        datasets: The scenes by name of dataset.
        published: Published records of the board, by key.
        runs: In the order of the request.
        absent: Runs and cells that are left out, with the reason.
    """

    request: Request
    protocol: Protocol
    board: str
    transform: Transform
    datasets: dict[str, SceneIndex]
    published: dict[str, Path]
    runs: list[Run] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    @property
    def todo(self) -> list[Run]:
        """Runs with cells left to make."""
        return [run for run in self.runs if run.todo]

    def setup(self, run: Run) -> Setup:
        """What the run's network is built for; an untrained method never looks at the number of classes."""
        source = self.datasets.get(self.protocol.data.source) if run.method.kind.card.trained else None
        any_index = source or self.datasets[run.cells[0].target]
        return Setup(
            classes=len(any_index.classes),
            bands=len(self.transform.kept_bands(any_index)),
            scenes=len(any_index),
            size=self.protocol.data.size,
            protocol=self.protocol,
            weights_folders=self.request.weights_folders,
        )

    def needed(self) -> list[str]:
        """The datasets whose pixels the unfinished cells need, in the order they are needed."""
        names: dict[str, None] = {}
        for run in self.todo:
            card = run.method.kind.card
            if card.trained or any(cell.fit == "source" for cell in run.todo):
                names[self.protocol.data.source] = None
            if card.unlabelled and self.protocol.data.unlabelled:
                names[self.protocol.data.unlabelled] = None
            names |= dict.fromkeys(cell.target for cell in run.todo)
        return list(names)


def make_plan(request: Request) -> Plan:
    """Resolves protocol, methods and datasets, and lists what is done and what is left.

    Raises:
        UserError: Every problem that can be known before the first run starts, one line each.
    """
    problems: list[str] = _without_folder(request.out)
    protocol = load_protocol(request.protocol, list(request.overrides))
    methods = _methods(request, protocol, problems)
    kept, absent = _fitting(methods, protocol)
    targets = list(protocol.data.targets) if list(request.targets) == ["all"] else list(dict.fromkeys(request.targets))
    datasets = _datasets(_dataset_names(kept or methods, protocol, targets), request.data_root, problems)
    for index in (datasets[name] for name in targets if name in datasets):
        problems += _without_queries(protocol, index)
    problems += _called_alike({name: datasets[name] for name in targets if name in datasets})
    board = board_name(protocol)
    published = _published(request.published / board) if request.published else {}
    plan = Plan(request, protocol, board, _transform(protocol), datasets, published, absent=absent)
    if not problems:
        for method in kept:
            for seed in _seeds(method, protocol, request.seeds):
                run = _attempt(problems, lambda method=method, seed=seed: _run(plan, method, seed, targets))  # type: ignore[misc]
                plan.runs += [run] if run is not None and run.cells else []
    if problems:
        raise UserError("\n".join(dict.fromkeys(problems)))
    if not plan.runs:
        raise UserError(f"nothing to run: {'; '.join(plan.absent)}")
    return plan


def planned(request: Request, key: str) -> tuple[Plan, Run]:
    """The plan that another process made of the request, and its run of that key.

    Raises:
        RunError: There is no such run here.
        UserError: There is no plan here.
    """
    plan = make_plan(request)
    for run in plan.runs:
        if run.key == key:
            return plan, run
    raise RunError("there are other code, weights or scenes here than where it was planned; make them the same")


def _without_folder(out: Path) -> list[str]:
    in_the_way = next((path for path in (out, *out.parents) if path.exists() and not path.is_dir()), None)
    return [f"--out {out}: {in_the_way} is a file; name a folder"] if in_the_way else []


def _datasets(names: Sequence[str], data_root: Path, problems: list[str]) -> dict[str, SceneIndex]:
    """The scenes by name of dataset; none where there are problems, since hashing may take minutes."""
    for name in names:
        _attempt(problems, lambda name=name: expect_dataset(name, data_root))  # type: ignore[misc]
    if problems:
        return {}
    found = {name: _attempt(problems, lambda name=name: resolve_dataset(name, data_root)) for name in names}  # type: ignore[misc]
    return {name: index for name, index in found.items() if index is not None}


def _called_alike(targets: dict[str, SceneIndex]) -> list[str]:
    """Targets that no table can tell apart: a folder of the user's is called by its last part."""
    first: dict[str, str] = {}
    return [
        f"--targets {one},{given}: both are called {index.name}; give one of the folders another name"
        for given, index in targets.items()
        if (one := first.setdefault(index.name, given)) != given
    ]


def _without_queries(protocol: Protocol, target: SceneIndex) -> list[str]:
    chosen = choose_queries(target.labels, protocol.score.queries, protocol.score.query_seed)
    if chosen is None or len(chosen):
        return []
    return [f"score.queries=fifth: no class of {target.name} has five scenes; set score.queries=all or leave it out"]


def _published(folder: Path) -> dict[str, Path]:
    return {read_record(path).key: path for path in record_files(folder)}


def _whose(override: str) -> str | None:
    """The method that an override is for; None for a setting of the protocol."""
    section, *rest = override.partition("=")[0].split(".")
    return rest[0] if section == "methods" and rest else None


def _file_name(protocol: str) -> str:
    return Path(protocol).name if protocol.endswith(".toml") else protocol


def _attempt(problems: list[str], step: Callable[[], Result]) -> Result | None:
    try:
        return step()
    except UserError as error:
        problems.append(str(error))
        return None


def _methods(request: Request, protocol: Protocol, problems: list[str]) -> list[NamedMethod]:
    found = _attempt(problems, lambda: discover(request.plugins))
    if found is None:
        return []
    # A user's own protocol file may set methods up as it likes; the label shows what differs from the shipped one.
    usual = load_protocol(protocol.name).methods if protocol.name in shipped() else {}
    for name in sorted(set(protocol.methods) - set(found)):
        problems.append(f"methods.{name}: {suggest(name, found)}")
    names = _method_names(request.methods, found)
    tried = [_attempt(problems, lambda name=name: resolve(name, found, protocol.methods, usual)) for name in names]  # type: ignore[misc]
    methods = [method for method in tried if method is not None]
    parts = {part for method in methods for part in method.parts}
    for name in sorted({whose for override in request.overrides if (whose := _whose(override)) in found} - parts):
        if len(methods) == len(tried):
            problems.append(f"methods.{name}: not among the methods to run; those are {', '.join(sorted(parts))}")
    return methods


def _method_names(wanted: Sequence[str], found: dict[str, Any]) -> list[str]:
    if list(wanted) != ["all"]:
        return list(dict.fromkeys(wanted))
    # A method whose settings have no default, as timm's model, can only be named.
    return [
        name
        for name, entry in found.items()
        if not any(setting.is_required() for setting in entry.kind.Settings.model_fields.values())
    ]


def _fitting(methods: Sequence[NamedMethod], protocol: Protocol) -> tuple[list[NamedMethod], list[str]]:
    """The methods that the protocol can carry, and why the others are absent."""
    kept, absent = [], []
    for method in methods:
        card = method.kind.card
        if card.trunk is not None and card.trunk != protocol.trunk.name.split(".")[0]:
            trunk = protocol.trunk.name
            absent.append(f"{method.name}: brings its own trunk in the place of {card.trunk}; the protocol has {trunk}")
        elif card.unlabelled and protocol.data.unlabelled is None:
            absent.append(f"{method.name}: needs unlabelled scenes; the protocol {protocol.name} names none")
        else:
            kept.append(method)
    return kept, absent


def _dataset_names(methods: Sequence[NamedMethod], protocol: Protocol, targets: Sequence[str]) -> list[str]:
    cards = [method.kind.card for method in methods]
    names = list(targets)
    if any(card.unlabelled for card in cards) and protocol.data.unlabelled:
        names.insert(0, protocol.data.unlabelled)
    if protocol.data.leaked == "drop" or any(_sees_source(card, protocol) for card in cards) or not cards:
        names.insert(0, protocol.data.source)
    return list(dict.fromkeys(names))


def _sees_source(card: Card, protocol: Protocol) -> bool:
    fitted = "source" in protocol.describe.pca_fit and any(row.kind == "pca" for row in card.rows.values())
    return card.trained or fitted


def _transform(protocol: Protocol) -> Transform:
    return Transform(protocol.data.size, protocol.data.resize, protocol.data.bands, protocol.data.antialias)


def _run(plan: Plan, method: NamedMethod, seed: int, targets: Sequence[str]) -> Run:
    settings, weights = training_settings(plan, method, seed)
    key = digest(settings)
    source = plan.datasets[plan.protocol.data.source].name if method.kind.card.trained else "untrained"
    folder = plan.request.out / slug(method.label) / f"{plan.protocol.name}-{slug(source)}-seed{seed}-{key[:8]}"
    cells: list[Cell] = []
    for target in targets:
        reason = _not_a_target(plan, method, target, cells[0].target if cells else target)
        if reason is None:
            for distortion in (None, *plan.request.distortions):
                cells += _cells(plan, method, folder, key, target, distortion)
        elif (line := f"{method.name} on {target}: {reason}") not in plan.absent:
            plan.absent.append(line)
    return Run(method, seed, folder, key, tuple(cells), weights)


def _seeds(method: NamedMethod, protocol: Protocol, seeds: Sequence[int]) -> list[int]:
    """Each seed once, or the first alone for a method in which nothing is left to chance."""
    starts = method.weights.values() or [protocol.trunk.weights]
    seeds = list(dict.fromkeys(seeds))
    return seeds if method.kind.card.trained or "none" in starts else seeds[:1]


def _same_scenes(plan: Plan, one: str, other: str) -> bool:
    """By content, so that a folder of the user's is known whatever it is called."""
    return one == other or plan.datasets[one].fingerprint == plan.datasets[other].fingerprint


def scenes_as_read(plan: Plan, name: str) -> str | list[Any]:
    """What of a dataset changes its pixels: the scenes, and what its card says of bands and values.

    As most cards say nothing, the fingerprint stands alone there: keys from before there was more in them stay.
    """
    index = plan.datasets[name]
    read = [plan.transform.kept_bands(index), index.value_range]
    return index.fingerprint if read == [(0, 1, 2), None] else [index.fingerprint, *read]


def _not_a_target(plan: Plan, method: NamedMethod, target: str, first: str) -> str | None:
    """Why the method is not scored on the target; ``first`` is the one that its network is built for if untrained."""
    data, card = plan.protocol.data, method.kind.card
    if card.trained and _same_scenes(plan, target, data.source):
        return "it is the source, whose labels the method has seen"
    if data.leaked == "drop" and _same_scenes(plan, target, data.source):
        return "all its scenes are in the source, and data.leaked=drop leaves those out"
    if card.unlabelled and data.unlabelled is not None and _same_scenes(plan, target, data.unlabelled):
        return "it is the method's unlabelled pool"
    seen = data.source if _sees_source(card, plan.protocol) else first
    here, there = (len(plan.transform.kept_bands(plan.datasets[name])) for name in (target, seen))
    if here != there:
        what = "the source; set data.bands=rgb" if seen == data.source else f"{seen}; run it alone"
        return f"it has other bands than {what}"
    return None


def training_settings(plan: Plan, method: NamedMethod, seed: int) -> tuple[dict[str, Any], dict[str, str]]:
    """The explicit list of what changes a trained network, and the weights it starts from.

    Device, threads, folders and the number of workers are not in it: they change a result by rounding only.
    """
    protocol, card = plan.protocol, method.kind.card
    everything = protocol.identity()
    values = method.identity
    folders = plan.request.weights_folders
    weights = {
        name: _weights_identity(Start(method.values.get(f"{name.rpartition('.')[0]}.model", ""), value), folders)
        for name, value in method.weights.items()
    }
    settings = {
        "training_version": TRAINING_VERSION,
        "method": method.name,
        "values": values | weights,
        "card": card.version,
        "seed": seed,
        "pixels": [protocol.data.size, protocol.data.resize, protocol.data.bands],
    }
    if not protocol.data.antialias:  # left out otherwise: keys from before there was a choice stay
        settings["antialias"] = False
    if card.trained or not weights:  # an untrained one that names weights, as ``timm:``, takes no trunk of the protocol
        weights["trunk"] = _weights_identity(method.kind.starts_from(method.settings, protocol.trunk), folders)
        settings["head"] = everything.get("head")
        settings["trunk"] = everything["trunk"] | {"weights": weights["trunk"]}
    if card.trained:
        settings["train"] = everything["train"]
        settings |= _trained_on(plan, method)
    return settings, weights


def _trained_on(plan: Plan, method: NamedMethod) -> dict[str, Any]:
    data = plan.protocol.data
    classes = list(plan.datasets[data.source].classes)
    found: dict[str, Any] = {"source": scenes_as_read(plan, data.source)}
    if classes != sorted(classes, key=str.casefold):  # it draws scenes and a classifier's weights by their order
        found["classes"] = classes
    if method.kind.card.unlabelled and data.unlabelled:
        found["unlabelled"] = scenes_as_read(plan, data.unlabelled)
    return found


def _weights_identity(start: Start, folders: Sequence[Path]) -> str:
    if start.weights == "none":
        return "none"
    if start.weights == "imagenet":
        return f"imagenet:{start.model}"
    return f"sha256:{file_digest(find_weights(start.weights, folders, start.sha256))}"


def _cells(
    plan: Plan, method: NamedMethod, folder: Path, run_key: str, target: str, distortion: Distortion | None
) -> list[Cell]:
    protocol, cells = plan.protocol, []
    place = slug(plan.datasets[target].name)  # of a folder of the user's, not its path: it may be moved
    if distortion is not None:
        place = f"{place}/{slug(str(distortion))}"
    for name, row in method.kind.card.rows.items():
        number = row.round or method.kind.rounds
        made = round_folder(folder, number)
        fits: Sequence[Fit | None] = protocol.describe.pca_fit if row.kind == "pca" else [None]
        for fit in fits:
            described = {
                "describing_version": DESCRIBING_VERSION,
                "run": run_key,
                "target": scenes_as_read(plan, target),
                "row": row.model_dump(exclude={"paper"}, exclude_defaults=True),
                "pca": [protocol.describe.pca, fit] if fit else None,
                "fitted on": scenes_as_read(plan, protocol.data.source) if fit == "source" else None,
            }
            if distortion is not None:  # without one, the keys are those from before there were any
                described["distortion"] = [str(distortion), DISTORTION_VERSION]
            described_key = digest(described)
            scored = {
                "descriptors": described_key,
                "metrics": METRIC_VERSION,
                "score": protocol.score.model_dump(exclude_defaults=True),
            }
            if protocol.data.leaked == "drop":
                from rsir_bench.scenes.inspect.duplicates import AUDIT_VERSION  # its packages are needed in this case only

                scored["leaked"] = [AUDIT_VERSION, scenes_as_read(plan, protocol.data.source)]
            # The board is part of a result's identity: the same figure under another protocol is another cell.
            key = digest(scored | {"protocol": protocol.hash, "name": name, "label": method.label})
            stem = slug(name) + ("-target-fit" if fit == "target" else "")
            cells.append(
                Cell(
                    name,
                    row,
                    fit,
                    number,
                    target,
                    distortion,
                    key,
                    made / "descriptors" / place / f"{stem}-{described_key[:8]}.npy",
                    folder / "results" / place / f"{stem}-{key[:8]}.json",
                    plan.published.get(key),
                )
            )
    return cells
