"""Histogram equalisation before a method: a fixed spectral correction, the control for a learned one."""

from __future__ import annotations

from torch import Tensor

from rsir_bench.method import FrontEnd, FrontEndCard


class Histeq(FrontEnd):
    """Give each band of each scene a flat histogram of 256 grey levels."""

    card = FrontEndCard(
        name="histeq",
        title="Histogram equalisation",
        paper="Hummel: Image enhancement by histogram transformation, Computer Graphics and Image Processing 1977",
        year=1977,
        stated=[
            "grey levels are mapped by the cumulative histogram of the scene",
        ],
        choices=[
            "equalise each band by itself, which also equalises the colours, on 256 levels of [0, 1]",
            "use Pillow's look-up table, as torchvision does; leave a band of one level as it is",
        ],
        learned=False,
        differentiable=False,
    )

    def forward(self, scenes: Tensor) -> Tensor:
        """Return equalised scenes, (N, B, H, W) float in [0, 1], on 256 levels.

        No gradient passes: a learned front end must follow it, not precede it.
        """
        from torchvision.transforms.v2.functional import equalize  # torchvision takes seconds to load

        equalised: Tensor = equalize(scenes.clamp(0, 1))
        return equalised
