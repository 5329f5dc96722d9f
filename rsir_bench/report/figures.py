"""Draw figures from records: mAP by class, against cost, over seeds, and under distortions, with texts on each."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rsir_bench.base.files import digest, page_name
from rsir_bench.leaderboard.costs import COSTS, REFERENCE, Cost
from rsir_bench.leaderboard.robustness import Block, RobustnessRow
from rsir_bench.records.schema import Record
from rsir_bench.report.board_view import SPEED, BoardView, Standing, Target
from rsir_bench.report.inline import Named
from rsir_bench.report.plot_style import (
    INK,
    MUTED,
    REST,
    WIDTH,
    Drawing,
    Look,
    drawing,
    legend,
    looks,
    points,
    settings,
)

COLOURED = 8  # methods that have a colour; more cannot be distinguished


@dataclass(frozen=True)
class ClassValues:
    """The main metric of each class, or label, and method on one target, mean over seeds.

    Attributes:
        metric: mAP, or that of scenes with several labels.
        kind: What the names are: class or label.
        classes: Names, the easiest first: by the median over methods.
        values: By label, in the order of ``classes``.
    """

    metric: str
    kind: str
    classes: list[str]
    values: dict[str, list[float]]


def figures(view: BoardView, target: Target) -> Iterator[Drawing]:
    """Yield the figures that a board's records give for one target."""
    with settings():
        for draw in (by_class, against_cost, over_seeds, under_distortion):
            drawing = draw(view, target)
            if drawing is not None:
                yield drawing


def coloured(view: BoardView) -> dict[str, Look]:
    """Choose the methods with a colour: the reference, some that were run under distortions, the best by mean mAP."""
    labels = [standing.label for standing in view.main]
    distorted = {curve.label for block in view.robustness.values() for curve in block.rows}
    # Few methods are run under distortions, and seldom the best: their curves would all be grey.
    sought = [REFERENCE] * (REFERENCE in labels) + [label for label in labels if label in distorted]
    chosen = list(dict.fromkeys([*sought[: COLOURED // 2], *labels]))[:COLOURED]
    return looks([label for label in labels if label in chosen])


def class_values(view: BoardView, target: Target) -> ClassValues | None:
    """Return the values by class; None if the records have none."""
    values: dict[str, dict[str, float]] = {}
    for standing in view.sound(target):
        found = [_by_name(record, target.metric) for record in view.records(target.name, standing)]
        found = [by_name for by_name in found if by_name]
        if found:
            names = set.intersection(*map(set, found))
            values[standing.label] = {name: statistics.fmean(by_name[name] for by_name in found) for name in names}
    if not values:
        return None
    names = set.intersection(*map(set, values.values()))
    middle = {name: statistics.median(found[name] for found in values.values()) for name in names}
    classes = sorted(middle, key=lambda name: (-middle[name], name))
    kind = "class" if target.metric == "mAP" else "label"
    by_label = {label: [found[name] for name in classes] for label, found in values.items()}
    return ClassValues(target.metric, kind, classes, by_label)


def _by_name(record: Record, metric: str) -> dict[str, float]:
    """Return the metric of each class, or of each label where scenes have several."""
    parts = record.per_class if record.graded is None else record.graded.per_label
    return {name: scores[metric] for name, scores in parts.items() if metric in scores}


def by_class(view: BoardView, target: Target) -> Drawing | None:
    """Draw mAP of each class (the paper's Fig. 4), one line of points per class."""
    found = class_values(view, target)
    if found is None:
        return None
    shown = {label: look for label, look in coloured(view).items() if label in found.values}
    figure = Figure(figsize=(WIDTH, 0.2 * len(found.classes) + 1.2), layout="constrained")
    axes = figure.subplots()
    places = list(range(len(found.classes)))
    named = {}
    for label, values in found.values.items():
        points(axes, values, places, shown.get(label), _gid(label))
        pairs = zip(found.classes, values, strict=True)
        named[_gid(label)] = Named(label, [f"{label}, {name}: {value:.3f}" for name, value in pairs])
    axes.set_yticks(places, found.classes, color=INK)
    axes.set_ylim(len(places) - 0.5, -0.5)
    axes.set_xlabel(target.metric)
    axes.set_xlim(0, 1)
    legend(figure, _printed(view, shown), len(found.values) - len(shown))
    return _drawing(
        figure,
        view,
        target,
        "classes",
        f"The easiest {found.kind} first. {MAIN}{view.left_out(target)}",
        _classes_in_words(found, target, view.short),
        named,
    )


MAIN = "Row PCA fitted on the source where a method has one, or else its first row; mean over seeds."


def _classes_in_words(found: ClassValues, target: Target, short: dict[str, str]) -> str:
    middle = [statistics.median(column) for column in zip(*found.values.values(), strict=True)]
    parts = [
        f"{found.metric} by {found.kind} on {target.title}, {_count(len(found.values), 'method')}: "
        f"easiest {found.classes[0]} (median {middle[0]:.3f}), hardest {found.classes[-1]} (median {middle[-1]:.3f})."
    ]
    if len(found.values) > 1:
        spans = [max(column) - min(column) for column in zip(*found.values.values(), strict=True)]
        place = spans.index(max(spans))
        ranked = sorted(found.values, key=lambda label: found.values[label][place])
        low, high = ranked[0], ranked[-1]
        parts.append(
            f"Methods differ most on {found.classes[place]}: from {found.values[low][place]:.3f} ({short[low]}) "
            f"to {found.values[high][place]:.3f} ({short[high]})."
        )
    return " ".join(parts)


def against_cost(view: BoardView, target: Target) -> Drawing | None:
    """Draw mAP against parameters, multiply-accumulates and speed, a panel for each that is known."""
    panels = [(cost, found) for cost in COSTS if (found := _costs(view, target, cost))]
    panels = [(cost, found) for cost, found in panels if not cost.speed or cost.key == SPEED]
    if not panels:
        return None
    known = {standing.label for _, found in panels for standing, _, _ in found}
    shown = {label: look for label, look in coloured(view).items() if label in known}
    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    row = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    named = {}
    for place, (axes, (cost, found)) in enumerate(zip(row, panels, strict=True)):
        for standing, value, mean in found:
            gid = f"{_gid(standing.label)}-{place}"
            points(axes, [value], [mean], shown.get(standing.label), gid)
            words = f"{standing.label}: {_axis(cost)} {value:.4g}, {target.metric} {mean:.3f}"
            named[gid] = Named(words)
        axes.set_xlabel(_axis(cost).replace(", ", ",\n"))
        axes.set_xlim(0, 1.12 * max(value for _, value, _ in found) or None)  # almost equal costs are seen to be
    row[0].set_ylabel(target.metric)
    legend(figure, _printed(view, shown), len(known - shown.keys()))
    return _drawing(
        figure,
        view,
        target,
        "costs",
        f"Speed is images per second divided by the reference's in the same environment, as the runs went. {MAIN}"
        f"{view.left_out(target)}",
        _costs_in_words(panels, target, view.short),
        named,
    )


def _costs(view: BoardView, target: Target, cost: Cost) -> list[tuple[Standing, float, float]]:
    """Return standing, cost as the axis shows it, and mAP of each method that has both."""
    found = []
    for standing in view.sound(target):
        mean = standing.cells[target.name, target.metric].mean
        costs = standing.costs_by_suite.get(target.suite)
        if costs is None or mean is None:
            continue
        value = costs.ratios[cost.key] if cost.speed else costs.values[cost.key]
        if value is not None:
            found.append((standing, value if cost.speed else float(cost.show(value)), mean))
    return found


def _costs_in_words(
    panels: Sequence[tuple[Cost, list[tuple[Standing, float, float]]]], target: Target, short: dict[str, str]
) -> str:
    parts = [f"{target.metric} on {target.title} against cost."]
    for cost, found in panels:
        standing, value, mean = max(found, key=lambda entry: entry[2])
        extreme, least, its_mean = (max if cost.speed else min)(found, key=lambda entry: entry[1])
        words = "fastest" if cost.speed else "least"
        parts.append(
            f"{_axis(cost)}: the best, {short[standing.label]}, has {value:.4g} at {target.metric} {mean:.3f};"
        )
        if least == value:
            parts.append(f"that is the {words} of all.")
        else:
            parts.append(f"the {words}, {short[extreme.label]}, {least:.4g} at {its_mean:.3f}.")
    return " ".join(parts)


def _axis(cost: Cost) -> str:
    return f"Describing speed, {REFERENCE} = 1" if cost.speed else cost.header


def over_seeds(view: BoardView, target: Target) -> Drawing | None:
    """Draw mAP of each seed; None if no method has two."""
    values = {
        standing.label: [record.metrics[target.metric] for record in view.records(target.name, standing)]
        for standing in view.sound(target)
    }
    values = {label: found for label, found in values.items() if found}
    if all(len(found) < 2 for found in values.values()):
        return None
    order = sorted(values, key=lambda label: (-statistics.fmean(values[label]), label))
    figure = Figure(figsize=(WIDTH, 0.2 * len(order) + 0.8), layout="constrained")
    axes = figure.subplots()
    named = {}
    for place, label in enumerate(order):
        found, across = values[label], [place] * len(values[label])
        gid, mean = _gid(label), statistics.fmean(found)
        axes.plot(found, across, "o", color=COLOUR, markersize=5.5, markeredgewidth=0, alpha=0.55, zorder=3, gid=gid)
        axes.plot([mean], [place], "|", color=INK, markersize=10, markeredgewidth=1.6, zorder=4, gid=f"{gid}-mean")
        named[gid] = Named(label, [f"{label}: {value:.4f}" for value in found])
        named[f"{gid}-mean"] = Named(f"{label}, mean of {_count(len(found), 'seed')}: {mean:.4f}")
    axes.set_yticks(range(len(order)), [f"{view.short[label]} ({len(values[label])})" for label in order], color=INK)
    axes.set_ylim(len(order) - 0.5, -0.5)
    axes.set_xlabel(target.metric)
    return _drawing(
        figure,
        view,
        target,
        "seeds",
        "Every seed is a point and their mean a bar; the number of seeds in brackets. "
        f"Row PCA fitted on the source where a method has one, or else its first row.{view.left_out(target)}",
        _seeds_in_words({view.short[label]: found for label, found in values.items() if len(found) > 1}, target),
        named,
    )


COLOUR = "#0072b2"


def _seeds_in_words(values: dict[str, list[float]], target: Target) -> str:
    widest, narrowest = (
        choose(values, key=lambda label: max(values[label]) - min(values[label])) for choose in (max, min)
    )

    def words(label: str) -> str:
        found = values[label]
        return f"{label}, {min(found):.3f} to {max(found):.3f} over {len(found)} seeds"

    text = f"{target.metric} on {target.title} over seeds: widest spread {words(widest)}"
    return f"{text}." if widest == narrowest else f"{text}; narrowest {words(narrowest)}."


def under_distortion(view: BoardView, target: Target) -> Drawing | None:
    """Draw mAP against severity, a panel for each kind of distortion."""
    block = view.robustness.get(target.name)
    if block is None:
        return None
    rows = {standing.label: standing.name.row for standing in view.main}
    curves = [curve for curve in block.rows if rows.get(curve.label) == curve.row]
    if not curves:
        return None
    looked = coloured(view)
    shown = {curve.label: looked[curve.label] for curve in curves if curve.label in looked}
    across = min(4, len(block.kinds))
    down = math.ceil(len(block.kinds) / across)
    figure = Figure(figsize=(WIDTH, 1.35 * down + 0.9), layout="constrained")
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
    named: dict[str, Named] = {}
    for axes, kind in zip(panels, block.kinds, strict=False):
        named |= _kind(axes, block, kind, curves, shown)
    for place, axes in enumerate(panels):
        if place >= len(block.kinds):
            axes.set_axis_off()
        axes.tick_params(labelbottom=place + across >= len(block.kinds))  # the lowest of each column
    figure.supylabel(target.metric, color=MUTED, fontsize=9)
    figure.supxlabel("severity (0: undistorted)", color=MUTED, fontsize=9)
    legend(figure, _printed(view, shown), len(curves) - len(shown), lines=True)
    return _drawing(
        figure,
        view,
        target,
        "robustness",
        f"Severity 0 is the undistorted target. {MAIN}",
        _robustness_in_words(block, curves, target, view.short),
        named,
    )


def _kind(axes: Axes, block: Block, kind: str, curves: list[RobustnessRow], shown: dict[str, Look]) -> dict[str, Named]:
    named: dict[str, Named] = {}
    for curve in reversed(curves):
        known = [condition for condition in block.kinds[kind] if condition in curve.distorted]
        if not known:
            continue
        severities = [0, *(severity for _, severity in known)]
        means = [curve.clean, *(curve.distorted[condition] for condition in known)]
        look, gid = shown.get(curve.label), f"{_gid(curve.label)}-{kind}"
        if look is None:
            axes.plot(severities, means, color=REST, linewidth=1, zorder=2, gid=gid)
        else:
            style = {"color": look.colour, "marker": look.marker, "linestyle": look.dash}
            axes.plot(severities, means, **style, markersize=3.5, linewidth=1.2, zorder=3, gid=gid)  # type: ignore[arg-type]
        pairs = zip(severities, means, strict=True)
        named[gid] = Named(curve.label, [f"{curve.label}, {kind} {severity}: {mean:.3f}" for severity, mean in pairs])
    axes.set_title(kind)
    axes.set_xticks(range(6))
    return named


def _robustness_in_words(block: Block, curves: list[RobustnessRow], target: Target, short: dict[str, str]) -> str:
    parts = [f"{target.metric} on distorted {target.title}."]
    kept = {short[curve.label]: curve.mean_retained(block.conditions) for curve in curves}
    whole = {label: share for label, share in kept.items() if share is not None}
    ranked = sorted(whole, key=lambda label: -whole[label])
    shares = [f"{label} keeps {100 * whole[label]:.1f} % of it" for label in dict.fromkeys(ranked[:1] + ranked[-1:])]
    if shares:
        ends = " (most) and " if len(shares) > 1 else ""
        last = " (least)" if len(shares) > 1 else ""
        parts.append(f"Over all {len(block.conditions)} conditions {ends.join(shares)}{last}.")
    every = [(share, condition, short[curve.label]) for curve in curves for condition, share in curve.retained.items()]
    if every:
        share, (kind, severity), label = min(every)
        parts.append(f"The heaviest loss is under {kind} at severity {severity}: {label} keeps {100 * share:.1f} %.")
    return " ".join(parts)


TITLES = {
    "classes": "Class by class",
    "labels": "Label by label",
    "costs": "Against cost",
    "seeds": "From seed to seed",
    "robustness": "Under distortions",
}


def _drawing(
    figure: Figure, view: BoardView, target: Target, kind: str, caption: str, alt: str, named: dict[str, Named]
) -> Drawing:
    title = TITLES["labels" if kind == "classes" and target.metric != "mAP" else kind]
    name = f"{view.name}/{page_name(target.name)}-{kind}"
    return drawing(figure, name, title, caption=caption, alt=alt, named=named)


def _printed(view: BoardView, shown: dict[str, Look]) -> dict[str, Look]:
    return {view.short[label]: look for label, look in shown.items()}


def _gid(label: str) -> str:
    return f"m-{digest(label)[:8]}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
