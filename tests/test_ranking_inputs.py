"""Input that cannot be scored: one clear line each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from rsir_bench.base.errors import UserError
from rsir_bench.ranking import score

ROWS = np.random.default_rng(0).normal(size=(6, 4))
LABELS = np.array([0, 0, 0, 1, 1, 1])
CODES = (ROWS > 0).astype(np.uint8)


def with_value(value: float) -> np.ndarray:
    rows = ROWS.copy()
    rows[4, 1] = value
    return rows


BAD: list[tuple[str, Any, Any, dict[str, Any]]] = [
    ("NaN or infinity in 1 of 6 rows, first in row 4", with_value(np.nan), LABELS, {}),
    ("NaN or infinity in 1 of 6 rows, first in row 4", with_value(np.inf), LABELS, {"similarity": "euclidean"}),
    ("shape", ROWS[0], LABELS, {}),
    ("shape", ROWS[None], LABELS, {}),
    ("non-empty", ROWS[:, :0], LABELS, {}),
    ("non-empty", ROWS[:0], LABELS[:0], {}),
    ("differ in length", [[1.0, 2.0], [1.0]], LABELS, {}),
    ("expected numbers", ROWS.astype(str), LABELS, {}),
    ("expected numbers", ROWS.astype(object), LABELS, {}),
    ("expected numbers", ROWS.astype(complex), LABELS, {}),
    ("overflow", with_value(1e200), LABELS, {"similarity": "inner product"}),
    ("too large or too small", with_value(1e200), LABELS, {}),
    ("too large or too small", ROWS * 1e-160, LABELS, {"similarity": "cosine"}),
    ("underflow", (ROWS * 1e-22).astype(np.float32), LABELS, {"similarity": "inner product"}),
    ("underflow", ROWS * 1e-160, LABELS, {"similarity": "euclidean"}),
    ("expected 6 labels", ROWS, LABELS[:5], {}),
    ("expected 6 labels", ROWS, LABELS[:, None], {}),
    ("one class only", ROWS, np.zeros(6, int), {}),
    ("nothing to score", ROWS, np.arange(6), {}),
    ("mixed or unknown types (int, str)", ROWS, np.array([0, 0, 0, "a", "a", "a"], dtype=object), {}),
    ("mixed or unknown types (NoneType, str)", ROWS, np.array([None, "b", "b", "a", "a", "a"], dtype=object), {}),
    ("not whole", ROWS, LABELS + 0.5, {}),
    ("not whole", ROWS, [0, 0, 0, 1, 1, np.nan], {}),
    ("cannot be classes", ROWS, LABELS.astype(complex), {}),
    ("choose one of", ROWS, LABELS, {"similarity": "manhattan"}),
    ("ranked by Hamming", CODES, LABELS, {"similarity": "cosine", "codes": True}),
    ("other than 0 and 1", CODES * 2, LABELS, {"codes": True}),
    ("packed uint8 with bits", np.packbits(CODES, axis=1), LABELS, {"codes": True}),
    ("other than 0 and 1", ROWS, LABELS, {"codes": True}),
    ("neither 40 columns", CODES, LABELS, {"codes": True, "bits": 40}),
    ("neither 8 columns", np.packbits(CODES, axis=1).astype(int), LABELS, {"codes": True, "bits": 8}),
    ("at least 1", CODES, LABELS, {"codes": True, "bits": 0}),
    ("only packed codes have bits", ROWS, LABELS, {"bits": 8}),
    ("none given", ROWS, LABELS, {"queries": []}),
    ("False everywhere", ROWS, LABELS, {"queries": np.zeros(6, bool)}),
    ("a mask of 5", ROWS, LABELS, {"queries": np.ones(5, bool)}),
    ("rows run from 0 to 5", ROWS, LABELS, {"queries": [6]}),
    ("rows run from 0 to 5", ROWS, LABELS, {"queries": [-1]}),
    ("named twice", ROWS, LABELS, {"queries": [2, 2]}),
    ("indices or a mask", ROWS, LABELS, {"queries": [0.5]}),
    ("gallery_labels together", ROWS, LABELS, {"gallery": ROWS}),
    ("omit queries", ROWS, LABELS, {"gallery": ROWS, "gallery_labels": LABELS, "queries": [1]}),
    ("3 dimensions", ROWS, LABELS, {"gallery": ROWS[:, :3], "gallery_labels": LABELS}),
    ("in one type", ROWS, LABELS, {"gallery": ROWS, "gallery_labels": LABELS.astype(str)}),
    ("at least 1", ROWS, LABELS, {"k": (0,)}),
    ("whole numbers", ROWS, LABELS, {"k": (2.5,)}),
    ("whole numbers", ROWS, LABELS, {"hits": 0}),
    ("block 0", ROWS, LABELS, {"block": 0}),
    ("block 1.5: give the number of queries", ROWS, LABELS, {"block": 1.5}),
    ("bits '4': give the number of bits", CODES, LABELS, {"codes": True, "bits": "4"}),
    ("k 5: give a list", ROWS, LABELS, {"k": 5}),
    ("after ['aqe:1,1']: give one name", ROWS, LABELS, {"after": ["aqe:1,1"]}),
    ("not available", ROWS, LABELS, {"device": "tpu"}),
    ("no name for label 1", ROWS, LABELS, {"class_names": ["forest"]}),
    ("no name for label -1", ROWS, LABELS - 1, {"class_names": ["forest", "river"]}),
    ("no name for label 'a'", ROWS, list("aaabbb"), {"class_names": ["forest", "river"]}),
    ("not UTF-8", ROWS, np.array(["städtisch".encode("latin-1"), *[b"a"] * 3, *[b"b"] * 2]), {}),
    ("have the same name", ROWS, LABELS, {"class_names": ["forest", "forest"]}),
]


@pytest.mark.parametrize(
    ("words", "rows", "labels", "options"), BAD, ids=[f"{i}-{case[0]}" for i, case in enumerate(BAD)]
)
def test_one_clear_line(words: str, rows: Any, labels: Any, options: dict[str, Any]) -> None:
    with pytest.raises(UserError) as caught:
        score(rows, labels, **options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 160


def test_a_mapping_may_name_negative_labels() -> None:
    result = score(ROWS, LABELS - 1, class_names={-1: "unknown", 0: "forest"})
    assert list(result.per_class) == ["unknown", "forest"]


def test_labels_of_utf8_bytes_are_read() -> None:
    labels = np.array(["städtisch".encode()] * 3 + [b"forest"] * 3)
    assert list(score(ROWS, labels).per_class) == ["forest", "städtisch"]


def test_a_single_bit_in_a_column_of_its_own_is_not_taken_for_a_packed_one() -> None:
    column, labels = np.array([[0], [0], [1], [1]], np.uint8), [0, 0, 1, 1]
    for codes in (column, np.packbits(column, axis=1)):
        assert score(codes, labels, codes=True, bits=1).overall["mAP"] == 1


@pytest.mark.parametrize("kind", ["array", "tensor"])
def test_float32_codes_stay_as_they_are(kind: str) -> None:
    codes: Any = CODES.astype(np.float32)
    codes = torch.from_numpy(codes) if kind == "tensor" else codes
    result = score(codes, LABELS, codes=True, gallery=codes, gallery_labels=LABELS)
    assert (np.asarray(codes) == CODES).all()
    assert result.overall == score(CODES, LABELS, codes=True, gallery=CODES, gallery_labels=LABELS).overall


def test_a_class_with_one_scene_is_skipped_and_counted() -> None:
    result = score(ROWS, [0, 0, 0, 1, 1, 2])
    assert (result.queries, result.skipped) == (5, 1)
    assert list(result.per_class) == ["0", "1"]


def test_large_values_are_fine_where_nothing_overflows() -> None:
    rows = (ROWS * 1e30).astype(np.float32)
    assert score(rows, LABELS).overall == pytest.approx(score(ROWS.astype(np.float32), LABELS).overall, abs=1e-6)


@pytest.mark.parametrize(
    ("similarity", "scale", "dtype"),
    [
        ("pearson", 2.0**-480, "f8"),
        ("euclidean", 2.0**-480, "f8"),
        ("cosine", 2.0**-120, "f4"),
        ("inner product", 2.0**-50, "f4"),
        ("inner product", 2.0**-480, "f8"),
    ],
)
def test_small_values_are_fine_where_nothing_underflows(similarity: str, scale: float, dtype: str) -> None:
    rows = ROWS.astype(dtype)
    small = (rows * scale).astype(dtype)
    assert score(small, LABELS, similarity=similarity).overall == score(rows, LABELS, similarity=similarity).overall
