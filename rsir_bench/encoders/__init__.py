"""Pretrained networks by name, each with the preprocessing that belongs to its weights."""

from rsir_bench.encoders.encoder import Encoder
from rsir_bench.encoders.facts import EncoderFacts, own_tensors
from rsir_bench.encoders.method import EncoderMethod, encoder_class, encoder_facts, facts_in, named_encoder
from rsir_bench.encoders.settings import EncoderSettings

__all__ = [
    "Encoder",
    "EncoderFacts",
    "EncoderMethod",
    "EncoderSettings",
    "encoder_class",
    "encoder_facts",
    "facts_in",
    "named_encoder",
    "own_tensors",
]
