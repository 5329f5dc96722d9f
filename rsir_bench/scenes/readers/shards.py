"""The shards of a dataset: the files that hold many scenes each."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from rsir_bench.base.errors import SceneError
from rsir_bench.base.text import first_few
from rsir_bench.scenes.folders import SEARCH_DEPTH, endings_in_words, walk_files
from rsir_bench.scenes.reading.content import open_regular
from rsir_bench.scenes.reading.store import State, state_of
from rsir_bench.scenes.reading.unreadable import UnreadableError

MOST_SCENES = 2_000_000
"""Rows or members of a dataset: more are refused before memory runs out."""

PART_DEPTH = 2
"""How deep the shards of a part are looked for: the path may be mistaken, and the folder above it hold anything."""

LONGEST_NAME = 1000
"""Characters of a scene's file name or of a class name."""

SPLITS = (
    *("train", "training", "val", "valid", "validation", "dev", "test", "testing", "eval", "query", "gallery"),
    *("unlabeled", "unlabelled", "unsupervised"),
)
"""Words in the names of shards and of their folders that are named as parts of the dataset."""


@dataclass(frozen=True)
class Shard:
    """A file of many scenes.

    Attributes:
        name: Its path below the dataset's folder, with ``/``.
        path: The file.
        state: Its state when it was found.
    """

    name: str
    path: Path
    state: State

    @classmethod
    def found(cls, root: Path, name: str) -> Shard:
        """Return the shard of a name below a folder.

        Raises:
            SceneError: It cannot be opened, or is no regular file.
        """
        path = root / name
        with _opened(path) as stream:
            return cls(name, path, state_of(os.fstat(stream.fileno())))

    def open(self) -> BinaryIO:
        """Open the very file that was found: the rows of another one could be other scenes.

        Raises:
            SceneError: It is gone, or has changed.
        """
        stream = _opened(self.path)
        if state_of(os.fstat(stream.fileno())) != self.state:
            stream.close()
            raise SceneError(f"{self.path}: changed since its scenes were listed; run the command again")
        return stream

    @property
    def split(self) -> str:
        """The part of the dataset that the name says it is of, such as ``train``; empty if it says none."""
        found = [word for word in _words(self.name) if word in SPLITS]
        return found[-1] if found else ""


@dataclass(frozen=True)
class Shards:
    """The shards of a dataset, ordered by name.

    Attributes:
        kind: Their ending: ``.parquet`` or ``.tar``.
        root: The folder that their names start from.
        title: What the dataset is called after: its folder, or its only file, with the part that was asked for.
        files: The shards.
    """

    kind: str
    root: Path
    title: str
    files: tuple[Shard, ...]

    def split_note(self) -> list[str]:
        """Return a note on the parts of the dataset, where there are several."""
        splits = list(dict.fromkeys(shard.split for shard in self.files if shard.split))
        if len(splits) < 2:
            return []
        return [f"all of {', '.join(splits)} are taken; {self.kind[1:]}:PATH/{splits[-1]} takes one part"]


def find_shards(place: Path, kind: str) -> Shards:
    """Return the shards that a path means.

    Args:
        place: A shard, a folder with shards at any depth, or such a folder followed by a word that the names of the
            wanted shards, or of folders above them, have: ``PATH/test`` for ``test-00000-of-00002.parquet``.
        kind: Their ending: ``.parquet`` or ``.tar``.

    Raises:
        SceneError: There is nothing of that name, or no shard in it.
    """
    named, remedy = f"{kind[1:]}:{place}", f"give a {kind} file or a folder of such files"
    if place.is_file():
        if not place.name.lower().endswith(kind):
            raise SceneError(f"{named}: its name does not end with {kind}; {remedy}")
        return Shards(kind, place.parent, place.stem, (Shard.found(place.parent, place.name),))
    root, word = (place, "") if place.is_dir() else (place.parent, place.name.casefold())
    names, others = _names(root, kind, PART_DEPTH if word else SEARCH_DEPTH) if root.is_dir() else ([], Counter[str]())
    if word and not names:
        raise SceneError(f"{named}: no such file or folder; {remedy}")
    kept = [name for name in names if not word or word in _words(name)]
    if word and not kept:
        there = f"of the {kind} files of {root}, none has {word!r} in its name: {first_few(names)}"
        raise SceneError(f"{named}: no such file or folder; {there}")
    if not kept:
        there = endings_in_words(others) if others else "nothing"
        raise SceneError(f"{named}: no {kind} file in it, but {there}; name the folder of the {kind} files")
    title = root.resolve().name + (f"-{place.name}" if word else "")
    return Shards(kind, root, title, tuple(Shard.found(root, name) for name in kept))


def _names(root: Path, kind: str, depth: int) -> tuple[list[str], Counter[str]]:
    """Return the shards below a folder, by their paths relative to it, and the endings of its other files."""
    names, others = [], Counter[str]()
    for walked in walk_files(root, depth):
        for name in (*walked.scenes, *walked.others):
            if name.lower().endswith(kind):
                names.append(str(walked.folder / name))
            else:
                others[PurePosixPath(name).suffix.lower() or "no ending"] += 1
    return sorted(names), others


def _opened(path: Path) -> BinaryIO:
    try:
        return open_regular(path)
    except UnreadableError as error:
        raise SceneError(f"{path}: {error}") from error
    except OSError as error:
        raise SceneError(f"{path}: cannot be opened ({error.strerror}); restore it or its permissions") from error


def _words(name: str) -> list[str]:
    """Return the words of a shard's path without its ending, in lower case: ``fold1-02`` is fold1, fold and 02."""
    words = re.findall(r"[^\W_]+", name.rpartition(".")[0].casefold())
    return [part for word in words for part in dict.fromkeys((word, word.rstrip("0123456789"))) if part]
