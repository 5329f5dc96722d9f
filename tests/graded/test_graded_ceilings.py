"""What the sizes of a dataset's classes alone say of every graded metric: the best value, and that of no ranking.

Each scene has two labels, its class and one of a few themes that classes share: scenes of a class share two labels,
scenes of a theme one. The values expected here are computed from the sizes, by no code of the scorer.
"""

from __future__ import annotations

import numpy as np
import pytest
from test_ceilings_and_chance import CARDS, chance, discounts

from rsir_bench.ranking import score
from rsir_bench.ranking.graded.names import GRADED_METRICS, graded_name

THEMES = 4
NAMES = (*GRADED_METRICS, "mAP@10(any)", "nDCG@10(g)", "nDCG@10(2^g-1)", "ACG@1")


class Shares:
    """How many scenes of a gallery share two labels with a query, and how many one."""

    def __init__(self, two: int, one: int, scenes: int) -> None:
        self.two, self.one, self.scenes = two, one, scenes
        self.relevant, self.gain = two + one, 2 * two + one

    def gains(self, argument: str) -> np.ndarray:
        """The gains in the best order."""
        high, low = (3, 1) if argument == "2^g-1" else (2, 1)
        return np.repeat([high, low], [self.two, self.one]).astype(float)

    def of(self, argument: str) -> int:
        """The relevant scenes; two of three labels are more than half, one of three is less."""
        return self.relevant if argument == "any" else self.two

    def ceiling(self, metric: str) -> float:
        name = graded_name(metric)
        if name.formula == "ACG@k":
            return self.gains("g")[: name.cutoff].sum() / name.cutoff
        if name.formula == "WAP":
            return (self.gains("g").cumsum() / np.arange(1, self.relevant + 1)).mean()
        return 1.0

    def chance(self, metric: str) -> float:
        name = graded_name(metric)
        inside = min(name.cutoff, self.scenes)
        if name.formula == "mAP":
            return chance(f"mAP@{name.cutoff}" if name.cutoff else "mAP", self.of(name.argument), self.scenes)
        if name.formula == "nDCG@k":
            gains = self.gains(name.argument)
            best = sum(gain / np.log2(rank + 1) for rank, gain in enumerate(gains[: name.cutoff], 1))
            return gains.sum() / self.scenes * discounts(inside) / best
        if name.formula == "ACG@k":
            return self.gain / self.scenes * inside / name.cutoff
        usual = self.gain / self.relevant
        others = (self.gain - usual) / (self.scenes - 1)
        return sum((usual + (place - 1) * others) / place for place in range(1, self.scenes + 1)) / self.scenes


@pytest.mark.parametrize("dataset", CARDS)
def test_perfect_equal_and_random_descriptors(dataset: str) -> None:
    sizes = np.array([one.scenes for one in CARDS[dataset].classes])
    themes = np.arange(len(sizes)) % THEMES
    classes = np.repeat(np.arange(len(sizes)), sizes)
    members = np.concatenate([np.eye(len(sizes))[classes], np.eye(THEMES)[themes[classes]]], axis=1).astype(np.uint8)
    of_theme = np.bincount(themes, sizes, THEMES).astype(int)[themes]
    different = np.unique(np.stack([sizes, of_theme]), axis=1, return_index=True)[1]
    first = (np.cumsum(sizes) - sizes)[different]
    shares = [Shares(sizes[c] - 1, of_theme[c] - sizes[c], len(classes) - 1) for c in different]

    perfect = score(members.astype(np.float32), members, queries=first, metrics=NAMES)
    equal = score(np.ones((len(classes), 3), np.float32), members, queries=first, metrics=NAMES)
    assert set(perfect.per_query) == set(NAMES)
    for name, values in perfect.per_query.items():
        expected = [one.ceiling(name) for one in shares]
        assert values == pytest.approx(expected, abs=1e-9), name
        assert perfect.oracle[name] == pytest.approx(np.mean(expected), abs=1e-9), name
        usual = [one.chance(name) for one in shares]
        assert equal.per_query[name] == pytest.approx(usual, abs=1e-9), name
        assert perfect.chance[name] == pytest.approx(np.mean(usual), abs=1e-9), name
    assert perfect.overall["ACG@10"] == 2
    assert 1 < perfect.overall["WAP"] < 2

    rng = np.random.default_rng(0)
    queries = rng.choice(len(classes), 100, replace=False)
    random = score(rng.normal(size=(len(classes), 4)).astype(np.float32), members, queries=queries, metrics=NAMES)
    for name, values in random.per_query.items():
        error = (values.std() + 0.1) / len(values) ** 0.5
        assert abs(random.overall[name] - random.chance[name]) <= 4 * error, name
