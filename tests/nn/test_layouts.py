"""Trunks whose last features are no maps: turned where that is exact, else refused by name."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny import message

from rsir_bench.nn.trunk import NoMapsError, Trunk, load_backbone


def trunk(name: str, size: int = 64, **arguments: Any) -> Trunk:
    return Trunk(load_backbone(name, "none", arguments, 3), 3, size).eval()


@pytest.mark.parametrize(
    ("name", "arguments", "layout"),
    [
        ("test_resnet", {}, "maps"),
        ("swin_tiny_patch4_window7_224", {"img_size": 64, "window_size": 2}, "channels last"),
        ("vit_tiny_patch16_224", {"img_size": 64, "class_token": False, "global_pool": "avg", "depth": 2}, "tokens"),
        ("mixer_s32_224", {"img_size": 64}, "tokens"),
    ],
)
def test_maps_are_channels_first_and_pool_to_the_features(name: str, arguments: dict[str, Any], layout: str) -> None:
    torch.manual_seed(0)
    network = trunk(name, **arguments)
    scenes = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        maps = network.maps(scenes)
        raw = network.backbone.forward_features((scenes - network.mean) / network.std)
        torch.testing.assert_close(network.pool(maps), network(scenes), rtol=0, atol=1e-6)
    assert network.layout == layout
    assert maps.shape == (2, network.channels, 2, 2) or layout == "tokens"
    if layout == "channels last":
        assert torch.equal(maps[1, :, 0, 1], raw[1, 0, 1])
    if layout == "tokens":
        side = maps.shape[3]
        assert torch.equal(maps[1, :, 1, 0], raw[1, side])


@pytest.mark.parametrize(
    ("name", "size", "arguments"),
    [("test_vit", 64, {"img_size": 64}), ("levit_128s", 224, {}), ("xcit_nano_12_p16_224", 64, {})],
)
def test_tokens_of_no_grid_are_refused_by_name(name: str, size: int, arguments: dict[str, Any]) -> None:
    network = trunk(name, size, **arguments)
    assert network(torch.rand(2, 3, size, size)).shape == (2, network.features)
    for ask in (lambda: network.channels, lambda: network.maps(torch.rand(1, 3, size, size))):
        assert "the method needs feature maps, which the trunk does not have" in message(ask)
        with pytest.raises(NoMapsError):
            ask()


def test_a_size_that_is_fixed_names_the_argument() -> None:
    text = message(lambda: trunk("vit_tiny_patch16_224", 32, depth=1))
    assert "set data.size, or where the trunk takes it trunk.arguments={img_size=32}" in text
