"""Distances of a few queries to a gallery, plain or post-processed, outside of scoring."""

from __future__ import annotations

import numpy as np
import torch

from rsir_bench.ranking.after.apply import apply
from rsir_bench.ranking.after.contract import Array, PostProcessing
from rsir_bench.ranking.similarity import euclidean_centre, prepare, prepare_gallery
from rsir_bench.ranking.threads import workers


def few_distances(
    queries: Array, gallery: Array, own: Array, similarity: str, after: PostProcessing | None = None
) -> Array:
    """Return distances that order the gallery for each query as ``rsir_bench.ranking.score`` does, (Q, M) float.

    Args:
        queries: (Q, D) finite numbers, or codes of -1 and +1.
        gallery: (M, D) likewise.
        own: (Q,) int64, the row of the gallery that a query is; -1: none. It is not left out.
        similarity: One of ``rsir_bench.ranking.SIMILARITIES``.
        after: Post-processing; None: there is none.

    Raises:
        UserError: Post-processing does not go with these descriptors, or a row cannot be normalised.
    """
    rows, gallery_rows, correct = torch.from_numpy(queries), torch.from_numpy(gallery), None
    if after is not None:
        applied = apply(after, rows, gallery_rows, torch.arange(len(rows)), torch.from_numpy(own), similarity)
        if applied.rows is not None and applied.gallery_rows is not None:
            rows, gallery_rows = applied.rows, applied.gallery_rows
        similarity, correct = applied.similarity or similarity, applied.correct
    centre = euclidean_centre(gallery_rows) if similarity == "euclidean" else None
    with workers("cpu") as pool:
        known = prepare_gallery(gallery_rows, torch.arange(len(gallery_rows)), similarity, "cpu", pool, centre)
        asked = prepare(rows.to(known.rows.dtype), torch.arange(len(rows)), similarity, "cpu", pool, centre)
    distances: Array = -(asked.rows @ known.rows.T).numpy()
    if known.offset is not None:
        distances += known.offset.numpy()
    distances[:, known.repeats.numpy()] = distances[:, known.originals.numpy()]
    if correct is not None:
        correct(np.arange(len(rows)), distances)
    return distances
