"""Fixtures that several test files share."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

# The tests' networks are too small for a second thread to help; torch reads this when it is first imported.
if "--benchmark-only" not in sys.argv:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from command import InProcess
    from faults.commands import Commands, Place
    from faults.tally import Tally

    from rsir_bench.runs.request import Request

REPOSITORY = Path(__file__).resolve().parent.parent
NO_ORACLES = "NO ORACLES: pip install -e '.[oracles]' to compare with other libraries"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests start first: at the end, one would keep a single worker busy while the others idle."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with ``data/`` and ``weights/`` for tests on real scenes."""
    folder = Path(os.environ.get("RSIR_BENCH_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"NO REAL SCENES at {folder}: set RSIR_BENCH_SHARED to the folder that holds data/ and weights/")
    return folder


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps the user's cache out of the tests, and one cache for the whole test session and all its workers."""
    own = tmp_path_factory.getbasetemp()
    session = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RSIR_BENCH_CACHE", str(session / "cache"))
        yield


def write_scenes(folder: Path, classes: int, scenes: int, seed: int, pixels: int = 32) -> Path:
    """A small dataset in class folders: stripes whose direction and colour tell the class, under noise."""
    chance = np.random.default_rng(seed)
    across, down = np.meshgrid(np.arange(pixels), np.arange(pixels))
    for number in range(classes):
        angle = np.pi * number / classes
        stripes = 0.5 + 0.4 * np.sin((across * np.cos(angle) + down * np.sin(angle)) * 0.9)
        place = folder / f"class{number}"
        place.mkdir(parents=True)
        for scene in range(scenes):
            colour = chance.uniform(0.5, 1, 3)
            values = stripes[..., None] * colour + chance.normal(0, 0.15, (pixels, pixels, 3))
            pixel_values = (values.clip(0, 1) * 255).astype(np.uint8)
            Image.fromarray(pixel_values).save(place / f"scene{scene:02}.png")
    return folder


TINY_PROTOCOL = """
name = "tiny"
title = "For tests"
[data]
source = "folder:{source}"
targets = ["folder:{target}"]
size = 32
[trunk]
name = "test_resnet"
weights = "none"
[head]
fc1 = 16
[train]
epochs = 2
batch = 8
rate = 0.05
schedule = "one-cycle"
[describe]
pca = 4
"""


@dataclass(frozen=True)
class Tiny:
    """A protocol that trains in a second, on scenes of its own."""

    folder: Path
    protocol: Path
    source: str
    target: str

    def request(self, methods: str = "baseline", out: str = "runs", **changes: Any) -> Request:
        """A request under the tiny protocol."""
        from rsir_bench.runs.request import Request

        options: dict[str, Any] = {"targets": ["all"], "protocol": str(self.protocol), "data_root": self.folder}
        return Request(methods=methods.split(","), out=self.folder / out, **{**options, **changes})


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    """Source and target of three classes, and a protocol with timm's smallest trunk."""
    return make_tiny(tmp_path)


def make_tiny(folder: Path) -> Tiny:
    """The same as ``tiny``, in a folder that is there."""
    source = write_scenes(folder / "source", 3, 8, seed=1)
    target = write_scenes(folder / "target", 3, 6, seed=2)
    protocol = folder / "tiny.toml"
    protocol.write_text(TINY_PROTOCOL.format(source=source, target=target))
    return Tiny(folder, protocol, f"folder:{source}", f"folder:{target}")


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> InProcess:
    """The command line in this process, in a folder of the test's own."""
    from command import InProcess

    monkeypatch.chdir(tmp_path)
    return InProcess(capsys)


# --- the fault suite: pytest -m faults, and more of it under -m nightly ---


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """Counts tries of faults for the table at the end; the test is lost where one of them was."""
    from faults.tally import Tally

    tally = Tally()
    request.node.user_properties.append(("faults", tally.counts))
    yield tally
    assert not tally.lost, "\n".join(tally.lost)


@pytest.fixture(scope="session")
def commands() -> Iterator[Commands]:
    """Runs commands in forked processes."""
    from faults.commands import Commands

    commands = Commands()
    yield commands
    commands.close()


@pytest.fixture(scope="session")
def reference(commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place with the results of a run that nothing befell."""
    from faults.commands import make_place

    place = make_place(tmp_path_factory.mktemp("reference") / "place")
    (ended,) = commands(place.job())
    ended.check_told(0)
    assert len(place.records()) == 2
    return place


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints how often each fault was tried and survived."""
    from faults.tally import table

    for line in table(report for reports in terminalreporter.stats.values() for report in reports):
        terminalreporter.write_line(line)
