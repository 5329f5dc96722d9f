"""Download a dataset from its pinned source and move it into place when complete."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import filelock

from rsir_bench.base.errors import SceneError, UserError
from rsir_bench.scenes.acquire.archive import ArchiveError, unpack
from rsir_bench.scenes.acquire.http import fetch, forget
from rsir_bench.scenes.card import DatasetCard, Download
from rsir_bench.scenes.folders import find_dataset
from rsir_bench.scenes.readers.packed import scenes_of_card


def download(
    card: DatasetCard,
    data_root: Path,
    *,
    confirm_licence: Callable[[DatasetCard], object],
    log: Callable[[str], object],
) -> Path:
    """Download, check and unpack a dataset once its licence is accepted.

    The dataset appears under its name only when its hash (where the card has one), class folders and counts are right.
    A download that was interrupted is resumed at the next call, from what ``data_root/.downloads`` holds of it.

    Args:
        card: The dataset's card.
        data_root: The folder that holds the datasets; created if missing.
        confirm_licence: Called before anything is fetched; raises UserError unless the user accepts the licence.
        log: Shows a line about a step that takes long.

    Returns:
        The folder of the dataset; an existing one is checked and left as it is.

    Raises:
        UserError: The licence is not accepted, the dataset is downloaded by hand or generated, or the source, the
            archive or the disk fails.
        SceneError: The existing or the downloaded dataset differs from the card.
    """
    if card.download is None:
        raise UserError(f"{card.name}: needs no download, it is generated on first use")
    if card.download.url is None:
        raise UserError(f"{card.name}: cannot be downloaded by a program; {card.download.by_hand}, under {data_root}")
    if _is_present(card, data_root):
        return find_dataset(card, data_root)
    confirm_licence(card)
    workshop = data_root / ".downloads"
    try:
        workshop.mkdir(parents=True, exist_ok=True)
        with _only_one(card.name, workshop, log):
            if not _is_present(card, data_root):
                _install(card, card.download, workshop, data_root)
    except OSError as error:
        problem = f"{error.strerror or error} ({error.filename or workshop})"
        raise UserError(f"{card.name}: {problem}; fix that, then start the download again to resume it") from error
    return find_dataset(card, data_root)


def _is_present(card: DatasetCard, data_root: Path) -> bool:
    try:
        folder = find_dataset(card, data_root)
    except SceneError:
        return False
    try:
        scenes_of_card(card, folder).checked(card)
    except SceneError as error:
        raise SceneError(f"{error} (or move {folder} away to download it again)") from error
    return True


@contextmanager
def _only_one(name: str, workshop: Path, log: Callable[[str], object]) -> Iterator[None]:
    """Keep other processes from the same download; log if another process is at it."""
    lock = filelock.FileLock(workshop / f"{name}.lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        log(f"{name}: waiting for another process that downloads it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _install(card: DatasetCard, source: Download, workshop: Path, data_root: Path) -> None:
    """Fetch and unpack in the workshop, on the same disk, and move the dataset out when it is complete."""
    archive = _fetch_checked(card.name, str(source.url), source, workshop)
    folder = workshop / card.name
    try:
        unpack(archive, folder)
        inner = list(folder.iterdir())
        unpacked = inner[0] if len(inner) == 1 and inner[0].is_dir() else folder
        scenes_of_card(card, unpacked).checked(card)
    except (ArchiveError, SceneError):  # unpacking these bytes again would end the same way
        shutil.rmtree(folder, ignore_errors=True)
        archive.unlink()
        raise
    unpacked.replace(data_root / PurePosixPath(card.folders[0]).parts[0])
    shutil.rmtree(folder, ignore_errors=True)
    archive.unlink()


def _fetch_checked(name: str, url: str, source: Download, workshop: Path) -> Path:
    """Return the archive with the size and hash of the card; an existing one is not fetched again."""
    archive, part = workshop / f"{name}.zip", workshop / f"{name}.part"
    if _is_pinned(archive, source):
        return archive
    for _ in range(2):
        resumed = fetch(url, part, source.size, name, pinned=source.known_hash is not None)
        if _is_pinned(part, source):
            part.replace(archive)
            forget(part)
            return archive
        forget(part)
        if not resumed:  # else its first part may be of another version: once more, from the start
            break
    size = f"{source.size} bytes" if source.size else None
    pins = " and ".join(pin for pin in (size, source.known_hash) if pin)
    problem = f"{name}: what {url} sent is not what the card pins ({pins}); nothing was kept"
    raise UserError(f"{problem}; try again, or get it from elsewhere and unpack it by hand")


def _is_pinned(path: Path, source: Download) -> bool:
    """Return whether a file exists and has the hash of the card, if the card has one."""
    if not path.is_file():
        return False
    if source.known_hash is None:
        return True
    algorithm, _, expected = source.known_hash.partition(":")
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest() == expected
