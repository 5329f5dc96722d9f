"""An example that uses every hook of the contract at once; it is not a method of any paper."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from rsir_bench.method import (
    Batch,
    Card,
    Method,
    ParameterGroup,
    Row,
    Scenes,
    Settings,
    Setup,
    balanced,
)
from rsir_bench.nn.head import Head
from rsir_bench.protocol import Train


class EverythingSettings(Settings):
    """Changed by ``--set methods.everything.bits=32``.

    Attributes:
        bits: Length of the code.
        per_class: K of the P x K batches.
        confidence: Minimum probability of an unlabelled scene's class for the scene to join the second round.
    """

    bits: int = Field(16, ge=1)
    per_class: int = Field(4, ge=1)
    confidence: float = Field(0.4, ge=0, le=1)


class Everything(Method[EverythingSettings]):
    """Classify and hash; the second round also learns from the first round's predictions on unlabelled scenes."""

    card = Card(
        name="everything",
        title="Everything",
        paper="none",
        year=2026,
        rows={
            "FC": Row(descriptor="FC"),
            "Hashing": Row(descriptor="bits", kind="code"),
            "PCA, first round": Row(descriptor="FC1", kind="pca", round=1),
        },
        choices=["everything"],
        needs_unlabelled=True,
    )
    Settings = EverythingSettings
    rounds = 2

    def __init__(self, setup: Setup, settings: EverythingSettings) -> None:
        super().__init__(setup, settings)
        fc1 = setup.protocol.head.fc1
        self.trunk = setup.trunk()
        self.head = Head(self.trunk.features, fc1, setup.classes)
        self.hash = nn.Linear(fc1, settings.bits)
        self.register_buffer("right", torch.zeros(2), persistent=False)  # predictions that were right, and all
        self.right: Tensor

    def describe(self, scenes: Tensor) -> dict[str, Tensor]:
        """Return the head's descriptors, and real values ``bits`` (N, bits) whose signs are the code."""
        rows: dict[str, Tensor] = self.head(self.trunk(scenes))
        return {**rows, "bits": self.hash(rows["FC1"].relu()).tanh()}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return two terms, which are summed and logged separately."""
        rows = self.describe(batch.scenes)
        hits = (rows["FC"].argmax(1) == batch.labels).float()
        self.right += torch.stack([hits.sum(), torch.ones_like(hits).sum()])
        return {
            "class": functional.cross_entropy(rows["FC"], batch.labels),
            "quantisation": 0.1 * (1 - rows["bits"].abs()).mean(),
        }

    def recipe(self, train: Train) -> Train:
        """Return the protocol's recipe with Adam at a tenth of its rate."""
        return train.model_copy(update={"optimizer": "adam", "rate": train.rate / 10})

    def parameter_groups(self) -> list[ParameterGroup]:
        """Return two groups: the pretrained trunk learns slowly, the new layers without weight decay."""
        new = [*self.head.parameters(), *self.hash.parameters()]
        return [ParameterGroup(list(self.trunk.parameters()), rate=0.1), ParameterGroup(new, weight_decay=0.0)]

    def batches(self, labels: Tensor, size: int, generator: torch.Generator) -> list[Tensor]:
        """Return batches of P classes with K scenes each."""
        per_class = min(self.settings.per_class, size)
        return balanced(labels, size // per_class, per_class, generator)

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Return the batch with each scene turned by 0, 90, 180 or 270 degrees."""
        turns = torch.randint(4, (len(batch.scenes),), generator=generator).tolist()
        turned = [torch.rot90(scene, number, (1, 2)) for scene, number in zip(batch.scenes, turns, strict=True)]
        return batch.with_scenes(torch.stack(turned))

    def epoch_metrics(self) -> dict[str, float]:
        """Return the share of correct predictions in the epoch that just ended."""
        right, count = self.right.tolist()
        self.right.zero_()
        return {"accuracy": right / count}

    def training_set(self, number: int, previous: Method | None, source: Scenes, pool: Scenes | None) -> Scenes:
        """Return the source; in round two also the unlabelled scenes whose class the first network is sure of."""
        if previous is None or pool is None:
            return source
        certainty, label = _predictions(previous, pool)
        sure = torch.nonzero(certainty >= self.settings.confidence).flatten()
        return source + pool.take(sure.numpy(), label[sure])


@torch.no_grad()
def _predictions(network: Method, scenes: Scenes) -> tuple[Tensor, Tensor]:
    """Return the probability (N,) float of each scene's most probable class, and the class (N,) int64."""
    device = next(network.parameters()).device
    parts = [
        network.describe(scenes.batch(index, device).scenes)["FC"].softmax(1).max(1)
        for index in torch.arange(len(scenes)).split(64)
    ]
    return torch.cat([part.values.cpu() for part in parts]), torch.cat([part.indices.cpu() for part in parts])
