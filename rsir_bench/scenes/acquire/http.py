"""Download a file over HTTP, resuming interrupted transfers."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pydantic
import requests
from rich.console import Console
from rich.progress import DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

from rsir_bench.base.errors import UserError, one_line
from rsir_bench.scenes.acquire.disk_space import require_space

PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds before each further try after a cut connection or a server in trouble."""

TIMEOUT = (15.0, 60.0)
"""Seconds without an answer, and without a byte, after which a connection counts as cut."""

CHUNK = 1 << 16
"""Bytes that are written at once; up to that many are lost at a cut."""

IN_TROUBLE = {408, 429, *range(500, 600)}
"""Status codes that may not recur at the next try."""

ShowBytes = Callable[[int, int | None], None]


class _TryAgainError(Exception):
    """A try failed, but the next may succeed."""


class _Version(pydantic.BaseModel, frozen=True, extra="forbid"):
    """The version of the file that a part belongs to, as the server stated it; stored next to the part."""

    url: str
    etag: str | None
    modified: str | None
    size: int | None

    @property
    def condition(self) -> str | None:
        """The value of If-Range; the standard allows no weak ETag there."""
        return self.modified if self.etag is None or self.etag.startswith("W/") else self.etag

    def agrees_with(self, other: _Version) -> bool:
        """Return whether the versions agree in everything that both state."""
        pairs = zip(self.model_dump().values(), other.model_dump().values(), strict=True)
        return all(None in pair or pair[0] == pair[1] for pair in pairs)


def fetch(url: str, part: Path, size: int | None, what: str, *, pinned: bool = True) -> bool:
    """Download ``url`` to ``part``, resuming after the bytes that ``part`` holds.

    A part stays when the download fails, and is started over when the server has another version of the file or
    cannot send the rest alone.

    Args:
        url: An address of http or https.
        part: The file to write; a small file next to it notes the version that the bytes belong to.
        size: The bytes that the file must have, None if that is not known.
        what: The name to show.
        pinned: Whether the content's hash is known. Otherwise every address on the way must be https: nobody in
            between can then change what arrives.

    Returns:
        Whether ``part`` was joined from more than one answer of the server: if its content is wrong, only a
        download from the start shows whether the server is at fault.

    Raises:
        UserError: The server has no such file, has one of another size, or cannot be reached in several tries; the
            disk cannot hold it; or an address is not https and the content's hash is not known.
        OSError: Writing failed.
    """
    if not pinned:
        refuse_plain(what, [url])
    with _byte_bar(f"downloading {what}") as show:
        for pause in (*PAUSES, None):
            try:
                return _resume(url, part, size, show, None if pinned else what)
            except (
                requests.ConnectionError,
                requests.Timeout,
                requests.exceptions.ChunkedEncodingError,
                _TryAgainError,
            ) as error:
                if pause is None:
                    there = part.stat().st_size if part.exists() else 0
                    tries = f"{url} failed {len(PAUSES) + 1} times, at last: {_cause(error)}"
                    raise UserError(f"{what}: {tries}; start the download again to resume at {there} bytes") from error
                time.sleep(pause)
            except requests.RequestException as error:
                raise UserError(f"{what}: {url}: {_cause(error)}; check whether the address is still valid") from error
    raise AssertionError("the last try returns or raises")


def forget(part: Path) -> None:
    """Remove a part and the note on its version."""
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


def refuse_plain(what: str, addresses: Iterable[str]) -> None:
    """Refuse addresses that are not https, for content whose hash is not known."""
    for address in addresses:
        if not address.lower().startswith("https://"):
            raise UserError(
                f"{what}: {address} is not https, and the card pins no hash: anyone in between could change the file; "
                "add its sha256 to the card, or use an https address"
            )


def _resume(url: str, part: Path, size: int | None, show: ShowBytes, unpinned: str | None = None) -> bool:
    """Try once: request the missing bytes, and return whether they were joined to earlier ones.

    Only addresses of https are followed for content that is ``unpinned``, which is its name.
    """
    before = _noted_version(url, part)
    there = part.stat().st_size if before is not None else 0
    if before is not None and before.size == there:
        return True  # stopped after the last byte
    with requests.get(url, headers=_ask(before, there), stream=True, timeout=TIMEOUT) as answer:
        if unpinned is not None:
            refuse_plain(unpinned, [*(step.url for step in answer.history), answer.url])
        _refuse_bad_status(answer, part)
        now = _stated_version(url, answer)
        joins = answer.status_code == requests.codes.partial_content
        if joins and not (before is not None and _starts_at(answer, there) and before.agrees_with(now)):
            forget(part)
            raise _TryAgainError("the file has changed on the server")
        if size is not None and now.size not in (None, size):
            forget(part)
            raise UserError(f"{url} offers {now.size} bytes, {size} are right; get the archive from elsewhere")
        require_space(part.parent, (now.size or size or 0) - (there if joins else 0), f"download {url}")
        _receive(answer, part, joins, now, now.size or size, show)
    return joins


def _receive(
    answer: requests.Response, part: Path, joins: bool, version: _Version, size: int | None, show: ShowBytes
) -> None:
    """Append the received bytes to the part, or overwrite it; keep at most ``size`` bytes."""
    with part.open("ab" if joins else "wb") as file:
        if not joins:  # the old part is gone by now: a part never exists with the note of another version
            _note(part).write_text(version.model_dump_json())
        for chunk in answer.iter_content(CHUNK):
            file.write(chunk)
            show(file.tell(), size)
            if size is not None and file.tell() > size:
                break
    there = part.stat().st_size
    if size is not None and there > size:
        forget(part)
        raise _TryAgainError(f"the server sent more than {size} bytes")
    if size is not None and there < size:
        raise _TryAgainError(f"the connection was cut after {there} of {size} bytes")


def _ask(before: _Version | None, there: int) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity"}  # otherwise the lengths are not those of the file
    if before is not None and there:
        headers["Range"] = f"bytes={there}-"
        if before.condition is not None:
            headers["If-Range"] = before.condition
    return headers


def _refuse_bad_status(answer: requests.Response, part: Path) -> None:
    status = f"{answer.status_code} {answer.reason}"
    if answer.status_code == requests.codes.requested_range_not_satisfiable:
        forget(part)
        raise _TryAgainError("the file has changed on the server")
    if answer.status_code in IN_TROUBLE:
        raise _TryAgainError(f"the server answers {status}")
    if answer.status_code not in (requests.codes.ok, requests.codes.partial_content):
        raise UserError(f"{answer.url} answers {status}; get the archive from elsewhere and unpack it by hand")


def _stated_version(url: str, answer: requests.Response) -> _Version:
    headers = answer.headers
    if answer.status_code == requests.codes.partial_content:
        size = headers.get("Content-Range", "").rpartition("/")[2]
    else:
        size = "" if "Content-Encoding" in headers else headers.get("Content-Length", "")
    return _Version(
        url=url,
        etag=headers.get("ETag"),
        modified=headers.get("Last-Modified"),
        size=int(size) if size.isdecimal() else None,
    )


def _starts_at(answer: requests.Response, there: int) -> bool:
    return re.match(rf"bytes {there}-\d+/", answer.headers.get("Content-Range", "")) is not None


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _noted_version(url: str, part: Path) -> _Version | None:
    """Return the version of the part, or None if there is nothing to resume."""
    if not part.is_file() or not _note(part).is_file():
        return None
    try:
        version = _Version.model_validate_json(_note(part).read_bytes())
    except pydantic.ValidationError:  # stopped while it was written
        return None
    return version if version.url == url else None


def _cause(error: BaseException) -> str:
    """Return the innermost cause of an error of requests and urllib3."""
    while error.__context__ is not None:
        error = error.__context__
    return getattr(error, "strerror", None) or one_line(error)


@contextmanager
def _byte_bar(what: str) -> Iterator[ShowBytes]:
    """Yield a function that shows how many bytes of how many have arrived; silent unless at a terminal."""
    if not sys.stderr.isatty():
        yield lambda there, size: None
        return
    columns = (*Progress.get_default_columns()[:2], DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)

        def show(there: int, size: int | None) -> None:
            bar.update(task, completed=there, total=size)

        yield show
