"""The contract of post-processing, which changes rankings after descriptors are made; plugins implement it too."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch

from rsir_bench.base.errors import UserError
from rsir_bench.base.text import number_text
from rsir_bench.ranking.similarity import unit_rows

Array = np.ndarray[Any, Any]

Correct = Callable[[Array, Array], None]
"""Changes distances in place; it is called in several threads.

The arguments are (S,) int64, the positions of queries in ``Vectors.queries``, and (S, M) float, their distances to the
whole gallery; smaller is nearer. A distance is the negated similarity under "pearson", "cosine" and "inner product",
half the squared distance minus half the squared norm of the query under "euclidean", and twice the Hamming distance
minus the number of bits for codes."""

CHUNK = 8192  # rows held in float64 at a time


@dataclass(frozen=True)
class Vectors:
    """Queries and gallery before post-processing, in the caller's order.

    Attributes:
        queries: (Q, D) float descriptors, or codes of -1 and +1, float32; the same object as ``gallery`` if every scene
            of the gallery is a query.
        gallery: (M, D), of the same kind.
        own: (Q,) int64, the row of each query in the gallery; -1 if the gallery does not contain the query.
        similarity: One of ``rsir_bench.ranking.SIMILARITIES``.
    """

    queries: Array
    gallery: Array
    own: Array
    similarity: str

    @cached_property
    def unit_gallery(self) -> Array:
        """The gallery's rows scaled to length 1, (M, D) float32 or float64; centred first under "pearson"."""
        return unit(self.gallery, self.similarity)

    @cached_property
    def unit_queries(self) -> Array:
        """The queries' rows, scaled in the same way, (Q, D); ``unit_gallery`` itself if they are the gallery."""
        return self.unit_gallery if self.queries is self.gallery else unit(self.queries, self.similarity)


def unit(rows: Array, similarity: str) -> Array:
    """Return rows (N, D) float scaled to length 1, centred first under "pearson"; in their own dtype, at least float32.

    Raises:
        UserError: Values are too large or too small to normalise.
    """
    scaled: Array = np.empty(rows.shape, np.float64 if rows.dtype == np.float64 else np.float32)
    for start in range(0, len(rows), CHUNK):
        part = slice(start, start + CHUNK)
        scaled[part] = unit_rows(torch.from_numpy(rows[part].astype(np.float64)), similarity == "pearson")[0].numpy()
    scaled += 0.0  # turns -0.0 into 0.0, so that equal rows are equal bytes
    return scaled


@dataclass(frozen=True)
class Processed:
    """The result of post-processing; attributes that are None leave things unchanged.

    Attributes:
        queries: (Q, D') float.
        gallery: (M, D') float.
        correct: Changes the distances between queries and gallery, block by block.
        similarity: The similarity to compare them with.
    """

    queries: Array | None = None
    gallery: Array | None = None
    correct: Correct | None = None
    similarity: str | None = None


def number(default: float, least: float, most: float = math.inf, below: float = math.inf) -> Any:
    """Return a field of a ``PostProcessing`` with a default, at least ``least``, at most ``most``, below ``below``."""
    return field(default=default, metadata={"least": least, "most": most, "below": below})


def is_whole(entry: Field[Any]) -> bool:
    """Return whether a field of a ``PostProcessing`` takes whole numbers only."""
    return entry.type in (int, "int")


def out_of_range(value: float, limits: Mapping[str, float]) -> str:
    """Return the limits of ``number`` that a value violates, in words; empty if it is within them."""
    least, most, below = (limits.get(name, default) for name, default in _NO_LIMITS.items())
    if least <= value <= most and value < below:
        return ""
    upper = f" and at most {most:g}" if most < math.inf else f" and below {below:g}" if below < math.inf else ""
    return f"must be at least {least:g}{upper}"


_NO_LIMITS = {"least": -math.inf, "most": math.inf, "below": math.inf}


@dataclass(frozen=True)
class PostProcessing(ABC):
    """One kind of post-processing. A subclass is a frozen dataclass; its fields are the values after the colon.

    ``--after aqe:10,3`` is the class with the name ``aqe`` and the values 10 and 3 in its fields; ``--after aqe`` is
    the same class with the defaults of its fields. Fields are ``int`` or ``float``.

    Attributes:
        name: The word before the colon: lower case letters, digits and ``-``.
        title: The name in tables.
        version: Raise it whenever results change.
        transductive: Whether the score of a query and a scene depends on other scenes of the gallery.
        codes: Whether it can rank binary codes.
        similarities: The similarities that it supports, besides Hamming distance for codes.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    version: ClassVar[int] = 1
    transductive: ClassVar[bool] = True
    codes: ClassVar[bool] = False
    similarities: ClassVar[tuple[str, ...]] = ("pearson", "cosine")

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UserError: A value has another type than its field, or is out of range.
        """
        for entry in fields(self):
            value = getattr(self, entry.name)
            whole = is_whole(entry)
            number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
            if not (number and math.isfinite(value)):
                raise UserError(f"after {self.name}: {entry.name} {value!r} is not a {'whole ' * whole}number")
            if problem := out_of_range(value, entry.metadata):
                raise UserError(f"after {self.name}: {entry.name} {value:g} {problem}")

    @abstractmethod
    def apply(self, given: Vectors) -> Processed:
        """Return the vectors or distances to rank instead.

        The rows that a query is compared with must not depend on the query, unless the method is defined that way.

        Args:
            given: Queries and gallery.

        Raises:
            UserError: The values do not fit these descriptors.
        """

    def too_small(self, scenes: int) -> str | None:
        """Return why a gallery is too small for the values, for example ``"n 10 needs 11"``; None if it is not.

        Args:
            scenes: The number of scenes in the gallery, including the query.
        """
        return None

    @property
    def values(self) -> list[int | float]:
        """The values of its fields, in order and with the types of the fields."""
        given = ((entry, getattr(self, entry.name)) for entry in fields(self))
        return [value if is_whole(entry) else float(value) for entry, value in given]

    @property
    def numbers(self) -> str:
        """The values as they are written after the colon: ``"20,6,0.3"``."""
        return ",".join(map(number_text, self.values))

    def __str__(self) -> str:
        """Return the name and all values, as ``--after`` takes them."""
        return f"{self.name}:{self.numbers}" if self.values else self.name

    @property
    def label(self) -> str:
        """The name in tables: ``"aQE 10,3 (transductive)"``."""
        words = f"{self.title} {self.numbers}".rstrip()
        return f"{words} (transductive)" if self.transductive else words

    def unfit(self, similarity: str, length: int | None = None) -> str | None:
        """Return why rows with a similarity are left out; None if they are not.

        Args:
            similarity: One of ``rsir_bench.ranking.SIMILARITIES``.
            length: The number of values in a row; None: not known yet.
        """
        if similarity == "hamming":
            return None if self.codes else f"a binary row; {self.name} works on real values"
        if similarity not in self.similarities:
            return f"compared by {similarity}; {self.name} is defined for {' and '.join(self.similarities)}"
        return None

    def check(self, scenes: int, similarity: str) -> None:
        """Refuse descriptors that this post-processing does not support.

        Raises:
            UserError: The gallery has too few scenes, or the similarity is not supported.
        """
        if why := self.unfit(similarity):
            raise UserError(f"after {self}: {why}; omit it")
        if why := self.too_small(scenes):
            raise UserError(f"after {self}: {why}, and the gallery has {scenes}; give smaller values")
