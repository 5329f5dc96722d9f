"""Read the classes of scenes from a CSV among them: ``filename,label``."""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rsir_bench.base.errors import SceneError
from rsir_bench.base.text import decode, first_few
from rsir_bench.scenes.folders import Walked
from rsir_bench.scenes.readers.labels import Label, Labels, SortedScenes, sort_by_labels
from rsir_bench.scenes.readers.settings import SETTINGS_FILE, FolderSettings
from rsir_bench.scenes.reading.content import read_content
from rsir_bench.scenes.reading.unreadable import UnreadableError

NAMES = ("labels.csv", "metadata.csv")
"""Files that are taken for the labels of the scenes where folders name no classes."""

FILES = ("filename", "file_name", "file", "image", "path")
LABELS = ("label", "labels", "class")

SEPARATOR = ";"
"""Between the labels of a scene that has several."""


def labels_files(walked: Sequence[Walked]) -> list[str]:
    """Return the files with a name of ``NAMES``, relative to the dataset's folder."""
    return [str(found.folder / name) for found in walked for name in found.others if name.casefold() in NAMES]


@dataclass(frozen=True)
class _Line:
    """One scene in a CSV."""

    file: str
    label: Labels
    place: str


def scenes_of_csv(
    folder: Path, files: Sequence[str], walked: Sequence[Walked], settings: FolderSettings, dataset: str
) -> tuple[SortedScenes, list[str]]:
    """Return the scenes by class, or with several labels each, and notes.

    A file is named by its path from the CSV's folder, or by its name alone where it is the only one there or below with
    that name. Only scene files that were found in the folder can be meant.

    Args:
        folder: The dataset's.
        files: The CSVs, relative to it.
        walked: Its folders.
        settings: Of the dataset.
        dataset: For messages.

    Raises:
        SceneError: A CSV cannot be read or lacks columns; a line names no scene, several, or one that another line
            named; or a label is missing or unknown.
    """
    there = [str(found.folder / name) for found in walked for name in found.scenes]
    others = {str(found.folder / name) for found in walked for name in found.others}
    if unknown := [file for file in files if file not in others]:
        raise SceneError(f"{dataset}: no file {unknown[0]!r} in it, which {SETTINGS_FILE} names; give its path there")
    label_of: dict[str, Labels] = {}
    for file in files:
        resolve = _Names(PurePosixPath(file).parent, there)
        for line in _lines(folder / file, settings):
            scene = resolve(line)
            if scene in label_of:
                raise SceneError(f"{line.place}: {scene} is listed twice; keep one line per scene")
            label_of[scene] = line.label
    where = folder / files[0] if len(files) == 1 else folder
    found = sort_by_labels(list(label_of.items()), settings.class_names, dataset, where)
    left_out = len(there) - len(label_of)
    return found, [f"left out: {left_out:,} scene files that {first_few(files)} does not name"] if left_out else []


class _Names:
    """The scenes that the names in a CSV mean; paths out of the dataset's folder mean none."""

    def __init__(self, folder: PurePosixPath, there: Sequence[str]) -> None:
        start = "" if str(folder) == "." else f"{folder}/"
        below = [path for path in there if path.startswith(start)]
        self._paths: Mapping[str, str] = {path.removeprefix(start): path for path in below}
        self._names: dict[str, list[str]] = defaultdict(list)
        for path in below:
            self._names[path.rsplit("/", 1)[-1]].append(path)

    def __call__(self, line: _Line) -> str:
        """Return the scene of a line.

        Raises:
            SceneError: There is none, or there are several.
        """
        name = line.file.replace("\\", "/").removeprefix("./")
        if name in self._paths:
            return self._paths[name]
        found = self._names.get(name, [])
        if len(found) > 1:
            several = f"several scenes are called {name!r}: {first_few(found)}"
            raise SceneError(f"{line.place}: {several}; name it with its folder")
        if not found:
            raise SceneError(f"{line.place}: no scene is called {line.file[:200]!r}; restore it, or remove the line")
        return found[0]


def _lines(path: Path, settings: FolderSettings) -> Iterator[_Line]:
    """Yield the scenes of a CSV, of commas, or of semicolons where its first line has no comma.

    Raises:
        SceneError: It cannot be read, or lacks a column.
    """
    try:
        text = decode(read_content(path))
        separator = "," if "," in text.partition("\n")[0] else ";"
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
        header = [cell.strip() for cell in next(rows, [])]
        file, label = _columns(header, settings, path)
        for row in rows:
            if any(cell.strip() for cell in row):
                place = f"{path}: line {rows.line_num}"
                if len(row) != len(header):
                    raise SceneError(f"{place}: {len(row)} cells, and the first line has {len(header)}; correct it")
                yield _Line(row[file].strip(), _label(row[label].strip(), separator, settings), place)
    except OSError as error:
        raise SceneError(f"{path}: cannot be read ({error.strerror}); name a CSV below the folder") from error
    except (UnreadableError, ValueError, csv.Error) as error:
        raise SceneError(f"{path}: not a CSV of labels: {error}") from error


def _columns(header: Sequence[str], settings: FolderSettings, path: Path) -> tuple[int, int]:
    cells = [cell.casefold() for cell in header]
    found = []
    for wanted in (FILES, LABELS if settings.label is None else (settings.label.casefold(),)):
        name = next((name for name in wanted if name in cells), None)
        if name is None or cells.count(name) > 1:
            which = f"no column called {' or '.join(wanted)}" if name is None else f"several columns called {name}"
            remedy = f'write filename,label, or set label = "COLUMN" in {SETTINGS_FILE}'
            raise SceneError(f"{path}: {which} in its first line ({', '.join(header[:10])[:200]}); {remedy}")
        found.append(cells.index(name))
    return found[0], found[1]


def _label(text: str, separator: str, settings: FolderSettings) -> Labels:
    """Return the label in a cell, or the list of several; semicolons between cells leave none for lists."""
    if separator != SEPARATOR and SEPARATOR in text:
        return [_one_label(part.strip(), settings) for part in text.split(SEPARATOR) if part.strip()]
    return _one_label(text, settings)


def _one_label(text: str, settings: FolderSettings) -> Label:
    if settings.class_names is not None and re.fullmatch("-?(0|[1-9][0-9]{0,17})", text):
        return int(text)
    return text or None
