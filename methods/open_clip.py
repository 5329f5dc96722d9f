"""Any image encoder of OpenCLIP, without training: ``--methods open_clip:MODEL.TAG`` or ``open_clip:MODEL@FILE``."""

from __future__ import annotations

from rsir_bench.encoders import EncoderMethod
from rsir_bench.method import Card


class OpenClip(EncoderMethod):
    """The image part of a model for images and text: OpenAI's, OpenCLIP's, RemoteCLIP's or GeoRSCLIP's weights."""

    card = Card(
        name="open_clip",
        title="open_clip",
        paper="Ilharco et al.: OpenCLIP. Zenodo, 10.5281/zenodo.5143773",
        year=2021,
        rows=EncoderMethod.ROWS,
        trained=False,
        choices=[
            "take what a text is compared with: the projected image features",
            "other poolings are of the last layer before the projection",
            "of a file take the part for images; what it has for text, or lacks of it, plays no part",
        ],
    )
    library = "open_clip"
