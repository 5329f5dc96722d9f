"""Keys: what changes a network, descriptors or a result, as explicit lists and their digests. Pure functions.

Device, threads, folders and the number of workers are in no key: they change a result by rounding only. A new setting
is left out of its list while it has its default, so that the keys of published records stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from rsir_bench.base.files import digest
from rsir_bench.method import Row
from rsir_bench.method.postprocessing import NamedAfter
from rsir_bench.ranking import METRIC_VERSION
from rsir_bench.runs.resolve import Resolved, ResolvedMethod
from rsir_bench.scenes.card import load_cards
from rsir_bench.scenes.decode import PADDING_VERSION
from rsir_bench.scenes.distortions import DISTORTION_VERSION, Distortion
from rsir_bench.scenes.index import SceneIndex
from rsir_bench.scenes.pixel_cache import Transform

# Raise when the training loop, or the way descriptors are made, changes results.
TRAINING_VERSION = 1
DESCRIBING_VERSION = 1

Fit = Literal["source", "target"]


@dataclass(frozen=True)
class RowOnTarget:
    """Which result is meant, within a run.

    Attributes:
        row_name: As in the tables.
        row: How it is made.
        fit: For a PCA row, the dataset the components are fitted on.
        target: The dataset's name.
        distortion: How the target's scenes are distorted; None: they are taken as they are.
        after: How the rankings are post-processed; None: not at all.
    """

    row_name: str
    row: Row
    fit: Fit | None
    target: str
    distortion: Distortion | None
    after: NamedAfter | None


def scenes_as_read(index: SceneIndex, transform: Transform) -> str | list[Any]:
    """Return what of a dataset changes its pixels: the scenes, and what its card says of bands and values.

    Most cards say nothing, and their datasets are known by the fingerprint alone.
    """
    read: list[Any] = [transform.kept_bands(index), index.value_range]
    if index.given_bands is not None:  # they change what the first three bands are: of CMYK, say
        read.append(index.given_bands)
    if transform.fit == "pad":
        read.append({"padding": PADDING_VERSION})
    return index.fingerprint if read == [(0, 1, 2), None] else [index.fingerprint, *read]


def run_key(resolved: Resolved, method: ResolvedMethod, seed: int) -> str:
    """Return the digest of everything that changes the trained network."""
    return digest(training_settings(resolved, method, seed))


def plain_key(resolved: Resolved, method: ResolvedMethod, seed: int) -> str:
    """Return the digest of everything but the code that changes the trained network."""
    settings = training_settings(resolved, method, seed)
    return digest({name: value for name, value in settings.items() if name != "code"})


def training_settings(resolved: Resolved, method: ResolvedMethod, seed: int) -> dict[str, Any]:
    """Return the explicit list of what changes a trained network."""
    if method.encoder is not None:
        return _encoder_settings(method, seed)
    protocol, everything = resolved.protocol, resolved.protocol.identity()
    named = {name: value for name, value in method.weights.items() if name != "trunk"}
    settings = {
        "training_version": TRAINING_VERSION,
        "method": method.spec.name,
        "values": method.spec.non_default | named,
        "card": method.card.version,
        "seed": seed,
        "pixels": [protocol.data.size, protocol.data.resize, protocol.data.bands],
    }
    if method.spec.own_code:  # what ships is known by its versions
        settings["code"] = method.spec.own_code
    if not protocol.data.antialias:
        settings["antialias"] = False
    if method.spec.uses_trunk:
        settings["head"] = everything.get("head")
        settings["trunk"] = everything["trunk"] | {"weights": method.weights["trunk"]}
    if method.card.trained:
        settings["train"] = everything["train"]
        settings |= _trained_on(resolved, method)
    return settings


def _encoder_settings(method: ResolvedMethod, seed: int) -> dict[str, Any]:
    """Return the explicit list of what changes an encoder; where its weights came from is not in it."""
    assert method.encoder is not None
    fronts = method.spec.name.partition(":")[0].split("+")[:-1]
    values = {name: value for name, value in method.spec.non_default.items() if name.partition(".")[0] in fronts}
    settings: dict[str, Any] = {"encoder": method.encoder.identity(), "card": method.spec.card.version}
    if fronts:
        settings |= {"front ends": fronts, "values": values}
    if method.encoder.weights == "none":
        settings["seed"] = seed
    if method.spec.own_code:
        settings["code"] = method.spec.own_code
    return settings


def _trained_on(resolved: Resolved, method: ResolvedMethod) -> dict[str, Any]:
    data, source = resolved.protocol.data, resolved.datasets[resolved.source]
    found: dict[str, Any] = {"source": scenes_as_read(source, method.transform)}
    if classes := _unsorted(source):  # it draws scenes and a classifier's weights by their order
        found["classes"] = classes
    if method.card.needs_unlabelled and data.unlabelled:
        pool = resolved.datasets[data.unlabelled]
        found["unlabelled"] = scenes_as_read(pool, method.transform)
        if classes := _unsorted(pool):  # its scenes come in their order
            found["unlabelled classes"] = classes
    return found


def _unsorted(index: SceneIndex) -> list[str]:
    """Return the classes in their order; empty if that is the alphabet's."""
    classes = list(index.classes)
    return [] if classes == sorted(classes, key=str.casefold) else classes


def _given_order(index: SceneIndex) -> list[str]:
    """Return the order of classes, which is that of rows, noise and chosen queries, where a user's card changes it.

    Empty in the order of the installed card and, where there is none, in alphabetical order, as that of any folder.
    """
    classes, card = list(index.classes), load_cards().get(index.name) if index.card else None
    usual = [known.name for known in card.classes] if card else sorted(classes)
    return [] if classes == usual else classes


def _other_precision(resolved: Resolved) -> list[str]:
    precision = resolved.protocol.describe.precision
    return [] if precision == "32" else [precision]


def components_key(resolved: Resolved, method: ResolvedMethod, descriptor: str) -> str:
    """Return the digest of what changes the source-fitted components of a descriptor, within a run."""
    source = scenes_as_read(resolved.datasets[resolved.source], method.transform)
    return digest([DESCRIBING_VERSION, source, descriptor, *_other_precision(resolved)])


def descriptors_key(resolved: Resolved, method: ResolvedMethod, run: str, wanted: RowOnTarget) -> str:
    """Return the digest of everything that changes the descriptors of a row on a target.

    Args:
        resolved: The request.
        method: The method.
        run: The run's key.
        wanted: Row and target.
    """
    datasets, transform = resolved.datasets, method.transform
    described = {
        "describing_version": DESCRIBING_VERSION,
        "run": run,
        "target": scenes_as_read(datasets[wanted.target], transform),
        "row": wanted.row.model_dump(exclude={"paper"}, exclude_defaults=True),
        "pca": [resolved.protocol.describe.pca, wanted.fit] if wanted.fit else None,
        "fitted on": scenes_as_read(datasets[resolved.source], transform) if wanted.fit == "source" else None,
    }
    if other := _other_precision(resolved):
        described["precision"] = other
    if classes := _given_order(datasets[wanted.target]):
        described["classes"] = classes
    if wanted.distortion is not None:
        described["distortion"] = [str(wanted.distortion), DISTORTION_VERSION]
    return digest(described)


def result_key(resolved: Resolved, method: ResolvedMethod, descriptors: str, wanted: RowOnTarget) -> str:
    """Return the digest of everything that changes a result, or where it appears.

    Args:
        resolved: The request.
        method: The method.
        descriptors: Their key.
        wanted: Row and target.
    """
    protocol = resolved.protocol
    scored = {
        "descriptors": descriptors,
        "metrics": METRIC_VERSION,
        "score": protocol.score.model_dump(exclude_defaults=True),
    }
    if protocol.data.leaked == "drop":
        from rsir_bench.scenes.inspect.duplicates import AUDIT_VERSION  # its packages are needed in this case only

        source = resolved.datasets[resolved.source]
        scored["leaked"] = [AUDIT_VERSION, scenes_as_read(source, method.transform)]
    if wanted.after is not None:
        processing = wanted.after.processing
        scored["after"] = [str(processing), processing.version, wanted.after.own_code]
    # The board is part of a result's identity: the same figure under another protocol is another result.
    return digest(scored | {"protocol": protocol.hash, "name": wanted.row_name, "label": method.spec.label})
