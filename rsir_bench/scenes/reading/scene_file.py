"""Open a scene file with the reader that its content asks for."""

from __future__ import annotations

from typing import Protocol

from rsir_bench.scenes.reading.content import Kind, kind_of
from rsir_bench.scenes.reading.picture import Picture
from rsir_bench.scenes.reading.stored import Facts, Values
from rsir_bench.scenes.reading.tif import Tif


class SceneFile(Protocol):
    """A scene whose head was read."""

    @property
    def facts(self) -> Facts:
        """What the head says."""
        ...

    def values(self, bands: int) -> Values:
        """Return the scene as (height, width, ``bands``), or (height, width, 1) where a grey scene serves for three.

        Raises:
            DamagedError: The file is cut off, or its bytes make no sense.
            OtherBandsError: It has other bands.
            RefusedError: It cannot be decoded exactly with what is installed.
        """
        ...


def open_scene(content: bytes) -> SceneFile:
    """Return the scene of a file's bytes.

    Raises:
        DamagedError: The bytes make no sense.
        RefusedError: They are of a kind that is not read, or larger than any scene.
    """
    kind = kind_of(content)
    return Tif(content) if kind is Kind.TIF else Picture(content, kind)
