"""Facts about an encoder before it describes anything: its weights, its input, its pooling.

To know the weights, the network is built once and its tensors are hashed. The outcome is kept in the cache folder until
a file that the weights came from changes, so that a finished board is planned without building a network.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rsir_bench.base.files import digest, write_text
from rsir_bench.base.text import number_text
from rsir_bench.encoders.backbone import Backbone
from rsir_bench.encoders.encoder import Encoder, pooling_name
from rsir_bench.encoders.fetching import find_file, find_folder
from rsir_bench.encoders.input import Input
from rsir_bench.encoders.settings import EncoderSettings
from rsir_bench.encoders.tensors import NONE, identity_of
from rsir_bench.scenes.cache_folder import kept_at, written_at
from rsir_bench.scenes.pixel_cache import Transform

ENCODER_VERSION = 1
"""Raised when an encoder of the same weights and settings gives other descriptors."""

FACTS_VERSION = 2
LIBRARIES = {
    "timm": ("from_timm", ("timm",)),
    "hf": ("from_transformers", ("transformers",)),
    "open_clip": ("from_open_clip", ("open_clip_torch", "timm")),
    "torchgeo": ("from_torchgeo", ("torchgeo", "timm")),
}
"""The module that builds the encoders of a library, and the distributions that it rests on."""

CACHES = ("HOME", "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE", "TORCH_HOME")
"""What says where libraries keep the weights that they download."""

SHOWN = 8  # digits of a hash in a name


@dataclass(frozen=True)
class EncoderFacts:
    """An encoder as keys, records and tables know it.

    Attributes:
        library: ``"timm"``, ``"hf"``, ``"open_clip"`` or ``"torchgeo"``.
        model: See ``Backbone``.
        weights: ``"none"``, or ``"tensors:"`` and their digest.
        input: What it sees.
        pooling: How its last layer is pooled, as tables print it.
        changes: The settings that differ from the weights' configuration, by name.
        arguments: Further arguments of its constructor.
        configuration: See ``Backbone``.
    """

    library: str
    model: str
    weights: str
    input: Input
    pooling: str
    changes: dict[str, Any] = field(default_factory=dict)
    arguments: dict[str, Any] = field(default_factory=dict)
    configuration: str = ""

    @property
    def transform(self) -> Transform:
        """How a scene becomes pixels."""
        return self.input.transform

    @property
    def name(self) -> str:
        """What tables call it: the model, the first digits of the digests of its weights, and what was changed.

        Where the weights came from plays no part.
        """
        weights = self.weights.removeprefix("tensors:")[:SHOWN]
        changes = "".join(f":{key}={_word(value)}" for key, value in sorted(self.changes.items()))
        configuration = f"-{self.configuration[:SHOWN]}" if self.configuration else ""
        return f"{self.library}:{self.model}@{weights}{configuration}{changes}"

    def identity(self) -> dict[str, Any]:
        """Return everything that changes its descriptors, as plain values."""
        about = {"library": self.library, "model": self.model, "weights": self.weights, "pooling": self.pooling}
        known = {**about, "version": ENCODER_VERSION, "input": self.input.plain(), "arguments": self.arguments}
        return known | ({"configuration": self.configuration} if self.configuration else {})

    def is_built_as(self, other: EncoderFacts) -> bool:
        """Return whether weights, configuration and input are those of other facts."""
        return (self.weights, self.configuration, self.input) == (other.weights, other.configuration, other.input)

    def settings(self) -> dict[str, Any]:
        """Return the settings in force, by ``library.key``, for the record."""
        values = {"model": self.model, "pooling": self.pooling, **self.input.plain(), "arguments": self.arguments}
        return {f"{self.library}.{key}": value for key, value in values.items()}


def _word(value: Any) -> str:
    return number_text(value) if isinstance(value, float) else str(list(value) if isinstance(value, tuple) else value)


def find_facts(library: str, settings: EncoderSettings, folders: Sequence[Path]) -> EncoderFacts:
    """Return the facts about an encoder; build it if they are not cached.

    Args:
        library: Of ``LIBRARIES``.
        settings: Of the encoder.
        folders: Folders in which a file of weights is searched, after the path as given.

    Raises:
        UserError: It cannot be built; the line says what to do.
    """
    place = _place(library, settings, folders)
    if (kept := _kept(*place)) is not None:
        return kept
    backbone, input, changes = _opened(library, settings, folders)
    return _keep(place, _known(library, settings, backbone, input, changes), backbone.files)


def own_tensors(model: str, *, build: bool) -> str | None:
    """Return what timm's own weights of a model are known by: ``"tensors:"`` and their digest.

    Args:
        model: timm's name.
        build: Build the network, which fetches the weights, where they are not known yet.

    Returns:
        None without ``build``, unless the weights are in the cache and were known once.

    Raises:
        UserError: The network cannot be built.
    """
    settings = EncoderSettings(model=model, size=224)  # a size, since the weights' own need not be a square
    place = _place("timm", settings, ())
    if (kept := _kept(*place)) is not None:
        return kept.weights
    if not build and not _can_be_known_again(*place):
        return None
    return find_facts("timm", settings, ()).weights


def build_encoder(
    library: str,
    settings: EncoderSettings,
    bands: int,
    limits: tuple[float, float] | None,
    folders: Sequence[Path],
) -> tuple[Encoder, EncoderFacts]:
    """Return an encoder, ready for scenes, and the facts about it as it was built.

    Args:
        library: Of ``LIBRARIES``.
        settings: Of the encoder.
        bands: Bands of a scene.
        limits: The stored values that become 0 and 1; None: those of 8 bits.
        folders: Folders in which a file of weights is searched, after the path as given.

    Raises:
        UserError: It cannot be built; the line says what to do.
    """
    backbone, input, changes = _opened(library, settings, folders)
    facts, place = _known(library, settings, backbone, input, changes), _place(library, settings, folders)
    if _kept(*place) != facts:  # of files that the library no longer reads
        _keep(place, facts, backbone.files)
    if input.size != backbone.input.size:
        backbone.resize(input.size)
    return Encoder(backbone, input, bands, facts.pooling, limits), facts


def _opened(library: str, settings: EncoderSettings, folders: Sequence[Path]) -> tuple[Backbone, Input, dict[str, Any]]:
    """Return the network, its input, and the settings that differ from its weights' configuration."""
    module, _ = LIBRARIES[library]
    backbone: Backbone = import_module(f"rsir_bench.encoders.{module}").open_backbone(settings, folders)
    input, changes = backbone.input.changed(settings)
    if pooling_name(backbone, settings.pooling) != backbone.pooling:
        changes["pooling"] = settings.pooling
    return backbone, input, changes | dict(getattr(settings, "arguments", {}))


def _known(
    library: str, settings: EncoderSettings, backbone: Backbone, input: Input, changes: dict[str, Any]
) -> EncoderFacts:
    return EncoderFacts(
        library=library,
        model=backbone.model,
        weights=identity_of(backbone.network, settings.weights),
        input=input,
        pooling=pooling_name(backbone, settings.pooling),
        changes=changes,
        arguments=dict(getattr(settings, "arguments", {})),
        configuration=backbone.configuration,
    )


def _place(library: str, settings: EncoderSettings, folders: Sequence[Path]) -> tuple[str, str]:
    """Return where the facts are kept, below the cache folder: by all that leads to the files of the weights."""
    named = settings.model_dump(mode="json")
    if settings.weights not in (NONE, "own", "imagenet"):
        named["weights"] = str(find_file(settings.weights, folders).resolve())
    if library == "hf" and (folder := find_folder(settings.model, folders)) is not None:
        named["model"] = str(folder.resolve())
    _, distributions = LIBRARIES[library]
    versions = {name: _version(name) for name in ("torch", *distributions)}
    caches = {name: os.environ.get(name) for name in CACHES}
    return "encoders", f"{digest([FACTS_VERSION, ENCODER_VERSION, library, named, versions, caches])}.json"


def _keep(place: tuple[str, str], facts: EncoderFacts, files: Sequence[Path] | None) -> EncoderFacts:
    """Write down facts until one of the files changes, and return them; nothing is written where no files are known."""
    if files is not None:
        content = {"facts": {**asdict(facts), "input": facts.input.plain()}, "files": [_state(path) for path in files]}
        write_text(written_at(*place), json.dumps(content))
    return facts


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # reported when the encoder is built
        return "none"


def _kept(*place: str) -> EncoderFacts | None:
    """Return the cached facts; None if there are none, or if a file of the weights has changed."""
    for path in kept_at(*place):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if all(_state(Path(known[0])) == known for known in content["files"]):
                return _read(content["facts"])
        except (OSError, ValueError, TypeError, LookupError):  # not there, or damaged: the encoder is built
            continue
    return None


def _can_be_known_again(*place: str) -> bool:
    """Return whether facts were kept, and the files that they are about are still there, if with other content."""
    for path in kept_at(*place):
        with suppress(OSError, ValueError, TypeError, LookupError):
            return all(Path(known[0]).is_file() for known in json.loads(path.read_text(encoding="utf-8"))["files"])
    return False


def _read(facts: dict[str, Any]) -> EncoderFacts:
    changes = {key: tuple(value) if key in ("mean", "std") else value for key, value in facts["changes"].items()}
    return EncoderFacts(**{**facts, "input": Input.of(facts["input"]), "changes": changes})


def _state(path: Path) -> list[Any]:
    """Return a file's path, and what changes when it is replaced or written to.

    Raises:
        OSError: It is not there.
    """
    state = path.stat()
    return [str(path), state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]
