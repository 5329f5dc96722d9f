"""Read the arrays of an HDF5 file; h5py is optional."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from rsir_bench.base.errors import UserError

SUFFIXES = (".h5", ".hdf5")

Array = np.ndarray[Any, Any]


def read_hdf5(path: Path) -> dict[str, Array]:
    """Return the datasets at the top of an HDF5 file by name, each (...) of the file's dtype; text as str.

    Raises:
        UserError: h5py is not installed, or a dataset is in another file.
        OSError: The file is no HDF5, or damaged.
    """
    with _datasets(path) as datasets:
        return {name: one.asstr()[()] if _is_text(one) else one[()] for name, one in datasets.items()}


def decoded_bytes(path: Path) -> int:
    """Return how many bytes ``read_hdf5`` gives, about, without reading more than one text at a time.

    Raises:
        UserError: As ``read_hdf5``.
        OSError: Likewise.
    """
    with _datasets(path) as datasets:
        texts = (one for one in datasets.values() if _is_text(one))
        words = sum(len(text) for one in texts for text in (one[place] for place in np.ndindex(one.shape)))
        return int(words + sum(one.size * one.dtype.itemsize for one in datasets.values()))


@contextmanager
def _datasets(path: Path) -> Iterator[dict[str, Any]]:
    """Open a file, and yield the datasets at its top by name."""
    if find_spec("h5py") is None:
        raise UserError(f"{path}: HDF5 needs h5py; install it with `pip install 'rsir-bench[hdf5]'`")
    import h5py

    with h5py.File(path, "r") as file:
        found = {}
        for name in file:
            link = file.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise UserError(f"{path}: {name} is in another file; copy it into this one")
            if not isinstance(dataset := file[name], h5py.Dataset):
                continue  # a group, or a type
            if dataset.is_virtual or dataset.external:
                raise UserError(f"{path}: {name} is in another file; copy it into this one")
            found[name] = dataset
        yield found


def _is_text(dataset: Any) -> bool:
    import h5py

    return h5py.check_string_dtype(dataset.dtype) is not None
