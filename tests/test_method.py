from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from tiny import some_batch, tiny_method, tiny_setup
from torch import nn

from rsir_bench.method import Card, ParameterGroup, Row
from rsir_bench.method.composition import compose
from rsir_bench.method.contract import trainable
from rsir_bench.methods.baseline import Baseline
from rsir_bench.methods.jsst import Jsst

CARD: dict[str, Any] = {
    "name": "mine",
    "title": "Mine",
    "paper": "none",
    "year": 2026,
    "rows": {"FC": Row(descriptor="FC")},
}


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Mine"},
        {"name": "my method"},
        {"name": ""},
        {"name": "a+b"},
        {"name": "a:b"},
        {"rows": {}},
        {"title": ""},
        {"version": 0},
        {"auther": "me"},
        {"rows": {"FC": {"descriptor": "FC", "kind": "binary"}}},
        {"rows": {"FC": {"descriptor": "FC", "round": 0}}},
    ],
)
def test_cards_that_do_not_fit(change):
    assert Card(**CARD).trained
    with pytest.raises(ValidationError):
        Card(**CARD | change)


def test_trainable_leaves_out_frozen_parameters_and_empty_groups():
    free, frozen = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1), requires_grad=False)
    groups = [ParameterGroup([free, frozen], 0.5, 0.1), ParameterGroup([frozen]), ParameterGroup([])]
    (kept,) = trainable(groups)
    assert kept == ParameterGroup([free], 0.5, 0.1)


class TestDefaults:
    def test_recipe_batches_views_and_report(self):
        method = tiny_method("baseline", tiny_setup())
        train, batch = method.setup.protocol.train, some_batch()
        assert method.recipe(train) is train
        assert method.augment(batch, torch.Generator()) is batch
        assert method.epoch_metrics() == {}
        batches = method.batches(torch.zeros(20), 8, torch.Generator().manual_seed(0))
        assert torch.cat(batches).sort().values.tolist() == list(range(20))

    def test_one_group_of_all_parameters(self):
        method = tiny_method("baseline", tiny_setup())
        (group,) = method.parameter_groups()
        assert (group.rate, group.weight_decay) == (1.0, None)
        assert {id(p) for p in group.parameters} == {id(p) for p in method.parameters()}

    def test_a_part_at_a_rate_of_its_own_leaves_all_others_in_one_group(self):
        method = tiny_method("baseline", tiny_setup())
        rest, own = method.split_parameter_group(method.head, 0.1)
        assert (rest.rate, own.rate) == (1.0, 0.1)
        assert [*map(id, own.parameters)] == [*map(id, method.head.parameters())]
        assert [*map(id, rest.parameters)] == [*map(id, method.trunk.parameters())]


class TestCompose:
    class Wide(Baseline):
        card = Baseline.card.model_copy(
            update={"name": "wide", "year": 2030, "trunk": "resnet34", "needs_unlabelled": True, "version": 7}
        )
        rounds = 3

    @pytest.mark.parametrize("alone", [True, False])
    def test_what_the_harness_asks_of_a_card_is_the_methods(self, alone):
        kind = compose(Jsst, self.Wide, alone=alone)
        card = kind.card
        assert (card.trunk, card.needs_unlabelled, card.trained, kind.rounds) == ("resnet34", True, True, 3)
        assert {name: (row.descriptor, row.kind) for name, row in kind.card.rows.items()} == {
            "FC": ("FC", "real"),
            "PCA": ("FC1", "pca"),
        }
        assert set(kind.card.choices) == {*Jsst.card.choices, *Baseline.card.choices}

    def test_alone_it_is_the_front_ends_work(self):
        card = compose(Jsst, self.Wide, alone=True).card
        assert (card.name, card.title, card.year) == ("jsst", "JSST", 2021)
        assert card.paper == Jsst.card.paper

    def test_with_another_method_it_is_both(self):
        card = compose(Jsst, self.Wide, alone=False).card
        assert (card.name, card.title, card.year) == ("jsst-wide", "JSST+{trunk}", 2030)
        assert Jsst.card.paper in card.paper
        assert self.Wide.card.paper in card.paper

    def test_a_new_version_of_either_is_a_new_version(self):
        class Newer(self.Wide):
            card = self.Wide.card.model_copy(update={"version": 8})

        class NewerFront(Jsst):
            card = Jsst.card.model_copy(update={"version": Jsst.card.version + 1})

        versions = [
            compose(front, inner, alone=False).card.version
            for front, inner in [(Jsst, self.Wide), (Jsst, Newer), (NewerFront, self.Wide), (NewerFront, Newer)]
        ]
        assert len(set(versions)) == 4

    def test_the_loss_is_that_of_the_changed_scenes(self):
        method = tiny_method("jsst", tiny_setup()).eval()
        batch = some_batch()
        changed = batch.with_scenes(method.front(batch.scenes))
        torch.testing.assert_close(method.loss(batch), method.inner.loss(changed))
