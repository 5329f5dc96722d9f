"""The style of figures: colours that are distinct for all readers, each with a marker and a dash; stable SVG."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rsir_bench.base.text import as_xml
from rsir_bench.report.inline import Named, inline

INK, MUTED, RULE, REST = "#1d2329", "#66717b", "#dfe1dd", "#c2c8cc"
# Okabe and Ito's colours, with a brown instead of their yellow, which is invisible on white; DARK has the dark scheme.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7d5a2b", "#33383d")
DARK = {
    INK: "#e6eaed",
    MUTED: "#9ca8b2",
    RULE: "#2f373e",
    REST: "#56616a",
    "#0072b2": "#4ea6e6",
    "#d55e00": "#f0793a",
    "#009e73": "#2fc39a",
    "#cc79a7": "#e39cc4",
    "#e69f00": "#f0b93e",
    "#56b4e9": "#a9dcfa",
    "#7d5a2b": "#c4a06e",
    "#33383d": "#f5f7f8",
}
WIDTH = 5.2  # inches: narrow, so that text stays readable where a phone shows it
LETTER = 0.075  # inches, as wide as a letter of a legend
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
Dash = tuple[float, Sequence[float]]
DASHES: tuple[Dash, ...] = (
    (0, ()),
    (0, (5, 1)),
    (0, (1, 1)),
    (0, (4, 1, 1, 1)),
    (0, (7, 2)),
    (0, (2, 2)),
    (0, (4, 1, 1, 1, 1, 1)),
    (0, (9, 1)),
)
SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text, for screen readers and search
    "svg.hashsalt": "rsir-bench",
    "text.parse_math": False,  # a dollar in a name is a dollar
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": RULE,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.labelcolor": INK,
}


@dataclass(frozen=True)
class Look:
    """Colour, marker and dash of one method: the same in all of a board's figures of records.

    A figure of scenes colours the best methods of its target.
    """

    colour: str
    marker: str
    dash: Dash


@dataclass(frozen=True)
class Drawing:
    """A rendered figure.

    Attributes:
        name: The name of its file.
        title: What it is, in two or three words.
        file: A complete SVG file in the colours of a light page; transparent.
        inline: The same as part of a page, whose colours it takes, with the names of its points.
        caption: What it shows, and how.
        alt: Its findings, in numbers.
        height: In inches, where its width is ``WIDTH``.
    """

    name: str
    title: str
    file: str
    inline: str
    caption: str
    alt: str
    height: float


CAPTION = 1.2  # inches, about


def in_columns(drawings: Sequence[Drawing]) -> list[list[Drawing]]:
    """Return the figures of the left and the right column, so that both are about as high."""
    columns: list[list[Drawing]] = [[], []]
    for one in sorted(drawings, key=lambda one: -one.height):
        min(columns, key=lambda column: sum(other.height + CAPTION for other in column)).append(one)
    columns.sort(key=lambda column: min(map(drawings.index, column), default=len(drawings)))
    return [sorted(column, key=drawings.index) for column in columns]


def drawing(figure: Figure, name: str, title: str, *, caption: str, alt: str, named: Mapping[str, Named]) -> Drawing:
    """Return a figure as files and pages show it.

    Args:
        figure: The figure.
        name: The name of its file.
        title: What it is.
        caption: What it shows, and how.
        alt: Its findings, in numbers.
        named: What its parts are called, by the ``gid`` of their artists.
    """
    file = svg(figure)
    return Drawing(name, title, file, inline(file, alt, named, DARK), caption, alt, float(figure.get_figheight()))


def looks(labels: Sequence[str]) -> dict[str, Look]:
    """Return a look for each of the first eight labels; the others are drawn grey."""
    found = zip(COLOURS, MARKERS, DASHES, strict=True)
    return {label: Look(*look) for label, look in zip(labels, found, strict=False)}


@contextmanager
def settings() -> Iterator[None]:
    """Draw in the report's style, whatever the user's matplotlibrc says."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(SETTINGS)
        yield


def svg(figure: Figure) -> str:
    """Return the figure as SVG: equal figures give equal text, without date or version."""
    stream = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # text stays text: the reader's fonts draw it
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return as_xml(stream.getvalue())


def legend(figure: Figure, shown: dict[str, Look], rest: int, lines: bool = False) -> None:
    """Draw a legend above the panels.

    Args:
        figure: A figure with a constrained layout.
        shown: The methods in the figure that have a look, by the name to print.
        rest: The number of other methods, which are grey.
        lines: Whether methods are lines rather than points.
    """
    handles = [
        _handle(look.colour, look.marker, look.dash if lines else "none", label) for label, look in shown.items()
    ]
    if rest:
        words = f"{rest} other method{'s' * (rest > 1)}"
        handles.append(_handle(REST, "" if lines else ".", "-" if lines else "none", words))
    widest = max(len(str(handle.get_label())) for handle in handles) * LETTER + (0.6 if lines else 0.4)
    across = max(1, min(len(handles), int(figure.get_figwidth() / widest)))
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=across,
        handlelength=2.4 if lines else 1,
        columnspacing=1.2,
        fontsize=8.5,
    )


def _handle(colour: str, marker: str, dash: Dash | Literal["-", "none"], label: str) -> Line2D:
    return Line2D([], [], color=colour, marker=marker, linestyle=dash, label=label)


def points(axes: Axes, x: Sequence[float], y: Sequence[float], look: Look | None, gid: str) -> None:
    """Draw the points of one method; ``gid`` is the id of their group in the SVG."""
    if look is None:
        axes.plot(x, y, ".", color=REST, markersize=6, zorder=2, gid=gid)
    else:
        axes.plot(x, y, look.marker, color=look.colour, markersize=5.5, markeredgewidth=0, alpha=0.9, zorder=3, gid=gid)
