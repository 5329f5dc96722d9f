"""JSST: a learnable joint spatial and spectral transformation before the retrieval network, and its variants."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from rsir_bench.method import FrontEnd, FrontEndCard, ParameterGroup, Settings, Setup, preset, tuned
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
COLLAPSED = 1e-3  # a parameter that spreads less over scenes counts as constant
ACTS = 0.05  # a constant parameter farther from the identity changes scenes visibly
RUNAWAY = 10.0  # a parameter farther from zero leaves nothing of a scene: all of it is outside, black or white


class JsstSettings(Settings):
    """The replaceable parts of the paper's method, and what it leaves open.

    Attributes:
        warp: Spatial conversion: affine (the paper's), perspective, thin plate spline, or off.
        spectral: Spectral conversion: linear (the paper's), gamma, or off.
        order: ``"spat-spec"`` (the paper's); ``"hybrid"``: convert spectrally, then sample on the grid of the original
            scene; ``"spec-spat"``: convert spectrally, then generate the warp's parameters again from the converted
            scene.
        generator: One network for all parameters (PGN-S) or one for each conversion (PGN-I).
        interpolation: Interpolation of the warp.
        padding: Values that the warp samples outside the scene.
        rate: Factor on the learning rate of the parameter generation network.
        absolute_rate: Its highest learning rate itself, in place of ``rate``.
        idle_epochs: Epochs at the start in which scenes are not converted, and the method behind trains alone.
        spread: Standard deviation of its regression layer's initial weights.
        bound: Maximum distance of a parameter from the identity (a soft limit by tanh); None: no limit.
        points: Control points of the spline along each side.
        cells: Cells with separate gammas along each side.
    """

    warp: Warp = "affine"
    spectral: Spectral = "linear"
    order: Order = "spat-spec"
    generator: Generator = "shared"
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    padding: Literal["border", "zeros"] = "border"
    rate: float = Field(0.01, gt=0)
    absolute_rate: float | None = Field(None, gt=0)
    idle_epochs: int = Field(0, ge=0)
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
        if self.absolute_rate is not None and self.rate != JsstSettings.model_fields["rate"].default:
            raise ValueError("rate changes nothing with absolute_rate; leave it out")
        if self.order == "hybrid" and self.padding == "border" and self.spectral == "linear":
            raise ValueError("order=hybrid equals spat-spec with border padding: both are linear; set padding=zeros")
        return self


class Jsst(FrontEnd[JsstSettings]):
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
            "one light network generates six affine and four linear spectral parameters per scene (equations 1 to 5)",
            "bilinear interpolation; the spectral conversion follows the spatial one",
        ],
        choices=[
            "choose layers and widths of the parameter network, and add batch norm",
            "start next to the identity, at 0.01 of the learning rate, without weight decay on the regression layer: "
            "settled on classes held out of UCM, under ucm-mobile (there, a rate of 0.0001). At 0.1 of the rate, the "
            "warp of some trainings leaves the scene, and their loss rises before it falls; at 1, training diverges. "
            "The reason to look into it: the first default, 0.1, was worse than the plain network on targets",
            "patternnet, ucm and ucm-lite set the paper's one rate for all parameters, 1e-3 (absolute_rate). It has "
            "not been seen with ImageNet weights and 40 epochs; in trainings from scratch such a rate ran away, and at "
            "0.01 of the trunk's rate the conversion does next to nothing",
            "jsst-tuned is the best of twelve configurations on classes held out of UCM (docs/findings.md): none of "
            "them reached the plain network, or explained more than 0.26 of the variance of a known distortion",
            "convert spectrally on [0, 1] before normalisation, without clamping; do not bound the warp (jsst-tuned: "
            "bound it as the protocol says); pad with the border",
        ],
        version=3,
    )
    Settings = JsstSettings

    def __init__(self, setup: Setup, settings: JsstSettings) -> None:
        super().__init__(setup, settings)
        self.transformation = JointTransformation(
            setup.bands,
            SpatialConversion(settings.warp, settings.points, settings.padding, settings.interpolation),
            SpectralConversion(settings.spectral, setup.bands, settings.cells),
            settings.order,
            settings.generator,
            settings.spread,
            settings.bound,
        )
        if settings.idle_epochs:  # in the checkpoint, for a training that is resumed
            self.register_buffer("epochs", torch.tensor(0))
            self.epochs: Tensor

    @property
    def idle_epochs(self) -> int:
        """The number of epochs before scenes are converted."""
        return self.settings.idle_epochs

    def forward(self, scenes: Tensor) -> Tensor:
        """Return the converted scenes, (N, B, H, W) float, not clamped; ``transformation`` also returns parameters."""
        if self.training and self._is_idle():
            return scenes
        converted: Tensor = self.transformation(scenes)[0]
        return converted

    def _is_idle(self) -> bool:
        return self.settings.idle_epochs > 0 and int(self.epochs) < self.settings.idle_epochs

    def displacement(self, scenes: Tensor) -> Tensor:
        """Return how far the warp moves the content of each scene (N, B, H, W): (N,) float64, pixels."""
        return self.transformation.displacement(scenes)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Return groups at the lower rate; weight decay would pull the regression layers away from the identity."""
        networks, rates = self.transformation.networks, (self.settings.rate, self.settings.absolute_rate)
        features = [p for network in networks for p in network.features.parameters()]
        regression = [p for network in networks for p in network.regression.parameters()]
        return [
            ParameterGroup(features, rates[0], absolute_rate=rates[1]),
            ParameterGroup(regression, rates[0], 0.0, rates[1]),
        ]

    def epoch_metrics(self) -> dict[str, float]:
        """Return each parameter's mean and spread over the epoch's scenes; zero spread means a fixed conversion.

        ``collapsed`` is 1 if no parameter differs between scenes though the conversion is far from the identity: it is
        then a fixed one, which is not JSST; and if a parameter has run away, so that nothing is left of scenes. Next
        to the identity a conversion hardly acts, which its effect on scenes shows.
        """
        if self._is_idle():
            self.epochs += 1
            return {}
        found = self.transformation.statistics()
        identity = self.transformation.identity.tolist()
        farthest = max(abs(value) for pair in found.values() for value in pair)
        moved = max(abs(mean - still) for (mean, _), still in zip(found.values(), identity, strict=True))
        fixed = max(spread for _, spread in found.values()) < COLLAPSED and moved > ACTS
        away = not farthest <= RUNAWAY  # also where it is not a number
        if fixed:
            message = "%s: collapsed to one transformation for all scenes in this epoch, %.3g from the identity"
            LOG.warning(message, self.card.name, moved)
        if away:
            message = "%s: a parameter has run away to %.3g in this epoch: nothing is left of scenes"
            LOG.warning(message, self.card.name, farthest)
        figures = {
            f"theta_{name}{end}": value
            for name, pair in found.items()
            for end, value in zip(("", "_spread"), pair, strict=True)
        }
        return {**figures, "collapsed": float(fixed or away)}


@dataclass(frozen=True)
class Variant:
    """A variant of JSST: other defaults under another name.

    Attributes:
        defaults: The settings in which it differs from ``jsst``.
        title: As in the tables.
        tables: Tables of the paper that show it.
        published: Its variant in the paper's PCA rows; None: the paper has no row for it.
        stated: What the paper states.
        choices: What the paper leaves open, and what is done here.
        version: Version of its results.
    """

    defaults: dict[str, Any]
    title: str
    tables: list[str]
    published: str | None
    stated: list[str]
    choices: list[str] = field(default_factory=list)
    version: int = Jsst.card.version


SPLINE = "a thin plate spline with a sampling grid of 6 x 6 (Table IV)"
SPLINE_CHOICE = (
    "spread the 36 control points over the whole scene: 72 parameters, linear in the predictions, without bounds"
)
POWERS = "gamma transformations on pixels of different positions, with parameters from the network (Table V)"
POWERS_CHOICE = (
    "raise values clamped to [0.001, 1] to one power exp(p) per band; 'pixels of different positions' is the setting "
    "cells, a grid of powers over the scene"
)

VARIANTS = {
    "jsst-spat": Variant(
        {"spectral": "off"},
        title="JSST, spatial only",
        tables=["III", "IV"],
        published="spatial only (SpatT)",
        stated=["the spatial conversion of jsst alone: six affine parameters per scene"],
    ),
    "jsst-spec": Variant(
        {"warp": "off"},
        title="JSST, spectral only",
        tables=["III", "V"],
        published="spectral only (SpecT)",
        stated=["the spectral conversion of jsst alone: four linear parameters per scene"],
    ),
    "jsst-tps": Variant(
        {"warp": "tps"},
        title="JSST with TPS",
        tables=["IV"],
        published=None,
        stated=[SPLINE],
        choices=[
            "read Table IV's row TPS the other way: keep the spectral conversion (jsst-spat-tps is for that row)",
            SPLINE_CHOICE,
        ],
    ),
    "jsst-spat-tps": Variant(
        {"warp": "tps", "spectral": "off"},
        title="JSST, spatial only, TPS",
        tables=["IV"],
        published="spatial=TPS",
        stated=[SPLINE],
        choices=[
            "read Table IV as spatial conversion alone: its row Affine is not JSST's; jsst-tps is the other reading",
            SPLINE_CHOICE,
        ],
    ),
    "jsst-gamma": Variant(
        {"spectral": "gamma"},
        title="JSST with gamma",
        tables=["V"],
        published=None,
        stated=[POWERS],
        choices=[
            "read Table V's row Intra-C the other way: keep the spatial conversion (jsst-spec-gamma is for that row)",
            POWERS_CHOICE,
        ],
    ),
    "jsst-spec-gamma": Variant(
        {"warp": "off", "spectral": "gamma"},
        title="JSST, spectral only, gamma",
        tables=["V"],
        published="spectral=intra-channel (gamma)",
        stated=[POWERS],
        choices=[
            "read Table V as spectral conversion alone: its row Inter-C is not JSST's; jsst-gamma is the other reading",
            POWERS_CHOICE,
        ],
    ),
    "jsst-hybrid": Variant(
        {"order": "hybrid", "padding": "zeros"},
        title="JSST, hybrid",
        tables=["VI"],
        published="order=Hybrid",
        stated=[
            "both conversions start from the original scene; the warp interpolates in the spectrally converted one"
        ],
        choices=[
            "pad with zeros by default: bilinear sampling commutes with a linear map of each band, so that hybrid "
            "equals Spat+Spec inside the scene; beyond it, zeros stay zero that Spat+Spec would recolour",
        ],
    ),
    "jsst-spec-spat": Variant(
        {"order": "spec-spat"},
        title="JSST, spectral before spatial",
        tables=["VI"],
        published="order=Spec+Spat",
        stated=["the spatial conversion follows the spectral one"],
        choices=[
            "run the network again on the spectrally converted scene for the spatial parameters; with one pass, the "
            "method would equal Spat+Spec",
            "let one network read both the original and the converted scene: its batch norm has one set of running "
            "statistics for both, so that training and evaluation differ somewhat more than elsewhere",
        ],
        version=4,
    ),
    "jsst-pgn-i": Variant(
        {"generator": "independent"},
        title="JSST, PGN-I",
        tables=["VII"],
        published="PGN-I",
        stated=["separate feature extraction for the six spatial and the four spectral parameters"],
    ),
}
"""The variants of Tables III to VII by the names they have in ``--methods``."""

for _name, _variant in VARIANTS.items():
    globals()[_name] = preset(  # where the registry finds them
        Jsst,
        _variant.defaults,
        name=_name,
        title=_variant.title,
        tables=_variant.tables,
        published={} if _variant.published is None else {"PCA": ("JSST", _variant.published)},
        stated=_variant.stated,
        choices=[*_variant.choices, "choose everything else as in jsst"],
        version=_variant.version,
    )

Tuned = tuned(Jsst)
