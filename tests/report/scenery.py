"""A tiny campaign and the report's pages of its scenes, made once for all tests of a session."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY_PROTOCOL, write_scenes

from rsir_bench.report.renderer import Frame, Link
from rsir_bench.report.scenes.pages import add_scenes
from rsir_bench.report.scenes.targets import Target, find_targets
from rsir_bench.report.tiles import Scenes
from rsir_bench.runs.request import Request, UserFiles
from rsir_bench.runs.runners.campaign import campaign

EVIL = "<i>class2&amp;"
METHODS = ("baseline", "jsst", "gamma", "dhn")


@dataclass(frozen=True)
class Scenery:
    """The runs, the report, and what it was made of."""

    folder: Path
    runs: Path
    out: Path
    protocol: str
    scenes: Scenes
    targets: list[Target]

    @property
    def links(self) -> list[Link]:
        return list(self.scenes.links)

    @property
    def target(self) -> Target:
        (target,) = self.targets
        return target

    def data(self, name: str) -> Any:
        """What a data script hands to the page."""
        return read_script(self.out / name)


def read_script(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    assert text.startswith('explorer.receive("')
    assert text.endswith(");\n")
    return json.loads(text[text.index(", ") + 2 : -3])


def scenery(factory: pytest.TempPathFactory) -> Scenery:
    """The session's campaign and pages."""
    return _make(factory.getbasetemp())


@functools.cache
def _make(base: Path) -> Scenery:
    """Two seeds of the baseline, one of the others; 120 scenes, so that there are two sheets of thumbnails."""
    folder = base / "scenery"
    source = write_scenes(folder / "source", 3, 8, seed=1)
    target = write_scenes(folder / "target", 3, 40, seed=2)
    (target / "class2").rename(target / EVIL)
    protocol = folder / "tiny.toml"
    protocol.write_text(TINY_PROTOCOL.format(source=source, target=target))
    for methods, seeds in ((["baseline"], [0, 1]), (METHODS[1:], [0])):
        request = Request(methods, ["all"], str(protocol), seeds, folder, out=folder / "runs")
        assert not campaign(request, lambda _: None).failures
    out = folder / "report"
    frame = Frame(out)
    scenes = add_scenes(out, [folder / "runs"], UserFiles(folder, protocol=str(protocol)), frame.render)
    frame.add_static()
    targets = find_targets([folder / "runs"], UserFiles(folder, protocol=str(protocol)), pytest.fail)
    return Scenery(folder, folder / "runs", out, str(protocol), scenes, targets)
