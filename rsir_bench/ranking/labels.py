"""Labels of any type as classes: told apart exactly, or refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rsir_bench.base.errors import UserError

Array = np.ndarray[Any, Any]
GIVE = "give integers or strings"
INT64 = np.iinfo(np.int64)


def class_numbers(
    labels: Any,
    scenes: int,
    gallery_labels: Any,
    gallery_scenes: int,
    class_names: Sequence[str] | Mapping[Any, str] | None,
) -> tuple[list[str], Tensor, Tensor]:
    """Return classes as numbers 0 to C-1.

    Returns:
        C names, (N,) int64 in [0, C) of the queries' side, and (M,) int64 of the gallery's.

    Raises:
        UserError: Labels and names do not fit together.
    """
    own = checked_labels(labels, scenes, "labels")
    other = own if gallery_labels is None else checked_labels(gallery_labels, gallery_scenes, "gallery_labels")
    if (own.dtype.kind == "U") != (other.dtype.kind == "U"):
        raise UserError(f"gallery_labels: {other.dtype}, but labels are {own.dtype}; give both in one type")
    values, numbers = np.unique(np.concatenate([own, other]), return_inverse=True)
    if class_names is not None and not isinstance(class_names, Mapping):
        class_names = dict(enumerate(class_names))  # in a sequence, -1 would be the last class
    names = [class_name(value, class_names) for value in values.tolist()]
    if len(set(names)) < len(names):
        raise UserError("class_names: two classes have the same name; give each class its own")
    both = torch.from_numpy(numbers.astype(np.int64))
    return names, both[:scenes], both[:scenes] if gallery_labels is None else both[scenes:]


def class_name(value: Any, class_names: Mapping[Any, str] | None) -> str:
    """Return the name of one label.

    Raises:
        UserError: ``class_names`` lacks it.
    """
    if class_names is None:
        return str(value)
    try:
        return str(class_names[value])
    except KeyError:
        raise UserError(f"class_names: no name for label {value!r}; add it") from None


def checked_labels(labels: Any, scenes: int, what: str) -> Array:
    """Return labels as (N,) integers or strings; bools count as integers, bytes as UTF-8.

    Integers beyond 64 bits stay Python's, in an array of objects.

    Raises:
        UserError: There is not one label per descriptor, or labels cannot be told apart as integers or strings.
    """
    values = _as_array(labels, what)
    if values.ndim != 1 or len(values) != scenes:
        raise UserError(f"{what}: expected {scenes} labels, one per descriptor, got an array of shape {values.shape}")
    if values.dtype.kind == "T":  # NumPy's strings of any length; a missing one is no string
        values = values.astype(object)
    readers: dict[str, Callable[[Array, str], Array]] = {"O": _objects, "f": _floats, "S": _bytes}
    if reader := readers.get(values.dtype.kind):
        values = reader(values, what)
    if values.dtype.kind == "b":
        values = values.astype(np.int64)
    if values.dtype.kind in "iu":
        values = _integers(values)
    if values.dtype.kind not in "iUO":
        raise UserError(f"{what}: {values.dtype} cannot be classes; {GIVE}")
    if values.dtype.kind == "U" and len(blank := np.flatnonzero(np.char.strip(values) == "")):
        raise UserError(f"{what}: {len(blank)} of {scenes} are empty, first in row {blank[0]}; label or drop them")
    return values


def refuse_masked(values: Any, what: str) -> None:
    """Refuse arrays of NumPy with masked values, which conversion would show as if they were not.

    Raises:
        UserError: A value is masked.
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise UserError(f"{what}: {int(np.ma.getmaskarray(values).sum())} values are masked; fill or drop them")


def _as_array(labels: Any, what: str) -> Array:
    """Return labels as an array, (...) of their own types: a list's items are not turned into each other's type.

    Floats of a tensor are returned as int64.

    Raises:
        UserError: They are not one label per descriptor, or floats that are not classes; see ``_floats``.
    """
    if isinstance(labels, Tensor):
        given = labels.detach().cpu()
        if not given.is_floating_point():
            return np.asarray(given)
        return _floats(np.asarray(given.double()), what, given.dtype)  # NumPy lacks some of torch's types
    refuse_masked(labels, what)
    if hasattr(labels, "__array__"):
        return np.asarray(labels)
    items = labels
    if isinstance(labels, Sequence) and not isinstance(labels, str | bytes):
        items = [_plain(value, what) for value in labels]  # NumPy would drop the types of torch's values
    try:
        return np.asarray(items, dtype=object)
    except ValueError:
        raise UserError(f"{what}: not one label per descriptor; {GIVE}") from None


def _objects(values: Array, what: str) -> Array:
    """Return an (N,) array of Python's or NumPy's values as integers, floats, bytes or strings, if all are of one type.

    Raises:
        UserError: They are not.
    """
    items = [_plain(value, what) for value in values]
    kinds = {_kind(value) for value in items}
    if kinds == {"int", "float"}:  # a number is the same class in both types
        whole = iter(_floats(np.array([value for value in items if isinstance(value, float)]), what).tolist())
        items, kinds = [next(whole) if isinstance(value, float) else value for value in items], {"int"}
    if len(kinds) == 1:
        (kind,) = kinds
        if kind == "int":
            return _integers(np.array(items, dtype=object))
        if kind == "bool":
            return np.array(items, dtype=bool)
        if kind == "str":
            return _strings([str.__str__(value) for value in items], what)
        if kind == "float":
            return _floats(np.array(items, dtype=np.float64), what)
        if kind == "bytes":
            return _strings([_decoded(value, what) for value in items], what)
    raise UserError(f"{what}: mixed or unknown types ({', '.join(sorted(kinds))}); {GIVE}, of one type")


def _plain(value: Any, what: str) -> Any:
    """Return a single value of NumPy or torch as Python's; other values as they are.

    Raises:
        UserError: It is so large a float that its type has no longer a value for every integer.
    """
    if not isinstance(value, np.generic | Tensor) or value.ndim:
        return value
    plain = value.item()
    if isinstance(plain, float) and np.isfinite(plain):
        _refuse_inexact(plain, value.dtype, what)
    return plain


def _kind(value: Any) -> str:
    """Return the name of a value's type; subclasses of ``str`` and ``int`` count as these."""
    for kind in (bool, int, str, bytes, float):
        if isinstance(value, kind):
            return kind.__name__
    return type(value).__name__


def _integers(values: Array) -> Array:
    """Return (N,) integers as int64, or as objects where one does not fit; none wraps around."""
    if values.dtype.kind == "i" or not len(values):
        return values.astype(np.int64)
    if values.min() >= INT64.min and values.max() <= INT64.max:
        return values.astype(np.int64)
    return np.array([int(value) for value in values], dtype=object)


def _floats(values: Array, what: str, dtype: np.dtype[Any] | torch.dtype | None = None) -> Array:
    """Return whole floats, (...), as int64.

    Args:
        values: The floats.
        what: What they are, for messages.
        dtype: The type that they had, if they were widened.

    Raises:
        UserError: One is not whole, or so large that its type has no longer a value for every integer.
    """
    if not (np.isfinite(values).all() and (values == np.round(values)).all()):
        missing = int(np.isnan(values).sum())
        raise UserError(f"{what}: numbers that are not whole{f' ({missing} are NaN)' if missing else ''}; {GIVE}")
    if values.size:
        _refuse_inexact(np.abs(values).max(), dtype or values.dtype, what)
    return values.astype(np.int64)


def _refuse_inexact(number: float, dtype: np.dtype[Any] | torch.dtype, what: str) -> None:
    """Refuse a float that may be the neighbour of the integer that was meant.

    Raises:
        UserError: Not every integer up to its size and the next one has a value in the type.
    """
    limits = torch.finfo(dtype) if isinstance(dtype, torch.dtype) else np.finfo(dtype)
    exact = min(int(2 / limits.eps), 2**53)
    if abs(number) >= exact:
        name = str(dtype).removeprefix("torch.")
        raise UserError(f"{what}: {name} numbers at or above {exact}, where not every integer has a value; {GIVE}")


def _bytes(values: Array, what: str) -> Array:
    """Return (N,) bytes of a fixed length as strings.

    Raises:
        UserError: One is not UTF-8.
    """
    return _strings([_decoded(value, what) for value in values.tolist()], what)


def _strings(values: list[str], what: str) -> Array:
    """Return (N,) strings as NumPy's, which drop NUL at their ends.

    Raises:
        UserError: One ends with NUL.
    """
    if any(value.endswith("\0") for value in values):
        raise UserError(f"{what}: strings that end with NUL; strip them")
    return np.array(values, dtype=str)


def _decoded(value: Any, what: str) -> str:
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{what}: bytes that are not UTF-8; give strings") from None
