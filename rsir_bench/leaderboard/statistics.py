"""What a table may claim: seeds, intervals that respect classes, and comparisons of methods.

The queries of a class are not independent of each other, and the runs of a method differ by seed. So the unit is seed x
class: all functions take a method's scores on one target as an array of shape (seeds, classes), the mean over the
queries of each class. Such a table holds two kinds of chance, which seeds were drawn and which classes the target
happens to have, and their interaction; `components` tells them apart as an analysis of variance does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy import stats

from rsir_bench.base.errors import UserError

FEWEST_SEEDS = 5
LEVEL = 0.95

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean with the range that holds the method's mean on classes and seeds like these with probability ``level``.

    Attributes:
        mean: mean over seeds and queries.
        low: lower end; not cut off at the metric's range.
        high: upper end.
        seeds: number of seeds. Of one seed the interval speaks of that trained network only.
        classes: number of classes.
        level: the probability, 0.95 unless asked otherwise.
    """

    mean: float
    low: float
    high: float
    seeds: int
    classes: int
    level: float


@dataclass(frozen=True)
class Comparison:
    """A comparison of two methods on one target.

    Attributes:
        difference: mean of the first minus mean of the second.
        p: two-sided p-value of the t test of `compare`; None where a method has fewer than five seeds.
        note: "not tested" with the reason, or "".
    """

    difference: float
    p: float | None
    note: str


@dataclass(frozen=True)
class Part:
    """A part of the variance of a mean, and its degrees of freedom."""

    value: float
    freedom: float


@dataclass(frozen=True)
class Components:
    """What the variance of a mean over seeds and classes consists of.

    Attributes:
        seeds: from the seeds of each method; empty for a single seed. Holds the interaction too.
        classes: from the classes. Holds the interaction too.
        interaction: from seeds x classes.
    """

    seeds: list[Part]
    classes: Part
    interaction: Part


def interval(scores: npt.ArrayLike, weights: npt.ArrayLike | None = None, level: float = LEVEL) -> Interval:
    """A t interval for the mean, over classes and, where there are several, seeds.

    Args:
        scores: (seeds, classes) or (classes,): mean score of each class.
        weights: (classes,) queries of each class, so that the mean is that over queries; None: all alike.
        level: coverage.

    Raises:
        UserError: fewer than two classes, or scores that are not finite.
    """
    table, share = checked(scores, weights)
    parts = components([table], share)
    mean, from_seeds = float((table @ share).mean()), sum(part.value for part in parts.seeds)
    total = max(from_seeds + parts.classes.value - parts.interaction.value, from_seeds, parts.classes.value)
    freedom = satterthwaite(total, [*parts.seeds, parts.classes])
    half = float(stats.t.ppf((1 + level) / 2, freedom)) * total**0.5
    return Interval(mean, mean - half, mean + half, table.shape[0], table.shape[1], level)


def compare(first: npt.ArrayLike, second: npt.ArrayLike) -> Comparison:
    """Do two methods differ by more than other seeds and other classes would make them?

    A t test on the means of the seeds with unequal variances (Welch), so that other seeds of one method differ in 5 %
    of tests. Where the per-class differences scatter by more than seeds explain (F test at 5 %), the methods suit
    different classes, and the scatter over classes is added to the variance (mixed model, Satterthwaite, 1946), so
    that a few classes alone do not decide. Classes count alike.

    Args:
        first: (seeds, classes) scores of one method.
        second: (seeds, classes) scores of the other on the same classes; any number of seeds.

    Raises:
        UserError: different classes, or scores that are not finite.
    """
    a, share = checked(first)
    b, _ = checked(second)
    if a.shape[1] != b.shape[1]:
        raise UserError(f"comparison: {a.shape[1]} and {b.shape[1]} classes; compare methods on one target")
    difference = float((a @ share).mean() - (b @ share).mean())
    fewest = min(len(a), len(b))
    if fewest < FEWEST_SEEDS:
        return Comparison(difference, None, f"not tested: {fewest} of at least {FEWEST_SEEDS} seeds")
    parts = components([a, b], share)
    total = sum(part.value for part in parts.seeds)
    used = parts.seeds
    if differ_by_class(parts):
        total += parts.classes.value - parts.interaction.value
        used = [*parts.seeds, parts.classes, parts.interaction]
    if total == 0:
        return Comparison(difference, float(difference == 0), "")
    p = 2 * stats.t.sf(abs(difference) / total**0.5, satterthwaite(total, used))
    return Comparison(difference, float(p), "")


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number (Holm, 1979): the chance of a single false claim among them stays below alpha.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = stepped.clip(max=1)
    return [float(value) for value in adjusted]


def not_worse_than_best(
    scores: Mapping[str, npt.ArrayLike], higher_is_better: bool = True, alpha: float = 1 - LEVEL
) -> dict[str, bool | None]:
    """Which methods of a board are not shown to be worse than the best of it.

    The best is chosen by looking, so the p-values of all pairs are Holm-corrected, not only of those with the best:
    corrected for the latter alone, boards of 8 runs of one method left one unmarked in 8 to 10 % of cases, not in 5 %.

    Args:
        scores: method -> (seeds, classes) scores on one target; classes count alike.
        higher_is_better: False for ANMRR.
        alpha: chance of a false claim on the board.

    Returns:
        dict: method -> True (the best, or not worse), False (worse), None (not tested: fewer than five seeds).
    """
    tables = {name: checked(values) for name, values in scores.items()}
    tested = [name for name, (table, _) in tables.items() if len(table) >= FEWEST_SEEDS]
    marks: dict[str, bool | None] = dict.fromkeys(scores)
    if not tested:
        return marks
    sign = 1 if higher_is_better else -1
    means = {name: sign * float((table @ share).mean()) for name, (table, share) in tables.items()}
    best = max(tested, key=means.__getitem__)
    pairs = list(combinations(tested, 2))
    p_values = [compare(scores[a], scores[b]).p for a, b in pairs]
    adjusted = dict(zip(pairs, holm([p for p in p_values if p is not None]), strict=True))
    for name in tested:
        marks[name] = name == best or max(adjusted.get((name, best), 0), adjusted.get((best, name), 0)) >= alpha
    return marks


def paired_randomisation(first: npt.ArrayLike, second: npt.ArrayLike, rounds: int = 9999, seed: int = 0) -> float:
    """P-value of a paired randomisation test over queries.

    What it finds holds for these two trained networks, never for methods: two seeds of one method differ
    "significantly" in most such tests.

    Args:
        first: (queries,) scores of one trained network.
        second: (queries,) scores of the other for the same queries.
        rounds: random sign flips of the differences.
        seed: of the random flips.

    Raises:
        UserError: other queries, none, or scores that are not finite.
    """
    ours, theirs = (np.asarray(scores, dtype=np.float64) for scores in (first, second))
    if ours.ndim != 1 or ours.shape != theirs.shape or not ours.size:
        raise UserError(
            f"scores of shape {ours.shape} and {theirs.shape}: expected (queries,), the same of both, at least one"
        )
    if not np.isfinite([ours, theirs]).all():
        raise UserError("scores of queries: NaN or infinity; give queries that both networks were scored on")
    differences = ours - theirs
    rng = np.random.default_rng(seed)
    observed = abs(differences.sum()) * (1 - 1e-12)  # sums of equal terms in another order may round down
    as_far = 0
    step = max(1, 2**22 // len(differences))
    for start in range(0, rounds, step):
        flips = rng.integers(0, 2, (min(step, rounds - start), len(differences)), dtype=np.int8)
        sums = differences.sum() - 2 * (flips @ differences)
        as_far += int((np.abs(sums) >= observed).sum())
    return (1 + as_far) / (1 + rounds)


def components(tables: Sequence[Array], share: Array) -> Components:
    """Analysis of the mean of one table, or of the difference of the means of two tables with the same classes.

    Args:
        tables: one or two arrays (seeds, classes).
        share: (classes,) weights that add up to 1.
    """
    classes = len(share)
    spread = classes / (classes - 1)
    of_classes = tables[0].mean(axis=0) - (tables[1].mean(axis=0) if len(tables) == 2 else 0)
    from_classes = spread * float((share**2 * (of_classes - of_classes @ share) ** 2).sum())
    from_seeds, interaction, freedom = [], 0.0, 0
    for table in tables:
        seeds, means = len(table), table @ share
        if seeds < 2:
            continue
        from_seeds.append(Part(float(means.var(ddof=1)) / seeds, seeds - 1))
        rest = table - means[:, None] - table.mean(axis=0) + means.mean()
        interaction += spread * float((share**2 * (rest**2).sum(axis=0)).sum()) / (seeds * (seeds - 1))
        freedom += (seeds - 1) * (classes - 1)
    return Components(from_seeds, Part(from_classes, classes - 1), Part(interaction, freedom))


def differ_by_class(parts: Components) -> bool:
    """Do per-class differences scatter by more than the interaction of seeds and classes explains?"""
    if parts.interaction.value == 0:
        return parts.classes.value > 0
    ratio = parts.classes.value / parts.interaction.value
    return bool(stats.f.sf(ratio, parts.classes.freedom, parts.interaction.freedom) < 1 - LEVEL)


def satterthwaite(total: float, parts: Sequence[Part]) -> float:
    """Degrees of freedom of a variance made up of parts (Satterthwaite, 1946)."""
    error = sum(part.value**2 / part.freedom for part in parts)
    return total**2 / error if error > 0 else min(part.freedom for part in parts)


def checked(scores: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> tuple[Array, Array]:
    """The scores as (seeds, classes), and the classes' weights scaled to add up to 1."""
    table = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    if table.ndim != 2 or table.shape[1] < 2 or not np.isfinite(table).all():
        raise UserError(
            f"scores of shape {table.shape}: expected finite values of (seeds, classes), two classes or more"
        )
    share = np.ones(table.shape[1]) if weights is None else np.asarray(weights, dtype=np.float64)
    if share.shape != table.shape[1:] or not (share > 0).all():
        raise UserError(f"weights of shape {share.shape}: expected {table.shape[1]} positive numbers, one per class")
    return table, share / share.sum()
