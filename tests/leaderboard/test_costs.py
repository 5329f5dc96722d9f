import csv
import io
import random

import numpy as np
import pytest
import torch
from conftest import REPOSITORY
from factory import protocol_part, record
from tiny import tiny_method, tiny_setup

from rsir_bench.leaderboard import check, costs, formats, render_leaderboards
from rsir_bench.leaderboard.boards import boards
from rsir_bench.leaderboard.grids import EMPTY
from rsir_bench.leaderboard.pages import costs as costs_page
from rsir_bench.leaderboard.pages import retrieval
from rsir_bench.records.schema import DistortionPart
from rsir_bench.runs.artifacts.describing import multiply_accumulates

CPU = {"device": "cpu (x)", "threads": "2", "precision": "32"}


def cost(parameters=4e6, train=50.0, describe=200.0, **more):
    figures = {"parameters": parameters, "train_images_per_second": train, "describe_images_per_second": describe}
    return {**figures, "train_loss": 0.1, **more}


def with_cost(label, figures, environment=CPU, **changes):
    return record(label, **changes).model_copy(update={"cost": figures, "environment": environment})


def board(*records):
    (only,) = boards(records)
    return only


def by_label(*records):
    return {line.label: line for line in costs.cost_rows(board(*records))}


def test_values_and_ratios():
    lines = by_label(with_cost("a", cost(6e6, 25, 100, macs=3e9)), with_cost("baseline", cost(4e6, 50, 200, macs=2e9)))
    assert list(lines) == ["baseline", "a"]
    assert set(lines["baseline"].ratios.values()) == {1.0}
    assert lines["a"].values["macs"] == 3e9
    assert lines["a"].ratios == {
        "parameters": 1.5,
        "macs": 1.5,
        "train_images_per_second": 0.5,
        "describe_images_per_second": 0.5,
    }


@pytest.mark.parametrize(
    "change", [{"device": "cuda (y)"}, {"threads": "1"}, {"precision": "bf16"}, {"compiled": "training"}]
)
def test_speeds_of_another_environment_have_no_ratio(change):
    line = by_label(with_cost("baseline", cost()), with_cost("a", cost(6e6, macs=1.0), {**CPU, **change}))["a"]
    assert line.values["train_images_per_second"] == 50
    assert line.ratios["train_images_per_second"] is None
    assert line.ratios["describe_images_per_second"] is None
    assert line.ratios["parameters"] == 1.5  # the same on any machine
    assert line.ratios["macs"] is None  # the reference's are not known


def test_each_environment_has_its_own_line_and_reference():
    gpu = {**CPU, "device": "cuda (y)"}
    lines = costs.cost_rows(
        board(
            with_cost("baseline", cost(train=10), CPU),
            with_cost("baseline", cost(train=1000), gpu, seed=1),
            with_cost("a", cost(train=5), CPU),
            with_cost("a", cost(train=2000), gpu, seed=1),
        )
    )
    ratios = {(line.label, line.environment[0]): line.ratios["train_images_per_second"] for line in lines}
    assert ratios["a", "cpu (x)"] == 0.5
    assert ratios["a", "cuda (y)"] == 2


def test_an_unknown_environment_is_no_common_one():
    lines = by_label(with_cost("baseline", cost(), {}), with_cost("a", cost(), {}))
    assert lines["a"].ratios["train_images_per_second"] is None
    assert lines["a"].environment == ("", "", "")


def test_rows_and_targets_of_a_run_count_once_and_seeds_are_averaged():
    records = [with_cost("a", cost(train=10), row=row, target=target) for row in "pqr" for target in ("ucm", "aid")]
    line = by_label(*records, with_cost("a", cost(train=40), row="p", seed=1))["a"]
    assert line.values["train_images_per_second"] == 25


def test_a_seed_counts_once_however_many_targets_it_has():
    first = [with_cost("a", cost(describe=speed), target=target) for target, speed in (("ucm", 100), ("aid", 200))]
    line = by_label(*first, with_cost("a", cost(describe=300), seed=1))["a"]
    assert line.values["describe_images_per_second"] == 225


def test_distorted_records_tell_no_speed():
    # What a record under haze repeats was measured on the CPU, where the clean pass was.
    gpu = {**CPU, "device": "cuda (y)"}
    haze = DistortionPart(name="haze", severity=1, version=1)
    lines = costs.cost_rows(
        board(
            with_cost("baseline", cost(describe=100)),
            with_cost("baseline", cost(describe=100), gpu, distortion=haze, key="under haze"),
            with_cost("a", cost(describe=2000), gpu),
        )
    )
    assert [(line.label, line.environment[0]) for line in lines] == [("baseline", "cpu (x)"), ("a", "cuda (y)")]
    assert lines[1].ratios["describe_images_per_second"] is None
    assert lines[1].ratios["parameters"] == 1


def test_changed_settings_are_no_reference():
    lines = by_label(with_cost("baseline (x=1)", cost()), with_cost("a", cost()))
    assert set(lines["a"].ratios.values()) == {None}


def test_records_without_costs_give_no_table(tmp_path):
    assert costs.cost_rows(board(record())) == []
    assert not [path for path in render_leaderboards([record()], tmp_path) if "costs" in path.name]


def page(*records):
    return costs_page.document(board(*records))


def grids(*records):
    """By caption the rows of a grid by method, each by header; a second ratio is that of describing."""
    found = {}
    for grid in page(*records).grids:
        headers = [
            "ratio of describing" if name == "ratio" and place > 4 else name for place, name in enumerate(grid.headers)
        ]
        rows = [[cell.text for cell in row.cells] for row in grid.rows]
        found[grid.caption] = {row[0]: dict(zip(headers, row, strict=True)) for row in rows}
    return found


def test_an_untrained_method_and_an_old_record_leave_honest_blanks():
    records = (with_cost("baseline", cost(macs=2e9)), with_cost("old", cost(train=None)))
    old = grids(*records)["Training and describing: cpu (x), 2 threads, precision 32"]["OLD"]
    assert (old["MACs (G)"], old["Training (h)"], old["Describing (ms)"]) == (EMPTY, EMPTY, "5.00")
    (_, line, *_) = csv.DictReader(io.StringIO(formats.comma_separated(page(*records))))
    assert (line["macs"], line["macs ratio"], line["train_images_per_second"]) == ("", "", "")
    assert (line["parameters"], line["parameters ratio"]) == ("4000000", "1.000")


def test_hours_of_training_are_means_over_seeds_and_ratios_are_of_times():
    records = [
        with_cost("baseline", cost(train=50, describe=200, train_seconds=3600)),
        with_cost("a", cost(train=25, describe=100, train_seconds=7200)),
        with_cost("a", cost(train=25, describe=100, train_seconds=10800), seed=1),
    ]
    (grid,) = (rows for caption, rows in grids(*records).items() if caption.startswith("Training"))
    assert (grid["A"]["Training (h)"], grid["A"]["ratio"]) == ("2.500", "2.50")  # whatever images per second say
    assert (grid["A"]["Describing (ms)"], grid["A"]["ratio of describing"]) == ("10.00", "2.00")
    assert grid["BASELINE"]["ratio"] == "1.00"


def test_hours_of_a_method_with_rounds_are_those_of_all_rounds():
    records = [
        with_cost("a", cost(train_seconds=3600 * hours), row=row, seed=seed)
        for seed, more in ((0, 0), (1, 4))
        for row, hours in (("PCA, iteration 1", 1), ("PCA, iteration 2", 2), ("PCA", 3 + more))
    ]
    records.append(with_cost("a", cost(), row="PCA", seed=2))  # of an older version, without hours
    assert by_label(*records)["a"].hours == 5


def test_each_machine_has_a_grid_with_ratios_only_where_the_reference_was_measured():
    gpu = {**CPU, "device": "cuda (y)", "threads": "1"}
    found = grids(
        with_cost("baseline", cost()), with_cost("a", cost(), gpu), with_cost("b", cost(train=None, describe=None), gpu)
    )
    on_gpu = found["Training and describing: cuda (y), 1 thread, precision 32"]
    assert "ratio" not in on_gpu["A"]
    assert on_gpu["B"]["Describing (ms)"] == EMPTY
    again = with_cost("a", cost(train=None, describe=None), CPU, seed=1)
    assert (
        "A"
        not in grids(with_cost("baseline", cost()), with_cost("a", cost(), gpu), again)[
            "Training and describing: cpu (x), 2 threads, precision 32"
        ]
    )  # its size is known already, and its speed is not


def test_every_format_is_rendered_checked_and_independent_of_order(tmp_path):
    part, every = protocol_part("aid-lite"), list(formats.FORMATS)
    records = [
        with_cost(label, cost(train=20 + seed), protocol=part, seed=seed)
        for label in ("baseline", "a|b_c", "c") for seed in range(3)
    ]  # fmt: skip
    paths = render_leaderboards(records, tmp_path, every)
    mine = [path for path in paths if path.stem == "costs"]
    assert [path.suffix for path in mine] == [".csv", ".html", ".md", ".tex"]
    _, _, markdown, tex = mine
    assert check(random.Random(0).sample(records, len(records)), tmp_path, every) == []
    grid = [line for line in markdown.read_text().split("## Retrieval")[0].splitlines() if line.startswith("|")]
    assert len({len(line) for line in grid}) == 1
    assert tex.read_text().isascii()
    markdown.write_text("edited")
    assert check(records, tmp_path, every) == [markdown]
    markdown.unlink()
    render_leaderboards([record(protocol=part)], tmp_path)
    assert not markdown.exists()


def code(bits):
    return with_cost("dhn", cost(), row="Hashing", kind="code", dimensions=bits, fit=None)


def test_bytes_of_a_scene_follow_from_its_row():
    rows = grids(
        code(64),
        with_cost("baseline", cost(), row="FC", kind="real", dimensions=21, fit=None),
        with_cost("jsst", cost()),
    )
    found = {name: (row["Rows"], row["Bytes per scene"]) for name, row in rows["Retrieval"].items()}
    assert found == {"64 bits": ("Hashing", "8"), "21 values": ("FC", "84"), "128 values": ("PCA", "512")}
    assert grids(code(12))["Retrieval"]["12 bits"]["Bytes per scene"] == "2"


def test_times_of_a_query_are_those_of_the_file_at_the_nearest_size_and_at_a_million():
    known = retrieval.measured()
    (row,) = grids(code(64))["Retrieval"].values()  # 2,100 scenes
    for size, words in ((2100, "2,100"), (1_000_000, "a million")):
        times = known.times["code", 64, size]
        assert float(row[f"Score, {words} (ms)"]) == pytest.approx(times.score, abs=0.06)
        assert float(row[f"Search, {words} (ms)"]) == pytest.approx(times.search, abs=0.06)
    ratio = known.times["code", 64, 1_000_000].search / known.times["real", 128, 1_000_000].search
    assert row["Search ratio, a million"] == f"{ratio:.3f}"
    assert set(list(grids(code(48))["Retrieval"]["48 bits"].values())[3:]) == {EMPTY}  # not measured


def test_the_page_on_leaderboards_says_what_the_file_of_times_holds():
    times = [retrieval.measured().times[kind, size, 1_000_000].search for kind, size in (("code", 64), ("real", 128))]
    text = " ".join((REPOSITORY / "docs" / "leaderboards.md").read_text().split())
    assert (
        f"in {times[0]:.2f} ms with codes of 64 bits and in {times[1]:.0f} ms with 128 values".replace(" 0.", " .")
        in text
    )


def test_the_file_of_times_says_why_codes_exist():
    known = retrieval.measured().times
    for size in {size for _, _, size in known}:
        assert known["code", 64, size].search <= 1.1 * known["real", 128, size].search
    assert known["code", 64, 1_000_000].search < 0.2 * known["real", 128, 1_000_000].search


@pytest.mark.parametrize("size", [32, 64])
def test_multiply_accumulates_counted_by_hand(size):
    setup = tiny_setup(f"data.size={size}")
    network = tiny_method("baseline", setup).eval()
    expected = 0

    def count(module, inputs, output):
        nonlocal expected
        if isinstance(module, torch.nn.Conv2d):
            expected += output[0].numel() * module.weight[0].numel()
        if isinstance(module, torch.nn.Linear):
            expected += module.weight.numel()

    pixels = np.zeros((5, size, size, 3), np.uint8)
    handles = [module.register_forward_hook(count) for module in network.modules()]
    network.describe(torch.zeros(1, 3, size, size))
    for handle in handles:
        handle.remove()
    assert multiply_accumulates(network, pixels, torch.device("cpu")) == expected > 0
