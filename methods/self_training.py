"""Self-training: train the plain network again, adding unlabelled scenes with confident predictions."""

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
        threshold: An unlabelled scene joins if the probability of its most probable class exceeds this value.
        per_class: Maximum number of scenes that join each class, most confident first; None means no limit.
    """

    threshold: float = Field(0.85, ge=0, le=1)
    per_class: int | None = Field(None, ge=1)


class SelfTraining(HeadMethod[SelfTrainingSettings]):
    """Train a teacher on the labelled scenes, then three students, each with pseudo-labels from the previous network.

    Round 1 trains the teacher: the same network as ``baseline`` with the same seed. Round k + 1 is iteration k of Table
    VIII: it trains on the labelled source and on the pool scenes that round k is sure of, with the predictions of
    round k as hard labels.
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
            "a model trained on the labelled scenes labels the unlabelled scenes; those with a confidence above 0.85 "
            "join the training set; three iterations (JSST paper, Table VIII)",
            "2100 labelled scenes, plus 6057, 14722 and 21344 pseudo-labelled scenes in iterations 1, 2 and 3; "
            "ResNet34 with PCA",
        ],
        choices=[
            "train the teacher before iteration 1, which already trains on pseudo-labels (6057 scenes)",
            "use hard labels; confidence is the largest softmax probability of FC2's output, without augmentation",
            "let every network label the whole pool again: a scene can change its label or leave the training set",
            "start every round from the protocol's weights, with a newly drawn head and new batches, and run the "
            "whole schedule",
            "do not balance classes, and use neither the noise nor the larger students of Noisy Student (not stated)",
            "take pseudo-labels from the source's classes, although the pool has other classes",
            "so keep little of Noisy Student, whose students gain from noise and size; the JSST paper does not say "
            "what its row kept",
        ],
        needs_unlabelled=True,
    )
    Settings = SelfTrainingSettings
    rounds = 1 + ITERATIONS

    def __init__(self, setup: Setup, settings: SelfTrainingSettings) -> None:
        super().__init__(setup, settings)
        self._figures: dict[str, float] = {}

    def epoch_metrics(self) -> dict[str, float]:
        """Return the number of pseudo-labelled scenes in the round, and the number of classes that they cover."""
        return self._figures

    def training_set(self, number: int, previous: Method | None, source: Scenes, pool: Scenes | None) -> Scenes:
        """Return the labelled source and, from round 2, the scenes that the previous network predicts with confidence.

        Scenes are (N, H, W, B) uint8, with labels (N,) int64.
        """
        if previous is None or pool is None:
            self._figures = {"pseudo_labelled": 0, "pseudo_classes": 0}
            return source
        confidence, labels = predict(previous, pool)
        sure = reliable(confidence, labels, self.settings.threshold, self.settings.per_class)
        self._figures = {"pseudo_labelled": len(sure), "pseudo_classes": len(torch.unique(labels[sure]))}
        return source + pool.take(sure.numpy(), labels[sure])


@torch.no_grad()
def predict(network: Method, scenes: Scenes) -> tuple[Tensor, Tensor]:
    """Return the probability of each scene's most probable class, (N,) float, and the class, (N,) int64, on the CPU."""
    device = next(network.parameters()).device
    confidences, labels = [], []
    for index in torch.split(torch.arange(len(scenes)), LABELLED_AT_ONCE):
        logits = network.describe(scenes.batch(index, device).scenes)["FC"]
        confidence, label = logits.softmax(1).max(1)
        confidences.append(confidence.cpu())
        labels.append(label.cpu())
    return torch.cat(confidences), torch.cat(labels)


def reliable(confidence: Tensor, labels: Tensor, threshold: float, per_class: int | None = None) -> Tensor:
    """Return the indices of the scenes to pseudo-label.

    Args:
        confidence: (N,) float, the probability of the predicted class.
        labels: (N,) int64, the predicted class.
        threshold: The probability that a scene must exceed.
        per_class: Maximum number of scenes per class, most confident first; None means no limit.

    Returns:
        The indices, (n,) int64, ascending.
    """
    sure = torch.nonzero(confidence > threshold).flatten()
    if per_class is None:
        return sure
    order = sure[confidence[sure].argsort(descending=True, stable=True)]
    order = order[labels[order].argsort(stable=True)]  # sorted by class, then by confidence, highest first
    sizes = torch.bincount(labels[order])
    starts = sizes.cumsum(0) - sizes
    place = torch.arange(len(order)) - starts[labels[order]]
    return order[place < per_class].sort().values
