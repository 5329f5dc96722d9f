"""Plugins with old names of hooks and card fields work for one more release, and warnings name the new ones."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from tiny import some_batch, tiny_setup

from rsir_bench.conformance.harness import Training, draw
from rsir_bench.method import Card, FrontEndCard, Method, Row
from rsir_bench.method.registry import discover, resolve
from rsir_bench.method.renamed import HOOKS
from rsir_bench.methods.baseline_aug import BaselineAug
from rsir_bench.methods.jsst import Jsst

PLUGIN = Path(__file__).parent / "plugins" / "everything.py"
EXTRA = """    distributed_loss = "mean"

    @classmethod
    def initial_weights(cls, settings, trunk):
        return super().initial_weights(settings, trunk)

    def describe("""


def trained(path: Path) -> tuple[list[float], dict[str, float], dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    network = resolve("everything", discover([path]), {}, {}).build(tiny_setup())
    training = Training(network, draw(20, 5, 3, 32))
    losses = [training.epoch(number) for number in (1, 2)]
    training.network.describe(some_batch().scenes)
    training.network.loss(some_batch())
    return losses, network.epoch_metrics(), network.state_dict()


def test_a_plugin_with_old_names_trains_to_the_same_numbers(tmp_path):
    text = PLUGIN.read_text().replace("    def describe(", EXTRA, 1)
    new, old = tmp_path / "new.py", tmp_path / "old.py"
    new.write_text(text)
    for was, now in {**HOOKS, "unlabelled=": "needs_unlabelled="}.items():
        assert now in text
        text = text.replace(now, was)
    old.write_text(text)
    with warnings.catch_warnings(action="error"):
        expected = trained(new)
    with pytest.warns(DeprecationWarning, match="rename it") as caught:
        found = trained(old)
    assert found[:2] == expected[:2]
    assert all(torch.equal(found[2][name], value) for name, value in expected[2].items())
    assert {warning.filename for warning in caught} == {str(old)}
    assert sorted(str(warning.message) for warning in caught) == sorted(
        f"rsir_bench.method: {where} is now called {now}; rename it"
        for where, now in {
            **{f"Everything.{was}": now for was, now in HOOKS.items()},
            "Card.unlabelled": "needs_unlabelled",
        }.items()
    )


def test_super_finds_a_hook_by_either_name():
    with pytest.warns(DeprecationWarning, match=r"Old\.view is now called augment"):

        class Old(BaselineAug):
            def view(self, batch, generator):
                return super().view(batch, generator)

    method = Old(tiny_setup(), Old.Settings())
    plain = BaselineAug.augment(method, some_batch(), torch.Generator().manual_seed(0))
    for hook in (method.view, method.augment):
        assert torch.equal(hook(some_batch(), torch.Generator().manual_seed(0)).scenes, plain.scenes)


def test_front_ends_too():
    with pytest.warns(DeprecationWarning, match=r"Old\.report is now called epoch_metrics"):

        class Old(Jsst):
            def report(self):
                return {"figure": 1.0}

    assert Old.epoch_metrics is Old.report


def test_a_class_with_both_names_is_of_today():
    with warnings.catch_warnings(action="error"):

        class Both(BaselineAug):
            def view(self, batch, generator):
                raise NotImplementedError

            def augment(self, batch, generator):
                return batch

    assert Both.view is Both.augment


def test_cards():
    fields = {"name": "mine", "title": "Mine", "paper": "none", "year": 2026}
    rows = {"FC": Row(descriptor="FC")}
    with pytest.warns(DeprecationWarning, match=r"Card\.unlabelled is now called needs_unlabelled") as caught:
        card = Card(**fields, rows=rows, unlabelled=True)
    assert card.needs_unlabelled
    assert caught[0].filename == __file__
    with pytest.warns(DeprecationWarning, match=r"Card\.unlabelled is now called needs_unlabelled") as caught:
        copied = card.model_copy(update={"unlabelled": False})
    assert not copied.needs_unlabelled
    assert caught[0].filename == __file__
    with pytest.warns(DeprecationWarning, match=r"FrontEndCard\.alone is now called default_method"):
        assert FrontEndCard(**fields, alone="se").default_method == "se"


def test_a_part_at_its_own_rate():
    method = BaselineAug(tiny_setup(), BaselineAug.Settings())
    with pytest.warns(DeprecationWarning, match="split_parameter_group"):
        assert method.at_own_rate(method.head, 0.1) == method.split_parameter_group(method.head, 0.1)
    assert isinstance(method, Method)
