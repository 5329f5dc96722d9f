"""Figures from records: they state what the records hold, show methods that can be told apart, and never change."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from made import CLASSES, costs, result, small

from rsir_bench.records.schema import Record
from rsir_bench.report.board_view import BoardView, main_rows, views
from rsir_bench.report.figures import COLOURED, class_values, coloured, figures
from rsir_bench.report.inline import colour_name, style_sheet
from rsir_bench.report.plot_style import COLOURS, DARK, REST, Drawing, in_columns


def drawn(records: list[Record], target: str = "rsscn7") -> dict[str, Drawing]:
    (view,) = views(records)
    (found,) = [entry for entry in view.targets if entry.name == target]
    return {drawing.name.rpartition("-")[2]: drawing for drawing in figures(view, found)}


@pytest.fixture(scope="module")
def drawings() -> dict[str, Drawing]:
    return drawn(small())


def test_each_kind_is_drawn_where_the_records_give_it(drawings: dict[str, Drawing]) -> None:
    assert list(drawings) == ["classes", "costs", "seeds", "robustness"]
    assert list(drawn(small(), "aid")) == ["classes", "costs", "seeds"]
    bare = result("jsst", 0.7, target="aid").model_copy(update={"per_class": {}})
    assert drawn([bare], "aid") == {}


def test_the_finding_by_class_is_in_numbers(drawings: dict[str, Drawing]) -> None:
    # baseline 0.51 on every class; jsst 0.5, 0.4, 0.3
    assert drawings["classes"].alt == (
        "mAP by class on RSSCN7, 2 methods: easiest beach (median 0.505), "
        "hardest <b>harbour</b> & $x$ (median 0.405). Methods differ most on <b>harbour</b> & $x$: "
        "from 0.300 (jsst) to 0.510 (baseline)."
    )


def test_the_finding_on_costs_is_in_numbers(drawings: dict[str, Drawing]) -> None:
    assert drawings["costs"].alt == (
        "mAP on RSSCN7 against cost. "
        "Parameters (M): the best, baseline, has 2 at mAP 0.510; that is the least of all. "
        "MACs (G): the best, baseline, has 1 at mAP 0.510; that is the least of all. "
        "Describing speed, baseline = 1: the best, baseline, has 1 at mAP 0.510; that is the fastest of all."
    )
    dear = drawn(
        [
            result("baseline", 0.8, cost=costs(2e6, 1e9, 9), target="aid"),
            result("se", 0.9, cost=costs(3e6, 1e9, 6), target="aid"),
        ],
        "aid",
    )
    assert "Parameters (M): the best, se, has 3 at mAP 0.600; the least, baseline, 2 at 0.500." in dear["costs"].alt
    assert "the best, se, has 0.6667 at mAP 0.600; the fastest, baseline, 1 at 0.500." in dear["costs"].alt


def test_a_long_label_leaves_room_for_the_points(recwarn: pytest.WarningsRecorder) -> None:
    long = f"jsst ({'jsst.bound=1, ' * 10})"
    drawings = drawn([*small(), *(result(long, 0.7, seed=seed) for seed in (0, 1))])
    assert "seeds" in drawings
    assert [str(warning.message) for warning in recwarn if "constrained_layout" in str(warning.message)] == []


def test_the_finding_over_seeds_is_in_numbers(drawings: dict[str, Drawing]) -> None:
    assert drawings["seeds"].alt == (
        "mAP on RSSCN7 over seeds: widest spread baseline, 0.500 to 0.520 over 2 seeds; "
        "narrowest jsst, 0.400 to 0.400 over 2 seeds."
    )


def test_the_finding_under_distortion_is_in_numbers(drawings: dict[str, Drawing]) -> None:
    # baseline keeps 0.4 and 0.25 of 0.5 (seed 0), jsst 0.35 and 0.275 of 0.4
    assert drawings["robustness"].alt == (
        "mAP on distorted RSSCN7. Over all 2 conditions jsst keeps 78.1 % of it (most) and baseline keeps 65.0 % of it "
        "(least). The heaviest loss is under haze at severity 3: baseline keeps 50.0 %."
    )


def test_a_clean_score_of_0_has_no_heaviest_loss() -> None:
    records = [result("jsst", 0.3, target="rsscn7"), result("jsst", 0.5, distorted=("haze", 1), target="rsscn7")]
    assert drawn(records)["robustness"].alt == "mAP on distorted RSSCN7."


def test_figures_show_the_row_that_a_rule_chooses_not_the_best() -> None:
    rows = [
        result("jsst", 0.9, row="FC", kind="real", fit=None),
        result("jsst", 0.5),
        result("jsst", 0.95, row="PCA", fit="target"),
        result("ldcnn", 0.5, row="GAP", kind="real", fit=None),
        result("ldcnn", 0.9, row="Max Pooling", kind="real", fit=None),
        result("ride", 0.9, row="Embedding", kind="real", fit=None, distorted=("haze", 1)),
    ]
    assert main_rows(rows) == {"jsst": "PCA", "ldcnn": "GAP"}


def test_values_by_class_are_means_over_seeds() -> None:
    (view,) = views([result("jsst", 0.5, seed=0), result("jsst", 0.7, seed=1, slope=0.1)])
    found = class_values(view, view.targets[0])
    assert found is not None
    assert found.classes == ["beach", "forest", "<b>harbour</b> & $x$"]
    assert found.values["jsst"] == pytest.approx([0.35, 0.3, 0.25])


@pytest.fixture(scope="module")
def crowd() -> BoardView:
    labels = [f"m{number:02}" for number in range(20)]
    records = [result(label, 0.9 - place / 50) for place, label in enumerate(labels)]
    (view,) = views([*records, result("baseline", 0.4)])
    return view


def test_eight_of_a_crowd_have_a_colour_and_the_reference_is_one_of_them(crowd: BoardView) -> None:
    found = coloured(crowd)
    assert list(found) == [*(f"m{number:02}" for number in range(COLOURED - 1)), "baseline"]
    for part in ("colour", "marker", "dash"):
        assert len({getattr(look, part) for look in found.values()}) == COLOURED


def test_what_was_run_under_distortions_has_a_colour() -> None:
    crowded = [result(f"m{number:02}", 0.9 - number / 50) for number in range(20)]
    (view,) = views([*crowded, result("baseline", 0.4), result("m15", 0.3, distorted=("haze", 1))])
    assert list(coloured(view)) == [*(f"m{number:02}" for number in range(COLOURED - 2)), "m15", "baseline"]


def test_a_crowd_is_grey_and_counted(crowd: BoardView) -> None:
    (drawing,) = figures(crowd, crowd.targets[0])
    assert "13 other methods" in drawing.file
    assert REST in drawing.file


def test_equal_records_give_equal_bytes_in_any_order(drawings: dict[str, Drawing]) -> None:
    assert drawn(small()[::-1]) == drawings


def test_figures_are_well_formed_transparent_and_without_a_date(drawings: dict[str, Drawing]) -> None:
    for drawing in drawings.values():
        for text in (drawing.file, drawing.inline):
            ElementTree.fromstring(text)
            assert not re.search(r"<dc:date>|Matplotlib v", text)
            assert "#ffffff" not in text


def test_text_stays_text_and_names_are_not_mathematics(drawings: dict[str, Drawing]) -> None:
    words = [
        "".join(found.itertext())
        for found in ElementTree.fromstring(drawings["classes"].file).iter()
        if found.tag.endswith("text")
    ]
    assert "<b>harbour</b> & $x$" in words


def elements(drawing: Drawing) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(drawing.inline).iter())


def test_every_colour_on_a_page_has_a_dark_one(drawings: dict[str, Drawing]) -> None:
    sheet = style_sheet(DARK)
    for drawing in drawings.values():
        styles = " ".join(element.get("style", "") for element in elements(drawing))
        used = set(re.findall(r"#[0-9a-f]{6}", styles))
        assert used <= DARK.keys()
        assert len(used) > 2
        for colour in used:
            assert styles.count(colour) == styles.count(f"var({colour_name(colour)},{colour})")
            assert f"{colour_name(colour)}: {DARK[colour]};" in sheet


def test_figures_on_pages_scale_and_their_parts_refer_to_each_other(drawings: dict[str, Drawing]) -> None:
    known: set[str] = set()
    for drawing in drawings.values():
        root, *_ = parts = elements(drawing)
        assert root.get("viewBox") is not None
        assert root.get("width") is None
        assert root.get("height") is None
        assert root.get("aria-label") == drawing.alt
        ids = {part.get("id") for part in parts if part.get("id")}
        assert not ids & known  # no figure of a page takes the markers of another
        known |= ids
        asked = [part.get("href") for part in parts if part.tag.endswith("use")]
        asked += [clip[4:-1] for part in parts if (clip := part.get("clip-path"))]
        assert {name[1:] for name in asked} == ids
        assert not any("{" in key or key.startswith("xlink") for part in parts for key in part.attrib)


def titles(drawing: Drawing) -> list[str]:
    return [part.text or "" for part in elements(drawing) if part.tag.endswith("title")]


def test_every_point_has_its_name_and_its_value(drawings: dict[str, Drawing]) -> None:
    assert sorted(titles(drawings["classes"])) == sorted(
        [
            "baseline",
            "jsst",
            *(f"baseline, {name}: 0.510" for name in CLASSES),
            *(f"jsst, {name}: {value:.3f}" for name, value in zip(CLASSES, (0.5, 0.4, 0.3), strict=True)),
        ]
    )
    assert "jsst: Parameters (M) 3, mAP 0.400" in titles(drawings["costs"])
    assert "baseline: 0.5200" in titles(drawings["seeds"])
    assert "baseline, mean of 2 seeds: 0.5100" in titles(drawings["seeds"])
    assert "jsst, haze 3: 0.275" in titles(drawings["robustness"])


def test_the_title_of_a_point_is_on_that_point(drawings: dict[str, Drawing]) -> None:
    """Points that are further right have the greater value."""
    root = ElementTree.fromstring(drawings["classes"].inline)
    found = []
    for point in root.iter("{http://www.w3.org/2000/svg}use"):
        if (title := point.find("{http://www.w3.org/2000/svg}title")) is not None:
            found.append((float(point.attrib["x"]), float((title.text or "").rpartition(" ")[2])))
    assert len(found) == 6
    assert [value for _, value in sorted(found)] == sorted(value for _, value in found)


def test_long_names_are_short_in_figures_and_whole_on_hover() -> None:
    long = "timm:resnet34@weights.safetensors (timm.arguments={'pad_type': 'same'}, timm.mean=[0.5, 0.5, 0.5])"
    drawing = drawn([*small(), result(long, 0.7, target="rsscn7")])["classes"]
    assert "timm:resnet34 (…)" in drawing.file
    assert "pad_type" not in drawing.file
    assert long in titles(drawing)
    assert "pad_type" not in drawing.alt


def test_figures_fill_two_columns_of_about_the_same_height(drawings: dict[str, Drawing]) -> None:
    def stub(name: str, height: float) -> Drawing:
        return replace(drawings["classes"], name=name, height=height)

    tall = [stub("classes", 2.6), stub("costs", 3.2), stub("seeds", 5.8), stub("robustness", 6.3)]
    assert [[one.name for one in column] for column in in_columns(tall)] == [
        ["classes", "robustness"],
        ["costs", "seeds"],
    ]
    assert in_columns(tall[:1]) == [tall[:1], []]
    assert in_columns([]) == [[], []]


def contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colour", COLOURS)
def test_colours_stand_out_from_either_page(colour: str) -> None:
    assert contrast(colour, "#fcfcfa") > 2
    assert contrast(DARK[colour], "#13171b") > 4.5


def test_a_row_with_a_doubt_is_neither_the_best_nor_drawn() -> None:
    doubtful = result("jsst", 0.95, cost=costs(1e6, 1e9, 9), target="aid").model_copy(update={"doubts": ("chance",)})
    sound = [
        result(name, best, cost=costs(2e6, 1e9, 9), target="aid") for name, best in (("baseline", 0.8), ("se", 0.7))
    ]
    (view,) = views([*sound, doubtful])
    assert [one.label for one in view.main] == ["baseline", "se", "jsst"]
    made = drawn([*sound, doubtful], "aid")
    assert made["costs"].alt.startswith(
        "mAP on AID against cost. Parameters (M): the best, baseline, has 2 at mAP 0.500;"
    )
    assert made["classes"].alt.startswith("mAP by class on AID, 2 methods:")
    for one in made.values():
        assert one.caption.endswith("Left out, as their values do not measure retrieval: jsst.")
