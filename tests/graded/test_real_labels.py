"""The multi-labels of UC Merced: MobileNetV2, a random order and the ideal one have the known figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rsir_bench
from rsir_bench.ranking import score
from rsir_bench.ranking.graded.names import GRADED_METRICS
from rsir_bench.scenes.index import resolve_dataset
from rsir_bench.scenes.labelling.label_file import read_label_table

METHOD = "timm:mobilenetv2_100@mobilenetv2_100_imagenet.safetensors"
AT_224 = [
    "data.size=224",
    "methods.timm.arguments.pad_type=same",
    "methods.timm.mean=[0.5]",
    "methods.timm.std=[0.5]",
]
KNOWN = {  # random order, MobileNetV2, ideal order
    "mAP(any)": (0.640, 0.811, 1),
    "mAP(jaccard)": (0.208, 0.577, 1),
    "mAP(equal)": (0.024, 0.352, 1),
    "mAP@100(any)": (0.479, 0.912, 1),
    "nDCG@100(g)": (0.384, 0.786, 1),
    "nDCG@100(2^g-1)": (0.255, 0.674, 1),
    "ACG@10": (1.282, 2.734, 3.296),
    "ACG@100": (1.282, 2.356, 3.104),
    "WAP": (1.285, 1.830, 2.465),
}
AT_HITS = {"WAP@100h": (1.306, 2.551, 3.200)}


@pytest.mark.real
def test_random_descriptors_have_the_known_figures_and_score_near_chance(shared: Path) -> None:
    """A metric of few ranks varies most between draws."""
    labels = read_label_table(shared / "data/ucm_multilabel.txt").lists()
    names = [*GRADED_METRICS, *AT_HITS]
    draws = [
        score(np.random.default_rng(seed).standard_normal((len(labels), 16)), labels, metrics=names)
        for seed in range(3)
    ]
    assert len(labels) == 2100
    for name, (random, _, best) in {**KNOWN, **AT_HITS}.items():
        mean = np.mean([scores.overall[name] for scores in draws])
        assert draws[0].chance[name] == pytest.approx(random, abs=0.002), name
        assert mean == pytest.approx(draws[0].chance[name], abs=0.005 if name.startswith("ACG") else 0.002), name
        assert draws[0].oracle[name] == pytest.approx(best, abs=0.0006), name


@pytest.mark.real
@pytest.mark.nightly
def test_pretrained_features_have_the_known_figures(shared: Path, tmp_path: Path) -> None:
    (record,) = rsir_bench.run(
        [METHOD],
        ["ucm-multilabel"],
        protocol="aid-lite",
        data_root=shared / "data",
        device="cpu",
        out=tmp_path / "runs",
        overrides=AT_224,
    )
    assert record.graded is not None
    for name, (random, known, best) in KNOWN.items():
        found = record.graded.chance[name], record.metrics[name], record.graded.oracle[name]
        assert found == pytest.approx((random, known, best), abs=0.002), name
    (rows,) = (np.load(path) for path in (tmp_path / "runs").rglob("*.npy"))
    labels = resolve_dataset("ucm-multilabel", shared / "data").several
    assert labels is not None
    scores = score(rows, labels.lists(), metrics=list(AT_HITS))
    for name, (_, known, best) in AT_HITS.items():
        assert (scores.overall[name], scores.oracle[name]) == pytest.approx((known, best), abs=0.002)
