"""Check that a method computes in the precision of the protocol, and in no other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from rsir_bench.conformance.harness import Bench, Failure, Training, descriptors, pixels_of
from rsir_bench.method import Method
from rsir_bench.training.loop import loss_terms

PRODUCTS = ("conv", "linear", "matmul", "einsum", "mm", "addmm", "bmm", "baddbmm", "scaled_dot_product")
"""How the operations begin whose precision counts: a network spends its digits, and its time, in them."""

HALVES = (torch.float16, torch.bfloat16)


class Products(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Collects the dtypes of all convolutions and matrix products in the block, with the operation of the first."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: dict[torch.dtype, str] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Note an operation of torch, and do it."""
        name = func.overloadpacket.__name__.lstrip("_")
        if name.startswith(PRODUCTS):
            dtypes = [value.dtype for value in args if isinstance(value, Tensor) and value.is_floating_point()]
            self.seen.setdefault(dtypes[-1], name)
        return func(*args, **(kwargs or {}))


def one_precision(bench: Bench) -> str:
    """Check that weights, loss and descriptors have the precision of the protocol, whatever that is.

    Raises:
        Failure: The check fails.
    """
    network = bench.build()
    protocols = network.setup.protocol.train
    if (own := network.recipe(protocols).precision) != protocols.precision:
        raise Failure(f"recipe() changes the precision from {protocols.precision} to {own}; leave it to the protocol")
    for name, parameter in network.named_parameters():
        if parameter.dtype is not torch.float32:
            raise Failure(f"{name} is {parameter.dtype}; keep weights in torch.float32")
    _describes_in_32_bit(bench.network(), bench)
    if bench.named.card.trained:
        _trains_in_32_bit(network, bench)
        _trains_in_half(bench)
    return "as the protocol says"


def _describes_in_32_bit(network: Method, bench: Bench) -> None:
    with Products() as products:
        given = descriptors(network, pixels_of(bench.draw(4)))
    _refuse_halves(products, "describe()")
    for name, values in given.items():
        if values.dtype is not torch.float32:
            raise Failure(f"describe() returns {name!r} in {values.dtype}; return torch.float32")


def _trains_in_32_bit(network: Method, bench: Bench) -> None:
    products, terms = _step(network, bench, "32")
    _refuse_halves(products, "loss()")
    for name, value in terms.items():
        if value.dtype is not torch.float32:
            raise Failure(f"loss() returns {name!r} in {value.dtype} under precision 32; return torch.float32")


def _trains_in_half(bench: Bench) -> None:
    products, _ = _step(bench.build(), bench, "bf16")
    if products.seen and torch.bfloat16 not in products.seen:
        raise Failure("loss() has no convolution or matrix product in bf16 under precision bf16; leave autocast on")


def _step(network: Method, bench: Bench, precision: str) -> tuple[Products, dict[str, Tensor]]:
    """Return the products and the terms of the loss of a step in a precision."""
    scenes = network.training_set(1, None, bench.draw(), bench.pool())
    training = Training(network, scenes, precision)
    batch = training.first_batch()
    with Products() as products:
        terms, _ = loss_terms(network, batch, training.fabric)
    return products, terms


def _refuse_halves(products: Products, where: str) -> None:
    for dtype, operation in products.seen.items():
        if dtype in HALVES:
            raise Failure(f"{where} computes in {dtype} ({operation}) under precision 32; leave it to the protocol")
