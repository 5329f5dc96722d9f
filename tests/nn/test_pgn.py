from __future__ import annotations

import pytest
import torch
from tiny import some_scenes

from rsir_bench.nn.transformation import ParameterNetwork
from rsir_bench.nn.warp import IDENTITY


def identity(bands: int) -> tuple[float, ...]:
    return (*IDENTITY, *[1.0] * bands, 0.0)


def network(bands: int = 3, spread: float = 1e-3, seed: int = 0) -> ParameterNetwork:
    torch.manual_seed(seed)
    return ParameterNetwork(bands, identity(bands), spread)


@pytest.mark.parametrize("bands", [3, 13])
def test_light(bands):
    assert sum(parameter.numel() for parameter in network(bands).parameters()) < 500_000


def test_size_named_in_its_description():
    assert round(sum(parameter.numel() for parameter in network().parameters()) / 1e6, 2) == 0.14


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("bands", [3, 13])
def test_starts_next_to_the_identity(bands, training):
    net = network(bands).train(training)
    theta = net(some_scenes(6, bands))
    assert theta.shape == (6, 6 + bands + 1)
    distance = (theta - torch.tensor(identity(bands))).abs().max()
    hidden = net.features(some_scenes(6, bands) - 0.5)
    # The weights' deviation times the length of what they weigh, five standard deviations wide.
    assert 0 < distance <= 5 * 1e-3 * hidden.norm(dim=1).max()


def test_without_spread_exactly_the_identity():
    theta = network(spread=0.0)(some_scenes())
    assert torch.equal(theta, torch.tensor(identity(3)).expand(4, -1))


def test_spread_is_that_of_the_regression_weights():
    assert network(spread=0.05).regression.weight.std().item() == pytest.approx(0.05, rel=0.15)


def test_gradient_reaches_every_parameter_in_the_first_step():
    net = network()
    net(some_scenes(8)).square().sum().backward()
    still = [name for name, parameter in net.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert still == []


def test_parameters_depend_on_the_scene():
    net = network(spread=0.1).eval()
    theta = net(some_scenes(6))
    assert (theta.std(0) > 1e-4).all()


def test_in_evaluation_a_scene_gets_the_same_parameters_in_any_company():
    net = network(spread=0.1).eval()
    scenes = some_scenes(6)
    torch.testing.assert_close(net(scenes)[2:3], net(scenes[2:3]))


@pytest.mark.parametrize("size", [16, 33, 96])
def test_any_size_of_scene(size):
    assert network()(some_scenes(2, size=size)).shape == (2, 10)


def test_parameters_are_not_rounded_in_mixed_precision():
    net = network().eval()
    scenes = some_scenes(6)
    with torch.autocast("cpu", torch.bfloat16):
        theta = net(scenes)
    assert theta.dtype == torch.float32
    assert (theta - net(scenes)).abs().max() < 1e-3
