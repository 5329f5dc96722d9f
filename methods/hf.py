"""Any vision encoder on the Hugging Face hub, without training: ``--methods hf:ORGANISATION/NAME`` or ``hf:FOLDER``."""

from __future__ import annotations

from rsir_bench.encoders import EncoderMethod, EncoderSettings
from rsir_bench.method import Card


class HfSettings(EncoderSettings):
    """Which model, with which weights and which input.

    Attributes:
        revision: A branch, tag or commit of its repository; None: main.
        trust_remote_code: Whether code from the repository may run.
    """

    revision: str | None = None
    trust_remote_code: bool = False


class Hf(EncoderMethod[HfSettings]):
    """A vision encoder from transformers; for a model of images and text, its image part."""

    card = Card(
        name="hf",
        title="hf",
        paper="Wolf et al.: Transformers: state-of-the-art natural language processing. EMNLP: System Demonstrations",
        year=2020,
        rows=EncoderMethod.ROWS,
        trained=False,
        choices=[
            "pool as the model does: image features where it is for images and text, else its pooler",
            "where the weights lack the pooler, take the class token or the mean",
            "resize with Pillow, where the library's processors may resize with torch",
        ],
    )
    Settings = HfSettings
    library = "hf"
