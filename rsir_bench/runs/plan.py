"""Plan a campaign: methods x seeds x targets as runs and results, with the path of each file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rsir_bench.base.errors import RunError, SceneError, UserError
from rsir_bench.base.files import slug
from rsir_bench.encoders import EncoderFacts
from rsir_bench.method import Card, Row, Setup
from rsir_bench.method.postprocessing import NamedAfter
from rsir_bench.method.spec import MethodSpec
from rsir_bench.protocol import Protocol
from rsir_bench.records.cells import after_slug
from rsir_bench.runs.keys import Fit, RowOnTarget, components_key, descriptors_key, plain_key, result_key, run_key
from rsir_bench.runs.own_weights import changed_weights
from rsir_bench.runs.request import Request
from rsir_bench.runs.resolve import Resolved, ResolvedMethod, resolve
from rsir_bench.scenes.distortions import Distortion
from rsir_bench.scenes.index import SceneIndex
from rsir_bench.scenes.pixel_cache import Transform

ELSEWHERE = "code, weights or scenes here differ from those where the run was planned; make them the same"


@dataclass(frozen=True)
class ResultSpec(RowOnTarget):
    """One result to make: a row of the run on a target.

    Attributes:
        round: The training round, counted from 1, whose network makes the result.
        key: Digest of every setting that changes the result.
        descriptors: File of the row's descriptors.
        components: File of the principal components fitted on the source, or None if the row uses none.
        record: File of the result record in the run's folder.
        published: File of the same record in the published results, or None if it is not published.
    """

    round: int
    key: str
    descriptors: Path
    components: Path | None
    record: Path
    published: Path | None

    @property
    def done(self) -> bool:
        """Whether the result has a record; nothing else marks it as done."""
        return self.published is not None or self.record.is_file()

    @property
    def finished(self) -> Path:
        """The record of a finished result: the one made here if it exists, otherwise the published one."""
        return self.record if self.published is None or self.record.is_file() else self.published


@dataclass(frozen=True)
class Run:
    """A method under the protocol with one seed.

    Attributes:
        method: The method.
        seed: The seed.
        folder: The folder of the run.
        key: Digest of every setting that changes the trained network.
        plain_key: The same without the method's code, and with weights of timm by their name alone.
        cells: The results to make.
        weights: The initial weights of the networks, by setting: ``"none"``, ``"imagenet:NAME"`` or ``"sha256:..."``;
            ``"imagenet:NAME@tensors:..."`` where the results under that name were made with others.
        transform: The transform from scenes to pixels.
        encoder: What is known of the encoder, under a protocol that trains nothing; None elsewhere.
    """

    method: MethodSpec
    seed: int
    folder: Path
    key: str
    plain_key: str
    cells: tuple[ResultSpec, ...]
    weights: dict[str, str]
    transform: Transform
    encoder: EncoderFacts | None = None

    @property
    def card(self) -> Card:
        """The method's card."""
        return self.method.card

    @property
    def title(self) -> str:
        """The name of the run in progress bars and error messages."""
        return f"{self.method.label} seed {self.seed}"

    @property
    def todo(self) -> list[ResultSpec]:
        """Results without a record."""
        return [cell for cell in self.cells if not cell.done]

    @property
    def rounds(self) -> range:
        """The training rounds, counted from 1; empty if nothing is trained."""
        return range(1, self.method.method_class.rounds + 1) if self.card.trained else range(0)

    def note(self, round_index: int) -> Path:
        """Return the path of the file that marks a round of training as done and holds its costs."""
        return round_folder(self.folder, round_index) / "trained.json"

    def is_trained(self, round_index: int) -> bool:
        """Return whether a round of training is done."""
        return self.note(round_index).is_file()


def round_folder(run: Path, round_index: int) -> Path:
    """Return the folder of a training round inside a run's folder: for its network and all that the network makes."""
    return run / f"round{round_index}"


@dataclass(frozen=True)
class Plan:
    """Everything a campaign will do.

    Attributes:
        resolved: The request, with everything that it names.
        runs: The runs, in the order of the request.
        absent: The reasons why runs and results are left out, one line each.
        failed: Why encoders cannot be built, by the name or label of the method.
    """

    resolved: Resolved
    runs: tuple[Run, ...]
    absent: list[str]
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def request(self) -> Request:
        """The request."""
        return self.resolved.request

    @property
    def protocol(self) -> Protocol:
        """The protocol with the overrides."""
        return self.resolved.protocol

    @property
    def board(self) -> str:
        """The leaderboard's name."""
        return self.resolved.board

    @property
    def datasets(self) -> dict[str, SceneIndex]:
        """The scenes of each dataset, by dataset name."""
        return self.resolved.datasets

    @property
    def source(self) -> SceneIndex:
        """The training scenes."""
        return self.datasets[self.resolved.source]

    @property
    def todo(self) -> list[Run]:
        """Runs with results left to make."""
        return [run for run in self.runs if run.todo]

    @property
    def first_of_each(self) -> list[Run]:
        """The first unfinished run of each method."""
        found: dict[str, Run] = {}
        for run in self.todo:
            found.setdefault(run.method.label, run)
        return list(found.values())

    def setup(self, run: Run) -> Setup:
        """Return the setup to build the run's network for; an untrained network ignores the number of classes."""
        index = self.source if run.card.trained else self.datasets[run.cells[0].target]
        return Setup(
            classes=len(index.classes),
            bands=len(run.transform.kept_bands(index)),
            scenes=len(index),
            size=run.transform.size,
            protocol=self.protocol,
            weights_folders=self.request.weights_folders,
            value_range=index.value_range,
        )

    def needed(self) -> list[tuple[str, Transform]]:
        """Return the datasets and transforms whose pixels the unfinished results need, in order of use."""
        data = self.protocol.data
        needed: dict[tuple[str, Transform], None] = {}
        for run in self.todo:
            names = [cell.target for cell in run.todo]
            if run.card.needs_unlabelled and data.unlabelled:
                names.insert(0, data.unlabelled)
            if run.card.trained or any(cell.fit == "source" for cell in run.todo):
                names.insert(0, self.resolved.source)
            needed |= dict.fromkeys((name, run.transform) for name in names)
        return list(needed)


def make_plan(request: Request) -> Plan:
    """Resolve a request and plan it.

    Raises:
        UserError: The request cannot run. The message lists all problems that can be found before the first run starts,
            one per line.
    """
    return plan_runs(resolve(request))


def plan_runs(resolved: Resolved) -> Plan:
    """Lay out the runs and results of a resolved request.

    Raises:
        UserError: There is no run to make.
    """
    absent = list(resolved.absent)
    runs = []
    for method in resolved.methods:
        targets = _targets_of(resolved, method, absent)
        absent += _without_after(resolved, method) if targets else []
        for seed in _seeds(method, resolved.request.seeds) if targets else ():
            runs.append(_run(resolved, method, seed, targets))
    if not runs:
        raise UserError(f"nothing to run: {'; '.join(absent)}")
    return Plan(resolved, tuple(runs), absent, resolved.failed)


def find_planned_run(request: Request, key: str) -> tuple[Plan, Run]:
    """Rebuild the plan that another process made from the request; return it with the run that has the key.

    Raises:
        RunError: The plan has no such run here.
        UserError: The request cannot be planned here.
    """
    plan = make_plan(request)
    for run in plan.runs:
        if run.key == key:
            return plan, run
    raise RunError(ELSEWHERE)


def _seeds(method: ResolvedMethod, seeds: Sequence[int]) -> list[int]:
    """Return each seed once, or only 0 for a method without randomness, which is the same with every seed."""
    if method.encoder is not None:
        is_random = method.encoder.weights == "none"
    else:
        is_random = method.card.trained or "none" in method.weights.values()
    return list(dict.fromkeys(seeds)) if is_random else [0]


def _targets_of(resolved: Resolved, method: ResolvedMethod, absent: list[str]) -> list[str]:
    """Return the targets that a method is scored on, and add the reasons why others are left out to ``absent``."""
    targets: list[str] = []
    for target in resolved.targets:
        reason = _not_a_target(resolved, method, target, targets[0] if targets else target)
        if reason is None:
            targets.append(target)
        else:
            absent.append(f"{method.spec.name} on {target}: {reason}")
    return targets


def _not_a_target(resolved: Resolved, method: ResolvedMethod, target: str, first: str) -> str | None:
    """Return why a method is not scored on a target, or None if it is.

    The network of an untrained method is built for the ``first`` target.
    """
    data, card, datasets = resolved.protocol.data, method.card, resolved.datasets

    def same(name: str) -> bool:
        return target == name or datasets[target].shows_scenes_of(datasets[name])

    if card.trained and same(resolved.source):
        return "it is the source, whose labels the method has seen"
    if data.leaked == "drop" and same(resolved.source):
        return "all its scenes are in the source, and data.leaked=drop leaves them out"
    if card.needs_unlabelled and data.unlabelled is not None and same(data.unlabelled):
        return "it is the method's unlabelled pool"
    seen = resolved.source if resolved.fitted_on_source(card) else first
    try:
        here, there = (len(method.transform.kept_bands(datasets[name])) for name in (target, seen))
    except SceneError as error:
        return str(error).removeprefix(f"{target}: ")
    if here != there:
        what = "the source; set data.bands=rgb" if seen == data.source else f"{seen}; run it alone"
        return f"its bands differ from those of {what}"
    if method.encoder and method.encoder.input.stored:
        if datasets[target].value_range is None:
            return "the weights need reflectances, but it stores 8-bit colours"
        if datasets[target].value_range != datasets[seen].value_range:
            return f"its values have another range than those of {seen}; run it alone"
    return None


def _run(resolved: Resolved, method: ResolvedMethod, seed: int, targets: Sequence[str]) -> Run:
    plain, usual = plain_key(resolved, method, seed), method.weights
    key, folder = _place(resolved, method, seed)
    if changed := changed_weights(folder, usual):
        method = replace(method, weights=usual | changed)
        key, folder = _place(resolved, method, seed)
    cells = tuple(
        _cell(resolved, method, folder, key, wanted)
        for target in targets
        for distortion in (None, *resolved.distortions)
        for wanted in _rows(resolved, method, target, distortion)
    )
    return Run(method.spec, seed, folder, key, plain, cells, method.weights, method.transform, method.encoder)


def _place(resolved: Resolved, method: ResolvedMethod, seed: int) -> tuple[str, Path]:
    """Return the key and the folder of a run."""
    key = run_key(resolved, method, seed)
    source = resolved.datasets[resolved.source].name if method.card.trained else "untrained"
    name = f"{resolved.protocol.name}-{slug(source)}-seed{seed}-{key[:8]}"
    return key, resolved.request.out / slug(method.spec.label) / name


def _rows(resolved: Resolved, method: ResolvedMethod, target: str, distortion: Distortion | None) -> list[RowOnTarget]:
    fits: Sequence[Fit] = resolved.protocol.describe.pca_fit
    return [
        RowOnTarget(name, row, fit, target, distortion, after)
        for name, row in method.card.rows.items()
        for fit in (fits if row.kind == "pca" else [None])
        for after in (None, *(one for one in resolved.after if _why_not_after(resolved, row, one) is None))
    ]


def _why_not_after(resolved: Resolved, row: Row, after: NamedAfter) -> str | None:
    """Return why the rankings of a row are not post-processed, or None if they are."""
    similarity = "hamming" if row.kind == "code" else resolved.protocol.score.similarity
    return after.processing.unfit(similarity, resolved.protocol.describe.pca if row.kind == "pca" else None)


def _without_after(resolved: Resolved, method: ResolvedMethod) -> list[str]:
    """Return the reasons why rankings of some rows are not post-processed, one line each."""
    return [
        f"{method.spec.name}, row {name}, --after {after}: {reason}"
        for name, row in method.card.rows.items()
        for after in resolved.after
        if (reason := _why_not_after(resolved, row, after)) is not None
    ]


def _cell(resolved: Resolved, method: ResolvedMethod, folder: Path, run: str, wanted: RowOnTarget) -> ResultSpec:
    described = descriptors_key(resolved, method, run, wanted)
    key = result_key(resolved, method, described, wanted)
    round_index = wanted.row.round or method.spec.method_class.rounds
    made = round_folder(folder, round_index)
    place = slug(resolved.datasets[wanted.target].name)  # a user's folder goes by its name: its path may change
    if wanted.distortion is not None:
        place = f"{place}/{slug(str(wanted.distortion))}"
    stem = slug(wanted.row_name) + ("-target-fit" if wanted.fit == "target" else "")
    ranked = stem if wanted.after is None else f"{stem}-{after_slug(str(wanted.after))}"
    components = None
    if wanted.fit == "source":
        components_digest = components_key(resolved, method, wanted.row.descriptor)[:8]
        components = made / "pca" / f"{resolved.protocol.describe.pca}-{components_digest}.npz"
    return ResultSpec(
        row_name=wanted.row_name,
        row=wanted.row,
        fit=wanted.fit,
        target=wanted.target,
        distortion=wanted.distortion,
        after=wanted.after,
        round=round_index,
        key=key,
        descriptors=made / "descriptors" / place / f"{stem}-{described[:8]}.npy",
        components=components,
        record=folder / "results" / place / f"{ranked}-{key[:8]}.json",
        published=resolved.published.get(key),
    )
