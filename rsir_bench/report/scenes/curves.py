"""Draw the precision-recall curves of the methods on one target."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from rsir_bench.ranking.metrics.positions import RECALL_LEVELS
from rsir_bench.report.plot_style import REST, Drawing, legend, looks, settings, svg
from rsir_bench.report.scenes.targets import Target

EVERY = 10  # recall levels between markers
SIZE = 7.6, 4.2  # inches


def draw_curves(target: Target) -> Drawing | None:
    """Draw the mean precision at each recall; the eight best methods in colour, the others grey.

    None where scenes have several labels, and no curve.
    """
    curves = [(method.title, method.found.precision) for method in target.methods]
    known = [(title, precision) for title, precision in curves if precision is not None]
    if not known:
        return None
    recall = np.linspace(0, 1, RECALL_LEVELS)
    shown = looks([method.title for method in target.methods])
    with settings():
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.subplots()
        for title, precision in reversed(known):  # the best on top
            look = shown.get(title)
            if look is None:
                axes.plot(recall, precision, color=REST, linewidth=1)
            else:
                axes.plot(
                    recall,
                    precision,
                    color=look.colour,
                    linestyle=look.dash,
                    marker=look.marker,
                    markevery=EVERY,
                    markersize=4.5,
                    linewidth=1.4,
                )
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="Recall", ylabel="Precision, mean over queries")
        legend(figure, shown, len(target.methods) - len(shown), lines=True)
        light, dark = svg(figure)
    width, height = (round(96 * inches) for inches in SIZE)  # a CSS pixel is 1/96 inch
    caption = (
        f"Precision at each recall on {target.title}, mean over queries, without interpolation: the precision at the "
        "positive that reaches the recall. Tied scenes count at their expected rank."
    )
    return Drawing(f"{target.name}/curves", light, dark, caption, _in_words(known), width, height)


def _in_words(curves: Sequence[tuple[str, npt.NDArray[np.float64]]]) -> str:
    """Return the precision at three recalls of every method with a colour, in words."""
    parts = [
        f"{title} {', '.join(f'{precision[level]:.2f}' for level in (10, 50, 90))}" for title, precision in curves[:8]
    ]
    return f"Precision at recall 0.1, 0.5 and 0.9: {'; '.join(parts)}."
