"""The leaderboard of a board: targets side by side, best first, and differences from the baseline."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytest
from factory import protocol_part, record
from scipy import stats

from rsir_bench.leaderboard.boards import boards
from rsir_bench.leaderboard.documents import documents
from rsir_bench.leaderboard.formats import comma_separated, markdown
from rsir_bench.leaderboard.grids import EMPTY, MINUS, Document
from rsir_bench.records.cells import short_titles
from rsir_bench.records.schema import Record
from rsir_bench.scenes.card import load_cards

PART = protocol_part("demo")
CLASSES = [f"c{number}" for number in range(7)]
EFFECTS = np.linspace(0.3, 0.6, len(CLASSES))


def seeds(label: str, luck: np.ndarray | list[float], target: str = "t", **changes: Any) -> list[Record]:
    """A record for each seed, whose classes differ by the same for all seeds: there is no interaction."""
    found = []
    for seed, shift in enumerate(luck):
        values = {name: {"mAP": float(effect + shift)} for name, effect in zip(CLASSES, EFFECTS, strict=True)}
        metrics = {"mAP": float(EFFECTS.mean() + shift), "P@5": 0.5}
        one = {"seed": seed, "target": target, "per_class": values, "metrics": metrics, "protocol": PART}
        found.append(record(label, **{**one, **changes}))
    return found


def page(*records: Record, metrics: list[str] | None = None) -> Document:
    (board,) = boards(records)
    return next(document for document in documents(board, metrics=metrics) if document.name == "leaderboard")


def lines(document: Document, caption: str = "mAP") -> dict[tuple[str, str], dict[str, str]]:
    """By method and row the cells by header; a second column of a name has a number."""
    (shown,) = (grid for grid in document.grids if grid.caption == caption)
    headers = [f"{name}{shown.headers[:place].count(name) or ''}" for place, name in enumerate(shown.headers)]
    rows = [[cell.text for cell in row.cells] for row in shown.rows]
    return {(row[0], row[1]): dict(zip(headers, row, strict=True)) for row in rows}


def luck(number: int, mean: float, count: int = 5) -> np.ndarray:
    return mean + np.random.default_rng(number).normal(0, 0.01, count)


def printed(mean: float, low: float, high: float) -> str:
    def signed(value: float) -> str:
        return f"{'+' if value > 0 else MINUS}{abs(value):.3f}"

    return f"{signed(mean)} ({signed(low)} to {signed(high)})"


def test_a_difference_and_its_interval_are_welchs_where_classes_agree() -> None:
    ours, plain = luck(1, 0.02), luck(2, 0, 10)
    welch = stats.ttest_ind(ours, plain, equal_var=False).confidence_interval()
    document = page(*seeds("a", ours), *seeds("baseline", plain))
    found = lines(document, "mAP, difference from baseline")
    expected = printed(ours.mean() - plain.mean(), welch.low, welch.high)
    assert found == {("A", "PCA"): {"Method": "A", "Row": "PCA", "Seeds": "5", "T": expected}}
    assert lines(document)["A", "PCA"]["Δ"] == printed(ours.mean() - plain.mean(), 1, 1).partition(" ")[0]
    assert lines(document)["BASELINE", "PCA"]["Δ"] == EMPTY


def test_the_mean_difference_takes_a_seed_for_one_training() -> None:
    """The luck of a seed is the same on both targets, so that two targets tell no more than one."""
    ours, plain = luck(1, 0.02), luck(2, 0, 10)
    records = [one for target in ("t", "u") for one in (*seeds("a", ours, target), *seeds("baseline", plain, target))]
    welch = stats.ttest_ind(ours, plain, equal_var=False).confidence_interval()
    cells = lines(page(*records), "mAP, difference from baseline")["A", "PCA"]
    assert (
        cells["Mean over targets"]
        == cells["T"]
        == cells["U"]
        == printed(ours.mean() - plain.mean(), welch.low, welch.high)
    )


def test_the_mean_difference_needs_every_target_and_the_same_seeds() -> None:
    plain = [one for target in ("t", "u") for one in seeds("baseline", luck(0, 0), target)]
    whole = [one for target in ("t", "u") for one in seeds("whole", luck(1, 0.02), target)]
    partly = seeds("partly", luck(2, 0.02), "t")
    uneven = [*seeds("uneven", luck(3, 0.02), "t"), *seeds("uneven", luck(3, 0.02, 6), "u")]
    found = lines(page(*plain, *whole, *partly, *uneven), "mAP, difference from baseline")
    assert next(iter(found)) == ("WHOLE", "PCA")  # what has no mean over targets comes last
    assert {method for method, _ in found} == {"WHOLE", "PARTLY", "UNEVEN"}
    has_mean = {method for (method, _), cells in found.items() if cells["Mean over targets"] != EMPTY}
    assert has_mean == {"WHOLE"}
    assert "(" in found["PARTLY", "PCA"]["T"]
    assert found["PARTLY", "PCA"]["U"] == EMPTY
    assert "(" in found["UNEVEN", "PCA"]["U"]


@pytest.mark.parametrize("change", ["fewer seeds", "another device", "made elsewhere", "no classes"])
def test_what_is_not_tested_has_no_interval(change: str) -> None:
    ours = seeds("a", luck(1, 0.02, 4 if change == "fewer seeds" else 5))
    if change == "another device":
        ours = [one.model_copy(update={"environment": {"device": "cuda (x)"}}) for one in ours]
    if change == "made elsewhere":
        part = {"kind": "record", "by": "somebody", "made_on": "there"}
        ours = [Record.model_validate({**one.model_dump(), "origin": part}) for one in ours]
    if change == "no classes":
        ours = [one.model_copy(update={"per_class": {}}) for one in ours]
    document = page(*ours, *seeds("baseline", luck(2, 0)))
    mean = np.mean([one.metrics["mAP"] for one in ours]) - np.mean(EFFECTS + luck(2, 0).mean())
    assert lines(document)["A", "PCA"]["Δ"] == f"+{mean:.3f}"
    assert "what an interval needs: five seeds on one kind of machine" in " ".join(document.notes)


def test_a_row_that_the_baseline_lacks_is_compared_with_its_pca() -> None:
    records = [
        *seeds("baseline", [0.0]),
        *seeds("baseline", [-0.1], row="FC", kind="real", fit=None),
        *seeds("a", [0.05], row="FC", kind="real", fit=None),
        *seeds("a", [0.05], row="Hashing", kind="code", fit=None),
        *seeds("a", [0.05], fit="target"),
    ]
    found = lines(page(*records))
    assert found["A", "FC"]["Δ"] == "+0.150"
    assert found["A", "Hashing"]["Δ"] == "+0.050"
    assert found["A", "PCA (target fit)"]["Δ"] == EMPTY  # the baseline's was not fitted there


def test_without_a_baseline_there_are_no_differences() -> None:
    document = page(*seeds("a", luck(1, 0)), *seeds("b", luck(2, 0)))
    assert document.grids[0].headers == ("Method", "Row", "Seeds", "T")
    assert "Δ" not in markdown(document)


@pytest.mark.parametrize("known", ["by the card", "by the record", "not at all"])
def test_a_difference_is_that_of_the_means_over_queries_where_classes_have_different_sizes(known: str) -> None:
    """AID has 220 to 420 scenes of a class: means over classes would differ from the values of the table."""
    card = load_cards()["aid"]
    counts = np.array([one.scenes for one in card.classes])
    names = [one.name for one in card.classes]
    by_class = dict(zip(names, counts.tolist(), strict=True)) if known == "by the record" else {}
    rng = np.random.default_rng(0)

    def made(label: str, shift: np.ndarray) -> list[Record]:
        found = []
        for seed in range(5):
            values = np.linspace(0.2, 0.8, len(counts)) + shift + rng.normal(0, 0.005, len(counts))
            one = record(
                label,
                seed=seed,
                target="aid" if known == "by the card" else "own",
                protocol=PART,
                per_class={name: {"mAP": float(value)} for name, value in zip(names, values, strict=True)},
                metrics={"mAP": float(values @ counts / counts.sum())},
            )
            target = one.target.model_copy(update={"scenes": 10000})
            queries = one.queries.model_copy(update={"count": 10000, "by_class": by_class})
            found.append(one.model_copy(update={"target": target, "queries": queries}))
        return found

    ours, plain = made("a", 0.1 * (counts > 300)), made("baseline", np.zeros(len(counts)))
    means = [np.mean([one.metrics["mAP"] for one in of]) for of in (ours, plain)]
    of_classes = [np.mean([[v["mAP"] for v in one.per_class.values()] for one in of]) for of in (ours, plain)]
    assert abs((means[0] - means[1]) - (of_classes[0] - of_classes[1])) > 0.005
    document = page(*ours, *plain)
    if known == "not at all":
        assert lines(document)["A", "PCA"]["Δ"] == f"+{means[0] - means[1]:.3f}"
        return
    (found,) = (list(cells.values())[-1] for cells in lines(document, "mAP, difference from baseline").values())
    mean, low, high = (
        float(word.replace(MINUS, "-")) for word in found.replace("(", "").replace(")", "").split() if word != "to"
    )
    assert mean == pytest.approx(means[0] - means[1], abs=6e-4)
    assert (low + high) / 2 == pytest.approx(mean, abs=1e-3)


def test_each_metric_is_best_first_by_the_mean_over_all_targets() -> None:
    values = {"a": {"t": 0.1, "u": 0.4}, "b": {"t": 0.3, "u": 0.3}, "c": {"t": 0.2, "u": 0.2}, "d": {"t": 0.9}}
    records = [
        record(label, target=target, protocol=PART, metrics={"mAP": value, "P@5": 1 - value})
        for label, found in values.items()
        for target, value in found.items()
    ]
    document = page(*records)
    assert [grid.caption for grid in document.grids] == ["mAP", "P@5"]
    assert [name for name, _ in lines(document, "mAP")] == ["B", "A", "C", "D"]  # d was not run on every target
    assert [name for name, _ in lines(document, "P@5")] == ["C", "A", "B", "D"]
    assert lines(document)["D", "PCA"] == {"Method": "D", "Row": "PCA", "Seeds": "1", "T": "0.900", "U": EMPTY}


def test_metrics_that_are_asked_for_have_a_grid_each() -> None:
    document = page(*seeds("a", [0.0]), metrics=["P@5"])
    assert [grid.caption for grid in document.grids] == ["P@5"]


def test_what_is_printed_alike_is_marked_alike() -> None:
    values = {"a": 0.5003, "b": 0.4997, "c": 0.4}
    document = page(
        *(record(label, target="t", protocol=PART, metrics={"mAP": value}) for label, value in values.items())
    )
    assert [row.cells[3].mark for row in document.grids[0].rows] == ["best", "best", ""]


def test_the_sign_of_what_is_not_worse_is_there_only_where_it_separates() -> None:
    alike = [*seeds("a", luck(1, 0)), *seeds("b", luck(2, 0)), *seeds("c", luck(3, 0))]
    assert "≈" not in markdown(page(*alike))
    apart = markdown(page(*alike, *seeds("d", luck(4, -0.2))))
    assert apart.count("<sup>≈</sup>") == 3
    assert "≈: not shown to be worse" in apart


def test_the_csv_file_has_every_metric_of_the_tables_and_the_differences() -> None:
    ours, plain = luck(1, 0.02), luck(2, 0, 10)
    records = [one for target in ("t", "u") for one in (*seeds("a", ours, target), *seeds("baseline", plain, target))]
    rows = list(csv.DictReader(io.StringIO(comma_separated(page(*records)))))
    assert [(row["method"], row["target"]) for row in rows] == [
        ("a", "t"),
        ("a", "u"),
        ("a", "mean over targets"),
        ("baseline", "t"),
        ("baseline", "u"),
    ]
    welch = stats.ttest_ind(ours, plain, equal_var=False).confidence_interval()
    for row in rows[:3]:
        assert row["mAP minus baseline"] == f"{ours.mean() - plain.mean():.4f}"
        assert (row["mAP minus baseline low"], row["mAP minus baseline high"]) == (
            f"{welch.low:.4f}",
            f"{welch.high:.4f}",
        )
    assert rows[0]["mAP"] == f"{EFFECTS.mean() + ours.mean():.4f}"
    assert rows[0]["P@100"] == ""  # no record holds it
    assert rows[0]["command"] == "rsir-bench run --protocol demo --methods a --seeds 0,1,2,3,4 --targets t"


def test_a_long_title_of_a_target_gives_way_to_its_name() -> None:
    short, long = seeds("a", [0.0], "aid"), seeds("a", [0.0], "t")
    short = [
        one.model_copy(update={"target": one.target.model_copy(update={"title": "AID (aerial images)"})})
        for one in short
    ]
    long = [
        one.model_copy(update={"target": one.target.model_copy(update={"title": "Scenes of another kind"})})
        for one in long
    ]
    document = page(*short, *long)
    assert document.grids[0].headers[3:] == ("AID", "t")
    assert "t, Scenes of another kind, (2100 scenes" in document.notes[0]


def test_headers_of_two_targets_are_never_the_same() -> None:
    def on(name: str, title: str) -> list[Record]:
        made = seeds("a", [0.0], name)
        return [one.model_copy(update={"target": one.target.model_copy(update={"title": title})}) for one in made]

    document = page(*on("s", "Harbour (2019)"), *on("t", "Harbour (2023)"), *on("u", "Airport (2023)"))
    assert document.grids[0].headers[3:] == ("s", "t", "Airport")
    assert "s, Harbour (2019), (2100 scenes" in document.notes[0]


def test_a_dash_for_a_metric_that_records_lack_is_said() -> None:
    (board,) = boards(seeds("a", [0.0]))
    (document,) = [one for one in documents(board, metrics=["recall@10"]) if one.name == "leaderboard"]
    assert "A dash: not run there, or its records lack the metric." in " ".join(document.notes)
    assert "A dash" not in " ".join(page(*seeds("a", [0.0])).notes)


def named(label: str, title: str) -> Record:
    one = record("x")
    name = label.partition(" ")[0]
    return one.model_copy(
        update={"method": one.method.model_copy(update={"label": label, "title": title, "name": name})}
    )


def test_encoders_have_short_names_as_long_as_these_tell_them_apart() -> None:
    own = named("timm:a@a.safetensors (timm.mean=[0.5])", "timm:a@a.safetensors")
    other = named("timm:a@b.safetensors", "timm:a@b.safetensors")
    rest = [named("timm:a@none", "timm:a@none"), named("jsst (padding=zeros)", "JSST"), named("timm:c", "timm:c")]
    shown = short_titles([own, *rest])
    assert list(shown.values()) == ["timm:a, own weights", "timm:a@none", "JSST (padding=zeros)", "timm:c"]
    both = short_titles([own, other])
    assert list(both.values()) == ["timm:a@a.safetensors (timm.mean=[0.5])", "timm:a@b.safetensors"]
