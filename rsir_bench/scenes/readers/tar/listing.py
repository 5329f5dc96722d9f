"""List the scenes of tar shards as WebDataset writes them: ``KEY.jpg``, and its label in ``KEY.cls`` or the like."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

from rsir_bench.base.errors import SceneError
from rsir_bench.base.text import decode
from rsir_bench.scenes.decode import SCENE_SUFFIXES
from rsir_bench.scenes.folders import endings_in_words
from rsir_bench.scenes.readers.labels import Label, LabelledScenes, Labels, alike_notes, sort_by_labels, why_unfit
from rsir_bench.scenes.readers.settings import SETTINGS_FILE, FolderSettings
from rsir_bench.scenes.readers.shards import MOST_SCENES, Shard, Shards
from rsir_bench.scenes.readers.tar.members import Member, members_of
from rsir_bench.scenes.readers.tar.store import Place, TarStore, content_of
from rsir_bench.scenes.reading.unreadable import DamagedError, RefusedError, UnreadableError

KINDS = ("cls", "json", "txt")
"""Endings of labels. The first that a dataset has counts, for all of its scenes."""

FIELDS = ("label", "labels")
"""Fields of the label in a JSON object."""

LONGEST_LABEL = 2**20
"""Bytes of a member that holds a label."""

MOST_MEMBERS = 3 * MOST_SCENES


@dataclass
class _Sample:
    """The members of one key."""

    scene: Member | None = None
    labels: dict[str, Member] = field(default_factory=dict)


@dataclass
class _Found:
    """The samples of all shards by key, and what else is in them."""

    samples: dict[Shard, dict[str, _Sample]] = field(default_factory=dict)
    others: Counter[str] = field(default_factory=Counter)
    members: int = 0

    def add(self, shard: Shard, members: Iterable[Member]) -> None:
        """Sort the members of a shard by their keys.

        Raises:
            RefusedError: There are too many, a name is not fit, or two are the same part of one sample.
        """
        samples = self.samples.setdefault(shard, {})
        for member in members:
            self.members += 1
            if self.members > MOST_MEMBERS:
                raise RefusedError(f"more than {MOST_MEMBERS:,} members with those before it; name fewer shards")
            if why := why_unfit(member.name):
                raise RefusedError(f"the name of its member {member.name[:40]!r} {why}; write the tar again")
            parts = _parts(member.name)
            if member.name.startswith("/") or ".." in parts:
                raise RefusedError(f"its member {member.name!r} is a path outside; write the tar again")
            if not any(part.startswith(".") or part == "__MACOSX" for part in parts):
                self._add(samples, parts, member)

    def _add(self, samples: dict[str, _Sample], parts: Sequence[str], member: Member) -> None:
        *folders, name = parts
        stem, _, ending = name.partition(".")
        ending = ending.lower()
        is_scene = f".{ending}" in SCENE_SUFFIXES
        if not is_scene and ending not in KINDS:
            self.others[f".{ending}" if ending else "no ending"] += 1
            return
        sample = samples.setdefault("/".join([*folders, stem]), _Sample())
        if sample.scene is not None if is_scene else ending in sample.labels:
            what = "a second scene" if is_scene else f"a second .{ending}"
            raise RefusedError(f"its member {member.name!r} is {what} of one key; give each scene a key of its own")
        if is_scene:
            sample.scene = member
        else:
            sample.labels[ending] = member


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in ("", ".")]


def list_tar(shards: Shards, settings: FolderSettings, dataset: str) -> LabelledScenes:
    """Return the scenes of shards by class; only heads and labels are read.

    Args:
        shards: The shards.
        settings: Of the dataset.
        dataset: For messages.

    Raises:
        SceneError: A shard is damaged, has links or devices among its members, or scenes and labels do not match; or a
            label is missing or unknown.
    """
    found = _Found()
    for shard in shards.files:
        with _reading(shard), shard.open() as stream:
            found.add(shard, members_of(stream, shard.state[0]))
    kind = _kind(found, settings, dataset)
    places: dict[str, Place] = {}
    scenes: list[tuple[str, Labels]] = []
    for shard, samples in found.samples.items():
        with _reading(shard), shard.open() as stream:
            for key, sample in samples.items():
                if sample.scene is None:
                    raise RefusedError(f"the label {key!r} has no scene; remove it, or get the shard again")
                path = "/".join([shard.name, *_parts(sample.scene.name)])
                places[path] = Place(shard, sample.scene)
                scenes.append((path, _label(stream, kind, sample.labels.get(kind), settings)))
    sorted_scenes = sort_by_labels(scenes, settings.class_names, dataset, shards.root)
    notes = [*shards.split_note(), *alike_notes(sorted_scenes.files)]
    if found.others:
        notes.append(f"left out by file extension: {endings_in_words(found.others)}")
    store, table = TarStore(shards, places), sorted_scenes.table
    return LabelledScenes(store, sorted_scenes.files, tuple(notes), sorted_scenes.named, table)


@contextmanager
def _reading(shard: Shard) -> Iterator[None]:
    """Name the shard of an error.

    Raises:
        SceneError: The block cannot read it.
    """
    try:
        yield
    except UnreadableError as error:
        raise SceneError(f"{shard.path}: {error}") from error
    except OSError as error:
        raise SceneError(f"{shard.path}: cannot be read ({error.strerror}); restore it") from error


def _kind(found: _Found, settings: FolderSettings, dataset: str) -> str:
    """Return the ending of the labels.

    Raises:
        SceneError: There is no scene or no label, or no JSON where the settings name a field.
    """
    samples = [sample for of_shard in found.samples.values() for sample in of_shard.values()]
    there = {kind for sample in samples for kind in sample.labels}
    if not any(sample.scene for sample in samples):
        endings = f"; its members: {endings_in_words(found.others)}" if found.others else ""
        raise SceneError(f"{dataset}: no scene in it{endings}; a scene is KEY.jpg, KEY.png or the like")
    if settings.label is not None and "json" not in there:
        raise SceneError(f"{dataset}: label = {settings.label!r} in {SETTINGS_FILE}, but there is no .json; remove it")
    wanted = KINDS if settings.label is None else ("json",)
    kind = next((kind for kind in wanted if kind in there), None)
    if kind is None:
        remedy = "unpack it and give folder:PATH if its folders are the classes"
        raise SceneError(f"{dataset}: {len(samples):,} scenes and no label (KEY.cls, KEY.json or KEY.txt); {remedy}")
    return kind


def _label(stream: BinaryIO, kind: str, member: Member | None, settings: FolderSettings) -> Labels:
    """Return the label in a member; None if it is empty or missing.

    Raises:
        DamagedError: It is no text, or no JSON.
        RefusedError: It is too long, or is neither a number nor a text.
    """
    if member is None:
        return None
    if member.size > LONGEST_LABEL:
        raise RefusedError(f"its member {member.name!r} has {member.size:,} bytes, too many for a label")
    try:
        text = decode(content_of(stream, member)).strip()
        return _field(member, json.loads(text), settings) if kind == "json" else _word(text, kind, settings)
    except (ValueError, RecursionError) as error:
        if isinstance(error, UnreadableError):
            raise
        raise DamagedError(f"its member {member.name!r} is not {'JSON' if kind == 'json' else 'text'}") from None


def _word(text: str, kind: str, settings: FolderSettings) -> Label:
    """Return the class of a text: its number where ``.cls`` holds one, or the classes have names."""
    counts = kind == "cls" or settings.class_names is not None
    return int(text) if counts and re.fullmatch("-?(0|[1-9][0-9]{0,17})", text) else text or None


def _field(member: Member, value: object, settings: FolderSettings) -> Labels:
    """Return the label or labels of a JSON value: a field of an object, or the value itself."""
    if isinstance(value, dict):
        fields = [settings.label] if settings.label else [name for name in FIELDS if name in value]
        if not fields or fields[0] not in value:
            known = ", ".join(map(repr, list(value)[:10])) or "none"
            missing = f"no field {fields[0] if fields else FIELDS[0]!r}"
            remedy = f'set label = "FIELD" in {SETTINGS_FILE}'
            raise RefusedError(f"its member {member.name!r} has {missing}; its fields: {known}; {remedy}")
        value = value[fields[0]]
    if isinstance(value, list):
        return [_one(member, each) for each in value]
    return _one(member, value)


def _one(member: Member, value: object) -> Label:
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, str))):
        raise RefusedError(f"the label in its member {member.name!r} is neither a whole number nor a text")
    return value
