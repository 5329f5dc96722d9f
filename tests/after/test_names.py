"""Post-processing by name: what a word means, and one line where it means nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from test_definitions import some_rows

from rsir_bench import score
from rsir_bench.base.errors import UserError
from rsir_bench.ranking.after import PostProcessing, Processed, Vectors, number
from rsir_bench.ranking.after.expansion import QueryExpansion
from rsir_bench.ranking.after.named import SHIPPED, named


@pytest.mark.parametrize(
    ("text", "whole", "label"),
    [
        ("aqe", "aqe:10,3", "aQE 10,3 (transductive)"),
        ("aqe:5,0.5", "aqe:5,0.5", "aQE 5,0.5 (transductive)"),
        ("dba", "dba:10,3", "DBA 10,3 (transductive)"),
        ("dba-gallery:4,2", "dba-gallery:4,2", "DBA of the gallery 4,2 (transductive)"),
        ("kreciprocal", "kreciprocal:20,6,0.3", "k-reciprocal 20,6,0.3 (transductive)"),
        ("diffusion", "diffusion:50,3,0.99", "diffusion 50,3,0.99 (transductive)"),
        ("pca:64", "pca:64", "PCA of the target 64 (transductive)"),
        ("whiten:128", "whiten:128", "whitening on the target 128 (transductive)"),
        ("whiten:1234567", "whiten:1234567", "whitening on the target 1234567 (transductive)"),
        ("aqe:10,.99999951", "aqe:10,0.99999951", "aQE 10,0.99999951 (transductive)"),
        ("aqe:10,1e-7", "aqe:10,1e-07", "aQE 10,1e-07 (transductive)"),
    ],
)
def test_a_word_means_one_post_processing(text: str, whole: str, label: str) -> None:
    found = named(text)
    assert (str(found), found.label) == (whole, label)
    assert named(whole) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("aqee:10,3", "unknown; did you mean 'aqe'? known: aqe, dba, dba-gallery, diffusion, kreciprocal, pca, whiten"),
        ("k-reciprocal", "unknown; did you mean 'kreciprocal'?"),
        ("", "unknown; known: aqe"),
        ("aqe:10", "1 values, expected 2; write aqe:n,alpha"),
        ("aqe:10,3,4", "3 values, expected 2; write aqe:n,alpha"),
        ("whiten:", "dimensions '' is not a whole number"),
        ("kreciprocal:20,6", "2 values, expected 3; write kreciprocal:k1,k2,weight"),
        ("aqe:ten,3", "n 'ten' is not a whole number"),
        ("aqe:2.5,3", "n '2.5' is not a whole number"),
        ("aqe:10,x", "alpha 'x' is not a number"),
        ("aqe:0,3", "n 0 must be at least 1"),
        ("aqe:10,-1", "alpha -1 must be at least 0"),
        ("aqe:10,nan", "alpha nan is not a number"),
        ("aqe:10,inf", "alpha inf is not a number"),
        ("kreciprocal:20,6,1.5", "weight 1.5 must be at least 0 and at most 1"),
        ("diffusion:50,3,1", "alpha 1 must be at least 0.8 and below 1"),
        ("diffusion:50,3,0.5", "alpha 0.5 must be at least 0.8 and below 1"),
    ],
)
def test_a_word_that_means_nothing_is_one_line(text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        named(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("after", "message"),
    [
        ("aqe:30,3", "after aqe:30,3: 30 neighbours need 31 scenes, and the gallery has 30; give smaller values"),
        ("dba:29,3", "29 neighbours need 31 scenes"),
        ("dba-gallery:29,3", "29 neighbours need 31 scenes"),
        ("kreciprocal:30,6,0.3", "k1 30 and k2 6 need 31 scenes"),
        ("kreciprocal:5,31,0.3", "k1 5 and k2 31 need 31 scenes"),
        ("diffusion", "k 50 needs 51 scenes"),
        ("whiten:30", "30 components need 31 scenes"),
        ("whiten:25", "descriptors of 24 values have 23 components in this gallery; give fewer"),
    ],
)
def test_values_that_are_too_large_for_the_gallery(after: str, message: str) -> None:
    rows, labels = some_rows(scenes=30)
    with pytest.raises(UserError) as caught:
        score(rows, labels, after=after)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("after", ["aqe:29,3", "dba:28,3", "kreciprocal:29,30,0.3", "diffusion:29,3,.9", "whiten:23"])
def test_the_largest_values_that_fit(after: str) -> None:
    rows, labels = some_rows(scenes=30)
    assert 0 < score(rows, labels, after=after).overall["mAP"] < 1


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_what_it_is_not_defined_for_is_refused(name: str) -> None:
    rows, labels = some_rows()
    after = f"{name}:8" if name in ("pca", "whiten") else name
    for similarity in ("euclidean", "inner product"):
        with pytest.raises(UserError, match=f"compared by {similarity}; {name} is defined for pearson and cosine"):
            score(rows, labels, similarity=similarity, after=after)
    if name != "kreciprocal":
        with pytest.raises(UserError, match=f"a binary row; {name} works on real values; omit it"):
            score(rows > 0, labels, codes=True, after=after)


def test_codes_have_no_hamming_ball_after_post_processing() -> None:
    rows, labels = some_rows()
    with pytest.raises(UserError, match="P@H2"):
        score(rows > 0, labels, codes=True, metrics=["mAP", "P@H2"], after="kreciprocal")


def test_values_are_checked_in_python_too() -> None:
    with pytest.raises(UserError, match="n 0 must be at least 1"):
        QueryExpansion(n=0)
    with pytest.raises(UserError, match="n True is not a whole number"):
        QueryExpansion(n=True)


def test_a_query_that_differs_from_its_row_of_the_gallery_is_refused_where_it_is_one_scene() -> None:
    rows, labels = some_rows()
    for after in ("kreciprocal:9,4,.3", "diffusion:9,3,.9"):
        with pytest.raises(UserError, match="own: a query differs from its row of the gallery"):
            score(
                rows + 1e-3,
                labels,
                similarity="cosine",
                gallery=rows,
                gallery_labels=labels,
                own=np.arange(90),
                after=after,
            )


# --- a user's kind ---


@dataclass(frozen=True)
class Manhattan(PostProcessing):
    """Another similarity: the sum of absolute differences."""

    name: ClassVar[str] = "manhattan"
    title: ClassVar[str] = "Manhattan"
    transductive: ClassVar[bool] = False
    similarities: ClassVar[tuple[str, ...]] = ("pearson", "cosine", "euclidean")

    def apply(self, given: Vectors) -> Processed:
        """Return distances that replace those of the scorer."""

        def correct(asked: np.ndarray, distances: np.ndarray) -> None:
            for row, query in zip(distances, given.queries[asked], strict=True):
                row[:] = np.abs(given.gallery - query).sum(axis=1)

        return Processed(correct=correct)


@dataclass(frozen=True)
class Power(PostProcessing):
    """Other rows, compared by another similarity."""

    name: ClassVar[str] = "power"
    title: ClassVar[str] = "signed power"
    exponent: float = number(0.5, least=0)

    def apply(self, given: Vectors) -> Processed:
        """Return signed powers of all values."""
        queries, gallery = (np.sign(rows) * np.abs(rows) ** self.exponent for rows in (given.queries, given.gallery))
        return Processed(queries, gallery, similarity="euclidean")


def test_a_similarity_of_the_users_own() -> None:
    rows, labels = some_rows()
    found = score(rows, labels, after=Manhattan())
    similarities = -np.abs(rows[:, None] - rows[None]).sum(axis=2)
    import plain

    assert found.per_query["mAP"] == pytest.approx(plain.average_precision(similarities, labels), abs=1e-9)
    assert Manhattan().label == "Manhattan"


def test_rows_of_the_users_own_under_another_similarity() -> None:
    rows, labels = some_rows()
    after = named("power:0.25", {"power": Power})
    assert after.label == "signed power 0.25 (transductive)"
    powers = np.sign(rows) * np.abs(rows) ** 0.25
    expected = score(powers, labels, similarity="euclidean").per_query["mAP"]
    assert score(rows, labels, after=after).per_query["mAP"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("processed", "message"),
    [
        (Processed(gallery=np.zeros((3, 4))), r"returns gallery of shape \(3, 4\) for 90 scenes; fix it"),
        (Processed(queries=np.zeros(90)), r"returns queries of shape \(90,\) for 90 scenes; fix it"),
        (Processed(queries=np.full((90, 24), np.nan)), "returns queries that are not finite; fix it"),
        (
            Processed(queries=np.ones((90, 24)), similarity="hamming"),
            "rows compared under 'hamming'; name one of pearson",
        ),
        (Processed(queries=[[0.0] * 24] * 90), "returns queries that are no NumPy array of float32 or float64; fix it"),
        (Processed(gallery=np.zeros((90, 24), object)), "returns gallery that are no NumPy array"),
        (Processed(queries=np.zeros((90, 5))), "returns queries of 5 columns and a gallery of 24; fix it"),
    ],
)
def test_what_does_not_fit_is_one_line(processed: Processed, message: str) -> None:
    @dataclass(frozen=True)
    class Wrong(PostProcessing):
        name: ClassVar[str] = "wrong"
        title: ClassVar[str] = "wrong"

        def apply(self, given: Vectors) -> Processed:
            return processed

    rows, labels = some_rows()
    with pytest.raises(UserError, match=message):
        score(rows, labels, after=Wrong())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_it_writes_into_what_is_given_changes_nothing_of_the_caller(dtype: type) -> None:
    @dataclass(frozen=True)
    class Careless(PostProcessing):
        name: ClassVar[str] = "careless"
        title: ClassVar[str] = "careless"

        def apply(self, given: Vectors) -> Processed:
            given.gallery[:] = 1
            given.queries[:] = 1
            return Processed()

    rows, labels = some_rows()
    rows = rows.astype(dtype)
    before = rows.copy()
    score(rows, labels, after=Careless())
    score(rows[:40], labels[:40], gallery=rows, gallery_labels=labels, after=Careless())
    assert np.array_equal(rows, before)


def test_a_similarity_alone_ranks_the_same_rows_by_it() -> None:
    @dataclass(frozen=True)
    class Nearest(PostProcessing):
        name: ClassVar[str] = "nearest"
        title: ClassVar[str] = "nearest"

        def apply(self, given: Vectors) -> Processed:
            return Processed(similarity="euclidean")

    rows, labels = some_rows()
    found, expected = score(rows, labels, after=Nearest()), score(rows, labels, similarity="euclidean")
    assert found.per_query["mAP"] == pytest.approx(expected.per_query["mAP"], abs=1e-12)
    assert found.overall != score(rows, labels).overall


@pytest.mark.parametrize(
    ("far", "words"),
    [
        (np.inf, "that are NaN or infinite; write finite ones"),
        (np.nan, "that are NaN or infinite; write finite ones"),
        (np.finfo(np.float64).max, r"beyond 4\.5e\+307; write smaller ones"),
        (-np.finfo(np.float64).max, r"beyond 4\.5e\+307; write smaller ones"),
    ],
)
@pytest.mark.parametrize("several", [False, True])
def test_distances_that_cannot_be_ranked_are_refused(far: float, words: str, several: bool) -> None:
    @dataclass(frozen=True)
    class Unreachable(PostProcessing):
        name: ClassVar[str] = "unreachable"
        title: ClassVar[str] = "unreachable"

        def apply(self, given: Vectors) -> Processed:
            def correct(asked: np.ndarray, distances: np.ndarray) -> None:
                distances[distances > np.median(distances)] = far

            return Processed(correct=correct)

    rows, labels = some_rows()
    given = np.eye(labels.max() + 1, dtype=int)[labels] if several else labels
    with pytest.raises(UserError, match=rf"correct\(\) writes distances {words}"):
        score(rows, given, after=Unreachable())
