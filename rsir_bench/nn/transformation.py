"""The joint spatial and spectral transformation of the JSST paper (section II-A) with its replaceable models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from rsir_bench.base.compute.devices import widest
from rsir_bench.nn import warp
from rsir_bench.nn.collectives import all_reduce_sum


class ParameterNetwork(nn.Module):
    """A light network from a scene to transformation parameters.

    The paper names convolutions, pooling, one fully connected and one regression layer; their number and widths are our
    choice (0.14 M parameters for three bands), and so are batch norm and an initial output near the identity. Without
    batch norm, it collapses to one constant transformation for all scenes.

    Args:
        bands: Bands of a scene.
        identity: The parameters that change nothing; the initial bias of the regression layer.
        spread: Standard deviation of the regression layer's initial weights. With zero, all layers before it would have
            no gradient in the first step.
    """

    def __init__(self, bands: int, identity: Sequence[float], spread: float) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_block(bands, 16, kernel=7, stride=2),
            nn.MaxPool2d(2),
            *_block(16, 32, kernel=5),
            nn.MaxPool2d(2),
            *_block(32, 64, kernel=3),
            nn.MaxPool2d(2),
            *_block(64, 64, kernel=3),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(64 * 4 * 4, 64),
            nn.ReLU(),
        )
        self.regression = nn.Linear(64, len(identity))
        nn.init.normal_(self.regression.weight, std=spread)
        with torch.no_grad():
            self.regression.bias.copy_(torch.tensor(identity))

    def forward(self, scenes: Tensor) -> Tensor:
        """Return parameters (N, P) float32 for scenes (N, B, H, W) in [0, 1]."""
        features = self.features(scenes - 0.5)
        # bf16 has steps of 0.004 next to one: as coarse as the network's first outputs.
        with torch.autocast(scenes.device.type, enabled=False):
            parameters: Tensor = self.regression(features.float())
        return parameters


def _block(bands: int, channels: int, *, kernel: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(bands, channels, kernel, stride, padding=kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(channels), nn.ReLU()]


DARKEST = 1e-3  # a power of zero has no derivative


def linear(scenes: Tensor, theta: Tensor) -> Tensor:
    """Stretch every band by its own gain, and add a shared bias (inter-channel, equation 5).

    Args:
        scenes: (N, B, H, W) float in [0, 1].
        theta: (N, B + 1) float: a gain per band, then the bias.

    Returns:
        (N, B, H, W) float, not clamped.
    """
    gains, bias = theta[:, :-1], theta[:, -1:]
    return scenes * gains[:, :, None, None] + bias[:, :, None, None]


def gamma(scenes: Tensor, theta: Tensor, cells: int = 1) -> Tensor:
    """Raise every value to a power exp(p) of its band and position (intra-channel, Table V).

    Args:
        scenes: (N, B, H, W) float; clamped to [0.001, 1] first.
        theta: (N, B * cells * cells): the logarithms p of the powers, band after band, on a grid over the scene.
        cells: Cells of this grid along each side; the logarithms are interpolated between their centres. With 1, there
            is one power for all positions.

    Returns:
        (N, B, H, W) in [0, 1].
    """
    logarithms = theta.view(len(scenes), scenes.shape[1], cells, cells)
    if cells > 1:
        logarithms = functional.interpolate(logarithms, size=scenes.shape[-2:], mode="bilinear", align_corners=False)
    return scenes.clamp(DARKEST, 1) ** logarithms.exp()


Warp = Literal["affine", "perspective", "tps", "off"]
Spectral = Literal["linear", "gamma", "off"]
Order = Literal["spat-spec", "spec-spat", "hybrid"]
Generator = Literal["shared", "independent"]


class SpatialConversion(nn.Module):
    """A map from parameters to a resampled scene (equations 2 to 4).

    Args:
        kind: Affine (six parameters), perspective (eight), thin plate spline (two for each control point), or off.
        points: Control points of the spline along each side.
        padding: Values outside the scene: ``"border"`` or ``"zeros"``.
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
        """Return scenes, (N, B, H, W) float, resampled with parameters, (N, P) float."""
        grid = self.grid(scenes, theta)
        return scenes if grid is None else warp.sample(scenes, grid, self.padding, self.mode)

    def grid(self, scenes: Tensor, theta: Tensor) -> Tensor | None:
        """Return the points, (N, H, W, 2) float in [-1, 1], where scenes (N, B, H, W) are sampled; None: it is off."""
        if self.spline is not None:
            points: Tensor = self.spline(theta.view(len(theta), -1, 2), scenes)
            return points
        if self.kind == "perspective":
            return warp.perspective_grid(theta, scenes)
        return warp.affine_grid(theta.view(-1, 2, 3), scenes) if self.kind == "affine" else None


class SpectralConversion(nn.Module):
    """A map from parameters to a recoloured scene (equation 5; Table V).

    Args:
        kind: Linear (a gain per band and a shared bias), gamma (a power per band and cell), or off.
        bands: Bands of a scene.
        cells: Cells with separate gammas along each side.
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
        """Return scenes, (N, B, H, W) float, recoloured with parameters, (N, P) float."""
        if self.kind == "gamma":
            return gamma(scenes, theta, self.cells)
        return linear(scenes, theta) if self.kind == "linear" else scenes


class JointTransformation(nn.Module):
    """Generate the parameters of both conversions from a scene, and apply them.

    Args:
        bands: Bands of a scene.
        spatial: The spatial conversion.
        colour: The spectral conversion; one of the two has parameters.
        order: ``"spat-spec"``; ``"hybrid"``: converted spectrally, then sampled on the grid of the original
            scene; ``"spec-spat"``: converted spectrally, then the parameters of the warp are generated from the
            converted scene.
        generator: One parameter network (PGN-S) or one for each conversion (PGN-I).
        spread: Standard deviation of the regression layers' initial weights.
        bound: Maximum distance of a parameter from the identity (a soft limit by tanh); None: no limit.
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
        """Return the converted scenes, (N, B, H, W) float, and their parameters, (N, P) float, spatial ones first."""
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

    def displacement(self, scenes: Tensor) -> Tensor:
        """Return the mean distance in pixels, (N,) float64, by which the content of scenes (N, B, H, W) moves."""
        _, theta = self(scenes)
        grid = self.spatial.grid(scenes, theta[:, : self.split])
        return scenes.new_zeros(len(scenes), dtype=widest(scenes.device)) if grid is None else warp.distances(grid)

    def generate(self, scenes: Tensor) -> Tensor:
        """Return parameters (N, P) float32 for scenes (N, B, H, W) in [0, 1], spatial ones first (equation 1)."""
        return self._bounded(torch.cat([network(scenes) for network in self.networks], dim=1), self.identity)

    def generate_spatial(self, scenes: Tensor) -> Tensor:
        """Return the spatial parameters only, (N, P) float32; a separate network for spectral ones does not run."""
        return self._bounded(self.networks[0](scenes)[:, : self.split], self.identity[: self.split])

    def generate_spectral(self, scenes: Tensor) -> Tensor:
        """Return the spectral parameters only, (N, P) float32; a separate network for spatial ones does not run."""
        identity = self.identity[self.split :]
        return self._bounded(self.networks[-1](scenes)[:, -len(identity) :], identity)

    def _bounded(self, theta: Tensor, identity: Tensor) -> Tensor:
        if self.bound is None:
            return theta
        identity = identity.to(theta.dtype)
        return identity + self.bound * ((theta - identity) / self.bound).tanh()

    def statistics(self) -> dict[str, tuple[float, float]]:
        """Return mean and spread of each parameter over the scenes seen in training since the last call."""
        count, total, squares = all_reduce_sum(self.seen).cpu().double()
        moved = total / count
        spread = (squares / count - moved**2).clamp_min(0).sqrt()
        mean = self.identity.cpu() + moved
        self.seen.zero_()
        names = [f"s{n + 1}" for n in range(self.split)] + [f"r{n + 1}" for n in range(len(mean) - self.split)]
        return dict(zip(names, zip(mean.tolist(), spread.tolist(), strict=True), strict=True))

    def _note(self, theta: Tensor) -> None:
        theta = theta.to(widest(theta.device)) - self.identity
        self.seen += torch.stack([torch.full_like(theta[0], len(theta)), theta.sum(0), theta.square().sum(0)])
