"""JSST: a learnable joint spatial and spectral transformation before the retrieval network, and its variants."""

from __future__ import annotations

import logging
from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor

from rsir_bench.method import FrontEnd, FrontEndCard, ParameterGroup, Settings, Setup
from rsir_bench.nn.transformation import (
    Generator,
    JointTransformation,
    Order,
    SpatialConversion,
    Spectral,
    SpectralConversion,
    Warp,
)

LOG = logging.getLogger(__name__)
COLLAPSED = 1e-3  # spread over scenes below which a parameter is one constant for all of them


class JsstSettings(Settings):
    """What the paper lets be replaced, and what it leaves open.

    Attributes:
        warp: Spatial conversion: affine (the paper's), perspective, thin plate spline, or off.
        spectral: Spectral conversion: linear (the paper's), gamma, or off.
        order: ``"spat-spec"`` (the paper's); ``"hybrid"``: converted spectrally, then sampled on the grid that belongs
            to the original scene; ``"spec-spat"``: converted spectrally, then the parameters of the warp are generated
            anew from the converted scene.
        generator: One network for all parameters (PGN-S) or one for each conversion (PGN-I).
        interpolation: Of the warp.
        padding: What the warp finds outside the scene.
        rate: Factor on the learning rate of the parameter generation network.
        spread: Standard deviation of its regression layer's initial weights.
        bound: Most that a parameter may be off the identity (a soft limit by tanh); none: no limit.
        points: Control points of the spline along each side.
        cells: Cells with a gamma of their own along each side.
    """

    warp: Warp = "affine"
    spectral: Spectral = "linear"
    order: Order = "spat-spec"
    generator: Generator = "shared"
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    padding: Literal["border", "zeros"] = "border"
    rate: float = Field(0.01, gt=0)
    spread: float = Field(1e-3, ge=0)
    bound: float | None = Field(None, gt=0)
    points: int = Field(6, ge=2)
    cells: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _every_setting_acts(self) -> Self:
        warps, recolours = self.warp != "off", self.spectral != "off"
        if not warps and not recolours:
            raise ValueError("warp and spectral are both off: nothing is left to learn; leave one of them on")
        acts = {
            "points": (self.warp == "tps", "warp=tps"),
            "padding": (warps, "a warp"),
            "interpolation": (warps, "a warp"),
            "cells": (self.spectral == "gamma", "spectral=gamma"),
            "order": (warps and recolours, "both conversions"),
            "generator": (warps and recolours, "both conversions"),
        }
        for name, (does, needed) in acts.items():
            if not does and getattr(self, name) != JsstSettings.model_fields[name].default:
                raise ValueError(f"{name} changes nothing without {needed}; leave it out")
        if self.order == "hybrid" and self.padding == "border" and self.spectral == "linear":
            raise ValueError("order=hybrid is spat-spec where the edge is repeated: both are linear; set padding=zeros")
        return self


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
            "starts next to the identity; 0.01 of the learning rate; no weight decay on the regression layer: settled "
            "on classes held out of UCM, under ucm-mobile (so at 0.0001). At 0.1 of the rate the warp of some "
            "trainings runs out of the scene, their loss rising before it falls; at 1 training diverges. It was looked "
            "into because the first default, 0.1, was worse than the plain network on targets",
            "spectral conversion on [0, 1] before normalisation, not clamped; no bounds on the warp; border padding",
        ],
        version=3,
    )
    Settings = JsstSettings

    def __init__(self, setup: Setup, settings: JsstSettings) -> None:
        super().__init__(setup, settings)
        self.settings: JsstSettings = settings
        self.transformation = JointTransformation(
            setup.bands,
            SpatialConversion(settings.warp, settings.points, settings.padding, settings.interpolation),
            SpectralConversion(settings.spectral, setup.bands, settings.cells),
            settings.order,
            settings.generator,
            settings.spread,
            settings.bound,
        )

    def forward(self, scenes: Tensor) -> Tensor:
        """The converted scenes; values may leave [0, 1]. With their parameters: ``transformation(scenes)``."""
        converted: Tensor = self.transformation(scenes)[0]
        return converted

    def parameter_groups(self) -> list[ParameterGroup]:
        """Both at the lower rate; decay would pull the regression layers' bias away from the identity."""
        rate, networks = self.settings.rate, self.transformation.networks
        return [
            ParameterGroup([p for network in networks for p in network.features.parameters()], rate),
            ParameterGroup([p for network in networks for p in network.regression.parameters()], rate, 0.0),
        ]

    def report(self) -> dict[str, float]:
        """Mean and spread over the epoch's scenes of each parameter; no spread means one transformation for all.

        ``collapsed`` is 1 where no parameter differs between scenes: that is a fixed conversion, and not JSST.
        """
        found = self.transformation.statistics()
        collapsed = max(spread for _, spread in found.values()) < COLLAPSED
        if collapsed:
            LOG.warning("%s: collapsed to one transformation for all scenes in this epoch", self.card.name)
        figures = {
            f"theta_{name}{end}": value
            for name, pair in found.items()
            for end, value in zip(("", "_spread"), pair, strict=True)
        }
        return {**figures, "collapsed": float(collapsed)}


def variant(
    name: str,
    title: str,
    tables: list[str],
    published: str | None,
    stated: list[str],
    choices: list[str],
    version: int = Jsst.card.version,
) -> FrontEndCard:
    """The card of a variant; ``published`` is its variant in the paper's PCA rows."""
    rows = {} if published is None else {"PCA": ("JSST", published)}
    changes = {"name": name, "title": title, "tables": tables, "published": rows, "version": version}
    return Jsst.card.model_copy(
        update={**changes, "stated": stated, "choices": [*choices, "what is open in jsst, as there"]}
    )


class SpatSettings(JsstSettings):
    """No spectral conversion."""

    spectral: Spectral = "off"


class JsstSpat(Jsst):
    """SpatT: six affine parameters only (Tables III and IV)."""

    card = variant(
        "jsst-spat",
        "JSST, spatial only",
        ["III", "IV"],
        "spatial only (SpatT)",
        ["the spatial conversion of jsst alone: six affine parameters per scene"],
        [],
    )
    Settings = SpatSettings


class SpecSettings(JsstSettings):
    """No spatial conversion."""

    warp: Warp = "off"


class JsstSpec(Jsst):
    """SpecT: four linear parameters only (Tables III and V)."""

    card = variant(
        "jsst-spec",
        "JSST, spectral only",
        ["III", "V"],
        "spectral only (SpecT)",
        ["the spectral conversion of jsst alone: four linear parameters per scene"],
        [],
    )
    Settings = SpecSettings


SPLINE = "a thin plate spline with a sampling grid of 6 x 6 (Table IV)"
SPLINE_CHOICE = "the 36 control points span the whole scene: 72 parameters, linear in the predictions, no bounds"


class TpsSettings(JsstSettings):
    """A thin plate spline for the affine map."""

    warp: Warp = "tps"


class JsstTps(Jsst):
    """JSST with a thin plate spline in the place of the affine map."""

    card = variant(
        "jsst-tps",
        "JSST with TPS",
        ["IV"],
        None,
        [SPLINE],
        [
            "the other reading of Table IV's row TPS: the spectral conversion stays (for that row: jsst-spat-tps)",
            SPLINE_CHOICE,
        ],
    )
    Settings = TpsSettings


class SpatTpsSettings(TpsSettings):
    """A thin plate spline, no spectral conversion."""

    spectral: Spectral = "off"


class JsstSpatTps(Jsst):
    """A thin plate spline alone (Table IV)."""

    card = variant(
        "jsst-spat-tps",
        "JSST, spatial only, TPS",
        ["IV"],
        "spatial=TPS",
        [SPLINE],
        [
            "Table IV is read as spatial conversion alone: its row Affine is not JSST's; jsst-tps is the other reading",
            SPLINE_CHOICE,
        ],
    )
    Settings = SpatTpsSettings


POWERS = "gamma transformations on pixels of different positions, their parameters from the network (Table V)"
POWERS_CHOICE = (
    "one power exp(p) per band, of values clamped to [0.001, 1]; 'pixels of different positions' is the setting cells: "
    "a grid of powers over the scene"
)


class GammaSettings(JsstSettings):
    """A gamma per band for the linear stretching."""

    spectral: Spectral = "gamma"


class JsstGamma(Jsst):
    """JSST with gamma conversion in the place of the linear one."""

    card = variant(
        "jsst-gamma",
        "JSST with gamma",
        ["V"],
        None,
        [POWERS],
        [
            "the other reading of Table V's row Intra-C: the spatial conversion stays (for that row: jsst-spec-gamma)",
            POWERS_CHOICE,
        ],
    )
    Settings = GammaSettings


class SpecGammaSettings(GammaSettings):
    """A gamma per band, no spatial conversion."""

    warp: Warp = "off"


class JsstSpecGamma(Jsst):
    """Gamma conversion alone (Table V, Intra-C)."""

    card = variant(
        "jsst-spec-gamma",
        "JSST, spectral only, gamma",
        ["V"],
        "spectral=intra-channel (gamma)",
        [POWERS],
        [
            "Table V is read as spectral conversion alone: its row Inter-C is not JSST's; jsst-gamma is the other one",
            POWERS_CHOICE,
        ],
    )
    Settings = SpecGammaSettings


class HybridSettings(JsstSettings):
    """Both conversions from the original scene."""

    order: Order = "hybrid"
    padding: Literal["border", "zeros"] = "zeros"


class JsstHybrid(Jsst):
    """Parameters from the original scene; the interpolation of the warp is done on the spectrally converted one."""

    card = variant(
        "jsst-hybrid",
        "JSST, hybrid",
        ["VI"],
        "order=Hybrid",
        ["both conversions start from the original scene; the warp interpolates in the spectrally converted one"],
        [
            "bilinear sampling commutes with a linear map of each band: inside the scene hybrid equals Spat+Spec. Only "
            "zero padding, its default, tells them apart: zeros that Spat+Spec would recolour stay zero",
        ],
    )
    Settings = HybridSettings


class SpecSpatSettings(JsstSettings):
    """The spectral conversion first."""

    order: Order = "spec-spat"


class JsstSpecSpat(Jsst):
    """Spectral, then spatial conversion (Table VI)."""

    card = variant(
        "jsst-spec-spat",
        "JSST, spectral before spatial",
        ["VI"],
        "order=Spec+Spat",
        ["the spatial conversion follows the spectral one"],
        [
            "the network runs again on the spectrally converted scene for the spatial parameters; with one pass it "
            "would equal Spat+Spec",
            "one network reads both scenes, the original and the converted: its batch norm has one set of running "
            "statistics for both, so that training and evaluation differ somewhat more than elsewhere",
        ],
        version=4,
    )
    Settings = SpecSpatSettings


class PgnISettings(JsstSettings):
    """Two networks."""

    generator: Generator = "independent"


class JsstPgnI(Jsst):
    """Two parameter generation networks, one for each conversion (PGN-I, Table VII)."""

    card = variant(
        "jsst-pgn-i",
        "JSST, PGN-I",
        ["VII"],
        "PGN-I",
        ["a feature extraction of its own for the six spatial and for the four spectral parameters"],
        [],
    )
    Settings = PgnISettings
