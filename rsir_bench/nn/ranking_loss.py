"""A hinge loss that gives scores the order of other values."""

from __future__ import annotations

from torch import Tensor


def ranking_hinge(scores: Tensor, losses: Tensor, margin: float = 1.0) -> Tensor:
    """What has the smaller loss should have the higher score (Yang et al., ECCV 2018, section 3.4, navigator loss).

    Per scene it sums ``max(0, margin - s_i + s_j)`` over all ordered pairs in which the loss of j exceeds that of i.

    Args:
        scores: (N, M); the gradient flows only here.
        losses: (N, M); only their order counts, and equal ones make no pair.
        margin: By how much the better score should lead.

    Returns:
        The mean over the N scenes, in at least 32 bit; zero where no scene has a pair.
    """
    scores = scores.float() if scores.dtype.itemsize < 4 else scores
    worse = losses[:, None, :] > losses[:, :, None]  # [n, i, j]: j has the larger loss
    hinge = (margin - scores[:, :, None] + scores[:, None, :]).relu()
    return (hinge * worse).sum() / len(scores)
