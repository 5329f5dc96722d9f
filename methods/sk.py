"""SK: a ResNet34 of selective kernels, under the fully connected head."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from rsir_bench import protocol as protocols
from rsir_bench.method import Card, HeadMethod, Row, Settings, Setup, WeightSource
from rsir_bench.nn.trunk import Trunk, load_backbone

MODEL = "skresnet34.ra_in1k"


class SkSettings(Settings):
    """Weights, if not those that follow from the protocol's, and how blocks start without any.

    Attributes:
        zero_init_last: Whether the last norm of every block starts at zero, as in timm's ResNet34; timm builds
            skresnet34 without. For a start without weights only.
        file: Name of a file of skresnet34's weights in a folder of weights; None: the protocol's weights.
        sha256: The file's hash; required with it, so that the results' key depends on its content.
    """

    zero_init_last: bool = False
    file: str | None = Field(None, pattern=r"^[^/\\]+$")
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.file is None) != (self.sha256 is None):
            raise ValueError("file and sha256 go together, so set both")
        return self


class Sk(HeadMethod[SkSettings]):
    """The baseline on a trunk that chooses between two receptive fields in every block."""

    card = Card(
        name="sk",
        title="SK",
        paper="Li, Wang, Hu, Yang: Selective kernel networks, CVPR 2019",
        year=2019,
        rows={
            "FC": Row(descriptor="FC"),
            "PCA": Row(descriptor="FC1", kind="pca", paper=("SK", "")),
        },
        tables=["I", "II"],
        stated=[
            "two branches, 3 x 3 and 3 x 3 with dilation 2, weighted per channel by a softmax over both (SK paper)",
            "ResNet34 trunk pretrained on ImageNet, conv1 to layer1 frozen (JSST paper)",
        ],
        choices=[
            "use timm's skresnet34, since the SK paper has no ResNet34: a selective kernel takes the place of each "
            "block's first convolution",
            "give each branch half of the channels, and use r = 8 with a multiple of 16 units, as timm's weights "
            "require",
            "use no grouped convolutions: the paper's kernels (32 groups, r = 16) belong to the blocks of a ResNet50",
            "use timm's ImageNet weights ra_in1k, trained with stronger augmentation than torchvision's ResNet34: "
            "part of a lead over baseline may be theirs",
            "from scratch, blocks start as timm builds them; zero_init_last=true starts them as ResNet34's do",
            "average the trunk's maps over all positions, and append FC1 and FC2 as in baseline; fit PCA on FC1 "
            "before its ReLU",
        ],
        trunk="resnet34",
    )
    Settings = SkSettings

    def build_features(self, setup: Setup) -> int:
        """Build the trunk, whose pooled features are the head's input."""
        trunk = setup.protocol.trunk
        source = self.initial_weights(self.settings, trunk)
        weights = (source.weights, trunk.arguments, setup.bands, setup.weights_folders, source.sha256)
        backbone = load_backbone(source.model, *weights)
        if self.settings.zero_init_last and source.weights == "none":
            for block in backbone.modules():
                if hasattr(block, "zero_init_last"):
                    block.zero_init_last()  # type: ignore[operator] # timm's blocks have it
        self.trunk = Trunk(backbone, setup.bands, setup.size, trunk.mean, trunk.std, trunk.frozen)
        return self.trunk.features

    @classmethod
    def initial_weights(cls, settings: SkSettings, trunk: protocols.Trunk) -> WeightSource:
        """Return timm's skresnet34, whatever the protocol's trunk is, with the weights of ``file`` if it is set."""
        if settings.file:
            return WeightSource(MODEL, settings.file, settings.sha256)
        return WeightSource(MODEL, trunk.weights, trunk.sha256)
