"""What every shipped method computes: ``methods/golden.json`` pins its code, its losses and its descriptors.

``python tests/methods/golden.py`` writes the file again. Numbers may change only together with a version: the method's
(``version`` on its card), or with what ``versions`` returns: versions of the harness, and the material of the checks.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rsir_bench.conformance.harness import SIZE, SIZE_OF_OWN_TRUNK, THIN, Bench, Training, descriptors, pixels_of
from rsir_bench.encoders import EncoderMethod
from rsir_bench.method.code.code_files import code_of, digest_of
from rsir_bench.method.registry import RegisteredMethod, discover, find, least_schedules, resolve
from rsir_bench.ranking import METRIC_VERSION
from rsir_bench.runs.keys import DESCRIBING_VERSION, TRAINING_VERSION
from rsir_bench.scenes.distortions import DISTORTION_VERSION

FILE = Path(__file__).resolve().parents[2] / "methods" / "golden.json"
EPOCHS, SCENES, VALUES = 1, 4, 6
ARGUMENTS = {"timm": "timm:test_resnet@none"}
HARNESS = "the harness"


def versions() -> dict[str, Any]:
    """The version numbers of the harness, and the scenes and trunks that it gives to a method under check."""
    return {
        "training": TRAINING_VERSION,
        "describing": DESCRIBING_VERSION,
        "metrics": METRIC_VERSION,
        "distortions": DISTORTION_VERSION,
        "sizes": [SIZE, SIZE_OF_OWN_TRUNK],
        "trunks": THIN,
    }


def numbers(entry: RegisteredMethod, found: dict[str, RegisteredMethod]) -> dict[str, Any]:
    """The losses of a short training, and the first values of the descriptors that it ends with.

    None of an encoder of an optional library: it computes what that library does (``tests/encoders``).
    """
    if issubclass(entry.method_class, EncoderMethod) and not entry.method_class.sees_protocols_scenes:
        return {"losses": [], "descriptors": {}}
    named = resolve(ARGUMENTS.get(entry.name, entry.name), found, least_schedules(found), {})
    bench = Bench(find(entry.name, found), named)
    network, losses = bench.build(), []
    if named.card.trained:
        earlier = bench.build(seed=1).eval() if named.method_class.rounds > 1 else None
        scenes = network.training_set(named.method_class.rounds, earlier, bench.draw(), bench.pool())
        training = Training(network, scenes)
        losses = [training.epoch(number) for number in range(EPOCHS)]
    given = descriptors(network, pixels_of(bench.draw())[:SCENES])
    return {
        "losses": [float(f"{loss:.6g}") for loss in losses],
        "descriptors": {
            name: [float(f"{value:.6g}") for value in np.asarray(values[0])[:VALUES]]
            for name, values in sorted(given.items())
        },
    }


def pin(entry: RegisteredMethod, found: dict[str, RegisteredMethod]) -> dict[str, Any]:
    """All that is pinned of a method."""
    code = digest_of(code_of(entry.source))
    return {"version": entry.method_class.card.version, "code": code, **numbers(entry, found)}


def differences(pinned: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """The losses and descriptors that differ by more than other processors and versions of torch make them."""
    both = pinned["descriptors"] | {"losses": pinned["losses"]}, now["descriptors"] | {"losses": now["losses"]}
    for name in both[0].keys() | both[1].keys():
        before, after = (each.get(name) for each in both)
        same = before is not None and after is not None and len(before) == len(after)
        if not same or not np.allclose(before, after, rtol=1e-2, atol=1e-2 * max(map(abs, before), default=0)):
            yield f"{name}: {before} before, {after} now"


def main() -> None:
    """Write the file, unless numbers have changed under the same versions."""
    before = json.loads(FILE.read_text()) if FILE.is_file() else {}
    found = discover()
    now = {name: pin(entry, found) for name, entry in found.items()}
    if before.get(HARNESS) == versions():
        for name in before.keys() & now.keys():
            moved = list(differences(before[name], now[name]))
            if moved and before[name]["version"] == now[name]["version"]:
                sys.exit(f"{name}: its numbers have changed, its version has not; raise it: {'; '.join(moved)}")
    FILE.write_text(json.dumps({HARNESS: versions(), **now}, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
