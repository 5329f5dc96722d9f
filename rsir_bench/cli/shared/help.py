"""How the help of every verb is set up: panels of options, and ``-h``."""

from __future__ import annotations

from typing import Any

TYPER: dict[str, Any] = {
    "add_completion": False,  # the program's own: app.py
    "rich_markup_mode": "rich",
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}
"""How the program and each group of verbs are set up."""


class Panel:
    """The panels that options are grouped in."""

    WHAT = "What to run"
    SCENES = "Scenes"
    MACHINE = "Machine"
    RESULTS = "Results"
    OUTPUT = "Output"
