"""Any timm backbone, without further training: ``--methods timm:NAME`` or ``timm:NAME@WEIGHTS``."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from rsir_bench.encoders import EncoderMethod, EncoderSettings
from rsir_bench.method import Card, Method, Setup, Weights
from rsir_bench.nn.trunk import Trunk, load_backbone


class TimmSettings(EncoderSettings):
    """Which backbone, with which weights and input normalisation.

    Attributes:
        model: A timm model name.
        weights: "imagenet" (timm's own), "none", or a file.
        arguments: Passed to ``timm.create_model``.
    """

    weights: Weights = "imagenet"
    arguments: dict[str, Any] = {}  # noqa: RUF012 - pydantic copies defaults


class Timm(EncoderMethod[TimmSettings]):
    """Globally pooled features of a backbone without further training.

    Under a protocol that trains others, it sees their scenes, at the protocol's size, and pools as timm does. Under one
    that trains nothing, it is an encoder with its own input.
    """

    card = Card(
        name="timm",
        title="timm",
        paper="Wightman: PyTorch image models",
        year=2019,
        rows=EncoderMethod.ROWS,
        trained=False,
        choices=[
            "take the pooled feature before the classifier, at the protocol's input size",
            "resize whole scenes to that size; most weights were made for crops of 224 px or more, and lose at smaller "
            "sizes",
            "under a protocol without a source: at the input size of the weights, pooled as they pool",
        ],
    )
    Settings = TimmSettings
    library = "timm"
    sees_protocols_scenes = True

    def __init__(self, setup: Setup, settings: TimmSettings) -> None:
        if not setup.protocol.trains:
            super().__init__(setup, settings)
            return
        Method.__init__(self, setup, settings)
        self.refuse_changes(setup, settings)
        weights = (settings.model, settings.weights, settings.arguments, setup.bands, setup.weights_folders)
        self.trunk = Trunk(load_backbone(*weights), setup.bands, setup.size, settings.mean, settings.std)

    def describe(self, scenes: Tensor) -> dict[str, Tensor]:
        """Return the features ``pooled``, (N, D) float."""
        return {"pooled": self.trunk(scenes)} if self.setup.protocol.trains else super().describe(scenes)
