"""Any encoder of TorchGeo that needs only pixels, without training: ``--methods torchgeo:MODEL.TAG``."""

from __future__ import annotations

from rsir_bench.encoders import EncoderMethod
from rsir_bench.method import Card


class Torchgeo(EncoderMethod):
    """A network pretrained on satellite images: SeCo, SSL4EO, SatlasPretrain, GASSL, Scale-MAE and others."""

    card = Card(
        name="torchgeo",
        title="torchgeo",
        paper="Stewart et al.: TorchGeo: deep learning with geospatial data. SIGSPATIAL",
        year=2022,
        rows=EncoderMethod.ROWS,
        trained=False,
        choices=[
            "see the bands of the weights where a dataset's card names them, else its colours",
            "weights for reflectances describe only datasets that store reflectances",
            "where the weights' transforms cut out the centre without a resize, resize the scene to it",
        ],
    )
    library = "torchgeo"
