"""Losses that compare descriptors: ranking, triplet and centre losses."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def ranking_hinge(scores: Tensor, losses: Tensor, margin: float = 1.0) -> Tensor:
    """Return a hinge that ranks scores by falling losses (Yang et al., ECCV 2018, section 3.4, navigator loss).

    Per scene it sums ``max(0, margin - s_i + s_j)`` over all ordered pairs in which the loss of j exceeds that of i.

    Args:
        scores: (N, M) float; only they get a gradient.
        losses: (N, M) float; only their order counts, and equal ones make no pair.
        margin: Distance by which the better score should lead.

    Returns:
        The mean over the N scenes, in at least 32 bit; zero where no scene has a pair.
    """
    scores = scores.float() if scores.dtype.itemsize < 4 else scores
    worse = losses[:, None, :] > losses[:, :, None]  # [n, i, j]: j has the larger loss
    hinge = (margin - scores[:, :, None] + scores[:, None, :]).relu()
    return (hinge * worse).sum() / len(scores)


Triplets = tuple[Tensor, Tensor, Tensor]


def random_triplets(labels: Tensor) -> Triplets:
    """Draw a random positive and a random negative for every scene that has both in the batch.

    Args:
        labels: (N,) int64 classes.

    Returns:
        Anchors, positives and negatives, each (T,) int64 indices into the batch with T <= N; drawn by torch's
        global generator.
    """
    return _best(torch.rand(2, len(labels), len(labels), device=labels.device), labels)


def hard_triplets(embeddings: Tensor, labels: Tensor) -> Triplets:
    """Return the farthest positive and the nearest negative of every scene (batch-hard; Hermans et al., 2017).

    Args:
        embeddings: (N, D) float.
        labels: (N,) int64 classes.

    Returns:
        As ``random_triplets``.
    """
    distances = torch.cdist(embeddings.detach(), embeddings.detach())
    return _best(torch.stack([distances, -distances]), labels)


def _best(scores: Tensor, labels: Tensor) -> Triplets:
    """Return the positives with the highest ``scores[0]`` and the negatives with the highest ``scores[1]``."""
    negative = labels[:, None] != labels
    positive = ~negative & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    anchors = torch.nonzero(positive.any(1) & negative.any(1)).flatten()
    positives, negatives = (
        score.masked_fill(~allowed, -torch.inf).argmax(1)[anchors]
        for score, allowed in zip(scores, (positive, negative), strict=True)
    )
    return anchors, positives, negatives


def triplet_loss(embeddings: Tensor, triplets: Triplets, margin: float) -> Tensor:
    """Return ``[d(a, p) - d(a, n) + margin]+`` with squared Euclidean distances, averaged over the triplets.

    Args:
        embeddings: (N, D) float.
        triplets: Three (T,) int64 indices into the batch; without any the loss is 0.
        margin: Squared distance by which a negative must be farther.

    Returns:
        A scalar, at least 0.
    """
    anchors, positives, negatives = (embeddings[index] for index in triplets)
    losses = functional.triplet_margin_with_distance_loss(
        anchors, positives, negatives, distance_function=_squared_distance, margin=margin, reduction="none"
    )
    return losses.sum() / max(len(losses), 1)


def dual_anchor_loss(embeddings: Tensor, triplets: Triplets, margin: float) -> Tensor:
    """Return ``triplet_loss`` with the anchor as anchor, plus the same with the positive as anchor.

    Args:
        embeddings: (N, D) float.
        triplets: Three (T,) int64 indices into the batch.
        margin: Squared distance by which a negative must be farther, from either.

    Returns:
        A scalar, at least 0.
    """
    anchors, positives, negatives = triplets
    other = (positives, anchors, negatives)
    return triplet_loss(embeddings, triplets, margin) + triplet_loss(embeddings, other, margin)


def _squared_distance(first: Tensor, second: Tensor) -> Tensor:
    return (first - second).square().sum(1)


class CentreLoss(nn.Module):
    """Half the squared distance of features to the centre of their class, which follows them.

    Wen, Zhang, Li, Qiao: A discriminative feature learning approach for deep face recognition, ECCV 2016 (equations 2
    and 4), as the mean over the batch. The centres start at zero, take no gradient, and belong to the module's state.

    Args:
        features: Length of a feature.
        classes: Number of classes.
        alpha: Rate of the centres, in [0, 1].
    """

    def __init__(self, features: int, classes: int, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha
        self.register_buffer("centres", torch.zeros(classes, features))
        self.centres: Tensor

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Return the loss, a scalar, of features (N, D) with labels (N,) int64; in training, then move the centres."""
        with torch.autocast(features.device.type, enabled=False):
            away = features.to(torch.promote_types(features.dtype, torch.float32)) - self.centres[labels]
            if self.training:
                self._follow(away.detach(), labels)
            return 0.5 * away.square().sum(1).mean()

    def _follow(self, away: Tensor, labels: Tensor) -> None:
        """Move each centre by alpha times the sum of its features' distances over one more than their number."""
        members = functional.one_hot(labels, len(self.centres)).to(away.dtype)
        self.centres += self.alpha * (members.T @ away) / (1 + members.sum(0)[:, None])
