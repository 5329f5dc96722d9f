"""Descriptors made ready so that one matrix product gives the distances of a ranking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rsir_bench.errors import UserError

SIMILARITIES = ("pearson", "cosine", "inner product", "euclidean", "hamming")
CHUNK_ELEMENTS = 2**22


@dataclass(frozen=True)
class Prepared:
    """Vectors whose negated products are distances: smaller is nearer.

    Attributes:
        rows: (N, D) float32 or float64.
        offset: (N,) added to each product's distance (half the squared norm under "euclidean"), or None.
        constant: number of rows without a direction (constant under Pearson, zero under cosine); similarity 0 to all.
    """

    rows: Tensor
    offset: Tensor | None
    constant: int


def prepare(descriptors: Tensor, order: Tensor, similarity: str, device: str, centre: Tensor | None = None) -> Prepared:
    """Normalises descriptors and puts them in a given order.

    Args:
        descriptors: (N, D) on any device.
        order: (M,) int64, the rows wanted.
        similarity: one of SIMILARITIES.
        device: where the prepared rows live.
        centre: (D,) float64 subtracted before Euclidean distances, so that norms do not swamp them.
    """
    double = similarity == "euclidean" or descriptors.dtype in (torch.float64, torch.int32, torch.int64)
    rows = torch.empty(
        len(order), descriptors.shape[1], dtype=torch.float64 if double else torch.float32, device=device
    )
    offset = torch.empty(len(order), dtype=rows.dtype, device=device) if similarity == "euclidean" else None
    constant = 0
    step = max(1, CHUNK_ELEMENTS // max(1, descriptors.shape[1]))
    for start in range(0, len(order), step):
        chunk = descriptors[order[start : start + step].to(descriptors.device)].to(device)
        if similarity in ("pearson", "cosine"):
            chunk, without_direction = unit_rows(chunk.double(), centred=similarity == "pearson")
            constant += int(without_direction.sum())
        elif offset is not None and centre is not None:
            chunk = chunk.double() - centre
            offset[start : start + step] = chunk.square().sum(dim=1) / 2
        rows[start : start + step] = chunk
    return Prepared(rows, offset, constant)


def unit_rows(rows: Tensor, centred: bool) -> tuple[Tensor, Tensor]:
    """Rows scaled to length 1, centred first under Pearson; a row without a direction becomes zero.

    Args:
        rows: (n, D) float64.
        centred: subtract each row's mean.

    Returns:
        tuple: (n, D) float64, and (n,) bool: True where the row has no direction.
    """
    without_direction = rows.amax(dim=1) == rows.amin(dim=1) if centred else ~rows.any(dim=1)
    scale = rows.abs().amax(dim=1, keepdim=True)
    rows = rows / torch.where(scale > 0, scale, 1)
    if centred:
        rows = rows - rows.mean(dim=1, keepdim=True)
    length = rows.norm(dim=1, keepdim=True)
    rows = rows / torch.where(length > 0, length, 1)
    rows[without_direction] = 0
    return rows, without_direction


def signs(codes: Tensor, bits: int | None) -> Tensor:
    """(N, bits) float32 of -1 and +1 from codes of 0/1, or from uint8 codes packed eight to a byte (high bit first)."""
    if bits is not None and codes.dtype == torch.uint8 and codes.shape[1] == -(-bits // 8):
        shifts = torch.arange(7, -1, -1, device=codes.device)
        codes = ((codes[:, :, None] >> shifts) & 1).flatten(1)[:, :bits]
    return codes.float().mul_(2).sub_(1)


def duplicate_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Finds rows that are equal value for value.

    A blocked product does not give equal rows equal distances (4 to 8 % of such pairs differ in the last bit), so the
    ranking copies the distance of the first of them to the others.

    Args:
        rows: (N, D) float.

    Returns:
        tuple: (M,) int64 rows that repeat an earlier one, and (M,) int64 which row that is.
    """
    suspects = torch.nonzero(shared_hash(rows))[:, 0]
    if not len(suspects):
        return suspects, suspects
    _, inverse = torch.unique(rows[suspects], dim=0, return_inverse=True)
    first = torch.full((int(inverse.max()) + 1,), len(suspects), device=rows.device)
    first.scatter_reduce_(0, inverse, torch.arange(len(suspects), device=rows.device), reduce="amin")
    original = suspects[first[inverse]]
    repeats = original != suspects
    return suspects[repeats], original[repeats]


def shared_hash(rows: Tensor) -> Tensor:
    """(N,) bool: True where another row has the same 64-bit hash (equal rows always have)."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.randint(-(2**62), 2**62, (rows.shape[1],), generator=generator).mul_(2).add_(1).to(rows.device)
    as_int = torch.int64 if rows.dtype == torch.float64 else torch.int32
    hashes = torch.empty(len(rows), dtype=torch.int64, device=rows.device)
    step = max(1, CHUNK_ELEMENTS // rows.shape[1])
    for start in range(0, len(rows), step):
        chunk = rows[start : start + step] + 0.0  # turns -0.0, which equals 0.0, into 0.0
        hashes[start : start + step] = (chunk.view(as_int).long() * weights).sum(dim=1)
    _, inverse, counts = torch.unique(hashes, return_inverse=True, return_counts=True)
    return counts[inverse] > 1


def checked_descriptors(values: Any, what: str) -> Tensor:
    """(N, D) tensor of the given array, or a UserError that says what is wrong with it."""
    tensor = values.detach() if isinstance(values, Tensor) else torch.from_numpy(numeric_array(values, what))
    if tensor.ndim != 2 or 0 in tensor.shape:
        raise UserError(f"{what}: expected a non-empty array of shape (scenes, dimensions), got {tuple(tensor.shape)}")
    if tensor.is_complex():
        raise UserError(f"{what}: complex numbers have no ranking; give real descriptors")
    if tensor.is_floating_point():
        bad = ~torch.isfinite(tensor).all(dim=1)
        if bool(bad.any()):
            raise UserError(
                f"{what}: NaN or infinity in {int(bad.sum())} of {len(tensor)} rows, first in row {int(bad.int().argmax())}"
            )
    return tensor


def numeric_array(values: Any, what: str) -> np.ndarray[Any, Any]:
    """The values as a numpy array of numbers that torch can take."""
    try:
        array = np.asarray(values)
    except ValueError:
        raise UserError(f"{what}: the rows differ in length; give an array of shape (scenes, dimensions)") from None
    if array.dtype.kind not in "biuf":
        raise UserError(f"{what}: expected numbers, got {array.dtype}")
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        array = array.astype(np.int64)
    if array.dtype == np.longdouble:
        array = array.astype(np.float64)
    return np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False))
