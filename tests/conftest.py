"""Fixtures that several test files share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with ``data/`` and ``weights/`` for tests on real scenes."""
    folder = Path(os.environ.get("RSIR_BENCH_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"NO REAL SCENES at {folder}: set RSIR_BENCH_SHARED to the folder that holds data/ and weights/")
    return folder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps the user's cache out of the tests, and one cache for the whole test session."""
    monkeypatch.setenv("RSIR_BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
