"""``search --after``: the order of the scores, with the rank that each scene had before."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import plain
import pytest
from command import InProcess
from conftest import Tiny
from PIL import Image
from test_runs_with_after import BINARY, METHOD

from rsir_bench.base.errors import UserError
from rsir_bench.cli.search import answer_as_json, as_table
from rsir_bench.ranking.after import PostProcessing
from rsir_bench.ranking.after.few import few_distances
from rsir_bench.ranking.after.named import named
from rsir_bench.search.answer import Answer, as_page, search_scenes


def quiet(line: str) -> None:
    """Takes what would go to standard error."""


def answer(tiny: Tiny, image: Path, *after: str, method: str = METHOD, **options: object) -> Answer:
    request = tiny.request(method, targets=[tiny.target], plugins=options.pop("plugins", ()))
    kinds: list[PostProcessing] = [named(one) for one in after]
    return search_scenes(image, request, top=17, after=kinds, log=quiet, **options)  # type: ignore[arg-type]


def scene(tiny: Tiny, name: str) -> Path:
    return Path(tiny.target.removeprefix("folder:")) / name


def test_scenes_come_in_the_order_of_the_definition_with_their_rank_before(tiny: Tiny) -> None:
    found = answer(tiny, scene(tiny, "class1/scene02.png"), "aqe:4,3", "kreciprocal:5,2,0.3", "dba:4,3")
    query, unit = 8, plain.unit(found.gallery.descriptors)
    expected = {
        "aqe:4,3": plain.expanded_queries(unit, 4, 3),
        "kreciprocal:5,2,0.3": -plain.k_reciprocal(2 - 2 * unit @ unit.T, 5, 2, 0.3),
        "dba:4,3": plain.augmented(unit, 4, 3, both=True),
    }
    before = [hit.scene for hit in found.hits[1:]]
    for one in found.after:
        similarities = expected[str(one.processing)][query].copy()
        similarities[query] = -np.inf
        assert one.hits[0].itself
        assert (one.hits[0].scene, one.before[0]) == (query, 0)
        assert [hit.scene for hit in one.hits[1:]] == np.argsort(-similarities)[:17].tolist()
        assert one.before[1:] == [before.index(hit.scene) + 1 for hit in one.hits[1:]]
        values = [hit.value for hit in one.hits[1:]]
        assert values == sorted(values, reverse=True)


def test_an_image_from_elsewhere_joins_the_set(tiny: Tiny) -> None:
    image = tiny.folder / "elsewhere.bmp"
    Image.open(scene(tiny, "class1/scene02.png")).save(image, "bmp")
    found = answer(tiny, image, "kreciprocal:5,2,0.3", "aqe:4,3")
    rows = np.concatenate([found.gallery.descriptors, found.gallery.descriptors[8:9]])
    unit = plain.unit(rows)
    distances = plain.k_reciprocal(2 - 2 * unit @ unit.T, 5, 2, 0.3)[18, :18]
    reranked, expanded = found.after
    assert [distances[hit.scene] for hit in reranked.hits] == pytest.approx(np.sort(distances)[:17], abs=1e-6)
    assert expanded.hits[0].scene == 8
    assert not expanded.hits[0].itself
    assert expanded.before[0] == 1


def test_codes_are_re_ranked_and_not_expanded(tiny: Tiny) -> None:
    plugin = tiny.folder / "signs.py"
    plugin.write_text(BINARY)
    options = {"method": "signs", "plugins": [plugin], "row": "Bits"}
    found = answer(tiny, scene(tiny, "class0/scene00.png"), "kreciprocal:5,2,0.3", **options)
    assert found.gallery.space.binary
    assert [hit.scene for hit in found.after[0].hits] != [hit.scene for hit in found.hits]
    with pytest.raises(UserError, match="--after aqe:4,3: row Bits is a binary row; aqe works on real values"):
        answer(tiny, scene(tiny, "class0/scene00.png"), "aqe:4,3", **options)


def test_what_does_not_fit_is_one_line(tiny: Tiny) -> None:
    image = scene(tiny, "class0/scene00.png")
    with pytest.raises(UserError, match="--after aqe:4,3: post-processing searches exactly; omit --ann or --after"):
        answer(tiny, image, "aqe:4,3", ann="hnsw")
    with pytest.raises(UserError, match="after aqe:18,3: 18 neighbours need 19 scenes, and the gallery has 18"):
        answer(tiny, image, "aqe:18,3")


def test_text_json_and_page_show_before_and_after(tiny: Tiny, cli: InProcess) -> None:
    found = answer(tiny, scene(tiny, "class1/scene02.png"), "kreciprocal:5,2,0.3")
    text = as_table(found)
    first, second, third = text.split("\n\n")
    assert third.startswith("after k-reciprocal 5,2,0.3 (transductive)\nrank  before  ")
    assert len(third.splitlines()) == 1 + 2 + 18
    assert "before" not in first + second
    data = answer_as_json(found)
    assert [hit["before"] for hit in data["after"]["kreciprocal:5,2,0.3"]] == found.after[0].before
    page = as_page(found)
    assert "<h2>After k-reciprocal 5,2,0.3 (transductive)</h2>" in page
    assert page.count("was ") == 17
    words = ["--target", tiny.target, "--method", METHOD, "--protocol", tiny.protocol, "--out", tiny.folder / "runs"]
    ended = cli("search", scene(tiny, "class1/scene02.png"), *words, "--after", "aqe:4,3", "--json")
    assert (ended.code, list(json.loads(ended.out)["after"])) == (0, ["aqe:4,3"])
    assert json.loads(cli("search", scene(tiny, "class1/scene02.png"), *words, "--json").out)["after"] == {}


@pytest.mark.parametrize("similarity", ["pearson", "cosine", "inner product", "euclidean"])
def test_a_few_plain_distances_order_as_scores_do(similarity: str) -> None:
    chance = np.random.default_rng(0)
    gallery, queries = chance.normal(size=(40, 6)), chance.normal(size=(3, 6))
    found = few_distances(queries, gallery, np.full(3, -1), similarity)
    expected = {
        "pearson": -plain.unit(queries) @ plain.unit(gallery).T,
        "cosine": -plain.unit(queries, centred=False) @ plain.unit(gallery, centred=False).T,
        "inner product": -queries @ gallery.T,
        "euclidean": ((queries[:, None] - gallery[None]) ** 2).sum(axis=2),
    }[similarity]
    assert (np.argsort(found) == np.argsort(expected)).all()
