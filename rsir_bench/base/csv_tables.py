"""Descriptors and labels from CSV, as spreadsheets and pandas write it."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import pandas as pd

from rsir_bench.base.text import decode


def read_csv(path: Path, names: Collection[str], words: Collection[str]) -> pd.DataFrame:
    """Return a table, one row per scene; columns without a header are called 0, 1, ...; texts have no blanks at ends.

    A first line is a header where it holds no number, or nothing but the numbers of the columns and some of ``names``
    (``id,0,1,2``). A single column has a header only where it is one of ``names``, so that no label is taken for one.

    Args:
        path: The file: commas, or semicolons where its first line has no comma; in any encoding with a mark, or UTF-8.
        names: What columns may be called.
        words: The columns that are kept as text, so that ``01`` and ``1`` stay apart.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no text or no table, lines have more cells than the first one, or two columns share a name.
    """
    text = decode(path.read_bytes())
    first = text.partition("\n")[0].rstrip("\r")
    separator = ";" if ";" in first and "," not in first else ","
    cells = next(csv.reader([first], delimiter=separator, skipinitialspace=True), [])
    header = _is_header(cells, names)
    if header and (twice := [name for name, count in Counter(map(str.strip, cells)).items() if name and count > 1]):
        raise ValueError(f"several columns are called {', '.join(twice)}; rename them")
    texts = [*words, *(cell for cell in cells if cell.strip() in words)]
    table = pd.read_csv(
        io.StringIO(text),
        sep=separator,
        header=0 if header else None,
        dtype=dict.fromkeys(texts, str) if header or len(cells) > 1 else str,
        keep_default_na=False,  # a class may be called NA
        skipinitialspace=True,
    )
    if not table.index.equals(pd.RangeIndex(len(table))):  # pandas would take the first cells for names of rows
        raise ValueError("lines have more cells than the first one; name every column, and remove trailing separators")
    table = table.rename(columns=lambda name: str(name).strip())
    for name in table.columns[[kind.kind == "O" for kind in table.dtypes]]:
        table[name] = table[name].map(lambda cell: cell.strip() if isinstance(cell, str) else cell)
    kinds = {kind.kind for kind in table.dtypes}
    if header and {"f", "i"} <= kinds:  # a named dimension may hold whole numbers alone, which CSV writes without a dot
        whole = [name for name in table.columns if table[name].dtype.kind == "i" and name not in names]
        table = table.astype(dict.fromkeys(whole, "float64"))
    return table


def _is_header(cells: list[str], names: Collection[str]) -> bool:
    if len(cells) == 1:
        return cells[0].strip() in names
    numbers = []
    for cell in cells:
        with suppress(ValueError):
            numbers.append(float(cell))
    named = sum(cell.strip() in names for cell in cells)
    return not numbers or (numbers == list(range(len(numbers))) and len(numbers) + named == len(cells))
