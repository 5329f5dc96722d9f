"""The descriptors of one row on one target."""

from __future__ import annotations

import numpy as np

from rsir_bench.base.files import write_sealed
from rsir_bench.runs.artifacts.components import Components
from rsir_bench.runs.artifacts.describing import Describing
from rsir_bench.runs.artifacts.network import Network
from rsir_bench.runs.notes import is_whole, read_arrays
from rsir_bench.runs.plan import ResultSpec
from rsir_bench.scenes.batches import Pixels
from rsir_bench.training.describe import Descriptors as RawDescriptors
from rsir_bench.training.describe import Reduction, as_bits, fit_reduction

FLAT = 1e-5
"""Distance of descriptors from their mean, as a share of their length, that is rounding."""

CHUNK = 1024  # rows held in float64 at a time


def is_flat(descriptors: RawDescriptors) -> bool:
    """Return whether descriptors, (N, D) float32, differ by rounding only: components and bits of them are noise."""
    mean = descriptors.mean(0, dtype=np.float64)
    length = spread = 0.0
    for start in range(0, len(descriptors), CHUNK):
        rows = descriptors[start : start + CHUNK].astype(np.float64)
        length += float(np.vdot(rows, rows))
        rows -= mean
        spread += float(np.vdot(rows, rows))
    return len(descriptors) > 1 and spread <= FLAT**2 * length


class Descriptors:
    """The descriptors of a row on a target: (N, D) float32, or packed codes (N, bytes) uint8, of all its scenes.

    Attributes:
        key: The file's name, which holds the digest of everything that changes them.
        path: The file.
        components: The source-fitted components that the row needs; None: it needs none.
    """

    def __init__(
        self, cell: ResultSpec, network: Network, components: Components | None, describing: Describing
    ) -> None:
        self.cell, self.components = cell, components
        self.key, self.path = cell.descriptors.stem, cell.descriptors
        self._network, self._describing = network, describing

    def exists(self) -> bool:
        """Return whether they exist undamaged, and their network too."""
        if not self._network.exists():
            return False
        return is_whole(self.path) and self.cell.row.descriptor in self._describing.note().get("lengths", {})

    def load(self) -> np.ndarray:
        """Return them: (N, D) float32, or (N, bytes) uint8 for a code.

        Raises:
            UserError: The file is damaged or missing.
        """
        return read_arrays(self.path)["descriptors"]

    def make(self) -> np.ndarray:
        """Describe the target and reduce the descriptors to the row: (N, D) float32, or (N, bytes) uint8 for a code.

        Raises:
            RunError: The target cannot be described.
            UserError: A file cannot be read or written.
        """
        fitted = self._fitted()  # first: of two passes over scenes only the last is kept in memory
        raw = self._raw()
        row = self._reduced(raw, fitted)
        if is_flat(raw):
            self._describing.note_flat(self.key)
        write_sealed(self.path, lambda path: np.save(path, row))
        return row

    def get(self) -> np.ndarray:
        """Return them, as ``load`` does; make them first if they are missing: (N, D) float32 or (N, bytes) uint8."""
        return self.load() if self.exists() else self.make()

    def of_pixels(self, pixels: Pixels) -> np.ndarray:
        """Describe any scenes as the row describes its own.

        Args:
            pixels: (M, H, W, B) uint8, as the run's transform makes them.

        Returns:
            (M, D) float32, or packed codes (M, bytes) uint8. Components that are fitted on the target are fitted again.
        """
        name, fitted = self.cell.row.descriptor, self._fitted()
        raw = self._describing.describe_pixels(self._network.get(), pixels, {name})[name]
        return self._reduced(raw, fitted)

    def without_front_end(self) -> np.ndarray:
        """Describe the target with the method's front end switched off, and reduce the descriptors to the row.

        Returns:
            (N, D) float32, or packed codes (N, bytes) uint8. Components of the source are those of the whole method;
            components of the target are fitted again.

        Raises:
            RunError: The target cannot be described.
            UserError: A file cannot be read or written.
        """
        raw = self._describing.without_front_end(self._network, self.cell.target).raw[self.cell.row.descriptor]
        of_target = self.cell.fit == "target"
        fitted = fit_reduction(raw, self._describing.plan.protocol.describe.pca) if of_target else self._fitted()
        return self._reduced(raw, fitted)

    def dimensions(self) -> int:
        """Return the length D of a descriptor, or the bytes of a code, from the head of the file."""
        return int(np.load(self.path, mmap_mode="r").shape[1])

    def _raw(self) -> RawDescriptors:
        """Return the target's descriptors as the network computes them, (N, D) float32."""
        return self._describing.raw(self._network, self.cell.target, self.cell.distortion)[self.cell.row.descriptor]

    def _fitted(self) -> Reduction | None:
        """Return the row's components, fitted on the source or on the target; None if it has none."""
        if self.cell.fit == "target":
            return fit_reduction(self._raw(), self._describing.plan.protocol.describe.pca)
        return self.components.get() if self.components else None

    def _reduced(self, raw: RawDescriptors, fitted: Reduction | None) -> np.ndarray:
        """Return the row of raw descriptors: packed bits, principal components, or the descriptors as they are."""
        if self.cell.row.kind == "code":
            return as_bits(raw)
        return fitted(raw) if fitted else raw
