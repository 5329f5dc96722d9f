"""Confidence intervals and comparisons of methods, with seed x class as the unit.

The queries of a class are not independent of each other, and the runs of a method differ by seed. Therefore, all
functions take a method's scores on one target as an array of shape (seeds, classes), with the mean over the queries of
each class. These scores vary with the seeds, with the classes of the target, and with their interaction; ``components``
separates the three by an analysis of variance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from rsir_bench.base.errors import UserError

FEWEST_SEEDS = 5
LEVEL = 0.95

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean and its confidence interval, which covers other seeds and other classes.

    Attributes:
        mean: The mean over seeds and queries.
        low: The lower end; can be outside the metric's range.
        high: The upper end; can be outside the metric's range.
        seeds: The number of seeds. With one seed, the interval applies only to that trained network.
        classes: The number of classes.
        level: The coverage, 0.95 by default.
    """

    mean: float
    low: float
    high: float
    seeds: int
    classes: int
    level: float


@dataclass(frozen=True)
class MethodComparison:
    """A comparison of two methods on one target, or over several.

    Attributes:
        difference: The mean of the first minus the mean of the second.
        p: The two-sided p-value of ``compare``; None if a method has fewer than five seeds.
        note: "not tested" with the reason, or empty.
        low: The lower end of the 95 % interval of the difference, which contains 0 if p is above 5 %; None if p is
            None.
        high: The upper end of this interval; None if p is None.
    """

    difference: float
    p: float | None
    note: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Part:
    """A part of the variance of a mean, and its degrees of freedom."""

    value: float
    freedom: float


@dataclass(frozen=True)
class Components:
    """The components of the variance of a mean over seeds and classes.

    Attributes:
        seeds: From the seeds of each method, including the interaction; empty for a single seed.
        classes: From the classes, including the interaction.
        interaction: From seeds x classes.
    """

    seeds: list[Part]
    classes: Part
    interaction: Part


def interval(scores: npt.ArrayLike, weights: npt.ArrayLike | None = None, level: float = LEVEL) -> Interval:
    """Return a t interval for the mean over classes and, if there are several, seeds.

    Args:
        scores: (S, C) or (C,) float, the mean score of each class, by seed.
        weights: (C,) positive numbers, the queries of each class, for the mean over queries; None: equal weights.
        level: The coverage, in (0, 1).

    Raises:
        UserError: There are fewer than two classes, or scores are not finite.
    """
    table, share = checked(scores, weights)
    parts = components([table], share)
    mean, from_seeds = float((table @ share).mean()), sum(part.value for part in parts.seeds)
    total = max(from_seeds + parts.classes.value - parts.interaction.value, from_seeds, parts.classes.value)
    freedom = satterthwaite(total, [*parts.seeds, parts.classes])
    half = float(stats.t.ppf((1 + level) / 2, freedom)) * total**0.5
    return Interval(mean, mean - half, mean + half, table.shape[0], table.shape[1], level)


def compare(first: npt.ArrayLike, second: npt.ArrayLike) -> MethodComparison:
    """Test whether two methods differ by more than the variation over seeds and classes explains.

    This is a t test on the means of the seeds with unequal variances (Welch). If the per-class differences vary by more
    than seeds explain, the methods suit different classes. This variance is then added (mixed model, Satterthwaite,
    1946), so that a few classes alone do not decide. It is added without testing its significance: with seven classes,
    a significance test misses it so often that up to 18 % of boards have a false alarm (``studies/false_alarms.py``).
    Classes have equal weights.

    Args:
        first: (S, C) float, the finite scores of one method by seed and class.
        second: (T, C) float, the scores of the other method on the same classes.

    Raises:
        UserError: The classes differ, or scores are not finite.
    """
    return compare_over_targets([first], [second])


def compare_over_targets(
    first: Sequence[npt.ArrayLike],
    second: Sequence[npt.ArrayLike],
    weights: Sequence[npt.ArrayLike | None] | None = None,
    level: float = LEVEL,
) -> MethodComparison:
    """Test whether two methods differ on average over targets, as ``compare`` does on one.

    Targets have equal weights and are fixed; seeds, and the classes of each target, are samples. A seed is one training
    that is scored on every target, so the test takes into account that its scores on different targets are correlated.

    Args:
        first: For each target (S, C) float, the finite scores of one method by seed and class; C may differ by target,
            and row s of every array belongs to the same training.
        second: For each target (T, C) float, the scores of the other method on the same classes.
        weights: For each target (C,) positive numbers, the queries of each class, for means over queries, or None for
            equal weights; None: equal weights on every target.
        level: The coverage of the interval, in (0, 1).

    Raises:
        UserError: The classes or the numbers of seeds differ, or scores are not finite.
    """
    of_classes = [None] * len(first) if weights is None else weights
    pairs = [(*checked(a, share), checked(b)[0]) for a, b, share in zip(first, second, of_classes, strict=True)]
    for a, _, b in pairs:
        if a.shape[1] != b.shape[1]:
            raise UserError(f"comparison: {a.shape[1]} and {b.shape[1]} classes; compare methods on one target")
    if len({a.shape[0] for a, _, _ in pairs}) > 1 or len({b.shape[0] for _, _, b in pairs}) > 1:
        raise UserError("comparison: a method has more seeds on one target than on another; take those of all targets")
    means = [
        np.mean([a @ share for a, share, _ in pairs], axis=0),
        np.mean([b @ share for _, share, b in pairs], axis=0),
    ]
    difference = float(means[0].mean() - means[1].mean())
    fewest = min(map(len, means))
    if fewest < FEWEST_SEEDS:
        return MethodComparison(difference, None, f"not tested: {fewest} of at least {FEWEST_SEEDS} seeds")
    total, used = _variance(pairs, means)
    if total == 0:
        return MethodComparison(difference, float(difference == 0), "", difference, difference)
    freedom = satterthwaite(total, used)
    p = 2 * stats.t.sf(abs(difference) / total**0.5, freedom)
    half = float(stats.t.ppf((1 + level) / 2, freedom)) * total**0.5
    return MethodComparison(difference, float(p), "", difference - half, difference + half)


def _variance(pairs: Sequence[tuple[Array, Array, Array]], means: Sequence[Array]) -> tuple[float, list[Part]]:
    """Return the variance of a difference, and its parts.

    Args:
        pairs: For each target the scores of one method, (S, C), the weights of the classes, (C,), and the scores of the
            other, (T, C), all float64.
        means: The means over targets and classes of both methods, (S,) and (T,) float64.
    """
    of_targets = [components([a, b], share) for a, share, b in pairs]
    seeds = [Part(float(of.var(ddof=1)) / len(of), len(of) - 1) for of in means]
    scale = len(pairs) ** 2
    classes = [Part(parts.classes.value / scale, parts.classes.freedom) for parts in of_targets]
    interaction = [Part(parts.interaction.value / scale, parts.interaction.freedom) for parts in of_targets]
    total = sum(part.value for part in seeds)
    pooled = Components(seeds, _sum(classes), _sum(interaction))
    by_class = pooled.classes.value - pooled.interaction.value
    return (total + by_class, [*seeds, *classes, *interaction]) if by_class > 0 else (total, seeds)


def _sum(parts: Sequence[Part]) -> Part:
    total = sum(part.value for part in parts)
    return Part(total, satterthwaite(total, parts))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for the number of tests (Holm, 1979), to bound the chance of any false claim.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    return [float(value) for value in _holm(np.asarray(p_values, dtype=np.float64))]


def _holm(p: Array) -> Array:
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = stepped.clip(max=1)
    return adjusted


def not_worse_than_best(
    scores: Mapping[str, npt.ArrayLike], higher_is_better: bool = True, alpha: float = 1 - LEVEL
) -> dict[str, bool | None]:
    """Return which methods of a board are not shown to be worse than its best one.

    The best is chosen from the scores, so the p-values of all pairs are Holm-corrected, not only the pairs with the
    best method. With only these pairs, boards of 8 runs of one method left one unmarked in 8 to 10 % of cases instead
    of 5 %.

    Args:
        scores: By method, (S, C) float, its scores on one target by seed and class; classes have equal weights.
        higher_is_better: False for ANMRR.
        alpha: The chance of a false claim on the board.

    Returns:
        By method True (the best, or not worse), False (worse) or None (not tested: fewer than five seeds).
    """
    tables = {name: checked(values) for name, values in scores.items()}
    tested = [name for name, (table, _) in tables.items() if len(table) >= FEWEST_SEEDS]
    marks: dict[str, bool | None] = dict.fromkeys(scores)
    if not tested:
        return marks
    sign = 1 if higher_is_better else -1
    means = {name: sign * float((table @ share).mean()) for name, (table, share) in tables.items()}
    best = max(range(len(tested)), key=lambda place: means[tested[place]])
    pairs = _Pairs([tables[name][0] for name in tested])
    marks |= dict(zip(tested, (pairs.adjusted(best, alpha) >= alpha).tolist(), strict=True))
    return marks


class _Pairs:
    """The tests of ``compare`` between many methods on the same classes, with at least five seeds each."""

    def __init__(self, tables: Sequence[Array]) -> None:
        self.classes = tables[0].shape[1]
        for table in tables:
            if table.shape[1] != self.classes:
                raise UserError(
                    f"comparison: {self.classes} and {table.shape[1]} classes; compare methods on one target"
                )
        share = np.full(self.classes, 1 / self.classes)
        parts = [components([table], share) for table in tables]
        self.by_class = np.array([table.mean(axis=0) for table in tables])
        self.means = np.array([(table @ share).mean() for table in tables])
        self.from_seeds = np.array([part.seeds[0].value for part in parts])
        self.freedom = np.array([part.seeds[0].freedom for part in parts])
        self.interaction = np.array([part.interaction.value for part in parts])

    def p_values(self, one: int, others: slice) -> Array:
        """Return the p-values of one method against others, (n,) float64; arguments are places."""
        last = self.classes - 1
        apart = self.by_class[one] - self.by_class[others]
        centred = apart - apart.mean(axis=1, keepdims=True)
        of_classes = (centred**2).sum(axis=1) / (self.classes * last)
        interaction = self.interaction[one] + self.interaction[others]
        freedom = (self.freedom[one] + self.freedom[others]) * last
        with np.errstate(divide="ignore", invalid="ignore"):  # nothing varies: decided below
            by_class = of_classes > interaction
            total = self.from_seeds[one] + self.from_seeds[others] + by_class * (of_classes - interaction)
            error = self.from_seeds[one] ** 2 / self.freedom[one] + self.from_seeds[others] ** 2 / self.freedom[others]
            error += by_class * (of_classes**2 / last + interaction**2 / freedom)
            difference = np.abs(self.means[one] - self.means[others])
            p = 2 * special.stdtr(total**2 / error, -difference / np.sqrt(total))
        found: Array = np.where(total == 0, difference == 0, p)
        return found

    def adjusted(self, best: int, alpha: float) -> Array:
        """Return p-values against the best, (n,) float64, adjusted for all pairs; the p-value of the best itself is 1.

        All pairs are computed only where it matters: a p-value below ``alpha`` divided by the number of pairs stays
        below ``alpha`` when adjusted, and a p-value above ``alpha`` stays above. Such values are not adjusted.
        """
        number = len(self.means)
        count = number * (number - 1) // 2
        against = self.p_values(best, slice(None))
        against[best] = 1
        if ((against < alpha / max(count, 1)) | (against >= alpha)).all():
            return against
        every = _holm(np.concatenate([self.p_values(place, slice(place + 1, None)) for place in range(number)]))
        starts = np.cumsum([0, *range(number - 1, 0, -1)])  # where the pairs of each first method begin
        places = np.arange(number)
        first, second = np.minimum(places, best), np.maximum(places, best)
        found: Array = every[np.minimum(starts[first] + second - first - 1, count - 1)]
        found[best] = 1
        return found


def components(tables: Sequence[Array], share: Array) -> Components:
    """Analyse the variance of the mean of one table, or of the difference of two means over the same classes.

    Classes vary alike, whatever their weights. The variance between them is therefore estimated without weights, and
    weighted only in the mean: deviations from a weighted mean would miss the variation of a class that dominates it.

    Args:
        tables: One or two arrays, (S, C) float64, scores by seed and class.
        share: (C,) float64, weights that sum to 1.
    """
    classes, weight = len(share), float(share @ share)
    of_classes = tables[0].mean(axis=0) - (tables[1].mean(axis=0) if len(tables) == 2 else 0)
    from_classes = weight * float(of_classes.var(ddof=1))
    from_seeds, interaction, freedom = [], 0.0, 0
    for table in tables:
        seeds = len(table)
        if seeds < 2:
            continue
        from_seeds.append(Part(float((table @ share).var(ddof=1)) / seeds, seeds - 1))
        rest = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
        interaction += weight * float((rest**2).sum()) / ((seeds - 1) * (classes - 1)) / seeds
        freedom += (seeds - 1) * (classes - 1)
    return Components(from_seeds, Part(from_classes, classes - 1), Part(interaction, freedom))


def satterthwaite(total: float, parts: Sequence[Part]) -> float:
    """Return the degrees of freedom of a sum of variances (Satterthwaite, 1946)."""
    error = sum(part.value**2 / part.freedom for part in parts)
    return total**2 / error if error > 0 else min(part.freedom for part in parts)


def checked(scores: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> tuple[Array, Array]:
    """Return checked scores and weights.

    Args:
        scores: (S, C) or (C,) finite numbers, by seed and class; two classes or more.
        weights: (C,) positive numbers; None: equal weights.

    Returns:
        The scores, (S, C) float64, and the weights, (C,) float64, scaled to sum to 1.

    Raises:
        UserError: The shapes or values are not as described.
    """
    table = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    if table.ndim != 2 or table.shape[1] < 2 or not np.isfinite(table).all():
        raise UserError(
            f"scores of shape {table.shape}: expected finite values of (seeds, classes), two classes or more"
        )
    share = np.ones(table.shape[1]) if weights is None else np.asarray(weights, dtype=np.float64)
    if share.shape != table.shape[1:] or not (share > 0).all():
        raise UserError(f"weights of shape {share.shape}: expected {table.shape[1]} positive numbers, one per class")
    return table, share / share.sum()
