"""Apply post-processing to checked descriptors, and correct blocks of distances in the order of a task."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rsir_bench.base.errors import UserError
from rsir_bench.ranking.after.contract import Array, Correct, PostProcessing, Vectors
from rsir_bench.ranking.similarity import SIMILARITIES, common_type

FLOATS = (np.float16, np.float32, np.float64)
AT_ONCE = 2**22  # distances brought into the caller's order at a time


@dataclass(frozen=True)
class Applied:
    """What is ranked after post-processing; what is None stays unchanged.

    Attributes:
        rows: (N, D) numbers, the queries among them.
        gallery_rows: (M, D) numbers.
        similarity: The similarity that they are compared under; None: as before.
        correct: Changes the distances; see ``Correction``.
        seconds: Processor time that it took.
    """

    rows: Tensor | None
    gallery_rows: Tensor | None
    similarity: str | None
    correct: Correct | None
    seconds: float


def apply(
    after: PostProcessing, rows: Tensor, gallery_rows: Tensor, asked: Tensor, own: Tensor, similarity: str
) -> Applied:
    """Post-process descriptors that are checked.

    Args:
        after: What to do.
        rows: (N, D) finite numbers, or codes of -1 and +1.
        gallery_rows: (M, D) likewise; the same object where the gallery is not separate.
        asked: (Q,) int64, the rows that are queries.
        own: (N,) int64, the row of the gallery that each row is; -1: none.
        similarity: One of ``rsir_bench.ranking.SIMILARITIES``.

    Raises:
        UserError: The values or the similarity do not go with it, or what it returns does not fit.
    """
    after.check(len(gallery_rows), similarity)
    started = time.process_time()
    dtype = common_type(rows, gallery_rows)
    gallery = _array(gallery_rows.to(dtype, copy=True))  # a plugin may write into it
    every = rows is gallery_rows and torch.equal(asked, torch.arange(len(rows)))
    queries = gallery if every else _array(rows[asked.to(rows.device)].to(dtype))
    processed = after.apply(Vectors(queries, gallery, own[asked].numpy(), similarity))
    changed, known = processed.queries, processed.gallery
    if changed is not None or known is not None or processed.similarity is not None:
        changed, known = (queries if changed is None else changed), (gallery if known is None else known)
        _check(after, changed, known, len(asked), len(gallery))
        _check_similarity(after, processed.similarity or similarity)
    return Applied(
        rows=None if changed is None else _placed(changed, asked, len(rows)),
        gallery_rows=None if known is None else torch.from_numpy(known),
        similarity=processed.similarity,
        correct=processed.correct,
        seconds=time.process_time() - started,
    )


def _array(rows: Tensor) -> Array:
    """Return rows (N, D) of any number type on any device as (N, D) float32, or float64 where that would round them."""
    rows = rows.cpu()
    narrow = rows.dtype in (torch.float16, torch.bfloat16, torch.float32)
    return np.ascontiguousarray(rows.to(torch.float32 if narrow else torch.float64).numpy())


def _placed(queries: Array, asked: Tensor, scenes: int) -> Tensor:
    """Return queries (Q, D) at their rows among all (N, D); other rows are zero, and nobody looks at them."""
    if len(asked) == scenes and torch.equal(asked, torch.arange(scenes)):
        return torch.from_numpy(queries)
    rows = torch.zeros(scenes, queries.shape[1], dtype=torch.from_numpy(queries).dtype)
    rows[asked] = torch.from_numpy(queries)
    return rows


def _check(after: PostProcessing, changed: Array, known: Array, queries: int, scenes: int) -> None:
    """Refuse rows of queries and gallery that do not fit: a plugin may return anything.

    Raises:
        UserError: They are no arrays of floats, have other numbers of rows than before, or different ones of columns,
            or are not finite.
    """
    for what, rows, count in (("queries", changed, queries), ("gallery", known, scenes)):
        if not isinstance(rows, np.ndarray) or rows.dtype not in FLOATS:
            raise UserError(f"after {after}: returns {what} that are no NumPy array of float32 or float64; fix it")
        if rows.ndim != 2 or len(rows) != count:
            raise UserError(f"after {after}: returns {what} of shape {rows.shape} for {count} scenes; fix it")
        if not np.isfinite(rows).all():
            raise UserError(f"after {after}: returns {what} that are not finite; fix it")
    if changed.shape[1] != known.shape[1]:
        sizes = f"queries of {changed.shape[1]} columns and a gallery of {known.shape[1]}"
        raise UserError(f"after {after}: returns {sizes}; fix it")


def _check_similarity(after: PostProcessing, similarity: str) -> None:
    """Refuse a similarity that rows of real numbers cannot be compared under.

    Raises:
        UserError: It is none of the scorer's, or of codes.
    """
    known = [name for name in SIMILARITIES if name != "hamming"]
    if similarity not in known:
        raise UserError(f"after {after}: rows compared under {similarity!r}; name one of {', '.join(known)}")


def _check_distances(distances: Array) -> None:
    least, greatest = distances.min(), distances.max()
    if not np.isfinite((least, greatest)).all():
        raise UserError("after: correct() writes distances that are NaN or infinite; write finite ones")
    limit = np.finfo(distances.dtype).max / 4  # the ranking subtracts them
    if max(-least, greatest) > limit:
        raise UserError(f"after: correct() writes distances beyond {limit:.1e}; write smaller ones")


class Correction:
    """Change blocks of distances in the order of a task, whose columns are sorted by class.

    Args:
        correct: Changes distances in the caller's order; see ``rsir_bench.ranking.after.contract.Correct``.
        order: (M,) int64, the scene of the gallery in each column.

    Attributes:
        seconds: Processor time of each call.
    """

    def __init__(self, correct: Correct, order: Tensor) -> None:
        self._correct = correct
        sorted_already = torch.equal(order, torch.arange(len(order)))
        self._order = None if sorted_already else order.numpy()
        self._columns = None if sorted_already else torch.argsort(order).numpy()
        self.seconds: list[float] = []

    def __call__(self, positions: Tensor, distances: Tensor) -> None:
        """Change the distances of queries in place.

        Args:
            positions: (S,) int64, the place of each among the queries that the caller asked for.
            distances: (S, M) float, on any device.
        """
        started = time.thread_time()
        here: Any = distances.cpu().numpy()  # the same memory on the CPU
        if self._order is None or self._columns is None:
            self._correct(positions.numpy(), here)
            _check_distances(here)
        else:
            step = max(1, AT_ONCE // here.shape[1])
            for start in range(0, len(here), step):
                part = slice(start, start + step)
                ordered = here[part, self._columns]
                self._correct(positions[part].numpy(), ordered)
                _check_distances(ordered)
                here[part] = ordered[:, self._order]
        if distances.device.type != "cpu":
            distances.copy_(torch.from_numpy(here))
        self.seconds.append(time.thread_time() - started)
