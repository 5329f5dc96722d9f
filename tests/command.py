"""The command line without a process of its own: torch is loaded once for all of them."""

from __future__ import annotations

import gc
import sys
from dataclasses import dataclass

import pytest

from rsir_bench.cli.app import main


@dataclass(frozen=True)
class Ended:
    """Exit status and what was printed."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class InProcess:
    """Calls ``main`` in the working folder as it is."""

    capsys: pytest.CaptureFixture[str]

    def __call__(self, *words: object) -> Ended:
        """Run ``rsir-bench`` with these words."""
        self.capsys.readouterr()
        thresholds = gc.get_threshold()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["rsir-bench", *map(str, words)])
            try:
                with pytest.raises(SystemExit) as ended:
                    main()
            finally:  # main expects the process to end
                gc.set_threshold(*thresholds)
                gc.unfreeze()
        code = ended.value.code
        assert isinstance(code, int)
        return Ended(code, *self.capsys.readouterr())
