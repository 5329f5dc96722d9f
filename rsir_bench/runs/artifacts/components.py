"""Principal components that are fitted on the source."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from rsir_bench.base.files import write_sealed
from rsir_bench.runs.artifacts.describing import Describing
from rsir_bench.runs.artifacts.network import Network
from rsir_bench.runs.notes import is_whole, read_arrays
from rsir_bench.training.describe import Reduction, fit_reduction


class Components:
    """The components of one descriptor of a round's network, in the round's folder ``pca/``.

    Attributes:
        key: The file's name: how many there are, and the digest of everything else that changes them.
        path: The file.
    """

    def __init__(self, path: Path, descriptor: str, network: Network, describing: Describing) -> None:
        self.key, self.path, self.descriptor = path.stem, path, descriptor
        self._network, self._describing = network, describing

    def exists(self) -> bool:
        """Return whether they exist undamaged, and their network too."""
        return self._network.exists() and is_whole(self.path)

    def load(self) -> Reduction:
        """Return them.

        Raises:
            UserError: The file is damaged or missing.
        """
        arrays = read_arrays(self.path)
        return Reduction(arrays["mean"], arrays["components"])

    def make(self) -> Reduction:
        """Fit them on the source's descriptors, and keep them.

        Raises:
            RunError: The source cannot be described.
            UserError: A file cannot be read or written.
        """
        protocol = self._describing.plan.protocol
        raw = self._describing.raw(self._network, protocol.source)[self.descriptor]
        fitted = fit_reduction(raw, protocol.describe.pca)
        write_sealed(self.path, lambda path: np.savez(path, **asdict(fitted)))
        return fitted

    def get(self) -> Reduction:
        """Return them; fit them first if they are missing."""
        return self.load() if self.exists() else self.make()
