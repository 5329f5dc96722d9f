"""Self-training: the plain network, trained again with unlabelled scenes that the previous network was sure of."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from rsir_bench.method import Card, HeadMethod, Method, Row, Scenes, Settings, Setup

ITERATIONS = 3  # in the JSST paper (section IV, Table VIII)
LABELLED_AT_ONCE = 64  # a larger batch only costs memory


class SelfTrainingSettings(Settings):
    """Selection of the unlabelled scenes for training.

    Attributes:
        threshold: An unlabelled scene joins when the probability of its most probable class exceeds this.
        per_class: Maximum number that join each class, the most confident first; None: all of them.
    """

    threshold: float = Field(0.85, ge=0, le=1)
    per_class: int | None = Field(None, ge=1)


class SelfTraining(HeadMethod[SelfTrainingSettings]):
    """A teacher on the labelled scenes, then three students, each with pseudo-labels from the network before it.

    Round 1 is the teacher: the same network as ``baseline`` with the same seed. Round k + 1 is iteration k of Table
    VIII: the labelled source and the pool's scenes that round k is sure of, with its predictions as hard labels.
    """

    card = Card(
        name="self-training",
        title="Self-training",
        paper="Xie, Luong, Hovy, Le: Self-training with noisy student improves ImageNet classification, CVPR 2020",
        year=2020,
        rows={
            **{
                f"PCA, iteration {number}": Row(
                    descriptor="FC1",
                    kind="pca",
                    paper=("Self-training", f"iteration{number}, trained on UCM + pseudo-labelled PatternNet"),
                    round=number + 1,
                )
                for number in range(1, ITERATIONS)
            },
            "PCA": Row(
                descriptor="FC1",
                kind="pca",
                paper=("Self-training", f"iteration{ITERATIONS}, trained on UCM + pseudo-labelled PatternNet"),
            ),
        },
        tables=["VIII"],
        stated=[
            "a model trained on the labelled scenes labels the unlabelled ones; those whose confidence exceeds 0.85 "
            "join the training set; three iterations (JSST paper, Table VIII)",
            "2100 labelled scenes with 6057, 14722 and 21344 others in iterations 1, 2 and 3; ResNet34 with PCA",
        ],
        choices=[
            "iteration 1 already trains on pseudo-labels (its 6057), so that the teacher is a training before it",
            "hard labels; confidence is the largest softmax probability of FC2's output, on unchanged scenes",
            "every network labels the whole pool anew: a scene can change its label, or leave",
            "every round starts anew from the protocol's weights, with a head and batches drawn anew, and has the "
            "whole schedule",
            "no balancing of classes and none of Noisy Student's noise or larger students (not stated)",
            "pseudo-labels are classes of the source, though the pool has others",
        ],
        needs_unlabelled=True,
    )
    Settings = SelfTrainingSettings
    rounds = 1 + ITERATIONS

    def __init__(self, setup: Setup, settings: SelfTrainingSettings) -> None:
        super().__init__(setup, settings)
        self._figures: dict[str, float] = {}

    def epoch_metrics(self) -> dict[str, float]:
        """Return the number of pseudo-labelled scenes in the round, and the number of their classes."""
        return self._figures

    def training_set(self, number: int, previous: Method | None, source: Scenes, pool: Scenes | None) -> Scenes:
        """Return the labelled source and, from round two, the scenes that the previous network is sure of."""
        if previous is None or pool is None:
            self._figures = {"pseudo_labelled": 0, "pseudo_classes": 0}
            return source
        confidence, labels = predict(previous, pool)
        sure = reliable(confidence, labels, self.settings.threshold, self.settings.per_class)
        self._figures = {"pseudo_labelled": len(sure), "pseudo_classes": len(torch.unique(labels[sure]))}
        return source + pool.take(sure.numpy(), labels[sure])


@torch.no_grad()
def predict(network: Method, scenes: Scenes) -> tuple[Tensor, Tensor]:
    """Return the probability float (N,) of each scene's most probable class, and the class int64 (N,), on the CPU."""
    device = next(network.parameters()).device
    confidences, labels = [], []
    for index in torch.split(torch.arange(len(scenes)), LABELLED_AT_ONCE):
        logits = network.describe(scenes.batch(index, device).scenes)["FC"]
        confidence, label = logits.softmax(1).max(1)
        confidences.append(confidence.cpu())
        labels.append(label.cpu())
    return torch.cat(confidences), torch.cat(labels)


def reliable(confidence: Tensor, labels: Tensor, threshold: float, per_class: int | None = None) -> Tensor:
    """Return the indices of the scenes that are pseudo-labelled.

    Args:
        confidence: (N,) float probability of the predicted class.
        labels: (N,) int64, the predicted class.
        threshold: Probability to be exceeded.
        per_class: Maximum number of scenes of a class, the most confident first; None: all.

    Returns:
        int64 (n,), increasing.
    """
    sure = torch.nonzero(confidence > threshold).flatten()
    if per_class is None:
        return sure
    order = sure[confidence[sure].argsort(descending=True, stable=True)]
    order = order[labels[order].argsort(stable=True)]  # class after class, each from its most confident scene
    sizes = torch.bincount(labels[order])
    starts = sizes.cumsum(0) - sizes
    place = torch.arange(len(order)) - starts[labels[order]]
    return order[place < per_class].sort().values
