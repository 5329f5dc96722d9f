"""The trained stage: its seeds agree with the committed baseline, and changed training makes ``drift`` fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from stage import RESULTS, SEEDS, STARTS, request
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR
from typer.testing import CliRunner

from rsir_bench.cli.app import app
from rsir_bench.nn.trunk import Trunk
from rsir_bench.runs.runners.campaign import campaign

pytestmark = pytest.mark.slow


def drift(start: str) -> tuple[int, str]:
    """Train in the working directory and call ``drift``; return its exit code and what it printed."""
    assert campaign(request(SEEDS, start), lambda line: None).failures == {}
    result = CliRunner().invoke(app, ["drift", "--baseline", str(RESULTS), "runs"])
    return result.exit_code, result.output


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("start", STARTS)
def test_as_it_is_nothing_drifts(start: str) -> None:
    code, text = drift(start)
    assert code == 0, text
    assert "0 FAIL, 0 not comparable, 0 new, 0 gone" in text


def frozen_statistics(patch: pytest.MonkeyPatch) -> None:
    """Frozen layers follow into training mode: their batch norm takes the statistics of the scenes."""
    patch.setattr(Trunk, "train", nn.Module.train)


def learning_rate_step(patch: pytest.MonkeyPatch) -> None:
    """The schedule stays at its start; the call in its constructor puts it there."""
    step = OneCycleLR.step
    patch.setattr(OneCycleLR, "step", lambda self: step(self) if self.last_epoch < 0 else None)


@pytest.mark.parametrize(
    ("mutate", "start"),
    [(frozen_statistics, "shifted"), (learning_rate_step, "scratch")],
    ids=["frozen_statistics", "learning_rate_step"],
)
def test_changed_training_is_red(
    mutate: Callable[[pytest.MonkeyPatch], None], start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutate(monkeypatch)
    code, text = drift(start)
    assert code == 1, text
    worst = text.splitlines()[2].split()
    assert worst[0] == "FAIL"
