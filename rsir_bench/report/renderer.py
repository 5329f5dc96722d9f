"""Render the pages of the report, which share a frame, and copy their static files."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from rsir_bench.base.files import page_name, write_text
from rsir_bench.base.html import html_environment
from rsir_bench.base.text import visible
from rsir_bench.leaderboard.costs import COSTS, Cost
from rsir_bench.leaderboard.grids import plain_number, signed_number
from rsir_bench.leaderboard.significance import APART, SIGN
from rsir_bench.leaderboard.tables.parts import DOUBT
from rsir_bench.report.board_view import SPEED, Standing, environment_in_words, page_of_dataset, page_of_method
from rsir_bench.report.inline import style_sheet
from rsir_bench.report.names import short_names
from rsir_bench.report.plot_style import DARK, in_columns

NAVIGATION = (("Leaderboard", "index.html"), ("Methods", "methods/index.html"), ("Datasets", "datasets/index.html"))


SHOWN_COSTS = [kind for kind in COSTS if not kind.speed or kind.key == SPEED]
BREAKS = re.compile(r"[:_./+](?=.)")
COST_HEADS = (("million", "Parameters"), ("billion", "MACs"), ("relative", "Speed"))


class Frame:
    """Render templates into the report's folder.

    A template extends ``base.html`` and fills its blocks ``title``, ``head``, ``content`` and ``scripts``. It sees
    ``root``, the relative path to the report's folder (``"../"`` for a page in a folder), ``nav``, a list of (title,
    href), and ``here``, its own path.
    """

    def __init__(self, out: Path, nav: Sequence[tuple[str, str]] = NAVIGATION) -> None:
        self.out = out
        self.nav = list(nav)
        self.pages: list[Path] = []
        self._templates = _environment()

    def render(self, template_name: str, path: str, **values: Any) -> Path:
        """Write one page.

        Args:
            template_name: A file of ``templates/``.
            path: The page relative to the report's folder, with ``/`` as separator.
            values: The values of the template; text is escaped.

        Returns:
            The file that was written.
        """
        page = self.out / path
        text = self._templates.get_template(template_name).render(
            root="../" * path.count("/"), nav=self.nav, here=path, **values
        )
        write_text(page, text)
        self.pages.append(page)
        return page

    def add_static(self, *names: str) -> None:
        """Write the style sheets, and copy other files of ``static/`` to where the templates expect them."""
        write_text(self.out / "static" / "figures.css", style_sheet(DARK))
        for name in ("style.css", *names):
            text = resources.files("rsir_bench.report").joinpath("static", name).read_text(encoding="utf-8")
            write_text(self.out / "static" / name, text)


def _environment() -> jinja2.Environment:
    environment = html_environment("rsir_bench.report")
    environment.filters |= {
        "number": plain_number,
        "signed": signed_number,
        "environment": environment_in_words,
        "breakable": breakable,
        "in_columns": in_columns,
        "slug": page_name,
        "method_page": page_of_method,
        "dataset_page": page_of_dataset,
    }
    environment.globals["known_costs"] = known_costs
    environment.globals["cost_heads"] = dict(zip((kind.key for kind in SHOWN_COSTS), COST_HEADS, strict=True))
    environment.globals["short_name"] = lambda label: short_names([label])[label]
    environment.tests["another_name"] = is_another_name
    environment.globals |= {"not_worse_sign": SIGN, "apart_sign": APART, "doubt_sign": DOUBT}
    return environment


def known_costs(standings: Sequence[Standing]) -> list[Cost]:
    """Return the costs that are known for at least half of the rows; others would be columns of dashes."""
    known = [standing.cost for standing in standings if standing.cost is not None]

    def count(kind: Cost) -> int:
        return sum((cost.ratios if kind.speed else cost.values)[kind.key] is not None for cost in known)

    return [kind for kind in SHOWN_COSTS if 2 * count(kind) >= len(standings) and known]


def breakable(name: str) -> str:
    """Return a name that may be broken after punctuation, as HTML."""
    return BREAKS.sub(r"\g<0><wbr>", html.escape(visible(name)))


def is_another_name(title: str, label: str) -> bool:
    """Return whether a title says more than the label, apart from its spelling.

    >>> is_another_name("NTS-Net", "nts-net"), is_another_name("ResNet34", "baseline")
    (False, True)
    """
    return "".join(filter(str.isalnum, title.casefold())) != "".join(filter(str.isalnum, label.casefold()))


@dataclass(frozen=True)
class Link:
    """A page that other pages link to.

    Attributes:
        title: The title of the page.
        href: Its path relative to the report's folder, with ``/`` as separator.
        text: One sentence about the page.
        board: The board that it is about; None for all boards.
        target: The dataset that it is about; None for all datasets.
        methods: The labels of the methods that it is about.
    """

    title: str
    href: str
    text: str
    board: str | None = None
    target: str | None = None
    methods: tuple[str, ...] = ()
