"""The protocol's trunk: any timm backbone with its weights, its frozen part and its normalisation."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rsir_bench.base.errors import UserError, one_line, similar_names
from rsir_bench.base.files import file_digest
from rsir_bench.base.progress import log
from rsir_bench.nn.checkpoints.fitting import fit_file


class NoMapsError(UserError):
    """A method needs feature maps, and the trunk has none."""


class Trunk(nn.Module):
    """A timm backbone without its classifier, for scenes in [0, 1].

    Frozen parts keep their weights and their batch-norm statistics: they stay in evaluation mode while the rest trains.

    Args:
        backbone: A timm model made with ``num_classes=0``.
        bands: Bands of a scene.
        size: Side of a scene in pixels.
        mean: Mean per band, on [0, 1]; None: from the backbone's weights.
        std: Standard deviation per band, on [0, 1]; None: from the backbone's weights.
        frozen: Names of submodules of the backbone.

    Raises:
        UserError: A frozen submodule does not exist, or ``mean`` and ``std`` do not fit the bands.
    """

    def __init__(
        self,
        backbone: nn.Module,
        bands: int,
        size: int,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        frozen: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.backbone = backbone
        mean, std = normalisation(backbone, bands, mean, std)
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)
        self.mean: Tensor
        self.std: Tensor
        self._frozen = [self._part(name) for name in frozen]
        for part in self._frozen:
            part.requires_grad_(False)
        self.features = self._count_features(bands, size)
        self.train()

    def forward(self, scenes: Tensor) -> Tensor:
        """Return pooled features, (N, C) float, of scenes (N, B, H, W) in [0, 1]."""
        features: Tensor = self.backbone((scenes - self.mean) / self.std)
        return features

    def maps(self, scenes: Tensor) -> Tensor:
        """Return the last feature maps, (N, C, h, w) float, of scenes (N, B, H, W) in [0, 1].

        If channels come last, they are moved to the front. Patch tokens, without class tokens, are arranged in the grid
        of the patches. Values do not change.

        Raises:
            NoMapsError: The trunk has no feature maps.
        """
        layout = self.layout
        last: Tensor = self.backbone.forward_features((scenes - self.mean) / self.std)  # type: ignore[operator]
        if layout == "tokens":
            rows, columns = _grid(self.backbone, scenes.shape[-2:], last.shape[1]) or (1, last.shape[1])
            return last.transpose(1, 2).reshape(len(last), -1, rows, columns)
        return last.permute(0, 3, 1, 2) if layout == "channels last" else last

    def pool(self, maps: Tensor) -> Tensor:
        """Return pooled features, (N, C) float, of the result of ``maps``; both together are ``forward``."""
        if self.layout == "tokens":
            maps = maps.flatten(2).transpose(1, 2)
        elif self.layout == "channels last":
            maps = maps.permute(0, 2, 3, 1)
        features: Tensor = self.backbone.forward_head(maps)  # type: ignore[operator]
        return features

    @property
    def layout(self) -> Literal["maps", "channels last", "tokens"]:
        """The layout of the backbone's last features, which ``maps`` converts to (N, C, h, w).

        Raises:
            NoMapsError: It has no feature maps.
        """
        if self._layout is None:
            shape = " x ".join(map(str, self._last[1:])) or "unknown"
            what = (
                f"its last features are {shape} tokens, with a class token or not in a grid"
                if self._last
                else "unknown"
            )
            raise NoMapsError(
                f"the method needs feature maps, which the trunk does not have ({what}); choose another trunk"
            )
        return self._layout

    @property
    def channels(self) -> int:
        """The number of channels of ``maps``; the pooled features of some backbones have a different number.

        Raises:
            NoMapsError: The trunk has no feature maps.
        """
        assert self.layout
        return int(self.backbone.num_features)  # type: ignore[arg-type] # by timm's convention

    def train(self, mode: bool = True) -> Trunk:
        """Set training mode for all but the frozen parts."""
        super().train(mode)
        for part in self._frozen:
            part.eval()
        return self

    def _part(self, name: str) -> nn.Module:
        try:
            return self.backbone.get_submodule(name)
        except AttributeError:
            known = ", ".join(child for child, _ in self.backbone.named_children())
            raise UserError(f"trunk.frozen: no part {name!r} in this trunk; its parts: {known}") from None

    @torch.no_grad()
    def _count_features(self, bands: int, size: int) -> int:
        """Return the number of pooled features, and note the shape of the last ones before pooling."""
        self.eval()
        self._last: tuple[int, ...] = ()
        self._layout: Literal["maps", "channels last", "tokens"] | None = "maps"
        scene = torch.zeros(1, bands, size, size)
        try:
            features = self(scene)
            if hasattr(self.backbone, "forward_features"):
                last = self.backbone.forward_features((scene - self.mean) / self.std)  # type: ignore[operator]
                self._last = tuple(last.shape) if isinstance(last, Tensor) else ()
                self._layout = _layout(self.backbone, self._last, (size, size))
        except (AssertionError, RuntimeError, ValueError, LookupError) as error:
            reason = f"does not accept scenes of {size} px ({one_line(error)})"
            where = f'trunk.arguments={{img_size={size}}} (in a method that builds its own: {{"img_size": setup.size}})'
            raise UserError(f"trunk: {reason}; set data.size, or where the trunk takes it {where}") from None
        return int(features.shape[1])


def _layout(
    backbone: nn.Module, last: tuple[int, ...], size: tuple[int, int]
) -> Literal["maps", "channels last", "tokens"] | None:
    """Return the layout of a backbone's last features, (1, ...) for a scene of this size; None: they are not maps."""
    channels = getattr(backbone, "num_features", None)
    if len(last) == 4:
        turned = last[3] == channels and (last[1] != channels or getattr(backbone, "output_fmt", "") == "NHWC")
        return "channels last" if turned else "maps"
    classes = getattr(backbone, "num_prefix_tokens", int(hasattr(backbone, "cls_token")))
    whole = len(last) == 3 and last[2] == channels and not classes
    return "tokens" if whole and _grid(backbone, size, last[1]) else None


def _grid(backbone: nn.Module, size: Sequence[int], tokens: int) -> tuple[int, int] | None:
    """Return the rows and columns of patches in a scene, or None if the patches do not cover it."""
    parts = (getattr(backbone, name, None) for name in ("patch_embed", "stem"))
    patch = next((found for part in parts if (found := getattr(part, "patch_size", None))), None)
    if patch is None:
        return None
    sides = (patch, patch) if isinstance(patch, int) else patch
    rows, columns = (-(-side // step) for side, step in zip(size, sides, strict=True))
    return (rows, columns) if rows * columns == tokens else None


def normalisation(
    backbone: nn.Module, bands: int, mean: Sequence[float] | None, std: Sequence[float] | None
) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation per band: as given, else the weights' for three bands, else .5 and .25.

    Raises:
        UserError: Their number is neither one nor ``bands``.
    """
    known: Mapping[str, Any] = getattr(backbone, "pretrained_cfg", None) or {}
    given = {
        "mean": mean or (known.get("mean") if bands == 3 else None) or [0.5],
        "std": std or (known.get("std") if bands == 3 else None) or [0.25],
    }
    for name, values in given.items():
        if len(values) not in (1, bands):
            raise UserError(f"trunk.{name}: {len(values)} values for {bands} bands; give one value, or one per band")
    mean, std = (list(values) * (bands if len(values) == 1 else 1) for values in given.values())
    return mean, std


def load_backbone(
    name: str,
    weights: str,
    arguments: Mapping[str, Any],
    bands: int,
    folders: Sequence[Path] = (),
    sha256: str | None = None,
) -> nn.Module:
    """Build a timm backbone without classifier.

    Args:
        name: A timm model, with a tag if its weights need one.
        weights: ``"imagenet"`` (timm's own, downloaded and cached by timm), ``"none"``, or a file of weights.
        arguments: Passed to ``timm.create_model``.
        bands: Input bands; weights made for three are adapted.
        folders: Folders that are searched for a file of weights if the path as given does not exist.
        sha256: Expected hash of the file.

    Raises:
        UserError: The model is unknown, does not accept the arguments, or its weights are not available.
    """
    import timm  # takes seconds to load; only building a network needs it

    if not timm.is_model(name.split(".")[0]):
        near = similar_names(name.split(".")[0], timm.list_models()) or "none; see timm.list_models()"
        raise UserError(f"trunk {name!r}: not a timm model; similar names: {near}")
    options = {**arguments, "num_classes": 0, "in_chans": bands}
    try:
        if weights != "imagenet":
            backbone = timm.create_model(name, pretrained=False, **options)
        else:
            backbone = _from_hub(name, options)
    except (TypeError, AssertionError, RuntimeError, ValueError, LookupError) as error:
        raise UserError(f"trunk {name!r}: cannot be built with {options}: {one_line(error)}; check both") from None
    if weights not in ("imagenet", "none"):
        _load_file(backbone, name, find_weights(weights, folders, sha256), bands)
    return backbone


def _from_hub(name: str, options: dict[str, Any]) -> Any:
    import timm

    client = logging.getLogger("huggingface_hub")
    usual = client.level
    client.setLevel(logging.ERROR)  # it logs each of its retries, for over a minute
    try:
        return timm.create_model(name, pretrained=True, **options)
    except Exception as error:  # the hub's client raises a dozen kinds of network errors
        own = isinstance(error, (TypeError, AssertionError, RuntimeError, ValueError, LookupError))
        if own and not isinstance(error, OSError):
            raise  # timm's: wrong arguments, an unknown tag, a model without weights
        raise UserError(
            f"trunk {name!r}: its ImageNet weights cannot be fetched ({type(error).__name__}); go online, or use "
            "--set trunk.weights=FILE (or none). For timm methods: timm:NAME@FILE or timm:NAME@none."
        ) from None
    finally:
        client.setLevel(usual)


def find_weights(file: str, folders: Sequence[Path], sha256: str | None = None) -> Path:
    """Return the path of a file of weights.

    Raises:
        UserError: The file is not found, or has another hash.
    """
    places = [Path(file), *(folder / file for folder in folders)]
    for path in places:
        if path.is_file():
            if sha256 is not None and file_digest(path) != sha256:
                raise UserError(f"{path}: not the weights the protocol names (sha256 differs); set trunk.sha256=none")
            return path
    looked = ", ".join(str(path.parent) for path in places)
    raise UserError(
        f"weights {file}: not found (looked in {looked}); put the file there, or name another: timm:NAME@FILE for an "
        "encoder, --set trunk.weights=FILE for the trunk. To use timm's own weights: timm:NAME, or --set "
        "trunk.weights=imagenet --set trunk.arguments={} --set trunk.mean=none --set trunk.std=none."
    )


def _load_file(backbone: nn.Module, name: str, path: Path, bands: int) -> None:
    """Load a file of weights; log which tensors were used if this is not obvious from the file."""
    fitted = fit_file(backbone, name, path, bands)
    backbone.load_state_dict(fitted.state)
    if fitted.entry not in ("", "state_dict") or fitted.prefix or fitted.others:
        say_what_was_taken(f"{path}: {fitted}")


@cache
def say_what_was_taken(line: str) -> None:
    """Log once which tensors of a file were used."""
    log(f"weights   {line}")
