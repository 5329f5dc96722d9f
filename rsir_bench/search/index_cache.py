"""Indices on disk: whole, or built again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss

from rsir_bench.base.files import is_intact, seal_of, write_sealed


def kept_index(path: Path, binary: bool, build: Callable[[], Any], say: Callable[[str], object]) -> Any:
    """The index in the file, or a new one that is kept there.

    Args:
        path: Named after everything that changes the index.
        binary: Whether it is one of codes, which faiss reads and writes in another way.
        build: Makes it.
        say: Told if the file is damaged.

    Raises:
        UserError: The file cannot be written.
    """
    if path.is_file():
        if seal_of(path).is_file() and is_intact(path):
            return (faiss.read_index_binary if binary else faiss.read_index)(str(path))
        say(f"{path}: damaged; building the index again")
    index = build()
    write = faiss.write_index_binary if binary else faiss.write_index
    write_sealed(path, lambda unfinished: write(index, str(unfinished)))
    return index
