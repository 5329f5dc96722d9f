"""The queries of the panels are chosen by the stated rule."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scenery import Scenery, scenery

from rsir_bench.report.scenes.panels import CLASSES, choose_queries, make_panels
from rsir_bench.report.scenes.thumbnails import Colours, Sheets


@pytest.fixture
def made(tmp_path_factory: pytest.TempPathFactory) -> Scenery:
    return scenery(tmp_path_factory)


def target(labels: list[int], *average: list[float]) -> SimpleNamespace:
    methods = [SimpleNamespace(found=SimpleNamespace(measured=np.array(values))) for values in average]
    return SimpleNamespace(labels=np.array(labels), methods=methods, several=None)


def test_the_median_scene_of_each_class_the_easiest_class_first() -> None:
    first = [0.1, 0.5, 0.3, 0.9, 0.8, 0.6, 0.7]
    assert choose_queries(target([0, 0, 0, 1, 1, 1, 1], first)) == [6, 2]  # the lower of two middle ones


def test_methods_are_averaged_and_scenes_alone_left_out() -> None:
    queries = choose_queries(target([0, 0, 0, 1], [0.1, 0.2, 0.3, np.nan], [0.9, 0.1, 0.2, np.nan]))
    assert queries == [2]  # means 0.5, 0.15, 0.25


def test_many_classes_give_a_few_at_even_steps() -> None:
    labels = list(range(11))
    queries = choose_queries(target(labels, [1 - label / 10 for label in labels]))
    assert queries == [0, 2, 4, 6, 8, 10]
    assert len(queries) == CLASSES


def test_the_median_scene_of_each_label_each_scene_once() -> None:
    members = np.array([[1, 0], [1, 0], [1, 1], [0, 1], [0, 1]], bool)
    one = target([0] * 5, [0.9, 0.1, 0.8, 0.85, 0.2])
    one.several = SimpleNamespace(members=members)
    assert choose_queries(one) == [2]  # the median of both labels


def test_panels_show_what_was_found(made: Scenery) -> None:
    sheets = Sheets("sheets", Colours((0, 1, 2), None), ())
    panels = make_panels(made.target, sheets)
    for panel, query in zip(panels, choose_queries(made.target), strict=True):
        assert panel.query.path == made.target.index.paths[query]
        for ranking in panel.rankings:
            found = ranking.method.found.indices[query]
            assert [picture.path for picture in ranking.pictures] == [made.target.index.paths[i] for i in found]
            labels = made.target.labels
            assert [picture.right for picture in ranking.pictures] == (labels[found] == labels[query]).tolist()
            assert ranking.right == sum(picture.words == panel.query.words for picture in ranking.pictures)
    page = (made.out / f"scenes/{made.target.name}.html").read_text()
    right = sum(ranking.right for panel in panels for ranking in panel.rankings)
    assert page.count('<li class="right">') == right
    assert page.count('<li class="wrong">') == sum(len(panel.rankings) for panel in panels) * 10 - right
