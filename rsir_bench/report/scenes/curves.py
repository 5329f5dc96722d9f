"""Draw the precision-recall curves of the methods on one target."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rsir_bench.ranking.metrics.positions import RECALL_LEVELS
from rsir_bench.report.inline import Named
from rsir_bench.report.names import short_names
from rsir_bench.report.plot_style import REST, WIDTH, Drawing, Look, drawing, legend, looks, settings
from rsir_bench.report.scenes.targets import Target

EVERY = 10  # recall levels between markers
HEIGHT = 3.6  # inches


def draw_curves(target: Target) -> Drawing | None:
    """Draw the mean precision at each recall; the eight best methods in colour, the others grey.

    None if scenes have several labels, and no curve.
    """
    curves = [(method.title, method.found.precision) for method in target.methods]
    known = [(title, precision) for title, precision in curves if precision is not None]
    if not known:
        return None
    recall = np.linspace(0, 1, RECALL_LEVELS)
    shown = looks([title for title, _ in known])
    with settings():
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        axes = figure.subplots()
        for place, (title, precision) in reversed(list(enumerate(known))):  # the best on top
            _draw(axes, recall, precision, shown.get(title), f"c-{place}")
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="Recall", ylabel="Precision, mean over queries")
        short = short_names(title for title, _ in known)
        legend(figure, {short[title]: look for title, look in shown.items()}, len(known) - len(shown), lines=True)
        caption = (
            f"Precision at each recall on {target.title}, mean over queries, without interpolation: the precision at "
            "the positive that reaches the recall. Tied scenes count at their expected rank."
        )
        named = {f"c-{place}": Named(title) for place, (title, _) in enumerate(known)}
        words = _in_words([(short[title], precision) for title, precision in known])
        name = f"{target.name}/curves"
        return drawing(figure, name, "Precision and recall", caption=caption, alt=words, named=named)


def _draw(
    axes: Axes, recall: npt.NDArray[np.float64], precision: npt.NDArray[np.float64], look: Look | None, gid: str
) -> None:
    if look is None:
        axes.plot(recall, precision, color=REST, linewidth=1, gid=gid)
        return
    axes.plot(
        recall,
        precision,
        color=look.colour,
        linestyle=look.dash,
        marker=look.marker,
        markevery=EVERY,
        markersize=4,
        linewidth=1.3,
        gid=gid,
    )


def _in_words(curves: Sequence[tuple[str, npt.NDArray[np.float64]]]) -> str:
    """Return the precision at three recalls of every method with a colour, in words."""
    parts = [
        f"{title} {', '.join(f'{precision[level]:.2f}' for level in (10, 50, 90))}" for title, precision in curves[:8]
    ]
    return f"Precision at recall 0.1, 0.5 and 0.9: {'; '.join(parts)}."
