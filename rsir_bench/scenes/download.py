"""Gets a dataset from its pinned source and puts it in place in one step."""

from __future__ import annotations

import shutil
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pooch
from filelock import FileLock
from rich.console import Console
from rich.progress import DownloadColumn, Progress, TaskID, TimeRemainingColumn

from rsir_bench.errors import SceneError, UserError
from rsir_bench.progress import track
from rsir_bench.scenes.card import DatasetCard
from rsir_bench.scenes.layout import find_dataset, list_scenes

MAX_EXPANSION = 20
"""An archive that unpacks to more than this many times its size is refused; pictures hardly compress."""


def download(card: DatasetCard, data_root: Path) -> Path:
    """Downloads, checks and unpacks a dataset, and prints its licence first.

    The dataset appears under its name only when its hash (where the card has one), class folders and counts are right.

    Returns:
        The folder of the dataset; one that is there already is checked and left as it is.

    Raises:
        UserError: The dataset comes by hand or is made on the spot, or the source, the archive or the disk fails.
        SceneError: What lies there, or what came, differs from the card.
    """
    if card.download is None:
        raise UserError(f"{card.name}: needs no download, it is made when it is used")
    if card.download.url is None:
        raise UserError(f"{card.name}: cannot be downloaded by a program; {card.download.by_hand}, under {data_root}")
    workshop = data_root / ".downloads"
    try:
        workshop.mkdir(parents=True, exist_ok=True)
        with FileLock(workshop / f"{card.name}.lock"):
            if _is_present(card, data_root):
                return find_dataset(card, data_root)
            print(f"{card.title}: licence {card.licence}; source {card.source}")
            archive = _fetch(card.name, card.download.url, card.download.known_hash, workshop)
            unpacked = _unpack(archive, workshop / card.name)
            list_scenes(card, unpacked)
            unpacked.replace(data_root / PurePosixPath(card.folders[0]).parts[0])
            shutil.rmtree(workshop / card.name, ignore_errors=True)
            archive.unlink()
    except OSError as error:
        raise UserError(f"{card.name}: {error}; mend that, then start the download again") from error
    return find_dataset(card, data_root)


def _is_present(card: DatasetCard, data_root: Path) -> bool:
    try:
        folder = find_dataset(card, data_root)
    except SceneError:
        return False
    try:
        list_scenes(card, folder)
    except SceneError as error:
        raise SceneError(f"{error} (or move {folder} away to download it anew)") from error
    return True


def _fetch(name: str, url: str, known_hash: str | None, folder: Path) -> Path:
    """Returns the archive, downloaded under a temporary name and checked against its hash."""
    pooch.get_logger().setLevel("WARNING")
    columns = (*Progress.get_default_columns()[:2], DownloadColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        downloader = pooch.HTTPDownloader(progressbar=_Bar(progress, f"downloading {name}"), chunk_size=1 << 18)
        try:
            return Path(pooch.retrieve(url, known_hash, f"{name}.zip", folder, downloader=downloader))
        except ValueError as error:  # how pooch tells a wrong hash
            problem = f"{name}: what {url} sent has not the pinned hash {known_hash}; nothing was kept"
            raise UserError(f"{problem}; try again, or get it from elsewhere and unpack it by hand") from error


class _Bar:
    """What pooch expects of a progress bar, shown with rich."""

    def __init__(self, progress: Progress, what: str) -> None:
        self._progress = progress
        self._task: TaskID = progress.add_task(what, total=None)

    @property
    def total(self) -> float | None:
        return self._progress.tasks[self._task].total

    @total.setter
    def total(self, size: int) -> None:
        self._progress.update(self._task, total=size or None)

    def update(self, size: int) -> None:
        self._progress.advance(self._task, size)

    def reset(self) -> None:
        self._progress.reset(self._task)

    def close(self) -> None:
        self._progress.stop_task(self._task)


def _unpack(archive: Path, folder: Path) -> Path:
    """Returns the unpacked dataset: ``folder``, or the one folder in it. No file may leave ``folder``."""
    shutil.rmtree(folder, ignore_errors=True)  # left behind by a download that was stopped
    folder.mkdir()
    try:
        with zipfile.ZipFile(archive) as content:
            members = [member for member in content.infolist() if not member.filename.startswith("__MACOSX")]
            _refuse_unsafe(members, archive, folder)
            for member in track(members, f"unpacking {archive.stem}"):
                content.extract(member, folder)
    except zipfile.BadZipFile as error:
        archive.unlink()
        raise UserError(f"{archive.stem}: the archive is damaged ({error}); start the download again") from error
    inner = list(folder.iterdir())
    return inner[0] if len(inner) == 1 and inner[0].is_dir() else folder


def _refuse_unsafe(members: list[zipfile.ZipInfo], archive: Path, folder: Path) -> None:
    """Raises UserError for a path outside ``folder`` or a size that cannot be of pictures (zipfile enforces it)."""
    for member in members:
        if not (folder / member.filename).resolve().is_relative_to(folder.resolve()):
            raise UserError(f"{archive}: refused, it holds a path outside its folder: {member.filename}")
    size, packed = sum(member.file_size for member in members), archive.stat().st_size
    if size > MAX_EXPANSION * packed:
        raise UserError(f"{archive}: refused, {packed} bytes would unpack to {size} bytes")
