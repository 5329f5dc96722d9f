"""On-disk cache of faiss indexes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss

from rsir_bench.base.files import is_intact, seal_of, write_sealed


def kept_index(path: Path, binary: bool, build: Callable[[], Any], log: Callable[[str], object]) -> Any:
    """Return the index in the file, or build one and write it there.

    Args:
        path: The file, named after everything that changes the index.
        binary: Whether it is an index of codes, which faiss reads and writes in another way.
        build: Builds the index.
        log: Shows a line if the file is damaged.

    Raises:
        UserError: The file cannot be written.
    """
    if path.is_file():
        if seal_of(path).is_file() and is_intact(path):
            return (faiss.read_index_binary if binary else faiss.read_index)(str(path))
        log(f"{path}: damaged; building the index again")
    index = build()
    write = faiss.write_index_binary if binary else faiss.write_index
    write_sealed(path, lambda unfinished: write(index, str(unfinished)))
    return index
