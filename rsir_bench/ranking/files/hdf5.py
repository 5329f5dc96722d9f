"""Read the arrays of an HDF5 file; h5py is optional."""

from __future__ import annotations

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
    if find_spec("h5py") is None:
        raise UserError(f"{path}: HDF5 needs h5py; install it with `pip install 'rsir-bench[hdf5]'`")
    import h5py

    arrays: dict[str, Array] = {}
    with h5py.File(path, "r") as file:
        for name in file:
            link = file.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise UserError(f"{path}: {name} is in another file; copy it into this one")
            if not isinstance(dataset := file[name], h5py.Dataset):
                continue  # a group, or a type
            if dataset.is_virtual or dataset.external:
                raise UserError(f"{path}: {name} is in another file; copy it into this one")
            text = h5py.check_string_dtype(dataset.dtype) is not None
            arrays[name] = dataset.asstr()[()] if text else dataset[()]
    return arrays
