import itertools
import shlex
from pathlib import Path

import pytest
import typer
from factory import modified, record

from rsir_bench.base.errors import UserError
from rsir_bench.cli.app import app
from rsir_bench.leaderboard.boards import boards
from rsir_bench.records.commands import by_method, command, commands, keys, record_path, request_command, request_of
from rsir_bench.records.schema import DistortionPart
from rsir_bench.records.store import read_record, read_records, write_record
from rsir_bench.scenes.distortions import parse_distortions


def haze(severity):
    return DistortionPart(name="haze", severity=severity, version=1)


def options(line):
    """The options that the command line itself reads from a command."""
    program, verb, *words = shlex.split(line)
    assert (program, verb) == ("rsir-bench", "run")
    run = typer.main.get_command(app).commands["run"]
    return run.make_context("run", words).params


def runs(lines):
    """What commands make: method, seed, target, distortion and post-processing, with protocol and settings."""
    made = set()
    for line in lines:
        read = options(line)
        distorted = parse_distortions(read["distort"].split(",")) if read["distort"] else []
        of_line = [
            (read["protocol"], tuple(read["override"] or ()), method, int(seed), target, str(distortion or ""), after)
            for method, seed, target, distortion, after in itertools.product(
                read["methods"].split(","),
                read["seeds"].split(","),
                read["targets"].split(","),
                [None, *distorted],
                ["", *(read["after"] or [])],
            )
        ]
        # Post-processing makes the plain rankings too; nothing else comes twice.
        assert all(one[-1] == "" and read["after"] for one in made.intersection(of_line))
        made.update(of_line)
    return made


def wanted(records):
    return {
        (
            one.protocol.name,
            tuple(one.protocol.overrides),
            request_of(one).method,  # an encoder is named by its weights, whatever it was asked for as
            one.seed,
            one.target.name,
            f"{one.distortion.name}:{one.distortion.severity}" if one.distortion else "",
            one.after.name if one.after else "",
        )
        for one in records
    }


def test_seeds_and_targets_are_merged_into_one_command():
    records = [
        record(row=row, seed=seed, target=target) for row in "pq" for seed in (2, 10) for target in ("ucm", "aid")
    ]
    assert commands(records) == ["rsir-bench run --protocol patternnet --methods jsst --seeds 2,10 --targets ucm,aid"]


@pytest.mark.parametrize(
    "records",
    [
        [record(seed=seed, target=target) for seed, target in [(0, "ucm"), (1, "ucm"), (0, "aid")]],
        [record(seed=seed, target=target) for seed, target in [(0, "ucm"), (1, "aid")]],
        [record(label, protocol=modified("patternnet", "train.rate=0.01")) for label in ("baseline", "jsst+se")],
        [record("timm:resnet34@a file", protocol=modified("patternnet", "methods.jsst.warp=tps"))],
        [record(seed=seed, distortion=part) for seed in (0, 1) for part in (None, haze(1), haze(3))],
        [record(target=target, distortion=part) for target in ("ucm", "aid") for part in (None, haze(1))]
        + [record(target="aid", distortion=haze(2))],
    ],
    ids=["fewer seeds on one target", "crossed", "settings", "quoted", "distorted", "distorted unequally"],
)
def test_merged_commands_make_these_runs_and_no_others(records):
    assert runs(commands(records)) == wanted(records)


def test_targets_of_unequal_seeds_are_made_by_two_commands_in_one_line():
    records = [record(seed=0), record(seed=1), record(seed=0, target="aid")]
    assert command(records) == " && ".join(commands(records))
    assert len(commands(records)) == 2
    assert command([]) == ""


def test_all_severities_of_a_kind_are_one_word():
    turned = DistortionPart(name="rotation", severity=2, version=1)
    (line,) = commands([record(distortion=part) for part in (*map(haze, range(1, 6)), turned)])
    assert "--distort haze,rotation:2" in line


def test_the_order_of_seeds_and_distortions_does_not_matter():
    records = [record(seed=seed, distortion=part) for seed in range(3) for part in (None, haze(2), haze(1))]
    assert len({command(order) for order in itertools.islice(itertools.permutations(records), 0, 362880, 9973)}) == 1


def test_what_else_a_command_says_stays_word_by_word():
    line = (
        "rsir-bench run --protocol p.toml --methods mine --seeds 0 --targets ucm --set a.b=1 --set c=2 --plugin mine.py"
    )
    other = line.replace("--seeds 0", "--seeds 1")
    records = [
        record(seed=seed).model_copy(update={"command": text, "request": None})
        for seed, text in enumerate([line, other])
    ]
    assert commands(records) == [line.replace("--seeds 0", "--seeds 0,1")]
    records[1] = records[1].model_copy(update={"command": other.replace("c=2", "c=3"), "request": None})
    assert commands(records) == [line, other.replace("c=2", "c=3")]


def test_a_folder_is_the_target_that_the_command_names():
    folder = record().model_copy(
        update={"command": "rsir-bench run --protocol p --methods m --seeds 0 --targets folder:/x/y", "request": None}
    )
    assert options(command([folder]))["targets"] == "folder:/x/y"


def test_commands_by_method_keep_the_order_of_the_records():
    found = by_method([record("b"), record("a"), record("b", seed=1)])
    assert list(found) == ["b", "a"]
    assert runs(found["b"]) == wanted([record("b"), record("b", seed=1)])


def test_a_record_of_another_command_is_refused_in_one_line():
    with pytest.raises(UserError, match="does not name protocol, method, seed and target; run it again") as refusal:
        commands([record(key="k1").model_copy(update={"command": "python mine.py", "request": None})])
    assert "k1" in str(refusal.value)


@pytest.mark.parametrize("changes", [{}, {"distortion": "haze:3", "overrides": ("a.b=1", "c=2"), "plugins": ("m.py",)}])
def test_an_old_record_has_its_request_in_its_command(changes):
    request = record().request.model_copy(update=changes)
    old = record().model_copy(update={"request": None, "command": request_command(request)})
    assert request_of(old) == request


def test_a_record_is_read_as_written_with_and_without_a_request(tmp_path):
    old = record().model_copy(update={"request": None})
    for name, one in (("old", old), ("new", record())):
        write_record(tmp_path / f"{name}.json", one)
        assert read_record(tmp_path / f"{name}.json") == one
    assert "request" not in (tmp_path / "old.json").read_text()


def test_places_are_distinct_and_below_one_folder_per_method(tmp_path):
    records = [
        record("jsst (padding=zeros)"),
        record("jsst (padding=zeros)", fit="target"),
        record("jsst (padding=zeros)", distortion=haze(1), key="ab" * 32),
        record("timm:resnet34@x/../y", seed=3),
    ]
    places = [record_path(one) for one in records]
    assert len(set(places)) == 4
    assert all(len(name.split("/")) == 3 and ".." not in name.split("/") for name in places)
    assert places[2].endswith("PCA-ucm-haze-1-" + places[2].rpartition("haze-1-")[2])
    for one, name in zip(records, places, strict=True):
        write_record(tmp_path / "results" / name, one)
    assert {one.key for one in read_records([tmp_path])} == set(keys(records).split())


def test_commands_of_the_published_records_make_exactly_these():
    records = read_records([Path(__file__).parents[2] / "leaderboards" / "results"])
    assert records
    for board in boards(records):
        for lines in by_method(board.records).values():
            made = runs(lines)
            asked = {(method, overrides) for _, overrides, method, *_ in made}
            assert made == wanted(
                [one for one in board.records if (request_of(one).method, tuple(one.protocol.overrides)) in asked]
            )
