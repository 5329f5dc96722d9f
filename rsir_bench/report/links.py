"""What one part of the report tells the others about: a page, and whom it concerns."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Link:
    """A page that other pages point to.

    Attributes:
        title: What the page is called.
        href: Its path relative to the report's folder, with ``/`` between.
        text: One sentence on what is found there.
        board: The board that it concerns, None where it concerns all.
        target: Likewise the dataset.
        methods: The methods that it concerns, by their labels.
    """

    title: str
    href: str
    text: str
    board: str | None = None
    target: str | None = None
    methods: tuple[str, ...] = ()
