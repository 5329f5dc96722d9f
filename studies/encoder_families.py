"""Describe a scene with the smallest model of every family of timm that has pretrained weights, by its name alone.

    python studies/encoder_families.py                 # all of them, with random weights: some minutes on one core
    python studies/encoder_families.py swin_transformer levit

Smallest is the one whose parameters times pixels are the least, timm's own test networks aside. Each is built as
``rsir-bench run --protocol frozen --methods timm:NAME@none`` builds it: with the input size, the normalisation and the
pooling of its weights. The table goes to standard output; a line for each family that fails, with its reason, follows.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

import torch
from tabulate import tabulate

from rsir_bench.base.errors import UserError, one_line, run_and_exit
from rsir_bench.base.progress import log
from rsir_bench.encoders import encoder_facts
from rsir_bench.method import Setup
from rsir_bench.method.registry import discover, resolve
from rsir_bench.protocol import load_protocol

TEST_NETWORKS = "test_"


class Tried(NamedTuple):
    """The smallest model of a family, and what came of it.

    Attributes:
        family: The module of timm.
        model: Its name.
        parameters: Of the model without a classifier.
        input: What it sees, in words.
        pooling: How its weights pool.
        features: The length of its descriptor; 0 where it failed.
        seconds: Of processor time to build it and to describe one scene.
        reason: Why it failed; empty otherwise.
    """

    family: str
    model: str
    parameters: int = 0
    input: str = ""
    pooling: str = ""
    features: int = 0
    seconds: float = 0.0
    reason: str = ""


def families() -> dict[str, list[str]]:
    """Return the models with pretrained weights of each module of timm, without tags; a module without any is none."""
    timm: Any = import_module("timm")
    found = {name: timm.list_models(module=name, pretrained=True) for name in timm.list_modules()}
    plain = {name: sorted({tagged.partition(".")[0] for tagged in models}) for name, models in found.items()}
    kept = {name: [model for model in models if not model.startswith(TEST_NETWORKS)] for name, models in plain.items()}
    return {name: models for name, models in kept.items() if models}


def smallest(models: Sequence[str]) -> str:
    """Return the model with the fewest parameters times pixels; models are drawn up without their memory.

    Raises:
        UserError: None of them can be drawn up.
    """
    timm: Any = import_module("timm")
    sizes: dict[str, int] = {}
    for name in models:
        try:
            with torch.device("meta"):
                network = timm.create_model(name, num_classes=0)
        except (RuntimeError, NotImplementedError, TypeError, ValueError):  # some need numbers to be built at all
            continue
        _, height, width = network.pretrained_cfg["input_size"]
        sizes[name] = sum(tensor.numel() for tensor in network.parameters()) * height * width
    if not sizes:
        raise UserError(f"none of {', '.join(models)} can be drawn up")
    return min(sizes, key=lambda name: (sizes[name], name))


def try_model(family: str, model: str) -> Tried:
    """Describe one scene with a model, built by its name with random weights."""
    started = time.process_time()
    method = resolve(f"timm:{model}@none", discover(), {}, {})
    try:
        facts = encoder_facts(method, ())
        size = facts.input.size
        torch.manual_seed(0)
        network = method.build(Setup(1, 3, 1, size, load_protocol("frozen"))).eval()
        with torch.inference_mode():
            (described,) = network.describe(torch.rand(1, 3, size, size)).values()
    except UserError as error:
        return Tried(family, model, reason=one_line(error))
    if not bool(described.isfinite().all()):
        return Tried(family, model, reason="its features are not finite")
    return Tried(
        family,
        model,
        parameters=sum(tensor.numel() for tensor in network.parameters()),
        input=f"{size} px {facts.input.interpolation}, {facts.input.fit} {facts.input.crop:g}",
        pooling=facts.pooling,
        features=described.shape[1],
        seconds=time.process_time() - started,
    )


def main() -> None:
    """Try the families that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="*", help="modules of timm; all with pretrained weights by default")
    options = parser.parse_args()
    known = families()
    if unknown := [name for name in options.families if name not in known]:
        raise UserError(f"{unknown[0]}: no family of timm with pretrained weights; known: {', '.join(known)}")
    tried = []
    for family in options.families or known:
        tried.append(try_model(family, smallest(known[family])))
        log(f"{tried[-1].family}: {tried[-1].model} {tried[-1].reason or 'describes a scene'}")
    passed = [one for one in tried if not one.reason]
    rows = [
        [*one[:2], f"{one.parameters / 1e6:.1f}", one.input, one.pooling, one.features, f"{one.seconds:.1f}"]
        for one in passed
    ]
    headers = ["family", "smallest model", "parameters (M)", "input", "pooling", "features", "CPU s"]
    print(tabulate(rows, headers, disable_numparse=True))
    print(f"\n{len(passed)} of {len(tried)} families describe a scene by name alone")
    for one in tried:
        if one.reason:
            print(f"{one.family}: {one.model}: {one.reason}")


if __name__ == "__main__":
    run_and_exit(main, "encoder_families")
