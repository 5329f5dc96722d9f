"""Encoders from timm."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rsir_bench.base.errors import UserError, similar_names
from rsir_bench.encoders.backbone import Backbone, places
from rsir_bench.encoders.fetching import REFUSALS, building, find_file, hub_files
from rsir_bench.encoders.input import Input
from rsir_bench.encoders.settings import EncoderSettings
from rsir_bench.nn.checkpoints.fitting import fit_file

OWN = ("imagenet", "own")
POOLINGS = {"token": "CLS", "avg": "mean", "fast": "mean", "max": "max", "avgmax": "mean and max", "map": "attention"}
POOLINGS |= {"fastavg": "mean", "fastmax": "max", "fastavgmax": "mean and max", "catavgmax": "mean+max"}
POOLINGS |= {"fastcatavgmax": "mean+max"}


def open_backbone(settings: EncoderSettings, folders: Sequence[Path]) -> Backbone:
    """Return a model of timm with its weights.

    Raises:
        UserError: There is no such model, it cannot be built, or its weights are not available.
    """
    timm: Any = import_module("timm")  # takes seconds to load; only building a network needs it
    name, arguments = settings.model, dict(getattr(settings, "arguments", {}))
    if not timm.is_model(name.partition(".")[0]):
        near = similar_names(name.partition(".")[0], timm.list_models()) or "none; see timm.list_models()"
        raise UserError(f"not a timm model; similar names: {near}")
    with building(f"go online, or name a file, timm:{name}@FILE, or random weights, timm:{name}@none"):
        network = timm.create_model(name, pretrained=settings.weights in OWN, num_classes=0, **arguments)
    files: tuple[Path, ...] | None = ()
    if settings.weights in OWN:
        files = _fetched_files(network.pretrained_cfg)
    elif settings.weights != "none":
        files = (find_file(settings.weights, folders),)
        network.load_state_dict(fit_file(network, name, files[0], 3).state)
    return TimmBackbone(network, files, settings, arguments)


class TimmBackbone(Backbone):
    """A model of timm, built without a classifier.

    Args:
        network: The model.
        files: See ``Backbone``.
        settings: What it was built from.
        arguments: Further arguments of ``timm.create_model``.
    """

    def __init__(
        self,
        network: nn.Module,
        files: tuple[Path, ...] | None,
        settings: EncoderSettings,
        arguments: Mapping[str, Any],
    ) -> None:
        configuration: Any = network.pretrained_cfg
        tag = configuration.get("tag") or ""
        model = configuration.get("architecture") or settings.model.partition(".")[0]
        super().__init__(
            network,
            f"{model}.{tag}" if tag else model,
            _input(network, settings),
            own_pooling(network),
            files,
            _patch(network),
        )
        self._settings, self._arguments = settings, arguments

    def pooled(self, values: Tensor) -> Tensor:
        """Return the features before the classifier, (N, D) float, of scenes (N, B, H, W)."""
        features: Tensor = self.network(values)
        return features

    def local(self, values: Tensor) -> tuple[Tensor | None, Tensor]:
        """Return the class token, (N, C), or None, and the features of all places, (N, L, C), before pooling.

        Raises:
            UserError: The model has no single last layer.
        """
        return last_layer(self.network, values)

    def resize(self, size: int) -> None:
        """Prepare for another size: position embeddings and windows are resampled where the model has them.

        Raises:
            UserError: The model refuses the size.
        """
        try:
            if hasattr(self.network, "set_input_size"):
                self.network.set_input_size(img_size=(size, size))  # type: ignore[operator]
            elif self._is_built_for_a_size():
                self._rebuild(size)
        except REFUSALS as error:
            raise self.refuse(error, size) from None

    def _is_built_for_a_size(self) -> bool:
        known = inspect.signature(type(self.network).__init__).parameters
        return bool({"img_size", "image_size"} & set(known))

    def _rebuild(self, size: int) -> None:
        """Build the model for the size, and give it the same weights, resampled as timm does its own."""
        timm: Any = import_module("timm")
        state = self.network.state_dict()
        rebuilt = timm.create_model(self._settings.model, num_classes=0, **self._arguments, img_size=size)
        convert = getattr(inspect.getmodule(type(rebuilt)), "checkpoint_filter_fn", None)
        rebuilt.load_state_dict(state if convert is None else convert(dict(state), rebuilt))
        self.network = rebuilt


def last_layer(network: nn.Module, values: Tensor) -> tuple[Tensor | None, Tensor]:
    """Return the class token, (N, C), or None, and the features of all places, (N, L, C), of a model of timm.

    Raises:
        UserError: It has no single last layer.
    """
    last = network.forward_features(values)  # type: ignore[operator]
    if not isinstance(last, Tensor) or last.ndim not in (3, 4):
        raise UserError("its last layer is not a single feature map; omit :pooling=")
    if last.ndim == 4:
        channels = getattr(network, "num_features", None)
        is_nhwc = getattr(network, "output_fmt", "") == "NHWC"
        return None, places(last, channels_last=last.shape[3] == channels and (last.shape[1] != channels or is_nhwc))
    prefix = int(getattr(network, "num_prefix_tokens", getattr(network, "cls_token", None) is not None))
    return (last[:, 0] if prefix else None), last[:, prefix:]


def own_pooling(network: nn.Module) -> str:
    """Return how a model of timm pools, as tables print it."""
    for part in (network, getattr(network, "head", None), getattr(network, "classifier", None)):
        pool = getattr(part, "global_pool", None) or getattr(part, "pool_type", None)
        kind = pool if isinstance(pool, str) else getattr(pool, "pool_type", None)
        if isinstance(pool, nn.AdaptiveAvgPool2d):
            kind = "avg"
        if kind in POOLINGS:
            return POOLINGS[kind]
    return "own"


def _input(network: nn.Module, settings: EncoderSettings) -> Input:
    """Return the configuration of the weights, as timm evaluates them.

    Raises:
        UserError: Its own input is no square, and no size is set.
    """
    data: Any = import_module("timm.data")
    known = data.resolve_model_data_config(network)
    _, height, width = known["input_size"]
    if height != width and settings.size is None:
        remedy = f"append :size={min(height, width)} to its name"
        raise UserError(f"its own input is {width} x {height}, and scenes are squares; {remedy}")
    size = min(height, width)
    modes = {"center": "crop", "squash": "squash", "border": "pad"}
    return Input(
        size=size,
        interpolation=known["interpolation"],
        fit=modes[known["crop_mode"]],  # type: ignore[arg-type]
        crop=float(known["crop_pct"]),
        mean=tuple(map(float, known["mean"])),
        std=tuple(map(float, known["std"])),
    )


def _patch(network: nn.Module) -> int | None:
    patch = getattr(getattr(network, "patch_embed", None), "patch_size", None)
    patch = patch[0] if isinstance(patch, tuple | list) else patch
    return patch if isinstance(patch, int) else None


def _fetched_files(configuration: Mapping[str, Any]) -> tuple[Path, ...] | None:
    """Return the files in the cache that timm has read a model's own weights from; None if they are not known."""
    names = [configuration.get("hf_hub_filename") or "model.safetensors", "pytorch_model.bin"]
    if (found := hub_files(configuration.get("hf_hub_id"), names)) is not None:
        return found
    url = configuration.get("url") or ""
    cached = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    return (cached,) if url and cached.is_file() else None
