"""Principal components of the target itself, with and without whitening."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import linalg

from rsir_bench.base.errors import UserError
from rsir_bench.ranking.after.contract import CHUNK, Array, PostProcessing, Processed, Vectors, number


@dataclass(frozen=True)
class TargetComponents(PostProcessing):
    """Compare the principal components of the gallery's rows by cosine.

    Rows are scaled to length 1 first, under Pearson after their mean is subtracted; components are fitted on the
    gallery, the query among it.

    Attributes:
        dimensions: Components kept.
    """

    name: ClassVar[str] = "pca"
    title: ClassVar[str] = "PCA of the target"
    dimensions: int = number(128, least=1)

    def too_small(self, scenes: int) -> str | None:
        """Return why so many scenes have too few components; None: they have enough."""
        return f"{self.dimensions} components need {self.dimensions + 1} scenes" if scenes <= self.dimensions else None

    def unfit(self, similarity: str, length: int | None = None) -> str | None:
        """Return why rows of a length are left out as well: they have fewer components, one fewer if centred."""
        known = None if length is None else length - (similarity == "pearson")
        if known is not None and known < self.dimensions:
            return f"rows of {length} values have at most {known} components; {self.name} wants {self.dimensions}"
        return super().unfit(similarity, length)

    def apply(self, given: Vectors) -> Processed:
        """Return the components of queries and gallery."""
        gallery = given.unit_gallery
        mean, components, deviations = principal_components(gallery, self.dimensions)
        if len(components) < self.dimensions:
            known = f"descriptors of {gallery.shape[1]} values have {len(components)} components"
            raise UserError(f"after {self}: {known} in this gallery; give fewer")
        components = self.scaled(components, deviations)
        projected = project(gallery, mean, components)
        queries = None if given.queries is given.gallery else project(given.unit_queries, mean, components)
        return Processed(projected if queries is None else queries, projected, similarity="cosine")

    def scaled(self, components: Array, deviations: Array) -> Array:
        """Return components (P, D) float64 as they are used, given their standard deviations (P,)."""
        return components


@dataclass(frozen=True)
class TargetWhitening(TargetComponents):
    """Divide each component by its standard deviation over the gallery as well.

    It is usual for landmarks (Jégou and Chum, ECCV 2012), and harmful where positives are a class: the first
    components, which tell classes apart, then count no more than the last ones.
    """

    name: ClassVar[str] = "whiten"
    title: ClassVar[str] = "whitening on the target"

    def scaled(self, components: Array, deviations: Array) -> Array:
        """Return components (P, D) float64 divided by their standard deviations (P,)."""
        return components / deviations[:, None]


def principal_components(rows: Array, wanted: int) -> tuple[Array, Array, Array]:
    """Fit principal components, those of no variance left out.

    Args:
        rows: (N, D) float.
        wanted: How many.

    Returns:
        The mean (D,), components (P, D), largest variance first, and standard deviations (P,), all float64.
    """
    mean = rows.mean(axis=0, dtype=np.float64)
    scenes, length = rows.shape
    covariance = np.zeros((length, length))
    for start in range(0, scenes, CHUNK):
        centred = rows[start : start + CHUNK] - mean
        covariance += centred.T @ centred
    first = max(0, length - wanted)
    variances, vectors = linalg.eigh(covariance / scenes, subset_by_index=[first, length - 1], overwrite_a=True)
    variances, vectors = variances[::-1], vectors[:, ::-1]
    rounding = np.finfo(rows.dtype).eps
    kept = variances > max(length * rounding * variances[0], rounding**2)
    return mean, vectors[:, kept].T, np.sqrt(variances[kept])


def project(rows: Array, mean: Array, components: Array) -> Array:
    """Return the components (N, P) of rows (N, D) float, in their dtype; equal rows stay equal bit by bit."""
    result = np.empty((len(rows), len(components)), rows.dtype)
    for start in range(0, len(rows), CHUNK):
        part = slice(start, start + CHUNK)
        result[part] = (rows[part] - mean) @ components.T
    first: dict[bytes, int] = {}
    return result[[first.setdefault(row.tobytes(), place) for place, row in enumerate(rows)]]
