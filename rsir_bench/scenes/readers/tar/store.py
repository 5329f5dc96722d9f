"""Read scenes from tar shards, each from its place there."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rsir_bench.scenes.readers.shards import Shard, Shards
from rsir_bench.scenes.readers.tar.members import Member
from rsir_bench.scenes.reading.content import check_length
from rsir_bench.scenes.reading.store import State
from rsir_bench.scenes.reading.unreadable import DamagedError


@dataclass(frozen=True)
class Place:
    """Where a scene is."""

    shard: Shard
    member: Member


class TarStore:
    """The scenes of tar shards; a path is a shard's name and a member's.

    Args:
        shards: The shards.
        places: Where each scene is, by its path.
    """

    def __init__(self, shards: Shards, places: Mapping[str, Place]) -> None:
        self.root: Path = shards.root
        self._title = shards.title
        self._order = {shard.name: number for number, shard in enumerate(shards.files)}
        self._places = places

    @property
    def identity(self) -> bytes:
        """The shards' folder without links, and which of them."""
        return b"tar:" + os.fsencode(self.root.resolve()) + b"\0" + os.fsencode(self._title)

    def read(self, path: str) -> bytes:
        """Return the bytes of a scene's file.

        Raises:
            SceneError: The shard has changed.
            UnreadableError: The shard is cut off here, or the scene has more bytes than any.
        """
        place = self._places[path]
        with place.shard.open() as stream:
            return content_of(stream, place.member)

    def states(self, paths: Sequence[str]) -> dict[str, State]:
        """Return the state that each scene's shard had when it was found; others are never read."""
        return {path: self._places[path].shard.state for path in paths}

    def reading_order(self, paths: Sequence[str]) -> list[int]:
        """Return the positions of all paths in the order of shards and bytes."""
        places = [self._places[path] for path in paths]
        starts = [(self._order[place.shard.name], place.member.start) for place in places]
        return sorted(range(len(paths)), key=starts.__getitem__)


def content_of(stream: BinaryIO, member: Member) -> bytes:
    """Return the bytes of a member.

    Raises:
        DamagedError: The tar is cut off in it.
        RefusedError: It has more bytes than the file of any scene.
    """
    check_length(member.size)
    stream.seek(member.start)
    content = stream.read(member.size)
    if len(content) < member.size:
        raise DamagedError(f"cut off: {len(content):,} bytes of {member.size:,}")
    return content
