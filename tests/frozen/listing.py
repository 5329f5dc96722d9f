"""List every key and file name of runs and results, for datasets that need not exist.

``python tests/frozen/listing.py > tests/frozen/keys.txt`` writes the fixture. A new method or protocol adds lines; no
line changes: published records are found by these keys.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np

from rsir_bench.base.files import digest
from rsir_bench.method.registry import discover, least_schedules
from rsir_bench.protocol import load_protocol, shipped
from rsir_bench.runs import resolve
from rsir_bench.runs.plan import Plan, make_plan
from rsir_bench.runs.request import Request
from rsir_bench.scenes.card import load_cards
from rsir_bench.scenes.index import SceneIndex, SceneListing
from rsir_bench.scenes.reading.store import FolderStore

PLUGIN = Path(__file__).resolve().parent.parent / "plugins" / "everything.py"
SPECIAL = ["jsst+se", "jsst+jsst-tps+baseline", "wallis+dhn", "timm:resnet18@none", "timm:resnet18", "everything"]
ENCODERS = ("timm", "hf", "open_clip", "torchgeo")
VARIANTS = (
    ("head.fc1=64", "describe.pca=32", 'describe.pca_fit=["source","target"]'),
    ("score.queries=fifth", "score.query_seed=1", "data.antialias=false", "score.similarity=cosine"),
    ("data.leaked=drop", "methods.jsst.padding=zeros", "train.batch=32"),
)


def fake_dataset(name: str) -> SceneIndex:
    """Ten scenes of each class of the card, or of three classes of a folder; known by a fingerprint of the name."""
    card = load_cards().get(name)
    classes = tuple(entry.name for entry in card.classes) if card else ("A", "b", "c")
    plain = name.rpartition("/")[2]
    return SceneIndex(
        name=name if card else plain,
        store=FolderStore(Path(plain)),
        paths=tuple(f"{name}/{number}.png" for name in classes for number in range(10)),
        labels=np.repeat(np.arange(len(classes)), 10),
        classes=classes,
        fingerprint=digest(f"scenes of {plain}"),
        bands=card.bands if card else 3,
        rgb=card.rgb if card else (0, 1, 2),
        value_range=card.value_range if card else None,
        card=card,
    )


def listing() -> Iterator[str]:
    """One line for each run and each result."""
    for protocol in (name for name in shipped() if load_protocol(name).trains):
        elsewhere = {*ENCODERS, *least_schedules(discover())} - {*load_protocol(protocol).methods}
        methods = [*(name for name in discover() if name not in elsewhere), *SPECIAL]
        yield from _lines(protocol, methods=methods, seeds=(0, 3))
        distortions = ("haze:3", "rotation:1")
        yield from _lines(protocol, methods=["baseline", "dhn"], distortions=distortions)
        yield from _lines(protocol, methods=["jsst", "timm:resnet18@none"], targets=["folder:some/place", "eurosat"])
        for overrides in VARIANTS:
            yield from _lines(protocol, methods=["jsst"], overrides=overrides)
    yield from _lines("demo", methods=["jsst", "cbp"], overrides=["data.source=eurosat"], targets=["demo-view"])
    yield from _lines("demo", methods=["histeq+timm:resnet18@none"], overrides=["data.bands=all"], targets=["eurosat"])
    encoders = [
        f"timm:test_vit@none{changes}" for changes in ("", ":pooling=cls+mean", ":size=320", ":fit=squash:crop=1")
    ]
    yield from _lines("frozen", methods=[*encoders, "wallis+timm:test_resnet@none", "jsst"], seeds=(0, 3))
    yield from _lines("frozen", methods=encoders[:1], targets=["folder:some/place", "eurosat"], distortions=["haze:3"])


def _lines(protocol: str, **asked: object) -> Iterator[str]:
    request = Request(**{"targets": ["all"], "protocol": protocol, "plugins": [PLUGIN], **asked})  # type: ignore[arg-type]
    plan = fake_plan(request)
    yield f"# {plan.board} {plan.protocol.hash}"
    yield from (f"absent {reason}" for reason in plan.absent)
    for run in plan.runs:
        yield f"run {run.method.label} seed {run.seed}: {run.key[:20]} {run.folder.as_posix()}"
        for cell in run.cells:
            files = [cell.descriptors, cell.record]
            if cell.fit == "source":
                files.append(cell.components)
            names = " ".join(path.relative_to(run.folder).as_posix() for path in files)
            yield f" {cell.row_name} on {cell.target} {cell.distortion or ''} {cell.key[:20]}: {names}"


def fake_plan(request: Request) -> Plan:
    """The plan of a request for datasets and weights that need not exist."""
    with tempfile.TemporaryDirectory() as folder:

        def find_weights(file: str, *_: object) -> Path:
            path = Path(folder) / Path(file).name
            path.write_text(f"weights of {file}")
            return path

        with (
            mock.patch.object(resolve, "list_dataset", lambda name, data_root: SceneListing(name, None, None, {})),
            mock.patch.object(resolve, "index_listing", lambda listing: fake_dataset(listing.name)),
            mock.patch.object(resolve, "find_weights", find_weights),
        ):
            return make_plan(request)


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in listing())
