import itertools
import re

import pytest
from factory import modified, protocol_part, record, scores

from rsir_bench.base.errors import UserError
from rsir_bench.leaderboard.boards import boards
from rsir_bench.records.cells import row_label
from rsir_bench.records.schema import SourcePart


def test_each_protocol_has_a_board_of_its_own():
    changed = modified("patternnet", "train.rate=0.01")
    found = boards([record(protocol=part) for part in (protocol_part("ucm"), changed, protocol_part())])
    assert [board.name for board in found] == ["patternnet", changed.board, "ucm"]
    assert [len(board.records) for board in found] == [1, 1, 1]


def test_a_board_says_only_what_was_changed_for_all_of_its_records():
    changes = [["methods.se.ratio=4", "train.rate=0.01"], ["train.rate=0.01"]]
    records = [record(seed=seed, protocol=protocol_part(overrides=each)) for seed, each in enumerate(changes)]
    (board,) = boards(records)
    assert board.protocol.overrides == ["train.rate=0.01"]
    assert [one.protocol.overrides for one in board.records] == changes


def test_the_order_of_the_records_does_not_matter():
    records = [
        record(label, seed=seed, target=target) for label in "ba" for seed in (1, 0) for target in ("ucm", "aid")
    ]
    first = boards(records)
    places = [(r.target.name, r.method.label, r.seed) for r in first[0].records]
    assert places == sorted(places)
    assert all(boards(order) == first for order in itertools.islice(itertools.permutations(records), 0, 40320, 997))


def test_two_versions_of_a_protocol_do_not_share_a_folder():
    old = protocol_part("demo", hash="000000000000")
    new = protocol_part("demo", hash="111111111111")
    found = boards([record(protocol=new), record(protocol=old)])
    assert [board.name for board in found] == ["demo-000000000000", "demo-111111111111"]
    assert [[other.hash for other in board.siblings] for board in found] == [["111111111111"], ["000000000000"]]
    assert boards([record(protocol=new)])[0].siblings == ()


def test_protocols_with_equal_settings_and_different_names_do_not_share_a_board():
    mine = protocol_part(name="mine", board="mine~1234", paper=False)
    assert [board.name for board in boards([record(protocol=mine), record()])] == ["mine~1234", "patternnet"]


def test_a_refusal_counts_the_records_and_names_a_file_of_each_side():
    records = [*(record(seed=seed, metric_version=1) for seed in range(3)), record("mine", metric_version=2)]
    with pytest.raises(UserError) as refusal:
        boards(records)
    message = str(refusal.value)
    assert message.startswith("board patternnet: the metrics has different versions: 1 (3 records, for example jsst, ")
    assert f"seed 0, target ucm, file *-{records[0].key[:8]}.json, created 2026-01-01" in message
    assert f"2 (mine, seed 0, target ucm, file *-{records[3].key[:8]}.json" in message
    with pytest.raises(UserError, match=re.escape(message)):
        boards(reversed(records))


def test_a_refusal_names_everything_that_differs():
    with pytest.raises(UserError) as refusal:
        boards([record(), record(seed=1, version=2, metric_version=2)])
    assert "method jsst has different versions: 1 (" in str(refusal.value)
    assert "also the metrics has different versions" in str(refusal.value)


@pytest.mark.parametrize("changes", [{"version": 2}, {"method_settings": {"padding": "zeros"}}])
def test_seeds_of_two_versions_of_a_method_are_refused(changes):
    with pytest.raises(UserError, match=r"method jsst has different (versions|settings)"):
        boards([record(seed=0), record(seed=1, **changes)])


def test_seeds_with_other_unlabelled_scenes_or_another_reading_of_the_source_are_refused():
    def trained_on(pool, reading="", seed=0):
        found = record("self-training", seed=seed)
        parts = {"source": found.source.model_copy(update={"reading": reading}), "unlabelled": pool}
        return found.model_copy(update=parts)

    one, two = (SourcePart(name="aid", fingerprint=print_, scenes=20) for print_ in ("f00d", "beef"))
    with pytest.raises(UserError, match=r"self-training, row PCA, on ucm has different unlabelled scenes: aid beef \("):
        boards([trained_on(one), trained_on(two, seed=1)])
    with pytest.raises(UserError, match=r"different readings of the source: 8-bit RGB \(.*; \[\[0, 1, 2\], \[0, 9\]\]"):
        boards([trained_on(one), trained_on(one, "[[0, 1, 2], [0, 9]]", seed=1)])
    assert len(boards([trained_on(one), trained_on(one, seed=1), trained_on(None, seed=2)])) == 1  # an older record


def test_other_fingerprints_on_another_board_are_no_reason_to_refuse():
    assert len(boards([record(), record(protocol=protocol_part("ucm"), fingerprint="beef")])) == 2


def test_fingerprints_belong_to_their_dataset():
    assert len(boards([record(target="ucm"), record(target="aid", fingerprint="beef")])) == 1


def test_an_identical_record_counts_once():
    assert len(boards([record(), record()])[0].records) == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"created": "2027-01-01T00:00:00Z"}, "created"),
        ({"metrics": scores(0.8)}, "metrics.P@5"),
        ({"key": "another key"}, "key"),
    ],
)
def test_two_records_of_one_cell_and_seed_are_refused(changes, field):
    with pytest.raises(UserError, match=f"jsst on ucm, row PCA, seed 0 differ in .*{field}"):
        boards([record(), record(**changes)])


def test_two_cells_with_one_key_are_refused():
    records = [record(key="k"), record(key="k", target="aid")]
    with pytest.raises(UserError, match=r"differ in .*target\.name") as refusal:
        boards(records)
    with pytest.raises(UserError, match=re.escape(str(refusal.value))):
        boards(reversed(records))


@pytest.mark.parametrize("name", ["../elsewhere", "", "a/b", ".hidden"])
def test_a_board_that_is_no_folder_is_refused(name):
    with pytest.raises(UserError, match="not a valid folder name"):
        boards([record(protocol=protocol_part(board=name))])


@pytest.mark.parametrize(
    ("row", "label"),
    [
        ({}, "PCA"),
        ({"fit": "target"}, "PCA (target fit)"),
        ({"dimensions": 64}, "PCA (64 dimensions)"),
        ({"dimensions": 64, "fit": "target"}, "PCA (64 dimensions, target fit)"),
        ({"row": "FC", "kind": "real", "dimensions": 38, "fit": None}, "FC"),
        ({"row": "Hashing", "kind": "code", "dimensions": 32, "fit": None}, "Hashing"),
    ],
)
def test_a_row_is_named_with_what_its_pca_has_that_is_not_the_protocols(row, label):
    assert row_label(record(**row)) == label


def test_a_row_of_the_protocols_own_dimensions_needs_no_particulars():
    assert row_label(record(dimensions=64, protocol=modified("patternnet", "describe.pca=64"))) == "PCA"


def test_rows_of_different_fits_are_not_the_same_cell():
    assert len(boards([record(), record(fit="target")])[0].records) == 2


def test_no_records_make_no_boards():
    assert boards([]) == []
