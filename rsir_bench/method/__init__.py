"""The contract of a method: everything that a method's file imports."""

from rsir_bench.base.moved import serve_old_names
from rsir_bench.method.contract import (
    Card,
    FrontEnd,
    FrontEndCard,
    Method,
    ParameterGroup,
    Row,
    Settings,
    Setup,
    Start,
    Weights,
)
from rsir_bench.scenes.batches import Batch, Scenes, balanced, balanced_of_size

__all__ = [
    "Batch",
    "Card",
    "FrontEnd",
    "FrontEndCard",
    "Method",
    "ParameterGroup",
    "Row",
    "Scenes",
    "Settings",
    "Setup",
    "Start",
    "Weights",
    "balanced",
    "balanced_of_size",
]

serve_old_names(__name__)
