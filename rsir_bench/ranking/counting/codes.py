"""Rank binary codes by counting scenes at each Hamming distance, from 0 to the number of bits.

All scenes at one distance are tied, so that these counts, of scenes and of positives, are the whole ranking.
"""

from __future__ import annotations

import faiss
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rsir_bench.ranking.queries import LeftOut
from rsir_bench.ranking.ties import PositiveRanks, TieGroups

CHUNK_ELEMENTS = 2**19  # distances counted at a time: they stay in the processor's cache
RADIUS = 2  # of P@H2
WORD = 8  # bytes; faiss takes codes of whole words
BITS_SET = np.array([number.bit_count() for number in range(256)])

Bytes = npt.NDArray[np.uint8]


def packed(rows: Tensor) -> Bytes:
    """Return codes, (N, bits) float32 of -1 and +1, as (N, bytes) uint8, filled up to whole words with 0."""
    found = np.packbits(rows.numpy() > 0, axis=1)
    return np.ascontiguousarray(np.pad(found, ((0, 0), (0, -found.shape[1] % WORD))))


def counted_ranks(
    queries: Bytes, gallery: Bytes, columns: slice, relevant: int, bits: int, left_out: LeftOut
) -> PositiveRanks:
    """Return the ranks of the positives of S queries of one class.

    Args:
        queries: (S, bytes) packed codes.
        gallery: (M, bytes) packed codes.
        columns: The rows of the gallery that are of the class.
        relevant: R, the positives of each query.
        bits: Bits of the codes.
        left_out: What the rankings leave out.

    Examples:
        >>> near, far = [[1.0, 1.0]], [[-1.0, 1.0]]
        >>> codes, zeros = packed(torch.tensor(near + far + far)), torch.zeros(2, dtype=torch.int64)
        >>> nothing = LeftOut(zeros, zeros[:0], zeros[:1])
        >>> groups = counted_ranks(codes[:1], codes, slice(1, 3), 2, 2, nothing).groups
        >>> groups.before.tolist(), groups.size.tolist(), groups.positives.tolist()
        ([[1]], [[2]], [[2]])
    """
    scenes, positives = np.empty((2, len(queries), bits + 1), np.int64)
    step = max(1, CHUNK_ELEMENTS // len(gallery))
    distances = np.empty((min(step, len(queries)), len(gallery)), np.int32)
    for start in range(0, len(queries), step):
        part = slice(start, min(start + step, len(queries)))
        fill_distances(queries[part], gallery, distances[: part.stop - start], bits + 1)
        for counts, counted in ((scenes, distances), (positives, distances[:, columns])):
            numbers = torch.from_numpy(counted[: part.stop - start]).reshape(-1)
            counts[part].reshape(-1)[:] = torch.bincount(numbers, minlength=counts[part].size).numpy()
    cells, absent = (index.numpy() for index in left_out.cells())
    lost = BITS_SET[queries[cells] ^ gallery[absent]].sum(axis=1, dtype=np.int64)
    of_class = (absent >= columns.start) & (absent < columns.stop)
    np.subtract.at(scenes, (cells, lost), 1)
    np.subtract.at(positives, (cells[of_class], lost[of_class]), 1)
    return _ranks(torch.from_numpy(scenes), torch.from_numpy(positives), relevant)


def fill_distances(queries: Bytes, gallery: Bytes, distances: npt.NDArray[np.int32], bins: int) -> None:
    """Write Hamming distances, (S, M), where those of each query start from another number, a multiple of ``bins``."""
    given, filled = [faiss.swig_ptr(codes) for codes in (queries, gallery)], faiss.swig_ptr(distances)
    faiss.hammings(*given, len(queries), len(gallery), queries.shape[1], filled)  # type: ignore[attr-defined]
    distances += np.arange(0, len(queries) * bins, bins, dtype=np.int32)[:, None]


def _ranks(scenes: Tensor, positives: Tensor, relevant: int) -> PositiveRanks:
    """Return ranks from the number of scenes and of positives at each distance, (S, bits + 1) int64 each."""
    near = torch.stack([counts[:, : RADIUS + 1].sum(dim=1) for counts in (scenes, positives)])
    held = positives.any(dim=0).nonzero()[:, 0]
    kept = slice(int(held[0]), int(held[-1]) + 1)
    before, positives_before = (counts.cumsum(dim=1) - counts for counts in (scenes, positives))
    query = torch.arange(len(scenes))[:, None].expand(-1, kept.stop - kept.start)
    groups = TieGroups(query, before[:, kept], scenes[:, kept], positives_before[:, kept], positives[:, kept])
    return PositiveRanks(torch.empty(len(scenes), 0, dtype=torch.float64), groups, relevant, near)
