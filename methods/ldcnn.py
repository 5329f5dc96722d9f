"""LDCNN: a network-in-network head, whose pooled class maps are the descriptor."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from rsir_bench.method import Batch, Card, Method, ParameterGroup, Row, Settings, Setup


class LdcnnSettings(Settings):
    """Changed by ``--set methods.ldcnn.rectified=false``.

    Attributes:
        rectified: A ReLU on the class maps before pooling, as in the original.
        bias: Initial bias of the class maps; with ``rectified`` a class that starts below zero has no gradient.
        dropout: Before and after the last layer (the original: 0.5).
        rate: Factor on the learning rate of the last layer (the original: 0.001).
    """

    rectified: bool = True
    bias: float = 1.0
    dropout: float = Field(0.0, ge=0, lt=1)
    rate: float = Field(0.1, gt=0)


class Ldcnn(Method[LdcnnSettings]):
    """Low dimensional CNN: a convolution and two 1 x 1 convolutions on the last maps, pooled to one value per class."""

    card = Card(
        name="ldcnn",
        title="LDCNN",
        paper="Zhou, Newsam, Li, Shao: Learning low dimensional convolutional neural networks for high-resolution "
        "remote sensing image retrieval, Remote Sensing 2017",
        year=2017,
        rows={
            "Max Pooling": Row(descriptor="max", paper=("LDCNN", "")),
            "GAP": Row(descriptor="mean"),
        },
        tables=["I"],
        stated=[
            "official code: 3 x 3 convolution to 4096, ReLU; 1 x 1 to 4096, ReLU, dropout 0.5; 1 x 1 to one map per "
            "class, ReLU, dropout 0.5; average pooling; softmax loss",
            "official code: the descriptor is the average, one value per class; JSST paper: 'Max Pooling'",
        ],
        choices=[
            "use the protocol's trunk and train it with the rest, instead of a frozen VGG-M",
            "train on the average as the original does; take 'Max Pooling' from the maximum of the same class maps",
            "do not pad the 3 x 3 convolution, as in the original, except where that would leave at most one position "
            "(maps of 3 x 3 at 96 px): of one position, maximum and average are the same",
            "start the first two layers with He's weights (original: 0.01 N(0, 1) for all)",
            "start the class maps' biases at 1 (original: 0), and train the last layer at 0.1 of the rate (original: "
            "0.001): the ReLU before the softmax stops classes that fall below zero, and at the full rate, classes "
            "died in trials",
            "train biases at the weights' rate (original: twice as fast)",
            "use no dropout (original: 0.5, twice): with it, the loss of a trunk from scratch did not fall in four "
            "epochs; without it, the loss fell as fast as without the ReLU",
            "use the protocol's fc1 for the 4096",
        ],
        version=2,
    )
    Settings = LdcnnSettings
    distributed_loss = "mean"

    def __init__(self, setup: Setup, settings: LdcnnSettings) -> None:
        super().__init__(setup, settings)
        self.trunk = setup.trunk()
        channels = self.trunk.channels
        width = setup.protocol.head.fc1
        self.wide = nn.Conv2d(channels, width, 3)
        self.deep = nn.Conv2d(width, width, 1)
        self.classes = nn.Conv2d(width, setup.classes, 1)
        self.dropout = nn.Dropout(settings.dropout)
        for layer in (self.wide, self.deep):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type] # torch types a bias as optional
        nn.init.normal_(self.classes.weight, std=0.01)
        nn.init.constant_(self.classes.bias, settings.bias)  # type: ignore[arg-type] # likewise

    def loss(self, batch: Batch) -> Tensor:
        """Return the cross-entropy of the average-pooled class maps, a scalar float, for ``scenes`` (N, B, H, W)."""
        pooled = self.dropout(self._class_maps(batch.scenes)).mean((2, 3))
        return functional.cross_entropy(pooled, batch.labels)

    def describe(self, scenes: Tensor) -> dict[str, Tensor]:
        """Return ``max`` and ``mean`` of the class maps, each (N, classes) float."""
        maps = self._class_maps(scenes)
        return {"max": maps.amax((2, 3)), "mean": maps.mean((2, 3))}

    def parameter_groups(self) -> list[ParameterGroup]:
        """Return two groups: the last layer learns slowly, or it would switch classes off for good."""
        return self.split_parameter_group(self.classes, self.settings.rate)

    def _class_maps(self, scenes: Tensor) -> Tensor:
        """Return class maps (N, classes, h, w), two positions smaller than the trunk's maps unless these are tiny."""
        maps = self.trunk.maps(scenes)
        if min(maps.shape[2:]) <= 3:  # dropout of a class's only position would drop the class
            maps = functional.pad(maps, (1, 1, 1, 1))
        maps = self.dropout(self.deep(self.wide(maps).relu()).relu())
        classes: Tensor = self.classes(maps)
        return classes.relu() if self.settings.rectified else classes
