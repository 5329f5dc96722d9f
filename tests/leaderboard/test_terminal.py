import pytest
from factory import JSST, protocol_part, record, scores

from rsir_bench.base.errors import UserError
from rsir_bench.leaderboard import terminal_table
from rsir_bench.leaderboard.terminal import leaders
from rsir_bench.records.schema import Record

LITE = protocol_part("aid-lite")

GOLDEN = """\
UCM (2100 scenes, 21 classes)
method row seeds mAP AP@10h P@5 P@10 P@50 P@100
jsst PCA 2 *0.5500 ± 0.0707 *0.8500 ± 0.0707 *0.8000 ± 0.0707 *0.7500 ± 0.0707 *0.6500 ± 0.0707 *0.6000 ± 0.0707
baseline PCA 1 0.5000 0.8000 0.7500 0.7000 0.6000 0.5500

AID (2100 scenes, 21 classes)
method row seeds mAP AP@10h P@5 P@10 P@50 P@100
jsst PCA 1 0.6000 0.9000 0.8500 0.8000 0.7000 0.6500

Board aid-lite: * best of the column; mean ± standard deviation over seeds; not comparable with the paper's values."""


def plain(text):
    """The text without the padding and rules, which are the table library's."""
    return "\n".join(" ".join(line.split()) for line in text.splitlines() if not line.startswith("---"))


def test_one_block_per_target_with_the_best_marked():
    records = [
        record("jsst", protocol=LITE, seed=0, metrics=scores(0.9)),
        record("jsst", protocol=LITE, seed=1, metrics=scores(0.8)),
        record("baseline", protocol=LITE, metrics=scores(0.8)),
        record("jsst", protocol=LITE, target="aid"),
    ]
    assert terminal_table(records) == terminal_table(reversed(records))
    assert plain(terminal_table(records)) == GOLDEN


def test_methods_are_named_as_they_are_run_and_only_what_was_run_is_shown():
    text = terminal_table([record("jsst (padding=zeros)", title="JSST", paper=JSST)])
    assert "jsst (padding=zeros)  PCA" in text
    assert "RS19" not in text
    assert len(text.splitlines()) == 6  # target, header, rule, one line, an empty one, remarks
    assert "not comparable" not in text


def test_target_fits_are_said_to_be_aside():
    assert "target fits aside" in terminal_table([record(), record(fit="target")])
    assert "target fits aside" not in terminal_table([record()])


def test_a_board_after_the_other():
    text = terminal_table([record(protocol=LITE), record()])
    assert text.index("Board aid-lite: ") < text.index("Board patternnet: ")


def test_records_that_must_not_share_a_table_are_refused():
    with pytest.raises(UserError, match="metrics"):
        terminal_table([record(), record("mine", metric_version=2)])


def test_nothing_to_show_is_empty():
    assert terminal_table([]) == ""


def test_each_method_goes_by_its_best_row_and_fits_on_the_target_are_aside() -> None:
    lines = leaders(
        [
            record("jsst", seed=0, metrics={"mAP": 0.5}),
            record("jsst", seed=1, metrics={"mAP": 0.7}),
            record("jsst", row="FC", metrics={"mAP": 0.3}),
            record("jsst", fit="target", metrics={"mAP": 0.9}),
            record("baseline", metrics={"mAP": 0.55}),
            record("baseline", target="aid", metrics={"mAP": 0.25}),
        ]
    )
    assert lines == ["UCM: jsst PCA, mAP 0.6000, 0.0500 above baseline PCA", "AID: baseline PCA, mAP 0.2500"]


def test_a_result_with_a_doubt_is_not_ahead() -> None:
    doubtful = record("jsst", metrics={"mAP": 0.9}).model_copy(update={"doubts": ("all descriptors are equal",)})
    assert leaders([doubtful]) == []
    assert leaders([doubtful, record("baseline", metrics={"mAP": 0.5})]) == ["UCM: baseline PCA, mAP 0.5000"]
    sound = record("jsst", metrics={"mAP": 0.7}, seed=1)
    assert leaders([sound, doubtful, record("baseline", metrics={"mAP": 0.5})]) == ["UCM: baseline PCA, mAP 0.5000"]


def test_one_lucky_seed_is_not_ahead_of_five() -> None:
    five = [record("baseline", seed=seed, metrics={"mAP": 0.5}) for seed in range(5)]
    lucky = record("jsst", metrics={"mAP": 0.9})
    assert leaders([*five, lucky]) == ["UCM: baseline PCA, mAP 0.5000"]
    assert leaders([*five[:4], lucky]) == ["UCM: jsst PCA, mAP 0.9000, 0.4000 above baseline PCA"]


def test_targets_of_one_title_are_two_targets_and_named() -> None:
    def on(target: str, title: str, label: str, value: float) -> Record:
        made = record(label, target=target, metrics={"mAP": value})
        return made.model_copy(update={"target": made.target.model_copy(update={"title": title})})

    easy = [on("folder-easy", "My photos", label, value) for label, value in (("jsst", 0.9), ("baseline", 0.5))]
    hard = [on("folder-hard", "My photos", label, value) for label, value in (("jsst", 0.1), ("baseline", 0.25))]
    assert leaders([*easy, *hard]) == [
        "My photos, folder-easy: jsst PCA, mAP 0.9000, 0.4000 above baseline PCA",
        "My photos, folder-hard: baseline PCA, mAP 0.2500, 0.1500 above jsst PCA",
    ]
    text = terminal_table([*easy, *hard, on("ucm", "UCM", "jsst", 0.7)])
    captions = [line for line in text.splitlines() if line.endswith("(2100 scenes, 21 classes)")]
    assert captions == [
        f"{heading} (2100 scenes, 21 classes)"
        for heading in ("UCM", "My photos, folder-easy", "My photos, folder-hard")
    ]
    assert leaders(easy) == ["My photos: jsst PCA, mAP 0.9000, 0.4000 above baseline PCA"]
