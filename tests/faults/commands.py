"""Commands of the benchmark on tiny scenes, in processes that can be killed, and what they must leave behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from conftest import TINY_PROTOCOL, write_scenes
from safetensors.torch import load_file

from rsir_bench.base.files import is_intact

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
UNFINISHED = (".lock", ".tmp")
TIMES = ("train_seconds", "train_images_per_second", "describe_images_per_second")


@dataclass
class Job:
    """One command and what is done to it.

    Attributes:
        words: After ``rsir-bench``.
        folder: Where it runs.
        environment: Added to the server's.
        points: ``{"at": "module:name", "call": n, "when": ...}``: it is killed "before" or "after" the n-th call of a
            function, or when "half" of the file is there; or the call "raise"s an OSError (``errno``); or "remove"s
            ``folders`` first. The functions are those of Python and of libraries; with ``"module:name PATTERN"``, only
            calls for a file of such a name count.
        kill_after: Seconds.
        limits: As ``{"FSIZE": bytes}``.
        counts: A file for how often each point was passed.
        limit: Seconds after which it counts as hanging.
    """

    words: list[str]
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    points: list[dict[str, Any]] = field(default_factory=list)
    kill_after: float | None = None
    limits: dict[str, int] = field(default_factory=dict)
    counts: Path | None = None
    limit: float = 120


@dataclass
class Ended:
    """How a command ended: exit code (negative: the signal), what it printed, how long it took."""

    code: int
    out: str
    err: str
    seconds: float
    hung: bool

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL and not self.hung

    def check_told(self, *codes: int) -> None:
        """It ended by itself with one of the codes and no traceback, which would be a bug of ours."""
        assert not self.hung, f"hangs: {self.err[-300:]}"
        assert self.code in codes, f"exit {self.code}: {self.err[-1500:]}"
        assert "Traceback" not in self.err, self.err[-1500:]
        assert "(traceback in" not in self.err, self.err[-500:]


class Commands:
    """The client of ``server.py``."""

    def __init__(self) -> None:
        self.server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("server.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **ONE_THREAD},
        )

    def __call__(self, *jobs: Job) -> list[Ended]:
        """Runs the commands at the same time."""
        with tempfile.TemporaryDirectory() as folder:
            streams = [(f"{folder}/out{number}", f"{folder}/err{number}") for number in range(len(jobs))]
            sent = [{**job.__dict__, "out": out, "err": err} for job, (out, err) in zip(jobs, streams, strict=True)]
            assert self.server.stdin is not None
            assert self.server.stdout is not None
            self.server.stdin.write(json.dumps(sent, default=str) + "\n")
            self.server.stdin.flush()
            answers = json.loads(self.server.stdout.readline())
            texts = [[Path(path).read_text(errors="replace") for path in pair] for pair in streams]
        return [
            Ended(answer["code"], out, err, answer["seconds"], answer["hung"])
            for answer, (out, err) in zip(answers, texts, strict=True)
        ]

    def close(self) -> None:
        assert self.server.stdin is not None
        self.server.stdin.close()
        self.server.wait(timeout=30)


@dataclass
class Place:
    """Scenes, a protocol, a cache and a folder of runs below one folder."""

    folder: Path

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def environment(self) -> dict[str, str]:
        """Nothing is written outside the place: neither to the cache nor to the user's own."""
        return {"RSIR_BENCH_CACHE": str(self.cache), "XDG_CACHE_HOME": str(self.folder / "own")}

    def job(self, *words: str, methods: str = "baseline", **options: Any) -> Job:
        """The command that makes all results."""
        command = ["run", "--protocol", "tiny.toml", "--methods", methods, "--data-root", ".", "--out", "runs"]
        return Job([*command, *words], self.folder, self.environment, **options)

    def verb(self, *words: str, **options: Any) -> Job:
        """Any other command."""
        return Job(list(words), self.folder, self.environment, **options)

    def copy(self, folder: Path, *, runs: bool = True, cache: bool = True) -> Place:
        """Another place with the same scenes; the protocol's paths are relative, so that nothing else changes."""
        left_out = {name for name, kept in (("runs", runs), ("cache", cache)) if not kept}
        shutil.copytree(self.folder, folder, ignore=lambda _, names: left_out & set(names))
        return Place(folder)

    def records(self) -> dict[str, Any]:
        """What must be the same however often the run was killed: all but times and dates, by key."""
        records = {}
        for path in self.runs.rglob("results/**/*.json"):
            if not path.name.startswith("."):
                record = json.loads(path.read_text())
                record.pop("created")
                record["command"] = record["command"].replace(" --plugin bad.py", "")  # another method's
                if record.get("request"):
                    record["request"].pop("plugins", None)  # another method's too
                for name in TIMES:
                    record["cost"].pop(name)
                assert record["key"] not in records
                records[record["key"]] = record
        return records

    def check_files(self) -> None:
        """Every file under its final name is whole."""
        for path in [*self.runs.rglob("*"), *self.cache.rglob("*")]:
            if path.is_file() and not path.name.startswith(".") and path.suffix not in UNFINISHED:
                assert is_intact(path), path
                read(path)

    def check_tidy(self) -> None:
        """Nothing unfinished is left in the runs."""
        rest = [path for path in self.runs.rglob("*") if path.name.startswith((".partial-", "checkpoint.pt"))]
        assert not rest, rest


def make_place(folder: Path) -> Place:
    write_scenes(folder / "source", 3, 8, seed=1)
    write_scenes(folder / "target", 3, 6, seed=2)
    (folder / "tiny.toml").write_text(TINY_PROTOCOL.format(source="source", target="target"))
    return Place(folder)


def read(path: Path) -> None:
    """Reads a file of the benchmark in full; one that is half there raises."""
    if path.suffix == ".json":
        json.loads(path.read_text())
    elif path.suffix == ".npy":
        np.load(path)
    elif path.suffix == ".npz":
        with np.load(path) as arrays:
            dict(arrays)
    elif path.suffix == ".safetensors":
        load_file(path)
    elif path.suffix == ".pt":
        torch.load(path, weights_only=True)
    elif path.suffix == ".csv":
        assert path.read_text().endswith("\n")
