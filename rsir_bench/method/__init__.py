"""The contract of a method: everything that a method imports, besides ``rsir_bench.nn`` and ``rsir_bench.protocol``."""

from rsir_bench.base.moved import serve_old_names
from rsir_bench.method.composition import preset, tuned
from rsir_bench.method.contract import (
    Card,
    FrontEnd,
    FrontEndCard,
    Method,
    ParameterGroup,
    Row,
    Settings,
    Setup,
    Weights,
    WeightSource,
)
from rsir_bench.method.embedding_method import EmbeddingMethod, EmbeddingSettings, PairMethod, PairSettings
from rsir_bench.method.head_method import HeadMethod
from rsir_bench.scenes.batches import Batch, Scenes, balanced, balanced_of_size

__all__ = [
    "Batch",
    "Card",
    "EmbeddingMethod",
    "EmbeddingSettings",
    "FrontEnd",
    "FrontEndCard",
    "HeadMethod",
    "Method",
    "PairMethod",
    "PairSettings",
    "ParameterGroup",
    "Row",
    "Scenes",
    "Settings",
    "Setup",
    "WeightSource",
    "Weights",
    "balanced",
    "balanced_of_size",
    "preset",
    "tuned",
]

serve_old_names(__name__)
