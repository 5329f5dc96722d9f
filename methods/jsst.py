"""JSST: a learnable joint spatial and spectral transformation before the retrieval network."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from rsir_bench.method import FrontEnd, FrontEndCard, ParameterGroup, Settings, Setup
from rsir_bench.nn.pgn import ParameterNetwork
from rsir_bench.nn.spectral import linear
from rsir_bench.nn.warp import IDENTITY, affine


class JsstSettings(Settings):
    """What the paper leaves open.

    Attributes:
        rate: Factor on the learning rate of the parameter generation network.
        spread: Standard deviation of its regression layer's initial weights.
        padding: What the warp finds outside the scene.
    """

    rate: float = 0.1
    spread: float = 1e-3
    padding: Literal["border", "zeros"] = "border"


class Jsst(FrontEnd):
    """Spatial, then spectral conversion with the parameters of one network (Spat+Spec, PGN-S)."""

    card = FrontEndCard(
        name="jsst",
        title="JSST",
        paper="Wang, Ji, Zhang: A learnable joint spatial and spectral transformation for high resolution remote "
        "sensing image retrieval, IEEE JSTARS 2021",
        year=2021,
        published={"FC": ("JSST", ""), "PCA": ("JSST", "")},
        tables=["I", "II", "III", "IV", "V", "VI", "VII", "VIII"],
        stated=[
            "six affine and four linear spectral parameters from one light network, per scene (equations 1 to 5)",
            "bilinear interpolation; the spectral conversion follows the spatial one",
        ],
        choices=[
            "layers and widths of the parameter network; batch norm in it",
            "starts next to the identity; 0.1 of the learning rate; no weight decay on the regression layer",
            "spectral conversion on [0, 1] before normalisation, not clamped; no bounds on the warp; border padding",
        ],
    )
    Settings = JsstSettings

    def __init__(self, setup: Setup, settings: JsstSettings) -> None:
        super().__init__(setup, settings)
        self.settings: JsstSettings = settings
        identity = (*IDENTITY, *[1.0] * setup.bands, 0.0)
        self.network = ParameterNetwork(setup.bands, identity, settings.spread)
        # Sums over the epoch of theta's distance from the identity, in float64: the spread may be tiny.
        self.register_buffer("identity", torch.tensor(identity, dtype=torch.float64), persistent=False)
        self.register_buffer("seen", torch.zeros(3, len(identity), dtype=torch.float64), persistent=False)
        self.identity: Tensor
        self.seen: Tensor

    def forward(self, scenes: Tensor) -> Tensor:
        """Spatially, then spectrally converted scenes; values may leave [0, 1]."""
        theta = self.network(scenes)
        if self.training:
            self._note(theta.detach())
        warped = affine(scenes, theta[:, :6], self.settings.padding)
        return linear(warped, theta[:, 6:])

    def parameter_groups(self) -> list[ParameterGroup]:
        """Both at the lower rate; decay would pull the regression layer's bias away from the identity."""
        rate = self.settings.rate
        return [
            ParameterGroup(list(self.network.features.parameters()), rate),
            ParameterGroup(list(self.network.regression.parameters()), rate, weight_decay=0.0),
        ]

    def report(self) -> dict[str, float]:
        """Mean and spread over the epoch's scenes of each parameter; no spread means one transformation for all."""
        count, total, squares = self.seen.cpu()
        moved = total / count
        spread = (squares / count - moved**2).clamp_min(0).sqrt()
        mean = self.identity.cpu() + moved
        self.seen.zero_()
        names = [f"s{n}" for n in range(1, 7)] + [f"r{n}" for n in range(1, len(mean) - 5)]
        figures: dict[str, float] = {}
        for name, average, deviation in zip(names, mean.tolist(), spread.tolist(), strict=True):
            figures |= {f"theta_{name}": average, f"theta_{name}_spread": deviation}
        return figures

    def _note(self, theta: Tensor) -> None:
        theta = theta.double() - self.identity
        self.seen += torch.stack([torch.full_like(theta[0], len(theta)), theta.sum(0), theta.square().sum(0)])
