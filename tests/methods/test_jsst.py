from __future__ import annotations

import pytest
import torch
from tiny import message, some_batch, some_scenes, tiny_method, tiny_setup

from rsir_bench.method.composition import Composed
from rsir_bench.method.registry import discover
from rsir_bench.methods.jsst import Jsst
from rsir_bench.nn.transformation import linear
from rsir_bench.nn.warp import IDENTITY, affine
from rsir_bench.records.paper import published_rows
from rsir_bench.training.loop import make_optimizer


def front_end(bands: int = 3, **settings: float | str) -> Jsst:
    """A front end whose parameters differ visibly between scenes."""
    setup = tiny_setup("trunk.mean=[0.5]", "trunk.std=[0.5]", bands=bands)
    method = tiny_method("jsst", setup, jsst={"spread": 0.1, **settings})
    assert isinstance(method, Composed)
    assert isinstance(method.front, Jsst)
    return method.front


@pytest.mark.parametrize("bands", [3, 13])
def test_every_scene_is_warped_and_stretched_by_its_own_parameters(bands):
    front = front_end(bands).eval()
    scenes = some_scenes(4, bands)
    theta = front.transformation.networks[0](scenes)
    assert theta.shape == (4, 6 + bands + 1)
    assert (theta.std(0) > 0).all()
    expected = [linear(affine(scenes[n, None], theta[n, None, :6]), theta[n, None, 6:]) for n in range(4)]
    torch.testing.assert_close(front(scenes), torch.cat(expected))


def test_the_spectral_conversion_follows_the_spatial_one():
    front = front_end(padding="zeros").eval()
    with torch.no_grad():
        front.transformation.networks[0].regression.weight.zero_()
        front.transformation.networks[0].regression.bias[2] = 10.0  # looks far beside the scene
        front.transformation.networks[0].regression.bias[-1] = 0.25  # the shared bias
    torch.testing.assert_close(front(some_scenes()), torch.full((4, 3, 32, 32), 0.25))


def test_border_padding_repeats_the_edge():
    front = front_end().eval()
    with torch.no_grad():
        front.transformation.networks[0].regression.weight.zero_()
        front.transformation.networks[0].regression.bias[2] = 10.0
    scenes = some_scenes()
    torch.testing.assert_close(front(scenes), scenes[..., -1:].expand(-1, -1, -1, 32))


def test_without_regression_weights_it_is_the_method_alone():
    method = tiny_method("jsst", tiny_setup()).eval()
    plain = tiny_method("baseline", tiny_setup(), seed=1).eval()
    plain.load_state_dict(method.inner.state_dict())
    scenes = some_scenes()
    before = method.describe(scenes)
    with torch.no_grad():
        method.front.transformation.networks[0].regression.weight.zero_()
    after, expected = method.describe(scenes), plain.describe(scenes)
    assert set(after) == set(expected)
    for name in expected:
        torch.testing.assert_close(after[name], expected[name], rtol=1e-4, atol=1e-4)
        assert not torch.equal(before[name], after[name])


def test_the_gradient_reaches_the_parameter_network():
    method = tiny_method("jsst", tiny_setup()).train()
    method.loss(some_batch()).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in method.front.parameters())


class TestReport:
    SIZES = (5, 8, 3)

    @staticmethod
    def epoch(front: Jsst) -> torch.Tensor:
        """Pass batches in training mode; return all their parameters, (N, P) float32."""
        collected: list[torch.Tensor] = []
        hook = front.transformation.networks[0].register_forward_hook(
            lambda _, __, theta: collected.append(theta.detach())
        )
        for seed, size in enumerate(TestReport.SIZES):
            front.train()(some_scenes(size, seed=seed))
        hook.remove()
        return torch.cat(collected).double()

    def test_mean_and_spread_over_the_scenes_of_the_epoch(self):
        front = front_end()
        theta = self.epoch(front)
        names = [*(f"s{n}" for n in range(1, 7)), *(f"r{n}" for n in range(1, 5))]
        report = front.epoch_metrics()
        assert list(report) == [f"theta_{name}{end}" for name in names for end in ("", "_spread")] + ["collapsed"]
        for number, name in enumerate(names):
            assert report[f"theta_{name}"] == pytest.approx(theta[:, number].mean().item(), abs=1e-5)
            spread = theta[:, number].std(correction=0).item()
            assert report[f"theta_{name}_spread"] == pytest.approx(spread, rel=1e-3, abs=1e-5)

    def test_every_epoch_starts_anew(self):
        front = front_end()
        self.epoch(front)
        front.epoch_metrics()
        theta = self.epoch(front)
        assert front.epoch_metrics()["theta_s1"] == pytest.approx(theta[:, 0].mean().item(), abs=1e-5)

    def test_describing_does_not_count(self):
        front = front_end()
        theta = self.epoch(front)
        front.eval()(some_scenes(50, seed=9))
        assert front.epoch_metrics()["theta_s1"] == pytest.approx(theta[:, 0].mean().item(), abs=1e-5)

    def test_thirteen_bands_have_thirteen_gains_and_a_bias(self):
        front = front_end(13)
        front.train()(some_scenes(4, 13))
        assert [name for name in front.epoch_metrics() if name.endswith("_spread")][-1] == "theta_r14_spread"

    def test_one_transformation_for_all_scenes_has_no_spread(self):
        front = front_end(spread=0.0)
        self.epoch(front)
        report = front.epoch_metrics()
        assert [report[f"theta_s{n}"] for n in range(1, 7)] == pytest.approx(list(IDENTITY))
        assert all(value < 1e-6 for name, value in report.items() if name.endswith("_spread"))

    @pytest.mark.parametrize(
        ("spread", "moved", "collapsed", "says"),
        [
            (0.0, 0.0, 0, ""),  # the identity: it hardly acts
            (1e-3, 0.0, 0, ""),  # untrained
            (0.0, 0.04, 0, ""),
            (
                0.0,
                0.06,
                1,
                "jsst: collapsed to one transformation for all scenes in this epoch, 0.06 from the identity",
            ),
            (0.1, 0.06, 0, ""),
            (0.1, 1e8, 1, "jsst: a parameter has run away to 1e+08 in this epoch: nothing is left of scenes"),
        ],
    )
    def test_a_fixed_conversion_far_from_the_identity_has_collapsed(self, spread, moved, collapsed, says, caplog):
        front = front_end(spread=spread)
        with torch.no_grad():
            front.transformation.networks[0].regression.bias[2] += moved
        self.epoch(front)
        assert front.epoch_metrics()["collapsed"] == collapsed
        assert says in caplog.text
        assert bool(caplog.text) == bool(collapsed)

    def test_a_small_spread_over_many_scenes(self):
        front = front_end()
        theta = front.transformation.networks[0].regression.bias.detach() + 1e-4 * torch.randn(10_000, 10)
        for part in theta.split(64):
            front.transformation._note(part)
        assert front.epoch_metrics()["theta_s1_spread"] == pytest.approx(theta[:, 0].double().std().item(), rel=0.05)

    def test_it_is_not_saved_with_the_weights(self):
        assert not any("seen" in name for name in front_end().state_dict())


class TestOptimizer:
    def test_lower_rate_and_no_decay_of_the_regression_layer(self):
        method = tiny_method("jsst", tiny_setup())
        train = method.setup.protocol.train
        groups = make_optimizer(method, train).param_groups
        network = method.front.transformation.networks[0]
        found = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
        for parameter in network.features.parameters():
            assert found[id(parameter)] == (pytest.approx(0.01 * train.rate), train.weight_decay)
        for parameter in network.regression.parameters():
            assert found[id(parameter)] == (pytest.approx(0.01 * train.rate), 0.0)
        for parameter in method.inner.parameters():
            assert found[id(parameter)] == (train.rate, train.weight_decay)
        assert len(found) == len(list(method.parameters()))

    def test_rate_is_a_setting(self):
        assert {group.rate for group in front_end(rate=0.5).parameter_groups()} == {0.5}

    def test_an_absolute_rate_is_the_parameter_networks_whatever_the_protocols_is(self):
        method = tiny_method("jsst", tiny_setup("train.rate=0.3"), jsst={"absolute_rate": 1e-3})
        rates = {
            id(p): g["lr"]
            for g in make_optimizer(method, method.setup.protocol.train).param_groups
            for p in g["params"]
        }
        assert {rates[id(parameter)] for parameter in method.front.parameters()} == {1e-3}
        assert {rates[id(parameter)] for parameter in method.inner.parameters()} == {0.3}

    def test_one_of_two_rates_would_change_nothing(self):
        text = message(lambda: tiny_method("jsst", tiny_setup(), jsst={"rate": 0.5, "absolute_rate": 1e-3}))
        assert "rate changes nothing with absolute_rate; leave it out" in text


class TestIdleEpochs:
    def test_scenes_are_converted_after_them_and_in_describing(self):
        front, scenes = front_end(idle_epochs=2), some_scenes(4)
        for _ in range(2):
            assert torch.equal(front.train()(scenes), scenes)
            assert not torch.equal(front.eval()(scenes), scenes)
            assert front.epoch_metrics() == {}
        assert not torch.equal(front.train()(scenes), scenes)
        assert "theta_s1" in front.epoch_metrics()

    def test_a_resumed_training_counts_on(self):
        front, resumed = (front_end(idle_epochs=1) for _ in range(2))
        front.epoch_metrics()
        resumed.load_state_dict(front.state_dict())
        scenes = some_scenes(4)
        assert not torch.equal(resumed.train()(scenes), scenes)

    def test_a_conversion_that_never_trains_is_refused(self):
        with pytest.raises(ValueError, match="idle_epochs=3: no epoch of 3 remains; set fewer"):
            tiny_method("jsst", tiny_setup("train.epochs=3"), jsst={"idle_epochs": 3})


def test_few_parameters_beside_the_papers_trunk():
    assert sum(parameter.numel() for parameter in front_end().parameters()) < 500_000


def test_mixed_precision_does_not_move_pixels():
    front = front_end(spread=1e-3).eval()
    scenes = some_scenes(size=96)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = front(scenes)
    assert (mixed - front(scenes)).abs().max() < 1e-3


class TestVariants:
    NAMES = (
        "jsst-spat",
        "jsst-spec",
        "jsst-tps",
        "jsst-spat-tps",
        "jsst-gamma",
        "jsst-spec-gamma",
        "jsst-hybrid",
        "jsst-spec-spat",
        "jsst-pgn-i",
    )

    @staticmethod
    def front(name: str, **settings: object) -> Jsst:
        method = tiny_method(name, tiny_setup(), **{name: {"spread": 0.1, **settings}})
        assert isinstance(method, Composed)
        assert isinstance(method.front, Jsst)
        return method.front.eval()

    @pytest.mark.parametrize(
        ("name", "count"),
        [
            ("jsst-spat", 6),
            ("jsst-spec", 4),
            ("jsst-tps", 76),
            ("jsst-spat-tps", 72),
            ("jsst-gamma", 9),
            ("jsst-spec-gamma", 3),
            ("jsst-hybrid", 10),
            ("jsst-pgn-i", 10),
        ],
    )
    def test_number_of_parameters(self, name, count):
        assert self.front(name).transformation(some_scenes())[1].shape == (4, count)

    def test_each_variant_is_its_own_conversion(self):
        scenes = some_scenes()
        with torch.no_grad():
            found = [self.front(name)(scenes) for name in ("jsst", *self.NAMES)]
        for n, first in enumerate(found):
            for second in found[n + 1 :]:
                assert not torch.allclose(first, second, atol=1e-5)

    @pytest.mark.parametrize("name", NAMES)
    def test_published_rows_exist(self, name):
        card = discover()[name].method_class.card
        known = {(row.method, row.variant) for row in published_rows()}
        assert set(card.published.values()) <= known
        assert bool(card.published) == (name not in ("jsst-tps", "jsst-gamma"))

    def test_one_pass_orders_commute_inside_the_scene(self):
        """If a warp samples nothing outside the scene, hybrid and Spat+Spec are the same method (Table VI)."""
        scenes = some_scenes()
        theta_inside = [0.7, 0.1, 0.05, -0.1, 0.8, 0.0]
        fronts = [self.front("jsst", padding="zeros"), self.front("jsst-hybrid")]
        for front in fronts:
            front.transformation.load_state_dict(fronts[0].transformation.state_dict())
            with torch.no_grad():
                front.transformation.networks[0].regression.weight.zero_()
                front.transformation.networks[0].regression.bias[:6] = torch.tensor(theta_inside)
                front.transformation.networks[0].regression.bias[6:] = torch.tensor([1.2, 0.8, 1.1, 0.1])
        torch.testing.assert_close(fronts[0](scenes), fronts[1](scenes))
        for front in fronts:
            with torch.no_grad():
                front.transformation.networks[0].regression.bias[0] = 1.5
        assert not torch.allclose(fronts[0](scenes), fronts[1](scenes), atol=1e-3)

    def test_spectral_first_runs_the_network_again(self):
        front = self.front("jsst-spec-spat")
        scenes = some_scenes()
        first = front.transformation.generate(scenes)
        again = front.transformation.generate(linear(scenes, first[:, 6:]))
        torch.testing.assert_close(front.transformation(scenes)[1], torch.cat([again[:, :6], first[:, 6:]], dim=1))

    def test_of_two_networks_the_spatial_one_sees_only_the_recoloured_scenes(self):
        transformation = self.front("jsst-spec-spat", generator="independent").transformation
        scenes = some_scenes()
        colouring = transformation.networks[1](scenes)
        warping = transformation.networks[0](linear(scenes, colouring))
        torch.testing.assert_close(transformation(scenes)[1], torch.cat([warping, colouring], dim=1))
        transformation.train()(scenes)
        seen = [
            {
                module.num_batches_tracked.item()
                for module in network.modules()
                if isinstance(module, torch.nn.BatchNorm2d)
            }
            for network in transformation.networks
        ]
        assert seen == [{1}, {1}]

    def test_independent_networks(self):
        transformation = self.front("jsst-pgn-i").transformation
        assert [network.regression.out_features for network in transformation.networks] == [6, 4]

    def test_parameters_stay_within_their_bound(self):
        transformation = self.front("jsst", bound=0.2, spread=100.0).transformation
        off = (transformation.generate(some_scenes()) - transformation.identity.float()).abs()
        assert off.max() <= 0.2 + 1e-6
        assert off.max() > 0.1

    @pytest.mark.parametrize("generator", ["shared", "independent"])
    def test_also_where_each_conversion_has_a_pass_of_its_own(self, generator):
        transformation = self.front("jsst-spec-spat", bound=0.2, spread=100.0, generator=generator).transformation
        off = (transformation(some_scenes())[1] - transformation.identity.float()).abs()
        assert off.max() <= 0.2 + 1e-6
        assert off[:, :6].max() > 0.1
        assert off[:, 6:].max() > 0.1

    @pytest.mark.parametrize(
        "setting",
        [
            {"warp": "perspective"},
            {"warp": "tps"},
            {"warp": "off"},
            {"spectral": "gamma"},
            {"spectral": "off"},
            {"generator": "independent"},
            {"interpolation": "bicubic"},
            {"padding": "zeros"},
            {"bound": 0.05},
            {"spread": 0.3},
            {"warp": "tps", "points": 4},
            {"spectral": "gamma", "cells": 2},
            {"order": "spec-spat"},
        ],
    )
    def test_every_setting_changes_the_scenes(self, setting):
        scenes = some_scenes()
        base = {key: value for key, value in setting.items() if key in ("warp", "spectral") and len(setting) == 2}
        with torch.no_grad():
            assert not torch.allclose(self.front("jsst", **base)(scenes), self.front("jsst", **setting)(scenes))

    @pytest.mark.parametrize(
        ("setting", "problem"),
        [
            ({"warp": "off", "spectral": "off"}, "nothing is left to learn"),
            ({"points": 4}, "points changes nothing without warp=tps"),
            ({"cells": 2}, "cells changes nothing without spectral=gamma"),
            ({"warp": "off", "padding": "zeros"}, "padding changes nothing without a warp"),
            ({"warp": "off", "interpolation": "bicubic"}, "interpolation changes nothing without a warp"),
            ({"warp": "off", "order": "spec-spat"}, "order changes nothing without both conversions"),
            ({"spectral": "off", "generator": "independent"}, "generator changes nothing without both conversions"),
            ({"order": "hybrid"}, "set padding=zeros"),
        ],
    )
    def test_settings_that_change_nothing_are_refused(self, setting, problem):
        assert problem in message(lambda: self.front("jsst", **setting))

    def test_a_variant_without_what_makes_it_one_is_refused(self):
        assert "order changes nothing" in message(lambda: self.front("jsst-spec-spat", spectral="off"))

    def test_cards_state_what_the_variant_does(self):
        cards = [entry.method_class.card for name, entry in discover().items() if name.startswith("jsst")]
        same = 3  # TPS and gamma, each in two readings, and the tuned row
        assert len({tuple(card.stated) for card in cards}) == len(cards) - same
