"""Runs with ``--after``: rows next to the plain ones, which stay what they were."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from command import InProcess
from conftest import Tiny

import rsir_bench
from rsir_bench.base.errors import RunError, UserError
from rsir_bench.conformance import check
from rsir_bench.leaderboard import terminal_table
from rsir_bench.leaderboard.boards import boards
from rsir_bench.leaderboard.documents import documents
from rsir_bench.leaderboard.formats import FORMATS
from rsir_bench.publishing.export.described import from_runs
from rsir_bench.publishing.export.formats import export_descriptors
from rsir_bench.publishing.export.selection import Selection
from rsir_bench.ranking import score
from rsir_bench.ranking.after.expansion import QueryExpansion
from rsir_bench.records.cells import row_label
from rsir_bench.records.commands import commands, record_path
from rsir_bench.records.schema import Record
from rsir_bench.records.store import read_record, write_record
from rsir_bench.report.site import build_report
from rsir_bench.runs.artifacts.code import read_current
from rsir_bench.runs.locate import locate
from rsir_bench.runs.plan import Plan, make_plan
from rsir_bench.runs.request import UserFiles
from rsir_bench.runs.runners.campaign import campaign, describe_plan
from rsir_bench.scenes.index import resolve_dataset

METHOD = "timm:test_resnet@none"
BINARY = """
from rsir_bench.method import Card, Method, Row

class Signs(Method):
    card = Card(
        name="signs", title="Signs", paper="none", year=2026, trained=False,
        rows={"Pooled": Row(descriptor="pooled"), "Bits": Row(descriptor="pooled", kind="code"),
              "PCA": Row(descriptor="pooled", kind="pca")},
    )

    def __init__(self, setup, settings):
        super().__init__(setup, settings)
        self.trunk = setup.trunk()

    def loss(self, batch):
        raise NotImplementedError

    def describe(self, scenes):
        pooled = self.trunk(scenes)
        return {"pooled": pooled - pooled.mean(dim=1, keepdim=True)}
"""
OWN = """
from dataclasses import dataclass
from typing import ClassVar

from rsir_bench.ranking.after import PostProcessing, Processed, Vectors, number


@dataclass(frozen=True)
class Manhattan(PostProcessing):
    name: ClassVar[str] = "manhattan"
    title: ClassVar[str] = "Manhattan"
    transductive: ClassVar[bool] = False
    power: float = number(1.0, least=0)

    def apply(self, given: Vectors) -> Processed:
        def correct(asked, distances):
            for row, query in zip(distances, given.queries[asked]):
                row[:] = (abs(given.gallery - query) ** self.power).sum(axis=1)

        return Processed(correct=correct)
"""


def quiet(line: str) -> None:
    """Takes what would go to standard error."""


def made(tiny: Tiny, methods: str = METHOD, **changes: object) -> list[Record]:
    return campaign(tiny.request(methods, **changes), quiet).records


def plugin(tiny: Tiny, name: str, text: str) -> Path:
    path = tiny.folder / name
    path.write_text(text)
    return path


def descriptors_of(tiny: Tiny, records: list[Record], folder: str = "runs") -> np.ndarray:
    """The descriptors behind the records, which have one file."""
    located = locate(records, tiny.folder / folder, UserFiles(tiny.folder, protocol=str(tiny.protocol)))
    paths = {found.cell.descriptors for found in located.values()}
    assert len(located) == len(records)
    (path,) = paths
    return np.load(path)


def test_rows_are_added_and_the_plain_one_stays(tiny: Tiny) -> None:
    (alone,) = made(tiny, out="alone")
    plain, expanded, reranked = made(tiny, after=["aqe:4,3", "kreciprocal:5,2,.3"])
    assert plain == alone.model_copy(update={"created": plain.created, "cost": plain.cost})
    assert plain.after is None
    assert "after_seconds" not in plain.cost
    assert [row_label(one) for one in (plain, expanded, reranked)] == [
        "Pooled",
        "Pooled, aQE 4,3 (transductive)",
        "Pooled, k-reciprocal 5,2,0.3 (transductive)",
    ]
    assert len({plain.key, expanded.key, reranked.key}) == 3
    rows, labels = descriptors_of(tiny, [plain, expanded, reranked]), np.repeat(np.arange(3), 6)
    for record, after in ((expanded, "aqe:4,3"), (reranked, "kreciprocal:5,2,0.3")):
        expected = score(rows, labels, after=after)
        assert {name: record.metrics[name] for name in expected.overall} == pytest.approx(expected.overall)
        assert record.request is not None
        assert record.request.after == after
        assert record.command.endswith(f"--after {after}")
        assert record.cost["after_seconds"] is not None
    assert expanded.after is not None
    assert (expanded.after.name, expanded.after.values, expanded.after.transductive) == (
        "aqe:4,3",
        {"n": 4, "alpha": 3.0},
        True,
    )


def test_what_is_there_is_not_made_again(tiny: Tiny) -> None:
    first = made(tiny, after=["aqe:4,3"])
    assert made(tiny, after=["aqe:4,3"]) == first
    assert made(tiny, after=["aqe:4,3.0", "aqe:4,3"]) == first
    plain, expanded, other = made(tiny, after=["aqe:4,3", "aqe:5,3"])
    assert [plain, expanded] == first
    assert other.key != expanded.key
    assert made(tiny) == [plain]


def test_python_takes_it_too(tiny: Tiny) -> None:
    options = {"protocol": str(tiny.protocol), "data_root": tiny.folder, "out": tiny.folder / "runs", "device": "cpu"}
    for after in ("aqe:4,3", ["aqe:4,3"]):
        _, expanded = rsir_bench.run([METHOD], after=after, **options)
        assert row_label(expanded) == "Pooled, aQE 4,3 (transductive)"


def test_a_new_version_is_another_result(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    _, before = made(tiny, after=["aqe:4,3"])
    monkeypatch.setattr(QueryExpansion, "version", 2)
    _, now = made(tiny, after=["aqe:4,3"])
    assert now.key != before.key
    assert (now.after and now.after.version) == 2


def planned(tiny: Tiny, methods: str = METHOD, **changes: object) -> Plan:
    return make_plan(tiny.request(methods, **changes))


def test_binary_rows_are_left_out_with_the_reason_but_for_k_reciprocal(tiny: Tiny) -> None:
    request = tiny.request(
        "signs", plugins=[plugin(tiny, "signs.py", BINARY)], after=["aqe:4,3", "kreciprocal:5,2,0.3"]
    )
    plan = make_plan(request)
    assert "absent    signs, row Bits, --after aqe:4,3: a binary row; aqe works on real values" in describe_plan(
        plan, {}
    )
    records = campaign(request, quiet).records
    found = {row_label(record): record for record in records}
    assert list(found) == [
        *(f"Pooled{after}" for after in ("", ", aQE 4,3 (transductive)", ", k-reciprocal 5,2,0.3 (transductive)")),
        *(f"Bits{after}" for after in ("", ", k-reciprocal 5,2,0.3 (transductive)")),
        *(f"PCA{after}" for after in ("", ", aQE 4,3 (transductive)", ", k-reciprocal 5,2,0.3 (transductive)")),
    ]
    bits = found["Bits, k-reciprocal 5,2,0.3 (transductive)"]
    assert "P@H2" in found["Bits"].metrics
    assert "P@H2" not in bits.metrics
    rows = descriptors_of_plugin(tiny, bits)
    expected = score(
        rows, np.repeat(np.arange(3), 6), codes=True, bits=bits.row.dimensions, after="kreciprocal:5,2,0.3"
    )
    assert bits.metrics["mAP"] == pytest.approx(expected.overall["mAP"])


def descriptors_of_plugin(tiny: Tiny, record: Record) -> np.ndarray:
    files = UserFiles(tiny.folder, [tiny.folder / "signs.py"], protocol=str(tiny.protocol))
    return np.load(locate([record], tiny.folder / "runs", files)[record.key].cell.descriptors)


def test_components_that_a_row_cannot_have_are_left_out_with_the_reason(tiny: Tiny) -> None:
    plugins = [plugin(tiny, "signs.py", BINARY)]
    lines = planned(tiny, "signs", plugins=plugins, after=["whiten:4", "pca:3"]).absent
    assert lines == [
        *(
            f"signs, row Bits, --after {after}: a binary row; {after[:-2]} works on real values"
            for after in ("whiten:4", "pca:3")
        ),
        "signs, row PCA, --after whiten:4: rows of 4 values have at most 3 components; whiten wants 4",
    ]


def test_another_similarity_is_left_out_with_the_reason(tiny: Tiny) -> None:
    plan = planned(tiny, overrides=["score.similarity=euclidean"], after=["dba:4,3"])
    name = "timm:test_resnet@none"
    assert plan.absent == [
        f"{name}, row Pooled, --after dba:4,3: compared by euclidean; dba is defined for pearson and cosine"
    ]
    assert len(plan.runs[0].cells) == 1


@pytest.mark.parametrize(
    ("after", "message"),
    [
        ("aqee", "after 'aqee': unknown; did you mean 'aqe'? known: aqe"),
        ("aqe:4", "after 'aqe:4': 1 values, expected 2; write aqe:n,alpha"),
        (
            "kreciprocal:18,6,0.3",
            "--after kreciprocal:18,6,0.3: k1 18 and k2 6 need 19 scenes, and folder-target has 18; give smaller",
        ),
        ("diffusion", "--after diffusion:50,3,0.99: k 50 needs 51 scenes, and folder-target has 18"),
    ],
)
def test_bad_arguments_are_reported_before_anything_starts(tiny: Tiny, after: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        planned(tiny, after=["aqe:4,3", after])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(planned(tiny, after=["aqe"]).runs[0].cells) == 2  # its defaults fit


def test_every_bad_word_has_a_line(tiny: Tiny) -> None:
    with pytest.raises(UserError) as caught:
        planned(tiny, after=["nope", "aqe:1"])
    assert len(str(caught.value).splitlines()) == 2


def test_what_does_not_go_with_descriptors_costs_only_its_own_results(tiny: Tiny) -> None:
    """How many components there are is known when scenes are described: here fewer than scenes."""
    request = tiny.request(METHOD, after=["whiten:17", "aqe:4,3"], overrides=["data.size=32"])
    (tiny.folder / "target" / "class0" / "scene00.png").write_bytes(
        (tiny.folder / "target" / "class0" / "scene01.png").read_bytes()
    )
    outcome = campaign(request, quiet)
    (failure,) = outcome.failures.values()
    assert failure.startswith("after whiten:17: descriptors of ")
    assert failure.endswith("in this gallery; give fewer")
    assert [row_label(record) for record in outcome.records] == ["Pooled", "Pooled, aQE 4,3 (transductive)"]
    options = {"protocol": str(tiny.protocol), "data_root": tiny.folder, "out": tiny.folder / "runs", "device": "cpu"}
    with pytest.raises(RunError, match="give fewer"):
        rsir_bench.run([METHOD], after=["whiten:17"], **options)


def test_a_kind_of_the_users_own_is_known_by_its_code(tiny: Tiny) -> None:
    own = plugin(tiny, "own.py", OWN)
    plain, first = made(tiny, plugins=[own], after=["manhattan:2"])
    assert row_label(first) == "Pooled, Manhattan 2"
    assert first.after is not None
    assert first.after.own_code
    assert "--plugin own.py" in first.command
    own.write_text(f"{OWN}\n# a comment\n")
    assert made(tiny, plugins=[own], after=["manhattan:2"]) == [plain, first]
    own.write_text(OWN.replace("abs(given.gallery - query)", "abs(given.gallery - 2 * query)"))
    again, second = made(tiny, plugins=[own], after=["manhattan:2"])
    assert again == plain
    assert second.key != first.key
    told: list[str] = []
    assert {one.key for one in read_current([tiny.folder / "runs"], told.append)} == {plain.key, second.key}
    assert [line.rpartition(": ")[2] for line in told] == ["post-processed by other code than a newer result"]
    with pytest.raises(UserError, match="after 'manhattan': unknown"):
        planned(tiny, after=["manhattan"])


def test_a_changed_protocol_of_the_same_name_hides_no_post_processed_result(tiny: Tiny) -> None:
    before = made(tiny, after=["aqe:4,3"])
    tiny.protocol.write_text(tiny.protocol.read_text().replace("size = 32", "size = 40"))
    now = made(tiny, after=["aqe:4,3"])
    told: list[str] = []
    assert {one.key for one in read_current([tiny.folder / "runs"], told.append)} == {one.key for one in before + now}
    assert len({one.key for one in before + now}) == 4
    assert told == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("@dataclass(frozen=True)\n", "@dataclass\n"), "cannot be imported"),
        (('"manhattan"', '"Man hattan"'), "class Manhattan needs a name of lower-case letters, digits and '-'"),
        (('"manhattan"', '"aqe"'), "post-processing 'aqe' already exists; rename it"),
        (('    title: ClassVar[str] = "Manhattan"\n', ""), "class Manhattan needs a title for tables"),
        (("def apply", "def apply_it"), "class Manhattan lacks apply"),
        (
            ("power: float = number(1.0, least=0)", 'power: str = "x"'),
            "has a field power of type str; values are int or float",
        ),
    ],
)
def test_a_kind_that_is_not_complete_is_one_line(tiny: Tiny, change: tuple[str, str], message: str) -> None:
    assert change[0] in OWN
    with pytest.raises(UserError) as caught:
        planned(tiny, plugins=[plugin(tiny, "own.py", OWN.replace(*change))], after=["manhattan"])
    assert message in str(caught.value)


def test_score_takes_the_users_file_too(tiny: Tiny, cli: InProcess) -> None:
    chance = np.random.default_rng(0)
    np.savez(tiny.folder / "rows.npz", descriptors=chance.normal(size=(18, 5)), labels=np.repeat(np.arange(3), 6))
    plugin(tiny, "own.py", OWN)
    words = ["score", "--descriptors", "rows.npz", "--after", "aqe:4,3", "--after", "manhattan", "--plugin", "own.py"]
    ended = cli(*words)
    assert ended.code == 0
    last = ended.out.rsplit("\n\n", 1)[1].splitlines()
    assert [line.split("  ")[0] for line in last] == [
        "post-processing",
        "-" * 22,
        "none",
        "aQE 4,3 (transductive)",
        "Manhattan 1",
    ]
    found = json.loads(cli(*words, "--json").out)
    assert set(found["after"]) == {"aqe:4,3", "manhattan:1"}
    assert found["after"]["aqe:4,3"]["mAP"] != found["mAP"]
    assert found["after"]["aqe:4,3"]["after_seconds"] > 0
    assert "after" not in json.loads(cli("score", "--descriptors", "rows.npz", "--json").out)
    refused = cli("score", "--descriptors", "rows.npz", "--after", "aqe:30,3")
    assert (refused.code, refused.out) == (2, "")
    assert (
        refused.err
        == "rsir-bench: after aqe:30,3: 30 neighbours need 31 scenes, and the gallery has 18; give smaller values\n"
    )


def test_a_record_without_it_keeps_its_bytes(tiny: Tiny) -> None:
    (plain,) = made(tiny)
    (path,) = (tiny.folder / "runs").rglob("results/**/*.json")
    text = path.read_text()
    assert '"after"' not in text
    write_record(tiny.folder / "again.json", read_record(path))
    assert (tiny.folder / "again.json").read_text() == text
    assert read_record(path) == plain


def test_commands_make_the_records_again(tiny: Tiny) -> None:
    records = made(tiny, after=["aqe:4,3", "kreciprocal:5,2,0.3"])
    (line,) = commands(records)
    assert line.endswith("--after aqe:4,3 --after kreciprocal:5,2,0.3")
    (plain,) = commands(records[:1])
    assert "--after" not in plain
    assert len({record_path(record) for record in records}) == 3
    assert "/Pooled-aqe-4-3-folder-target-" in record_path(records[1])


def test_tables_show_it_apart(tiny: Tiny) -> None:
    records = made(tiny, after=["aqe:4,3", "kreciprocal:5,2,0.3"])
    best, processed, last = terminal_table(records).split("\n\n")
    assert best.count("Pooled") == 1
    assert "aQE" not in best
    assert processed.splitlines()[0].endswith(": post-processing")
    assert [line.split("  ")[2] for line in processed.splitlines()[3:]]
    assert "*" not in processed
    assert processed.count("(transductive)") == 2
    assert last.startswith("Board tiny")


def test_exports_rank_as_it_was_scored(tiny: Tiny) -> None:
    plain, expanded = made(tiny, after=["aqe:4,3"])
    files = UserFiles(tiny.folder, protocol=str(tiny.protocol))
    found = list(from_runs([tiny.folder / "runs"], files, Selection(), quiet))
    written = export_descriptors(found, "trec", tiny.folder / "trec", quiet)
    hits = {}
    for path in written:
        if path.suffix == ".run":
            lines = [line.split() for line in path.read_text().splitlines()]
            right = [
                query.split("/")[0] == scene.split("/")[0] for query, _, scene, rank, *_ in lines if int(rank) <= 5
            ]
            hits["aqe" in path.name] = float(np.mean(right))
    assert hits[False] == pytest.approx(plain.metrics["P@5"])
    assert hits[True] == pytest.approx(expanded.metrics["P@5"])
    assert len(export_descriptors(found, "parquet", tiny.folder / "parquet", quiet)) == 1


def test_distorted_targets_are_post_processed_as_well(tiny: Tiny) -> None:
    records = made(tiny, distortions=["haze:3"], after=["aqe:4,3"])
    assert [(bool(one.distortion), bool(one.after)) for one in records] == [
        (False, False),
        (False, True),
        (True, False),
        (True, True),
    ]
    retained = terminal_table(records).split("\n\n")[2]
    assert "retained mAP" in retained
    rows = {line.split("  ")[1].strip() if "Pooled" in line else "": line for line in retained.splitlines()[3:]}
    assert sum("*" in line for line in rows.values()) == 1
    assert "*" not in next(line for line in retained.splitlines() if "aQE" in line)


def test_a_front_end_has_its_effect_on_plain_rankings_alone(tiny: Tiny) -> None:
    plain, expanded = made(tiny, f"wallis+{METHOD}", after=["aqe:4,3"])
    assert plain.effect is not None
    assert expanded.effect is None


def test_an_environment_beside_the_users_file_is_not_the_users(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its packages are not read again with each call, which compiled ones would not survive."""
    packages = tiny.folder / "venv" / "packages"
    (packages / "apart-1.0.dist-info").mkdir(parents=True)
    (packages / "apart.py").write_text("LOADED = []\n")
    monkeypatch.syspath_prepend(str(packages))
    own = plugin(tiny, "own.py", f"import apart\n{OWN}")
    planned(tiny, plugins=[own], after=["manhattan"])
    first = sys.modules["apart"]
    planned(tiny, plugins=[own], after=["manhattan"])
    assert sys.modules["apart"] is first
    del sys.modules["apart"]


def test_the_report_shows_before_and_after(tiny: Tiny) -> None:
    records = made(tiny, after=["aqe:4,3"])
    build_report(records, tiny.folder / "report")
    plainly, expanded = records
    (board,) = (tiny.folder / "report" / "boards").glob("*.html")
    (method,) = (path for path in (tiny.folder / "report" / "methods").glob("timm*.html") if "test_resnet" in path.name)
    for page in (board.read_text(), method.read_text()):
        table = page.split('aria-label="Post-processing, before and after"')[1].split("</table>")[0]
        cells = [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in table.split("<tr>")[2:]]
        assert [row[1] for row in cells] == ["none", "aQE 4,3 (transductive)"]
        assert [row[3] for row in cells] == [f"{one.metrics['mAP']:.4f}" for one in records]
        change = round(expanded.metrics["mAP"], 4) - round(plainly.metrics["mAP"], 4)
        assert cells[1][4] in (f"+{change:.4f}", f"\N{MINUS SIGN}{-change:.4f}")
    assert "aQE" not in (tiny.folder / "report" / "index.html").read_text()


@pytest.mark.parametrize(
    ("change", "state", "said"),
    [
        (("", ""), ["ok", "ok", "ok"], "mAP 0."),
        (
            ("self.power).sum(axis=1)", "self.power).sum(axis=1) + distances.shape[0] * given.gallery[:, 0]"),
            ["ok", "failed", "failed"],
            "rankings differ in blocks of 7 queries, first that of scene ",
        ),
        (("zip(distances", "zip(distances[:0] + nothing"), ["failed", "not run", "not run"], "nothing"),
    ],
)
def test_the_users_kind_is_checked(tiny: Tiny, change: tuple[str, str], state: list[str], said: str) -> None:
    text = OWN.replace(*change, 1) if change[0] else OWN
    assert (text == OWN) == (change[0] == "")
    (report,) = check(str(plugin(tiny, "own.py", text)))
    assert [outcome.state for outcome in report.outcomes] == state
    assert any(said in outcome.detail for outcome in report.outcomes)
    assert report.name == "manhattan"


def test_scenes_with_several_labels(tiny: Tiny) -> None:
    target = Path(tiny.target.removeprefix("folder:"))
    words = {0: "sea", 1: "trees;sand", 2: "sea;trees"}
    names = [f"class{number}/scene{scene:02}.png,{words[number]}" for number in range(3) for scene in range(6)]
    (target / "labels.csv").write_text("\n".join(["filename,labels", *names]))
    (target / "dataset.toml").write_text('labels = "labels.csv"')
    records = made(tiny, after=["aqe:4,3"])
    labels = resolve_dataset(tiny.target, tiny.folder).several
    assert labels is not None
    expected = score(descriptors_of(tiny, records), labels.members, class_names=labels.names, after="aqe:4,3")
    assert records[1].metrics == pytest.approx(expected.overall)
    assert records[1].metrics != records[0].metrics
    (board,) = boards(records)
    (document,) = (one for one in documents(board) if one.name == "postprocessing")
    assert [*document.grids[0].headers[4:]] == ["nDCG@100(g)", "Δ", "mAP(any)", "Δ", "CPU s"]
    for write in FORMATS.values():
        assert "aQE 4,3 (transductive)" in write(document)
