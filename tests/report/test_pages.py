"""Pages from records: what they show, what they say if nothing was found, and that no name is ever run as code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from made import protocol_part, record, result, small

from rsir_bench.method.registry import discover
from rsir_bench.records.schema import EffectPart, Record
from rsir_bench.report.board_view import views
from rsir_bench.report.pages import Content, dataset_pages, method_pages, write_pages
from rsir_bench.report.renderer import Frame, Link
from rsir_bench.report.tiles import Scenes
from rsir_bench.scenes.card import load_cards


def content(records: list[Record], links: list[Link] | None = None) -> Content:
    found = views(records)
    none = {(view.name, target.name): [] for view in found for target in view.targets}
    return Content(found, none, {view.name: {} for view in found}, discover(), load_cards(), Scenes(links or []))


def written(folder: Path, records: list[Record], links: list[Link] | None = None) -> dict[str, str]:
    frame = Frame(folder)
    write_pages(frame, content(records, links))
    return {page.relative_to(folder).as_posix(): page.read_text() for page in frame.pages}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return written(tmp_path_factory.mktemp("report"), small())


def test_every_method_and_dataset_has_a_page(pages: dict[str, str]) -> None:
    assert {f"methods/{name}.html" for name in discover()} <= pages.keys()
    assert {f"datasets/{name}.html" for name in load_cards()} <= pages.keys()
    assert {"index.html", "boards/ucm-mobile.html", "methods/index.html", "datasets/index.html"} <= pages.keys()


def test_a_method_shows_card_results_and_commands(pages: dict[str, str]) -> None:
    page = pages["methods/jsst.html"]
    card = discover()["jsst"].method_class.card
    for text in [card.paper, *card.stated, *card.choices]:
        assert text.replace("&", "&amp;").replace("'", "&#39;") in page
    assert "0.4000" in page
    assert "0.6000" in page
    assert "Parameters (M) 3.00 (1.500 times the reference)" in page
    assert "--methods jsst" in page
    assert "--seeds 0,1" in page
    assert "--methods baseline" not in page


def test_a_dataset_shows_card_and_results(pages: dict[str, str]) -> None:
    page, card = pages["datasets/rsscn7.html"], load_cards()["rsscn7"]
    for text in [card.citation, card.licence, card.source, *card.defects, *(entry.name for entry in card.classes)]:
        assert text.replace("&", "&amp;").replace("'", "&#39;") in page
    assert "0.5100" in page


def test_what_is_not_there_is_said(pages: dict[str, str]) -> None:
    assert "None in these records." in pages["methods/ride.html"]
    assert "It is a target of none of these boards." in pages["datasets/nwpu.html"]
    assert "Trained on in" in pages["datasets/ucm.html"]
    for words in ("No figure by class", "No figure of costs", "No figure of seeds", "No figure of distortions"):
        assert words in pages["boards/ucm-mobile.html"]  # the fixture draws none


def test_the_page_of_a_front_end_says_what_it_does(tmp_path: Path, pages: dict[str, str]) -> None:
    effect = EffectPart(metrics={"mAP": 0.55, "P@5": 0.8}, displacement=1.25, change=0.031)
    made = [one if one.method.name == "baseline" else one.model_copy(update={"effect": effect}) for one in small()]
    page = written(tmp_path, made)["methods/jsst.html"]
    said = re.sub(r"<[^>]*>|\s+", " ", page.partition("What its front end does")[2].partition("</table>")[0])
    assert " ".join(said.split()).startswith(
        "Target Row Seeds mAP mAP off Δ P@5 P@5 off Δ Moved (px) Changed "
        "rsscn7 FC 2 0.6000 0.5500 +0.0500 0.8500 0.8000 +0.0500 1.25 0.0310 "
        "rsscn7 PCA 2 0.4000 0.5500 \N{MINUS SIGN}0.1500"
    )
    assert not any("What its front end does" in text for text in pages.values())


def test_a_method_without_code_and_a_folder_without_card_have_pages(tmp_path: Path) -> None:
    pages = written(tmp_path, [result("gone", 0.8, target="folder:mine")])
    assert "the code of this method is not installed" in pages["methods/gone.html"]
    assert "a folder of scenes that only its records know" in next(
        text for name, text in pages.items() if name.startswith("datasets/folder")
    )


NOT_THE_PAPERS = re.compile("not comparable with the paper", re.IGNORECASE)


def test_only_the_papers_boards_show_its_values(tmp_path: Path, pages: dict[str, str]) -> None:
    for page in ("index.html", "boards/ucm-mobile.html", "methods/jsst.html", "datasets/rsscn7.html"):
        assert NOT_THE_PAPERS.search(pages[page])  # ucm-mobile trains on a dataset that the paper trains on
        assert 'class="number paper"' not in pages[page]
    assert "Not comparable with the paper: protocol ucm-mobile is not patternnet" in pages["index.html"]
    papers = written(tmp_path, [record("baseline", paper=None, protocol=protocol_part(), target="ucm")])
    assert "with the paper's values" in papers["index.html"]
    assert not NOT_THE_PAPERS.search(papers["index.html"])
    assert papers["index.html"].count('class="number paper"') > 100
    assert "paper &#34;mAP&#34;" in papers["index.html"]  # what it prints as mAP stands beside AP@10h


@pytest.mark.parametrize(
    ("protocol", "overrides", "said"),
    [("aid-lite", [], False), ("demo", [], False), ("patternnet", ["train.epochs=1"], True)],
)
def test_the_paper_is_named_only_where_values_could_be_taken_for_its(
    tmp_path: Path, protocol: str, overrides: list[str], said: bool
) -> None:
    part = protocol_part(protocol)
    if overrides:
        part = part.model_copy(
            update={"overrides": overrides, "paper": False, "modified": True, "board": f"{part.board}~12345678"}
        )
    pages = written(tmp_path, [result("baseline", 0.8, protocol=part, target="aid")])
    for name in ("index.html", f"boards/{part.board}.html", "methods/baseline.html", "datasets/aid.html"):
        assert bool(NOT_THE_PAPERS.search(pages[name])) == said, name


def test_a_board_with_other_settings_is_named_by_them(tmp_path: Path) -> None:
    part = protocol_part("aid-lite").model_copy(
        update={"overrides": ["train.epochs=1"], "modified": True, "board": "aid-lite~12345678"}
    )
    pages = written(tmp_path, [result("baseline", 0.8, protocol=part, target="rsscn7")])
    assert '<option value="aid-lite~12345678">aid-lite, train.epochs=1</option>' in pages["index.html"]
    assert "<h1>aid-lite, train.epochs=1</h1>" in pages["boards/aid-lite~12345678.html"]


def test_a_method_is_held_against_the_baseline_on_its_page(tmp_path: Path, pages: dict[str, str]) -> None:
    # small(): seeds 0 and 1 of baseline PCA have .50 and .52; of jsst, PCA has .40 twice, and FC, which has no
    # counterpart, .60: against the row of the baseline that figures show.
    found = re.findall(r'data-difference="([^"]+)"', pages["methods/jsst.html"])
    assert list(map(float, found)) == pytest.approx([0.09, -0.11, 0.09, -0.11])
    text = re.sub(r"<[^>]*>|\s+", " ", pages["methods/jsst.html"])
    text = " ".join(text.partition("Against the baseline")[2].partition("Card")[0].split())
    assert "rsscn7 FC against PCA 2 seeds +0.0900" in text
    assert "rsscn7 PCA 2 seeds \N{MINUS SIGN}0.1100" in text
    assert "Against the baseline" not in pages["methods/baseline.html"]
    alone = written(tmp_path, [result("jsst", 0.8, target="aid")])
    assert "Against the baseline" not in alone["methods/jsst.html"]


def test_a_name_too_long_for_a_page_is_whole_on_hover(tmp_path: Path) -> None:
    long = "timm:resnet34@weights.safetensors (timm.arguments={'pad_type': 'same'}, timm.mean=[0.5, 0.5, 0.5])"
    page = written(tmp_path, [result(long, 0.7, title=long.partition(" (")[0], target="aid")])["index.html"]
    escaped = long.replace("'", "&#39;")
    assert re.search(f'title="{re.escape(escaped)}[^"]*">timm:<wbr>resnet34 \\(…\\)</a>', page)


def test_what_only_the_paper_has_stands_on_the_datasets_own_page(tmp_path: Path) -> None:
    pages = written(tmp_path, [record("baseline", protocol=protocol_part(), target="ucm")])
    datasets = {name for name in pages if name.startswith("datasets/")}
    assert datasets == {"datasets/index.html", *(f"datasets/{name}.html" for name in load_cards())}
    for name in ("rs19", "rsscn7"):
        assert "paper only" in pages[f"datasets/{name}.html"]
        assert "../datasets/" + name in pages["boards/patternnet.html"]
    assert "paper only" in pages["datasets/ucm.html"]
    assert "5 targets" in pages["index.html"]  # also those of Table II


def test_without_javascript_every_metric_is_shown(pages: dict[str, str]) -> None:
    assert "P@100" in pages["index.html"]
    for page in pages.values():
        assert not re.search(r"<t[hdr][^>]* hidden", page)


def test_the_best_is_marked_once_for_each_target_and_metric(pages: dict[str, str]) -> None:
    assert pages["index.html"].count('class="value best"') == 2 * 6


def test_boards_of_the_paper_come_first_and_synthetic_ones_last() -> None:
    records = [result("jsst", 0.8, protocol=protocol_part("demo"), target="demo-view", seed=seed) for seed in range(9)]
    records += [result("jsst", 0.8, target="aid", seed=seed) for seed in range(3)]
    records += [result("jsst", 0.8, protocol=protocol_part("patternnet"), target="ucm")]
    assert [view.name for view in views(records)] == ["patternnet", "ucm-mobile", "demo"]


def test_names_are_shown_and_never_run(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    records = [
        result("x", 0.8, title=evil, target="aid"),
        result(f'"><img src=x onerror=alert(1)> {evil}', 0.7, target="aid"),
    ]
    records[0] = records[0].model_copy(
        update={"target": records[0].target.model_copy(update={"title": evil}), "command": records[0].command}
    )
    for text in written(tmp_path, records).values():
        assert "<script>" not in text
        assert "<img" not in text
    assert "&lt;script&gt;" in (tmp_path / "index.html").read_text()


def test_links_stand_on_the_pages_they_concern(tmp_path: Path) -> None:
    links = [
        Link("Explorer", "explorer.html", "Everything."),
        Link("Panels", "scenes/a.html", "Queries.", board="ucm-mobile", target="aid", methods=("jsst",)),
    ]
    pages = written(tmp_path, small(), links)
    showing = {name for name, text in pages.items() if "scenes/a.html" in text}
    assert showing == {"index.html", "boards/ucm-mobile.html", "methods/jsst.html", "datasets/aid.html"}
    assert 'href="../scenes/a.html"' in pages["methods/jsst.html"]
    assert [name for name, text in pages.items() if "explorer.html" in text] == ["index.html"]


def test_composed_methods_show_the_cards_of_their_parts() -> None:
    (page,) = [page for page in method_pages(content([result("jsst+se", 0.8)])) if page.name == "jsst+se"]
    assert [card.name for card in page.cards] == ["jsst", "se"]
    assert page.year == 2021  # of the later one


def test_a_dataset_lists_only_lines_that_were_run_on_it() -> None:
    records = [result("baseline", 0.8, target="aid"), result("jsst", 0.8, target="rsscn7")]
    found = {page.name: page for page in dataset_pages(content(records))}
    assert [line.label for line in found["aid"].parts[0].standings] == ["baseline"]


def test_values_that_measure_no_retrieval_are_marked_as_in_the_tables(tmp_path: Path) -> None:
    doubtful = result("jsst", 0.95).model_copy(update={"doubts": ("the front end has run away: 9 of 10 scenes",)})
    found = written(tmp_path, [result("baseline", 0.8), doubtful])
    for name in ("index.html", "methods/jsst.html", "datasets/ucm.html"):
        value = re.search(r"0\.6500</span>(.*?)</td>", found[name], re.DOTALL)
        assert value is not None
        assert re.sub(r"<[^>]*>|\s", "", value[1]) == "!"
    assert "notes say why" not in found["methods/baseline.html"]
    assert "0.5000</span></td>" in found["methods/baseline.html"]


def test_rows_made_on_another_machine_have_their_sign(tmp_path: Path) -> None:
    records = [result(label, 0.8) for label in ("baseline", "se", "jsst")]
    other = records[2].model_copy(update={"environment": {"device": "cuda", "threads": "2", "precision": "bf16"}})
    page = written(tmp_path, [*records[:2], other])["index.html"]
    assert page.count("<sup>†</sup>") == 1
    assert re.search(r"†: made on another kind of device", page)
