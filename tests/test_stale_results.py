"""Random edits between two runs: what an edit changes is made again, and what it does not change stays.

The oracle is a fresh run in another folder. ``pytest -m nightly`` makes 200 edits of each kind, the default run a few.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import Tiny
from PIL import Image, ImageOps

from rsir_bench.runs.request import Request
from rsir_bench.runs.runners.campaign import campaign

PLUGIN = '''"""A trained method in one file."""
import torch
from torch import nn
from torch.nn import functional
from rsir_bench.method import Card, Method, Row, Settings
from tools import temperature


class MineSettings(Settings):
    """Its settings."""

    scale: float = 2.0


class Mine(Method):
    """Class scores of mean colours, at a temperature."""

    Settings = MineSettings
    card = Card(name="mine", title="Mine", paper="none", year=2026, version=1, rows={"Mean": Row(descriptor="m")})

    def __init__(self, setup, settings):
        """Build one layer."""
        super().__init__(setup, settings)
        self.trunk = setup.trunk()
        self.scale = settings.scale
        self.layer = nn.Linear(self.trunk.features, setup.classes)

    def describe(self, scenes):
        """Return the scores."""
        return {"m": temperature(self.layer(self.trunk(scenes)), self.scale) + 0.0}

    def loss(self, batch):
        """Return the cross-entropy."""
        return functional.cross_entropy(1.0 * self.describe(batch.scenes)["m"], batch.labels)
'''
TOOLS = "def temperature(scores, scale):\n    return (scores * scale).tanh() * 1.0\n"
WEIGHTS = "trunk.pth"


class Site:
    """Plugin, protocol, scenes and weights, and the edits that may befall them."""

    def __init__(self, tiny: Tiny, chance: random.Random) -> None:
        self.folder, self.chance, self.runs = tiny.folder, chance, 0
        self.plugin = tiny.folder / "code" / "mine.py"
        self.plugin.parent.mkdir()
        self.plugin.write_text(PLUGIN)
        self.plugin.with_name("tools.py").write_text(TOOLS)
        self.protocol = tiny.protocol
        self.protocol.write_text(
            self.protocol.read_text()
            .replace('weights = "none"', f'weights = "{WEIGHTS}"')
            .replace("epochs = 2", "epochs = 1")
        )
        for folder in ("source", "target"):
            for path in (tiny.folder / folder).rglob("*.png"):  # of one size each, whatever they show
                Image.open(path).save(path.with_suffix(".bmp"))
                path.unlink()
        self.weights = tiny.folder / "weights" / WEIGHTS
        self.weights.parent.mkdir()
        import timm

        torch.save(timm.create_model("test_resnet").state_dict(), self.weights)
        self.overrides: dict[str, str] = {}
        self.moves = 0

    def run(self, out: str) -> tuple[dict[tuple[str, str], dict[str, float]], str]:
        """The metrics of every row and target, and the plan."""
        lines: list[str] = []
        request = Request(
            methods=["mine"],
            targets=["all"],
            protocol=str(self.protocol),
            data_root=self.folder,
            out=self.folder / out,
            overrides=[f"{key}={value}" for key, value in self.overrides.items()],
            plugins=[self.plugin],
        )
        outcome = campaign(request, lines.append)
        assert not outcome.failures, outcome.failures
        return {(one.row.name, one.target.name): one.metrics for one in outcome.records}, "\n".join(lines)

    def fresh(self) -> dict[tuple[str, str], dict[str, float]]:
        """The same from nothing: no result, and no cache, of before."""
        cache, own = os.environ["RSIR_BENCH_CACHE"], self.folder / "own-cache"
        os.environ["RSIR_BENCH_CACHE"] = str(own)
        try:
            return self.run("fresh")[0]
        finally:
            os.environ["RSIR_BENCH_CACHE"] = cache
            shutil.rmtree(self.folder / "fresh")
            shutil.rmtree(own)

    def scenes(self, folder: str) -> list[Path]:
        return sorted((self.folder / folder).rglob("*.bmp"))

    # --- edits that may change numbers ---

    def edit_method(self) -> None:
        old, new = self.chance.choice(
            [
                ("+ 0.0", "- 0.5"),
                ("+ 0.0", "+ 1.0"),
                ("1.0 * self", "3.0 * self"),
                ("scale: float = 2.0", "scale: float = 0.5"),
            ]
        )
        text = self.plugin.read_text()
        self.plugin.write_text(text.replace(old, new) if old in text else PLUGIN)

    def edit_helper(self) -> None:
        path = self.plugin.with_name("tools.py")
        path.write_text(TOOLS.replace("tanh() * 1.0", f"tanh() * {self.chance.choice(['1.0', '2.0', '-1.', '0.5'])}"))

    def edit_setting(self) -> None:
        self.overrides["methods.mine.scale"] = self.chance.choice(["0.25", "1.0", "4.0"])

    def edit_protocol(self) -> None:
        key, values = self.chance.choice(
            [
                ("train.rate", ["0.01", "0.1"]),
                ("data.size", ["32", "48"]),
                ("train.batch", ["8", "12"]),
                ("train.flip", ["true", "false"]),
                ("score.similarity", ["cosine", "euclidean"]),
            ]
        )
        self.overrides[key] = self.chance.choice(values)

    def edit_version(self) -> None:
        text = self.plugin.read_text()
        number = int(text.partition("version=")[2].partition(",")[0])
        self.plugin.write_text(text.replace(f"version={number},", f"version={number + 1},"))

    def edit_scene(self) -> None:
        """Other pixels under the same size and time."""
        path = self.chance.choice(self.scenes(self.chance.choice(["source", "target"])))
        before = path.stat()
        ImageOps.invert(Image.open(path)).save(path)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def edit_labels(self) -> None:
        """Two scenes of different classes change places, with their times."""
        scenes = self.scenes(self.chance.choice(["source", "target"]))
        one, other = scenes[0], self.chance.choice([path for path in scenes if path.parent != scenes[0].parent])
        place = one.with_name("place")
        one.rename(place)
        other.rename(one)
        place.rename(other)

    def edit_classes(self) -> None:
        """The classes come in another order."""
        first = self.chance.choice(sorted((self.folder / "source").iterdir()))
        first.rename(first.with_name(f"{self.chance.choice('aez')}{first.name}"[:20]))

    def edit_weights(self) -> None:
        """Other weights under the same name, size and time."""
        before = self.weights.stat()
        state = torch.load(self.weights)
        state["conv1.0.weight" if "conv1.0.weight" in state else "conv1.weight"] *= self.chance.choice([0.5, 2.0, -1.0])
        torch.save(state, self.weights)
        os.utime(self.weights, ns=(before.st_atime_ns, before.st_mtime_ns))

    # --- edits that change nothing ---

    def reword(self) -> None:
        words = self.chance.choice(["Means.", "Colours.", "The method."])
        text = self.plugin.read_text()
        start, end = text.index('"""'), text.index('"""', 3) + 3
        self.plugin.write_text(f'{text[:start]}"""{words}"""{text[end:]}\n# {words}\n')

    def reformat(self) -> None:
        path = self.plugin.with_name("tools.py")
        path.write_text(path.read_text().replace("(scores, scale)", "(scores,  scale)") + "\n\n# the end\n")

    def touch(self) -> None:
        for path in self.chance.sample([*self.scenes("source"), *self.scenes("target"), self.weights, self.plugin], 5):
            os.utime(path)

    def shuffle_protocol(self) -> None:
        head, *tables = self.protocol.read_text().split("\n[")
        self.chance.shuffle(tables)
        tables = [
            "\n".join([table.splitlines()[0], *self.chance.sample(rest, len(rest))])
            for table in tables
            if [rest := table.splitlines()[1:]]
        ]
        self.protocol.write_text("\n[".join([head, *tables]) + "\n")

    def shuffle_overrides(self) -> None:
        items = list(self.overrides.items())
        self.chance.shuffle(items)
        self.overrides = dict(items)

    def move_plugin(self) -> None:
        self.moves += 1
        folder = self.folder / f"code{self.moves}"
        self.plugin.parent.rename(folder)
        self.plugin = folder / "mine.py"

    def copy_scenes(self) -> None:
        """The same files, as other files."""
        folder = self.folder / self.chance.choice(["source", "target"])
        shutil.copytree(folder, folder.with_name("copied"))
        shutil.rmtree(folder)
        folder.with_name("copied").rename(folder)

    def add_beside(self) -> None:
        self.plugin.with_name(f"unused{self.chance.random()}.py").write_text("raise SystemExit\n")


CHANGES = [
    "edit_method",
    "edit_helper",
    "edit_setting",
    "edit_protocol",
    "edit_version",
    "edit_scene",
    "edit_labels",
    "edit_classes",
    "edit_weights",
]
NOTHING = [
    "reword",
    "reformat",
    "touch",
    "shuffle_protocol",
    "shuffle_overrides",
    "move_plugin",
    "copy_scenes",
    "add_beside",
]


def edits(site: Site, names: list[str], count: int) -> list[Callable[[], None]]:
    """``count`` edits, each kind in turn, in random order."""
    chosen = [names[number % len(names)] for number in range(count)]
    site.chance.shuffle(chosen)
    return [getattr(site, name) for name in chosen]


@pytest.mark.parametrize("count", [9, pytest.param(200, marks=pytest.mark.nightly)])
def test_no_result_of_before_an_edit_is_shown_after_it(tiny: Tiny, count: int) -> None:
    site = Site(tiny, random.Random(count))
    site.run("runs")
    seen = set()
    for edit in edits(site, CHANGES, count):
        edit()
        shown, plan = site.run("runs")
        assert shown == site.fresh(), f"after {edit.__name__}: {plan}"
        seen.add(str(shown))
    assert len(seen) > min(count, 30) / 3  # the edits do change numbers


@pytest.mark.parametrize("count", [8, pytest.param(200, marks=pytest.mark.nightly)])
def test_an_edit_that_changes_nothing_makes_nothing_again(tiny: Tiny, count: int) -> None:
    site = Site(tiny, random.Random(count))
    site.overrides |= {"train.rate": "0.01", "methods.mine.scale": "4.0"}
    before, _ = site.run("runs")
    for edit in edits(site, NOTHING, count):
        edit()
        shown, plan = site.run("runs")
        assert "1 done, 0 to do" in plan, f"after {edit.__name__}"
        assert shown == before
