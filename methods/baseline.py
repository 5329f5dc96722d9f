"""The plain method: the protocol's trunk under the fully connected head, trained with cross-entropy."""

from __future__ import annotations

from rsir_bench.method import Card, HeadMethod, Row, Settings, tuned


class Baseline(HeadMethod[Settings]):
    """ResNet34 in the paper; any trunk of the protocol here (section II-B, Fig. 2 without the JSST)."""

    card = Card(
        name="baseline",
        title="{trunk}",
        paper="He, Zhang, Ren, Sun: Deep residual learning for image recognition, CVPR 2016",
        year=2016,
        rows={
            "FC": Row(descriptor="FC", paper=("ResNet34", "baseline")),
            "PCA": Row(descriptor="FC1", kind="pca", paper=("ResNet34", "")),
        },
        tables=["I", "II", "III", "IV", "V", "VI", "VII", "VIII"],
        stated=[
            "FC1 has 4096 units, FC2 one per class; at retrieval, PCA takes the place of FC2",
        ],
        choices=[
            "average the trunk's maps over all positions before FC1 (the paper: 'the last feature')",
            "take FC from the output of FC2; fit PCA on FC1 before its ReLU",
            "train with cross-entropy, without dropout (not stated)",
            "from scratch, train for the protocol's epochs, 4 to 40, fewer than its authors would: rows compare with "
            "each other, not with what a ResNet can reach",
        ],
    )


Tuned = tuned(Baseline)
