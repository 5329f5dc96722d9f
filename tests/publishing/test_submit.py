"""Submissions: descriptors of anybody's, records of runs elsewhere, and hostile ones of both."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from command import InProcess
from conftest import TINY_PROTOCOL, Tiny, write_scenes

from rsir_bench.base.errors import UserError
from rsir_bench.leaderboard.boards import boards
from rsir_bench.protocol import load_protocol
from rsir_bench.publishing.export.selection import Selection
from rsir_bench.publishing.publish import publish
from rsir_bench.publishing.submit.card import RecordsCard
from rsir_bench.publishing.submit.check import check_submission, write_checked
from rsir_bench.publishing.submit.pack import pack
from rsir_bench.ranking import score
from rsir_bench.records.cells import after_of
from rsir_bench.records.schema import Record
from rsir_bench.records.store import read_record, read_records, write_record
from rsir_bench.runs.request import UserFiles
from rsir_bench.runs.runners.campaign import campaign
from rsir_bench.scenes.index import SceneIndex, index_folder, resolve_dataset
from rsir_bench.scenes.naming.scene_ids import scene_ids

Told = list[str]


@dataclass
class Submission:
    """A submission of descriptors that a test may spoil, before it is checked."""

    tiny: Tiny
    folder: Path
    index: SceneIndex
    fields: dict[str, Any]
    entries: list[dict[str, Any]]

    def values(self, seed: int) -> np.ndarray:
        """The descriptors of a seed: near their class."""
        chance = np.random.default_rng(seed)
        return (np.eye(3)[self.index.labels] + chance.normal(0, 0.6, (len(self.index), 3))).astype(np.float32)

    def add(self, seed: int, **fields: Any) -> Path:
        """Write the descriptors of a seed, in reverse order, and name them on the card."""
        path = self.folder / f"seed{seed}.parquet"
        ids = list(scene_ids(self.index))
        pd.DataFrame({"id": ids[::-1], "descriptors": list(self.values(seed)[::-1])}).to_parquet(path)
        entry = {"file": path.name, "target": self.tiny.target, "fingerprint": self.index.fingerprint, "seed": seed}
        self.entries.append({**entry, **fields})
        return path

    def check(self, results: str = "published", **options: Any) -> tuple[list[Record], Told]:
        """Write the card and check the submission."""
        lines = [f"{name} = {json.dumps(value)}" for name, value in self.fields.items()]
        for entry in self.entries:
            lines += ["[[descriptors]]", *(f"{name} = {json.dumps(value)}" for name, value in entry.items())]
        (self.folder / "submission.toml").write_text("\n".join(lines))
        told: Told = []
        files = UserFiles(self.tiny.folder, protocol=str(self.tiny.protocol))
        records = check_submission(self.folder, files, self.tiny.folder / results, told.append, **options)
        return records, told

    def refused(self, words: str, **options: Any) -> str:
        """The submission is refused in lines that all say what and where."""
        with pytest.raises(UserError, match=words) as caught:
            self.check(**options)
        assert len(str(caught.value).splitlines()) == 1
        return str(caught.value)


@pytest.fixture
def submission(tiny: Tiny) -> Submission:
    """One seed of descriptors for the tiny target."""
    folder = tiny.folder / "mine"
    folder.mkdir()
    fields = {
        **{"kind": "descriptors", "name": "my-net", "title": "MyNet", "by": "A. Author, Some University"},
        **{"made_on": "one A100", "training": "fine-tuned on the source", "protocol": "tiny"},
    }
    made = Submission(tiny, folder, index_folder(tiny.folder / "target"), fields, [])
    made.add(0)
    return made


def test_descriptors_become_records_that_publish_takes(submission: Submission, cli: InProcess) -> None:
    (record,), told = submission.check()
    expected = score(submission.values(0), submission.index.labels)
    assert {name: record.metrics[name] for name in expected.overall} == pytest.approx(expected.overall, abs=1e-12)
    assert record.method.label == record.method.name == "submitted:my-net"
    assert record.row.name == "Embedding"
    assert record.row.dimensions == 3
    assert record.source is None
    assert record.target.fingerprint == submission.index.fingerprint
    assert record.protocol.hash == load_protocol(str(submission.tiny.protocol)).hash
    assert record.origin is not None
    assert (record.origin.kind, record.origin.by, record.origin.remade) == (
        "descriptors",
        "A. Author, Some University",
        "",
    )
    assert told == [f"not compared with the board: {submission.tiny.folder / 'published'} is not there; "
                    "name the published records with --results"]  # fmt: skip

    words = ["--protocol", submission.tiny.protocol, "--data-root", ".", "--results", "published"]
    result = cli("submit", "check", "mine", *words, "--out", "checked")
    assert result.code == 0, result.err
    assert f"{expected.overall['mAP']:.4f}" in result.out
    result = cli("publish", "checked", "--results", "published")
    assert result.code == 0, result.err
    (path,) = result.out.splitlines()
    assert read_record(submission.tiny.folder / path).metrics == record.metrics
    board = cli("leaderboard", "published", "--out", "tables", "--format", "md,csv,tex,html")
    assert board.code == 0, board.err
    text = next((submission.tiny.folder / "tables").rglob("leaderboard.md")).read_text()
    assert "descriptors submitted by A. Author, Some University (one A100), scored here" in text
    assert cli("publish", "checked", "--results", "published").out == ""
    again = cli("submit", "check", "mine", *words)
    assert again.code == 2
    assert "seed 0: already on the board; submit only what is not" in again.err


def test_five_seeds_and_codes(submission: Submission) -> None:
    for seed in range(1, 5):
        submission.add(seed)
    bits = (submission.values(0) > 0.3).astype(np.uint8)
    ids = np.array(scene_ids(submission.index))
    np.savez(submission.folder / "plain.npz", ids=ids, codes=bits)
    np.savez(submission.folder / "packed.npz", ids=ids, codes=np.packbits(bits, axis=1))
    entry = {**submission.entries[0], "kind": "code"}
    submission.entries += [{**entry, "file": "plain.npz", "row": "Code"}]
    submission.entries += [{**entry, "file": "packed.npz", "row": "Packed", "bits": 3}]
    records, _ = submission.check()
    assert [record.seed for record in records if record.row.name == "Embedding"] == [0, 1, 2, 3, 4]
    plain, packed = (record for record in records if record.row.kind == "code")
    assert plain.metrics == packed.metrics
    assert plain.row.dimensions == packed.row.dimensions == 3
    assert plain.metrics["mAP"] == score(bits, submission.index.labels, codes=True).overall["mAP"]
    assert len({record.key for record in records}) == 7


Spoil = Callable[[Submission], object]


def field(**fields: Any) -> Spoil:
    return lambda submission: submission.fields.update(fields)


def entry(**fields: Any) -> Spoil:
    return lambda submission: submission.entries[0].update(fields)


def table(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Spoil:
    def spoil(submission: Submission) -> None:
        path = submission.folder / "seed0.parquet"
        change(pd.read_parquet(path)).to_parquet(path)

    return spoil


def repeated(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame, frame.iloc[:1]])


def not_finite(frame: pd.DataFrame) -> pd.DataFrame:
    frame["descriptors"] = [np.array([np.nan, 0, 0])] * len(frame)
    return frame


def linked(submission: Submission) -> None:
    path = submission.folder / "seed0.parquet"
    path.rename(submission.tiny.folder / "elsewhere.parquet")
    path.symlink_to(submission.tiny.folder / "elsewhere.parquet")


def fifo(submission: Submission) -> None:
    (submission.folder / "seed0.parquet").unlink()
    os.mkfifo(submission.folder / "seed0.parquet")


def huge(submission: Submission) -> None:
    with (submission.folder / "seed0.parquet").open("r+b") as stream:
        stream.truncate(2**40)  # takes no room on disk


def bomb(submission: Submission) -> None:
    np.savez_compressed(submission.folder / "bomb.npz", ids=np.array(scene_ids(submission.index)),
                        x=np.zeros((18, 2**15), np.float64))  # fmt: skip
    submission.entries[0]["file"] = "bomb.npz"


def unwritten(submission: Submission) -> None:
    h5py = pytest.importorskip("h5py", reason="NO HDF5: pip install -e '.[hdf5]'")
    with h5py.File(submission.folder / "empty.h5", "w") as file:
        file["ids"] = list(scene_ids(submission.index))
        file.create_dataset("features", (18, 2**30), "f4", chunks=(1, 2**20))  # takes no room on disk
    submission.entries[0]["file"] = "empty.h5"


def long_words(submission: Submission) -> None:
    frame = pd.DataFrame({"id": ["x" * 2**20] * 18, "descriptors": list(np.zeros((18, 3)))})
    frame.to_parquet(submission.folder / "seed0.parquet")


def copied(submission: Submission) -> None:
    for seed in range(1, 5):
        submission.add(seed)
        content = (submission.folder / "seed0.parquet").read_bytes()
        (submission.folder / f"seed{seed}.parquet").write_bytes(content)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (field(name="jsst"), "name 'jsst': a method of rsir-bench has this name"),
        (field(name="JSST"), "name 'JSST': a method of rsir-bench has this name"),
        (field(title="MiLaN"), "title 'MiLaN': a method of rsir-bench has this name"),
        (field(name="../x"), "name: .*letters, digits"),
        (field(name="a b"), "name: .*letters, digits"),
        (field(title="=HYPERLINK(1)"), "title: .*like a formula"),
        (field(title="a\x1b[2J"), "title: .*control characters"),
        (field(title="a\nb"), "title: .*one line"),
        (field(by="\u202e"), "by: .*control characters"),
        (field(by=""), "by: .*one line"),
        (field(training="x" * 301), "training: .*at most 300"),
        (field(url="javascript:alert(1)"), "url: .*https://"),
        (field(protocol="../../etc/passwd.toml"), "protocol: .*letters, digits"),
        (field(protocol="patternnett"), "protocol 'patternnett': not one of aid"),
        (field(kind="other"), "kind"),
        (field(extra=1), "extra: unknown; remove it"),
        (entry(file="../elsewhere.parquet"), "give a name in the folder"),
        (entry(file="/etc/passwd"), "give a name in the folder"),
        (entry(file=".seed0.parquet"), "give a name in the folder"),
        (entry(file="gone.parquet"), "gone.parquet: cannot be read"),
        (entry(file="submission.toml"), "unknown format"),
        (entry(seed=-1), "seed: .*greater than or equal to 0"),
        (entry(seed=2**40), "seed: .*less than"),
        (entry(target="folder:/"), "unknown dataset 'folder:/'"),
        (entry(target="gone"), "unknown dataset 'gone'"),
        (entry(fingerprint="0" * 64), "fingerprint 000000000000, but the scenes here have"),
        (entry(fingerprint="x"), "fingerprint: .*pattern"),
        (entry(bits=8), "bits: only codes have bits"),
        (entry(kind="code"), "codes hold values other than 0 and 1"),
        (entry(row="a\tb"), "row: .*one line"),
        (lambda submission: submission.add(1), "2 seeds; give one or five"),
        (lambda submission: submission.add(0), "a seed is listed twice"),
        (lambda submission: submission.entries.clear(), "descriptors: .*Field required"),
        (table(lambda frame: frame[1:]), r"lacks 1 \(class2/scene05\) of the 18 scenes"),
        (table(repeated), r"names 1 \(class2/scene05\) of the scenes of folder-target more than once"),
        (table(lambda frame: frame.assign(id=[*frame["id"][1:], "gone"])), "gone"),
        (table(lambda frame: frame.drop(columns="id")), "holds no ids"),
        (table(not_finite), "NaN or infinity in 18 of 18 rows"),
        (linked, "is a link or not a regular file"),
        (fifo, "is a link or not a regular file"),
        (huge, r"1,099,511,627,776 bytes, more than"),
        (bomb, r"bytes when decoded, more than"),
        (unwritten, r"77,309,411,\d+ bytes when decoded, more than"),
        (long_words, r"bytes when decoded, more than"),
        (copied, "seed 1: has the scores of seed 0; a seed is another training"),
        (lambda submission: (submission.folder / "seed0.parquet").write_text("no table"), "cannot be read"),
    ],
)
def test_hostile_descriptors_are_refused_in_one_line(submission: Submission, spoil: Spoil, words: str) -> None:
    spoil(submission)
    with pytest.raises(UserError, match=words) as caught:
        submission.check()
    lines = str(caught.value).splitlines()
    assert len(lines) == (2 if words == "gone" else 1)
    assert not any(character in str(caught.value) for character in "\x1b\u202e")
    assert all(len(line) < 500 for line in lines)


@pytest.mark.faults
@pytest.mark.parametrize("content", [b"kind = ", b"\xff", b"x = " + b"[" * 5000, b"a" * 300_000, b""])
def test_odd_cards_are_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "submission.toml").write_bytes(content)
    with pytest.raises(UserError, match=r"submission.toml: ") as caught:
        check_submission(tmp_path, UserFiles(), tmp_path / "published", print)
    assert "\n" not in str(caught.value)
    (tmp_path / "submission.toml").unlink()
    (tmp_path / "submission.toml").symlink_to("/etc/passwd")
    with pytest.raises(UserError, match=r"is a link or not a regular file"):
        check_submission(tmp_path, UserFiles(), tmp_path / "published", print)
    with pytest.raises(UserError, match=r"no such folder"):
        check_submission(tmp_path / "gone", UserFiles(), tmp_path / "published", print)


@pytest.fixture
def board(tiny: Tiny) -> Path:
    """Published records: a line that was made here, and one of somebody's descriptors."""
    records = campaign(tiny.request(), lambda line: None).records
    publish([tiny.folder / "runs"], tiny.folder / "published")
    assert len(records) == 2
    return tiny.folder / "published"


def test_a_submission_enters_a_board_and_changes_nothing_of_it(submission: Submission, board: Path) -> None:
    before = {path: path.read_bytes() for path in sorted(board.rglob("*.json"))}
    records, told = submission.check()
    assert told == []
    write_checked(records, submission.tiny.folder / "checked")
    (written,) = publish([submission.tiny.folder / "checked"], board)
    assert {path: path.read_bytes() for path in before} == before
    assert {*board.rglob("*.json")} == {*before, written}

    submission.fields["by"] = "B. Author"  # another maker, under the same name
    submission.refused(r"submitted:my-net: already on the board, of descriptors by A\. Author.*choose another name")
    submission.fields |= {"name": "My-Net"}
    submission.refused(r"the board has submitted:my-net, 'MyNet'; choose another name and title")
    submission.fields |= {"name": "other"}
    submission.refused(r"submitted:other, 'MyNet': the board has submitted:my-net")
    submission.fields |= {"title": "Other"}
    submission.check()
    submission.fields |= {"by": "A. Author, Some University", "name": "my-net", "title": "MyNet"}
    submission.entries.clear()
    submission.add(0).write_bytes((submission.add(1)).read_bytes())  # better descriptors in the place of the old ones
    submission.entries.pop()
    submission.refused(r"seed 0: already on the board; a submission cannot replace anything")


def test_a_submission_on_another_edition_is_a_separate_target(submission: Submission, board: Path) -> None:
    for path in board.rglob("*.json"):
        record = read_record(path)
        other = record.target.model_copy(update={"fingerprint": "1" * 64})
        write_record(path, record.model_copy(update={"target": other}))
    (record,), _ = submission.check()
    (found,) = boards([record, *read_records([board])])
    fingerprint = submission.index.fingerprint
    assert {one.target.label for one in found.records} == {
        "folder-target (11111111)",
        f"folder-target ({fingerprint[:8]})",
    }


# --- records of runs elsewhere ---

MAKER = RecordsCard(kind="records", by="A. Author, Some University", made_on="four A100")


@dataclass
class Package:
    """Packed records of the tiny protocol, and how they are checked."""

    tiny: Tiny
    folder: Path

    def check(self, **options: Any) -> tuple[list[Record], Told]:
        """Check the package."""
        told: Told = []
        files = UserFiles(self.tiny.folder, protocol=str(self.tiny.protocol))
        found = check_submission(self.folder, files, self.tiny.folder / "published", told.append, **options)
        return found, told

    def change(self, **parts: Any) -> None:
        """Change parts of the record of baseline, FC, seed 0, as a forger would."""
        read = {path: json.loads(path.read_text()) for path in (self.folder / "records").iterdir()}
        path, values = next(
            (path, values)
            for path, values in read.items()
            if (values["method"]["name"], values["row"]["name"], values["seed"]) == ("baseline", "FC", 0)
        )
        for name, value in parts.items():
            values[name] = values[name] | value if isinstance(value, dict) and values.get(name) else value
            if values[name] is None:
                del values[name]
        path.unlink()
        (self.folder / "records" / f"{values['key']}.json").write_text(json.dumps(values))


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with scenes, a protocol and a package of two methods, trained once for all tests."""
    folder = tmp_path_factory.mktemp("packed")
    source, target = (write_scenes(folder / name, 3, 6, seed) for name, seed in (("source", 1), ("target", 2)))
    (folder / "tiny.toml").write_text(TINY_PROTOCOL.format(source=source, target=target))
    tiny = Tiny(folder, folder / "tiny.toml", f"folder:{source}", f"folder:{target}")
    campaign(tiny.request("baseline,dhn", seeds=(0, 1)), lambda line: None)
    pack([folder / "runs"], MAKER, folder / "package", Selection(), 0, print)
    return folder


@pytest.fixture
def package(packed: Path, tmp_path: Path) -> Package:
    """A copy of the package that a test may spoil."""
    tiny = Tiny(packed, packed / "tiny.toml", f"folder:{packed / 'source'}", f"folder:{packed / 'target'}")
    shutil.copytree(packed / "package", tmp_path / "package")
    return Package(tiny, tmp_path / "package")


def test_a_package_holds_records_and_the_networks_of_one_seed(package: Package) -> None:
    records = read_records([package.folder / "records"])
    assert {(record.method.label, record.row.name, record.seed) for record in records} == {
        (label, row, seed)
        for label, row in (("baseline", "FC"), ("baseline", "PCA"), ("dhn", "Hashing"))
        for seed in (0, 1)
    }
    networks = {f"sha256:{path.stem}" for path in (package.folder / "networks").iterdir()}
    assert networks == {record.weights["trained"] for record in records if record.seed == 0}
    assert (package.folder / "submission.toml").read_text().splitlines() == [
        'by = "A. Author, Some University"',
        'made_on = "four A100"',
        'kind = "records"',
    ]


def test_a_package_is_checked_and_marked(package: Package) -> None:
    records, told = package.check()
    assert len(records) == 6
    for record in records:
        assert record.origin is not None
        assert (record.origin.kind, record.origin.by, record.origin.made_on) == ("record", MAKER.by, MAKER.made_on)
        assert record.origin.remade == ""
    assert [line for line in told if not line.startswith("not compared")] == []


def test_post_processed_records_are_checked(packed: Path, tmp_path: Path) -> None:
    tiny = Tiny(packed, packed / "tiny.toml", f"folder:{packed / 'source'}", f"folder:{packed / 'target'}")
    campaign(tiny.request("baseline", out=str(tmp_path / "runs"), after=["aqe:3,1"]), lambda line: None)
    pack([tmp_path / "runs"], MAKER, tmp_path / "package", Selection(), 0, print)
    package = Package(tiny, tmp_path / "package")
    records, _ = package.check()
    assert sorted(after_of(record) for record in records) == ["", "", "aqe:3,1", "aqe:3,1"]
    for path in (package.folder / "records").iterdir():
        values = json.loads(path.read_text())
        if values.get("after"):
            values["after"]["label"] = "learned"
            path.write_text(json.dumps(values))
    with pytest.raises(UserError, match=r"after\.label: 'learned', but here it is 'aQE 3,1"):
        package.check()


def test_one_seed_is_made_again_from_its_network(package: Package, tmp_path: Path) -> None:
    records, _ = package.check(exact=True)
    remade = {(record.method.label, record.row.name, record.seed): record.origin.remade for record in records
              if record.origin}  # fmt: skip
    for (label, row, seed), words in remade.items():
        assert bool(words) == (seed == 0), (label, row)
    assert remade["baseline", "FC", 0].endswith("scores within 1e-05")
    results = tmp_path / "published"
    write_checked(records, tmp_path / "checked")
    assert len(publish([tmp_path / "checked"], results)) == 6
    assert len(read_records([results])) == 6


CARD = """
name = "{name}"
title = "{name}"
description = "d"
citation = "c"
licence = "l"
source = "s"
ground_resolution = "1 m"
pixels = 32
folders = ["{name}"]
classes = [{{ name = "class0", scenes = 6 }}, {{ name = "class1", scenes = 6 }}, {{ name = "class2", scenes = 6 }}]
download = {{ by_hand = "ask" }}
"""


def test_without_the_source_keys_are_checked_and_rows_that_need_none_made_again(tmp_path: Path) -> None:
    for seed, name in enumerate(("tiny-source", "tiny-target")):
        write_scenes(tmp_path / name, 3, 6, seed)
        (tmp_path / f"{name}.toml").write_text(CARD.format(name=name))
    protocol = TINY_PROTOCOL.replace("folder:{source}", "tiny-source").replace("folder:{target}", "tiny-target")
    (tmp_path / "tiny.toml").write_text(protocol)
    tiny = Tiny(tmp_path, tmp_path / "tiny.toml", "tiny-source", "tiny-target")
    cards = [tmp_path / "tiny-source.toml", tmp_path / "tiny-target.toml"]
    campaign(tiny.request(cards=cards), lambda line: None)
    pack([tmp_path / "runs"], MAKER, tmp_path / "package", Selection(), 0, print)
    shutil.rmtree(tmp_path / "tiny-source")
    told: Told = []
    files = UserFiles(tmp_path, cards=cards, protocol=str(tiny.protocol))
    records = check_submission(tmp_path / "package", files, tmp_path / "published", told.append, exact=True)
    assert {(record.row.name, bool(record.origin and record.origin.remade)) for record in records} == {
        ("FC", True),
        ("PCA", False),
    }
    assert [line.split(":")[0] for line in told if not line.startswith("not compared")] == [
        "not here   tiny-source",
        f"not again   {records[0].protocol.board}",
    ]
    assert "row PCA, on tiny-target, seed 0: it needs the scenes of the source, tiny-source" in told[1]
    for path in (tmp_path / "package" / "records").iterdir():
        record = read_record(path)
        assert record.source is not None
        write_record(path, record.model_copy(update={"source": record.source.model_copy(update={"scenes": 17})}))
    with pytest.raises(UserError, match=r"source\.scenes: 17, but here it is 18"):
        check_submission(tmp_path / "package", files, tmp_path / "published", told.append)


def test_a_package_without_networks_is_not_made_again(package: Package) -> None:
    for path in (package.folder / "networks").iterdir():
        path.unlink()
    records, told = package.check(exact=True)
    assert not any(record.origin.remade for record in records if record.origin)
    assert sum("holds the networks of no seed" in line for line in told) == 2


@pytest.mark.faults
def test_a_forged_network_is_refused(package: Package) -> None:
    one, other = sorted((package.folder / "networks").iterdir())
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    with pytest.raises(UserError, match=r"not that of its name; it was changed"):
        package.check(exact=True)
    one.unlink()
    one.symlink_to("/etc/passwd")
    with pytest.raises(UserError, match=r"is a link or not a regular file"):
        package.check(exact=True)
    one.unlink()
    one.write_bytes(content)
    package.check(exact=True)
    odd = hashlib.sha256(b"no network").hexdigest()
    for path in (package.folder / "records").iterdir():
        record = read_record(path)
        if record.weights["trained"] == f"sha256:{one.stem}":
            write_record(path, record.model_copy(update={"weights": {**record.weights, "trained": f"sha256:{odd}"}}))
    one.with_name(f"{odd}.safetensors").write_bytes(b"no network")
    with pytest.raises(UserError, match=r"weights.safetensors: does not fit the method") as caught:
        package.check(exact=True)
    assert "\n" not in str(caught.value)


def shifted(package: Package, name: str, by: float) -> None:
    """Raise a metric of the first record and of all its classes, so that they still agree."""
    path = min((package.folder / "records").iterdir())
    values = json.loads(path.read_text())
    values["metrics"][name] += by
    for scores in values["per_class"].values():
        scores[name] += by
    path.write_text(json.dumps(values))


def test_forged_scores_are_found_when_they_are_made_again(package: Package) -> None:
    for path in (package.folder / "records").iterdir():
        record = read_record(path)
        if (record.row.name, record.seed) != ("FC", 0):
            path.unlink()
    shifted(package, "P@50", 0.01)
    package.check()  # nothing but making it again can tell
    with pytest.raises(UserError, match=r"recomputed, P@50 is .*it is not the result of its network"):
        package.check(exact=True)


FORGED: list[tuple[dict[str, Any], str]] = [
    ({"metrics": {"P@5": 0.999}}, r"metrics\.P@5: 0\.999000, but its classes give"),
    ({"seed": 7}, "key .*: does not follow from the record"),
    ({"key": "0" * 64}, "key 00000000: does not follow from the record"),
    ({"method": {"version": 2}}, r"method\.version: 2, but here it is 1"),
    ({"method": {"label": "jsst"}}, r"method\.label: 'jsst', but here it is"),
    ({"method": {"title": "JSST"}}, r"method\.title: 'JSST', but here it is"),
    ({"method": {"name": "jsst"}}, r"method\.\w+: .*, but here it is"),
    ({"method": {"own_code": "abc"}}, r"method\.own_code: 'abc', but here it is ''"),
    ({"method": {"name": "gone"}}, "method 'gone': unknown"),
    ({"protocol": {"board": "patternnet"}}, r"protocol\.board: 'patternnet', but here it is"),
    ({"protocol": {"name": "../x"}}, "protocol '../x': not one of"),
    ({"protocol": {"overrides": ["train.epochs=1"]}}, r"protocol\.overrides: .*but here it is \[\]"),
    ({"protocol": {"settings": {"data": {"source": "x", "size": 1}, "describe": {"pca": 1}}}}, r"protocol\.settings"),
    ({"target": {"fingerprint": "1" * 64}}, "made with scenes of fingerprint 111111111111, but those here have"),
    ({"source": {"fingerprint": "1" * 64}}, "made with scenes of fingerprint 111111111111, but those here have"),
    ({"target": {"paper_name": "UCM"}}, r"target\.paper_name: 'UCM', but here it is None"),
    ({"target": {"name": "ucm"}}, r"target\.name: 'ucm', but here it is 'folder-target'"),
    ({"request": {"target": "folder:/"}}, "unknown dataset 'folder:/'"),
    ({"request": {"plugins": ["evil.py"]}}, r"request\.plugins"),
    ({"command": "rm -rf /"}, r"command: 'rm -rf /', but here it is"),
    ({"row": {"name": "Other"}}, r"row\.name: 'Other', but here it is"),
    ({"row": {"paper": {"method": "JSST", "variant": "", "pooling": "FC"}}}, r"row\.paper"),
    (
        {"per_class": {f"class{n}": {"mAP": 0.5} for n in range(3)}},
        r"metrics of per_class\.class0: \['mAP'\], but here",
    ),
    ({"queries": {"count": 5}}, r"queries\.by_class: not positive numbers that sum to queries\.count"),
    ({"queries": {"count": 5, "by_class": {}}}, r"queries\.count: 5, but here it is 18"),
    ({"queries": {"by_class": {"class0": 18}}}, r"queries\.by_class: not the classes of per_class"),
    ({"queries": {"by_class": {"class0": 5, "class1": 6, "class2": 7}}}, r"queries\.by_class: {'class0': 5,"),
    ({"weights": {"trained": None}}, r"weights\.trained: None is not the hash of its network"),
    ({"weights": {"trained": "sha256:../../x"}}, r"weights\.trained: .* is not the hash of its network"),
    ({"weights": {"trained": "sha256:" + "0" * 64}}, "another network than other results of the same training"),
    ({"weights": {"trunk": "imagenet:resnet34"}}, r"weights\.trunk: 'imagenet:resnet34', not 'none'"),
    ({"weights": {"more": "none"}}, "weights: more, trunk, not trunk"),
    ({"metric_version": 2}, "metric_version: 2, but here it is 1"),
    ({"accepted": [{"reason": "x", "previous": {}, "previous_key": "0" * 64}]}, "names results that it replaces"),
    ({"origin": {"by": "B. Author"}}, "its origin is not that of the card"),
    ({"origin": {"remade": "2026-12-01"}}, "its origin is not that of the card"),
    ({"origin": None}, "its origin is not that of the card"),
]


@pytest.mark.faults
@pytest.mark.parametrize(
    ("parts", "words"), FORGED, ids=lambda value: str(value)[:60] if isinstance(value, dict) else ""
)
def test_forged_records_are_refused(package: Package, parts: dict[str, Any], words: str) -> None:
    package.change(**parts)
    with pytest.raises(UserError, match=words) as caught:
        package.check()
    assert all(len(line) < 600 for line in str(caught.value).splitlines())


@pytest.mark.faults
def test_odd_files_in_a_package_are_refused(package: Package) -> None:
    first = min((package.folder / "records").iterdir())
    content = first.read_bytes()
    for spoil, words in (
        (
            lambda: (package.folder / "records" / "x.json").write_bytes(content),
            "not written by `rsir-bench submit pack`",
        ),
        (lambda: first.rename(first.with_name(f"{'0' * 64}.json")), "it was changed or renamed"),
        (lambda: first.write_text("{}"), "not a result record"),
        (lambda: first.write_bytes(b"[" * 2**23), "bytes, more than"),
    ):
        spoil()
        with pytest.raises(UserError, match=words) as caught:
            package.check()
        assert "\n" not in str(caught.value)
        for path in (package.folder / "records").iterdir():
            if path.name in ("x.json", f"{'0' * 64}.json"):
                path.unlink()
        first.write_bytes(content)
    package.check()
    (package.folder / "records").rename(package.folder / "other")
    (package.folder / "records").symlink_to(package.folder / "other")
    with pytest.raises(UserError, match="not a folder, or a link to one"):
        package.check()


def test_a_line_of_ours_takes_no_seeds_of_others(package: Package, tmp_path: Path, packed: Path) -> None:
    ours = tmp_path / "ours" / "results"
    for record in read_records([packed / "package" / "records"]):
        if record.seed == 0:
            write_record(ours / f"{record.key}.json", record.model_copy(update={"origin": None}))
    publish([ours.parent], tmp_path / "published")
    for path in (package.folder / "records").iterdir():
        if read_record(path).seed == 0:
            path.unlink()
    files = UserFiles(packed, protocol=str(packed / "tiny.toml"))
    with pytest.raises(UserError, match=r"seed 1: made with .*record by A\. Author.* but seed 0 with cpu"):
        check_submission(package.folder, files, tmp_path / "published", print)


def test_pack_and_check_on_the_command_line(packed: Path, cli: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--by", "B. Author", "--made-on", "a laptop", "--out", "pack"]
    result = cli("submit", "pack", packed / "runs", *words, "--methods", "dhn", "--url", "https://example.org/a")
    assert result.code == 0, result.err
    assert len(result.out.splitlines()) == 3
    check = ["--protocol", packed / "tiny.toml", "--data-root", packed, "--out", "checked"]
    result = cli("submit", "check", "pack", *check)
    assert result.code == 0, result.err
    assert result.out.count("dhn") == 2
    result = cli("submit", "pack", packed / "runs", *words, "--networks", "5")
    assert (result.code, result.out) == (2, "")
    assert "--networks 5: no result of that seed; the seeds are 0, 1" in result.err
    result = cli("submit", "pack", packed / "runs", "--by", "=x", *words[2:])
    assert result.code == 2
    assert "--by: Value error, must not begin like a formula" in result.err


def test_what_cannot_be_packed_is_named(tiny: Tiny) -> None:
    (record, _) = campaign(tiny.request(), lambda line: None).records
    for path in (tiny.folder / "runs").rglob("weights.safetensors"):
        path.unlink()
    with pytest.raises(UserError, match=r"its network \(sha256:.*\) is not in .*; run it again"):
        pack([tiny.folder / "runs"], MAKER, tiny.folder / "package", Selection(), None, print)
    assert not (tiny.folder / "package" / "records").exists()
    other = tiny.folder / "other" / "results" / "a.json"
    for change, words in (
        (
            {"protocol": record.protocol.model_copy(update={"overrides": ["train.epochs=1"]})},
            "changed by --set train.ep",
        ),
        ({"method": record.method.model_copy(update={"own_code": "abc"})}, "its method is not as shipped"),
    ):
        write_record(other, record.model_copy(update=change))
        with pytest.raises(UserError, match=words):
            pack([tiny.folder / "other"], MAKER, tiny.folder / "package", Selection(), None, print)


def test_a_target_with_several_labels(submission: Submission) -> None:
    target = Path(submission.tiny.target.removeprefix("folder:"))
    words = [
        f"class{number}/scene{scene:02}.png,{'sea;' * (scene % 2)}{'abc'[number]}"
        for number in range(3)
        for scene in range(6)
    ]
    (target / "labels.csv").write_text("\n".join(["filename,labels", *words]))
    (target / "dataset.toml").write_text('labels = "labels.csv"')
    submission.index = resolve_dataset(submission.tiny.target, submission.tiny.folder)
    submission.entries.clear()
    submission.add(0)
    (record,), _ = submission.check()
    assert submission.index.several is not None
    expected = score(submission.values(0), submission.index.several.members)
    assert record.graded is not None
    assert record.metrics == pytest.approx(expected.overall, abs=1e-12)
    assert record.graded.chance == pytest.approx(expected.chance, abs=1e-12)
    assert record.graded.oracle == pytest.approx(expected.oracle, abs=1e-12)
    assert record.graded.labels == ("a", "b", "c", "sea")
