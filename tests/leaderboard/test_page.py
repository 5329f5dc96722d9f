"""Pages in HTML, read as a browser does."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from factory import JSST, protocol_part, record, scores

from rsir_bench.leaderboard import costs, render_leaderboards, robustness
from rsir_bench.leaderboard.boards import boards
from rsir_bench.leaderboard.documents import documents
from rsir_bench.leaderboard.formats import html, markdown
from rsir_bench.leaderboard.grids import EMPTY
from rsir_bench.leaderboard.pages import costs as costs_page
from rsir_bench.leaderboard.pages.paper import document as table_document
from rsir_bench.leaderboard.tables.build import tables
from rsir_bench.publishing.publish import publish
from rsir_bench.records.commands import record_path
from rsir_bench.records.schema import DistortionPart
from rsir_bench.records.store import write_record

NASTY = "<script>alert(1)</script> & \"q\" 'a' {{ 7*7 }} {% x %}"
VOID = {"meta", "link"}
NUMBERS = ("I", "II", "III", "IV", "V", "VI", "VII")


class Page(HTMLParser):
    """The elements of a page, its links, and its grids as text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.open, self.grids, self.captions, self.scopes = [], [], [], [], [], []
        self.ids, self.links = set(), []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append(tag)
        self.attributes += attrs
        self.ids |= {found["id"]} if "id" in found else set()
        self.links += [found["href"]] if tag == "a" else []
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.grids.append([])
        if tag == "tr":
            self.grids[-1].append([])
        if tag in ("th", "td"):
            self.grids[-1][-1].append("")
        if tag == "th":
            self.scopes.append(found.get("scope"))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "th" in self.open or "td" in self.open:
            self.grids[-1][-1][-1] += data
        elif "caption" in self.open:
            self.captions.append(data)


def some_records(part=None):
    shared = {"paper": JSST, "protocol": part or protocol_part()}
    cost = {"cost": {"parameters": 4e6}, "environment": {"device": "cpu", "threads": "1", "precision": "32"}}
    records = [
        record(
            label, target=target, seed=seed, metrics=scores(0.7 + seed / 9), distortion=distortion, key=None, **shared
        )
        for label in ("baseline", "jsst (padding=zeros)")
        for target in ("ucm", "aid", "demo-view")
        for seed in range(2)
        for distortion in (None,)
    ]
    haze = DistortionPart(name="haze", severity=2, version=1)
    records.append(record("baseline", distortion=haze, key="9" * 64, metrics=scores(0.5), **shared))
    return [one.model_copy(update=cost) for one in records]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    paths = render_leaderboards(some_records(), folder / "leaderboards", ["html"])
    return {path: path.read_text() for path in paths}


def test_every_table_has_a_page(pages):
    assert {path.stem for path in pages} == {"leaderboard", "costs", "robustness"} | {f"table_{n}" for n in NUMBERS}


def test_a_page_is_complete_and_asks_for_nothing(pages):
    for text in pages.values():
        page = Page(text)
        assert text.startswith("<!DOCTYPE html>")
        assert not {"script", "img", "iframe", "object", "form", "base"} & set(page.tags)
        assert not [name for name, _ in page.attributes if name.startswith("on")]
        assert not re.search(r"https?:|//[a-z]|url\(|@import|src=", text)
        assert [value for name, value in page.attributes if name == "href" and not value.startswith(("#", "../"))] == [
            "data:,"  # no icon is asked for either
        ]
        assert "default-src 'none'" in text


def test_grids_have_captions_headers_and_line_headings(pages):
    for text in pages.values():
        page = Page(text)
        assert len(page.captions) == len(page.grids) > 0
        for grid in page.grids:
            assert len({len(row) for row in grid}) == 1
        assert page.scopes == [
            scope for grid in page.grids for scope in ["col"] * len(grid[0]) + ["row"] * (len(grid) - 1)
        ]


def test_a_page_holds_what_markdown_holds():
    (board,) = boards(some_records())
    for document in documents(board):
        text = markdown(document)
        rows = [re.split(r" *(?<!\\)\| *", line)[1:-1] for line in text.splitlines() if line.startswith("|")]
        plain = [[re.sub(r"[*]{2}|</?(u|sup)>|\\(?=[\W_])", "", cell) for cell in row] for row in rows]
        plain = [[re.sub(rf"^\[{EMPTY}\]\(#[\w-]+\)$", EMPTY, cell) for cell in row] for row in plain]
        grids = [row for grid in Page(html(document)).grids for row in grid]
        assert grids == [row for row in plain if not row[0].startswith(":-")]


def test_every_value_of_ours_leads_to_its_records_and_command(pages):
    for text in pages.values():
        page = Page(text)
        inner = [link for link in page.links if link.startswith("#")]
        assert {link[1:] for link in inner} == page.ids != set()
    text = next(text for path, text in pages.items() if path.stem == "table_I")
    cell = re.search(r'<a href="#([\w-]+)">(?:<strong>)?0\.4556', text)
    trace = text.partition(f'id="{cell[1]}"')[2].partition("</details>")[0]
    assert "<pre>rsir-bench run --protocol patternnet --methods baseline --seeds 0,1 --targets ucm</pre>" in trace
    assert trace.count("<li>") == 2


def test_the_papers_values_are_no_links_and_a_dash_of_ours_leads_to_the_command_that_fills_it(pages):
    text = next(text for path, text in pages.items() if path.stem == "table_I")
    assert "<td>0.9290</td>" in text  # the paper's
    assert "<td>–</td>" in text  # noqa: RUF001
    assert '<a href="#fill-cbp">–</a>' in text  # noqa: RUF001
    command = "rsir-bench run --protocol patternnet --methods cbp --targets rs19,ucm,rsscn7"
    assert f'<h3 id="fill-cbp">cbp</h3>\n<pre>{command}</pre>' in text


def test_links_lead_to_the_files_that_publishing_writes(pages):
    path = next(iter(pages))
    leaderboards = path.parent.parent
    for one in some_records():
        write_record(leaderboards.parent / "runs" / "results" / record_path(one), one)
    publish([leaderboards.parent / "runs"], leaderboards / "results")
    for page, text in pages.items():
        outer = [unquote(link) for link in Page(text).links if link.startswith("../")]
        assert outer or page.stem in ("table_III", "table_IV", "table_V", "table_VI", "table_VII")  # without a result
        assert all((page.parent / link).is_file() for link in outer)


def test_names_are_shown_as_they_are():
    (board,) = boards([record("x", title=NASTY), *some_records()])
    for text in (html(table_document(tables(board)[0])), html(costs_page.document(board))):
        assert "<script" not in text
        assert NASTY in [row[0] for grid in Page(text).grids for row in grid]
    assert html(robustness.document(board)).count("<table>") == 1


def test_the_style_is_for_the_dark_and_the_phone():
    style = (Path(costs.__file__).parent / "templates" / "page.css").read_text()
    for word in ("prefers-color-scheme: dark", "overflow-x: auto", "position: sticky"):
        assert word in style
    assert 'name="viewport"' in html(table_document(tables(boards([record()])[0])[0]))
