"""A run is a chain of artifacts: to look at one changes nothing, and planning reads everything once."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Tiny

from rsir_bench.method import Method
from rsir_bench.ranking.names import DEFAULT, RECORDED
from rsir_bench.records.schema import Record
from rsir_bench.runs.artifacts.chain import RunArtifacts
from rsir_bench.runs.plan import make_plan, plan_runs
from rsir_bench.runs.resolve import resolve
from rsir_bench.runs.runners.campaign import campaign
from rsir_bench.training.describe import Reduction


def states(folder: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


@pytest.fixture
def not_deterministic() -> bool:
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)
    yield
    torch.use_deterministic_algorithms(before)


@pytest.mark.usefixtures("not_deterministic")
def test_nothing_is_there_before_a_run_and_everything_after_it(tiny: Tiny) -> None:
    plan = make_plan(tiny.request())
    (run,) = plan.runs
    artifacts = RunArtifacts(plan, run)

    def chain() -> list[object]:
        parts = [artifacts.network()]
        for cell in run.cells:
            parts += [artifacts.descriptors(cell), artifacts.components(cell), artifacts.scores(cell)]
            parts += [artifacts.record(cell)]
        return [part for part in parts if part is not None]

    assert len(chain()) == 1 + 2 * 4 - 1  # row FC has no components
    assert not any(part.exists() for part in chain())
    assert not (tiny.folder / "runs").exists()
    campaign(tiny.request(), lambda line: None)
    torch.use_deterministic_algorithms(False)
    before = states(tiny.folder / "runs")
    for part in chain():
        assert part.exists()
        assert part.key
        assert part.path.is_file()
        assert isinstance(part.load(), (Method, np.ndarray, Reduction, Record))
    records = [part.load() for part in chain() if isinstance(part.load(), Record)]
    assert {tuple(sorted(record.metrics)) for record in records} == {tuple(sorted(RECORDED))}
    assert all({*scores} == {*DEFAULT} for record in records for scores in record.per_class.values())
    assert states(tiny.folder / "runs") == before
    assert not torch.are_deterministic_algorithms_enabled()


def test_each_artifact_is_made_alone(tiny: Tiny) -> None:
    """Deleted and made again, one after the other, with the same content."""
    first = campaign(tiny.request(), lambda line: None).records
    plan = make_plan(tiny.request())
    (run,) = plan.runs
    cell = next(cell for cell in run.cells if cell.row.kind == "pca")
    before = np.load(cell.descriptors)
    for make in ("components", "descriptors", "record"):
        part = getattr(RunArtifacts(plan, run), make)(cell)
        part.path.unlink()
        assert not part.exists()
        part.make()
        assert part.exists()
        np.testing.assert_array_equal(np.load(cell.descriptors), before)
    scores = RunArtifacts(plan, run).scores(cell).make()
    assert scores.overall == next(record.metrics for record in first if record.key == cell.key)


def test_planning_reads_everything_once(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: Counter[str] = Counter()
    opened = Path.open

    def counted(path: Path, *arguments: object, **options: object) -> object:
        looked[path.name] += 1
        return opened(path, *arguments, **options)

    listed: Counter[Path] = Counter()
    listing = os.scandir

    def watched(folder: str | Path = ".") -> object:
        listed[Path(folder)] += 1
        return listing(folder)

    monkeypatch.setattr(Path, "open", counted)
    monkeypatch.setattr(os, "scandir", watched)
    make_plan(tiny.request("baseline,jsst,se", seeds=[0, 1]))
    assert looked["tiny.toml"] == 1
    scenes = [tiny.folder / name for name in ("source", "target")]
    folders = [*scenes, *(folder / f"class{number}" for folder in scenes for number in range(3))]
    assert {folder: listed[folder] for folder in folders} == dict.fromkeys(folders, 1)


def test_keys_and_plan_are_pure(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the same resolved request, without a file: everything was read before."""
    resolved = resolve(tiny.request("baseline,jsst"))
    for name in ("open", "stat", "is_file", "read_bytes", "iterdir"):
        monkeypatch.setattr(Path, name, lambda path, *_, **__: pytest.fail(f"looked at {path}"))
    one, other = plan_runs(resolved), plan_runs(resolved)
    assert [run.key for run in one.runs] == [run.key for run in other.runs]
    assert one.runs == other.runs
