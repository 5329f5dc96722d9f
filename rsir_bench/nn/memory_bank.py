"""A memory bank with the embeddings of all training scenes, and neighbourhood losses on it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from rsir_bench.base.errors import UserError


class MemoryBank(nn.Module):
    """Running means of the unit embeddings of all scenes, one per view (RiDe: Kang et al., TGRS 2021).

    Entries that no batch has filled yet are ignored.

    Args:
        scenes: Number of training scenes.
        views: Views of a scene, for example rotations.
        dimensions: D of the embeddings.
        momentum: Weight of the old entry, in [0, 1).
    """

    def __init__(self, scenes: int, views: int, dimensions: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("features", torch.zeros(scenes, views, dimensions))
        self.register_buffer("seen", torch.zeros(scenes, views, dtype=torch.bool))
        self.register_buffer("labels", torch.full((scenes,), -1))
        self.features: Tensor
        self.seen: Tensor
        self.labels: Tensor

    @torch.no_grad()
    def update(self, features: Tensor, labels: Tensor, index: Tensor, view: Tensor) -> None:
        """Move the batch's entries towards their new embeddings; an empty entry becomes its embedding.

        Args:
            features: (N, D) float of unit length.
            labels: (N,) int64 classes.
            index: (N,) int64 rows of the scenes.
            view: (N,) int64 view of each.

        Raises:
            UserError: A row is beyond the end of the bank.
        """
        rows = len(self.features)
        if len(index) and int(index.max()) >= rows:
            raise UserError(
                f"memory bank: scene {int(index.max())} in a bank of {rows} rows, one per labelled scene; "
                "build the network for as many scenes as it is trained on"
            )
        momentum = self.momentum * self.seen[index, view].to(self.features.dtype)[:, None]
        mixed = momentum * self.features[index, view] + (1 - momentum) * features.to(self.features.dtype)
        self.features[index, view] = functional.normalize(mixed)
        self.seen[index, view] = True
        self.labels[index] = labels

    def forward(
        self, features: Tensor, labels: Tensor, index: Tensor, view: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        """Return the losses of neighbourhood component analysis against the bank, without a scene's own entry.

        With ``p_ij`` the softmax over all other entries j of ``<f_i, m_j> / temperature``: ``-log`` of the sum of p
        over the entries of the same class, and over other views of the same scene. Scenes without such an entry in the
        bank cost nothing.

        Args:
            features: (N, D) float of unit length, in the bank's precision.
            labels: (N,) int64 classes.
            index: (N,) int64 rows of the scenes.
            view: (N,) int64 view of each.
            temperature: Positive divisor of the cosines.

        Returns:
            Two scalars, each the mean over the batch: of the class and of the scene.
        """
        with torch.autocast(features.device.type, enabled=False):
            flat = features @ self.features.flatten(0, 1).T / temperature
        logits = flat.view(-1, *self.seen.shape)
        batch = torch.arange(len(index), device=index.device)
        others = self.seen.expand_as(logits).clone()
        others[batch, index, view] = False
        same_class = others & (labels[:, None] == self.labels)[:, :, None]
        total = _log_sum(flat, others.flatten(1))
        return (
            _surprise(total, flat, same_class.flatten(1)),
            _surprise(total, logits[batch, index], others[batch, index]),
        )


def _surprise(total: Tensor, logits: Tensor, chosen: Tensor) -> Tensor:
    return torch.where(chosen.any(1), total - _log_sum(logits, chosen), 0).mean()


def _log_sum(logits: Tensor, chosen: Tensor) -> Tensor:
    # Not minus infinity: where nothing is chosen, its gradient would be NaN.
    return logits.masked_fill(~chosen, torch.finfo(logits.dtype).min).logsumexp(1)
