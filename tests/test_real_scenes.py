"""Real scenes and pretrained features: the known figures, and on a few scenes those of plain code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from ranking_reference import metrics_of, others
from safetensors.torch import load_file

import rsir_bench
from rsir_bench.ranking.names import DEFAULT

WEIGHTS = "mobilenetv2_100_imagenet.safetensors"
METHOD = f"timm:mobilenetv2_100@{WEIGHTS}"
OVERRIDES = [
    "data.size=224",
    "methods.timm.arguments.pad_type=same",
    "methods.timm.mean=[0.5]",
    "methods.timm.std=[0.5]",
]

# Global pooled features of ImageNet MobileNetV2 at 224 px, Pearson, every scene a query, on the re-encoded copies.
KNOWN = {
    "ucm": {"mAP": 0.5914, "AP@10h": 0.9226, "P@5": 0.8890, "P@10": 0.8465, "P@50": 0.6807, "P@100": 0.5507},
    "rsscn7": {"mAP": 0.4714, "AP@10h": 0.8589, "P@5": 0.8138, "P@10": 0.7827, "P@50": 0.6859, "P@100": 0.6257},
}


@pytest.mark.real
@pytest.mark.nightly
def test_pretrained_features_reproduce_the_known_figures(shared: Path, tmp_path: Path) -> None:
    records = rsir_bench.run(
        [METHOD],
        list(KNOWN),
        protocol="aid-lite",
        data_root=shared / "data",
        device="cpu",
        out=tmp_path / "runs",
        overrides=OVERRIDES,
    )
    assert [record.target.name for record in records] == list(KNOWN)
    for record in records:
        known = KNOWN[record.target.name]
        assert {name: record.metrics[name] for name in known} == pytest.approx(known, abs=0.003)
        # The paper's "mAP" against its P@5, over all its rows that are not hashed: the line that AP@10h follows.
        assert record.metrics["AP@10h"] == pytest.approx(0.211 + 0.797 * record.metrics["P@5"], abs=0.005)


@torch.inference_mode()
def plain_features(paths: list[Path], weights: Path) -> np.ndarray:
    """Of timm's network, from Pillow's pixels: (N, D)."""
    network = timm.create_model("mobilenetv2_100", num_classes=0, pad_type="same").eval()
    network.load_state_dict(load_file(weights), strict=False)  # those of the classifier are left over
    pictures = [Image.open(path).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR) for path in paths]
    pixels = torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures])).permute(0, 3, 1, 2)
    return torch.cat([network((part / 255 - 0.5) / 0.5) for part in pixels.split(32)]).numpy()


@pytest.mark.real
def test_features_of_a_few_scenes_are_those_of_plain_code(shared: Path, tmp_path: Path) -> None:
    folders = sorted(folder for folder in (shared / "data/UCMerced_LandUse/Images").iterdir() if folder.is_dir())
    for folder in folders:
        (tmp_path / "few" / folder.name).mkdir(parents=True)
        for path in sorted(folder.iterdir())[:5]:
            (tmp_path / "few" / folder.name / path.name).symlink_to(path)
    paths = sorted((tmp_path / "few").glob("*/*"))
    (record,) = rsir_bench.run(
        [METHOD],
        [f"folder:{tmp_path / 'few'}"],
        protocol="aid-lite",
        data_root=shared / "data",
        device="cpu",
        out=tmp_path / "runs",
        overrides=OVERRIDES,
    )
    assert record.target.scenes == len(paths) == 105
    alike = np.corrcoef(plain_features(paths, shared / "weights" / WEIGHTS))
    labels = np.array([path.parent.name for path in paths])
    rankings = [others(105, query)[np.argsort(-alike[query][others(105, query)])] for query in range(105)]
    found = [metrics_of(labels[ranking] == labels[query], (5, 10, 50), 10) for query, ranking in enumerate(rankings)]
    expected = {name: float(np.mean([one[name] for one in found])) for name in found[0]}
    assert expected["P@5"] > 0.4  # ten times what chance gives
    shared_names = expected.keys() & record.metrics.keys()
    assert {*DEFAULT} - {"P@100"} | {"recall@10", "hit@5", "nDCG@10", "MRR"} <= shared_names
    assert {name: record.metrics[name] for name in shared_names} == pytest.approx(
        {name: expected[name] for name in shared_names}, abs=1e-3
    )


@pytest.mark.real
@pytest.mark.nightly
def test_expanded_queries_gain_only_where_they_do_not_find_themselves(shared: Path) -> None:
    """Queries replaced by themselves plus ten neighbours, weighted by the cube of their similarity."""
    paths = sorted((shared / "data/UCMerced_LandUse/Images").glob("*/*"))
    labels = [path.parent.name for path in paths]
    rows = plain_features(paths, shared / "weights" / WEIGHTS)
    unit = rows - rows.mean(axis=1, keepdims=True)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    alike = unit @ unit.T - 3 * np.eye(len(unit), dtype=np.float32)
    nearest = np.argsort(-alike, axis=1)[:, :10]
    weights = np.take_along_axis(alike, nearest, axis=1) ** 3
    expanded = unit + (unit[nearest] * weights[:, :, None]).sum(axis=1)
    apart = {"gallery": rows, "gallery_labels": labels}
    found = {
        "plain": rsir_bench.score(rows, labels),
        "each finds itself": rsir_bench.score(expanded, labels, **apart),
        "right": rsir_bench.score(expanded, labels, **apart, own=np.arange(len(rows))),
    }
    measured = {name: [scores.overall[metric] for metric in ("mAP", "P@5")] for name, scores in found.items()}
    known = {"plain": [0.591, 0.889], "each finds itself": [0.645, 0.913], "right": [0.638, 0.884]}
    for name, values in known.items():
        assert measured[name] == pytest.approx(values, abs=0.001), name
