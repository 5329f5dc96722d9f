"""Precision-recall curves without interpolation."""

from __future__ import annotations

import numpy as np
import pytest
from scenery import Scenery, scenery

from rsir_bench.ranking import score
from rsir_bench.report.scenes.curves import draw_curves
from rsir_bench.report.scenes.neighbours import find_neighbours


@pytest.fixture
def made(tmp_path_factory: pytest.TempPathFactory) -> Scenery:
    return scenery(tmp_path_factory)


def test_a_curve_by_hand() -> None:
    # From scene 0: ranks + - + ; from 1: - + +; from 3: - + +; from 2, alone in its class, none.
    points, labels = np.array([[0.0], [1.0], [3.5], [2.1]]), np.array([0, 0, 0, 1])
    found = find_neighbours(points, labels, similarity="euclidean")
    # 0: 1, 2.1-, 3.5 -> 1, 2/3; 1: 0, 2.1-, 3.5 -> 1, 2/3; 2: 2.1-, 1, 0 -> 1/2, 2/3
    assert found.precision[[0, 50, 51, 100]] == pytest.approx([2.5 / 3, 2.5 / 3, 2 / 3, 2 / 3])
    assert score(points, labels, similarity="euclidean").curve[0] == pytest.approx((1 + 1 + 2 / 3) / 3)


def test_the_scorers_interpolated_curve_lies_on_it_or_above(made: Scenery) -> None:
    labels = made.target.labels
    for shown in made.target.methods:
        descriptors, code = np.load(shown.recorded.cell.descriptors), shown.record.row.kind == "code"
        bits = shown.record.row.dimensions if code else None
        scores = score(descriptors, labels, codes=code, bits=bits)
        assert (scores.curve >= shown.found.precision - 1e-12).all()
        assert (scores.curve > shown.found.precision + 1e-6).any()
        assert scores.curve[100] == pytest.approx(shown.found.precision[100])
        assert np.mean(shown.found.measured) == pytest.approx(shown.record.metrics["mAP"], abs=1e-12)


def test_only_the_protocols_queries_enter_the_mean() -> None:
    chance = np.random.default_rng(0)
    points, labels = chance.normal(size=(30, 4)), np.repeat([0, 1, 2], 10)
    one = find_neighbours(points, labels, similarity="pearson", queries=np.array([4]))
    other = find_neighbours(points, labels, similarity="pearson", queries=np.array([17]))
    both = find_neighbours(points, labels, similarity="pearson", queries=np.array([4, 17]))
    assert both.precision == pytest.approx((one.precision + other.precision) / 2)
    assert not np.allclose(one.precision, other.precision)
    assert (one.indices == both.indices).all()


def test_the_figure_tells_its_numbers(made: Scenery) -> None:
    drawing = draw_curves(made.target)
    for shown in made.target.methods:
        assert f"{shown.title} {shown.found.precision[10]:.2f}, {shown.found.precision[50]:.2f}" in drawing.alt
        assert shown.title in drawing.file
    assert drawing == draw_curves(made.target)
    assert (made.out / f"scenes/{drawing.name}.svg").read_text() == drawing.file
