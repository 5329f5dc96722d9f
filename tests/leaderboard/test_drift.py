"""Drift between two lists of records: what is compared, how much seeds may differ, and what is never compared."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from factory import modified, record
from typer.testing import CliRunner

from rsir_bench.base.errors import UserError
from rsir_bench.cli.app import app
from rsir_bench.publishing.accept import accept
from rsir_bench.publishing.drift import Drift, compare, differences
from rsir_bench.records.commands import record_path
from rsir_bench.records.schema import DistortionPart, Record, TargetPart
from rsir_bench.records.store import read_record, read_records, write_record
from rsir_bench.records.verdict import Verdict

PUBLISHED = Path(__file__).resolve().parents[2] / "leaderboards" / "results"


def seeds(*values: float, label: str = "jsst", **changes: Any) -> list[Record]:
    """One result for each seed, whose only metric is given."""
    return [record(label, seed=seed, metrics={"mAP": value}, **changes) for seed, value in enumerate(values)]


def verdicts(drift: Drift) -> list[Verdict]:
    return [cell.verdict for cell in drift.cells]


def untrained(value: float) -> Record:
    return record("plain", metrics={"mAP": value}).model_copy(update={"source": None})


class TestTolerance:
    def test_equal_results_are_ok(self):
        baseline = seeds(0.50, 0.52, 0.54)
        drift = compare(baseline, baseline)
        assert verdicts(drift) == [Verdict.OK] * 4
        assert drift.passed

    @pytest.mark.parametrize(
        ("now", "verdict"), [(0.55, Verdict.OK), (0.45, Verdict.OK), (0.57, Verdict.OKISH), (0.65, Verdict.FAIL)]
    )
    def test_a_seed_may_move_as_seeds_differ(self, now, verdict):
        # The seeds' standard deviation is .02, that of a difference .0283: OK to .057, OKish to .141.
        assert verdicts(compare(seeds(now), seeds(0.50, 0.48, 0.52))) == [verdict]

    def test_tolerances_are_wider_where_seeds_differ_more(self):
        calm, restless = seeds(0.5, 0.501, 0.499, label="calm"), seeds(0.5, 0.6, 0.4, label="restless")
        now = seeds(0.57, label="calm") + seeds(0.57, label="restless")
        worst, other = compare(now, calm + restless).cells
        assert (worst.cell.method, other.cell.method) == ("calm", "restless")
        assert worst.shifts[0].tolerance.ok < other.shifts[0].tolerance.ok

    def test_a_mean_over_seeds_is_the_sharper_test(self):
        before = [0.50, 0.48, 0.52, 0.51, 0.49]
        drift = compare(seeds(*(value + 0.06 for value in before)), seeds(*before))
        assert drift.cells[0].seeds == (0, 1, 2, 3, 4)
        assert verdicts(drift) == [Verdict.FAIL] + [Verdict.OKISH] * 5

    def test_seeds_that_happen_to_agree_do_not_make_it_zero(self):
        assert verdicts(compare(seeds(0.5005), seeds(0.5, 0.5, 0.5))) == [Verdict.OK]

    def test_two_seeds_tell_nothing_and_the_board_is_asked(self):
        few, many = seeds(0.5, 0.5, label="few"), seeds(0.5, 0.48, 0.52, label="many")
        (cell,) = compare(seeds(0.55, label="few"), few + many).cells
        assert cell.shifts[0].tolerance.ok == pytest.approx(2 * 0.02 * 2**0.5)

    def test_an_untrained_method_is_exact(self):
        assert verdicts(compare([untrained(0.500009)], [untrained(0.5)])) == [Verdict.OK]
        assert verdicts(compare([untrained(0.50005)], [untrained(0.5)])) == [Verdict.OKISH]
        assert verdicts(compare([untrained(0.5002)], [untrained(0.5)])) == [Verdict.FAIL]

    def test_every_metric_counts_and_the_worst_stands_first(self):
        before = record(metrics={"mAP": 0.5, "P@5": 0.5})
        (cell,) = compare([record(metrics={"mAP": 0.5, "P@5": 0.8})], [before]).cells
        assert cell.verdict is Verdict.FAIL
        assert [shift.metric for shift in cell.shifts] == ["P@5", "mAP"]

    def test_what_is_no_number_fails(self):
        assert verdicts(compare(seeds(float("nan")), seeds(0.5, 0.5, 0.5))) == [Verdict.FAIL]

    def test_other_seeds_of_published_results_are_not_called_drift(self):
        """Held-out seeds stand for an honest run on another processor; none of hundreds of cells fails."""
        records = [found for found in read_records([PUBLISHED / "ucm-mobile"]) if found.method.name == "baseline"]
        clean, chance, found = [one for one in records if one.distortion is None], random.Random(0), []
        for _ in range(15):
            numbers = chance.sample(range(10), 10)
            instead = dict(zip(numbers[:5], numbers[5:], strict=True))
            now = [one.model_copy(update={"seed": instead[one.seed]}) for one in clean if one.seed in instead]
            found += verdicts(compare(now, [one for one in clean if one.seed not in instead]))
        assert len(found) == 15 * 4 * 6
        assert found.count(Verdict.FAIL) == 0
        assert found.count(Verdict.OK) >= 0.8 * len(found)


class TestAnotherEdition:
    @pytest.mark.parametrize("changes", [{"fingerprint": "beef"}, {"source_fingerprint": "beef"}])
    @pytest.mark.parametrize(("now", "within"), [(0.5, True), (0.57, True), (0.64, True), (0.65, False)])
    def test_it_is_within_what_another_training_explains_or_not(self, changes, now, within):
        # As above: a training may move by .141.
        (cell,) = compare(seeds(now, **changes, key="k"), seeds(0.50, 0.48, 0.52)).cells
        assert (cell.verdict, cell.within) == (Verdict.ANOTHER_EDITION, within)
        assert cell.shifts[0].difference == pytest.approx(now - 0.5)

    def test_scenes_that_are_generated_have_one_edition(self):
        """Other ones mean that the code that draws them has changed, which drift is there to find."""

        def drawn(fingerprint):
            (one,) = seeds(0.5, fingerprint=fingerprint)
            return one.model_copy(update={"target": one.target.model_copy(update={"name": "demo-view"})})

        drift = compare([drawn("beef" * 16)], [drawn("cafe" * 16)])
        assert verdicts(drift) == [Verdict.NOT_COMPARABLE]
        assert drift.cells[0].differs == ("target.fingerprint: cafecafecafe -> beefbeefbeef",)
        assert not drift.passed

    def test_several_seeds_are_compared_by_their_means_too(self):
        drift = compare(seeds(0.51, 0.5, fingerprint="beef"), seeds(0.50, 0.48, 0.52))
        assert [len(cell.seeds) for cell in drift.cells].count(2) == 1
        assert drift.of_another_edition == (3, 0)
        assert (drift.new, drift.gone) == ((), ())
        assert drift.passed

    def test_an_untrained_method_need_not_agree_exactly_with_another_edition(self):
        now = untrained(0.51)
        other = now.model_copy(update={"target": now.target.model_copy(update={"fingerprint": "beef"})})
        before = [untrained(0.5), *seeds(0.50, 0.48, 0.52)]
        assert verdicts(compare([now], before)) == [Verdict.FAIL]
        (cell,) = compare([other], before).cells
        assert (cell.verdict, cell.within) == (Verdict.ANOTHER_EDITION, True)

    def test_the_same_edition_is_compared_where_the_baseline_has_it(self):
        ours, theirs = seeds(0.5), seeds(0.7, fingerprint="beef", key="k")
        drift = compare(theirs, [*ours, *theirs])
        assert verdicts(drift) == [Verdict.OK]
        assert drift.gone == ()

    def test_what_else_differs_is_not_comparable(self):
        drift = compare([record(fingerprint="beef", version=2)], [record()])
        assert verdicts(drift) == [Verdict.NOT_COMPARABLE]
        assert drift.cells[0].differs == ("method.version: 1 -> 2",)

    def test_a_failure_next_to_it_still_fails(self):
        now = [*seeds(0.5, fingerprint="beef"), *seeds(0.9, label="other")]
        assert not compare(now, [*seeds(0.5), *seeds(0.5, label="other")]).passed


class TestNeverCompared:
    @pytest.mark.parametrize(
        ("changes", "what"),
        [
            ({"version": 2}, "method.version: 1 -> 2"),
            ({"metric_version": 2}, "metric_version: 1 -> 2"),
            ({"metrics": {"mAP": 0.5}}, "metrics: "),
            ({"method_settings": {"rate": 2}}, "method.settings.rate: absent -> 2"),
        ],
    )
    def test_what_was_made_otherwise(self, changes, what):
        drift = compare([record(**changes, key="other")], [record()])
        assert verdicts(drift) == [Verdict.NOT_COMPARABLE]
        assert drift.cells[0].differs[0].startswith(what)
        assert not drift.passed
        assert drift.compared == 0

    def test_of_settings_only_those_that_differ(self):
        now, before = (record(method_settings={"rate": rate, "spread": 1, "bound": None}) for rate in (0.01, 0.1))
        assert compare([now], [before]).cells[0].differs == ("method.settings.rate: 0.1 -> 0.01",)

    def test_a_protocol_that_changed_under_its_name(self):
        other = record().protocol.model_copy(update={"hash": "0" * 12})
        (cell,) = compare([record(protocol=other)], [record()]).cells
        assert cell.differs[0].startswith("protocol.hash")

    def test_another_board_method_row_target_or_distortion_is_no_partner(self):
        distorted = record().model_copy(update={"distortion": DistortionPart(name="haze", severity=3, version=1)})
        other_board = record(protocol=modified("patternnet", "train.batch=32"))
        others = [record("se"), record(row="FC", kind="real"), record(target="aid"), record(fit="target")]
        drift = compare([*others, distorted, other_board], [record()])
        assert (drift.cells, len(drift.new)) == ((), 6)
        assert not drift.passed

    def test_new_and_gone_are_told_and_only_runs_made_again_can_lose_something(self):
        baseline = [record(), record(target="aid"), record(seed=1), record("se")]
        drift = compare([record(), record(row="FC", kind="real")], baseline)
        assert [name.split(": ")[1] for name in drift.new] == ["jsst, row FC, on ucm, seed 0"]
        assert [name.split(": ")[1] for name in drift.gone] == ["jsst, row PCA, on aid, seed 0"]
        assert drift.passed

    def test_two_results_of_one_place_are_refused(self):
        with pytest.raises(UserError, match=r"the runs hold two results of .*jsst.*name the folder"):
            compare([record(), record(key="other")], [record()])

    def test_of_several_protocols_under_one_board_name_the_runs_own_is_compared(self):
        changed = record().protocol.model_copy(update={"hash": "0" * 12})
        baseline = [record(protocol=changed, metrics={"mAP": 0.1}), record(metrics={"mAP": 0.5})]
        (cell,) = compare([record(metrics={"mAP": 0.5})], baseline).cells
        assert cell.shifts[0].before == 0.5
        assert len(compare([record(protocol=modified("patternnet", "train.batch=32"))], baseline).new) == 1
        third = record().protocol.model_copy(update={"hash": "1" * 12})
        drift = compare([record(protocol=third)], baseline)
        assert (drift.cells, len(drift.new), drift.passed) == ((), 1, False)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A baseline of three seeds, and the same as runs."""
    baseline, runs = tmp_path / "leaderboards" / "results", tmp_path / "runs" / "results"
    for found in seeds(0.50, 0.48, 0.52):
        write_record(baseline / record_path(found), found)
        write_record(runs / record_path(found), found)
    return baseline, runs


def move(runs: Path, by: float, **changes: Any) -> None:
    for path in list(runs.rglob("*.json")):
        old = read_record(path)
        update = {"metrics": {"mAP": old.metrics["mAP"] + by}, "key": f"moved-{old.key}", **changes}
        write_record(path, old.model_copy(update=update))


def call(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["drift", *map(str, words)])
    if isinstance(result.exception, UserError):
        return 2, str(result.exception)
    return result.exit_code, result.stdout


class TestVerb:
    def test_green(self, folders):
        code, text = call("--baseline", *folders)
        assert code == 0
        assert "4 OK, 0 OKish, 0 FAIL, 0 not comparable, 0 new, 0 gone" in text

    def test_another_edition_neither_passes_nor_fails(self, folders):
        runs = folders[1]
        old = read_records([runs])[0]
        move(runs, 0.3, target=TargetPart(**{**old.target.model_dump(), "fingerprint": "beef"}))
        code, text = call("--baseline", *folders)
        assert code == 0
        assert "0 OK, 0 OKish, 0 FAIL, 0 not comparable, 0 new, 0 gone; another edition: 0 within, 4 outside" in text
        assert "another edition: outside" in text
        assert "ucm (ucm: f00d -> beef)" in " ".join(text.split())
        values = json.loads(call("--baseline", *folders, "--json")[1])
        assert (values["passed"], values["another edition"]) == (True, {"within": 0, "outside": 4})
        assert values["cells"][0]["editions"] == ["ucm: f00d -> beef"]

    def test_red(self, folders, tmp_path):
        move(folders[1], 0.2)
        code, text = call("--baseline", *folders, "--markdown", tmp_path / "drift.md")
        assert code == 1
        assert text.splitlines()[2].split()[:7] == ["FAIL", "patternnet", "jsst", "PCA", "ucm", "mean", "of"]
        markdown = (tmp_path / "drift.md").read_text()
        assert markdown.startswith("**drift against ")
        assert markdown.count("| FAIL") == 4

    def test_what_was_not_made_here_is_one_line(self, folders):
        baseline = folders[0]
        for severity in range(1, 4):
            for row in ("FC", "PCA"):
                part = DistortionPart(name="blur", severity=severity, version=1)
                other = record("jsst", seed=0, metrics={"mAP": 0.5}, distortion=part, row=row)
                write_record(baseline / record_path(other), other)
        text = call("--baseline", *folders)[1]
        lines = [line for line in text.splitlines() if line.startswith("gone")]
        assert lines == ["gone: 6 not made here (3 distortions x 2 rows); --all lists them"]
        assert text.splitlines()[-1].startswith("drift against ")
        assert call("--baseline", *folders, "--all")[1].count("gone: ") == 6

    def test_json(self, folders):
        move(folders[1], 0.2)
        code, text = call("--baseline", *folders, "--json")
        values = json.loads(text)
        assert code == 1
        assert (values["passed"], values["compared"], values["counts"]["FAIL"]) == (False, 4, 4)
        assert values["cells"][0]["metrics"]["mAP"]["now"] == pytest.approx(0.7)

    def test_nothing_compared_is_red(self, folders):
        for path in folders[1].rglob("*.json"):
            write_record(path, read_record(path).model_copy(update={"seed": 7 + read_record(path).seed}))
        code, text = call("--baseline", *folders)
        assert code == 1
        assert "NOTHING WAS COMPARED" in text

    def test_no_record_at_all_is_red(self, folders, tmp_path):
        (tmp_path / "empty").mkdir()
        assert call("--baseline", folders[0], tmp_path / "empty")[0] == 1

    def test_nothing_named(self):
        assert call() == (2, "drift: no folder; name folders that `rsir-bench run --out` wrote, or use --exact")

    def test_exact_takes_no_folders_and_no_baseline(self, folders):
        for words in ([folders[1]], ["--baseline", folders[0]]):
            assert call("--exact", *words) == (
                2,
                "drift: --exact uses the bundled results and baseline; omit folders and --baseline",
            )

    @pytest.mark.parametrize("words", [["--json"], ["--markdown", "drift.md"]])
    def test_an_acceptance_makes_no_report(self, folders, words):
        move(folders[1], 0.2)
        said = call("--baseline", folders[0], "--accept", "why", folders[1], *words)
        assert said == (2, "drift: --accept of results writes no report; omit --markdown and --json")
        assert all(one.accepted == () for one in read_records([folders[0]]))


class TestAccept:
    def test_the_reason_and_what_was_before_stay_in_the_record(self, folders):
        baseline, runs = folders
        move(runs, 0.2)
        code, text = call("--baseline", baseline, "--accept", "a better resize", runs)
        assert (code, len(text.splitlines())) == (0, 3)
        assert call("--baseline", *folders)[0] == 0
        found = sorted(read_records([baseline]), key=lambda one: one.seed)
        assert [one.metrics["mAP"] for one in found] == pytest.approx([0.7, 0.68, 0.72])
        assert found[0].accepted[0].reason == "a better resize"
        assert found[0].accepted[0].previous == {"mAP": 0.5}
        assert found[0].accepted[0].previous_key in found[0].key

    def test_a_second_reason_stands_behind_the_first(self, folders):
        for reason in ("first", "second"):
            move(folders[1], 0.1)
            call("--baseline", folders[0], "--accept", reason, folders[1])
        assert [part.reason for part in read_records([folders[0]])[0].accepted] == ["first", "second"]

    def test_what_is_not_comparable_can_be_accepted(self, folders):
        baseline, runs = folders
        old = read_records([runs])[0]
        move(runs, 0, method=old.method.model_copy(update={"version": 2}))
        assert call("--baseline", *folders)[0] == 1
        accept(read_records([runs]), baseline, "another version")
        assert call("--baseline", *folders)[0] == 0

    def test_another_edition_replaces_nothing(self, folders):
        baseline, runs = folders
        old = read_records([runs])[0]
        move(runs, 0.1, target=TargetPart(**{**old.target.model_dump(), "fingerprint": "beef"}))
        before = {path: path.read_bytes() for path in baseline.rglob("*.json")}
        said = CliRunner().invoke(app, ["drift", "--baseline", str(baseline), "--accept", "why", str(runs)])
        assert (said.exit_code, said.stdout) == (1, "")
        assert said.stderr.startswith("nothing to accept")
        assert {path: path.read_bytes() for path in baseline.rglob("*.json")} == before

    def test_equal_results_are_left_alone(self, folders):
        words = ["drift", "--baseline", str(folders[0]), "--accept", "why", str(folders[1])]
        end = CliRunner().invoke(app, words)
        assert (end.exit_code, end.stdout) == (1, "")
        assert end.stderr.startswith("nothing to accept")
        assert read_records([folders[0]])[0].accepted == ()

    def test_a_method_half_before_and_half_after_is_refused(self, folders):
        next(folders[1].rglob("*seed2*")).unlink()
        move(folders[1], 0.2)
        with pytest.raises(UserError, match="seed 2 would keep the results from before the change; recompute them"):
            accept(read_records([folders[1]]), folders[0], "why")
        assert all(one.accepted == () for one in read_records([folders[0]]))

    def test_one_that_cannot_be_replaced_leaves_all_as_they_are(self, folders):
        move(folders[1], 0.2)
        last = max(folders[1].rglob("*.json"), key=lambda path: read_record(path).seed)
        write_record(last, read_record(last).model_copy(update={"metrics": {"mAP": 1.2}}))
        with pytest.raises(UserError, match="outside"):
            accept(read_records([folders[1]]), folders[0], "why")
        assert all(one.accepted == () for one in read_records([folders[0]]))

    def test_one_that_lies_elsewhere_leaves_all_as_they_are(self, folders):
        move(folders[1], 0.2)
        last = max(folders[0].rglob("*.json"), key=lambda path: read_record(path).seed)
        last.rename(last.with_name("moved.json"))
        with pytest.raises(UserError, match="missing; move the record of"):
            accept(read_records([folders[1]]), folders[0], "why")
        assert all(one.accepted == () for one in read_records([folders[0]]))

    def test_no_reason(self, folders):
        with pytest.raises(UserError, match="empty reason"):
            accept(read_records([folders[1]]), folders[0], " ")


def test_a_setting_that_older_code_lacked_is_comparable_while_the_key_is_the_same() -> None:
    old = record()
    method = old.method.model_copy(update={"settings": {**old.method.settings, "new": None}})
    new = old.model_copy(update={"method": method})
    assert differences(old, new) == ()
    assert differences(old, new.model_copy(update={"key": "0" * 20})) == ("method.settings.new: absent -> None",)
