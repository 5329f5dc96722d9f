"""Encoders from OpenCLIP: the image encoder of a model for images and text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rsir_bench.base.errors import UserError
from rsir_bench.encoders.backbone import Backbone, places
from rsir_bench.encoders.fetching import REFUSALS, building, find_file, hub_files, optional
from rsir_bench.encoders.input import Input
from rsir_bench.encoders.settings import EncoderSettings
from rsir_bench.nn.checkpoints.fitting import fit_file

FITS = {"shortest": "crop", "squash": "squash", "longest": "pad"}
NAMES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
SHOWN = 6


def open_backbone(settings: EncoderSettings, folders: Sequence[Path]) -> Backbone:
    """Return the image encoder of a model, with its weights.

    Raises:
        UserError: OpenCLIP is not installed, there is no such model or tag, or the weights are not available.
    """
    library = optional("open_clip", "open-clip")
    model, _, tag = settings.model.partition(".")
    if model not in library.list_models():
        near = ", ".join(name for name in library.list_models() if model[:5].lower() in name.lower()) or "none"
        raise UserError(f"not an OpenCLIP model; similar names: {near:.300}")
    known = library.get_pretrained_cfg(model, tag) if tag else {}
    tags = library.list_pretrained_tags_by_model(model)
    _check_tag(library, model, tag, tags, known)
    if settings.weights == "own" and not tag:
        shown = ", ".join(f"{model}.{each}" for each in tags[:SHOWN]) or "OpenCLIP has none of them"
        raise UserError(f"name its weights: {shown}; or a file, {model}@FILE")
    with building(f"go online, or name a file, open_clip:{settings.model}@FILE"):
        whole = library.create_model(
            model, pretrained=tag if settings.weights == "own" else None, precision="fp32", pretrained_text=False
        )
    files: tuple[Path, ...] | None = ()
    if settings.weights == "own":
        files = _fetched_files(known)
    elif settings.weights != "none":
        files = (find_file(settings.weights, folders),)
        whole.visual.load_state_dict(fit_file(whole.visual, model, files[0], 3).state)
    read = {**library.get_model_preprocess_cfg(whole), **{key: known[key] for key in known if key in _READ}}
    return OpenClipBackbone(whole.visual, model, tag, _input(read), files)


_READ = ("mean", "std", "interpolation", "resize_mode")


def _check_tag(library: Any, model: str, tag: str, tags: Sequence[str], known: Mapping[str, Any]) -> None:
    """Refuse a tag that the model does not have, or whose weights were made with another activation.

    Raises:
        UserError: It is one.
    """
    if tag and not known:
        raise UserError(f"no weights {tag!r} of {model}; it has {', '.join(tags) or 'none'}")
    quick = bool((library.get_model_config(model) or {}).get("quick_gelu"))
    if known and bool(known.get("quick_gelu")) != quick:
        other = model.removesuffix("-quickgelu") if quick else f"{model}-quickgelu"
        raise UserError(f"the weights {tag} were made with another activation; name {other}.{tag}")


class OpenClipBackbone(Backbone):
    """The image encoder of an OpenCLIP model.

    Args:
        visual: The module.
        model: The name of the whole model.
        tag: Of its weights' configuration; empty: the model's.
        input: What it sees.
        files: See ``Backbone``.
    """

    def __init__(self, visual: nn.Module, model: str, tag: str, input: Input, files: tuple[Path, ...] | None) -> None:
        patch = getattr(visual, "patch_size", None)
        patch = patch[0] if isinstance(patch, tuple | list) else patch
        name = f"{model}.{tag}" if tag else model
        super().__init__(visual, name, input, "image features", files, patch if isinstance(patch, int) else None)
        self._name = model

    def pooled(self, values: Tensor) -> Tensor:
        """Return what the text is compared with, (N, D) float, not normalised, of scenes (N, B, H, W)."""
        given = self.network(values)
        return torch.as_tensor(given[0] if isinstance(given, tuple) else given)

    def local(self, values: Tensor) -> tuple[Tensor | None, Tensor]:
        """Return the class token, (N, C), or None, and the features of all places, (N, L, C), before projection."""
        given = self.network.forward_intermediates(  # type: ignore[operator]
            values, indices=1, normalize_intermediates=True, intermediates_only=True, output_extra_tokens=True
        )
        prefix = given.get("image_intermediates_prefix")
        token = prefix[-1][:, 0] if prefix and prefix[-1].shape[1] else None
        return token, places(given["image_intermediates"][-1], channels_last=False)

    def resize(self, size: int) -> None:
        """Build the module for another size, and give it the same weights, with resampled position embeddings.

        Raises:
            UserError: The model does not take the size.
        """
        library: Any = import_module("open_clip")
        factory: Any = import_module("open_clip.factory")
        try:
            whole = library.create_model(self._name, force_image_size=size, precision="fp32", pretrained_text=False)
            state = {f"visual.{name}": value for name, value in self.network.state_dict().items()}
            factory.resize_pos_embed(state, whole)
            whole.visual.load_state_dict({name.removeprefix("visual."): value for name, value in state.items()})
        except REFUSALS as error:
            raise self.refuse(error, size) from None
        self.network = whole.visual


def _input(known: Mapping[str, Any]) -> Input:
    size = known["size"]
    return Input(
        size=int(size[0] if isinstance(size, tuple | list) else size),
        interpolation=str(known["interpolation"]),
        fit=FITS[known["resize_mode"]],  # type: ignore[arg-type]
        mean=tuple(map(float, known["mean"])),
        std=tuple(map(float, known["std"])),
    )


def _fetched_files(known: Mapping[str, Any]) -> tuple[Path, ...] | None:
    """Return the files in the cache that OpenCLIP has read the weights from; None if they are not known."""
    if (found := hub_files(str(known.get("hf_hub") or "").strip("/") or None, NAMES)) is not None:
        return found
    url = str(known.get("url") or "")
    cached = Path("~/.cache/clip").expanduser() / url.rpartition("/")[2]
    return (cached,) if url and cached.is_file() else None
