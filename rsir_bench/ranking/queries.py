"""Which scenes are queries, and which scenes of the gallery their rankings leave out."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rsir_bench.base.errors import UserError

SHARE = 0.2


def choose_queries(labels: npt.NDArray[np.int64], which: str, seed: int) -> npt.NDArray[np.int64] | None:
    """Return the (Q,) int64 indices of the queries, ascending; None means every scene.

    Args:
        labels: (N,) int64, the classes.
        which: ``"all"``, or ``"fifth"``: floor(20 %) of each class, as the multiples in the JSST paper's Table I show;
            which 20 % is not known.
        seed: Chooses them.
    """
    if which == "all":
        return None
    rng = np.random.default_rng(seed)
    chosen = [
        rng.permutation(np.flatnonzero(labels == label))[: int(SHARE * np.count_nonzero(labels == label))]
        for label in np.unique(labels)
    ]
    return np.sort(np.concatenate(chosen))


def query_indices(queries: Any, scenes: int) -> Tensor:
    """Return the scenes that are queries, (Q,) int64.

    Args:
        queries: (Q,) integers or an (N,) bool mask; None: every scene.
        scenes: N.

    Raises:
        UserError: There are none, or they are not distinct scenes.
    """
    if queries is None:
        return torch.arange(scenes)
    array = np.asarray(queries.cpu() if isinstance(queries, Tensor) else queries)
    if array.size == 0:
        raise UserError("queries: none given; name at least one scene")
    if array.ndim != 1 or array.dtype.kind not in "biu":
        raise UserError(f"queries: expected indices or a mask of shape (scenes,), got {array.dtype} {array.shape}")
    if array.dtype.kind == "b":
        if len(array) != scenes:
            raise UserError(f"queries: a mask of {len(array)} for {scenes} descriptors; give one value per descriptor")
        array = np.flatnonzero(array)
        if not len(array):
            raise UserError("queries: the mask is False everywhere; name at least one scene")
    if array.min() < 0 or array.max() >= scenes:
        raise UserError(f"queries: index {array.min()} to {array.max()}, but rows run from 0 to {scenes - 1}")
    if len(np.unique(array)) < len(array):
        raise UserError("queries: a scene is named twice; name each query once")
    return torch.from_numpy(array.astype(np.int64))


@dataclass(frozen=True)
class LeftOut:
    """Scenes of the gallery that are neither hits nor misses, query by query.

    Attributes:
        starts: (Q + 1,) int64; those of query q are columns[starts[q]] to columns[starts[q + 1]].
        columns: (P,) int64, columns of the gallery.
        positives: (Q,) int64, how many of them are of the query's class.
    """

    starts: Tensor
    columns: Tensor
    positives: Tensor

    def part(self, queries: slice) -> LeftOut:
        """Return those of some of the queries."""
        starts = self.starts[queries.start : queries.stop + 1]
        return LeftOut(starts - starts[0], self.columns[starts[0] : starts[-1]], self.positives[queries])

    def cells(self) -> tuple[Tensor, Tensor]:
        """Return the rows and columns, (P,) int64 each, of a matrix of all queries and the gallery."""
        return torch.arange(len(self.positives)).repeat_interleave(self.starts.diff()), self.columns


@dataclass(frozen=True)
class LeftOutPairs:
    """Pairs of a descriptor and a scene of the gallery that its ranking leaves out, each once, sorted.

    Attributes:
        rows: (P,) int64, rows of the descriptors, ascending.
        scenes: (P,) int64, rows of the gallery.
    """

    rows: Tensor
    scenes: Tensor

    def of_class(self, classes: Tensor, gallery_classes: Tensor) -> Tensor:
        """Return how many scenes of its own class each ranking leaves out, (N,) int64.

        Args:
            classes: (N,) int64, of the descriptors.
            gallery_classes: (M,) int64.
        """
        same = classes[self.rows] == gallery_classes[self.scenes]
        return torch.bincount(self.rows[same], minlength=len(classes))

    def of_queries(self, queries: Tensor, columns: Tensor, classes: Tensor, gallery_classes: Tensor) -> LeftOut:
        """Return what is left out for queries, (Q,) int64 rows of the descriptors, in their order.

        Args:
            queries: The queries.
            columns: (M,) int64, the column of each scene of the gallery.
            classes: (N,) int64, of the descriptors.
            gallery_classes: (M,) int64.
        """
        counts = torch.bincount(self.rows, minlength=len(classes))
        first, lengths = (counts.cumsum(0) - counts)[queries], counts[queries]
        starts = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        within = torch.arange(int(starts[-1])) - starts[:-1].repeat_interleave(lengths)
        left_out = columns[self.scenes[first.repeat_interleave(lengths) + within]]
        return LeftOut(starts, left_out, self.of_class(classes, gallery_classes)[queries])


def left_out_pairs(own: Any, ignore: Any, scenes: int, gallery_scenes: int | None) -> LeftOutPairs | None:
    """Return the rows that rankings leave out; None: only queries that are rows of the gallery.

    Args:
        own: (N,) integers, the row of each descriptor in a separate gallery, or -1; None: none is there.
        ignore: N lists of rows of the gallery, or (N,) or (N, W) integers filled up with -1; None: none.
        scenes: N.
        gallery_scenes: Size of a separate gallery; None: the descriptors are the gallery.

    Raises:
        UserError: They are not rows of the gallery, or ``own`` cannot be used.
    """
    if own is None and ignore is None:
        return None
    if own is not None and gallery_scenes is None:
        raise UserError("own: without a separate gallery, each query is left out of its own ranking; omit own")
    most = scenes if gallery_scenes is None else gallery_scenes
    found = [
        *([] if own is None else [_own_cells(own, scenes, most)]),
        *([] if ignore is None else _ignored(ignore, scenes, most)),
    ]
    rows, columns = np.concatenate(found, axis=1)
    rows, columns = np.divmod(np.unique(rows * most + columns), most)
    kept = (
        rows != columns if gallery_scenes is None else np.ones(len(rows), bool)
    )  # the query itself is left out anyway
    return LeftOutPairs(torch.from_numpy(rows[kept]), torch.from_numpy(columns[kept]))


def own_rows(own: Any, scenes: int) -> Tensor:
    """Return the row of each descriptor in a separate gallery, (N,) int64, -1 where it is in none.

    Args:
        own: (N,) integers that ``left_out_pairs`` has checked; None: none is there.
        scenes: N.

    Raises:
        UserError: They are no integers.
    """
    return torch.full((scenes,), -1) if own is None else torch.from_numpy(_integers(own, "own"))


def _own_cells(own: Any, scenes: int, most: int) -> npt.NDArray[np.int64]:
    """Return the pairs (2, P) int64 of descriptors that are in the gallery."""
    rows = _integers(own, "own")
    if rows.ndim != 1:
        raise UserError(f"own: expected one row of the gallery per descriptor, got an array of shape {rows.shape}")
    return _cells(rows, "own", scenes, most)


def _ignored(ignore: Any, scenes: int, most: int) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the pairs (2, P) int64 of junk lists."""
    if not isinstance(ignore, Collection) or getattr(ignore, "ndim", 1) == 0:
        raise UserError("ignore: expected a list of rows of the gallery for each descriptor, got a single value")
    if isinstance(ignore, np.ndarray | Tensor) and ignore.ndim == 2:
        yield _cells(_integers(ignore, "ignore"), "ignore", scenes, most)
        return
    if len(ignore) != scenes:
        raise UserError(f"ignore: {len(ignore)} lists for {scenes} descriptors; give one for each, empty where none is")
    for row, junk in enumerate(ignore):
        entries = np.atleast_1d(_array(junk))
        if entries.size:
            _, columns = _cells(_integers(entries, f"ignore[{row}]")[None], f"ignore[{row}]", 1, most)
            yield np.stack([np.full_like(columns, row), columns])
    yield np.empty((2, 0), np.int64)


def _integers(values: Any, what: str) -> npt.NDArray[np.int64]:
    """Return integers as int64, of their shape (...).

    Raises:
        UserError: They are no integers.
    """
    array = _array(values)
    if array.dtype.kind not in "iu":
        raise UserError(f"{what}: expected rows of the gallery, got {array.dtype}; give integers")
    return array.astype(np.int64)


def _array(values: Any) -> npt.NDArray[Any]:
    return np.asarray(values.cpu() if isinstance(values, Tensor) else values)


def _cells(array: npt.NDArray[np.int64], what: str, scenes: int, most: int) -> npt.NDArray[np.int64]:
    """Return (2, P) int64, descriptor and row of the gallery, of (N,) or (N, W) rows where -1 is none.

    Raises:
        UserError: There is not one entry per descriptor, or a row does not exist.
    """
    if len(array) != scenes:
        raise UserError(f"{what}: {len(array)} entries for {scenes} descriptors; give one for each, -1 for none")
    if array.size and (array.min() < -1 or array.max() >= most):
        raise UserError(f"{what}: rows {array.min()} to {array.max()}, but the gallery has 0 to {most - 1}; -1 is none")
    array = array.reshape(scenes, -1)
    rows, places = np.nonzero(array >= 0)
    return np.stack([rows, array[rows, places]])
