"""The plain network, averaged over fixed views in describing: the control for methods that look at parts of a scene."""

from __future__ import annotations

import torch
from torch import Tensor

from rsir_bench.method import Card, HeadMethod, Row, Settings
from rsir_bench.nn.proposals import crops, placed

VIEWS = (
    (0.0, 0.0, 1.0, 1.0),
    (0.1, 0.1, 0.9, 0.9),
    (-0.135, -0.135, 1.135, 1.135),
    (0.0, 0.0, 0.5, 0.5),
    (0.5, 0.5, 1.0, 1.0),
)
"""Left, top, right and bottom of each view, as shares of the scene's side."""


class BaselineViews(HeadMethod[Settings]):
    """``baseline`` with the same training, but with descriptors that are means over five views."""

    card = Card(
        name="baseline-views",
        title="{trunk}+views",
        paper="He, Zhang, Ren, Sun: Deep residual learning for image recognition, CVPR 2016; with as many passes of "
        "the trunk per scene as NTS-Net",
        year=2016,
        stated=["nothing: this is our control"],
        rows={"FC": Row(descriptor="FC"), "PCA": Row(descriptor="FC1", kind="pca")},
        choices=[
            "take five fixed views, as many as NTS-Net's scene and K = 4 parts: the whole scene, its centre at 0.8 of "
            "the side, the scene at 1.27 of it, and the upper left and lower right quarters",
            "average FC and FC1, not the features; all views have the size of the scene",
            "fill what lies beyond the scene with the mean colour, which is zero after normalisation",
            "train on whole scenes, as baseline does: the views are for describing only",
        ],
    )

    def describe(self, scenes: Tensor) -> dict[str, Tensor]:
        """Return the means over the views of ``FC`` (N, classes) and of ``FC1`` (N, fc1), float."""
        height, width = scenes.shape[2:]
        sides = torch.tensor([width, height, width, height], dtype=torch.float64)
        boxes = placed(torch.tensor(VIEWS, dtype=torch.float64) * sides, scenes.device)
        # Zero after the trunk's normalisation is the mean before it.
        views = crops(scenes - self.trunk.mean, boxes.expand(len(scenes), -1, -1), height) + self.trunk.mean
        of_views = super().describe(views)
        return {name: values.view(len(scenes), len(VIEWS), -1).mean(1) for name, values in of_views.items()}
