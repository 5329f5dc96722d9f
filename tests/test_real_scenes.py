"""Real scenes and pretrained features against known figures."""

from __future__ import annotations

from pathlib import Path

import pytest

import rsir_bench

WEIGHTS = "mobilenetv2_100_imagenet.safetensors"

# Global pooled features of ImageNet MobileNetV2 at 224 px, Pearson, every scene a query, on the re-encoded copies.
KNOWN = {
    "ucm": {"mAP": 0.5914, "AP@10h": 0.9226, "P@5": 0.8890, "P@10": 0.8465, "P@50": 0.6807, "P@100": 0.5507},
    "rsscn7": {"mAP": 0.4714, "AP@10h": 0.8589, "P@5": 0.8138, "P@10": 0.7827, "P@50": 0.6859, "P@100": 0.6257},
}


@pytest.mark.real
@pytest.mark.slow
def test_pretrained_features_reproduce_the_known_figures(shared: Path, tmp_path: Path) -> None:
    records = rsir_bench.run(
        [f"timm:mobilenetv2_100@{WEIGHTS}"],
        list(KNOWN),
        protocol="aid-lite",
        data_root=shared / "data",
        device="cpu",
        out=tmp_path / "runs",
        overrides=[
            "data.size=224",
            "methods.timm.arguments.pad_type=same",
            "methods.timm.mean=[0.5]",
            "methods.timm.std=[0.5]",
        ],
    )
    assert [record.target.name for record in records] == list(KNOWN)
    for record in records:
        known = KNOWN[record.target.name]
        assert {name: record.metrics[name] for name in known} == pytest.approx(known, abs=0.003)
        # The paper's "mAP" against its P@5, over all its rows that are not hashed: the line that AP@10h follows.
        assert record.metrics["AP@10h"] == pytest.approx(0.211 + 0.797 * record.metrics["P@5"], abs=0.005)
