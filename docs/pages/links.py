"""What a page of the repository says otherwise on the site: where its links lead, and its drawings."""

from __future__ import annotations

import posixpath
import re

MOVED = {
    "leaderboards": "docs/reference/boards",
    "README.md": "docs/index.md",
    "CONTRIBUTING.md": "docs/reference/contributing.md",
    "CHANGELOG.md": "docs/reference/changelog.md",
}
"""Where the site holds what the repository holds elsewhere."""

LINK = re.compile(r"(?<=\]\()([^)\s#:]+\.md)(?=[)#])")
FLOWCHART = re.compile(r"```mermaid\nflowchart LR\n(.+?)\n```", re.DOTALL)


def adapted(text: str, page: str) -> str:
    """Return the Markdown of a page for the site.

    Args:
        text: As in the repository.
        page: The path of the page below ``docs/``, without its ending.
    """
    text = FLOWCHART.sub(_drawn, text)
    folder = posixpath.dirname(_home(f"docs/{page}.md"))
    return LINK.sub(lambda link: _target(link[1], folder, page), text)


def _home(path: str) -> str:
    """Return where the repository holds what is at a path of the site."""
    for place, moved in MOVED.items():
        if place == "README.md":  # the site's first page is another one
            continue
        if path == moved or path.startswith(f"{moved}/"):
            return place + path.removeprefix(moved)
    return path


def _target(link: str, folder: str, page: str) -> str:
    """Return a link, changed if it leads to what the site holds elsewhere."""
    wanted = posixpath.normpath(posixpath.join(folder, link))
    for place, moved in MOVED.items():
        if wanted == place or wanted.startswith(f"{place}/"):
            return posixpath.relpath(moved + wanted.removeprefix(place), posixpath.dirname(f"docs/{page}"))
    if folder != posixpath.dirname(f"docs/{page}"):
        return posixpath.relpath(wanted, posixpath.dirname(f"docs/{page}"))
    return link


def _drawn(chart: re.Match[str]) -> str:
    """Return a flowchart of one chain as a line of steps."""
    steps = [step.strip() for step in chart[1].split("-->")]
    return '<p class="steps">' + " ".join(f"<span>{step}</span>" for step in steps) + "</p>"
