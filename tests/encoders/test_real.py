"""Known figures of real networks on real scenes."""

from __future__ import annotations

from pathlib import Path

import pytest

import rsir_bench

# Globally pooled features, Pearson, every scene a query; the first 20 scenes of each class of UC Merced, squashed.
KNOWN = {
    "tf_efficientnet_lite0": {"mAP": 0.6986, "AP@10h": 0.8993, "P@5": 0.8490},
    "tf_efficientnet_lite2": {"mAP": 0.6778, "AP@10h": 0.8937, "P@5": 0.8357},
}
DIGESTS = {
    "tf_efficientnet_lite0": "aa9b22a02e31a06708385b9b361823b6eb1952ce15610c1ec2f8b41b8bfdfd85",
    "tf_efficientnet_lite2": "27081ae96d79cfc72d5abe7d558d5c1ea35cd4643ffe3a6aac16b0a025487072",
}
SIZES = {"tf_efficientnet_lite0": 224, "tf_efficientnet_lite2": 260}
SCENES = 20


@pytest.mark.real
@pytest.mark.nightly
def test_encoders_reproduce_the_known_figures_at_their_own_sizes(shared: Path, tmp_path: Path) -> None:
    (first,) = (path for path in (shared / "data").rglob("agricultural") if path.is_dir())
    for folder in (path for path in first.parent.iterdir() if path.is_dir()):
        (tmp_path / "few" / folder.name).mkdir(parents=True)
        for scene in sorted(folder.iterdir())[:SCENES]:
            (tmp_path / "few" / folder.name / scene.name).symlink_to(scene)
    names = [f"timm:{model}@{shared}/weights/{model}_imagenet.safetensors:fit=squash:crop=1" for model in KNOWN]
    records = rsir_bench.run(names, [f"folder:{tmp_path}/few"], protocol="frozen", out=tmp_path / "runs")
    assert len(records) == len(KNOWN)
    for record in records:
        assert record.encoder is not None
        assert record.pixels is not None
        model = record.encoder.model.partition(".")[0]
        assert record.target.scenes == SCENES * record.target.classes == 420
        assert (record.pixels.size, record.pixels.filter, record.pixels.mean) == (SIZES[model], "bicubic", [0.5] * 3)
        assert record.encoder.weights == f"tensors:{DIGESTS[model]}"
        found = {name: record.metrics[name] for name in KNOWN[model]}
        assert found == pytest.approx(KNOWN[model], abs=0.002)
