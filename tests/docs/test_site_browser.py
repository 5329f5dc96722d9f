"""The built documentation in a real browser, opened from disk; ``sphinx-build docs build/docs`` makes it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "tests" / "report"))
from browser import chromium, opened

pytestmark = pytest.mark.browser
SITE = REPOSITORY / "build" / "docs"
PAGES = ("index", "score", "reference/commands", "reference/metrics", "reference/methods/jsst", "api/method")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not (SITE / "index.html").exists():
        pytest.skip("NO SITE: pip install -e '.[docs]' and sphinx-build -W --keep-going docs build/docs")
    with chromium() as running:
        yield running


@pytest.mark.parametrize("width", [1440, 390])
def test_no_page_is_wider_than_the_window(browser: Any, width: int) -> None:
    with opened(browser, SITE / "index.html", width=width) as found:
        for name in PAGES:
            found.open(SITE / f"{name}.html")
            assert found.page.evaluate("document.documentElement.scrollWidth") <= width, name


@pytest.mark.parametrize(("words", "page"), [("AP@10h", "reference/metrics.html"), ("add a method", "add_method.html")])
def test_the_search_finds(browser: Any, words: str, page: str) -> None:
    with opened(browser, SITE / "search.html") as found:
        found.page.goto((SITE / "search.html").as_uri() + "?q=" + words.replace(" ", "+").replace("@", "%40"))
        found.page.wait_for_selector("#search-results li a")
        found.page.wait_for_function("!document.querySelector('#search-progress')?.textContent.includes('Searching')")
        addresses = found.page.eval_on_selector_all("#search-results li a", "links => links.map(link => link.href)")
        assert any(address.partition("?")[0].split("#")[0].endswith(page) for address in addresses)


def test_the_tutorials_ran(browser: Any) -> None:
    with opened(browser, SITE / "tutorials" / "score_embeddings.html") as found:
        assert "of a random order 0.275" in found.page.inner_text(".cell_output >> nth=1")
