"""Losses that compare descriptors with each other, with proxies of classes, or with centres."""

from __future__ import annotations

import math

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
    """Half the squared distance of features to the moving centre of their class.

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
        """Move each centre by alpha times the sum of its features' distances, divided by one more than their number."""
        members = functional.one_hot(labels, len(self.centres)).to(away.dtype)
        self.centres += self.alpha * (members.T @ away) / (1 + members.sum(0)[:, None])


def multi_similarity_loss(
    embeddings: Tensor, labels: Tensor, alpha: float, beta: float, base: float, epsilon: float
) -> Tensor:
    """Return the multi-similarity loss of mined pairs (Wang et al., CVPR 2019, equations 11 to 15).

    A negative pair is kept if its cosine exceeds the cosine of the anchor's least similar positive minus ``epsilon``. A
    positive pair is kept if its cosine is below the cosine of the anchor's most similar negative plus ``epsilon``.

    Args:
        embeddings: (N, D) float of unit length.
        labels: (N,) int64 classes.
        alpha: Sharpness of the positive pairs.
        beta: Sharpness of the negative pairs.
        base: Cosine at which a pair starts to count (lambda).
        epsilon: Margin of the mining.

    Returns:
        The mean over the N anchors, at least 0; an anchor without a kept pair of a kind adds 0 for that kind.
    """
    cosines = embeddings @ embeddings.T
    positive, negative = _pairs(labels)
    least = cosines.masked_fill(~positive, torch.inf).amin(1, keepdim=True)
    most = cosines.masked_fill(~negative, -torch.inf).amax(1, keepdim=True)
    kept_positive = positive & (cosines < most + epsilon)
    kept_negative = negative & (cosines > least - epsilon)
    pull = _log_one_plus_sum(-alpha * (cosines - base), kept_positive) / alpha
    push = _log_one_plus_sum(beta * (cosines - base), kept_negative) / beta
    return (pull + push).mean()


def supervised_contrastive_loss(embeddings: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Return the supervised contrastive loss (Khosla et al., NeurIPS 2020, equation 2: the sum outside the logarithm).

    Args:
        embeddings: (N, D) float of unit length.
        labels: (N,) int64 classes.
        temperature: Divisor of the cosines.

    Returns:
        The mean over the scenes that have a positive in the batch; 0 if there are none.
    """
    positive, negative = _pairs(labels)
    logits = (embeddings @ embeddings.T / temperature).masked_fill(~(positive | negative), -torch.inf)
    shares = logits.log_softmax(1).masked_fill(~positive, 0).sum(1)
    counts = positive.sum(1)
    anchors = counts > 0
    return -(shares[anchors] / counts[anchors]).sum() / max(int(anchors.sum()), 1)


def proxy_anchor_loss(cosines: Tensor, labels: Tensor, alpha: float, margin: float) -> Tensor:
    """Return the proxy-anchor loss (Kim et al., CVPR 2020, equation 4).

    Args:
        cosines: (N, C) float, of each scene to the proxy of each class.
        labels: (N,) int64 classes.
        alpha: Sharpness.
        margin: Margin of the cosines.

    Returns:
        A scalar: the mean pull of the proxies with a positive in the batch, plus the mean push of all C proxies.
    """
    own = functional.one_hot(labels, cosines.shape[1]).bool()
    pull = _log_one_plus_sum((-alpha * (cosines - margin)).T, own.T)
    push = _log_one_plus_sum((alpha * (cosines + margin)).T, ~own.T)
    return pull.sum() / own.any(0).sum() + push.mean()


def arcface_logits(cosines: Tensor, labels: Tensor, margin: float, scale: float) -> Tensor:
    """Return logits in which a scene's angle to its own class is larger by a margin (Deng et al., CVPR 2019, eq. 3).

    If the enlarged angle would exceed pi, the cosine is lowered by ``margin * sin(margin)`` instead, as in the official
    code, so that it stays monotonic.

    Args:
        cosines: (N, C) float, of each scene to the weight of each class.
        labels: (N,) int64 classes.
        margin: Radians, in [0, pi / 2].
        scale: Factor on all cosines.

    Returns:
        (N, C) float, for cross-entropy.
    """
    cosine = cosines.gather(1, labels[:, None]).clamp(-1 + 1e-7, 1 - 1e-7)
    angle = cosine.acos() + margin
    enlarged = torch.where(angle <= math.pi, angle.cos(), cosine - margin * math.sin(margin))
    return scale * cosines.scatter(1, labels[:, None], enlarged)


def _pairs(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return which pairs of different scenes have the same class, and which have not, each bool (N, N)."""
    same = labels[:, None] == labels
    return same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device), ~same


def _log_one_plus_sum(exponents: Tensor, kept: Tensor) -> Tensor:
    """Return ``log(1 + sum of exp)`` of the kept values of each row."""
    rows = exponents.masked_fill(~kept, -torch.inf)
    return torch.cat([rows.new_zeros(len(rows), 1), rows], 1).logsumexp(1)
