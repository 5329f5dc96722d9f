"""Choose the scenes that are queries."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SHARE = 0.2


def choose_queries(labels: npt.NDArray[np.int64], which: str, seed: int) -> npt.NDArray[np.int64] | None:
    """Return the (Q,) int64 indices of the queries, ascending; None means every scene.

    Args:
        labels: (N,) int64, the classes.
        which: ``"all"``, or ``"fifth"``: floor(20 %) of each class, as the multiples in the JSST paper's Table I show;
            which 20 % is not known.
        seed: Chooses them.
    """
    if which == "all":
        return None
    rng = np.random.default_rng(seed)
    chosen = [
        rng.permutation(np.flatnonzero(labels == label))[: int(SHARE * np.count_nonzero(labels == label))]
        for label in np.unique(labels)
    ]
    return np.sort(np.concatenate(chosen))
