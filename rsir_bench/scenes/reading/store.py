"""Where the bytes of a dataset's scenes are: in files of a folder, or in shards that hold many of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rsir_bench.base.errors import SceneError
from rsir_bench.scenes.reading.content import read_content

State = tuple[int, int, int, int]
"""Size in bytes, time of the last change in ns, number of the inode, time of its last change in ns."""


class SceneStore(Protocol):
    """The scenes of a dataset by their paths: texts with ``/`` whose last part is the name of the scene's file."""

    @property
    def root(self) -> Path:
        """What the paths start from."""
        ...

    @property
    def identity(self) -> bytes:
        """What tells the store from others on this machine."""
        ...

    def read(self, path: str) -> bytes:
        """Return the bytes of a scene's file; several threads may ask at once.

        Raises:
            OSError: It cannot be opened.
            UnreadableError: It is damaged, no regular file, or larger than any scene.
        """
        ...

    def states(self, paths: Sequence[str]) -> dict[str, State]:
        """Return, by path, the state of the file that holds each scene.

        Raises:
            SceneError: One is missing or cannot be looked at.
        """
        ...

    def reading_order(self, paths: Sequence[str]) -> list[int]:
        """Return the positions of all paths in the order in which reading them takes the least time."""
        ...


@dataclass(frozen=True)
class FolderStore:
    """Scenes in files of their own; ``root`` is the folder that their paths start from."""

    root: Path

    @property
    def identity(self) -> bytes:
        """The folder's path without links."""
        return os.fsencode(self.root.resolve())

    def read(self, path: str) -> bytes:
        """Return the bytes of a file, as ``read_content`` does."""
        return read_content(self.root / path)

    def states(self, paths: Sequence[str]) -> dict[str, State]:
        """Return the state of each file, by path.

        Raises:
            SceneError: One is missing or cannot be looked at.
        """
        return dict(zip(paths, states_of([f"{self.root}/{path}" for path in paths], self.root), strict=True))

    def reading_order(self, paths: Sequence[str]) -> list[int]:
        """Return the positions as they are: no order of files is known to be faster."""
        return list(range(len(paths)))


def states_of(files: Sequence[str], root: Path) -> list[State]:
    """Return size, times and inode of each file.

    Args:
        files: The files; texts, as making 30,000 Paths takes longer than this.
        root: The dataset, for messages.

    Raises:
        SceneError: One is missing or cannot be looked at.
    """
    try:
        stats = [os.stat(file) for file in files]  # noqa: PTH116
    except OSError as error:
        raise SceneError(f"cannot read {error.filename}: {error.strerror}; restore the scenes of {root}") from error
    return [state_of(found) for found in stats]


def state_of(found: os.stat_result) -> State:
    """Return what of a file's status tells whether it has changed."""
    return found.st_size, found.st_mtime_ns, found.st_ino, found.st_ctime_ns
