"""Check free disk space before it is needed."""

from __future__ import annotations

import shutil
from pathlib import Path

from rsir_bench.base.errors import UserError


def require_space(folder: Path, size: int, purpose: str) -> None:
    """Check that the disk of an existing folder has ``size`` bytes free.

    Raises:
        UserError: It has not; the message gives both figures.
    """
    free = shutil.disk_usage(folder).free
    if free < size:
        figures = f"needs {size / 1e6:,.1f} MB in {folder}, {free / 1e6:,.1f} MB are free"
        raise UserError(f"no space left: to {purpose} {figures}; free some or choose another data root")
