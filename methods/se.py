"""SE: ResNet34 with squeeze-and-excitation in its blocks, under the fully connected head."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from rsir_bench import protocol as protocols
from rsir_bench.method import Card, HeadMethod, Row, Settings, Setup, WeightSource
from rsir_bench.nn.attention import add_squeeze_excitation
from rsir_bench.nn.trunk import Trunk, load_backbone

REDUCTION = 16
LEGACY = "legacy_seresnet34.in1k"
LEGACY_NAMES = {"conv1": "layer0.conv1", "bn1": "layer0.bn1"}


class SeSettings(Settings):
    """What the papers leave open.

    Attributes:
        gate: Initial value of the inserted modules' gates; random biases would give 0.5.
        legacy: timm's ``legacy_seresnet34`` instead of the protocol's trunk; with weights "imagenet", trained as a
            whole on ImageNet.
    """

    gate: float = Field(0.9, gt=0, lt=1)
    legacy: bool = False

    @model_validator(mode="after")
    def _gate_is_inserted(self) -> Self:
        if self.legacy and "gate" in self.model_fields_set:
            raise ValueError("gate is for inserted modules; legacy brings its own, so set one of the two")
        return self


class Se(HeadMethod[SeSettings]):
    """The baseline with a gate on every channel of every residual branch."""

    card = Card(
        name="se",
        title="SE",
        paper="Hu, Shen, Sun: Squeeze-and-excitation networks, CVPR 2018",
        year=2018,
        rows={
            "FC": Row(descriptor="FC"),
            "PCA": Row(descriptor="FC1", kind="pca", paper=("SE", "")),
        },
        tables=["I", "II", "III"],
        stated=[
            "squeeze-and-excitation on the residual branch, after its last batch norm, with r = 16 (SE paper)",
            "ResNet34 trunk pretrained on ImageNet, conv1 to layer1 frozen (JSST paper)",
        ],
        choices=[
            "use the protocol's weights and add untrained modules: the authors released no ResNet34 with them",
            "expect less of them than of a network that learned ImageNet together with its modules, as theirs did; the "
            "setting legacy has such weights",
            "start every gate at about 0.9 (setting gate), so that the pretrained trunk starts almost unchanged; "
            "start the hidden units' biases at 0.5, so that none is dead",
            "train the modules in frozen blocks too; everything else in those stays frozen",
            "with the setting legacy, use timm's legacy_seresnet34 with its weights: it has one more ReLU before the "
            "module and an unpadded stem pool, and frozen blocks include their modules",
            "average the trunk's maps over all positions, and append FC1 and FC2 as in baseline; fit PCA on FC1 "
            "before its ReLU",
        ],
        trunk="resnet34",
    )
    Settings = SeSettings

    def build_features(self, setup: Setup) -> int:
        """Build the trunk, whose pooled features are the head's input."""
        if self.settings.legacy:
            self.trunk = _legacy(setup)
        else:
            self.trunk = setup.trunk()
            add_squeeze_excitation(self.trunk.backbone, REDUCTION, self.settings.gate)
        return self.trunk.features

    @classmethod
    def initial_weights(cls, settings: SeSettings, trunk: protocols.Trunk) -> WeightSource:
        """Return the protocol's trunk, to which the modules are added, or timm's legacy_seresnet34."""
        return WeightSource(LEGACY if settings.legacy else trunk.name, trunk.weights, trunk.sha256)


def _legacy(setup: Setup) -> Trunk:
    trunk = setup.protocol.trunk
    backbone = load_backbone(LEGACY, trunk.weights, trunk.arguments, setup.bands, setup.weights_folders, trunk.sha256)
    frozen = [LEGACY_NAMES.get(name, name) for name in trunk.frozen]
    return Trunk(backbone, setup.bands, setup.size, trunk.mean, trunk.std, frozen)
