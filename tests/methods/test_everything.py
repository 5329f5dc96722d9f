"""The contract suffices for a plugin that uses all of it (``test_campaign.py`` trains it from end to end)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import CLASSES, SIZE, some_batch, some_scenes, tiny_setup

from rsir_bench.method import Method
from rsir_bench.method.registry import discover, resolve
from rsir_bench.scenes.batches import Scenes
from rsir_bench.training.loop import make_optimizer

PLUGIN = Path(__file__).parent.parent / "plugins" / "everything.py"


def build(name: str = "everything", **settings: float) -> Method:
    torch.manual_seed(0)
    return resolve(name, discover([PLUGIN]), {"everything": settings}, {}).build(tiny_setup())


def source() -> Scenes:
    pixels = np.random.default_rng(0).integers(0, 256, (20, SIZE, SIZE, 3), np.uint8)
    return Scenes.of(pixels, np.arange(20) % CLASSES)


def unlabelled() -> Scenes:
    pixels = np.random.default_rng(1).integers(0, 256, (70, SIZE, SIZE, 3), np.uint8)
    return Scenes.of(pixels, np.full(70, -1))


def test_rows():
    method = build(bits=12).eval()
    shapes = {name: tuple(values.shape) for name, values in method.describe(some_scenes(4)).items()}
    assert shapes == {"FC": (4, CLASSES), "FC1": (4, 16), "bits": (4, 12)}
    assert {row.descriptor for row in method.card.rows.values()} <= set(shapes)
    assert (method.rounds, method.card.needs_unlabelled) == (2, True)


def test_its_own_optimizer_with_two_groups():
    method = build()
    train = method.setup.protocol.train
    optimizer = make_optimizer(method, method.recipe(train))
    assert isinstance(optimizer, torch.optim.Adam)
    rates = [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups]
    assert rates == [(pytest.approx(train.rate / 100), train.weight_decay), (pytest.approx(train.rate / 10), 0.0)]
    held = sum(len(group["params"]) for group in optimizer.param_groups)
    assert held == len(list(method.parameters()))


def test_batches_of_classes_times_scenes():
    labels = source().labels
    for batch in build(per_class=2).batches(labels, 8, torch.Generator().manual_seed(0)):
        assert labels[batch].unique(return_counts=True)[1].tolist() == [2, 2, 2, 2]


def test_views_are_quarter_turns():
    batch = some_batch(32)
    view = build().augment(batch, torch.Generator().manual_seed(0))
    turned = torch.stack([torch.rot90(batch.scenes, number, (2, 3)) for number in range(4)])
    which = (turned == view.scenes).flatten(2).all(2)
    assert which.sum(0).tolist() == [1] * 32
    assert which.any(1).all()
    assert torch.equal(view.labels, batch.labels)


def test_terms_and_report():
    method = build()
    terms = method.loss(some_batch())
    assert set(terms) == {"class", "quantisation"}
    accuracy = (method.describe(some_batch().scenes)["FC"].argmax(1) == some_batch().labels).float().mean().item()
    assert method.epoch_metrics() == {"accuracy": pytest.approx(accuracy)}


@pytest.mark.parametrize("name", ["everything", "jsst+everything"])
def test_the_second_round_learns_from_the_first(name):
    first, second = build(name).eval(), build(name, confidence=0.0)
    assert len(second.training_set(1, None, source(), unlabelled())) == 20
    scenes = second.training_set(2, first, source(), unlabelled())
    assert len(scenes) == 20 + 70
    batch = scenes.batch(torch.arange(20, 90), torch.device("cpu"))
    with torch.no_grad():
        expected = torch.cat([first.describe(part)["FC"].argmax(1) for part in batch.scenes.split(64)])
    assert torch.equal(batch.labels, expected)
    assert not batch.labels.requires_grad


def test_only_what_is_sure_joins():
    first, second = build().eval(), build(confidence=1.0)
    assert len(second.training_set(2, first, source(), unlabelled())) == 20


def test_a_front_end_keeps_every_hook():
    plain, composed = build(), build("jsst+everything")
    train = plain.setup.protocol.train
    assert (composed.rounds, composed.card.needs_unlabelled) == (2, True)
    assert composed.recipe(train) == plain.recipe(train)
    assert len(composed.parameter_groups()) == 4
    assert set(composed.card.rows) == set(plain.card.rows)
    labels = source().labels
    batches = [
        torch.cat(method.batches(labels, 8, torch.Generator().manual_seed(3))).tolist() for method in (plain, composed)
    ]
    assert batches[0] == batches[1]
    views = [method.augment(some_batch(), torch.Generator().manual_seed(3)).scenes for method in (plain, composed)]
    assert torch.equal(*views)
    composed.train()
    assert set(composed.loss(some_batch())) == {"class", "quantisation"}
    assert {"accuracy", "theta_s1"} <= set(composed.epoch_metrics())
