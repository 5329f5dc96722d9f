"""How relevant one label set is to another: shared labels and three kinds of relevance, in one number."""

from __future__ import annotations

import torch
from torch import Tensor

MOST_LABELS = 1000
"""With no more, gains of 2^g - 1 are finite."""

_SHIFT = 2  # bits below the number of shared labels
_BITS = {"jaccard": 1, "equal": 2}


def levels_between(queries: Tensor, others: Tensor) -> Tensor:
    """Return the level of each other label set for each query, (S, C) int32.

    A level holds the number of shared labels, whether the sets are equal, and whether their Jaccard index, shared
    labels over the labels of either, is at least 1/2. Levels ascend with the number of shared labels and, among those,
    with equality.

    Args:
        queries: (S, L) bool, label sets, none empty.
        others: (C, L) bool, likewise.

    Examples:
        >>> sets = torch.tensor([[True, True, False], [True, False, False], [False, False, True]])
        >>> levels = levels_between(sets[:1], sets)
        >>> shared_labels(levels).tolist(), relevant(levels, "jaccard").tolist(), relevant(levels, "equal").tolist()
        ([[2, 1, 0]], [[True, True, False]], [[True, False, False]])
    """
    shared = (queries.float() @ others.float().T).int()  # counts below 2**24 are exact
    sizes = others.sum(dim=1, dtype=torch.int32)
    either = queries.sum(dim=1, dtype=torch.int32)[:, None] + sizes - shared
    equal, half = (shared == either).int(), (2 * shared >= either).int()
    return (shared << _SHIFT) + equal * _BITS["equal"] + half * _BITS["jaccard"]


def shared_labels(levels: Tensor) -> Tensor:
    """Return the number of shared labels, the gain of a scene, (...) int32; levels are (...) int32."""
    return levels >> _SHIFT


def relevant(levels: Tensor, relevance: str) -> Tensor:
    """Return whether scenes of these levels, (...) int32, are relevant in the sense of one of ``RELEVANCES``, bool."""
    return levels >= 1 << _SHIFT if relevance == "any" else (levels & _BITS[relevance]) > 0
