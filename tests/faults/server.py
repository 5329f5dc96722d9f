"""Imports the benchmark once and forks a process for each command: one JSON line in, one out.

A forked child is what ``python -m rsir_bench ...`` is after its imports, which take seconds. No thread and no torch
operation has been started by then. What is done to a child stands in its ``Job``; see ``commands.py``.
"""

from __future__ import annotations

import contextlib
import fnmatch
import importlib
import json
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

from PIL import Image

import rsir_bench
from rsir_bench.method.registry import discover
from rsir_bench.training import loop

LOADED_LATE = (
    "faiss",
    "tabulate",
    "tifffile",
    "timm",
    "torchvision.transforms.v2",
    "torch.utils.flop_counter",
    "lightning_fabric.strategies.ddp",
    "sklearn.decomposition",
)


def install(point: dict[str, Any], counts: dict[str, int]) -> None:
    """Counts the calls of a function, and does at the wanted one what the point says."""
    function, _, pattern = point["at"].partition(" ")
    module, _, words = function.partition(":")
    *parents, name = words.split(".")
    owner: Any = importlib.import_module(module)
    for parent in parents:
        owner = getattr(owner, parent)
    original = getattr(owner, name)

    def wrapped(*arguments: Any, **options: Any) -> Any:
        names = [Path(value).name for value in arguments if isinstance(value, (str, Path))]
        if pattern and not fnmatch.filter(names, pattern):
            return original(*arguments, **options)
        counts[point["at"]] = counts.get(point["at"], 0) + 1
        now = counts[point["at"]] == point.get("call")
        if now and point["when"] == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        elif now and point["when"] == "raise":
            raise OSError(point["errno"], os.strerror(point["errno"]))
        elif now and point["when"] == "remove":
            for folder in point["folders"]:
                shutil.rmtree(folder)
        result = original(*arguments, **options)
        if now and point["when"] == "half":
            path = next(Path(value) for value in arguments if isinstance(value, (str, Path)))
            os.truncate(path, path.stat().st_size // 2)
        if now and point["when"] in ("half", "after"):
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, wrapped)


def work(job: dict[str, Any]) -> int:
    """What the child does; returns its exit code."""
    os.environ.update(job["environment"])
    os.chdir(job["folder"])
    counts: dict[str, int] = {}
    for point in job["points"]:
        install(point, counts)
    for name, bound in job["limits"].items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (bound, bound))
    sys.argv = ["rsir-bench", *job["words"]]
    from rsir_bench.cli.app import main

    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    if job["counts"]:
        Path(job["counts"]).write_text(json.dumps(counts))
    return code


def fork(job: dict[str, Any]) -> int:
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        for number, path in ((0, os.devnull), (1, job["out"]), (2, job["err"])):
            os.dup2(os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
        code = work(job)
    except BaseException:  # noqa: BLE001 - the parent looks for tracebacks
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def wait(children: list[int], jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Waits for all children; kills each at its time."""
    started = time.monotonic()
    ended: dict[int, dict[str, Any]] = {}
    killed: set[int] = set()
    while len(ended) < len(children):
        for child, job in zip(children, jobs, strict=True):
            if child in ended:
                continue
            seconds = time.monotonic() - started
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                code = os.waitstatus_to_exitcode(status)
                ended[child] = {"code": code, "seconds": seconds, "hung": child in killed and seconds > job["limit"]}
            elif child not in killed and seconds > min(job["kill_after"] or job["limit"], job["limit"]):
                killed.add(child)
                os.kill(child, signal.SIGKILL)
        time.sleep(0.002)
    return [ended[child] for child in children]


def serve() -> None:
    """Loads all that a child needs, which would load it again for each command."""
    for module in walk_packages(rsir_bench.__path__, "rsir_bench."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in LOADED_LATE:
        importlib.import_module(name)
    Image.init()
    discover()
    loop._code_of_training()
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        jobs = json.loads(line)
        answer = wait([fork(job) for job in jobs], jobs)
        print(json.dumps(answer), file=replies, flush=True)


if __name__ == "__main__":
    serve()
