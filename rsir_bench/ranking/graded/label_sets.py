"""Several labels per scene: a matrix of 0 and 1, or lists of names, as distinct label sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rsir_bench.base.errors import UserError, suggest
from rsir_bench.ranking.graded.levels import MOST_LABELS
from rsir_bench.ranking.labels import refuse_masked

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class LabelSets:
    """The label sets of queries and gallery.

    Attributes:
        names: The L labels.
        members: (C, L) bool, the distinct label sets; none is empty.
        queries: (N,) int64 in [0, C), the label set of each descriptor.
        gallery: (M,) int64 in [0, C), that of each scene of the gallery; the same where it is not separate.
    """

    names: tuple[str, ...]
    members: Tensor
    queries: Tensor
    gallery: Tensor


def is_multi_label(labels: Any) -> bool:
    """Return whether labels are a matrix of two columns or more, or a list for each scene."""
    if getattr(labels, "ndim", 1) == 2:
        return bool(labels.shape[1] != 1)
    if hasattr(labels, "__array__") and not isinstance(labels, Tensor):
        labels = np.asarray(labels)
        return labels.dtype.kind == "O" and labels.ndim == 1 and any(map(_is_list, labels))
    return isinstance(labels, list | tuple) and any(map(_is_list, labels))


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple | set | frozenset) or getattr(value, "ndim", 0) == 1


def label_sets(
    labels: Any,
    scenes: int,
    gallery_labels: Any,
    gallery_scenes: int,
    label_names: Sequence[str] | Mapping[Any, str] | None,
) -> LabelSets:
    """Return the label sets of descriptors and gallery.

    Args:
        labels: (N, L) of 0 and 1, or N lists of names.
        scenes: N.
        gallery_labels: The same of the gallery; None: it is not separate.
        gallery_scenes: M.
        label_names: The names of the columns, or of all labels; None: the columns' numbers, or the names in use.

    Raises:
        UserError: The labels cannot be scored; one line says why.
    """
    if isinstance(label_names, Mapping):
        raise UserError("class_names: with several labels per scene give a list of their names")
    given = [(labels, scenes, "labels")]
    if gallery_labels is not None:
        given.append((gallery_labels, gallery_scenes, "gallery_labels"))
    if label_names is not None and len(set(label_names)) < len(label_names):
        raise UserError("class_names: two labels have the same name; give each label its own")
    kinds = {_has_names(values) for values, _, _ in given}
    if len(kinds) == 2:
        raise UserError("gallery_labels: a matrix goes with a matrix, and lists of names with lists of names")
    if kinds == {True}:
        names, matrices = _matrices_of_names(given, label_names)
    else:
        matrices = [_checked_matrix(values, count, what) for values, count, what in given]
        names = _column_names(matrices, label_names)
    for matrix, (_, _, what) in zip(matrices, given, strict=True):
        _refuse_unlabelled(matrix, what)
    members, numbers = np.unique(np.concatenate(matrices), axis=0, return_inverse=True)
    every = torch.from_numpy(numbers.reshape(-1).astype(np.int64))
    own = every[:scenes]
    return LabelSets(names, torch.from_numpy(members), own, own if gallery_labels is None else every[scenes:])


def _has_names(labels: Any) -> bool:
    if getattr(labels, "ndim", 1) == 2:
        return False
    return any(isinstance(name, str) for scene in labels for name in (scene if _is_list(scene) else [scene]))


def _checked_matrix(labels: Any, scenes: int, what: str) -> Array:
    """Return a matrix (N, L) of 0 and 1 as bool."""
    refuse_masked(labels, what)
    if isinstance(labels, Tensor):
        labels = labels.detach().cpu().numpy()
    try:
        matrix = np.asarray(
            labels if hasattr(labels, "__array__") and getattr(labels, "ndim", 1) == 2 else list(labels)
        )
    except ValueError:
        raise UserError(
            f"{what}: rows of a matrix that differ in length; give (scenes, labels), or lists of names"
        ) from None
    if matrix.ndim != 2 or len(matrix) != scenes:
        raise UserError(f"{what}: expected {scenes} rows, one per descriptor, got an array of shape {matrix.shape}")
    if matrix.dtype.kind not in "biuf":
        raise UserError(f"{what}: {matrix.dtype} is not a matrix of 0 and 1; give such a matrix, or lists of names")
    if not 2 <= matrix.shape[1] <= MOST_LABELS:
        raise UserError(f"{what}: {matrix.shape[1]} labels; a matrix has 2 to {MOST_LABELS} columns")
    if matrix.dtype.kind == "f" and np.isnan(matrix).any():
        rows = np.flatnonzero(np.isnan(matrix).any(axis=1))
        raise UserError(f"{what}: NaN in {len(rows)} of {scenes} rows, first in row {rows[0]}; give 0 or 1")
    wrong = np.argwhere((matrix != 0) & (matrix != 1))
    if len(wrong):
        row, column = wrong[0]
        raise UserError(
            f"{what}: {matrix[row, column]} in row {row}, column {column}; a matrix (scenes, labels) holds 0 and 1 "
            "only, and one label per scene is given as (scenes,)"
        )
    return matrix.astype(bool)


def _column_names(matrices: Sequence[Array], label_names: Sequence[str] | None) -> tuple[str, ...]:
    widths = [matrix.shape[1] for matrix in matrices]
    if len(set(widths)) > 1:
        raise UserError(f"gallery_labels: {widths[1]} columns, but labels have {widths[0]}; give both the same labels")
    names = range(widths[0]) if label_names is None else label_names
    if len(names) != widths[0]:
        raise UserError(f"class_names: {len(names)} names for {widths[0]} columns of labels; name each column")
    return tuple(str(name) for name in names)


def _matrices_of_names(
    given: Sequence[tuple[Any, int, str]], label_names: Sequence[str] | None
) -> tuple[tuple[str, ...], list[Array]]:
    """Return the names in use, or all that are given, and a matrix (N, L) bool of each list of lists."""
    lists = [_checked_lists(values, count, what, label_names) for values, count, what in given]
    used = {name for scenes in lists for scene in scenes for name in scene}
    names = tuple(sorted(used) if label_names is None else map(str, label_names))
    if len(names) > MOST_LABELS:
        raise UserError(f"labels: {len(names)} labels; at most {MOST_LABELS} can be told apart")
    column = {name: number for number, name in enumerate(names)}
    matrices = []
    for scenes in lists:
        matrix = np.zeros((len(scenes), len(names)), bool)
        for row, scene in enumerate(scenes):
            matrix[row, [column[name] for name in scene]] = True
        matrices.append(matrix)
    return names, matrices


def _checked_lists(labels: Any, count: int, what: str, label_names: Sequence[str] | None) -> list[list[str]]:
    scenes = list(labels)
    if len(scenes) != count:
        raise UserError(f"{what}: expected {count} lists, one per descriptor, got {len(scenes)}")
    known = None if label_names is None else [str(name) for name in label_names]
    checked = []
    for row, scene in enumerate(scenes):
        if not _is_list(scene):
            raise UserError(f"{what}: row {row} is {scene!r:.40}, not a list of names; give each scene a list")
        names = [str(name) if isinstance(name, str) else name for name in scene]
        for name in names:
            if not isinstance(name, str) or not name.strip():
                raise UserError(f"{what}: row {row} holds {name!r:.40}, which is not the name of a label; give strings")
            if known is not None and name not in known:
                raise UserError(f"{what}: row {row}: label {name!r}: {suggest(name, known)}")
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise UserError(f"{what}: row {row} names {twice!r} twice; name each label once")
        checked.append(names)
    return checked


def _refuse_unlabelled(matrix: Array, what: str) -> None:
    bare = np.flatnonzero(~matrix.any(axis=1))
    if len(bare):
        raise UserError(
            f"{what}: {len(bare)} of {len(matrix)} scenes have no label, first in row {bare[0]}; label or omit them"
        )
