"""Versions and machine, for records and for notes of training and describing."""

from __future__ import annotations

import platform
import re
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch

from rsir_bench.training import distributed
from rsir_bench.training.device import effective_precision


def environment(device: str, precision: str) -> dict[str, str]:
    """Return versions and machine, for the record and for the notes of training and describing."""
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else processor()
    ranks = {"ranks": str(distributed.size())} if distributed.size() > 1 else {}
    return {
        "python": platform.python_version(),
        **_versions(),
        "device": f"{device} ({name})",
        "precision": effective_precision(precision, device),
        "threads": str(torch.get_num_threads()),
        "platform": platform.system(),
        **ranks,
    }


@cache
def _versions() -> dict[str, str]:
    packages = ("rsir-bench", "torch", "torchvision", "timm", "lightning-fabric", "numpy", "scikit-learn", "pillow")
    return {package: version(package) for package in packages}


def processor(path: Path = Path("/proc/cpuinfo")) -> str:
    """Return the CPU's model and the widest vectors that torch uses on it, such as ``"AMD EPYC, AVX2"``.

    Speeds and the last bits of results depend on both: rented machines may give one name to several generations. The
    same training ends with the same bits on one kind, and elsewhere only where it rests on the same kernels.

    Args:
        path: The file of Linux; other systems do not have it.
    """
    found = re.search(r"^model name\s*:\s*(.+)$", path.read_text(), re.MULTILINE) if path.is_file() else None
    model = found[1].strip() if found else platform.processor() or "unknown model"
    return f"{model}, {torch.backends.cpu.get_cpu_capability()}"
