import csv
import io
import re

import pytest
from factory import BASELINE, JSST, protocol_part, record, scores

from rsir_bench.leaderboard.boards import boards
from rsir_bench.leaderboard.documents import documents
from rsir_bench.leaderboard.formats import FORMATS, escape_latex, escape_markdown
from rsir_bench.leaderboard.grids import EMPTY, MINUS
from rsir_bench.leaderboard.pages.paper import document as table_document
from rsir_bench.leaderboard.tables.build import tables
from rsir_bench.leaderboard.tables.parts import METRICS, Table


def written(suffix):
    """The writer of a format, from a table or a document."""
    return lambda shown: FORMATS[suffix](table_document(shown) if isinstance(shown, Table) else shown)


markdown, comma_separated, latex, html = map(written, ("md", "csv", "tex", "html"))

GOLDEN_MARKDOWN = """\
<!-- Rendered from result records by `rsir-bench leaderboard`; do not edit. -->

# Leaderboard of small

## mAP

| Method | Row | Seeds | T |
|:--|:--|--:|--:|
| JSST | PCA (target fit) | 1 | 0.630 |
| JSST | PCA | 2 | **0.550** ± 0.071 |
| ResNet34 | FC | 1 | <u>0.500</u> |

## P@5

| Method | Row | Seeds | T |
|:--|:--|--:|--:|
| JSST | PCA (target fit) | 1 | 0.880 |
| JSST | PCA | 2 | **0.800** ± 0.071 |
| ResNet34 | FC | 1 | <u>0.750</u> |

Protocol small (hash 0123456789ab): trained on patternnet. Scored on T (2100 scenes, 21 classes); metric version 1. Not comparable with the paper's tables.

Best first; ± is the standard deviation over seeds; bold and underlined are the best and second best, fits on the target aside.

## How to reproduce these results

Each command makes all seeds of a row. Add --data-root FOLDER for the folder of the datasets. `rsir-bench leaderboard --format csv,html --out FOLDER` names the records behind each row.

 rsir-bench run --protocol small --methods jsst --seeds 0,1 --targets t
 rsir-bench run --protocol small --methods baseline --seeds 0 --targets t
"""  # noqa: E501

GOLDEN_CSV = """\
board,protocol_hash,target,method,row,seeds,mAP,mAP sd,mAP not worse,AP@10h,AP@10h sd,AP@10h not worse,P@5,P@5 sd,P@5 not worse,P@10,P@10 sd,P@10 not worse,P@50,P@50 sd,P@50 not worse,P@100,P@100 sd,P@100 not worse,mAP minus baseline,mAP minus baseline low,mAP minus baseline high,P@5 minus baseline,P@5 minus baseline low,P@5 minus baseline high,doubts,origin,command,records
small,0123456789ab,t,jsst,PCA (target fit),1,0.6300,,,0.9300,,,0.8800,,,0.8300,,,0.7300,,,,,,,,,,,,,,rsir-bench run --protocol small --methods jsst --seeds 0 --targets t,9a9b93851b9e81afb02d66b79f99303bab01f192b1c43f605fcbd4e85590585a
small,0123456789ab,t,jsst,PCA,2,0.5500,0.0707,,0.8500,0.0707,,0.8000,0.0707,,0.7500,0.0707,,0.6500,0.0707,,0.6000,0.0707,,,,,,,,,,"rsir-bench run --protocol small --methods jsst --seeds 0,1 --targets t",978fa1cdba5d88eb3f46af724c77c5201d387f82ebe57b5b3911086b82ffc901 8b7e16176575e88ae5bad9b64854b5d7b5e8c1ac229b6b57fa6cb3d08d7c7e1f
small,0123456789ab,t,baseline,FC,1,0.5000,,,0.8000,,,0.7500,,,0.7000,,,0.6000,,,0.5500,,,,,,,,,,,rsir-bench run --protocol small --methods baseline --seeds 0 --targets t,1f98bcfc96128319ea508e233d6f3da8241ed4b1198ce5f9cffcdb8c511cfb97
"""  # noqa: E501

GOLDEN_LATEX = r"""% Rendered from result records by `rsir-bench leaderboard`; do not edit.
\begin{table*}
\centering
\caption{Leaderboard of small}
\label{tab:small-leaderboard}
\resizebox{\textwidth}{!}{%
\begin{tabular}{llrr}
\toprule
Method & Row & Seeds & T \\
\midrule
\multicolumn{4}{l}{\textit{mAP}} \\
JSST & PCA (target fit) & 1 & 0.630 \\
JSST & PCA & 2 & \textbf{0.550} $\pm$ 0.071 \\
ResNet34 & FC & 1 & \underline{0.500} \\
\midrule
\multicolumn{4}{l}{\textit{P@5}} \\
JSST & PCA (target fit) & 1 & 0.880 \\
JSST & PCA & 2 & \textbf{0.800} $\pm$ 0.071 \\
ResNet34 & FC & 1 & \underline{0.750} \\
\bottomrule
\end{tabular}}
\par\smallskip{\footnotesize Protocol small (hash 0123456789ab): trained on patternnet. Scored on T (2100 scenes, 21 classes); metric version 1. Not comparable with the paper's tables.\par}
\par\smallskip{\footnotesize Best first; $\pm$ is the standard deviation over seeds; bold and underlined are the best and second best, fits on the target aside.\par}
\end{table*}
"""  # noqa: E501


def small_table():
    settings = protocol_part().settings
    part = protocol_part(
        name="small",
        hash="0123456789ab",
        board="small",
        paper=False,
        settings=settings | {"data": settings["data"] | {"size": 96}},
    )
    without_p_100 = {name: value for name, value in scores(0.93).items() if name != "P@100"}
    records = [
        record("jsst", target="t", seed=1, protocol=part, metrics=scores(0.9)),
        record(
            "baseline",
            title="ResNet34",
            row="FC",
            kind="real",
            fit=None,
            target="t",
            protocol=part,
            metrics=scores(0.8),
        ),
        record("jsst", target="t", fit="target", protocol=part, metrics=without_p_100),
        record("jsst", target="t", seed=0, protocol=part, metrics=scores(0.8)),
    ]
    return leaderboard(records)


def leaderboard(records):
    (board,) = boards(records)
    return next(document for document in documents(board) if document.name == "leaderboard")


def only_board_tables(records):
    (board,) = boards(records)
    return tables(board)


def paper_table(*records):
    return only_board_tables(records or [record(paper=JSST, metrics=scores(0.91))])[0]


@pytest.mark.parametrize(
    ("render", "golden"),
    [(markdown, GOLDEN_MARKDOWN), (comma_separated, GOLDEN_CSV), (latex, GOLDEN_LATEX)],
    ids=["markdown", "csv", "latex"],
)
def test_a_small_table(render, golden):
    assert unpadded(render(small_table())) == golden


def unpadded(text):
    """The text without the padding of grids, which is the table library's."""
    return re.sub(r"-{2,}", "--", re.sub(r" +", " ", text))


def grid(text, title):
    lines = [line for line in text.split(f"## {title}")[1].split("## ")[0].splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return cells[0], {(row[0], row[1]): row for row in cells[2:]}


def test_markdown_sets_the_papers_map_beside_ap_at_10h():
    header, rows = grid(markdown(paper_table()), "UCM")
    assert header[:8] == ["Method", "Row", "Seeds", "mAP", "AP@10h", 'paper "mAP"', "Δ", "P@5"]
    assert rows["JSST", "PCA"][2:7] == ["1", "0.6100", "0.9100", "0.9290", f"{MINUS}0.0190"]
    assert rows["JSST", "PCA"][-3:] == ["0.6600", "0.5900", "+0.0700"]
    fill = f"[{EMPTY}](#cbp)"
    assert rows["CBP", "PCA"][2:8] == [fill, fill, fill, "0.9056", EMPTY, fill]
    assert rows["CBP", "PCA"][-3:] == [fill, "0.5939", EMPTY]


def test_every_grid_has_a_rule_that_markdown_knows():
    rules = [line for line in markdown(paper_table()).splitlines() if line.startswith("|:")]
    assert len(rules) == 3
    for rule in rules:
        assert all(re.fullmatch(r":-+|-+:", cell) for cell in rule.split("|")[1:-1]), rule


def test_no_paper_in_any_format_elsewhere():
    shown = leaderboard([record(paper=JSST, protocol=protocol_part("aid-lite"))])
    for render in (markdown, comma_separated, latex, html):
        text = render(shown).replace("Not comparable with the paper's tables", "").replace("the paper&#39;s", "")
        assert "paper" not in text
        assert "0.9290" not in text
        assert "Δ" not in text
        assert r"$\Delta$" not in text


def test_footnotes_are_marked_and_written_out():
    text = markdown(paper_table())
    _, rows = grid(text, "RS19")
    assert ("NTS-Net<sup>1</sup>", "PCA") in rows
    assert "\n<sup>1</sup> SUSPECT: all five values equal Table I UCM ResNet34 PCA;" in text
    tex = latex(paper_table())
    assert r"NTS-Net\textsuperscript{1} & PCA" in tex
    assert r"\textsuperscript{1}SUSPECT: all five values" in tex


def test_every_footnote_that_is_written_out_is_marked_somewhere():
    text = markdown(paper_table())
    written = set(re.findall(r"^<sup>(\d+)</sup>", text, flags=re.MULTILINE))
    marked = set(re.findall(r"\w<sup>(\d+)</sup>", text))
    assert written == marked != set()


def read_csv(table):
    return list(csv.DictReader(io.StringIO(comma_separated(table))))


def test_csv_holds_plain_numbers_and_the_papers_values():
    records = [record(seed=seed, paper=JSST, metrics=scores(0.91 + seed / 100)) for seed in range(2)]
    rows = {(row["target"], row["method"], row["row"]): row for row in read_csv(paper_table(*records))}
    ours = rows["ucm", "jsst", "PCA"]
    assert (ours["mAP"], ours["AP@10h"], ours["AP@10h sd"], ours["seeds"]) == ("0.6150", "0.9150", "0.0071", "2")
    assert (ours['paper "mAP"'], ours["AP@10h difference"]) == ("0.9290", "-0.0140")
    assert (ours["paper P@100"], ours["P@100 difference"]) == ("0.5900", "0.0750")
    assert "paper mAP" not in ours
    assert "mAP difference" not in ours
    missing = rows["ucm", "CBP", "PCA"]
    assert (missing["mAP"], missing["AP@10h"], missing['paper "mAP"'], missing["seeds"]) == ("", "", "0.9056", "0")
    assert rows["RS19", "NTS-Net", "PCA"]["slip"].startswith("SUSPECT")


def test_csv_names_the_method_as_it_is_run():
    rows = read_csv(paper_table(record("baseline", title="ResNet34", row="FC", kind="real", paper=BASELINE)))
    assert [row["method"] for row in rows if row["seeds"] == "1"] == ["baseline"]


NASTY = 'a|b_c*d [e] <f> & 50% $x^2$ ~{g}\\ #1 "q"\nnext'


def test_names_are_shown_as_they_are_in_markdown():
    text = markdown(paper_table(record("x", title=NASTY)))
    widths = {len(re.split(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("|")}
    assert len(widths) == 1  # a name neither splits a cell nor a line
    assert r"a\|b\_c\*d \[e\] \<f\> &amp; 50% $x^2$ \~\{g\}\\ #1" in text


def test_names_are_shown_as_they_are_in_latex():
    text = latex(paper_table(record("x", title=NASTY)))
    assert (
        r"a\textbar{}b\_c{*}d {[}e{]} \textless{}f\textgreater{} \& 50\% \$x\textasciicircum{}2\$ "
        r"\textasciitilde{}\{g\}\textbackslash{} \#1 ``q'' next & PCA"
    ) in text


def test_latex_rows_have_one_cell_per_column_and_braces_match():
    text = latex(paper_table(record("x", title=NASTY)))
    columns = len(re.search(r"\\begin\{tabular\}\{(\w+)\}", text)[1])
    rows = [line for line in text.splitlines() if line.endswith(r"\\") and not line.startswith(r"\multicolumn")]
    assert len(rows) == 1 + 15 * 3
    assert {len(re.split(r"(?<!\\)&", row)) for row in rows} == {columns}
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")
    assert not re.search(r"\\\\\n[\[*]", text)  # would be read as an argument of the line end
    assert text.isascii()


def test_csv_survives_a_nasty_name():
    names = {row["method"] for row in read_csv(paper_table(record(NASTY)))}
    assert NASTY in names


@pytest.mark.parametrize("escape", [escape_markdown, escape_latex])
def test_plain_words_and_numbers_need_no_escape(escape):
    assert escape("JSST (padding=zeros), 0.9432: P@5") == "JSST (padding=zeros), 0.9432: P@5"


def test_equal_records_give_equal_text_in_any_order():
    records = [
        record(label, seed=seed, paper=JSST, metrics=scores(0.9 - seed / 7)) for label in "ab" for seed in range(3)
    ]
    for render in (markdown, comma_separated, latex, html):
        assert render(paper_table(*records)) == render(paper_table(*reversed(records)))


def test_every_metric_has_a_column_in_every_format():
    table = paper_table()
    for text in (markdown(table), comma_separated(table), latex(table), html(table)):
        assert all(metric in text for metric in METRICS)
    assert all(metric in comma_separated(small_table()) for metric in METRICS)


def compared_table():
    """Five seeds of a good, a close and a bad method, and one seed of the best of all."""
    per_class = {"good": 0.8, "close": 0.7995, "bad": 0.4}
    records = [
        record(
            label,
            target="t",
            seed=seed,
            metrics=scores(value + seed / 1000),
            per_class={name: scores(value + shift + seed / 1000) for name, shift in (("x", 0.1), ("y", -0.1))},
        )
        for label, value in per_class.items()
        for seed in range(5)
    ]
    return leaderboard([*records, record("once", target="t", metrics=scores(0.95))])


def test_what_is_not_worse_than_the_best_is_marked_in_every_format():
    table = compared_table()
    _, rows = grid(markdown(table), "mAP")
    assert {label: "<sup>≈</sup>" in row[3] for (label, _), row in rows.items()} == {
        "GOOD": True,
        "CLOSE": True,
        "BAD": False,
        "ONCE": False,
    }
    assert rows["GOOD", "PCA"][3] == "**0.502**<sup>≈</sup> ± 0.002"
    assert r"\textbf{0.502}\textsuperscript{$\approx$} $\pm$ 0.002" in latex(table)
    assert latex(table).isascii()
    assert "<strong>0.502</strong></a><sup>≈</sup> ± 0.002" in html(table)
    marks = {row["method"]: row["mAP not worse"] for row in read_csv(table)}
    assert marks == {"good": "yes", "close": "yes", "bad": "no", "once": ""}


def test_the_sign_is_explained_only_where_something_was_tested():
    for render in (markdown, html):
        assert "≈: not shown to be worse" in render(compared_table())
        assert "≈" not in render(small_table())


def test_csv_tells_the_command_and_the_records_of_each_line():
    records = [record(seed=seed, paper=JSST) for seed in (1, 0)]
    rows = {(row["target"], row["method"]): row for row in read_csv(paper_table(*records))}
    ours = rows["ucm", "jsst"]
    assert ours["command"] == "rsir-bench run --protocol patternnet --methods jsst --seeds 0,1 --targets ucm"
    assert ours["records"].split() == [records[1].key, records[0].key]
    fill = "rsir-bench run --protocol patternnet --methods cbp --targets rs19,ucm,rsscn7"
    assert (rows["ucm", "CBP"]["command"], rows["ucm", "CBP"]["records"]) == (fill, "")


def test_markdown_ends_with_one_command_per_method():
    records = [
        record(label, seed=seed, target=target) for label in "ab" for seed in (0, 1) for target in ("aid", "nwpu")
    ]
    text = markdown(leaderboard(records))
    end = text.partition("## How to reproduce these results")[2]
    assert [line for line in end.splitlines() if line.startswith("    ")] == [
        f"    rsir-bench run --protocol patternnet --methods {label} --seeds 0,1 --targets aid,nwpu" for label in "ab"
    ]
