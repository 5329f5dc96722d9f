"""An encoder: normalisation, a network, and pooling."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rsir_bench.base.errors import UserError
from rsir_bench.encoders.backbone import Backbone
from rsir_bench.encoders.fetching import REFUSALS
from rsir_bench.encoders.input import Input

POOLINGS = {"cls": "CLS", "mean": "mean", "gem": "GeM", "cls+mean": "CLS+mean"}
"""How tables print the poolings that a setting may ask for."""

POWER, LEAST = 3.0, 1e-6


def pooling_name(backbone: Backbone, asked: str | None) -> str:
    """Return how tables print the pooling that is asked for; None: the weights' own."""
    return backbone.pooling if asked is None else POOLINGS[asked]


class Encoder(nn.Module):
    """A network for scenes in [0, 1], as its weights want them.

    Args:
        backbone: The network, prepared for the size.
        input: What it sees.
        bands: Bands of a scene.
        pooling: As tables print it; the backbone's own, or one of ``POOLINGS``.
        limits: The stored values that are 0 and 1 here, see ``Input.on_unit_range``.

    Raises:
        UserError: Mean and standard deviation are not one per band, or one for all.
    """

    def __init__(
        self, backbone: Backbone, input: Input, bands: int, pooling: str, limits: tuple[float, float] | None
    ) -> None:
        super().__init__()
        self.backbone, self.input, self.pooling = backbone, input, pooling
        statistics = dict(zip(("mean", "std"), input.on_unit_range(limits), strict=True))
        for name, values in statistics.items():
            if len(values) not in (1, bands):
                raise UserError(f"{name}: {len(values)} values for {bands} bands; give one value, or one per band")
            tensor = torch.tensor(values, dtype=torch.float32).expand(bands).view(1, -1, 1, 1).clone()
            self.register_buffer(name, tensor, persistent=False)
        self.mean: Tensor
        self.std: Tensor
        self.requires_grad_(False).eval()

    def forward(self, scenes: Tensor) -> Tensor:
        """Return pooled features, (N, D) float, of scenes (N, B, H, W) in [0, 1].

        Raises:
            UserError: The network does not take scenes of this size, or cannot be pooled so.
        """
        try:
            features = self._pooled((scenes - self.mean) / self.std)
        except REFUSALS as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            raise self.backbone.refuse(error, scenes.shape[-1]) from error
        if features.ndim != 2 or len(features) != len(scenes):
            shape = " x ".join(map(str, features.shape))
            raise UserError(f"gives {shape} for {len(scenes)} scenes; append :pooling=mean to its name")
        return features

    def _pooled(self, values: Tensor) -> Tensor:
        if self.pooling == self.backbone.pooling:
            return self.backbone.pooled(values)
        token, places = self.backbone.local(values)
        if self.pooling == POOLINGS["gem"]:
            return generalised_mean(places)
        mean = places.mean(dim=1)
        if self.pooling == POOLINGS["mean"]:
            return mean
        if token is None:
            raise UserError("has no class token; append :pooling=mean or :pooling=gem to its name")
        return token if self.pooling == POOLINGS["cls"] else torch.cat([token, mean], dim=1)


def generalised_mean(places: Tensor) -> Tensor:
    """Return (mean x^3)^(1/3) over places, (N, C) float, of features (N, L, C); values below 1e-6 count as that.

    Radenovic, Tolias, Chum: Fine-tuning CNN image retrieval with no human annotation, equation 3, with its usual p = 3.
    """
    return places.clamp_min(LEAST).pow(POWER).mean(dim=1).pow(1 / POWER)
