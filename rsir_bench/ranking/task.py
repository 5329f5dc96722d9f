"""Check the arguments of ``score`` and prepare queries and gallery."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, Self

import torch
from torch import Tensor

from rsir_bench.base.errors import UserError
from rsir_bench.ranking.after.apply import Correction, apply
from rsir_bench.ranking.after.contract import Correct, PostProcessing
from rsir_bench.ranking.doubts import degenerate
from rsir_bench.ranking.labels import class_numbers
from rsir_bench.ranking.queries import LeftOut, LeftOutPairs, left_out_pairs, own_rows, query_indices
from rsir_bench.ranking.similarity import (
    BIT_ORDERS,
    SIMILARITIES,
    Prepared,
    checked_descriptors,
    common_type,
    euclidean_centre,
    largest_equal,
    prepare,
    prepare_gallery,
    row_hashes,
    unpacked,
)
from rsir_bench.ranking.threads import Workers


@dataclass(frozen=True)
class Task:
    """Queries and a gallery, both sorted by class, so that the positives of a query are neighbouring columns.

    Attributes:
        gallery: The gallery, class after class.
        starts: (C + 1,) int64; the columns of class c are starts[c] to starts[c + 1].
        query_rows: The prepared queries of a separate gallery, or None if queries are rows of the gallery.
        queries: (Q,) int64, the row of each scored query in the caller's descriptors, class after class.
        positions: (Q,) int64, the place of each scored query among the queries that the caller asked for.
        query_classes: (Q,) int64, their classes.
        own_columns: (Q,) int64, the gallery column of each query, to be left out; None if the gallery is separate.
        left_out: Other columns that the rankings leave out; None: nothing.
        class_names: The name of each class.
        skipped: Number of queries left out because the gallery has no positive for them.
        constant: Number of scenes without a direction.
        equal: Number of scenes of the gallery in the largest group of equal rows; 0: all differ.
        mixed: Number of scenes in this group that do not belong to its main class.
        device: Where the rows live.
        correction: Changes the distances between queries and gallery; None: they are the products of the rows.
        prepared_in: Processor time of post-processing before the first block; None: there is none.
    """

    gallery: Prepared
    starts: Tensor
    query_rows: Tensor | None
    queries: Tensor
    positions: Tensor
    query_classes: Tensor
    own_columns: Tensor | None
    left_out: LeftOut | None
    class_names: list[str]
    skipped: int
    constant: int
    equal: int
    mixed: int
    device: str
    correction: Correction | None
    prepared_in: float | None

    @property
    def after_seconds(self) -> float | None:
        """Processor time of post-processing so far in this process; None: there is none."""
        if self.prepared_in is None:
            return None
        return self.prepared_in + (sum(self.correction.seconds) if self.correction else 0)

    @property
    def gallery_size(self) -> int:
        """The number of scenes in the gallery, including the query if it is one of them."""
        return int(self.starts[-1])

    @property
    def relevant(self) -> Tensor:
        """The number of positives of each query, (Q,) int64."""
        count = self.starts.diff()[self.query_classes] - int(self.own_columns is not None)
        return count if self.left_out is None else count - self.left_out.positives

    @property
    def ranked(self) -> Tensor:
        """The number of scenes that are ranked for each query, (Q,) int64."""
        count = torch.full_like(self.queries, self.gallery_size - int(self.own_columns is not None))
        return count if self.left_out is None else count - self.left_out.starts.diff()

    def every_left_out(self) -> LeftOut:
        """Return all columns that rankings leave out: queries that are rows of the gallery, and ``left_out``."""
        own, count = self.own_columns, len(self.queries)
        starts, nothing = torch.zeros(count + 1, dtype=torch.int64), torch.empty(0, dtype=torch.int64)
        left_out = self.left_out or LeftOut(starts, nothing, starts[1:])
        if own is None:
            return left_out
        rows, columns = left_out.cells()
        order = torch.argsort(torch.cat([torch.arange(count), rows]), stable=True)
        both = torch.cat([own, columns])[order]
        return LeftOut(left_out.starts + torch.arange(count + 1), both, left_out.positives + 1)

    def part(self, queries: slice) -> Self:
        """Return the same gallery with some of the queries; they are measured as in the whole."""
        return replace(
            self,
            query_rows=None if self.query_rows is None else self.query_rows[queries],
            queries=self.queries[queries],
            positions=self.positions[queries],
            query_classes=self.query_classes[queries],
            own_columns=None if self.own_columns is None else self.own_columns[queries],
            left_out=None if self.left_out is None else self.left_out.part(queries),
        )


def scoring_task(
    descriptors: Any,
    labels: Any,
    *,
    similarity: str,
    codes: bool,
    bits: int | None,
    bit_order: str,
    queries: Any,
    gallery: Any,
    gallery_labels: Any,
    class_names: Sequence[str] | Mapping[Any, str] | None,
    device: str,
    workers: Workers,
    own: Any = None,
    ignore: Any = None,
    after: PostProcessing | None = None,
) -> Task:
    """Check the arguments of ``rsir_bench.ranking.score``, which documents them, and prepare the rows.

    Raises:
        UserError: The input cannot be scored.
    """
    given = checked_descriptor_rows(
        descriptors,
        gallery,
        gallery_labels,
        queries,
        similarity=similarity,
        codes=codes,
        bits=bits,
        bit_order=bit_order,
    )
    scenes, gallery_scenes = len(given.rows), len(given.gallery_rows)
    names, classes, gallery_classes = class_numbers(labels, scenes, gallery_labels, gallery_scenes, class_names)
    counts = torch.bincount(gallery_classes, minlength=len(names))
    if int((counts > 0).sum()) < 2:
        raise UserError(
            "labels: the gallery holds one class only, so every ranking is perfect; give two or more classes"
        )
    asked = query_indices(queries, scenes)
    pairs = left_out_pairs(own, ignore, scenes, None if given.own else gallery_scenes)
    if after is not None:
        given, pairs = post_processed(given, pairs, after, asked, own, ignore)
    relevant = counts[classes[asked]] - int(given.own)
    if pairs is not None:
        relevant -= pairs.of_class(classes, gallery_classes)[asked]
    if not bool((relevant > 0).any()):
        raise UserError("labels: no query has another scene of its class in the gallery, so there is nothing to score")
    return prepared_task(given, names, classes, gallery_classes, asked, relevant > 0, device, workers, pairs)


@dataclass(frozen=True)
class GivenRows:
    """Checked descriptors.

    Attributes:
        rows: (N, D) finite numbers, or codes of -1 and +1.
        gallery_rows: (M, D), the same object if the gallery is not separate.
        own: Whether the gallery is not separate, so that each query is left out of its own ranking.
        similarity: One of ``SIMILARITIES``.
        correct: Changes the distances between them, in the caller's order; None: they stay unchanged.
        after_seconds: Processor time of post-processing; None: there was none.
        same_scenes: Whether the rows of queries differ from the rows of the gallery but belong to the same scenes.
    """

    rows: Tensor
    gallery_rows: Tensor
    own: bool
    similarity: str
    correct: Correct | None = None
    after_seconds: float | None = None
    same_scenes: bool = False


def checked_descriptor_rows(
    descriptors: Any,
    gallery: Any,
    gallery_labels: Any,
    queries: Any,
    *,
    similarity: str,
    codes: bool,
    bits: int | None,
    bit_order: str,
) -> GivenRows:
    """Return the descriptors of queries and gallery; ``rsir_bench.ranking.score`` documents the arguments.

    Raises:
        UserError: The descriptors cannot be scored, or the arguments contradict each other.
    """
    similarity = checked_similarity(similarity, codes, bits)
    if bit_order not in BIT_ORDERS:
        raise UserError(f"bit order {bit_order!r}: choose one of {', '.join(BIT_ORDERS)}")
    if (gallery is None) != (gallery_labels is None):
        raise UserError("gallery: give gallery and gallery_labels together")
    if gallery is not None and queries is not None:
        raise UserError("queries: with a separate gallery every descriptor is a query; omit queries")
    rows = checked_rows(descriptors, "descriptors", similarity, bits, bit_order)
    gallery_rows = rows if gallery is None else checked_rows(gallery, "gallery", similarity, bits, bit_order)
    if rows.shape[1] != gallery_rows.shape[1]:
        raise UserError(
            f"gallery: {gallery_rows.shape[1]} dimensions, but the descriptors have {rows.shape[1]}; give both the same"
        )
    return GivenRows(rows, gallery_rows, gallery is None, similarity)


def post_processed(
    given: GivenRows, pairs: LeftOutPairs | None, after: PostProcessing, asked: Tensor, own: Any, ignore: Any
) -> tuple[GivenRows, LeftOutPairs | None]:
    """Return the descriptors after post-processing, and the columns that their rankings leave out.

    Args:
        given: The descriptors.
        pairs: The columns that plain rankings leave out.
        after: The post-processing.
        asked: (Q,) int64, the rows that are queries.
        own: As in ``rsir_bench.ranking.score``.
        ignore: As in ``rsir_bench.ranking.score``.

    Raises:
        UserError: The post-processing does not fit these descriptors.
    """
    scenes = len(given.rows)
    places = torch.arange(scenes) if given.own else own_rows(own, scenes)
    applied = apply(after, given.rows, given.gallery_rows, asked, places, given.similarity)
    similarity = applied.similarity or given.similarity
    if applied.rows is None or applied.gallery_rows is None:
        return replace(given, correct=applied.correct, after_seconds=applied.seconds), pairs
    if given.own:  # a query is no row of the gallery any more, and still the same scene
        pairs = left_out_pairs(places.numpy(), ignore, scenes, scenes)
    changed = (applied.rows, applied.gallery_rows, False, similarity, applied.correct, applied.seconds, given.own)
    return GivenRows(*changed), pairs


def prepared_task(
    given: GivenRows,
    names: list[str],
    classes: Tensor,
    gallery_classes: Tensor,
    asked: Tensor,
    scored: Tensor,
    device: str,
    workers: Workers,
    pairs: LeftOutPairs | None = None,
) -> Task:
    """Return the task of ranking a gallery, with queries and gallery sorted by class.

    Args:
        given: The descriptors.
        names: The C classes.
        classes: (N,) int64 in [0, C), of the descriptors.
        gallery_classes: (M,) int64 in [0, C), of the gallery.
        asked: (Q,) int64, the rows that are queries.
        scored: (Q,) bool, which of them are scored.
        device: Where the rows will live.
        workers: See ``rsir_bench.ranking.threads``.
        pairs: What rankings leave out besides queries that are rows of the gallery; None: nothing.

    Raises:
        UserError: A row cannot be normalised.
    """
    order = torch.argsort(gallery_classes, stable=True)
    starts = torch.searchsorted(gallery_classes[order], torch.arange(len(names) + 1))
    columns = torch.argsort(order)
    positions = torch.nonzero(scored)[:, 0]
    if pairs is not None:  # within a class, queries of equally many positives are neighbours
        fewer = pairs.of_class(classes, gallery_classes)[asked[positions]]
        positions = positions[torch.argsort(fewer, stable=True)]
    positions = positions[torch.argsort(classes[asked[positions]], stable=True)]
    queries, similarity = asked[positions], given.similarity

    gallery, centre = given.gallery_rows.to(common_type(given.rows, given.gallery_rows)), None
    if similarity == "euclidean":
        centre = euclidean_centre(gallery).to(device)
    prepared = prepare_gallery(gallery, order, similarity, device, workers, centre)
    separate = None
    if not given.own:
        separate = prepare(given.rows.to(prepared.rows.dtype), queries, similarity, device, workers, centre)
    if separate is not None and pairs is None:
        warn_of_known_queries(separate, prepared, workers)
    equal, mixed = largest_equal(prepared.rows, gallery_classes[order], workers)
    flat_codes = equal if similarity == "hamming" and degenerate(mixed, len(order)) else 0
    if given.correct is not None:  # distances of codes are no whole numbers any more
        prepared = replace(prepared, whole=None)
    return Task(
        gallery=prepared,
        starts=starts,
        query_rows=None if separate is None else separate.rows,
        queries=queries,
        positions=positions,
        query_classes=classes[queries],
        own_columns=columns[queries] if given.own else None,
        left_out=None if pairs is None else pairs.of_queries(queries, columns, classes, gallery_classes),
        class_names=names,
        skipped=len(asked) - len(positions),
        constant=prepared.constant + (separate.constant if separate and not given.same_scenes else 0) + flat_codes,
        equal=equal,
        mixed=mixed,
        device=device,
        correction=None if given.correct is None else Correction(given.correct, order),
        prepared_in=given.after_seconds,
    )


def warn_of_known_queries(queries: Prepared, gallery: Prepared, workers: Workers) -> None:
    """Warn if rows of a separate gallery equal queries, which then find themselves.

    Different scenes may have the same code, so codes are suspect only if most queries equal exactly one row.
    """
    values, counts = torch.unique(row_hashes(gallery.rows, workers), return_counts=True)
    hashes = row_hashes(queries.rows, workers)
    hashes = hashes[queries.rows.any(dim=1)]  # a row without a direction equals all others
    if gallery.whole is not None:
        values = values[counts == 1]
    known = int(torch.isin(hashes, values).sum())
    if known > (0 if gallery.whole is None else len(queries.rows) // 2):
        message = "gallery: %d of %d queries equal a row of the gallery; if it is the same scene, give own, its row"
        logging.getLogger(__name__).warning(message, known, len(queries.rows))


def checked_similarity(similarity: str, codes: bool, bits: int | None) -> str:
    """Return the similarity in force: Hamming for codes, otherwise the one named.

    Raises:
        UserError: The similarity is unknown, or cannot be used with ``codes`` or ``bits``.
    """
    if similarity not in SIMILARITIES:
        raise UserError(f"similarity {similarity!r}: choose one of {', '.join(SIMILARITIES)}")
    if codes and similarity not in ("pearson", "hamming"):
        raise UserError(f"similarity {similarity!r}: codes are ranked by Hamming distance; omit one of the two")
    if similarity == "hamming" or codes:
        if bits is not None and (not isinstance(bits, Integral) or bits < 1):
            raise UserError(f"bits {bits!r}: give the number of bits of a code, at least 1")
        return "hamming"
    if bits is not None:
        raise UserError("bits: only packed codes have bits; add codes, or omit bits")
    return similarity


def checked_rows(values: Any, what: str, similarity: str, bits: int | None, bit_order: str) -> Tensor:
    """Return descriptors as a tensor (N, D) of their dtype, or codes as (N, bits) float32 of -1 and +1.

    Raises:
        UserError: They are not finite numbers (N, D), or codes contain values other than bits, or extra bits.
    """
    rows = checked_descriptors(values, what)
    if similarity != "hamming":
        return rows
    if bits is not None and rows.dtype == torch.uint8 and rows.shape[1] == -(-bits // 8):
        # A single bit is packed as 0 or 128, so values up to 1 are not packed.
        rows = rows if bits == 1 and bool((rows <= 1).all()) else checked_packed(rows, bits, bit_order, what)
    if bits is not None and rows.shape[1] != bits:
        kind, packed = str(rows.dtype).removeprefix("torch."), -(-bits // 8)
        raise UserError(
            f"{what}: {rows.shape[1]} columns of {kind} are neither {bits} columns of 0/1 nor {packed} of packed uint8"
        )
    if bool(((rows != 0) & (rows != 1)).any()):
        raise UserError(
            f"{what}: codes hold values other than 0 and 1; give 0/1 or bool, or packed uint8 with bits, or omit codes"
        )
    return rows.to(torch.float32, copy=True).mul_(2).sub_(1)  # a copy of the caller's rows, whatever their type


def checked_packed(rows: Tensor, bits: int, bit_order: str, what: str) -> Tensor:
    """Return packed codes, (N, bytes) uint8, as (N, bits) uint8 of 0 and 1.

    Raises:
        UserError: A padding bit of the last byte is set: the codes are longer, or packed in the other bit order.
    """
    every = unpacked(rows, bit_order)
    if padded := int(every[:, bits:].any(dim=1).sum()):
        other = next(order for order in BIT_ORDERS if order != bit_order)
        raise UserError(
            f"{what}: bits {bits + 1} to {every.shape[1]} are padding, but set in {padded} of {len(rows)} codes; "
            f"give the number of bits in a code, or the order in which they were packed (bit order {other}, not "
            f"{bit_order})"
        )
    return every[:, :bits]


def checked_device(device: Any) -> str:
    """Return the device's name if the device is available.

    Raises:
        UserError: It is not.
    """
    name = str(device)
    if name.startswith("mps"):
        raise UserError("device 'mps': ranks need 64-bit floats, which it lacks; use cpu")
    if name != "cpu" and not (name.startswith("cuda") and torch.cuda.is_available()):
        raise UserError(f"device {name!r}: not available; use cpu" + (" or cuda" if torch.cuda.is_available() else ""))
    return name
