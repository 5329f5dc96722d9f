"""The joint spatial and spectral transformation of the JSST paper (section II-A) with its replaceable models."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from rsir_bench.nn import spectral, warp
from rsir_bench.nn.across import summed
from rsir_bench.nn.pgn import ParameterNetwork

Warp = Literal["affine", "perspective", "tps", "off"]
Spectral = Literal["linear", "gamma", "off"]
Order = Literal["spat-spec", "spec-spat", "hybrid"]
Generator = Literal["shared", "independent"]


class SpatialConversion(nn.Module):
    """A map from parameters to a resampled scene (equations 2 to 4).

    Args:
        kind: Affine (six parameters), perspective (eight), thin plate spline (two for each control point), or off.
        points: Control points of the spline along each side.
        padding: What lies outside the scene: ``"border"`` or ``"zeros"``.
        mode: Interpolation: ``"bilinear"`` or ``"bicubic"``.
    """

    def __init__(self, kind: Warp, points: int, padding: str, mode: str) -> None:
        super().__init__()
        self.kind, self.padding, self.mode = kind, padding, mode
        self.spline = warp.ThinPlateSpline(points) if kind == "tps" else None

    @property
    def identity(self) -> tuple[float, ...]:
        """The parameters that change nothing."""
        if self.spline is not None:
            return self.spline.identity
        return {"affine": warp.IDENTITY, "perspective": warp.PERSPECTIVE_IDENTITY}.get(self.kind, ())

    def forward(self, scenes: Tensor, theta: Tensor) -> Tensor:
        """Scenes (N, B, H, W) resampled with parameters (N, P)."""
        if self.spline is not None:
            grid = self.spline(theta.view(len(theta), -1, 2), scenes)
            return warp.sample(scenes, grid, self.padding, self.mode)
        if self.kind == "perspective":
            return warp.sample(scenes, warp.perspective_grid(theta, scenes), self.padding, self.mode)
        return warp.affine(scenes, theta, self.padding, self.mode) if self.kind == "affine" else scenes


class SpectralConversion(nn.Module):
    """A map from parameters to a recoloured scene (equation 5; Table V).

    Args:
        kind: Linear (a gain per band and a shared bias), gamma (a power per band and cell), or off.
        bands: Bands of a scene.
        cells: Cells with a gamma of their own along each side.
    """

    def __init__(self, kind: Spectral, bands: int, cells: int) -> None:
        super().__init__()
        self.kind, self.bands, self.cells = kind, bands, cells

    @property
    def identity(self) -> tuple[float, ...]:
        """The parameters that change nothing."""
        known = {"linear": (*[1.0] * self.bands, 0.0), "gamma": (0.0,) * (self.bands * self.cells**2)}
        return known.get(self.kind, ())

    def forward(self, scenes: Tensor, theta: Tensor) -> Tensor:
        """Scenes (N, B, H, W) recoloured with parameters (N, P)."""
        if self.kind == "gamma":
            return spectral.gamma(scenes, theta, self.cells)
        return spectral.linear(scenes, theta) if self.kind == "linear" else scenes


class JointTransformation(nn.Module):
    """Generates the parameters of both conversions from a scene and applies them.

    Args:
        bands: Bands of a scene.
        spatial: The spatial conversion.
        colour: The spectral conversion; one of the two has parameters.
        order: ``"spat-spec"``; ``"hybrid"``: converted spectrally, then sampled on the grid of the original
            scene; ``"spec-spat"``: converted spectrally, then the parameters of the warp are generated from the
            converted scene.
        generator: One parameter network (PGN-S) or one for each conversion (PGN-I).
        spread: Standard deviation of the regression layers' initial weights.
        bound: Most that a parameter may be off the identity (a soft limit by tanh); None: no limit.
    """

    def __init__(
        self,
        bands: int,
        spatial: SpatialConversion,
        colour: SpectralConversion,
        order: Order,
        generator: Generator,
        spread: float,
        bound: float | None,
    ) -> None:
        super().__init__()
        self.spatial, self.colour, self.order, self.bound = spatial, colour, order, bound
        both = spatial.identity + colour.identity
        parts = [both] if generator == "shared" else [spatial.identity, colour.identity]
        self.networks: list[ParameterNetwork] = [ParameterNetwork(bands, part, spread) for part in parts if part]
        self.generators = nn.ModuleList(self.networks)
        self.split = len(spatial.identity)
        # Sums over the epoch of theta's distance from the identity, in float64: the spread may be tiny.
        self.register_buffer("identity", torch.tensor(both, dtype=torch.float64), persistent=False)
        self.register_buffer("seen", torch.zeros(3, len(both), dtype=torch.float64), persistent=False)
        self.identity: Tensor
        self.seen: Tensor

    def forward(self, scenes: Tensor) -> tuple[Tensor, Tensor]:
        """The converted scenes (N, B, H, W) and the parameters (N, P) they were converted with, spatial ones first."""
        if self.order == "spec-spat":
            colouring = self.generate_spectral(scenes)
            recoloured = self.colour(scenes, colouring)
            theta = torch.cat([self.generate_spatial(recoloured), colouring], dim=1)
            converted = self.spatial(recoloured, theta[:, : self.split])
        else:
            theta = self.generate(scenes)
            warping, colouring = theta[:, : self.split], theta[:, self.split :]
            if self.order == "spat-spec":
                converted = self.colour(self.spatial(scenes, warping), colouring)
            else:
                converted = self.spatial(self.colour(scenes, colouring), warping)
        if self.training:
            self._note(theta.detach())
        return converted, theta

    def generate(self, scenes: Tensor) -> Tensor:
        """Parameters (N, P) of scenes (N, B, H, W), spatial ones first (equation 1)."""
        return self._bounded(torch.cat([network(scenes) for network in self.networks], dim=1), self.identity)

    def generate_spatial(self, scenes: Tensor) -> Tensor:
        """The spatial ones alone; a network of the spectral ones does not see the scenes."""
        return self._bounded(self.networks[0](scenes)[:, : self.split], self.identity[: self.split])

    def generate_spectral(self, scenes: Tensor) -> Tensor:
        """The spectral ones alone; a network of the spatial ones does not see the scenes."""
        identity = self.identity[self.split :]
        return self._bounded(self.networks[-1](scenes)[:, -len(identity) :], identity)

    def _bounded(self, theta: Tensor, identity: Tensor) -> Tensor:
        if self.bound is None:
            return theta
        identity = identity.to(theta.dtype)
        return identity + self.bound * ((theta - identity) / self.bound).tanh()

    def statistics(self) -> dict[str, tuple[float, float]]:
        """Mean and spread of each parameter over the scenes seen in training since the last call."""
        count, total, squares = summed(self.seen).cpu()
        moved = total / count
        spread = (squares / count - moved**2).clamp_min(0).sqrt()
        mean = self.identity.cpu() + moved
        self.seen.zero_()
        names = [f"s{n + 1}" for n in range(self.split)] + [f"r{n + 1}" for n in range(len(mean) - self.split)]
        return dict(zip(names, zip(mean.tolist(), spread.tolist(), strict=True), strict=True))

    def _note(self, theta: Tensor) -> None:
        theta = theta.double() - self.identity
        self.seen += torch.stack([torch.full_like(theta[0], len(theta)), theta.sum(0), theta.square().sum(0)])
