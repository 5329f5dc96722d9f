"""Any timm backbone, untrained here: ``--methods timm:NAME`` or ``timm:NAME@WEIGHTS``."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from rsir_bench.method import Batch, Card, Method, Row, Settings, Setup, Weights
from rsir_bench.nn.trunk import Trunk, load_backbone


class TimmSettings(Settings):
    """Which backbone, with which weights and input normalisation.

    Attributes:
        model: A timm model name.
        weights: "imagenet" (timm's own), "none", or a file.
        arguments: Passed to ``timm.create_model``.
        mean: Mean per band, on [0, 1]; None: the one that the weights were trained with.
        std: Standard deviation, likewise.
    """

    model: str
    weights: Weights = "imagenet"
    arguments: dict[str, Any] = {}  # noqa: RUF012 - pydantic copies defaults
    mean: list[float] | None = None
    std: list[float] | None = None


class Timm(Method[TimmSettings]):
    """Globally pooled features of a backbone without further training."""

    card = Card(
        name="timm",
        title="timm",
        paper="Wightman: PyTorch image models",
        year=2019,
        rows={"Pooled": Row(descriptor="pooled")},
        trained=False,
        choices=[
            "take the pooled feature before the classifier, at the protocol's input size",
            "resize whole scenes to that size; most weights were made for crops of 224 px or more, and lose at smaller "
            "sizes",
        ],
    )
    Settings = TimmSettings

    def __init__(self, setup: Setup, settings: TimmSettings) -> None:
        super().__init__(setup, settings)
        weights = (settings.model, settings.weights, settings.arguments, setup.bands, setup.weights_folders)
        self.trunk = Trunk(load_backbone(*weights), setup.bands, setup.size, settings.mean, settings.std)

    @classmethod
    def parse_argument(cls, argument: str) -> dict[str, Any]:
        """Return the settings in ``NAME`` or ``NAME@WEIGHTS``."""
        model, _, weights = argument.partition("@")
        return {"model": model, **({"weights": weights} if weights else {})}

    def loss(self, batch: Batch) -> Tensor:
        """Raise an error for any batch, ``scenes`` (N, B, H, W) float32: the backbone is not trained.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("timm backbones are not trained")

    def describe(self, scenes: Tensor) -> dict[str, Tensor]:
        """Return the features ``pooled``, (N, D) float."""
        return {"pooled": self.trunk(scenes)}
