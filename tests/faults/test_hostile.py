"""Hostile input: pickles that run code, names with markup and separators, TOML without end; parsers under fuzz.

Archives that climb out of their folder, bombs and links: ``tests/scenes/test_archive.py``.
"""

from __future__ import annotations

import os
import pickle
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from faults.commands import Commands, Place
from faults.tally import Tally, told
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rsir_bench.base.errors import UserError
from rsir_bench.base.files import seal_of, slug
from rsir_bench.base.toml import DEEPEST, LONGEST
from rsir_bench.method.registry import discover, resolve
from rsir_bench.nn.checkpoints.reading import read_networks
from rsir_bench.protocol import load_protocol, shipped
from rsir_bench.protocol.load import parse_value
from rsir_bench.scenes.card import load_cards, parse_card
from rsir_bench.scenes.distortions import parse_distortions

CARD = (Path(__file__).parents[2] / "datasets" / "ucm.toml").read_text()
FUZZ = [pytest.param(25, marks=pytest.mark.faults), pytest.param(300, marks=pytest.mark.nightly)]


class _Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.proof),)


@pytest.mark.faults
@pytest.mark.nightly
def test_no_pickle_is_run(commands: Commands, reference: Place, tally: Tally, tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    trap = pickle.dumps(_Trap(proof))
    pickle.loads(trap)
    assert proof.is_dir()  # the trap works
    proof.rmdir()
    torch.save({"state_dict": {"a": torch.zeros(1)}, "trap": _Trap(proof)}, tmp_path / "saved.pth")
    (tmp_path / "plain.pth").write_bytes(trap)
    (tmp_path / "named.safetensors").write_bytes(trap)

    def weights(name: str) -> None:
        with pytest.raises(UserError, match="not a readable file of weights"):
            read_networks(tmp_path / name)
        assert not proof.exists()

    for name in ("saved.pth", "plain.pth", "named.safetensors"):
        tally.attempt("pickle that runs code", name, lambda name=name: weights(name))

    def run(pattern: str, write: Callable[[Path], object], removed: list[str]) -> None:
        place = reference.copy(tmp_path / slug(pattern))
        for folder in removed:
            shutil.rmtree(next(place.runs.rglob(folder)))
        path = (
            next(place.runs.rglob(pattern))
            if "checkpoint" not in pattern
            else next(place.runs.rglob("round1")) / pattern
        )
        if "checkpoint" in pattern:
            for rest in ("trained.json", "weights.safetensors"):
                next(place.runs.rglob(rest)).unlink()
        write(path)
        seal_of(path).unlink(missing_ok=True)
        (ended,) = commands(place.job())
        ended.check_told(1)
        assert path.name in ended.err
        assert not proof.exists()

    everything = ["results", "descriptors", "pca"]
    objects = np.array([_Trap(proof)], dtype=object)
    tally.attempt(
        "pickle that runs code",
        "checkpoint",
        lambda: run("checkpoint.pt", lambda path: torch.save(_Trap(proof), path), everything),
    )
    tally.attempt(
        "pickle that runs code",
        "descriptors",
        lambda: run("FC-*.npy", lambda path: np.save(path, objects), ["results"]),
    )
    tally.attempt(
        "pickle that runs code",
        "components",
        lambda: run("*.npz", lambda path: np.savez(path, mean=objects), everything[:2]),
    )


@pytest.mark.faults
@pytest.mark.nightly
def test_names_with_markup_separators_and_line_ends(
    commands: Commands, reference: Place, tally: Tally, tmp_path: Path
) -> None:
    names = [
        "<script>alert(1)</script>",
        "a\nb",
        "up\\..\\x",
        "-rf",
        "%s{0}$(id)",
        "|_&#\\",
        "é\u202e\u0301",
        "x" * 200,
    ]
    names = [name.replace("/", "\u2215") for name in names]

    def check(name: str) -> None:
        place = reference.copy(tmp_path / slug(name), runs=False)
        for folder in ("source", "target"):
            (place.folder / folder / "class0").rename(place.folder / folder / name)
        before = {
            path for path in tmp_path.rglob("*") if place.runs not in path.parents and place.cache not in path.parents
        }
        (ended,) = commands(place.job())
        ended.check_told(0)
        record = next(iter(place.records().values()))
        assert name in record["per_class"]
        for words in (["publish", "runs", "--results", "results"], ["leaderboard", "results", "--out", "tables"]):
            (ended,) = commands(place.verb(*words))
            ended.check_told(0)
        made = {
            path for path in tmp_path.rglob("*") if place.runs not in path.parents and place.cache not in path.parents
        }
        allowed = [place.folder / part for part in ("runs", "results", "tables")]
        assert all(any(path == part or part in path.parents for part in allowed) for path in made - before)

    for name in names:
        tally.attempt("hostile class name", repr(name)[:40], lambda name=name: check(name))
    for text in [*names, "../../up", "/etc/passwd", "a/b", "..", ".", "", "\0"]:
        tally.attempt("hostile file name", repr(text)[:40], lambda text=text: _is_plain(slug(text)))


def _is_plain(name: str) -> None:
    assert "/" not in name
    assert not name.startswith(".")
    assert len(name) <= 80
    assert name.isprintable()


@pytest.mark.faults
@pytest.mark.nightly
def test_methods_with_hostile_cards(commands: Commands, reference: Place, tally: Tally, tmp_path: Path) -> None:
    source = (
        "from rsir_bench.methods.baseline import Baseline\n"
        "from rsir_bench.method import Card\n"
        "class Bad(Baseline):\n"
        "    card = Card.model_validate({{**Baseline.card.model_dump(), 'name': {!r}}})\n"
    )
    for name in ("../up", "a/b", "a\nb", "a\n", "<b>", "A", "", "x;y"):

        def check(name: str = name) -> None:
            (reference.folder / "hostile.py").write_text(source.format(name))
            (ended,) = commands(reference.verb("methods", "--plugin", "hostile.py"))
            ended.check_told(2)
            assert len(ended.err.splitlines()) == 1

        tally.attempt("hostile method name", repr(name), check)
    (reference.folder / "hostile.py").write_text("raise SystemExit(0)")
    tally.attempt(
        "plugin that exits", "", lambda: commands(reference.verb("methods", "--plugin", "hostile.py"))[0].check_told(2)
    )
    (reference.folder / "hostile.py").unlink()


HUGE = {
    "arrays in arrays": "a = " + "[" * 20_000 + "]" * 20_000,
    "tables in tables": "a = " + "{b=" * 10_000 + "1" + "}" * 10_000,
    "a long key": ".".join(["a"] * (LONGEST // 2 - 10)) + " = 1",
    "a long header": "[" + ".".join(["a"] * (LONGEST // 2 - 10)) + "]",
    "a long text": 'title = "' + "x" * 10**7 + '"',
    "many keys": "\n".join(f"k{number} = 1" for number in range(10**6)),
    "a long number": "a = 1" + "0" * 40_000,
    "a long hexadecimal": "a = 0x" + "f" * 40_000,
    "just too deep": "a = " + "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1),
    "no text": "\0\1\2",
}


@pytest.mark.faults
@pytest.mark.nightly
def test_toml_of_absurd_size_and_nesting(tally: Tally, tmp_path: Path) -> None:
    def refuse(text: str, read: Callable[[], object]) -> None:
        started = time.monotonic()
        with pytest.raises(UserError) as caught:
            read()
        assert len(str(caught.value).splitlines()) == 1
        assert len(str(caught.value)) < 2000
        assert time.monotonic() - started < 20

    path = tmp_path / "huge.toml"
    demo = shipped()["demo"].read_text()
    for name, text in HUGE.items():
        path.write_text(text + "\n" + demo)
        tally.attempt(
            "absurd TOML", f"protocol: {name}", lambda text=text: refuse(text, lambda: load_protocol(str(path)))
        )
        tally.attempt(
            "absurd TOML",
            f"card: {name}",
            lambda text=text: refuse(text, lambda: parse_card(text + "\n" + CARD, "ucm.toml")),
        )
        value = text.partition("=")[2]
        override = f"trunk.arguments.depth={value[:100_000]}"
        if name in ("a long hexadecimal", "just too deep"):  # the rest is a long word, taken as one
            tally.attempt("absurd TOML", f"--set: {name}", lambda override=override: parse_value(override))


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=5,
)
paths = st.sampled_from(
    [
        "data",
        "train",
        "trunk",
        "head",
        "describe",
        "score",
        "methods",
        "name",
        "title",
        "data.source",
        "data.targets",
        "data.size",
        "data.bands",
        "train.rate",
        "train.epochs",
        "train.milestones",
        "train.precision",
        "trunk.arguments",
        "trunk.mean",
        "trunk.frozen",
        "trunk.weights",
        "describe.pca",
        "describe.pca_fit",
        "score.queries",
        "score.query_seed",
        "methods.jsst",
        "methods.jsst.rate",
        "data.antialias",
        "data.leaked",
    ]
)


def _as_toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(map(_as_toml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_as_toml(str(key))} = {_as_toml(inner)}" for key, inner in value.items()) + "}"
    return (
        repr(value) if isinstance(value, (int, float)) else '"' + "".join(f"\\U{ord(c):08x}" for c in str(value)) + '"'
    )


def only_user_errors(read: Callable[[], object]) -> None:
    line = told(read)
    assert line != "nothing"
    assert len(line) < 5000


@pytest.mark.parametrize("examples", FUZZ)
def test_parsers_under_fuzz(examples: int, tally: Tally, tmp_path: Path) -> None:
    """Only UserError, ever."""
    quick = settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    found, path = discover(), tmp_path / "fuzzed.toml"
    demo = shipped()["demo"].read_text()

    def protocol(override: str) -> None:
        loaded = load_protocol("demo", [override])
        assert loaded.hash
        for method in ("baseline", "jsst"):
            resolve(method, found, loaded.methods, {})

    def file(text: str) -> None:
        path.write_text(text)
        load_protocol(str(path))

    def fuzz(name: str, strategy: st.SearchStrategy[str], read: Callable[[str], object]) -> None:
        @quick
        @given(strategy)
        def test(text: str) -> None:
            tally.attempt(f"fuzzed {name}", repr(text)[:200], lambda: only_user_errors(lambda: read(text)))

        test()

    def cut(text: str) -> st.SearchStrategy[str]:
        """The text with a piece taken out and another put in."""
        place = st.integers(0, len(text))
        return st.tuples(place, st.integers(0, 40), words).map(
            lambda how: text[: how[0]] + how[2] + text[how[0] + how[1] :]
        )

    fuzz("--set, value", st.tuples(paths, values.map(_as_toml)).map("=".join), protocol)
    fuzz(
        "--set, words", words | st.tuples(paths, words).map("=".join) | st.tuples(words, words).map("=".join), protocol
    )
    fuzz("protocol file", cut(demo), file)
    fuzz("protocol name", words | words.map(lambda word: f"{word}.toml"), load_protocol)
    fuzz("card", cut(CARD), lambda text: parse_card(text, "ucm.toml"))
    pieces = st.sampled_from([*found, "timm:", "@", "+", ":", "none", "test_resnet", "jsst+", "../x", ""])
    names = words | st.lists(pieces, max_size=4).map("".join)
    fuzz("--methods", names, lambda text: resolve(text, found, {}, {}))
    fuzz(
        "--distort",
        words | st.tuples(st.sampled_from(["haze", "all", "blur", ""]), words).map(":".join),
        lambda text: parse_distortions([text]),
    )
    assert load_cards()
