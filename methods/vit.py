"""ViT: a plain vision transformer, under the fully connected head."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from rsir_bench import protocol as protocols
from rsir_bench.method import Card, HeadMethod, Row, Settings, Setup, WeightSource
from rsir_bench.nn.trunk import Trunk, load_backbone

FROZEN = ("patch_embed", "blocks.0", "blocks.1", "blocks.2")


class VitSettings(Settings):
    """The transformer, its patches, and weights, if not those that follow from the protocol's.

    Attributes:
        model: A vision transformer of timm, with the tag of its ImageNet weights.
        patch: Side of a patch in pixels; weights that were made for another are resampled.
        file: Name of a file of the model's weights in a folder of weights; None: the protocol's weights.
        sha256: The file's hash; required with it, so that the results' key depends on its content.
    """

    model: str = "vit_small_patch16_224.augreg_in1k"
    patch: int = Field(16, ge=1)
    file: str | None = Field(None, pattern=r"^[^/\\]+$")
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.file is None) != (self.sha256 is None):
            raise ValueError("file and sha256 go together, so set both")
        return self


class Vit(HeadMethod[VitSettings]):
    """The baseline on a transformer of patches instead of a convolutional network."""

    card = Card(
        name="vit",
        title="ViT-S",
        paper="Dosovitskiy et al.: An image is worth 16 x 16 words: transformers for image recognition at scale, ICLR "
        "2021",
        year=2021,
        rows={"FC": Row(descriptor="FC"), "PCA": Row(descriptor="FC1", kind="pca")},
        stated=[
            "patches of 16 px, embedded linearly, with a class token and learned position embeddings, through twelve "
            "layers of self-attention; the scene is represented by the class token after the last norm",
            "at other resolutions than the weights were made for, position embeddings are interpolated",
            "trained with Adam or SGD under warm-up and gradient clipping, on much larger datasets than ImageNet: on "
            "small ones it is behind convolutional networks",
        ],
        choices=[
            "use timm's ViT-S (384 wide, six heads), the size of a ResNet50; the paper begins with ViT-B",
            "use its weights augreg_in1k, which have seen ImageNet-1k alone, as the ResNet's have (Steiner et al.: How "
            "to train your ViT?, TMLR 2022)",
            "train with the protocol's optimizer and rate, which suit a ResNet34, without warm-up of its own, clipping "
            "or more augmentation: from scratch, this is not how its authors would train it",
            "where the protocol freezes parts of its trunk, freeze the patch embedding and the first three of twelve "
            "blocks, as many as ResNet34 has in layer1",
            "keep patches of 16 px at any size, which leaves 36 of a scene of 96 px; methods.vit.patch=8 makes four "
            "times as many, at about four times the cost. A side that is no multiple is padded right and below",
            "append FC1 and FC2 as in baseline; fit PCA on FC1 before its ReLU",
        ],
        trunk="resnet34",
    )
    Settings = VitSettings

    def build_features(self, setup: Setup) -> int:
        """Build the transformer for scenes of this size; its class token is the head's input."""
        trunk, patch = setup.protocol.trunk, self.settings.patch
        source = self.initial_weights(self.settings, trunk)
        side = -(-setup.size // patch) * patch
        arguments: dict[str, Any] = {"img_size": side, "patch_size": patch}
        if side != setup.size:
            arguments |= {"dynamic_img_size": True, "dynamic_img_pad": True}
        weights = (source.weights, arguments, setup.bands, setup.weights_folders, source.sha256)
        backbone = load_backbone(source.model, *weights)
        frozen = FROZEN if trunk.frozen else ()
        self.trunk = Trunk(backbone, setup.bands, setup.size, trunk.mean, trunk.std, frozen)
        return self.trunk.features

    @classmethod
    def initial_weights(cls, settings: VitSettings, trunk: protocols.Trunk) -> WeightSource:
        """Return the transformer, whatever the protocol's trunk is, with the weights of ``file`` if it is set."""
        if settings.file:
            return WeightSource(settings.model, settings.file, settings.sha256)
        return WeightSource(settings.model, trunk.weights, trunk.sha256)
