"""Protocols, which fix source, targets, training and scoring."""

from rsir_bench.base.moved import serve_old_names
from rsir_bench.protocol.document import describe_protocol, protocol_list, write_protocol
from rsir_bench.protocol.load import board_name, is_shipped, load_protocol, parse_value, shipped
from rsir_bench.protocol.schema import Data, Describe, Head, Protocol, Score, Train, Trunk

__all__ = [
    "Data",
    "Describe",
    "Head",
    "Protocol",
    "Score",
    "Train",
    "Trunk",
    "board_name",
    "describe_protocol",
    "is_shipped",
    "load_protocol",
    "parse_value",
    "protocol_list",
    "shipped",
    "write_protocol",
]

serve_old_names(__name__)
