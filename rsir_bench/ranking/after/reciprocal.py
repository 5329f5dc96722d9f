"""The k-reciprocal encoding of a set of scenes: the scenes with which each shares its neighbourhood."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from rsir_bench.ranking.after.contract import Array
from rsir_bench.ranking.after.members import Members


def encoding(members: Members, farthest: Array, k1: int, k2: int) -> sparse.csr_array:
    """Return V, (L, L) float64: a row of weights that sum to 1 for every scene.

    Args:
        members: The L scenes.
        farthest: (L,) float64, the distance of each to the farthest one.
        k1: Neighbours whose reciprocity counts.
        k2: Ranks over which rows are averaged, the scene itself included.
    """
    _, others = members.nearest(max(k1, k2 - 1))
    ranks = np.concatenate([np.arange(len(members))[:, None], others], axis=1)  # a scene is its own first neighbour
    sets = expanded_sets(ranks, k1).tocoo()
    near = members.between(sets.row, sets.col) / np.where(farthest > 0, farthest, 1)[sets.row]
    weights = sparse.csr_array((np.exp(-near), (sets.row, sets.col)), shape=sets.shape)
    weights.data /= np.repeat(weights.sum(axis=1), np.diff(weights.indptr))
    averaged: sparse.csr_array = first_ranks(ranks, k2, 1 / k2) @ weights
    return averaged


def first_ranks(ranks: Array, count: int, value: float = 1) -> sparse.csr_array:
    """Return (L, L) with a value at the first ranks of each scene, given by (L, K) int64."""
    scenes = len(ranks)
    columns = ranks[:, :count].flatten()  # a copy: it is sorted below
    starts = np.arange(0, len(columns) + 1, count)
    found = sparse.csr_array((np.full(len(columns), value), columns, starts), shape=(scenes, scenes))
    found.sort_indices()
    return found


def reciprocal_sets(ranks: Array, k: int) -> sparse.csr_array:
    """Return R(i, k), (L, L) of 0 and 1: scenes among the first k + 1 ranks of i that have i among theirs."""
    near = first_ranks(ranks, k + 1)
    both: sparse.csr_array = near.multiply(near.T.tocsr()).tocsr()
    return both


def expanded_sets(ranks: Array, k1: int) -> sparse.csr_array:
    """Return R*(i, k1), (L, L), positive where a scene belongs to it.

    R(i, k1), and R(c, k1 / 2) of each of its members c of which more than two thirds are inside R(i, k1).
    """
    sets, halves = reciprocal_sets(ranks, k1), reciprocal_sets(ranks, round(k1 / 2))
    inside = sets.multiply(sets @ halves.T.tocsr()).tocsr()  # at members c: how many of R(c, k1 / 2) are inside
    sizes = halves.sum(axis=1)
    inside.data = (3 * inside.data > 2 * sizes[inside.indices]).astype(np.float64)
    expanded: sparse.csr_array = sets + inside @ halves
    expanded.eliminate_zeros()
    return expanded
