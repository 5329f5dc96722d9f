"""rsir-bench: a benchmark of remote sensing image retrieval."""

__version__ = "0.1.0"
