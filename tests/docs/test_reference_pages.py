"""The pages that the documentation makes from cards and code, without Sphinx."""

from __future__ import annotations

import doctest
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from conftest import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "docs"))
import check_site
import pages
from pages import commands, datasets, distortions, links, markdown, methods, metrics, protocols

from rsir_bench.method.registry import discover
from rsir_bench.protocol import shipped
from rsir_bench.ranking.metrics.formulas import FORMULAS
from rsir_bench.scenes.card import load_cards
from rsir_bench.scenes.distortions import KINDS


@pytest.fixture(scope="module")
def reference() -> dict[str, str]:
    return pages.reference()


def test_every_method_dataset_and_protocol_has_a_page(reference: dict[str, str]) -> None:
    wanted = [("methods", discover()), ("datasets", load_cards()), ("protocols", shipped())]
    for kind, names in wanted:
        found = {Path(path).stem for path in reference if path.startswith(f"{kind}/")}
        assert found == set(names)
        assert all(f"({kind}/{name}.md)" in reference[f"{kind}.md"] for name in names)


def test_a_method_page_keeps_what_is_stated_apart_from_what_is_chosen() -> None:
    page = methods.pages()["methods/se.md"]
    stated, chosen = page.partition("## Stated in the paper")[2].split("## Chosen here")
    assert "r = 16" in stated
    assert "r = 16" not in chosen.partition("## Settings")[0]
    assert "setting gate" in chosen
    assert re.search(r"\| `gate` \| Initial value of the inserted modules.* \| `0.9` \|", page)
    assert "class Se(HeadMethod" in page


def test_a_dataset_page_has_every_class_and_how_to_get_it() -> None:
    page = datasets.pages()["datasets/ucm.md"]
    assert page.count("| 100 |") == 21
    assert "| tennis court | 100 |" in page
    assert "rsir-bench datasets download ucm" in page
    assert "datasets download" not in datasets.pages()["datasets/demo-view.md"]  # it is drawn


def test_the_protocols_page_has_every_setting_with_its_default() -> None:
    page = protocols.pages()["protocols.md"]
    assert re.search(r"\| `train.rate` \| float \| The highest learning rate.* \| required \|", page)
    assert re.search(r"\| `describe.pca` \| int \| .* \| `128` \|", page)
    assert "| `score.queries` | 'all', 'fifth' |" in page


def test_every_metric_has_a_definition_and_an_example_that_is_run() -> None:
    page = metrics.page()
    sections = {section.partition("\n")[0]: section for section in page.split("\n### ")[1:]}
    titled = {name for title in sections for name in title.split(", ")}
    assert set(FORMULAS) <= titled
    assert all(">>> " in sections[title] for title in sections if set(title.split(", ")) & set(FORMULAS))
    assert "AP = (1/R) sum\\_i P(i) rel\\_i over the whole ranking" in sections["mAP"]
    assert "```text\n+ - + - -: (1/1 + 2/3) / 2.\n+ (+ -) - -:" in sections["mAP"]
    assert "WAP" in page


def test_every_verb_and_option_is_on_the_page_of_commands() -> None:
    page = commands.page()
    for heading in (
        "## rsir-bench run",
        "## rsir-bench methods",
        "### rsir-bench methods check",
        "## rsir-bench drift",
    ):
        assert f"\n{heading}\n" in page
    run = page.split("\n## rsir-bench run\n")[1].split("\n## ")[0]
    assert re.search(r"\| `--methods` \| .* \| required \|", run)
    assert re.search(r"\| `--data-root` \| .*`RSIR_BENCH_DATA`.* \| `data` \|", run)
    assert "```text\nrsir-bench run --protocol demo" in run  # examples keep their lines
    assert "--help" not in run
    assert "\b" not in page


def test_every_distortion_has_its_five_strengths() -> None:
    page = distortions.page()
    for name, kind in KINDS.items():
        line = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        assert line.endswith(f"| {' | '.join(map(str, kind.strengths))} |")


def test_every_published_table_is_on_the_site(reference: dict[str, str]) -> None:
    tables = {path.relative_to(REPOSITORY / "leaderboards") for path in (REPOSITORY / "leaderboards").glob("*/*.md")}
    assert tables
    for table in tables:
        assert reference[f"boards/{table.as_posix()}"] == (REPOSITORY / "leaderboards" / table).read_text()
        assert f"\n{table.parent.name}/{table.stem}\n" in reference[f"boards/{table.parent.name}.md"]


@pytest.mark.parametrize(
    ("page", "link", "leads"),
    [
        ("reference/boards/README", "../docs/findings.md", "../../findings.md"),
        ("findings", "../leaderboards/README.md", "reference/boards/README.md"),
        ("reference/contributing", "docs/architecture.md", "../architecture.md"),
        ("scale", "../CONTRIBUTING.md", "reference/contributing.md"),
        ("reference/methods/se", "../../add_method.md", "../../add_method.md"),
        ("tutorials/own_scenes", "../own_scenes.md", "../own_scenes.md"),
        ("index", "tutorials/index.md", "tutorials/index.md"),
        ("export", "https://example.org/a.md", "https://example.org/a.md"),
    ],
)
def test_links_of_the_repository_lead_to_pages_of_the_site(page: str, link: str, leads: str) -> None:
    assert links.adapted(f"see [it]({link}).", page) == f"see [it]({leads})."


def test_the_table_of_contents_lists_every_page() -> None:
    listed = set((REPOSITORY / "docs" / "index.md").read_text().split())
    assert {page.stem for page in (REPOSITORY / "docs").glob("*.md")} - {"index"} <= listed, "add it to docs/index.md"


def test_a_flowchart_becomes_a_line_of_steps() -> None:
    chart = "```mermaid\nflowchart LR\n  a --> b --> c\n```"
    assert links.adapted(chart, "architecture") == '<p class="steps"><span>a</span> <span>b</span> <span>c</span></p>'


def test_pages_that_are_gone_are_removed_and_unchanged_ones_keep_their_time(tmp_path: Path) -> None:
    pages.write(tmp_path, {"a.md": "a", "b/c.md": "c"})
    before = (tmp_path / "a.md").stat().st_mtime_ns
    pages.write(tmp_path, {"a.md": "a", "d.md": "d"})
    assert (tmp_path / "a.md").stat().st_mtime_ns == before
    assert sorted(path.name for path in tmp_path.rglob("*.md")) == ["a.md", "d.md"]


def test_prose_of_docstrings_is_no_markdown() -> None:
    assert markdown.prose("sum_i *x* of ``a_b`` and\n <c>") == r"sum\_i \*x\* of `a_b` and \<c>"
    assert markdown.prose("no code") == "no code"


@pytest.mark.parametrize("module", [markdown, methods])
def test_the_examples_are_right(module: ModuleType) -> None:
    outcome = doctest.testmod(module)
    assert outcome.attempted
    assert not outcome.failed


def site(folder: Path, page: str, terms: str = '{"ap": 0, "10h": [0, 1], "add": 1, "method": 1}') -> list[str]:
    """The problems of a site of one page."""
    folder.mkdir()
    (folder / "index.html").write_text(page)
    (folder / "searchindex.js").write_text(f'Search.setIndex({{"terms": {terms}, "titleterms": {{}}}})')
    return list(check_site.problems(folder))


def test_the_check_finds_dead_links_outside_files_and_missing_words(tmp_path: Path) -> None:
    good = '<p id="here"></p><a href="#here">a</a><a href="index.html#here">b</a><a href="https://example.org">c</a>'
    assert site(tmp_path / "good", good) == []
    dead = (
        '<a href="#there">a</a><a href="gone.html">b</a><img src="gone.png"><script src="https://x.org/a.js"></script>'
    )
    assert len(site(tmp_path / "dead", dead)) == 4
    assert site(tmp_path / "words", "", '{"ap": 0, "10h": 1, "add": 1, "method": 1}') == [
        "search: 'AP@10h' is on no page"
    ]
