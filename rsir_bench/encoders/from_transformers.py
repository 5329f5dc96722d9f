"""Encoders from the Hugging Face hub, or from a folder that ``save_pretrained`` has written."""

from __future__ import annotations

import inspect
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from rsir_bench.base.errors import UserError
from rsir_bench.base.files import digest, file_digest
from rsir_bench.encoders.backbone import Backbone, places
from rsir_bench.encoders.fetching import building, find_file, find_folder, hub_files, optional
from rsir_bench.encoders.input import Input, share
from rsir_bench.encoders.settings import EncoderSettings
from rsir_bench.nn.checkpoints.fitting import fit_file

OF_TEXT = ("text_model", "text_projection", "logit_scale", "logit_bias")
POOLERS = {"dinov2": "CLS", "dinov2_with_registers": "CLS", "dinov3_vit": "CLS"}
POOLERS |= dict.fromkeys(("swin", "swinv2", "resnet", "convnext", "convnextv2", "dinov3_convnext"), "mean")
"""What the pooler of a model does, by its type, where tables can say it in the words of the other poolings."""

CONVNEXT_SQUASHES = 384  # from this size on, its processor squashes; below, it takes the centre
NO_PART = {"_name_or_path", "_commit_hash", "transformers_version", "architectures", "auto_map", "dtype", "torch_dtype"}
NO_PART |= {"id2label", "label2id", "problem_type"}
"""Configuration entries about the origin and the classifier of a model, which do not change descriptors."""

PICTURE_SIDES = (288, 192)
NEAR = 1.0
"""Levels of 255, in the mean over a picture: of the image processors of transformers 5.24, those that agree with their
settings do so to 0.3 (rounding, and where they round), and those that do not are 2 or more away."""

ELSEWHERE = "compute descriptors with transformers, and score them with `rsir-bench score`"
FILES = ("config.json", "preprocessor_config.json", "model.safetensors", "pytorch_model.bin")


def open_backbone(settings: EncoderSettings, folders: Sequence[Path]) -> Backbone:
    """Return the vision tower of a model with its weights.

    Raises:
        UserError: transformers is not installed, there is no such model, or its weights are not available.
    """
    transformers = optional("transformers", "hf")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    here = find_folder(settings.model, folders)
    revision = getattr(settings, "revision", None) or "main"
    options = {"revision": revision, "trust_remote_code": _trusted(settings)}
    place = settings.model if here is None else str(here)
    remedy = f"go online, or name a folder, hf:FOLDER, that save_pretrained has written, or hf:{settings.model}@none"
    with building(remedy):
        config = transformers.AutoConfig.from_pretrained(place, **options)
        if settings.weights == "own":
            network, known = transformers.AutoModel.from_pretrained(
                place, config=config, dtype=torch.float32, output_loading_info=True, **options
            )
            missing = list(known["missing_keys"])
        else:
            network, missing = transformers.AutoModel.from_config(config, trust_remote_code=_trusted(settings)), []
    for name in OF_TEXT if hasattr(network, "get_image_features") else ():
        if hasattr(network, name):
            delattr(network, name)
    files: tuple[Path, ...] | None = ()
    if settings.weights == "own":
        files = hub_files(settings.model, FILES, revision) if here is None else tuple(sorted(here.glob("*.*")))
    elif settings.weights != "none":
        files = (find_file(settings.weights, folders),)
        network.load_state_dict(fit_file(network, settings.model, files[0], 3).state)
    with building(remedy):
        input = _input(transformers, place, options, settings)
    return TransformersBackbone(network, Path(settings.model).name, input, files, missing)


def _trusted(settings: EncoderSettings) -> bool:
    return bool(getattr(settings, "trust_remote_code", False))


class TransformersBackbone(Backbone):
    """A model of transformers; of a model for images and text, the image encoder.

    Args:
        network: The model, in evaluation mode.
        model: Its name.
        input: What its weights were made to see.
        files: See ``Backbone``.
        missing: The tensors that its weights lack.

    Raises:
        UserError: Tensors other than those of a pooler are missing.
    """

    def __init__(
        self, network: nn.Module, model: str, input: Input, files: tuple[Path, ...] | None, missing: Sequence[str]
    ) -> None:
        present = [name for name in missing if name in network.state_dict()]
        if others := [name for name in present if not name.startswith("pooler.")]:
            raise UserError(f"its weights lack {others[0]} ({len(others)} tensors); use weights of this model")
        config: Any = network.config
        vision = getattr(config, "vision_config", config)
        self._of_images = hasattr(network, "get_image_features")
        self._pools = not present
        token = any(name.endswith(("cls_token", "class_embedding", "class_token")) for name in network.state_dict())
        super().__init__(network, model, input, "", files, getattr(vision, "patch_size", None))
        self._prefix = int(token) + int(getattr(vision, "num_register_tokens", 0) or 0)
        self._token, self._interpolate = token, False
        self.configuration = configuration_digest(network)
        if present:  # a pooler with random weights is none
            network.pooler = None  # type: ignore[assignment]
        self.pooling = self._own_pooling(config.model_type)

    def _own_pooling(self, kind: str) -> str:
        if self._of_images:
            return "image features"
        if self._pools and kind in POOLERS:
            return POOLERS[kind]
        return "pooler" if self._pools else "CLS" if self._token else "mean"

    def pooled(self, values: Tensor) -> Tensor:
        """Return image features, the pooler's output, the class token, or the mean: the first that the model has."""
        given = self._outputs(values)
        if self._pools and (features := getattr(given, "pooler_output", None)) is not None:
            return torch.as_tensor(features).flatten(1)
        token, local = self._split(given.last_hidden_state)
        return local.mean(dim=1) if token is None else token

    def local(self, values: Tensor) -> tuple[Tensor | None, Tensor]:
        """Return the class token, (N, C), or None, and the features of all places, (N, L, C)."""
        return self._split(self._outputs(values).last_hidden_state)

    def resize(self, size: int) -> None:
        """Have position embeddings resampled where the model does so on request only."""
        self._interpolate = "interpolate_pos_encoding" in inspect.signature(self._call).parameters

    @property
    def _call(self) -> Any:
        return self.network.get_image_features if self._of_images else self.network.forward

    def _outputs(self, values: Tensor) -> Any:
        options = {"interpolate_pos_encoding": True} if self._interpolate else {}
        return self._call(pixel_values=values, return_dict=True, **options)

    def _split(self, last: Tensor) -> tuple[Tensor | None, Tensor]:
        if last.ndim == 4:
            return None, places(last, channels_last=False)
        return (last[:, 0] if self._token else None), last[:, self._prefix :]


def configuration_digest(network: Any) -> str:
    """Return the SHA-256 (hex) of a model's configuration, and of its code where that comes with the weights.

    Heads, activations and epsilons are in no tensor. What is as usual for its type plays no part, since releases of
    transformers add settings; nor do names, versions and labels.
    """
    config, kind, code = network.config, type(network.config), {}
    usual = {} if getattr(kind, "has_no_defaults_at_init", False) else _plain(kind())
    if type(network).__module__.startswith("transformers_modules."):  # a folder for each version of the code
        folder = Path(str(sys.modules[type(network).__module__].__file__)).parent
        code = {path.name: file_digest(path) for path in folder.glob("*.py")}
    return digest([config.model_type, _unusual(_plain(config), usual), code])


def _plain(config: Any) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
    return values


def _unusual(known: Any, usual: Any) -> Any:
    """Return what differs from the usual values in a configuration and in those that it holds."""
    if not isinstance(known, dict):
        return known
    usual = usual if isinstance(usual, dict) else {}
    kept = {name: value for name, value in known.items() if name not in NO_PART}
    return {name: _unusual(value, usual.get(name)) for name, value in kept.items() if value != usual.get(name)}


def _input(transformers: Any, place: str, options: Mapping[str, Any], settings: EncoderSettings) -> Input:
    """Return the configuration of the model's processor.

    Raises:
        UserError: It has none, and the settings do not say what it sees; or it makes other pixels than it and they say.
    """
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(place, **options)
    except OSError:
        if settings.size is None or settings.mean is None or settings.std is None:
            raise UserError("has no preprocessor_config.json; set size, mean and std") from None
        return Input(settings.size)
    input = _read(processor.to_dict())
    _check_pixels(processor, input, input.changed(settings)[0])
    return input


def _read(known: Mapping[str, Any]) -> Input:
    """Return the preprocessing in the settings of a processor; steps without a setting are skipped."""
    scale = 255 * (known.get("rescale_factor") or 1 / 255) if known.get("do_rescale") else 255.0
    normal = known.get("do_normalize")
    mean = known["image_mean"] if normal else [0.0]
    std = known["image_std"] if normal else [1.0]
    size, fit, crop = _sides(known)
    resample = known.get("resample")  # 0: nearest
    return Input(
        size=size,
        interpolation=Image.Resampling(Image.Resampling.BICUBIC if resample is None else int(resample)).name.lower(),
        fit=fit,  # type: ignore[arg-type]
        crop=crop,
        mean=tuple(value / scale for value in mean),
        std=tuple(value / scale for value in std),
    )


def _check_pixels(processor: Any, own: Input, changed: Input) -> None:
    """Refuse a processor with steps that its input does not have: another order of channels, a second normalisation.

    Args:
        processor: Of transformers.
        own: What was read from its settings.
        changed: The same with the user's corrections.

    Raises:
        UserError: It makes other pixels of a picture than both.
    """
    picture = _picture()
    theirs = torch.as_tensor(processor(images=picture, return_tensors="pt")["pixel_values"][0])
    apart = min(_distance(theirs, picture, input) for input in (own, changed))
    if apart > NEAR:
        shape = " x ".join(map(str, theirs.shape))
        found = f"{apart:.0f} of 255 levels apart" if math.isfinite(apart) else f"{shape} values for a picture"
        read = f":size={own.size}:interpolation={own.interpolation}:fit={own.fit}:crop={own.crop:.4g}"
        problem = f"its processor produces different pixels than {read} with its mean and std ({found})"
        raise UserError(f"{problem}; correct these by settings after its name, or {ELSEWHERE}")


def _picture() -> Image.Image:
    """Return a smooth picture that is not square or symmetric, and differs between colours."""
    width, height = PICTURE_SIDES
    down, right = np.mgrid[0:height, 0:width] / width
    colours = [0.5 + 0.5 * np.sin(7 * right + 2 * down), 0.9 * right, 0.5 - 0.4 * np.cos(5 * down - 4 * right)]
    return Image.fromarray((255 * np.stack(colours, axis=2)).round().astype(np.uint8))


def _distance(theirs: Tensor, picture: Image.Image, input: Input) -> float:
    """Return how far a processor's values (B, H, W) are from an input's pixels, in levels of 8 bits, in the mean.

    Of values that are no square, the middle counts, since scenes are squares. Infinite for other shapes.
    """
    side = input.size
    if theirs.ndim != 3 or len(theirs) != 3 or min(theirs.shape[1:]) < side:
        return math.inf
    top, left = (round((length - side) / 2) for length in theirs.shape[1:])
    middle = theirs[:, top : top + side, left : left + side]
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (input.mean, input.std))
    ours = torch.from_numpy(np.array(input.transform.resizing(picture))).permute(2, 0, 1)
    return float((255 * (middle * std + mean) - ours).abs().mean())


def _sides(known: Mapping[str, Any]) -> tuple[int, str, float]:
    """Return the side in pixels, how scenes are fitted to it, and the share that is kept, from a processor."""
    size, crop = known.get("size") or {}, known.get("crop_size") or {}
    cut = crop.get("height") if known.get("do_center_crop") else None
    if "height" in size:
        side = int(size["height"])
        return (int(cut), "squash", share(int(cut), side)) if cut else (side, "squash", 1.0)
    side = int(size.get("shortest_edge") or cut or 0)
    if not side:
        raise UserError(f"its processor gives the size as {dict(size)}, which is not the side of a square; {ELSEWHERE}")
    if percent := known.get("crop_pct"):  # of ConvNeXt
        return (side, "squash", 1.0) if side >= CONVNEXT_SQUASHES else (side, "crop", float(percent))
    return (int(cut), "crop", share(int(cut), side)) if cut else (side, "crop", 1.0)
