"""Weights are known by their tensors."""

from __future__ import annotations

import hashlib
import struct

import pytest
import timm
import torch
from torch import nn

from rsir_bench.encoders.tensors import identity_of, tensors_digest


def test_the_digest_is_what_the_documentation_says():
    """Line by line, with the bytes of each number packed by hand."""
    network = nn.BatchNorm1d(2)
    network.load_state_dict(
        {
            "weight": torch.tensor([1.5, -2.0]),
            "bias": torch.tensor([0.25, 0.0]),
            "running_mean": torch.tensor([3.0, 4.0]),
            "running_var": torch.tensor([5.0, 6.0]),
            "num_batches_tracked": torch.tensor(7),
        }
    )
    expected = b""
    for name, values in [
        ("bias", (0.25, 0.0)),
        ("running_mean", (3.0, 4.0)),
        ("running_var", (5.0, 6.0)),
        ("weight", (1.5, -2.0)),
    ]:
        expected += f"{name} float32 [2]\n".encode() + struct.pack("<2f", *values)
    assert tensors_digest(network) == hashlib.sha256(expected).hexdigest()


@pytest.mark.parametrize("change", ["value", "name", "shape", "dtype", "buffer"])
def test_every_change_of_a_tensor_is_noticed(change):
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    before = tensors_digest(network)
    if change == "value":
        network[0].weight.data[0, 0] += 1e-6
    elif change == "name":
        network = nn.Sequential(nn.Identity(), *network)
    elif change == "shape":
        network[0].weight.data = network[0].weight.data.reshape(3, 2)
    elif change == "dtype":
        network.half()
    else:
        network[1].running_mean += 1
    assert tensors_digest(network) != before


def test_counts_and_the_layout_in_memory_make_no_difference():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    before = tensors_digest(network)
    network[1].num_batches_tracked += 5
    network.to(memory_format=torch.channels_last)
    assert tensors_digest(network) == before


def test_the_classifier_makes_no_difference():
    torch.manual_seed(0)
    whole = timm.create_model("test_resnet", num_classes=9)
    without = timm.create_model("test_resnet", num_classes=0)
    without.load_state_dict(whole.state_dict(), strict=False)
    whole.reset_classifier(0)
    assert tensors_digest(whole) == tensors_digest(without)


def test_random_weights_have_no_digest_and_half_precision_has_one():
    assert identity_of(nn.Linear(2, 2), "none") == "none"
    network = nn.Linear(2, 2).to(torch.bfloat16)
    assert identity_of(network, "own") == f"tensors:{tensors_digest(network)}"
