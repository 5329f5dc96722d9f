"""JSST: a learnable joint spatial and spectral transformation before the retrieval network, and its variants."""

from __future__ import annotations

import logging
from typing import Literal

from pydantic import Field
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
            "on sources alone. At 0.1 the warp of some trainings runs out of the scene, their loss rising before it "
            "falls; at 1 training diverges; on classes held out of the source, drawn twice, 0.01 is as good as any",
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


def variant(name: str, title: str, tables: list[str], published: str | None, choices: list[str]) -> FrontEndCard:
    """JSST's card with what the variant changes; ``published`` is its variant in the paper's PCA rows."""
    rows = {} if published is None else {"PCA": ("JSST", published)}
    changes = {"name": name, "title": title, "tables": tables, "published": rows}
    return Jsst.card.model_copy(update={**changes, "choices": [*choices, *Jsst.card.choices]})


class SpatSettings(JsstSettings):
    """No spectral conversion."""

    spectral: Spectral = "off"


class JsstSpat(Jsst):
    """SpatT: six affine parameters only (Tables III and IV)."""

    card = variant("jsst-spat", "JSST, spatial only", ["III", "IV"], "spatial only (SpatT)", [])
    Settings = SpatSettings


class SpecSettings(JsstSettings):
    """No spatial conversion."""

    warp: Warp = "off"


class JsstSpec(Jsst):
    """SpecT: four linear parameters only (Tables III and V)."""

    card = variant("jsst-spec", "JSST, spectral only", ["III", "V"], "spectral only (SpecT)", [])
    Settings = SpecSettings


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
        ["the other reading of Table IV's row TPS: the spectral conversion stays (jsst-spat-tps stands for that row)"],
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
        [
            "Table IV is read as spatial conversion alone: its row Affine is not JSST's; jsst-tps is the other reading",
            "6 x 6 control points over the whole scene, 72 parameters, linear in the predictions, no bounds",
        ],
    )
    Settings = SpatTpsSettings


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
        ["the other reading of Table V's row Intra-C: the spatial conversion stays (jsst-spec-gamma is for that row)"],
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
        [
            "Table V is read as spectral conversion alone: its row Inter-C is not JSST's; jsst-gamma is the other one",
            "one gamma per band; 'pixels of different positions' is the setting cells: a grid of gammas over the scene",
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
        [
            "bilinear sampling commutes with a linear map of each band: inside the scene hybrid equals Spat+Spec, so "
            "that zero padding, where they differ, is its default",
        ],
    )
    Settings = HybridSettings


class SpecSpatSettings(JsstSettings):
    """The spectral conversion first."""

    order: Order = "spec-spat"
    padding: Literal["border", "zeros"] = "zeros"


class JsstSpecSpat(Jsst):
    """Spectral, then spatial conversion (Table VI)."""

    card = variant(
        "jsst-spec-spat",
        "JSST, spectral before spatial",
        ["VI"],
        "order=Spec+Spat",
        [
            "the network runs again on the spectrally converted scene for the spatial parameters; with one pass it "
            "would equal hybrid",
            "zero padding, as for jsst-hybrid",
        ],
    )
    Settings = SpecSpatSettings


class PgnISettings(JsstSettings):
    """Two networks."""

    generator: Generator = "independent"


class JsstPgnI(Jsst):
    """Two parameter generation networks, one for each conversion (PGN-I, Table VII)."""

    card = variant("jsst-pgn-i", "JSST, PGN-I", ["VII"], "PGN-I", [])
    Settings = PgnISettings
