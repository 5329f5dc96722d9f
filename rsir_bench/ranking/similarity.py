"""Prepare descriptors so that one matrix product gives the distances of a ranking."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rsir_bench.base.errors import UserError
from rsir_bench.ranking.labels import refuse_masked
from rsir_bench.ranking.threads import Workers

SIMILARITIES = ("pearson", "cosine", "inner product", "euclidean", "hamming")
BIT_ORDERS = ("big", "little")
"""Orders of the bits in a byte of a packed code: the first is the highest (as in NumPy) or the lowest (faiss)."""

CHUNK_ELEMENTS = 2**17  # values normalised at a time: they stay in the processor's cache

LEAST_SPREAD = 0.01
"""Rows that spread less about their mean, as a share of their squared length, are multiplied in float64.

Float32 rounds products near 1 by about 1e-7, which is then more than 1e-5 of what their order hangs on.
"""


def common_type(one: Tensor, other: Tensor) -> torch.dtype:
    """Return the type that holds the numbers of both: float64 where one holds whole numbers, the other floats."""
    if one.is_floating_point() != other.is_floating_point():
        return torch.float64
    return torch.promote_types(one.dtype, other.dtype)


@dataclass(frozen=True)
class Prepared:
    """Vectors whose negated products are distances: smaller is nearer.

    Attributes:
        rows: (N, D) float32 or float64.
        offset: (N,) of the same dtype, added to each product's distance: half the squared norm under "euclidean", else
            None.
        constant: Number of rows without a direction (constant under Pearson, zero under cosine); similarity 0 to all.
        repeats: (M,) int64, rows that repeat an earlier one; see ``duplicate_rows``.
        originals: (M,) int64, that earlier row.
        whole: Bits of codes, whose distances are whole numbers from -bits to bits; None for other descriptors.
    """

    rows: Tensor
    offset: Tensor | None
    constant: int
    repeats: Tensor
    originals: Tensor
    whole: int | None


def prepare(
    descriptors: Tensor, order: Tensor, similarity: str, device: str, workers: Workers, centre: Tensor | None = None
) -> Prepared:
    """Normalise descriptors and put them in a given order.

    Args:
        descriptors: (N, D) numbers, finite, of any length, on any device.
        order: (M,) int64, the rows wanted.
        similarity: One of ``SIMILARITIES``.
        device: Where the prepared rows live.
        workers: See ``rsir_bench.ranking.threads``.
        centre: That of ``euclidean_centre``, for Euclidean distances.

    Raises:
        UserError: A row cannot be normalised, or values overflow or underflow in products.
    """
    narrow = descriptors.dtype in (torch.float16, torch.bfloat16, torch.float32) and similarity != "euclidean"
    dtype = torch.float32 if narrow else torch.float64
    rows = torch.empty(len(order), descriptors.shape[1], dtype=dtype, device=device)
    offset = torch.empty(len(order), dtype=dtype, device=device) if centre is not None else None

    def fill(part: slice) -> tuple[int, float]:
        chunk, without_direction = descriptors[order[part].to(descriptors.device)].to(device, torch.float64), 0
        if similarity in ("pearson", "cosine"):
            chunk, without_direction = unit_rows(chunk, centred=similarity == "pearson")
        if centre is not None and offset is not None:
            chunk = chunk - centre
            offset[part] = chunk.square().sum(dim=1) / 2
        longest = float(chunk.square().sum(dim=1).amax())
        if longest > torch.finfo(dtype).max / 4:
            raise UserError("descriptors: values so large that their products overflow; rescale them")
        rows[part] = chunk + 0.0  # turns -0.0 into 0.0, so that equal rows are equal bytes
        return without_direction, longest

    constants, longest = zip(*workers.map(fill, chunks(rows)), strict=True)
    if 0 < max(longest) < least_square(dtype):
        raise UserError("descriptors: values so small that their products underflow; rescale them")
    constant = sum(constants)
    none = torch.empty(0, dtype=torch.int64, device=device)
    if similarity == "hamming":  # products of -1 and +1 do not round
        return Prepared(rows, offset, constant, none, none, whole=rows.shape[1])
    return Prepared(rows, offset, constant, *duplicate_rows(rows, workers), whole=None)


def euclidean_centre(gallery: Tensor) -> Tensor:
    """Return what is subtracted from rows before Euclidean distances, so that norms do not swamp them, (D,) float64.

    It is the mean of the gallery, (N, D) numbers; rounded where all of them are whole, so that equal distances of whole
    numbers remain equal.
    """
    mean = gallery.mean(dim=0, dtype=torch.float64)
    parts = chunks(gallery) if gallery.is_floating_point() else ()
    return mean.round() if all(torch.equal(gallery[part], gallery[part].round()) for part in parts) else mean


def prepare_gallery(
    descriptors: Tensor, order: Tensor, similarity: str, device: str, workers: Workers, centre: Tensor | None = None
) -> Prepared:
    """Prepare a gallery in the precision that its products need; its queries follow in the same dtype.

    Arguments and errors are those of ``prepare``.
    """
    prepared = prepare(descriptors, order, similarity, device, workers, centre)
    rounds = prepared.rows.dtype == torch.float32 and prepared.whole is None
    if rounds and spread(prepared.rows, workers) < LEAST_SPREAD:
        return prepare(descriptors.to(torch.float64), order, similarity, device, workers, centre)
    return prepared


def spread(rows: Tensor, workers: Workers) -> float:
    """Return how far rows lie from their mean: variance by mean squared length, 0 (all equal) to 1; of zeros 1.

    Args:
        rows: (N, D) float.
        workers: See ``rsir_bench.ranking.threads``.
    """
    parts = list(chunks(rows))
    sums = torch.empty(len(parts), rows.shape[1] + 1, dtype=torch.float64, device=rows.device)

    def fill(number: int) -> None:  # small results kept one by one would split the memory that each chunk frees
        chunk = rows[parts[number]].to(torch.float64)
        torch.sum(chunk, dim=0, out=sums[number, :-1])
        sums[number, -1] = chunk.square_().sum()

    for _ in workers.map(fill, range(len(parts))):
        pass
    *mean, square = (sums.sum(dim=0) / len(rows)).tolist()
    return 1 - sum(value**2 for value in mean) / square if square else 1.0


def chunks(rows: Tensor) -> Iterator[slice]:
    """Return slices of rows, (n, D) of any dtype, that are small enough for the processor's cache."""
    step = max(1, CHUNK_ELEMENTS // rows.shape[1])
    return (slice(start, min(start + step, len(rows))) for start in range(0, len(rows), step))


def unit_rows(rows: Tensor, centred: bool) -> tuple[Tensor, int]:
    """Return rows scaled to length 1, centred first under Pearson; a row without a direction becomes zero.

    Args:
        rows: (n, D) float64, finite, of any length.
        centred: Subtract each row's mean.

    Returns:
        (n, D) float64 of length 1 or 0, and the number of rows without a direction.

    Raises:
        UserError: The length of a row overflows or underflows.
    """
    if centred:
        least, most = rows.aminmax(dim=1)
        without_direction = least == most
        rows = rows - rows.mean(dim=1, keepdim=True)
    else:
        without_direction = ~rows.any(dim=1)
    length = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    if not bool((length.isfinite() & (length.square() >= least_square(length.dtype)))[~without_direction].all()):
        raise UserError("descriptors: values too large or too small to normalise; rescale them")
    rows = rows / length
    rows[without_direction] = 0
    return rows, int(without_direction.sum())


def least_square(dtype: torch.dtype) -> float:
    """Return the least squared length of which every digit is kept: parts of smaller ones are lost to underflow."""
    return torch.finfo(dtype).tiny / torch.finfo(dtype).eps


def unpacked(codes: Tensor, bit_order: str = "big") -> Tensor:
    """Return all bits (N, 8 bytes) uint8 of 0 and 1 of packed codes, (N, bytes) uint8; see ``BIT_ORDERS``."""
    shifts = torch.arange(8, dtype=torch.uint8, device=codes.device)
    return ((codes[:, :, None] >> (shifts.flip(0) if bit_order == "big" else shifts)) & 1).flatten(1)


def duplicate_rows(rows: Tensor, workers: Workers) -> tuple[Tensor, Tensor]:
    """Find rows that are equal value for value.

    A blocked product does not give equal rows equal distances (4 to 8 % of such pairs differ in the last bit), so the
    ranking copies the distance of the first of them to the others.

    Args:
        rows: (N, D) float.
        workers: See ``rsir_bench.ranking.threads``.

    Returns:
        (M,) int64, rows that repeat an earlier one, and (M,) int64, that earlier row.
    """
    suspects = torch.nonzero(shared_hash(rows, workers))[:, 0]
    if not len(suspects):
        return suspects, suspects
    _, inverse = torch.unique(rows[suspects], dim=0, return_inverse=True)
    first = torch.full((int(inverse.max()) + 1,), len(suspects), device=rows.device)
    first.scatter_reduce_(0, inverse, torch.arange(len(suspects), device=rows.device), reduce="amin")
    original = suspects[first[inverse]]
    repeats = original != suspects
    return suspects[repeats], original[repeats]


def shared_hash(rows: Tensor, workers: Workers) -> Tensor:
    """Return where another row has the same 64-bit hash, (N,) bool; rows (N, D) float of equal bytes always have."""
    _, inverse, counts = torch.unique(row_hashes(rows, workers), return_inverse=True, return_counts=True)
    shared: Tensor = (counts > 1)[inverse]
    return shared


def row_hashes(rows: Tensor, workers: Workers) -> Tensor:
    """Return a 64-bit hash of each row, (N,) int64, of rows (N, D) float; equal bytes have equal hashes."""
    words = rows.view(torch.int64) if rows.dtype == torch.float64 or rows.shape[1] % 2 == 0 else rows.view(torch.int32)
    generator = torch.Generator().manual_seed(0)
    weights = torch.randint(-(2**62), 2**62, (words.shape[1],), generator=generator).mul_(2).add_(1).to(rows.device)
    hashes = torch.empty(len(words), dtype=torch.int64, device=rows.device)

    def fill(part: slice) -> None:  # small results kept one by one would split the memory that each chunk frees
        torch.sum(words[part] * weights, dim=1, out=hashes[part])

    for _ in workers.map(fill, chunks(words)):
        pass
    return hashes


def largest_equal(rows: Tensor, classes: Tensor, workers: Workers) -> tuple[int, int]:
    """Return how many rows the largest group of equal ones holds, and how many of them are not of its main class.

    Args:
        rows: (N, D) float.
        classes: (N,) int64, their classes.
        workers: See ``rsir_bench.ranking.threads``.
    """
    values, counts = torch.unique(hashes := row_hashes(rows, workers), return_counts=True)
    most = int(counts.max())
    if most < 2:
        return 0, 0
    members = classes[(hashes == values[counts.argmax()]).cpu()]
    return most, most - int(members.bincount().max())


def checked_descriptors(values: Any, what: str) -> Tensor:
    """Return an array as a tensor (N, D) of finite numbers, of the array's dtype.

    Raises:
        UserError: It is none; the message says why.
    """
    tensor = values.detach() if isinstance(values, Tensor) else torch.from_numpy(numeric_array(values, what))
    if tensor.ndim != 2 or 0 in tensor.shape:
        raise UserError(f"{what}: expected a non-empty array of shape (scenes, dimensions), got {tuple(tensor.shape)}")
    if tensor.is_complex():
        raise UserError(f"{what}: complex numbers cannot be ranked; give real descriptors")
    if tensor.is_floating_point() and not bool(tensor.sum().isfinite()):  # a sum may overflow: look again
        bad = torch.nonzero(~tensor.isfinite().all(dim=1))[:, 0].tolist()
        if bad:
            raise UserError(
                f"{what}: NaN or infinity in {len(bad)} of {len(tensor)} rows, first in row {bad[0]}; fix or drop them"
            )
    return tensor


def numeric_array(values: Any, what: str) -> np.ndarray[Any, Any]:
    """Return the values as a NumPy array of numbers that torch accepts, of the same shape (...).

    Raises:
        UserError: The rows differ in length, or the values are not numbers.
    """
    refuse_masked(values, what)
    try:
        array = np.asarray(values)
    except ValueError:
        raise UserError(f"{what}: the rows differ in length; give an array of shape (scenes, dimensions)") from None
    if array.dtype.kind not in "biuf":
        raise UserError(f"{what}: expected numbers, got {array.dtype}")
    if array.dtype == np.uint64 and array.size and array.max() > np.iinfo(np.int64).max:
        raise UserError(f"{what}: integers above {np.iinfo(np.int64).max}; give floats")
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        array = array.astype(np.int64)
    if array.dtype == np.longdouble:
        array = array.astype(np.float64)
    return np.require(array, array.dtype.newbyteorder("="), ["C", "W"])
