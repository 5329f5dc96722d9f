"""NTS-Net: a navigator proposes parts, a teacher judges them, a scrutinizer looks at them together with the scene."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from rsir_bench.method import Batch, Card, Method, ParameterGroup, Row, Settings, Setup, tuned
from rsir_bench.nn.head import Head
from rsir_bench.nn.metric_losses import ranking_hinge
from rsir_bench.nn.proposals import anchors, best_boxes, crops, placed

RATIOS = (0.667, 1.0, 1.5)
SCALES = (2 ** (1 / 3), 2 ** (2 / 3))
# Sides of the anchors on the three maps over the smallest: 48, 96 and 192 of 448 px in the official code, times scales.
SIDES = (SCALES, tuple(2 * scale for scale in SCALES), tuple(4 * scale for scale in (1.0, *SCALES)))
FEWEST = sum(len(sides) * len(RATIOS) for sides in SIDES)  # anchors where every map has one position


class NtsNetSettings(Settings):
    """Changed by ``--set methods.nts-net.parts=4``.

    Attributes:
        parts: M, parts that are proposed and judged in training.
        kept: K, the best of them, which join the scene's feature; at most M.
        anchor: Side of the smallest anchors, before their scales, as a share of the scene's side.
        overlap: Intersection over union above which the better of two anchors suppresses the other.
        part_size: Side in pixels to which parts are resized; None: the scene's. Smaller is cheaper.
        dropout: Dropout on the pooled features of scenes and parts, in training only.
        centres: Where the positions of the maps lie: ``"shares"``, the centres of equal shares of the scene, or
            ``"strides"``, half a stride and then a stride apart, as in the official code.
        rate: Highest learning rate of the navigator, independent of the protocol's.
    """

    parts: int = Field(6, ge=2, le=FEWEST)
    kept: int = Field(4, ge=1)
    anchor: float = Field(0.2, gt=0, le=1)
    overlap: float = Field(0.25, ge=0, le=1)
    part_size: int | None = Field(None, ge=16)
    dropout: float = Field(0.5, ge=0, lt=1)
    centres: Literal["shares", "strides"] = "shares"
    rate: float = Field(0.001, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _keeps_what_it_proposes(self) -> NtsNetSettings:
        if self.kept > self.parts:
            raise ValueError(f"kept = {self.kept} of parts = {self.parts}: keep at most all of them")
        return self


class Navigator(nn.Module):
    """Scores for anchors over three maps, each half as wide as the one before.

    Args:
        channels: Channels of the trunk's last maps.
        anchor: Side of the smallest anchors, as a share of the scene's side.
        strides: Whether positions lie a stride apart; otherwise at the centres of equal shares.
    """

    def __init__(self, channels: int, anchor: float, strides: bool = False) -> None:
        super().__init__()
        self.anchor, self.strides = anchor, strides
        self.down = nn.ModuleList(
            [
                nn.Conv2d(channels, 128, 3, padding=1),
                nn.Conv2d(128, 128, 3, stride=2, padding=1),
                nn.Conv2d(128, 128, 3, stride=2, padding=1),
            ]
        )
        self.score = nn.ModuleList(nn.Conv2d(128, len(sides) * len(RATIOS), 1) for sides in SIDES)

    def forward(self, maps: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Return anchors and their scores.

        Args:
            maps: (N, C, h, w) float, the trunk's last maps.
            size: Height and width of the scenes in pixels.

        Returns:
            (A, 4) float64, the anchors in pixels, and (N, A) float32, their scores.
        """
        boxes, scores = [], []
        # The order of close scores decides, and it is a small part of the work: no bf16, though on CUDA torch's
        # convolutions round what they multiply to TF32. With bf16, torch's CPU convolution has given gradients that
        # are not finite on maps of a single position.
        with torch.autocast(maps.device.type, enabled=False):
            maps = maps.float()
            stride = size[0] / maps.shape[2], size[1] / maps.shape[3]
            for level, (down, score, sides) in enumerate(zip(self.down, self.score, SIDES, strict=True)):
                maps = down(maps).relu()
                pixels = [self.anchor * min(size) * side for side in sides]
                strides = (stride[0] * 2**level, stride[1] * 2**level) if self.strides else None
                boxes.append(anchors((maps.shape[2], maps.shape[3]), size, pixels, RATIOS, strides))
                scores.append(score(maps).flatten(1))
        return placed(torch.cat(boxes), maps.device), torch.cat(scores, 1)


class NtsNet(Method[NtsNetSettings]):
    """Yang, Luo, Wang, Hu, Gao, Wang: section 3, on the protocol's trunk, with the paper's FC1 and FC2 on top."""

    card = Card(
        name="nts-net",
        title="NTS-Net",
        paper="Yang, Luo, Wang, Hu, Gao, Wang: Learning to navigate for fine-grained classification, ECCV 2018",
        year=2018,
        version=3,
        rows={"FC": Row(descriptor="FC"), "PCA": Row(descriptor="FC1", kind="pca", paper=("NTS-Net", ""))},
        tables=["I", "II"],
        stated=[
            "JSST paper: PCA at retrieval; nothing else about its NTS-Net",
            "official code (yangze0930/NTS-Net): M = 6 parts, of which K = 4 are kept; suppression at IoU 0.25; three "
            "maps with 6, 6 and 9 anchors per position (ratios .667, 1, 1.5); the navigator sees detached maps",
            "official code: cross-entropy of the scene, of the parts and of their concatenation, and the ranking "
            "hinge, each with weight 1; dropout 0.5 on the pooled features; SGD with momentum and a rate of 0.001 for "
            "all",
            "official code: scenes and parts pass through the trunk one after the other, each with its own batch-norm "
            "statistics, and both update the running ones",
        ],
        choices=[
            "switch dropout off to describe; the official code leaves it on, so that its features are random",
            "use the protocol's trunk, size and batches (official: ResNet50 on flipped crops of 448 px, 16 in a batch, "
            "the rate lowered at epochs 60 and 100)",
            "use anchors of 0.2, 0.4 and 0.8 of the scene's side times their scales (official: 48, 96 and 192 of 448 "
            "px, about half of that), chosen on held-out classes of the sources: in a short training the navigator "
            "stays with the smallest anchors, and parts of an eighth of the side hardly help the trunk",
            "place positions at the centres of equal shares of the scene; centres=strides places them as the official "
            "code does, a stride apart, which puts the last row and column of the third map on the border at 448 px",
            "fill parts beyond the scene with the mean colour, which is zero after normalisation",
            "make parts as large as the scene: at 224 px, that is the size the trunk's weights know (official: 224 of "
            "448 px); half the side was worse on the held-out classes",
            "add the best of the suppressed parts where fewer than M remain",
            "send the concatenation (K parts, then the scene) through FC1 and ReLU to FC2, and read FC and PCA there; "
            "the official classifier has no hidden layer",
            "use one optimizer with the protocol's recipe instead of the official four; keep their rate of 0.001 for "
            "the navigator only, times the protocol's schedule: at rates that train a trunk from scratch, its units "
            "die",
            "accept the cost: M + 1 passes of the trunk per scene in training, K + 1 in describing",
        ],
    )
    Settings = NtsNetSettings
    distributed_loss = "mean"

    def __init__(self, setup: Setup, settings: NtsNetSettings) -> None:
        super().__init__(setup, settings)
        self.trunk = setup.trunk()
        channels = self.trunk.channels
        self.navigator = Navigator(channels, settings.anchor, settings.centres == "strides")
        self.dropout = nn.Dropout(settings.dropout)
        self.scene_class = nn.Linear(self.trunk.features, setup.classes)
        self.part_class = nn.Linear(self.trunk.features, setup.classes)
        together = self.trunk.features * (settings.kept + 1)
        self.head = Head(together, setup.protocol.head.fc1, setup.classes)

    def describe(self, scenes: Tensor) -> dict[str, Tensor]:
        """Return the head's output for the scene with its K best parts.

        Returns:
            ``FC`` (N, classes), the output of FC2, and ``FC1`` (N, fc1), the output of FC1 before its ReLU, float.
        """
        maps, whole = self._look(scenes)
        parts, _ = self._parts(scenes, maps, self.settings.kept)
        return self._scrutinise(whole, parts)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return four terms: for the scene, the order of the parts, scene and parts together, and each part.

        All are scalar floats, for ``scenes`` (N, B, H, W) in [0, 1].
        """
        maps, whole = self._look(batch.scenes)
        parts, scores = self._parts(batch.scenes, maps, self.settings.parts)
        part_labels = batch.labels[:, None].expand_as(scores)
        judged = self.part_class(parts).transpose(1, 2)  # (N, classes, M)
        part_losses = functional.cross_entropy(judged, part_labels, reduction="none")
        together = self._scrutinise(whole, parts[:, : self.settings.kept])["FC"]
        return {
            "scene": functional.cross_entropy(self.scene_class(whole), batch.labels),
            "rank": ranking_hinge(scores, part_losses),
            "concat": functional.cross_entropy(together, batch.labels),
            "part": part_losses.mean(),
        }

    def parameter_groups(self) -> list[ParameterGroup]:
        """Return two groups: the navigator has a separate rate.

        The hinge adds up M (M - 1) / 2 pairs per scene: at rates that train a trunk from scratch its steps soon leave
        hardly a unit of the first layer above zero, every anchor of a kind has the same score, and the term stays at
        that number for good.
        """
        return self.split_parameter_group(self.navigator, absolute_rate=self.settings.rate)

    def _look(self, scenes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the trunk's maps (N, C, h, w) and its pooled features (N, F) in one pass."""
        maps = self.trunk.maps(scenes)
        return maps, self.dropout(self.trunk.pool(maps))

    def _parts(self, scenes: Tensor, maps: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Return features (N, count, F) and the navigator's scores (N, count) of the best parts, the best first."""
        boxes, scores = self.navigator(maps.detach(), (scenes.shape[2], scenes.shape[3]))
        chosen = best_boxes(boxes, scores, count, self.settings.overlap)
        # Zero after the trunk's normalisation is the mean before it.
        size = self.settings.part_size or scenes.shape[2]
        views = crops(scenes - self.trunk.mean, boxes[chosen], size) + self.trunk.mean
        _, features = self._look(views)
        return features.view(len(scenes), count, -1), scores.gather(1, chosen)

    def _scrutinise(self, whole: Tensor, parts: Tensor) -> dict[str, Tensor]:
        """Return the head's descriptors of the scene (N, F) with its K parts (N, K, F)."""
        descriptors: dict[str, Tensor] = self.head(torch.cat([parts.flatten(1), whole], 1))
        return descriptors


Tuned = tuned(NtsNet)
