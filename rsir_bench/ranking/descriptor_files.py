"""Score descriptors, labels and query lists from untrusted files."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rsir_bench.base.errors import UserError
from rsir_bench.ranking.after.contract import PostProcessing
from rsir_bench.ranking.files import ids
from rsir_bench.ranking.files.arrays import (
    ID_NAMES,
    JUNK_NAMES,
    LABEL_NAMES,
    NAMELESS,
    OWN_NAMES,
    QUERY_NAMES,
    TEXT_NAMES,
    Array,
    read_lines,
    read_one,
)
from rsir_bench.ranking.files.descriptors import DescriptorFile, read_descriptors, split_lists
from rsir_bench.ranking.files.multi_labels import lists_of_labels
from rsir_bench.ranking.files.scene_names import NOT_SCENES, arrays_with_scenes, may_name_others, read_ids
from rsir_bench.ranking.graded.scores import GradedScores
from rsir_bench.ranking.scores import Measure, Scores, score
from rsir_bench.scenes.index import SceneIndex
from rsir_bench.scenes.labelling.label_file import BETWEEN

Labels = Array | list[list[str]]
"""One label per scene, or several: (N, L) of 0 and 1, or N lists of names."""


def score_files(
    descriptors: Path,
    labels: Path | None = None,
    *,
    dataset: SceneIndex | None = None,
    queries: Path | None = None,
    apart: GalleryFiles | None = None,
    similarity: str = "pearson",
    codes: bool = False,
    bits: int | None = None,
    bit_order: str = "big",
    metrics: Sequence[str] | None = None,
    block: int | None = None,
    device: str = "cpu",
    after: PostProcessing | None = None,
    measure: Measure | None = None,
) -> Scores | GradedScores:
    """Score the descriptors in a file.

    Args:
        descriptors: ``.npy``, ``.npz``, ``.parquet``, ``.csv`` or ``.h5``; see ``read_descriptors``.
        labels: The labels; None: those in the descriptors' file. See ``read_labels``.
        dataset: Whose scenes the file names by id; its classes, or the labels of its scenes, are the labels.
        queries: Indices or a mask of the scenes that are queries, or with a dataset their ids; None: every scene. See
            ``read_queries``.
        apart: A separate gallery, and what rankings leave out; None: the descriptors are the gallery.
        similarity: As in ``rsir_bench.ranking.score``.
        codes: Whether the descriptors are binary codes.
        bits: Number of bits of packed codes.
        bit_order: Of packed codes, as in ``rsir_bench.ranking.score``.
        metrics: Names of metrics, as in ``rsir_bench.ranking.score``.
        block: Queries per block.
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
        after: Post-processing of the rankings; None: there is none.
        measure: Ranks and measures, as in ``rsir_bench.ranking.score``; None: this process.

    Raises:
        UserError: A file cannot be read, there are no labels, or the contents cannot be scored.
    """
    if dataset is not None and apart is not None:
        raise UserError("--gallery, --own and --ignore refer to rows, which --dataset reorders; omit them or --dataset")
    inputs = (
        _inputs(descriptors, labels, queries, codes=codes)
        if dataset is None
        else _by_id(descriptors, dataset, labels, queries, codes=codes)
    )
    return score(
        inputs.descriptors,
        inputs.labels,
        similarity=similarity,
        codes=codes,
        bits=bits,
        bit_order=bit_order,
        queries=inputs.queries,
        **({} if apart is None else apart.read(codes=codes)),
        metrics=metrics,
        block=block,
        device=device,
        class_names=inputs.class_names,
        after=after,
        measure=measure,
    )


@dataclass(frozen=True)
class GalleryFiles:
    """Files of a gallery, as ``rsir_bench.ranking.score`` takes it; None: not given.

    Attributes:
        gallery: Descriptors; see ``read_descriptors``.
        labels: Their labels, unless their own file holds them; see ``read_labels``.
        own: The row in the gallery of each query, -1 for none; formats as for ``read_labels``.
        ignore: See ``read_junk``.
    """

    gallery: Path | None = None
    labels: Path | None = None
    own: Path | None = None
    ignore: Path | None = None

    def read(self, *, codes: bool) -> dict[str, Any]:
        """Return the arguments of ``score``.

        Args:
            codes: Whether the descriptors are binary codes.

        Raises:
            UserError: A file cannot be read, or the gallery has no labels.
        """
        found: dict[str, Any] = {
            "own": None if self.own is None else _numbers(self.own, read_one(self.own, OWN_NAMES)),
            "ignore": None if self.ignore is None else read_junk(self.ignore),
        }
        if self.gallery is None:
            if self.labels is not None:
                raise UserError(f"--gallery-labels {self.labels}: there is no gallery; give --gallery, or omit it")
            return found
        contents, labels = _labelled(self.gallery, self.labels, "--gallery-labels", codes=codes)
        return found | {"gallery": contents, "gallery_labels": labels}


@dataclass(frozen=True)
class _Inputs:
    """What is scored: (N, ...) descriptors, labels and queries as ``score`` takes them, and names of classes."""

    descriptors: Array
    labels: Labels
    queries: Array | None
    class_names: list[str] | None = None


def _inputs(descriptors: Path, labels: Path | None, queries: Path | None, *, codes: bool) -> _Inputs:
    """Read files whose rows are in one order."""
    rows, classes = _labelled(descriptors, labels, "--labels", codes=codes)
    return _Inputs(rows, classes, None if queries is None else read_queries(queries))


def _labelled(descriptors: Path, labels: Path | None, option: str, *, codes: bool) -> tuple[Array, Labels]:
    """Return descriptors and their labels, from a file that the option names or from their own.

    Labels such as ``beach;sea`` are several for one scene, whatever the file.
    """
    contents = read_descriptors(descriptors, codes=codes)
    classes: Labels | None = contents.labels
    if labels is not None:
        classes = lists_of_labels(labels, contents.ids, descriptors) or _in_order(labels, contents, descriptors)
    if classes is None:
        raise UserError(
            f"{descriptors}: holds no labels; name a file of labels with {option}, or call its array or column 'label'"
        )
    if isinstance(classes, np.ndarray) and any(isinstance(name, str) and BETWEEN in name for name in classes):
        classes = split_lists(labels or descriptors, classes)
    return contents.descriptors, classes


def _in_order(labels: Path, contents: DescriptorFile, descriptors: Path) -> Array:
    """Return the labels of a file, one per scene, in the order of the descriptors: by id where both files have ids.

    Args:
        labels: The file; see ``read_labels``.
        contents: The contents of the file of the descriptors.
        descriptors: That file, for messages.

    Raises:
        UserError: The file cannot be read, or its ids are not those of the descriptors, each once.
    """
    classes = read_labels(labels)
    theirs, names = read_ids(labels), contents.ids
    if theirs is None or names is None:
        _refuse_a_shared_column(labels, descriptors, contents.others)
        message = "%s: its ids are not used, as %s has none; both must have the same order"
        if theirs is not None:
            logging.getLogger(__name__).warning(message, labels, descriptors)
        elif names is not None and labels.suffix not in NAMELESS:
            logging.getLogger(__name__).warning(message, descriptors, labels)
        return classes
    if len(theirs) != len(classes):
        raise UserError(f"{labels}: {len(classes):,} labels but {len(theirs):,} ids; give one for each")
    return classes[ids.rows_of(ids.as_ids(names, descriptors), ids.as_ids(theirs, labels), descriptors, labels)]


def _refuse_a_shared_column(labels: Path, descriptors: Path, ours: Mapping[str, Array]) -> None:
    """Refuse two files that both have a column or array which could name the scenes, and is not known to.

    Args:
        labels: The file of labels.
        descriptors: The file of descriptors, for messages.
        ours: The arrays of the latter that could name its scenes.

    Raises:
        UserError: There is one; row by row, the labels could be those of other scenes.
    """
    if {labels.suffix, descriptors.suffix} & set(NAMELESS) or labels.samefile(descriptors):
        return
    theirs = arrays_with_scenes(labels)
    shared = (name for name in ours if name in theirs and name not in NOT_SCENES)
    if name := next((name for name in shared if may_name_others(ours[name], theirs[name])), None):
        raise UserError(
            f"{labels} and {descriptors}: both have {name!r}, but their rows would be matched by their order; "
            "call it 'id' in both to match them by it, or remove it from one of them if the order is the same"
        )


def _by_id(
    descriptors: Path, dataset: SceneIndex, labels: Path | None, queries: Path | None, *, codes: bool
) -> _Inputs:
    """Read files that name the scenes of a dataset."""
    if labels is not None:
        raise UserError(f"--labels {labels}: the labels are the classes of {dataset.name}; omit --labels")
    contents = read_descriptors(descriptors, codes=codes)
    rows = ids.by_scene(contents.descriptors, contents.ids, dataset, descriptors)
    chosen = None
    if queries is not None:
        named = read_one(queries, (*QUERY_NAMES, *ID_NAMES), (*TEXT_NAMES, *QUERY_NAMES))
        chosen = ids.query_scenes(named, dataset, queries)
    if dataset.several is not None:
        return _Inputs(rows, dataset.several.members, chosen, list(dataset.several.names))
    return _Inputs(rows, dataset.labels, chosen, list(dataset.classes))


def read_labels(path: Path) -> Array:
    """Return labels, (N,) integers or strings, or several per scene: (N, L) of 0 and 1, or (N,) lists of names.

    They are the array of an ``.npy``, ``labels`` or the only array of an ``.npz`` or ``.parquet``, or the lines of a
    ``.txt``: UTF-8, with or without a byte order mark, stripped of spaces at their ends.

    Raises:
        UserError: The file cannot be read, or holds several arrays and none has the name.
    """
    return read_one(path, LABEL_NAMES)


def read_queries(path: Path) -> Array:
    """Return the scenes that are queries, (Q,) int64 indices or an (N,) bool mask; formats as for ``read_labels``.

    Raises:
        UserError: The file cannot be read, or a line is not a whole number.
    """
    return _numbers(path, read_one(path, QUERY_NAMES))


def read_junk(path: Path) -> Array | list[list[int]]:
    """Return the rows that each ranking ignores, in the format of ``rsir_bench.ranking.score``.

    A ``.txt`` has a line per query, rows of the gallery separated by spaces; other formats hold (N, W) integers, filled
    up with -1.

    Raises:
        UserError: The file cannot be read, or a word is not a whole number.
    """
    if path.suffix != ".txt":
        return _numbers(path, read_one(path, JUNK_NAMES))
    lines = [np.array(line.split(), dtype=str) for line in read_lines(path).tolist()]
    return [_numbers(path, words, "indices, separated by spaces").tolist() for words in lines]


def _numbers(path: Path, words: Array, expected: str = "one index per line") -> Array:
    """Return words, or the texts of a CSV, as int64; other values, and lists of them, as they are.

    Raises:
        UserError: A word is not a whole number.
    """
    if not (words.dtype.kind == "U" or (words.dtype.kind == "O" and all(isinstance(word, str) for word in words))):
        return words
    try:
        return words.astype(np.int64)
    except (ValueError, OverflowError):
        raise UserError(f"{path}: expected {expected}") from None
