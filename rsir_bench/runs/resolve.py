"""Resolve names to the protocol, methods, weights and scenes. All input is read here, once."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

from rsir_bench.base.errors import Problems, UserError, one_line, suggest
from rsir_bench.base.files import file_digest
from rsir_bench.base.progress import log
from rsir_bench.encoders import EncoderFacts, encoder_class, encoder_facts, named_encoder
from rsir_bench.method import Card, WeightSource, registry
from rsir_bench.method.postprocessing import NamedAfter, named_after
from rsir_bench.method.registry import RegisteredMethod
from rsir_bench.method.spec import MethodSpec
from rsir_bench.nn.trunk import find_weights
from rsir_bench.protocol import Protocol, board_name, load_protocol, shipped
from rsir_bench.ranking.queries import choose_queries
from rsir_bench.records.store import read_each, record_files
from rsir_bench.runs.request import Request, overridden_method
from rsir_bench.scenes.distortions import Distortion, parse_distortions
from rsir_bench.scenes.index import SceneIndex, index_listing, list_dataset
from rsir_bench.scenes.pixel_cache import Transform
from rsir_bench.scenes.readers.given_cards import read_cards


@dataclass(frozen=True)
class ResolvedMethod:
    """A method with its initial weights and its pixel transform.

    Attributes:
        spec: The method as the user named it.
        weights: The initial weights of its networks, by setting: ``"none"``, ``"imagenet:NAME"`` or ``"sha256:..."``.
        transform: The transform from scenes to its pixels.
        encoder: What is known of it, under a protocol that trains nothing; None elsewhere.
    """

    spec: MethodSpec
    weights: dict[str, str]
    transform: Transform
    encoder: EncoderFacts | None = None

    @property
    def card(self) -> Card:
        """The method's card."""
        return self.spec.card


@dataclass(frozen=True)
class Resolved:
    """Everything that a request names, read and checked.

    Attributes:
        request: The request.
        protocol: The protocol with the overrides.
        board: The leaderboard's name.
        methods: The methods that the protocol supports, in the order of the request.
        absent: The reasons why other methods are left out, one line each.
        failed: Why encoders cannot be built, by the name of the method: each costs only its own results.
        targets: The datasets to score on, as the request names them.
        datasets: The scenes of each dataset, by dataset name.
        distortions: Distortions to score the targets under, in addition to the undistorted targets.
        published: The paths of the board's published records, by key.
        after: Post-processing of rankings, in addition to none.
    """

    request: Request
    protocol: Protocol
    board: str
    methods: tuple[ResolvedMethod, ...]
    absent: tuple[str, ...]
    targets: tuple[str, ...]
    datasets: dict[str, SceneIndex]
    distortions: tuple[Distortion, ...]
    published: dict[str, Path]
    failed: dict[str, str] = field(default_factory=dict)
    after: tuple[NamedAfter, ...] = ()

    @property
    def source(self) -> str:
        """The name of the training dataset, of a protocol that trains."""
        return self.protocol.source

    def fitted_on_source(self, card: Card) -> bool:
        """Return ``needs_source`` under the request's protocol."""
        return needs_source(card, self.protocol)


def resolve(request: Request) -> Resolved:
    """Look up and read everything that a request names.

    Cheap checks come first, so nothing is drawn, hashed or decoded for a request that cannot run.

    Raises:
        UserError: The request cannot run. The message lists all problems that can be found before the first run starts,
            one per line.
    """
    problems = Problems()
    _check_out(request.out, problems)
    protocol = load_protocol(request.protocol, list(request.overrides))
    distortions: list[Distortion] = []
    with problems.collecting():
        distortions = parse_distortions(list(request.distortions))
    found = registry.Methods()
    with problems.collecting():
        found = registry.discover(request.plugins, strict=False)
    named = _name_methods(request, protocol, found, problems)
    after: list[NamedAfter] = []
    with problems.collecting():
        after = named_after(request.after, found.after, found.broken.values())
    kept, absent = _fitting(named, protocol)
    methods = _with_weights(kept, protocol, request.weights_folders, problems) if protocol.trains else []
    targets = tuple(protocol.data.targets if list(request.targets) == ["all"] else dict.fromkeys(request.targets))
    needed = _dataset_names([spec.card for spec in kept or named], protocol, targets)
    datasets = _read_datasets(needed, request, problems)
    present = {name: datasets[name] for name in targets if name in datasets}
    _check_targets(present, protocol, problems)
    _check_source(datasets.get(protocol.data.source or ""), problems)
    _check_after(after, present, problems)
    problems.raise_any()
    failed: dict[str, str] = {}
    if not protocol.trains:
        methods, failed = _encoders(kept, request.weights_folders)
    board = board_name(protocol)
    return Resolved(
        request=request,
        protocol=protocol,
        board=board,
        methods=tuple(methods),
        absent=tuple(absent),
        targets=targets,
        datasets=datasets,
        distortions=tuple(distortions),
        published=_read_published(request.published / board) if request.published and not request.fresh else {},
        failed=failed,
        after=tuple(after),
    )


def _check_out(out: Path, problems: Problems) -> None:
    in_the_way = next((path for path in (out, *out.parents) if path.exists() and not path.is_dir()), None)
    if in_the_way:
        problems.add(f"--out {out}: {in_the_way} is a file; name a folder")


def _name_methods(
    request: Request, protocol: Protocol, found: registry.Methods, problems: Problems
) -> list[MethodSpec]:
    if not found:
        return []
    # A user's protocol file may configure methods freely; the label shows what differs from the shipped protocol.
    usual = load_protocol(protocol.name).methods if protocol.name in shipped() else {}
    for name in sorted(set(protocol.methods) - set(found)):
        problems.add(f"methods.{name}: {suggest(name, found)}")
    if list(request.methods) == ["all"]:
        problems.lines += found.broken.values()
    names: list[str] = []
    with problems.collecting():
        names = _method_names(request.methods, found, protocol)
    methods = []
    for name in names:
        with problems.collecting():
            methods.append(registry.resolve(name, found, protocol.methods, usual))
    if len(methods) == len(names):
        _check_overrides(request, methods, found, problems)
    return methods


def _method_names(wanted: Sequence[str], found: Mapping[str, RegisteredMethod], protocol: Protocol) -> list[str]:
    """Return the methods that are meant by ``all``, by names, and by patterns such as ``jsst*``.

    Raises:
        UserError: No method matches a pattern.
    """
    # A method that needs a setting which the protocol does not give, such as timm's model, runs only if it is named.
    complete = [
        name
        for name, method in found.items()
        if not any(
            setting.is_required() and key not in protocol.methods.get(name, {})
            for key, setting in method.method_class.Settings.model_fields.items()
        )
    ]
    if list(wanted) == ["all"]:
        return complete
    names: list[str] = []
    for word in wanted:
        is_pattern = not set(":@+") & set(word) and set("*?") & set(word)
        matching = fnmatch.filter(complete, word) if is_pattern else [word]
        if not matching:
            raise UserError(f"--methods {word!r}: matches no method; list them with `rsir-bench methods`")
        names += matching
    return list(dict.fromkeys(names))


def _check_overrides(
    request: Request, methods: Sequence[MethodSpec], found: Mapping[str, Any], problems: Problems
) -> None:
    parts = {part for method in methods for part in method.parts}
    overridden = {overridden_method(override) for override in request.overrides}
    for name in found:
        if name in overridden and name not in parts:
            problems.add(f"methods.{name}: not one of the methods to run, which are {', '.join(sorted(parts))}")


def _fitting(methods: Sequence[MethodSpec], protocol: Protocol) -> tuple[list[MethodSpec], list[str]]:
    """Return the methods that the protocol supports, and the reasons why the others are left out."""
    kept, absent = [], []
    for method in methods:
        card = method.card
        if reason := _only_elsewhere(method, protocol):
            absent.append(f"{method.name}: {reason}")
        elif card.trunk is not None and card.trunk != protocol.trunk.name.split(".")[0]:
            trunk = protocol.trunk.name
            absent.append(f"{method.name}: brings its own trunk in the place of {card.trunk}; the protocol has {trunk}")
        elif card.needs_unlabelled and protocol.data.unlabelled is None:
            absent.append(f"{method.name}: needs unlabelled scenes; the protocol {protocol.name} names none")
        else:
            kept.append(method)
    return kept, absent


def _only_elsewhere(method: MethodSpec, protocol: Protocol) -> str | None:
    """Return why a method has no place under protocols of this kind, that train or that do not; None if it has."""
    kind = encoder_class(method)
    if protocol.trains:
        own_input = kind is not None and not kind.sees_protocols_scenes
        return "describes scenes at the input size of its weights; use --protocol frozen" if own_input else None
    if method.card.trained:
        return f"is trained, and {protocol.name} has no source; use a protocol that trains"
    return f"is not an encoder, and {protocol.name} has no input size" if kind is None else None


def _encoders(methods: Sequence[MethodSpec], folders: Sequence[Path]) -> tuple[list[ResolvedMethod], dict[str, str]]:
    """Return the encoders that can be built, and why others cannot, by name of the method.

    Raises:
        UserError: None can be built; the message has a line for each.
    """
    found: list[ResolvedMethod] = []
    failed: dict[str, str] = {}
    for method in methods:
        try:
            facts = encoder_facts(method, folders)
        except UserError as error:
            failed[method.name] = one_line(error)
        else:
            weights = {f"{facts.library}.weights": facts.weights}
            found.append(ResolvedMethod(named_encoder(method, facts), weights, facts.transform, facts))
    if failed and not found:
        raise UserError("\n".join(f"{name}: {reason}" for name, reason in failed.items()))
    return found, failed


def _with_weights(
    methods: Sequence[MethodSpec], protocol: Protocol, folders: Sequence[Path], problems: Problems
) -> list[ResolvedMethod]:
    @cache  # most methods start from the same file
    def file_identity(weights: str, sha256: str | None) -> str:
        return f"sha256:{file_digest(find_weights(weights, folders, sha256))}"

    resolved = []
    for method in methods:
        with problems.collecting():
            starts = weight_sources(method, protocol)
            weights = {
                name: named_weights(start) or file_identity(start.weights, start.sha256)
                for name, start in starts.items()
            }
            resolved.append(ResolvedMethod(method, weights, transform_of(protocol)))
    return resolved


def transform_of(protocol: Protocol) -> Transform:
    """Return the transform from scenes to pixels."""
    data = protocol.data
    return Transform(protocol.size, data.resize, data.bands, data.antialias)


def weight_sources(method: MethodSpec, protocol: Protocol) -> dict[str, WeightSource]:
    """Return where the initial weights of a method's networks come from, by setting."""
    starts = {
        name: WeightSource(method.settings_dict.get(f"{name.rpartition('.')[0]}.model", ""), value)
        for name, value in method.weights.items()
    }
    if method.uses_trunk:
        starts["trunk"] = method.method_class.initial_weights(method.settings, protocol.trunk)
    return starts


def named_weights(start: WeightSource) -> str:
    """Return the identity of weights that a name identifies: ``"none"``, ``"imagenet:NAME"``; empty for a file."""
    if start.weights == "none":
        return "none"
    return f"imagenet:{start.model}" if start.weights == "imagenet" else ""


def _dataset_names(cards: Sequence[Card], protocol: Protocol, targets: Sequence[str]) -> list[str]:
    names = list(targets)
    if any(card.needs_unlabelled for card in cards) and protocol.data.unlabelled:
        names.insert(0, protocol.data.unlabelled)
    of_source = protocol.data.leaked == "drop" or any(needs_source(card, protocol) for card in cards) or not cards
    if protocol.data.source is not None and of_source:
        names.insert(0, protocol.data.source)
    return list(dict.fromkeys(names))


def needs_source(card: Card, protocol: Protocol) -> bool:
    """Return whether a method needs the source's scenes, either to train or to fit principal components."""
    fitted = "source" in protocol.describe.pca_fit and any(row.kind == "pca" for row in card.rows.values())
    return card.trained or fitted


def _read_datasets(names: Sequence[str], request: Request, problems: Problems) -> dict[str, SceneIndex]:
    """Return the scenes by dataset name, or nothing if there are problems, since hashing may take minutes."""
    listings = []
    listed = list_dataset
    with problems.collecting():
        listed = partial(list_dataset, given=read_cards(request.cards)) if request.cards else list_dataset
    for name in names:
        with problems.collecting():
            listings.append(listed(name, request.data_root))
    datasets = {}
    for listing in listings if not problems.lines else ():
        with problems.collecting():
            datasets[listing.name] = index_listing(listing)
    return datasets


def _check_targets(targets: Mapping[str, SceneIndex], protocol: Protocol, problems: Problems) -> None:
    first: dict[str, str] = {}
    same: dict[str, str] = {}
    for given, index in targets.items():
        if index.several is not None and protocol.score.queries != "all":
            problems.add(
                f"score.queries={protocol.score.queries}: takes a share of each class, but scenes of {index.name} have "
                "several labels; set score.queries=all or drop this target"
            )
        chosen = choose_queries(index.labels, protocol.score.queries, protocol.score.query_seed)
        if chosen is not None and not len(chosen):
            problems.add(
                f"score.queries=fifth: no class of {index.name} has five scenes; "
                "set score.queries=all or drop this target"
            )
        # A user's folder is named after the last part of its path. Two folders with one name would be
        # indistinguishable in every table.
        if (other := first.setdefault(index.name, given)) != given:
            both = f"--targets {other},{given}: both are called {index.name}"
            problems.add(f"{both}; rename one of the folders")
        elif (other := same.setdefault(index.fingerprint, given)) != given:
            problems.add(f"--targets {other},{given}: both are the same scenes; name one of them")


def _check_source(source: SceneIndex | None, problems: Problems) -> None:
    if source is not None and source.several is not None:
        classes = source.card.scenes_of if source.card and source.card.scenes_of else "a dataset of classes"
        problems.add(
            f"data.source={source.name}: its scenes have several labels, but methods train on classes; use {classes}"
        )


def _check_after(after: Sequence[NamedAfter], targets: Mapping[str, SceneIndex], problems: Problems) -> None:
    for one in after:
        for index in targets.values():
            if why := one.processing.too_small(len(index)):
                problems.add(f"--after {one}: {why}, and {index.name} has {len(index):,}; give smaller values")


def _read_published(folder: Path) -> dict[str, Path]:
    published = {}
    for path in record_files(folder):
        for record in read_each([path], log):  # a damaged one is made again
            if record.origin is None:  # what others have made is not done here
                published[record.key] = path
    return published
