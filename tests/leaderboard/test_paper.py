import pytest

from rsir_bench.records.paper import (
    HASHING_SLIP,
    PAPER_TABLES,
    PaperTable,
    own_rows,
    paper_row,
    published,
    published_rows,
)
from rsir_bench.records.schema import PaperRow

SHAPES = {shape.name: shape for shape in PAPER_TABLES}


@pytest.mark.parametrize(
    ("name", "rows_per_target"),
    [("I", 14), ("II", 7), ("III", 6), ("IV", 5), ("V", 4), ("VI", 5), ("VII", 4), ("VIII", 5)],
)
def test_every_target_of_a_table_has_all_its_rows(name, rows_per_target):
    entries = published(SHAPES[name])
    for target in SHAPES[name].targets:
        assert len({entry.row for entry in entries if entry.target == target}) == rows_per_target
    assert {entry.target for entry in entries} == set(SHAPES[name].targets)


def test_what_the_paper_prints_as_map_is_ap_at_10h():
    entry = next(e for e in published(SHAPES["I"]) if e.target == "RS19" and e.row.method == "JSST")
    assert entry.row == PaperRow(method="JSST", variant="", pooling="FC")
    assert entry.values == {"AP@10h": 0.9099, "P@5": 0.8755, "P@10": 0.8413, "P@50": 0.6129, "P@100": 0.4019}
    assert all("mAP" not in entry.values for shape in PAPER_TABLES for entry in published(shape))


def test_the_first_and_the_last_row_are_the_papers():
    rows = [entry.row for entry in published(SHAPES["I"])]
    assert rows[0] == PaperRow(method="ResNet34", variant="baseline", pooling="FC")
    assert rows[-1] == PaperRow(method="JSST", variant="", pooling="PCA")


def test_slips_are_kept_and_typography_is_not():
    slips = {(entry.target, entry.row.method): entry.slip for entry in published(SHAPES["I"])}
    assert slips["RS19", "NTS-Net"].startswith("SUSPECT: all five values equal Table I UCM ResNet34 PCA; unusable")
    assert slips["UCM", "NTS-Net"] == slips["RS19", "JSST"] == slips["RS19", "SE"] == ""
    assert slips["RS19", "DHN"] == HASHING_SLIP
    assert slips["RS19", "MiLaN"].endswith(f"; {HASHING_SLIP}")
    assert not any("printed as" in slip or "bold" in slip for slip in slips.values())


def test_variants_are_named_in_our_words():
    variants = [entry.row.variant for entry in published(SHAPES["VIII"]) if entry.target == "RS19"]
    assert variants[0] == variants[-1] == ""
    assert variants[1].startswith("iteration1")


def test_the_paper_has_eight_tables_and_150_rows():
    assert list(SHAPES) == ["I", "II", "III", "IV", "V", "VI", "VII", "VIII"]
    assert sum(len(published(shape)) for shape in PAPER_TABLES) == 150


def test_an_ablation_table_is_about_the_rows_that_no_other_has():
    variants = {name: {row.variant for row in own_rows(shape)} for name, shape in SHAPES.items() if not shape.every_row}
    assert variants == {
        "III": {"spatial only (SpatT)", "spectral only (SpecT)"},
        "IV": {"spatial=TPS", "spatial only (SpatT)"},
        "V": {"spectral=intra-channel (gamma)", "spectral only (SpecT)"},
        "VI": {"order=Hybrid", "order=Spec+Spat"},
        "VII": {"PGN-I"},
    }


def test_a_table_that_the_paper_does_not_have_has_no_values():
    assert published(PaperTable("targets", "", protocol="patternnet", targets=("UCM",))) == []


def test_every_printed_row_is_known_and_a_comma_tells_rows_of_one_pooling_apart():
    rows = published_rows()
    assert paper_row("PCA", ("JSST", "PGN-I")) in rows  # of an ablation table
    assert paper_row("PCA, iteration 2", ("JSST", "PGN-I")) == paper_row("PCA", ("JSST", "PGN-I"))
    assert paper_row("FC", ("JSST", "PGN-I")) not in rows
