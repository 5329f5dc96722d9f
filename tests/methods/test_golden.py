"""Numbers of shipped methods change only together with a version."""

from __future__ import annotations

import json

import pytest
from golden import FILE, HARNESS, differences, numbers, versions

from rsir_bench.method.code.code_files import code_of
from rsir_bench.method.registry import discover, own_code

PINNED = json.loads(FILE.read_text())
FOUND = discover()
AGAIN = "python tests/methods/golden.py"


def test_every_shipped_method_is_pinned_with_the_versions_of_the_harness() -> None:
    assert PINNED.keys() - {HARNESS} == FOUND.keys(), AGAIN
    assert PINNED[HARNESS] == versions(), f"a version was raised: {AGAIN}"


@pytest.mark.parametrize("name", FOUND)
def test_code_losses_and_descriptors_are_the_pinned_ones(name: str) -> None:
    entry = FOUND[name]
    assert not own_code({name: code_of(entry.source)}), (
        f"{name}: its code has changed; raise its version if its numbers have: {AGAIN}"
    )
    assert PINNED[name]["version"] == entry.method_class.card.version, AGAIN
    assert list(differences(PINNED[name], numbers(entry, FOUND))) == [], "raise the version of the method or harness"


def test_other_numbers_are_noticed() -> None:
    name = "baseline"
    for key in ("losses", "descriptors"):
        moved = json.loads(json.dumps(PINNED[name]))
        values = moved[key] if key == "losses" else next(iter(moved[key].values()))
        values[0] += 0.03 * max(map(abs, values))
        assert list(differences(PINNED[name], moved))
