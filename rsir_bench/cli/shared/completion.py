"""What the shell completes behind an option: names that are known without torch."""

from __future__ import annotations


def complete_protocols(incomplete: str) -> list[str]:
    """Return the shipped protocols that begin like this."""
    from rsir_bench.protocol import shipped

    return [name for name in shipped() if name.startswith(incomplete)]


def complete_datasets(incomplete: str) -> list[str]:
    """Return lists of datasets that begin like this: the last name of a comma-separated list is completed."""
    from rsir_bench.scenes.card import load_cards

    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in load_cards() if name.startswith(last)]
