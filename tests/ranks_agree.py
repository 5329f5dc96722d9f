"""Run by torchrun on two ranks: the gradients of each method's loss, split over the ranks and in one process.

Writes {method: [largest difference, largest gradient, loss, loss in one process]} as JSON to the file it is given.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tiny import tiny_method, tiny_setup
from torch import Tensor

from rsir_bench.method import Method
from rsir_bench.nn import collectives
from rsir_bench.scenes.batches import Scenes
from rsir_bench.training import distributed
from rsir_bench.training.device import make_fabric
from rsir_bench.training.loop import _loader, loss_terms, make_optimizer

METHODS = [
    *("baseline", "baseline-aug", "cbp", "ldcnn", "nts-net", "self-training"),
    *("t-nlnn", "ride", "milan", "dfla", "dhn", "jsst"),
]
SCENES = 7  # four and three


def gradients(method: Method, index: Tensor) -> tuple[float, dict[str, Tensor]]:
    """The gradients of one batch, in evaluation mode: learning batch norm needs CUDA, and dropout is random."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), np.uint8)
    scenes = Scenes.of(pixels, np.arange(20) % 3)
    fabric = make_fabric("cpu", "32")
    recipe = method.recipe(method.setup.protocol.train)
    wrapped, _ = fabric.setup(method, make_optimizer(method, recipe))
    wrapped.mark_forward_method("loss")
    wrapped.eval()
    torch.manual_seed(collectives.rank())  # triplets by chance must still be the same everywhere
    chance = torch.Generator().manual_seed(0)
    draw = partial(scenes.batch, device=torch.device("cpu"))
    (part,) = _loader(method, draw, [index], recipe, chance)
    total = loss_terms(wrapped, part.batch, fabric)[1] * part.weight
    fabric.backward(total)
    loss = collectives.all_reduce_sum(total.detach()) / collectives.ranks()
    found = {name: p.grad.clone() for name, p in method.named_parameters() if p.grad is not None}
    return loss.item(), found


def main() -> None:
    index = torch.randperm(20, generator=torch.Generator().manual_seed(1))[:SCENES]
    results = {}
    with distributed.process_group("cpu") as rank:
        for name in METHODS:
            with distributed.collective(name):
                loss, split = gradients(tiny_method(name, tiny_setup()), index)
            if rank == 0:
                expected, whole = gradients(tiny_method(name, tiny_setup()), index)
                assert set(split) == set(whole)
                off = max((split[key] - whole[key]).abs().max().item() for key in whole)
                results[name] = [off, max(value.abs().max().item() for value in whole.values()), loss, expected]
        if rank:
            assert not list(distributed.orders())
        else:
            Path(sys.argv[1]).write_text(json.dumps(results))


if __name__ == "__main__":
    main()
