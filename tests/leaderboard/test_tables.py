import pytest
from factory import BASELINE, JSST, modified, protocol_part, record, scores

from rsir_bench.leaderboard.boards import boards, paper_boards
from rsir_bench.leaderboard.tables.build import ablations, tables
from rsir_bench.leaderboard.tables.parts import METRICS, MetricCell
from rsir_bench.records.paper import PaperTable

ABLATION = PaperTable(
    "III",
    "Only spatial or only spectral transformation",
    protocol="patternnet",
    targets=("RS19", "UCM", "RSSCN", "AID", "NWPU"),
    every_row=False,
)


def ablations_of(*records):
    (board,) = boards(records)
    return {table.name: table for table in ablations(board)}


def tables_of(*records, **options):
    (board,) = boards(records)
    return {table.name: table for table in tables(board, **options)}


def lines_of(table, target):
    (block,) = (block for block in table.blocks if block.target == target)
    return {(line.name.label or line.name.title, line.name.row): line for line in block.rows}


def printed(table, target):
    return [(line.name.title, line.name.row, line.seeds) for line in lines_of(table, target).values()]


def test_the_papers_rows_come_in_its_order_and_ours_after_them():
    records = [record("mine", paper=None), record("jsst", paper=JSST), record("baseline", row="FC", paper=BASELINE)]
    lines = printed(tables_of(*records)["I"], "ucm")
    assert len(lines) == 15
    assert lines[:3] == [("BASELINE", "FC", 1), ("ResNet34", "PCA", 0), ("SE", "PCA", 0)]
    assert lines[-3:] == [("JSST", "FC", 0), ("JSST", "PCA", 1), ("MINE", "PCA", 1)]


def test_elsewhere_rows_come_best_first_on_the_first_target():
    values = {"a": {"t": 0.7, "u": 0.9}, "b": {"t": 0.9, "u": 0.7}, "c": {"u": 0.8}, "d": {"u": 0.95}}
    records = [
        record(label, target=target, metrics=scores(best))
        for label, found in values.items()
        for target, best in found.items()
    ]
    table = tables_of(*records)["targets"]
    assert [[row.name.label for row in block.rows] for block in table.blocks] == [["b", "a", "d", "c"]] * 2


def test_targets_come_in_the_papers_order_with_those_not_run():
    table = tables_of(record(target="rsscn7", paper=JSST))["I"]
    assert [block.target for block in table.blocks] == ["RS19", "UCM", "rsscn7"]
    assert [block.extent for block in table.blocks] == ["", "", "2100 scenes, 21 classes"]


def test_a_row_that_was_not_run_has_the_papers_values_alone():
    line = lines_of(tables_of(record(paper=JSST))["I"], "ucm")["CBP", "PCA"]
    assert line.seeds == 0
    assert line.cells["P@100"] == MetricCell(mean=None, sd=None, paper=0.5939)
    assert line.cells["mAP"] == MetricCell()


def test_the_papers_map_stands_beside_ap_at_10h_only():
    cells = lines_of(tables_of(record(paper=JSST, metrics=scores(0.93)))["I"], "ucm")["jsst", "PCA"].cells
    assert cells["AP@10h"].paper == 0.9290
    assert cells["AP@10h"].difference == pytest.approx(0.001)
    assert cells["mAP"].paper is None
    assert cells["mAP"].difference is None


def test_a_difference_is_that_of_the_printed_values():
    assert f"{0.92905:.4f}" == "0.9291"
    assert MetricCell(mean=0.92905, paper=0.9290).difference == 0.0001  # rounding the difference alone gives 0.0
    assert str(MetricCell(mean=0.92899, paper=0.9290).difference) == "0.0"  # and not -0.0


def test_several_of_our_lines_may_stand_beside_one_of_the_paper():
    records = [record(paper=JSST), record(paper=JSST, fit="target")]
    lines = lines_of(tables_of(*records)["I"], "ucm")
    assert lines["jsst", "PCA"].cells["P@5"].paper == lines["jsst", "PCA (target fit)"].cells["P@5"].paper == 0.8871
    assert len(lines) == 15


def test_a_label_of_ours_that_is_a_method_of_the_paper_does_not_fill_its_row():
    lines = [line for block in tables_of(record("SE"))["I"].blocks for line in block.rows if line.name.title == "SE"]
    assert [line.seeds for line in lines if line.name.paper] == [0, 0, 0]
    assert [line.seeds for line in lines if not line.name.paper] == [0, 1, 0]


def test_several_seeds_are_averaged_with_the_sample_standard_deviation():
    table = tables_of(*(record(seed=seed, metrics=scores(best)) for seed, best in enumerate([0.8, 0.9, 0.85])))["I"]
    line = lines_of(table, "ucm")["jsst", "PCA"]
    assert line.seeds == 3
    assert line.cells["AP@10h"].mean == pytest.approx(0.85)
    assert line.cells["AP@10h"].sd == pytest.approx(0.05)


def test_a_single_seed_has_no_spread():
    assert lines_of(tables_of(record())["I"], "ucm")["jsst", "PCA"].cells["P@5"].sd is None


def test_a_metric_that_one_seed_lacks_is_empty():
    partial = {name: value for name, value in scores(0.9).items() if name != "P@100"}
    cells = lines_of(tables_of(record(), record(seed=1, metrics=partial))["I"], "ucm")["jsst", "PCA"].cells
    assert cells["P@100"].mean is None
    assert cells["P@50"].mean == pytest.approx(0.7)


def cells_of(table):
    return [
        cell for block in table.blocks for row in block.rows for cell in row.cells.values() if cell.paper is not None
    ]


def marks(records, metric="P@5"):
    lines = lines_of(tables_of(*records)["targets"], "t")
    return {(label if row == "PCA" else row): line.cells[metric].mark for (label, row), line in lines.items()}


def test_best_and_second_best_are_marked_per_metric():
    values = {"a": 0.7, "b": 0.9, "c": 0.8}
    records = [record(label, target="t", metrics=scores(best)) for label, best in values.items()]
    records.append(record("d", target="t", metrics=scores(0.5) | {"P@50": 0.99}))
    assert marks(records) == {"a": "", "b": "best", "c": "second", "d": ""}
    assert marks(records, "P@50") == {"a": "", "b": "second", "c": "", "d": "best"}


def test_beside_lines_of_five_seeds_no_line_of_fewer_is_the_best():
    def seeds(label, value, count):
        return [record(label, target="t", seed=seed, metrics=scores(value)) for seed in range(count)]

    fewer = [*seeds("a", 0.9, 1), *seeds("b", 0.8, 4), *seeds("c", 0.7, 1)]
    assert marks(fewer) == {"a": "best", "b": "second", "c": ""}
    alone = seeds("d", 0.6, 5)  # the best of one says nothing
    assert set(marks([*fewer, *alone]).values()) == {""}
    several = [*alone, *seeds("e", 0.5, 10), *seeds("f", 0.4, 5)]
    assert marks([*fewer, *several]) == {"a": "", "b": "", "c": "", "d": "best", "e": "second", "f": ""}


def test_values_that_print_alike_share_their_mark():
    values = {"a": 0.90001, "b": 0.90004, "c": 0.8}
    records = [record(label, target="t", metrics=scores(best)) for label, best in values.items()]
    assert marks(records) == {"a": "best", "b": "best", "c": "second"}


def test_a_target_fit_is_never_the_best():
    records = [record("a", target="t"), record("b", target="t", metrics=scores(0.8))]
    records.append(record("a", target="t", fit="target", metrics=scores(0.95)))
    assert marks(records) == {"a": "best", "PCA (target fit)": "", "b": "second"}
    notes = " ".join(tables_of(*records)["targets"].notes)
    assert "marked, among rows that are not fitted on the target." in notes


def test_the_note_on_target_fits_stands_only_where_there_is_one():
    assert "fitted on the target" not in " ".join(tables_of(record())["I"].notes)


def test_a_line_without_rival_is_not_marked():
    assert marks([record(target="t")]) == {"jsst": ""}


def test_best_marks_consider_ours_and_not_the_papers():
    table = tables_of(record(paper=JSST, metrics=scores(0.6)), record("mine", metrics=scores(0.5)))["I"]
    assert lines_of(table, "ucm")["jsst", "PCA"].cells["P@5"].mark == "best"
    assert {line.cells["P@5"].mark for line in lines_of(table, "RS19").values()} == {""}


@pytest.mark.parametrize("part", [protocol_part("aid-lite"), modified("patternnet", "train.rate=0.01")])
def test_elsewhere_the_papers_values_and_rows_are_absent(part):
    table = tables_of(record(paper=JSST, protocol=part), record("baseline", paper=BASELINE, protocol=part))
    table = table["targets"]
    assert not table.shows_paper
    assert [block.target for block in table.blocks] == ["ucm"]
    assert [line.name.label for block in table.blocks for line in block.rows] == ["baseline", "jsst"]
    assert all(line.cells[metric].paper is None for line in table.blocks[0].rows for metric in METRICS)
    assert table.footnotes == ()
    assert any(note.startswith("Not comparable with the paper: ") for note in table.notes)


@pytest.mark.parametrize("change", [{"paper": False}, {"modified": True}, {"name": "mine"}])
def test_any_doubt_about_the_protocol_keeps_the_papers_values_away(change):
    (table,) = tables_of(record(paper=JSST, protocol=protocol_part(**change))).values()
    assert not table.shows_paper


def test_a_board_that_is_not_comparable_says_what_differs():
    def reason(part):
        notes = [note for table in tables_of(record(protocol=part)).values() for note in table.notes]
        (why,) = [note for note in notes if note.startswith("Not comparable")]
        return why

    lite = reason(protocol_part("aid-lite"))
    assert "protocol aid-lite is not patternnet (data.source aid instead of patternnet, data.size 96" in lite
    assert "trunk.mean [0.485, 0.456, 0.406] instead of none" in lite
    assert "train.batch" not in lite
    changed = modified("patternnet", "train.rate=0.01")
    assert f"protocol {changed.board} is not patternnet (train.rate 0.01 instead of 0.001)." in reason(changed)


def test_the_reason_does_not_depend_on_the_order_of_a_records_settings():
    part = protocol_part("aid-lite")
    turned = part.model_copy(update={"settings": dict(reversed(part.settings.items()))})
    names = [table.notes for each in (part, turned) for table in tables_of(record(protocol=each)).values()]
    assert len(names) == 2
    assert names[0] == names[1]


def test_elsewhere_all_targets_are_in_one_table_in_the_order_of_the_protocol():
    part = protocol_part("aid-lite")  # ucm, rsscn7
    found = tables_of(*(record(protocol=part, target=target) for target in ("eurosat", "rsscn7", "ucm", "demo-view")))
    targets = {name: [block.target for block in table.blocks] for name, table in found.items()}
    assert targets == {"targets": ["ucm", "rsscn7", "demo-view", "eurosat"]}


def test_a_board_of_the_paper_has_all_its_tables_and_one_of_further_targets():
    found = tables_of(record(target="eurosat"))
    assert list(found) == ["I", "II", "III", "IV", "V", "VI", "VII", "targets"]
    assert [name for name, table in found.items() if table.ablation] == ["III", "IV", "V", "VI", "VII"]


def test_it_has_them_before_a_single_result():
    numbers = {board.name: [table.name for table in tables(board)] for board in paper_boards()}
    assert numbers == {"patternnet": ["I", "II", "III", "IV", "V", "VI", "VII"], "ucm": ["VIII"]}
    values = [cell for board in paper_boards() for table in tables(board) for cell in cells_of(table)]
    assert len(values) == 150 * 5  # every row of the paper, with its five metrics
    assert all(cell.mean is None for cell in values)


def test_a_target_that_the_paper_lacks_is_not_comparable_on_the_papers_board_either():
    table = tables_of(record(target="eurosat"))["targets"]
    assert not table.shows_paper
    assert any("no values for these targets under protocol patternnet" in note for note in table.notes)


def test_a_line_that_was_not_run_on_one_target_is_empty_there():
    part = protocol_part("aid-lite")
    records = [record("a", target=target, protocol=part) for target in ("ucm", "rsscn7")]
    table = tables_of(*records, record("b", target="ucm", protocol=part))["targets"]
    line = lines_of(table, "rsscn7")["b", "PCA"]
    assert line.seeds == 0
    assert set(line.cells.values()) == {MetricCell()}


def test_the_ucm_protocol_stands_beside_table_viii_and_never_beside_table_i():
    part = protocol_part("ucm")
    records = [record(paper=JSST, protocol=part, target=target) for target in ("rs19", "rsscn7", "aid")]
    found = tables_of(*records)
    assert found.keys() == {"VIII", "targets"}
    cells = lines_of(found["VIII"], "rs19")["jsst", "PCA"].cells
    assert cells["AP@10h"].paper == 0.86  # 0.9432 in Table I
    assert not found["targets"].shows_paper


def test_slips_become_footnotes_of_their_rows():
    table = tables_of(record(paper=JSST))["I"]
    line = lines_of(table, "RS19")["NTS-Net", "PCA"]
    assert table.footnotes[line.footnote - 1].startswith("SUSPECT: all five values equal Table I UCM ResNet34 PCA")
    assert lines_of(table, "ucm")["NTS-Net", "PCA"].footnote is None
    assert len(set(table.footnotes)) == len(table.footnotes)
    assert "All published rows" not in " ".join(table.notes)


def test_a_slip_of_all_rows_is_said_once():
    table = tables_of(record(target="aid", paper=JSST))["II"]
    assert table.footnotes == ()
    assert {line.footnote for block in table.blocks for line in block.rows} == {None}
    assert "All published rows: Table II has no header row; columns read as in Table I." in table.notes


def test_a_further_table_of_the_paper_is_data():
    spatial = JSST.model_copy(update={"variant": "spatial only (SpatT)"})
    records = [
        record("jsst (spectral=none)", title="JSST", paper=spatial, target=target, metrics=scores(0.91))
        for target in ("ucm", "nwpu")
    ]
    table = tables_of(*records, record("mine"), shapes=[ABLATION])["III"]
    assert [block.target for block in table.blocks] == ["RS19", "ucm", "RSSCN", "AID", "nwpu"]
    line = lines_of(table, "ucm")["jsst (spectral=none)", "PCA"]
    assert line.name.title == "JSST (spectral=none)"
    assert line.cells["AP@10h"].difference == pytest.approx(-0.0002)
    assert len(table.blocks[1].rows) == 6  # 'mine' has no row in an ablation table


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("", set()),
        ("spatial only (SpatT)", {"III", "IV"}),
        ("spectral=intra-channel (gamma)", {"V"}),
        ("order=Spec+Spat", {"VI"}),
        ("PGN-I", {"VII"}),
    ],
)
def test_elsewhere_a_question_needs_a_result_that_answers_it(variant, expected):
    part = protocol_part("aid-lite")
    plain = record("baseline", paper=BASELINE, row="FC", kind="real", fit=None, protocol=part, target="t")
    asked = record("x", paper=JSST.model_copy(update={"variant": variant}), protocol=part, target="t")
    found = ablations_of(plain, asked, record("mine", protocol=part, target="t"))
    assert found.keys() == expected
    for table in found.values():
        (block,) = table.blocks
        assert [row.name.label for row in block.rows] == ["baseline", "x"]  # in the paper's order
    assert ablations_of(record("jsst", paper=JSST.model_copy(update={"variant": variant}))) == {}


def test_the_papers_other_words_for_a_variant_stand_beside_ours():
    spatial = JSST.model_copy(update={"variant": "spatial only (SpatT)"})
    table = tables_of(record("jsst-spat", paper=spatial))["IV"]
    assert lines_of(table, "ucm")["jsst-spat", "PCA"].cells["AP@10h"].paper == 0.9233  # and not Table III's 0.9102
    assert "read as spatial conversion alone" in " ".join(table.notes)


def test_a_table_says_which_records_of_its_name_stand_elsewhere_and_why():
    changed = modified("demo", "train.epochs=9")
    now, then = protocol_part("demo"), protocol_part("demo", hash=changed.hash, settings=changed.settings)
    notes = {
        board.protocol.hash: [note for table in tables(board) for note in table.notes if note.startswith("Not here")]
        for board in boards([record(protocol=now, target="t"), record(protocol=then, target="t")])
    }
    assert notes[now.hash] == [f"Not here: records of demo under hash {then.hash} (train.epochs 8 instead of 9)."]
    assert notes[then.hash] == [f"Not here: records of demo under hash {now.hash} (train.epochs 9 instead of 8)."]


def test_a_target_fit_is_not_compared_with_the_best():
    def seeds(label, value, **fields):
        return [
            record(label, seed=seed, target="t", per_class={c: scores(value + seed / 999) for c in "xy"}, **fields)
            for seed in range(5)
        ]

    records = [*seeds("a", 0.8), *seeds("b", 0.7), *seeds("a", 0.9, fit="target")]
    lines = lines_of(tables_of(*records)["targets"], "t")
    marks = {(label, row): line.cells["P@5"].not_worse for (label, row), line in lines.items()}
    assert marks == {("a", "PCA"): True, ("b", "PCA"): False, ("a", "PCA (target fit)"): None}
