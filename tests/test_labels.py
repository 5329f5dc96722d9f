"""Labels of any type: told apart exactly, or refused in one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from tiny import message

import rsir_bench
from rsir_bench.ranking.labels import checked_labels

CLASSES = np.arange(12) % 3
ROWS = np.random.default_rng(0).normal(size=(12, 4))
WORDS = [f"c{number}" for number in CLASSES]
BIG = 2**63


def grouped(labels: Any) -> list[int]:
    """The number of each label's class, in the order of their first scenes."""
    values = checked_labels(labels, 12, "labels").tolist()
    return [list(dict.fromkeys(values)).index(value) for value in values]


KEPT: dict[str, Any] = {
    "object integers": CLASSES.astype(object),
    "object np.int64": np.array(list(CLASSES), dtype=object),
    "object np.str_": np.array([np.str_(word) for word in WORDS], dtype=object),
    "object bytes": np.array([word.encode() for word in WORDS], dtype=object),
    "object whole floats": np.array([float(number) for number in CLASSES], dtype=object),
    "list of tensors": list(torch.as_tensor(CLASSES)),
    "list of integers and whole floats": [int(number) if number else 0.0 for number in CLASSES],
    "StringDType": np.array(WORDS, dtype=np.dtypes.StringDType()) if hasattr(np.dtypes, "StringDType") else WORDS,
    "uint64 above int64": CLASSES.astype(np.uint64) + np.uint64(BIG),
    "integers above uint64": [int(number) + 2**70 for number in CLASSES],
    "neighbours above 2**53 in a list": [int(number) + 2**53 for number in CLASSES],
    "float16": CLASSES.astype(np.float16),
    "bfloat16 tensor": torch.as_tensor(CLASSES).to(torch.bfloat16),
    "largest of bfloat16": torch.as_tensor(CLASSES + 253).to(torch.bfloat16),
    "largest of float16": (CLASSES + 2045).astype(np.float16),
    "largest of float32": torch.as_tensor(CLASSES + 2**24 - 3).float(),
    "list of float16": list((CLASSES + 2045).astype(np.float16)),
    "list of tensors with a gradient": list(torch.as_tensor(CLASSES).float().requires_grad_()),
    "list of bfloat16 tensors": list(torch.as_tensor(CLASSES + 253).to(torch.bfloat16)),
    "tensor with a gradient": torch.as_tensor(CLASSES, dtype=torch.float64).requires_grad_(),
    "bytes of a length": np.array(WORDS, dtype="S"),
    "categorical": pd.Series(pd.Categorical(WORDS, categories=["c2", "c1", "c0"])),
    "categorical of integers": pd.Categorical(CLASSES),
    "dictionary": pa.array(WORDS).dictionary_encode(),
    "nullable integers": pd.array(CLASSES, dtype="Int64"),
    "arrow strings": pd.Series(WORDS, dtype="string"),
}


@pytest.mark.parametrize("labels", KEPT.values(), ids=KEPT)
def test_labels_of_any_type_are_the_same_classes(labels: Any) -> None:
    assert grouped(labels) == CLASSES.tolist()
    assert rsir_bench.score(ROWS, labels).overall == rsir_bench.score(ROWS, CLASSES).overall


REFUSED: dict[str, tuple[str, Any]] = {
    "floats that no integer holds": ("above 9007199254740992", CLASSES * 1e300),
    "floats beyond every integer": ("above 9007199254740992", CLASSES + 2.0**54),
    "float32 beyond every integer": ("above 16777216", (CLASSES + 2**25).astype(np.float32)),
    "float32 that rounds down to its limit": ("above 16777216", (CLASSES + 2**24 - 1).astype(np.float32)),
    "bfloat16 tensor": ("bfloat16 numbers at or above 256", torch.arange(250, 262).bfloat16()),
    "bfloat16 tensor below zero": ("bfloat16 numbers at or above 256", -torch.arange(250, 262).bfloat16()),
    "float16 tensor": ("float16 numbers at or above 2048", torch.arange(2045, 2057).half()),
    "float32 tensor": ("float32 numbers at or above 16777216", (torch.arange(12) + 2**24).float()),
    "float64 tensor": ("float64 numbers at or above 9007199254740992", (torch.arange(12) + 2**53).double()),
    "list of float16": ("float16 numbers at or above 2048", list(np.arange(2045, 2057).astype(np.float16))),
    "list of bfloat16 tensors": ("bfloat16 numbers at or above 256", list(torch.arange(250, 262).bfloat16())),
    "list of float32 tensors": ("above 16777216", list((torch.arange(12) + 2**24).float())),
    "objects of float16": ("above 2048", np.array(list(np.arange(2045, 2057).astype(np.float16)), dtype=object)),
    "list of integers and float32": ("above 16777216", [*range(11), np.float32(2**24 + 1)]),
    "list of floats": ("float64 numbers at or above 9007199254740992", [*range(11), 2.0**53]),
    "infinite tensor": ("not whole", torch.tensor([np.inf, *CLASSES[1:]]).float()),
    "list of infinite tensors": ("not whole", list(torch.tensor([np.inf, *CLASSES[1:]]).float())),
    "halves in a tensor": ("not whole", torch.as_tensor(CLASSES).half() / 2),
    "a column of a tensor": ("shape (12, 1)", torch.as_tensor(CLASSES).float()[:, None]),
    "infinity": ("not whole", np.where(CLASSES, np.inf, 0)),
    "NaN": ("(8 are NaN)", np.where(CLASSES, np.nan, 0)),
    "None": ("NoneType, str", [None, *WORDS[1:]]),
    "missing integers": ("(1 are NaN)", pd.array([None, *CLASSES[1:].tolist()], dtype="Int64")),
    "words and numbers": ("int, str", [1, *WORDS[1:]]),
    "words and bytes": ("bytes, str", [b"c0", *WORDS[1:]]),
    "truths and numbers": ("bool, int", [True, *CLASSES[1:].tolist()]),
    "words that end with NUL": ("NUL", ["c0\0", *WORDS[1:]]),
    "bytes in another encoding": ("not UTF-8", np.array(["städte".encode("latin-1")] * 12)),
    "an empty word": ("1 of 12 are empty, first in row 3", [*WORDS[:3], "", *WORDS[4:]]),
    "blanks": ("2 of 12 are empty, first in row 0", np.array([" ", "\t", *WORDS[2:]])),
    "dates": ("datetime64", np.zeros(12, "M8[D]")),
    "one column": ("shape (12, 1)", CLASSES[:, None]),
}


@pytest.mark.parametrize(("words", "labels"), REFUSED.values(), ids=REFUSED)
def test_labels_that_cannot_be_told_apart_are_refused(words: str, labels: Any) -> None:
    assert words in message(lambda: rsir_bench.score(ROWS, labels))


def test_truths_are_two_classes() -> None:
    assert grouped(CLASSES > 0) == [0, 1, 1] * 4


def test_integers_above_int64_meet_those_below_in_a_gallery() -> None:
    high = np.where(CLASSES == 2, np.uint64(BIG), CLASSES.astype(np.uint64))
    low = np.arange(12) % 2
    found = rsir_bench.score(ROWS, high, gallery=ROWS[::-1].copy(), gallery_labels=low)
    assert set(found.per_class) == {"0", "1"}
    assert found.skipped == 4


PACKED = np.random.default_rng(1).random((60, 12)) > 0.5


@pytest.mark.parametrize("order", ["big", "little"])
def test_the_order_of_packed_bits_is_checked(order: Any) -> None:
    labels = np.arange(60) % 3
    packed = np.packbits(PACKED, axis=1, bitorder=order)
    expected = rsir_bench.score(PACKED, labels, codes=True).overall
    assert rsir_bench.score(packed, labels, codes=True, bits=12, bit_order=order).overall == expected
    other = "little" if order == "big" else "big"
    text = message(lambda: rsir_bench.score(packed, labels, codes=True, bits=12, bit_order=other))
    assert "bits 13 to 16 are padding, but set in" in text
    assert f"bit order {order}" in text


def test_an_order_of_bits_that_does_not_exist() -> None:
    text = message(lambda: rsir_bench.score(PACKED, np.arange(60) % 3, codes=True, bit_order="lsb"))
    assert text == "bit order 'lsb': choose one of big, little"


def test_unsigned_descriptors_do_not_wrap_around() -> None:
    rows = np.full((12, 4), 2**63, np.uint64)
    assert "give floats" in message(lambda: rsir_bench.score(rows, CLASSES))
