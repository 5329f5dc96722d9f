"""A real browser for tests: pages opened from disk, with every console error and every request noted."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@dataclass
class Opened:
    """A page and what it did: ``errors`` are console errors and exceptions, ``outside`` are requests off the disk."""

    page: Any
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def open(self, path: Path) -> None:
        """Goes to a file."""
        self.page.goto(path.resolve().as_uri())

    def check(self) -> None:
        """Fail if the page had an error or left the disk."""
        assert self.errors == []
        assert self.outside == []


@contextmanager
def chromium() -> Iterator[Any]:
    """A running Chromium; the test is skipped, with the reason, where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="NO BROWSER TESTS: pip install playwright")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("NO BROWSER TESTS: no chromium on the PATH")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, path: Path, *, width: int = 1280, dark: bool = False) -> Iterator[Opened]:
    """One page opened from disk; at the end it must have made no error and no request outside the disk."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light")
    found = Opened(context.new_page())
    found.page.on("console", lambda message: found.errors.append(message.text) if message.type == "error" else None)
    found.page.on("pageerror", lambda error: found.errors.append(str(error)))
    found.page.on("request", lambda request: _note(found, request.url))
    found.open(path)
    yield found
    found.check()
    context.close()


def _note(found: Opened, url: str) -> None:
    if not url.startswith(("file://", "data:", "blob:")):
        found.outside.append(url)
