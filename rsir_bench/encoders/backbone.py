"""A pretrained network of any library, without its classifier."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from torch import Tensor, nn

from rsir_bench.base.errors import UserError, one_line
from rsir_bench.encoders.input import Input


class Backbone(nn.Module, ABC):
    """A network as its library builds it, and the configuration of its weights.

    Attributes:
        network: The module whose tensors are used; nothing of a classifier or of another modality.
        model: Its name, without folders of this machine; with the tag whose configuration it has.
        input: What the weights were made to see.
        pooling: How the weights pool the last layer, as tables print it.
        files: The files that the weights came from; none for random ones, None if they are not known.
        patch: Side of a patch in pixels, of which a size must be a multiple; None if it has no patches.
        configuration: A digest of what else its files say of the network; empty if its name says it all.
    """

    configuration = ""

    def __init__(
        self,
        network: nn.Module,
        model: str,
        input: Input,
        pooling: str,
        files: tuple[Path, ...] | None,
        patch: int | None = None,
    ) -> None:
        super().__init__()
        self.network, self.model, self.input, self.pooling = network, model, input, pooling
        self.files, self.patch = files, patch

    @abstractmethod
    def pooled(self, values: Tensor) -> Tensor:
        """Return features as the weights pool them, (N, D) float, of normalised scenes (N, B, H, W)."""

    @abstractmethod
    def local(self, values: Tensor) -> tuple[Tensor | None, Tensor]:
        """Return the last layer before pooling, of normalised scenes (N, B, H, W).

        Returns:
            The class token, (N, C) float, or None; and the features of L places or patches, (N, L, C) float.

        Raises:
            UserError: The network has no such layer.
        """

    def resize(self, size: int) -> None:
        """Prepare for scenes of another size than the weights'; nothing to do for most networks.

        Raises:
            UserError: The network does not take them.
        """

    def refuse(self, error: Exception, size: int) -> UserError:
        """Return the error for scenes of a size that the network does not take, from what it raises."""
        reason = one_line(error).rstrip(".")
        if size == self.input.size:
            return UserError(f"cannot be run at {size} px, its own size ({reason}); use another encoder")
        multiples = f", or another multiple of {self.patch}" if self.patch else ""
        remedy = f"append :size={self.input.size} to its name, the size of its weights{multiples}"
        return UserError(f"does not accept scenes of {size} px ({reason}); {remedy}")


def places(last: Tensor, *, channels_last: bool) -> Tensor:
    """Return feature maps, (N, C, h, w) or (N, h, w, C), as (N, h w, C) float."""
    return last.flatten(1, 2) if channels_last else last.flatten(2).transpose(1, 2)
