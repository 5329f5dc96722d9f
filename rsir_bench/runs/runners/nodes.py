"""What goes between machines: the user's files and those of a run, and whether a node can make a run at all."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rsir_bench.base.errors import RunError, UserError, one_line
from rsir_bench.base.files import PARTIAL, discard, seal_for_both, write_atomically
from rsir_bench.method.code.code_files import code_files
from rsir_bench.runs.plan import make_plan
from rsir_bench.runs.request import Request

Files = dict[str, bytes]
"""The content of files by relative path."""

MARK = ".campaign-"
"""Prefix of the file in ``--out`` by which a node knows that it shares the folder with the caller."""


@dataclass(frozen=True)
class CarriedFiles:
    """The user's own files of a request, by absolute path: plugins and what they import, cards, a protocol."""

    contents: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, request: Request) -> CarriedFiles:
        """Read them."""
        paths = [file for plugin in request.plugins for file in code_files(plugin)]
        paths += [*request.cards, *([Path(request.protocol)] if request.protocol.endswith(".toml") else [])]
        return cls({str(path.resolve()): path.read_bytes() for path in paths})

    def placed(self, request: Request, folder: Path) -> Request:
        """Return the request with paths to the same files here.

        A file that is here with the same content stays where it is, so that notes and messages name it.

        Args:
            request: The caller's request.
            folder: Where to write the files if they are not all here.
        """
        if all(_is_here(Path(path), content) for path, content in self.contents.items()):
            return request

        def here(path: Path) -> Path:
            return folder / str(path.resolve()).lstrip("/")

        for path, content in self.contents.items():
            here(Path(path)).parent.mkdir(parents=True, exist_ok=True)
            here(Path(path)).write_bytes(content)
        protocol = Path(request.protocol)
        return replace(
            request,
            plugins=[here(path) for path in request.plugins],
            cards=[here(path) for path in request.cards],
            protocol=str(here(protocol)) if request.protocol.endswith(".toml") else request.protocol,
        )


def _is_here(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False


def why_not_here(request: Request, keys: Sequence[str]) -> str | None:
    """Return why this machine cannot make runs as the caller planned them, in one line; None if it can.

    Args:
        request: The caller's request, with paths of this machine.
        keys: The keys of the caller's runs.
    """
    try:
        plan = make_plan(request)
    except (RunError, UserError) as error:
        return "; ".join(one_line(error).splitlines())
    if {*keys} <= {run.key for run in plan.runs}:
        return None
    return "code, weights or scenes differ from the caller's; make them the same"


def mark_text() -> str:
    """Return what the mark says of its owner."""
    return f"{socket.gethostname()} {os.getpid()}\na node that sees this file shares the folder\n"


def remove_old_marks(out: Path) -> None:
    """Remove the marks of commands of this machine that have ended without doing so, because they were killed."""
    for path in out.glob(f"{MARK}*"):
        host, _, process = path.read_text(encoding="utf-8", errors="replace").partition("\n")[0].partition(" ")
        if host == socket.gethostname() and process.isdecimal() and not _is_alive(int(process)):
            discard(path)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def pack(folder: Path) -> Files:
    """Return the content of every file in a run's folder, by relative path; empty if there is no folder."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    kept = (path for path in paths if path.name != ".lock" and not path.name.startswith(PARTIAL))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in kept}


def unpack(files: Files, folder: Path) -> None:
    """Write the files of ``pack`` in an order in which an interruption never loses existing files.

    Training notes come late and records last, because each one means that everything before it exists. A seal comes
    immediately before its file.
    """

    def late(name: str) -> tuple[bool, bool, str, bool]:
        file = name.removesuffix(".sha256")
        return name.startswith("results/"), file.endswith("/trained.json"), file, name == file

    for name in sorted(files, key=late):
        path, content = folder / name, files[name]
        if path.suffix == ".sha256":
            content = seal_for_both(path.with_suffix(""), content)
        write_atomically(path, lambda unfinished, content=content: unfinished.write_bytes(content))  # type: ignore[misc]
