"""Run small scenes through trained networks to scores, and compare every step with its expected output."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from rsir_bench.base.errors import UserError
from rsir_bench.base.files import file_digest, write_atomically, write_text
from rsir_bench.records.schema import Record
from rsir_bench.records.store import read_record
from rsir_bench.records.verdict import EXACT, Tolerance, Verdict, refuse_no_reason
from rsir_bench.runs.artifacts.chain import RunArtifacts
from rsir_bench.runs.artifacts.environment import environment
from rsir_bench.runs.plan import Plan, ResultSpec, Run, make_plan
from rsir_bench.runs.request import Request
from rsir_bench.scenes.index import index_folder
from rsir_bench.scenes.pixel_cache import Transform, open_pixels

FOLDER = Path(__file__).parent
STEPS = ("scenes", "pixels", "descriptors", "components", "scores")
"""In the order of the pipeline; ``components`` are descriptors after their PCA."""

SCORED = ("source", "target")
# Scenes of which only the pixels are compared: builds of libjpeg differ by a grey level or two, and so do descriptors.
LOSSY, BANDS = "lossy", "bands"
NOTHING = Tolerance(0, 0)
TOLERANCES = {
    "scenes": NOTHING,
    "pixels": NOTHING,
    "pixels lossy": Tolerance(0, 2),  # grey levels
    # Shares of the longest descriptor. Other orders of summation leave about 1e-6 after a few layers.
    "descriptors": Tolerance(1e-5, 1e-4),
    "components": Tolerance(1e-5, 1e-4),
    "scores": Tolerance(EXACT, EXACT),
}

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Finding:
    """One thing that was compared.

    Attributes:
        step: One of ``STEPS``.
        what: Scenes, or method and row.
        deviation: The greatest difference; infinite where shapes differ or one of the two is missing.
        tolerance: Of this step.
    """

    step: str
    what: str
    deviation: float
    tolerance: Tolerance

    @property
    def verdict(self) -> Verdict:
        """OK, OKish or FAIL."""
        return self.tolerance.verdict(self.deviation)


@dataclass(frozen=True)
class GoldenOutput:
    """The output of the stage: (step, what) -> values; descriptors and pixels as arrays, scores by name."""

    arrays: dict[tuple[str, str], Array]
    scores: dict[str, dict[str, float]]


def check(expected: Path = FOLDER) -> list[Finding]:
    """Run the stage in a temporary folder, on the CPU, and compare; takes seconds.

    Args:
        expected: The folder with ``expected.json`` and ``expected.npz``.

    Returns:
        Every comparison, in the order of the steps.

    Raises:
        UserError: There is nothing to compare with, or the checkpoints no longer fit their methods.
    """
    return _compare(_read(expected), run_stage())


def first_drift(findings: list[Finding]) -> Finding | None:
    """Return the first step that drifts; later steps follow it."""
    return next((finding for finding in findings if finding.verdict is Verdict.FAIL), None)


def accept(reason: str, expected: Path = FOLDER) -> list[Finding]:
    """Make the current output the expected one, and store the reason and what changed with it.

    Returns:
        The comparison with what was expected until now; empty if there was nothing.

    Raises:
        UserError: There is no reason, or the stage cannot run.
    """
    refuse_no_reason(reason)
    now = run_stage()
    notes, findings = [], []
    if (expected / "expected.json").is_file():
        notes = json.loads((expected / "expected.json").read_text(encoding="utf-8"))["accepted"]
        findings = _compare(_read(expected), now)
    moved = [f"{found.step}: {found.what}" for found in findings if found.verdict is not Verdict.OK]
    created = datetime.now(UTC).isoformat(timespec="seconds")
    notes.append({"reason": reason, "created": created, "moved": moved, "environment": environment("cpu", "32")})
    arrays = {"/".join(name): values for name, values in now.arrays.items()}
    write_atomically(expected / "expected.npz", lambda path: np.savez_compressed(path, **arrays))  # type: ignore[arg-type]
    write_text(expected / "expected.json", json.dumps({"accepted": notes, "scores": now.scores}, indent=1) + "\n")
    return findings


def run_stage() -> GoldenOutput:
    """Run the real pipeline on the stage's files, without caches of earlier calls."""
    with tempfile.TemporaryDirectory() as name, _own_cache(Path(name) / "cache"):
        plan = make_plan(request(Path(name)))
        arrays = _scenes(plan)
        scores = {}
        for run in plan.runs:
            _place_checkpoint(run)
            RunArtifacts(plan, run).make()
            for cell in run.cells:
                what, record = f"{run.method.name} {cell.row_name}", read_record(cell.record)
                arrays["components" if cell.row.kind == "pca" else "descriptors", what] = _descriptors(cell)
                scores[what] = _scores(record)
        return GoldenOutput(arrays, scores)


def request(folder: Path) -> Request:
    """Return the request of the stage: every method that has a checkpoint.

    Args:
        folder: Where everything that is made goes.
    """
    source = json.dumps(f"folder:{FOLDER / 'scenes' / 'source'}")
    return Request(
        methods=sorted(path.stem for path in (FOLDER / "checkpoints").glob("*.safetensors")),
        targets=[f"folder:{FOLDER / 'scenes' / 'target'}"],
        protocol=str(FOLDER / "exact.toml"),
        data_root=folder,
        out=folder / "runs",
        overrides=[f"data.source={source}"],
    )


@contextmanager
def _own_cache(folder: Path) -> Iterator[None]:
    """Use an empty pixel cache: pixels of an earlier call would hide a change of decoding."""
    name = "RSIR_BENCH_CACHE"
    before = os.environ.get(name)
    os.environ[name] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _scenes(plan: Plan) -> dict[tuple[str, str], Array]:
    """Return the classes and pixels of all scenes."""
    found: dict[tuple[str, str], Array] = {}
    usual = plan.runs[0].transform
    folders = dict.fromkeys((*SCORED, LOSSY), usual) | {BANDS: Transform(usual.size, usual.resize, "all")}
    for name, transform in folders.items():
        index = index_folder(FOLDER / "scenes" / name)
        found["scenes", name] = index.labels
        found["pixels", name] = np.array(open_pixels(index, transform))
    return {key: found[key] for key in sorted(found, key=lambda key: STEPS.index(key[0]))}


def _place_checkpoint(run: Run) -> None:
    """Write the network where a finished training would have written it."""
    weights = run.note(1).with_name("weights.safetensors")
    weights.parent.mkdir(parents=True)
    shutil.copy(FOLDER / "checkpoints" / f"{run.method.name}.safetensors", weights)
    trained = {"seconds": 0.0, "images_per_second": 1.0, "loss": 0.0, "weights_sha256": file_digest(weights)}
    write_text(run.note(1), json.dumps(trained))


def _descriptors(cell: ResultSpec) -> Array:
    values: Array = np.load(cell.descriptors)
    return np.unpackbits(values, axis=1) if cell.row.kind == "code" else values


def _scores(record: Record) -> dict[str, float]:
    least = {f"{metric}, least by ties": bounds[0] for metric, bounds in record.tie_bounds.items()}
    greatest = {f"{metric}, greatest by ties": bounds[1] for metric, bounds in record.tie_bounds.items()}
    return {**record.metrics, **least, **greatest}


def _read(folder: Path) -> GoldenOutput:
    if not (folder / "expected.json").is_file():
        raise UserError(f'{folder}: no expected values; make them with `rsir-bench drift --exact --accept "REASON"`')
    scores = json.loads((folder / "expected.json").read_text(encoding="utf-8"))["scores"]
    with np.load(folder / "expected.npz", allow_pickle=False) as file:
        arrays = {(name.partition("/")[0], name.partition("/")[2]): file[name] for name in file.files}
    return GoldenOutput(arrays, scores)


def _compare(before: GoldenOutput, now: GoldenOutput) -> list[Finding]:
    findings = []
    for step, what in dict.fromkeys([*before.arrays, *now.arrays]):
        one, other = before.arrays.get((step, what)), now.arrays.get((step, what))
        tolerance = TOLERANCES.get(f"{step} {what}", TOLERANCES[step])
        relative = step in ("descriptors", "components")
        findings.append(Finding(step, what, _deviation(one, other, relative), tolerance))
    for what in dict.fromkeys([*before.scores, *now.scores]):
        worst, deviation = _worst(before.scores.get(what, {}), now.scores.get(what, {}))
        findings.append(Finding("scores", f"{what}: {worst}", deviation, TOLERANCES["scores"]))
    return sorted(findings, key=lambda finding: STEPS.index(finding.step))


def _deviation(before: Array | None, now: Array | None, relative: bool) -> float:
    """Return the greatest difference; for descriptors, as a share of the longest."""
    if before is None or now is None or before.shape != now.shape:
        return float("inf")
    one, other = before.astype(np.float64), now.astype(np.float64)
    scale = float(np.linalg.norm(one, axis=1).max()) if relative else 1.0
    return float(np.abs(other - one).max()) / scale


def _worst(before: dict[str, float], now: dict[str, float]) -> tuple[str, float]:
    if before.keys() != now.keys():
        return "other metrics", float("inf")
    worst = max(before, key=lambda metric: abs(now[metric] - before[metric]))
    return worst, abs(now[worst] - before[worst])
