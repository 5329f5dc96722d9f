"""Post-processing in plain code, query by query, on similarities that are held at once."""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def unit(rows: Array, centred: bool = True) -> Array:
    """Rows of length 1, centred first under Pearson."""
    rows = rows.astype(np.float64)
    rows = rows - rows.mean(axis=1, keepdims=True) if centred else rows
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def plus_neighbours(row: Array, others: Array, n: int, alpha: float) -> Array:
    """norm(row + sum over its n nearest others of max(s, 0)^alpha x)."""
    similarities = others @ row
    near = np.argsort(-similarities, kind="stable")[:n]
    total = row + (np.maximum(similarities[near], 0) ** alpha) @ others[near]
    return total / np.linalg.norm(total)


def expanded_queries(rows: Array, n: int, alpha: float) -> Array:
    """The similarity of every expanded query to all rows, (N, N); its own row takes no part in it."""
    queries = [plus_neighbours(row, np.delete(rows, q, axis=0), n, alpha) for q, row in enumerate(rows)]
    return np.array(queries) @ rows.T


def augmented(rows: Array, n: int, alpha: float, *, both: bool) -> Array:
    """The similarity of every query to the gallery that is augmented without it, (N, N); 0 to itself."""
    result = np.zeros((len(rows), len(rows)))
    for q, row in enumerate(rows):
        gallery = np.delete(rows, q, axis=0)
        query = plus_neighbours(row, gallery, n, alpha) if both else row
        smoothed = [plus_neighbours(g, np.delete(gallery, i, axis=0), n, alpha) for i, g in enumerate(gallery)]
        result[q] = np.insert(np.array(smoothed) @ query, q, 0)
    return result


def k_reciprocal(distances: Array, k1: int, k2: int, weight: float) -> Array:
    """The published algorithm on all distances at once, (N, N) float64."""
    scenes = len(distances)
    d = distances / distances.max(axis=1, keepdims=True)
    ranks = np.argsort(np.where(np.eye(scenes, dtype=bool), -1, d), axis=1, kind="stable")

    def reciprocal(i: int, k: int) -> Array:
        forward = ranks[i, : k + 1]
        return forward[(ranks[forward, : k + 1] == i).any(axis=1)]

    encoded = np.zeros((scenes, scenes))
    for i in range(scenes):
        members = reciprocal(i, k1)
        expanded = members
        for c in members:
            candidates = reciprocal(c, round(k1 / 2))
            if len(np.intersect1d(candidates, members)) > 2 / 3 * len(candidates):
                expanded = np.append(expanded, candidates)
        expanded = np.unique(expanded)
        encoded[i, expanded] = np.exp(-d[i, expanded]) / np.exp(-d[i, expanded]).sum()
    encoded = np.array([encoded[ranks[i, :k2]].mean(axis=0) for i in range(scenes)])
    shared = np.array([np.minimum(row, encoded).sum(axis=1) for row in encoded])
    return (1 - weight) * (1 - shared / (2 - shared)) + weight * d


def diffused(similarities: Array, k: int, gamma: float, alpha: float) -> Array:
    """(I - alpha S)^-1 on the mutual neighbours' graph, (N, N) float64."""
    scenes = len(similarities)
    others = np.where(np.eye(scenes, dtype=bool), -2, similarities)
    near = np.zeros((scenes, scenes), bool)
    np.put_along_axis(near, np.argsort(-others, axis=1, kind="stable")[:, :k], True, axis=1)
    affinities = np.where(near & near.T, np.maximum(similarities, 0) ** gamma, 0)
    sums = affinities.sum(axis=1)
    scale = np.where(sums > 0, 1 / np.sqrt(np.where(sums > 0, sums, 1)), 0)
    return np.linalg.inv(np.eye(scenes) - alpha * scale[:, None] * affinities * scale)


def components(rows: Array, dimensions: int, *, whitened: bool) -> Array:
    """Principal components of rows, (N, P), each divided by its deviation where they are whitened."""
    centred = rows - rows.mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    scaled = left if whitened else left * values
    return scaled[:, :dimensions]


def average_precision(similarities: Array, labels: Array) -> Array:
    """AP of every query against all others, (N,), of similarities (N, N) without ties."""
    values = []
    for q, row in enumerate(similarities):
        others = np.delete(np.arange(len(row)), q)
        relevant = labels[others[np.argsort(-row[others])]] == labels[q]
        values.append((np.cumsum(relevant) / np.arange(1, len(others) + 1))[relevant].mean())
    return np.array(values)


def tied_average_precision(similarities: Array, labels: Array) -> Array:
    """The same with ties, the mean over all orders of tied scenes; what differs by less than 1e-9 is tied."""
    values = []
    for q, row in enumerate(similarities.round(9)):
        others = np.delete(np.arange(len(row)), q)
        before = hits = 0
        total = 0.0
        for value in -np.unique(-row[others]):
            group = labels[others[row[others] == value]] == labels[q]
            n, r = len(group), int(group.sum())
            inside = (r - 1) / (n - 1) if n > 1 else 0.0
            total += sum(r / n * (hits + 1 + m * inside) / (before + 1 + m) for m in range(n)) if r else 0
            before, hits = before + n, hits + r
        values.append(total / hits)
    return np.array(values)
