"""Tell why scores may not measure retrieval: descriptors that are equal, or a mean no better than chance."""

from __future__ import annotations

MOST_MIXED = 0.2
"""Largest share of scenes that may have the very descriptor of another class's; codes of a class may well be equal."""

LEAST_GAIN = 0.02
"""How much of the way from chance to 1 a mean must have come to be more than chance."""


def degenerate(mixed: int, scenes: int) -> bool:
    """Return whether so many scenes of several classes share one descriptor that rankings are not meaningful."""
    return mixed > MOST_MIXED * scenes


def doubts_about(
    metric: str,
    ranked: tuple[float, float, float],
    *,
    chance: float,
    error: float,
    equal: int,
    mixed: int,
    constant: int,
    scenes: int,
) -> list[str]:
    """Return why scores do not measure retrieval, each reason in a few words; none: they do.

    Descriptors count as equal where more than a fifth of the scenes have the very descriptor of another class's. A mean
    counts as chance within 2 % of the way from chance to 1, or within two standard errors over queries.

    Args:
        metric: The metric; 1 is its best value.
        ranked: Its mean over queries, and the least and the greatest under any order of tied scenes.
        chance: Its mean for a random order.
        error: The standard error of the mean's distance from chance.
        equal: Number of scenes in the largest group of equal descriptors.
        mixed: Number of them that are not of the group's main class.
        constant: Number of scenes without a direction.
        scenes: Number of scenes in the gallery.
    """
    found = []
    if degenerate(mixed, scenes):
        found.append(f"{equal} of {scenes} descriptors are equal")
    elif 2 * constant > scenes:
        found.append(f"{constant} of {scenes} descriptors have no direction")
    mean, least, greatest = ranked
    if mean <= chance + max(LEAST_GAIN * (1 - chance), 2 * error):
        found.append(f"{metric} {mean:.4f} is chance: a random order has {chance:.4f}")
    low, high = f"{least:.4f}", f"{greatest:.4f}"
    if found and low != high:
        found.append(f"ties leave {metric} between {low} and {high}")
    return found
