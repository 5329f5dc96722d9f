"""Triplets of a batch and their losses."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

Triplets = tuple[Tensor, Tensor, Tensor]


def random_triplets(labels: Tensor) -> Triplets:
    """A random positive and a random negative for every scene that has both in the batch.

    Args:
        labels: (N,) classes.

    Returns:
        Anchors, positives and negatives, each (T,) indices into the batch with T <= N; drawn by torch's global
        generator.
    """
    return _best(torch.rand(2, len(labels), len(labels), device=labels.device), labels)


def hard_triplets(embeddings: Tensor, labels: Tensor) -> Triplets:
    """The farthest positive and the nearest negative of every scene (batch-hard; Hermans et al., 2017).

    Args:
        embeddings: (N, D).
        labels: (N,) classes.

    Returns:
        As :func:`random_triplets`.
    """
    distances = torch.cdist(embeddings.detach(), embeddings.detach())
    return _best(torch.stack([distances, -distances]), labels)


def _best(scores: Tensor, labels: Tensor) -> Triplets:
    """The positive with the highest of ``scores[0]`` and the negative with the highest of ``scores[1]``."""
    negative = labels[:, None] != labels
    positive = ~negative & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    anchors = torch.nonzero(positive.any(1) & negative.any(1)).flatten()
    positives, negatives = (
        score.masked_fill(~allowed, -torch.inf).argmax(1)[anchors]
        for score, allowed in zip(scores, (positive, negative), strict=True)
    )
    return anchors, positives, negatives


def triplet_loss(embeddings: Tensor, triplets: Triplets, margin: float) -> Tensor:
    """``[d(a, p) - d(a, n) + margin]+`` with squared Euclidean distances, averaged over the triplets.

    Args:
        embeddings: (N, D).
        triplets: Indices into the batch; without any the loss is 0.
        margin: How much farther a negative has to be.
    """
    anchors, positives, negatives = (embeddings[index] for index in triplets)
    losses = functional.triplet_margin_with_distance_loss(
        anchors, positives, negatives, distance_function=_squared_distance, margin=margin, reduction="none"
    )
    return losses.sum() / max(len(losses), 1)


def dual_anchor_loss(embeddings: Tensor, triplets: Triplets, margin: float) -> Tensor:
    """:func:`triplet_loss` with the anchor as anchor, plus the same with the positive as anchor.

    Args:
        embeddings: (N, D).
        triplets: Indices into the batch.
        margin: How much farther a negative has to be, from either.
    """
    anchors, positives, negatives = triplets
    other = (positives, anchors, negatives)
    return triplet_loss(embeddings, triplets, margin) + triplet_loss(embeddings, other, margin)


def _squared_distance(first: Tensor, second: Tensor) -> Tensor:
    return (first - second).square().sum(1)
