"""Encoders from TorchGeo: networks that were made with satellite images, some with more bands than three."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rsir_bench.base.errors import UserError
from rsir_bench.encoders.backbone import Backbone, places
from rsir_bench.encoders.fetching import REFUSALS, building, find_file, optional
from rsir_bench.encoders.from_timm import last_layer, own_pooling
from rsir_bench.encoders.input import Input, share
from rsir_bench.encoders.settings import EncoderSettings
from rsir_bench.nn.checkpoints.fitting import fit_file

TAKEN = ("resnet", "vit_", "swin_", "scalemae", "earthloc")
ELSEWHERE = "compute descriptors with TorchGeo, and score them with `rsir-bench score`"
OTHERS = f"it needs more than pixels (wavelengths, dates or several sensors); {ELSEWHERE}"
USUAL_SIZE = 224
UNIT, BYTE = 1.5, 300.0
"""Statistics up to these are of values on [0, 1], and of values of 8 bits; larger ones are of stored values."""

EIGHT_BITS = 255
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SENSORS = {"SENTINEL2": "S2", "SENTINEL1": "S1"}
COLOURS = {("B4", "B3", "B2"), ("R", "G", "B")}
SHOWN = 8


def open_backbone(settings: EncoderSettings, folders: Sequence[Path]) -> Backbone:
    """Return a model of TorchGeo with its weights.

    Raises:
        UserError: TorchGeo is not installed, there is no such model or tag, or the weights are not available.
    """
    optional("torchgeo", "torchgeo")
    models: Any = import_module("torchgeo.models")
    model, _, tag = settings.model.partition(".")
    if model not in models.list_models():
        raise UserError(f"not a model of TorchGeo; it has {', '.join(models.list_models())}")
    if not model.startswith(TAKEN):
        raise UserError(OTHERS)
    weights = _weights(models, model, tag) if tag or settings.weights == "own" else None
    bands = 3 if weights is None else int(weights.meta["in_chans"])
    own = weights if settings.weights == "own" else None
    with building(f"go online, or name a file, torchgeo:{settings.model}@FILE"):
        network = _without_classifier(models, model, own, bands)
    files: tuple[Path, ...] | None = ()
    if own is not None:
        cached = Path(torch.hub.get_dir()) / "checkpoints" / own.url.rpartition("/")[2]
        files = (cached,) if cached.is_file() else None
    elif settings.weights != "none":
        files = (find_file(settings.weights, folders),)
        network.load_state_dict(fit_file(network, model, files[0], bands).state)
    input = Input(USUAL_SIZE, "bilinear", mean=IMAGENET[0], std=IMAGENET[1]) if weights is None else input_of(weights)
    return TorchgeoBackbone(network, settings.model, input, files)


def _weights(models: Any, model: str, tag: str) -> Any:
    """Return the entry of a model's weights.

    Raises:
        UserError: It has none, or none of that tag.
    """
    try:
        known = models.get_model_weights(model)
    except KeyError:
        raise UserError(f"TorchGeo has no weights of it; name a file, {model}@FILE") from None
    if tag not in known.__members__:
        names = ", ".join(f"{model}.{name}" for name in list(known.__members__)[:SHOWN])
        raise UserError(f"{'no weights ' + repr(tag) if tag else 'name its weights'}: {names}, ...")
    return known[tag]


def _without_classifier(models: Any, model: str, weights: Any, bands: int) -> nn.Module:
    """Return a model with its weights, or with random ones for so many bands."""
    if model.startswith("swin_"):
        network: Any = models.get_model(model, weights=weights)
        network.head = nn.Identity()
        first = network.features[0][0]
        if weights is None and bands != first.in_channels:
            network.features[0][0] = nn.Conv2d(bands, first.out_channels, 4, 4)
    elif model.startswith("earthloc"):
        network = models.get_model(model, weights=weights)
    else:
        options = {"num_classes": 0} | ({"in_chans": bands} if weights is None else {})
        network = models.get_model(model, weights=weights, **options)
    assert isinstance(network, nn.Module)
    return network


class TorchgeoBackbone(Backbone):
    """A model of TorchGeo: one of timm's or torchvision's, or its own.

    Args:
        network: The model, without a classifier.
        model: Its name, with the tag of its weights' configuration.
        input: What it sees.
        files: See ``Backbone``.
    """

    def __init__(self, network: nn.Module, model: str, input: Input, files: tuple[Path, ...] | None) -> None:
        self_pooled = "mean" if hasattr(network, "features") else own_pooling(network)
        super().__init__(network, model, input, self_pooled, files)

    def pooled(self, values: Tensor) -> Tensor:
        """Return the features before the classifier, (N, D) float, of scenes (N, B, H, W)."""
        return torch.as_tensor(self.network(values))

    def local(self, values: Tensor) -> tuple[Tensor | None, Tensor]:
        """Return the class token, (N, C), or None, and the features of all places, (N, L, C), before pooling.

        Raises:
            UserError: The model has no single last layer.
        """
        if hasattr(self.network, "features"):  # of torchvision
            last = self.network.norm(self.network.features(values))  # type: ignore[operator]
            return None, places(last, channels_last=True)
        return last_layer(self.network, values)

    def resize(self, size: int) -> None:
        """Resample position embeddings where the model has them.

        Raises:
            UserError: The model refuses the size.
        """
        if hasattr(self.network, "set_input_size"):
            try:
                self.network.set_input_size(img_size=(size, size))  # type: ignore[operator]
            except REFUSALS as error:
                raise self.refuse(error, size) from None


def input_of(weights: Any) -> Input:
    """Return what weights of TorchGeo were made to see, from their transforms and their bands.

    Raises:
        UserError: Their transforms are of a kind that is not read, or mix colours of 8 bits with reflectances.
    """
    steps: list[Any] = (
        list(weights.transforms) if isinstance(weights.transforms, nn.Sequential) else [weights.transforms]
    )
    by_kind = {type(step).__name__: step for step in steps}
    if unread := sorted(by_kind.keys() - {"Resize", "CenterCrop", "Normalize", "Identity"}):
        raise UserError(f"its transforms have a step {unread[0]}, which is not supported; {ELSEWHERE}")
    resized = by_kind.get("Resize")
    cut = by_kind.get("CenterCrop", resized)
    size = int(weights.meta.get("img_size") or USUAL_SIZE) if cut is None else _side(cut.size)
    mean, std, stored = _normalisation([step for step in steps if type(step).__name__ == "Normalize"], weights.name)
    return Input(
        size=size,
        interpolation="bilinear" if resized is None else str(getattr(resized.interpolation, "value", "bilinear")),
        fit="squash",
        crop=1.0 if resized is None else share(size, _side(resized.size)),
        mean=mean,
        std=std,
        bands=_bands(weights, int(weights.meta["in_chans"])),
        stored=stored,
    )


def _normalisation(steps: Sequence[Any], name: str) -> tuple[tuple[float, ...], tuple[float, ...], bool]:
    """Return mean and deviation of several normalisations as one, and whether they are of stored values.

    Raises:
        UserError: There is none, or the bands differ in what their values are.
    """
    if not steps:
        raise UserError(f"its weights do not say how values are normalised; {ELSEWHERE}")
    mean, std = torch.zeros(1), torch.ones(1)
    for step in steps:
        means, stds = (torch.tensor(list(map(float, values))) for values in (step.mean, step.std))
        mean, std = mean + means * std, std * stds  # of the values before the first step
    scale, stored = _unit((steps[0].mean, steps[0].std), name)
    return _numbers(mean, scale), _numbers(std, scale), stored


def _unit(first: tuple[Sequence[float], Sequence[float]], name: str) -> tuple[float, bool]:
    """Return what values on [0, 1] are multiplied by before the first step, and whether it takes stored values.

    Raises:
        UserError: Some bands are of 8 bits, and others are not.
    """
    mean, std = first
    largest = max(map(abs, [*mean, *std]))
    if largest > BYTE and EIGHT_BITS in std:
        raise UserError(f"its bands mix 8-bit colours with reflectances, which no dataset here does; {ELSEWHERE}")
    if name.startswith("SENTINEL1") or largest > BYTE:
        return 1.0, True
    return (1.0 if largest <= UNIT else float(EIGHT_BITS)), False


def _numbers(values: Tensor, scale: float) -> tuple[float, ...]:
    """Return statistics (B,) in units of ``scale``, to seven digits."""
    return tuple(float(f"{value / scale:.7g}") for value in values.tolist())


def _bands(weights: Any, channels: int) -> tuple[str, ...]:
    """Return the names of the bands with their sensor, ``S2-B8A``, as cards have them; none for colours."""
    names = tuple(re.sub(r"^B0", "B", str(name).upper()) for name in weights.meta.get("bands") or ())
    if channels == 3 and (names in COLOURS or not names):
        return ()
    if not names:
        raise UserError(f"its weights do not name their bands; {ELSEWHERE}")
    sensor = str(weights.name).partition("_")[0]
    return tuple(f"{SENSORS.get(sensor, str(weights.name).rpartition('_')[0])}-{name}" for name in names)


def _side(size: Any) -> int:
    return int(size[0] if isinstance(size, tuple | list) else size)
