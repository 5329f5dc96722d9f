"""The dataset cards (one TOML each) and the generator of synthetic scenes."""

from __future__ import annotations

from pathlib import Path


def __getattr__(name: str) -> object:
    """Say what is wrong where Python, started in the checkout, takes this folder for the package of Hugging Face."""
    is_module = (Path(__file__).parent / f"{name}.py").is_file()
    if __name__ == "datasets" and not name.startswith("__") and not is_module:
        raise ImportError(
            f"datasets.{name}: this is the folder of rsir-bench's cards, not the package of Hugging Face; start Python "
            "in another folder than the checkout"
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
