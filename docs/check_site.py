"""Check a built site: every link leads somewhere, nothing is loaded from elsewhere, and the search index has its words.

python docs/check_site.py build/docs
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

SEARCHED = {"AP@10h": ("ap", "10h"), "add a method": ("add", "method")}
"""Phrases that a reader must find, in the words that the index has of them."""

LOADING = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}
"""Tags by which a browser loads a file, and the attribute that names it."""


class Page(HTMLParser):
    """The links, loaded files and anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = {"", "top"}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Read a tag."""
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if values.get(name)}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag in LOADING and values.get(LOADING[tag]) and values.get("rel") != "canonical":
            self.loaded.append(values[LOADING[tag]])


@cache
def read(path: Path) -> Page:
    """Return a page, which is read once."""
    return Page(path.read_text(encoding="utf-8"))


def problems(site: Path) -> Iterator[str]:
    """Yield a line for each dead link, each outside file, and each phrase that the search index lacks."""
    for path in sorted(site.rglob("*.html")):
        page = read(path)
        name = path.relative_to(site)
        for address in page.loaded:
            if urlsplit(address).scheme not in ("", "data") or address.startswith("//"):
                yield f"{name}: loads {address} from elsewhere"
            elif not _leads(path, address):
                yield f"{name}: no file {address}"
        yield from (f"{name}: no {address}" for address in page.links if not _leads(path, address))
    yield from _unsearchable(site)


def _leads(path: Path, address: str) -> bool:
    """Return whether a link within the site leads to a file and an anchor; links to elsewhere are not followed."""
    parts = urlsplit(address)
    if parts.scheme or address.startswith("//"):
        return True
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.is_file():
        return False
    # An anchor such as board=aid says what a script of the report shows.
    return target.suffix != ".html" or "=" in parts.fragment or unquote(parts.fragment) in read(target).anchors


def _unsearchable(site: Path) -> Iterator[str]:
    """Yield a line for each phrase that no page has all words of."""
    text = (site / "searchindex.js").read_text(encoding="utf-8")
    index = json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))
    for phrase, words in SEARCHED.items():
        pages = [_pages(index["terms"].get(word, [])) | _pages(index["titleterms"].get(word, [])) for word in words]
        if not set.intersection(*pages):
            yield f"search: {phrase!r} is on no page"


def _pages(found: int | list[int]) -> set[int]:
    return {found} if isinstance(found, int) else set(found)


def main() -> None:
    """Print the problems, and exit with 1 if there are any."""
    site = Path(sys.argv[1])
    found = list(problems(site))
    print("\n".join(found) or f"{site}: {len(list(site.rglob('*.html')))} pages, every link leads somewhere")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
