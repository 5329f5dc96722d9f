"""Run by torchrun on two ranks: how a method is prepared for them, and what is refused.

The first rank writes {what: the error's line, or a list of names} as JSON to the file it is given.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from tiny import message, tiny_method, tiny_setup
from torch import Tensor

from rsir_bench.method import Method
from rsir_bench.training import distributed

CPU = torch.device("cpu")
BATCHES = (torch.arange(4), torch.arange(3))
FROZEN = 'trunk.frozen=["conv1", "bn1", "layer1", "layer2", "layer3", "layer4"]'


def method(*overrides: str) -> Method:
    return tiny_method("baseline", tiny_setup(*overrides)).train()


def refused(made: Method, batches: Sequence[Tensor], how: str | None) -> str:
    return message(lambda: distributed.split_method(made, batches, how, CPU))


def prepared() -> dict[str, object]:
    """Only on CUDA can ranks share what a batch norm sees."""
    distributed.split_method(method(FROZEN), BATCHES, "mean", CPU)
    some = method('trunk.frozen=["conv1", "bn1"]')
    before = set(some.state_dict())
    distributed.split_method(some, BATCHES, "mean", torch.device("cuda"))
    norms = {name: part for name, part in some.trunk.backbone.named_modules() if hasattr(part, "running_mean")}
    return {
        "says nothing": refused(method(), BATCHES, None),
        "too few scenes": refused(method(), [torch.arange(4), torch.arange(1)], "mean"),
        "batch norm that learns": refused(method(), BATCHES, "mean"),
        "frozen": sorted(name for name in norms if name.startswith(("conv1", "bn1"))),
        "left": sorted(name for name, part in norms.items() if not isinstance(part, torch.nn.SyncBatchNorm)),
        "norms": sorted(norms),
        "other state": sorted(before ^ set(some.state_dict())),
    }


def main() -> None:
    with distributed.process_group("cpu") as rank:
        with distributed.collective("preparing"):
            found = prepared()
        if rank:
            assert not list(distributed.orders())
        else:
            Path(sys.argv[1]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
