import numpy as np
import pytest
from factory import modified, protocol_part, record

from rsir_bench.base.errors import UserError
from rsir_bench.leaderboard.boards import boards, find_board
from rsir_bench.leaderboard.pages.paper import document as table_document
from rsir_bench.leaderboard.significance import is_apart, not_worse, usual_machine
from rsir_bench.leaderboard.statistics import not_worse_than_best
from rsir_bench.leaderboard.tables.build import tables


def line(label, mean, seeds=5, classes=4, chance=0):
    rng = np.random.default_rng([chance, seeds])
    values = mean + rng.normal(0, 0.01, (seeds, classes))
    return [
        record(label, seed=seed, per_class={f"c{n}": {"mAP": float(v)} for n, v in enumerate(row)})
        for seed, row in enumerate(values)
    ]


def marks_of(lines, metric):
    return not_worse(lines, metric, usual_machine(lines))


def test_marks_are_those_of_the_statistics():
    lines = [line("a", 0.5), line("b", 0.502, chance=1), line("c", 0.3, chance=2), line("d", 0.9, seeds=4)]
    scores = {str(n): [[c["mAP"] for c in one.per_class.values()] for one in of] for n, of in enumerate(lines)}
    assert marks_of(lines, "mAP") == [True, True, False, None] == list(not_worse_than_best(scores).values())


def test_the_order_of_a_records_classes_does_not_matter():
    lines = [line("a", 0.5), line("b", 0.49, chance=1)]
    steep = {f"c{n}": {"mAP": n / 10} for n in range(4)}
    lines[0] = [one.model_copy(update={"per_class": steep}) for one in lines[0]]
    turned = [one.model_copy(update={"per_class": dict(reversed(steep.items()))}) for one in lines[0]]
    assert marks_of([turned, lines[1]], "mAP") == marks_of(lines, "mAP")


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [line("a", 0.5)],
        [line("a", 0.5), line("b", 0.4, seeds=4)],
        [line("a", 0.5, seeds=1), line("b", 0.4, seeds=1)],
        [line("a", 0.5), []],
        [line("a", 0.5, classes=1), line("b", 0.4, classes=1)],
        [line("a", 0.5), [one.model_copy(update={"per_class": {}}) for one in line("b", 0.4)]],
    ],
    ids=["none", "alone", "four seeds", "one seed", "not run", "one class", "no classes"],
)
def test_nothing_to_compare_is_not_tested(lines):
    assert marks_of(lines, "mAP") == [None] * len(lines)


def test_a_metric_that_one_seed_lacks_is_not_tested():
    lines = [line("a", 0.5), line("b", 0.4), line("c", 0.45)]
    lines[1][2] = lines[1][2].model_copy(update={"per_class": {f"c{n}": {} for n in range(4)}})
    assert [mark is None for mark in marks_of(lines, "mAP")] == [False, True, False]
    assert marks_of(lines, "P@5") == [None, None, None]


def made_on(records, device, precision="32"):
    return [one.model_copy(update={"environment": {"device": device, "precision": precision}}) for one in records]


@pytest.mark.parametrize(
    "other",
    [("cuda (H200)", "32"), ("cpu (EPYC)", "bf16")],
    ids=["device", "precision"],
)
def test_rows_of_another_device_or_precision_are_not_tested(other):
    usual = [
        made_on(line(name, mean, chance=n), "cpu (Xeon)") for n, (name, mean) in enumerate([("a", 0.5), ("b", 0.3)])
    ]
    apart = made_on(line("c", 0.9, chance=2), *other)
    mixed = [*made_on(line("d", 0.9, chance=3), "cpu (Xeon)")[:4], made_on(line("d", 0.9), *other)[4]]
    lines = [*usual, apart, mixed]
    assert [is_apart(one, usual_machine(lines)) for one in lines] == [False, False, True, True]
    assert marks_of(lines, "mAP") == [True, False, None, None]
    models = [*usual, made_on(line("c", 0.9, chance=2), "cpu (EPYC)")]  # of one kind
    assert [is_apart(one, usual_machine(models)) for one in models] == [False, False, False]
    assert marks_of(models, "mAP") == [False, False, True]


def test_tables_mark_what_was_made_apart():
    lines = [made_on(line(name, 0.5, seeds=1), "cpu") for name in "ab"] + [made_on(line("c", 0.5, seeds=1), "cuda")]
    board = find_board([one for of in lines for one in of], "patternnet", [])
    (shown,) = [table for table in tables(board) if any(row.apart for block in table.blocks for row in block.rows)]
    rows = [row for block in shown.blocks for row in block.rows if row.seeds]
    assert {row.name.label: row.apart for row in rows} == {"a": False, "b": False, "c": True}
    assert any(note.startswith("†") for note in shown.notes)
    cells = [cell for grid in table_document(shown).grids for row in grid.rows for cell in row.cells]
    assert [(cell.text, cell.superscript) for cell in cells if not cell.superscript.isdigit() and cell.superscript] == [
        ("1", "†")
    ]


def test_rows_that_do_not_compete_do_not_say_what_is_usual():
    ours = [made_on(line(name, mean, chance=n), "cpu") for n, (name, mean) in enumerate([("a", 0.5), ("b", 0.3)])]
    other = made_on(line("c", 0.4, chance=2), "cuda")
    fits = [
        one.model_copy(update={"key": f"f{one.key}", "row": one.row.model_copy(update={"fit": "target"})})
        for one in other
    ]
    row = other[0].row.model_copy(update={"name": "FC"})
    doubtful = [
        one.model_copy(update={"key": f"d{one.key}", "row": row, "doubts": ("all descriptors are equal",)})
        for one in other
    ]
    (board,) = boards([one for of in (*ours, other, fits, doubtful) for one in of])
    rows = [row for table in tables(board) for block in table.blocks for row in block.rows if row.seeds]
    found = {(row.name.label, row.name.row): (row.apart, row.cells["mAP"].not_worse) for row in rows}
    assert found["a", "PCA"] == (False, True)
    assert found["b", "PCA"] == (False, False)
    assert {state for (label, _), state in found.items() if label == "c"} == {(True, None)}


def test_a_board_is_found_among_others():
    records = [record("a"), record("b"), record("a", protocol=protocol_part("demo"))]
    board = find_board(records, "patternnet", ["a", "b"])
    assert (board.name, len(board.records)) == ("patternnet", 2)


def test_records_of_two_protocols_are_never_one_board():
    other = modified("patternnet", "train.epochs=50")
    records = [record("a"), record("a", seed=1, protocol=other.model_copy(update={"board": "patternnet"}))]
    with pytest.raises(UserError, match="'patternnet': several have that name; choose one of patternnet-") as found:
        find_board(records, "patternnet", ["a"])
    for name in str(found.value).partition("choose one of ")[2].split(", "):
        assert len(find_board(records, name, ["a"]).records) == 1


@pytest.mark.parametrize(
    ("name", "methods", "words"),
    [
        ("ucm", ["a"], "board 'ucm': none has that name; choose one of patternnet"),
        ("patternnet", ["a", "c"], "method 'c': not on board patternnet; choose one of a, b"),
    ],
)
def test_an_unknown_board_or_method_is_refused(name, methods, words):
    with pytest.raises(UserError, match=words):
        find_board([record("a"), record("b")], name, methods)
