from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rsir_bench.base.errors import UserError
from rsir_bench.records.schema import Record
from rsir_bench.records.store import read_published, read_record, read_records, write_record

EXAMPLE: dict[str, Any] = {
    "key": "k" * 64,
    "method": {
        "name": "jsst",
        "label": "jsst (jsst.rate=0.5)",
        "title": "JSST",
        "version": 1001,
        "settings": {"jsst.rate": 0.5, "jsst.padding": "border"},
        "source_sha256": "0" * 64,
    },
    "row": {
        "name": "PCA",
        "descriptor": "FC1",
        "kind": "pca",
        "dimensions": 128,
        "fit": "source",
        "paper": {"method": "JSST", "variant": "", "pooling": "PCA"},
    },
    "protocol": {
        "name": "demo",
        "hash": "0123456789ab",
        "board": "demo",
        "modified": False,
        "paper": False,
        "overrides": ["methods.jsst.rate=0.5"],
        "settings": {"data": {"source": "demo-source", "size": 96}, "describe": {"pca": 128}, "train": {"rate": 0.03}},
    },
    "seed": 3,
    "source": {"name": "demo-source", "fingerprint": "a" * 64, "scenes": 400},
    "target": {
        "name": "demo-view",
        "title": "Démo: view",
        "paper_name": None,
        "fingerprint": "b" * 64,
        "scenes": 200,
        "classes": 10,
    },
    "metrics": {"mAP": 0.1 + 0.2, "P@5": 1 / 3},
    "tie_bounds": {"mAP": (0.3, 0.31)},
    "metric_version": 1,
    "per_class": {"harbour": {"mAP": 0.5}, "forest": {"mAP": 0.1}},
    "queries": {"count": 200, "skipped": 1, "constant": 0},
    "weights": {"trunk": "none", "trained": None},
    "cost": {"train_seconds": 12.5, "train_loss": None},
    "environment": {"torch": "2.6.0"},
    "command": "rsir-bench run --protocol demo --methods jsst --seeds 3 --targets demo-view",
    "created": "2026-01-01T00:00:00+00:00",
}


def record(**changes: Any) -> Record:
    return Record.model_validate(EXAMPLE | changes)


class TestOneRecord:
    def test_round_trip(self, tmp_path):
        write_record(tmp_path / "r.json", record())
        assert read_record(tmp_path / "r.json") == record()

    def test_equal_records_are_equal_bytes(self, tmp_path):
        turned = dict(reversed(EXAMPLE.items())) | {"metrics": {"P@5": 1 / 3, "mAP": 0.1 + 0.2}}
        write_record(tmp_path / "a.json", record())
        write_record(tmp_path / "b.json", Record.model_validate(turned))
        write_record(tmp_path / "c.json", read_record(tmp_path / "a.json"))
        content = (tmp_path / "a.json").read_bytes()
        assert content == (tmp_path / "b.json").read_bytes() == (tmp_path / "c.json").read_bytes()
        assert content.endswith(b"}\n")
        assert "Démo" in content.decode()

    def test_a_source_may_be_absent(self, tmp_path):
        write_record(tmp_path / "r.json", record(source=None))
        assert read_record(tmp_path / "r.json").source is None

    @pytest.mark.parametrize(
        "content", [b"", b"{", b"\xff\xfe\x00", b"[]", b"null", b"{}", b'{"key": 1}', b"\x00" * 100]
    )
    def test_damaged_files_are_refused_in_one_line(self, tmp_path, content):
        (tmp_path / "r.json").write_bytes(content)
        with pytest.raises(UserError, match=r"r\.json: not a result record \(.*\); move it elsewhere") as caught:
            read_record(tmp_path / "r.json")
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("change", "where"),
        [
            ({"schema_version": 2}, "schema_version"),
            ({"schema_version": 0}, "schema_version"),
            ({"metrics": {"mAP": "high"}}, "metrics.mAP"),
            ({"surplus": 1}, "surplus"),
            ({"row": EXAMPLE["row"] | {"kind": "guess"}}, "row.kind"),
            ({"source": {"name": "aid"}}, "source.fingerprint"),
        ],
    )
    def test_other_fields_are_refused_by_name(self, tmp_path, change, where):
        (tmp_path / "r.json").write_text(json.dumps(EXAMPLE | {"per_class": {}} | change))
        with pytest.raises(UserError, match=where):
            read_record(tmp_path / "r.json")

    @pytest.mark.parametrize("key", sorted(set(EXAMPLE)))
    def test_nothing_may_be_missing(self, tmp_path, key):
        (tmp_path / "r.json").write_text(json.dumps({k: v for k, v in EXAMPLE.items() if k != key}))
        with pytest.raises(UserError, match=rf"\({key}: Field required\)"):
            read_record(tmp_path / "r.json")


class TestManyRecords:
    @staticmethod
    def make_run(out: Path, name: str, *keys: str) -> None:
        """A run's folder with its notes and records."""
        for note in ("described.json", "round1/trained.json"):
            path = out / "jsst" / name / note
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}")
        for key in keys:
            write_record(out / "jsst" / name / "results" / "aid" / f"FC-{key}.json", record(key=key))

    @staticmethod
    def keys(*folders: Path) -> list[str]:
        return sorted(one.key for one in read_records(folders))

    def test_folders_of_runs(self, tmp_path):
        self.make_run(tmp_path / "runs", "seed0", "a", "b")
        self.make_run(tmp_path / "runs", "seed1", "c")
        assert self.keys(tmp_path / "runs") == ["a", "b", "c"]
        assert self.keys(tmp_path / "runs" / "jsst" / "seed1") == ["c"]
        assert self.keys(tmp_path / "runs" / "jsst" / "seed1" / "results") == ["c"]

    def test_several_folders(self, tmp_path):
        self.make_run(tmp_path / "one", "seed0", "a")
        self.make_run(tmp_path / "two", "seed0", "b")
        assert self.keys(tmp_path / "one", tmp_path / "two") == ["a", "b"]

    def test_the_published_folder(self, tmp_path):
        write_record(tmp_path / "results" / "demo" / "jsst" / "FC-aid.json", record(key="a"))
        assert self.keys(tmp_path / "results") == ["a"]
        assert self.keys(tmp_path) == ["a"]

    def test_the_published_folder_may_have_any_name(self, tmp_path):
        write_record(tmp_path / "pub" / "demo" / "jsst" / "FC-aid.json", record(key="a"))
        assert self.keys(tmp_path / "pub") == ["a"]
        # A method or a board may be called so.
        write_record(tmp_path / "pub" / "demo" / "results" / "FC-aid.json", record(key="b"))
        assert sorted(one.key for one in read_published(tmp_path / "pub")) == ["a", "b"]

    def test_other_files_of_runs_are_passed_over(self, tmp_path):
        self.make_run(tmp_path / "runs", "seed0", "a")
        (tmp_path / "runs" / "mine.json").write_text("{}")
        assert self.keys(tmp_path / "runs") == ["a"]

    def test_a_linked_run_counts_as_one_that_lies_there(self, tmp_path):
        self.make_run(tmp_path / "runs", "seed0", "a")
        self.make_run(tmp_path / "disk", "seed1", "b")
        (tmp_path / "runs/jsst/seed1").symlink_to(tmp_path / "disk/jsst/seed1", target_is_directory=True)
        (tmp_path / "runs/jsst/again").symlink_to(tmp_path / "runs", target_is_directory=True)
        assert self.keys(tmp_path / "runs") == ["a", "b"]

    def test_runs_may_lie_in_a_folder_called_results(self, tmp_path):
        self.make_run(tmp_path / "results", "seed0", "a")
        assert self.keys(tmp_path / "results") == ["a"]

    def test_half_written_files_of_a_killed_run_are_passed_over(self, tmp_path):
        self.make_run(tmp_path / "runs", "seed0", "a")
        (tmp_path / "runs/jsst/seed0/results/aid/.partial-1-2-FC-b.json").write_text("{")
        assert self.keys(tmp_path / "runs") == ["a"]

    def test_a_damaged_record_is_named(self, tmp_path):
        self.make_run(tmp_path / "runs", "seed0", "a")
        (tmp_path / "runs/jsst/seed0/results/aid/FC-b.json").write_text("{")
        with pytest.raises(UserError, match=r"FC-b\.json"):
            read_records([tmp_path / "runs"])

    def test_no_such_folder(self, tmp_path):
        with pytest.raises(UserError, match="nowhere: no such folder"):
            read_records([tmp_path / "nowhere"])

    def test_an_empty_folder(self, tmp_path):
        assert read_records([tmp_path]) == []

    def test_the_order_does_not_depend_on_the_file_system(self, tmp_path):
        for key in "cab":
            self.make_run(tmp_path / "runs", f"seed{key}", key)
        assert [one.key for one in read_records([tmp_path / "runs"])] == ["a", "b", "c"]
