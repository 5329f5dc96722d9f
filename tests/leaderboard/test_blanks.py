import pytest
from factory import BASELINE, JSST, protocol_part, record, scores

from rsir_bench.leaderboard.boards import boards
from rsir_bench.leaderboard.tables.build import tables

NOT_RUN = "A dash instead of seeds: not run on that target."
TO_FILL = f"{NOT_RUN} It leads to the command that fills it."
LACKS = "A dash in a row with seeds: at least one of its records lacks that metric."
UNPUBLISHED = "A dash in a column of the paper: the paper has no such row for that target; Δ needs both values."
SOURCE = "No values on UCM where it is the source: its labels were seen in training."
MOBILE = protocol_part("ucm-mobile")


def other(label, target, **changes):
    return record(label, target=target, protocol=MOBILE, **changes)


def blanks(*records):
    (board,) = boards(records)
    return {note for table in tables(board) for note in table.notes if note.startswith(("A dash", "No values"))}


def untrained(label, target):
    return record(label, target=target, protocol=MOBILE).model_copy(update={"source": None})


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([other("a", "t"), other("b", "t")], set()),
        ([other("a", target) for target in "tu"] + [other("b", "t")], {NOT_RUN}),
        ([other("a", "t", metrics={"mAP": 0.5})], {LACKS}),
        ([record(paper=JSST)], {TO_FILL}),
        ([record(paper=JSST), record("mine", row="Mine", kind="real")], {TO_FILL, UNPUBLISHED}),
        ([untrained("timm:x", "ucm"), record("a", target="rsscn7", protocol=MOBILE)], {SOURCE, NOT_RUN}),
        (
            [untrained("timm:x", "ucm"), untrained("timm:x", "rsscn7"), record("a", target="rsscn7", protocol=MOBILE)],
            {SOURCE},
        ),
        (
            [other("a", "t"), other("a", "t", seed=1, metrics=dict(list(scores(0.5).items())[1:]))],
            {LACKS},
        ),
    ],
    ids=["full", "not run", "a metric", "the paper's rows", "ours alone", "source and not run", "source", "one seed"],
)
def test_only_the_reasons_that_a_table_has_are_given(records, expected):
    assert blanks(*records) == expected


def test_elsewhere_nothing_is_said_of_the_papers_columns():
    assert UNPUBLISHED not in blanks(
        record("baseline", paper=BASELINE, protocol=protocol_part("aid-lite")),
        record("m", protocol=protocol_part("aid-lite")),
    )
