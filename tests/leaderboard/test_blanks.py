import pytest
from factory import BASELINE, JSST, protocol_part, record, scores

from rsir_bench.leaderboard.boards import boards
from rsir_bench.leaderboard.tables import tables

NOT_RUN = "A dash instead of seeds: that method and row was not run on that target."
LACKS = "A dash in a row with seeds: at least one of its records lacks that metric."
UNPUBLISHED = "A dash in a column of the paper: the paper has no such row for that target; Δ needs both values."
SOURCE = "No values on UCM where it is the source: its labels were seen in training."
MOBILE = protocol_part("ucm-mobile")


def blanks(*records):
    (board,) = boards(records)
    return {note for table in tables(board) for note in table.notes if note.startswith(("A dash", "No values"))}


def untrained(label, target):
    return record(label, target=target, protocol=MOBILE).model_copy(update={"source": None})


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([record("a", target="t"), record("b", target="t")], set()),
        ([record("a", target=target) for target in "tu"] + [record("b", target="t")], {NOT_RUN}),
        ([record(target="t", metrics={"mAP": 0.5})], {LACKS}),
        ([record(paper=JSST)], {NOT_RUN}),
        ([record(paper=JSST), record("mine", row="Mine", kind="real")], {NOT_RUN, UNPUBLISHED}),
        ([untrained("timm:x", "ucm"), record("a", target="rsscn7", protocol=MOBILE)], {SOURCE, NOT_RUN}),
        (
            [untrained("timm:x", "ucm"), untrained("timm:x", "rsscn7"), record("a", target="rsscn7", protocol=MOBILE)],
            {SOURCE},
        ),
        (
            [record(seed=0, target="t"), record(seed=1, target="t", metrics=dict(list(scores(0.5).items())[1:]))],
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
