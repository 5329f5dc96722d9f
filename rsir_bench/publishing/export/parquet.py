"""Descriptors as a table that pandas, polars, DuckDB and ``rsir-bench score`` read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from rsir_bench.base.files import write_atomically
from rsir_bench.publishing.export.described import Described

METADATA = b"rsir-bench"
"""The key of the schema's metadata that says where the descriptors come from, in JSON."""


def write_parquet(described: Described, folder: Path) -> None:
    """Write ``STEM.parquet``: columns ``id``, ``label`` (the class) and ``descriptors``, or ``codes`` of 0 and 1.

    Scenes with several labels have a column ``label_list`` in the place of ``label``: ``beach;sea``.

    Raises:
        UserError: It cannot be written.
    """
    name = "codes" if described.code else "descriptors"
    rows = np.ascontiguousarray(described.descriptors)
    values = pa.ListArray.from_arrays(
        pa.array(np.arange(len(rows) + 1, dtype=np.int32) * rows.shape[1]), pa.array(rows.reshape(-1))
    )
    labels: dict[str, list[str]] = {"label": [described.classes[label] for label in described.labels.tolist()]}
    if described.several is not None:
        labels = {"label_list": [";".join(names) for names in described.several.lists()]}
    about = {**described.about, "similarity": described.similarity}
    table = pa.table({"id": list(described.ids), **labels, name: values})
    table = table.replace_schema_metadata({METADATA: json.dumps(about).encode()})
    write_atomically(folder / f"{described.stem}.parquet", lambda path: parquet.write_table(table, path))
