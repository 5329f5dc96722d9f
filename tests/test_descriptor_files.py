"""Descriptors, labels and query lists from files, their scores, and the table that ``score`` prints."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rsir_bench.base.errors import UserError
from rsir_bench.cli.score import as_table
from rsir_bench.ranking import score
from rsir_bench.ranking.descriptor_files import read_labels, read_queries, score_files
from rsir_bench.ranking.files.descriptors import read_descriptors

ROWS = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
LABELS = np.array(["field", "river", "harbour", "forest"])[np.random.default_rng(1).integers(0, 4, 40)]


def write(path: Path, **arrays: np.ndarray) -> Path:
    """Writes arrays in the format that the path's suffix names."""
    if path.suffix == ".npy":
        np.save(path, next(iter(arrays.values())))
    elif path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        columns = {name: list(array) if array.ndim == 2 else array for name, array in arrays.items()}
        pd.DataFrame(columns).to_parquet(path)
    return path


def damage(path: Path, old: bytes, new: bytes) -> None:
    """Overwrites some bytes of a file, which must be there."""
    contents = path.read_bytes()
    assert old in contents
    path.write_bytes(contents.replace(old, new))


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_descriptors_and_labels_in_one_file(tmp_path: Path, suffix: str) -> None:
    contents = read_descriptors(write(tmp_path / f"a{suffix}", descriptors=ROWS, labels=LABELS))
    assert np.array_equal(contents.descriptors, ROWS)
    assert contents.labels is not None
    assert contents.labels.tolist() == LABELS.tolist()


def test_a_single_array_may_have_any_name(tmp_path: Path) -> None:
    for path in (write(tmp_path / "a.npy", x=ROWS), write(tmp_path / "a.npz", x=ROWS)):
        contents = read_descriptors(path)
        assert np.array_equal(contents.descriptors, ROWS)
        assert contents.labels is None


def test_parquet_with_one_column_per_dimension(tmp_path: Path) -> None:
    table = pd.DataFrame(ROWS, columns=[f"d{i}" for i in range(6)])
    table["label"], table["file"] = LABELS, [f"{i}.tif" for i in range(40)]
    table.to_parquet(tmp_path / "a.parquet")
    contents = read_descriptors(tmp_path / "a.parquet")
    assert np.array_equal(contents.descriptors, ROWS)
    assert contents.labels is not None
    assert contents.labels.tolist() == LABELS.tolist()


def test_labels_and_queries(tmp_path: Path) -> None:
    (tmp_path / "y.txt").write_text("\n".join(LABELS) + "\n", encoding="utf-8")
    paths = [tmp_path / "y.txt", *(write(tmp_path / f"y{suffix}", labels=LABELS) for suffix in (".npy", ".npz"))]
    for path in paths:
        assert read_labels(path).tolist() == LABELS.tolist()
    (tmp_path / "q.txt").write_text("3\n1\n", encoding="utf-8")
    assert read_queries(tmp_path / "q.txt").tolist() == [3, 1]
    assert read_queries(write(tmp_path / "q.npy", q=np.array([3, 1]))).tolist() == [3, 1]


def test_files_score_as_their_arrays_do(tmp_path: Path) -> None:
    descriptors, labels = write(tmp_path / "x.npy", x=ROWS), write(tmp_path / "y.npy", y=LABELS)
    queries = write(tmp_path / "q.npy", q=np.array([5, 2, 9]))
    expected = score(ROWS, LABELS, similarity="cosine", queries=[5, 2, 9])
    assert score_files(descriptors, labels, similarity="cosine", queries=queries).as_dict() == expected.as_dict()


def test_codes_in_files(tmp_path: Path) -> None:
    labels = write(tmp_path / "y.npy", y=LABELS)
    plain = write(tmp_path / "plain.npy", x=ROWS > 0)
    packed = write(tmp_path / "packed.npy", x=np.packbits(ROWS > 0, axis=1))
    expected = score(ROWS > 0, LABELS, codes=True).as_dict()
    assert score_files(plain, labels, codes=True).as_dict() == expected
    assert score_files(packed, labels, codes=True, bits=6).as_dict() == expected


def test_the_table_shows_classes_ties_and_what_was_left_out(tmp_path: Path) -> None:
    labels = np.array(["field"] * 20 + ["river"] * 19 + ["lake"])
    rows = ROWS.copy()
    rows[:2] = 0.5
    text = as_table(score_files(write(tmp_path / "a.npz", descriptors=rows, labels=labels)))
    overall = score(rows, labels).overall
    assert f"{overall['mAP']:.4f}" in text
    assert [line.split("  ")[0] for line in text.splitlines()[2:7]] == [
        "all queries",
        "least, by ties",
        "greatest, by ties",
        "field",
        "river",
    ]
    summary = (
        "39 queries; 1 skipped: no other scene of their class; 2 constant descriptors: similarity 0 to every scene"
    )
    assert summary in text.splitlines()
    assert "by ties" not in as_table(score_files(write(tmp_path / "b.npz", descriptors=ROWS, labels=LABELS)))


def test_unreadable_files_are_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty.npy").touch()
    (tmp_path / "text.npz").write_text("no archive", encoding="utf-8")
    (tmp_path / "text.parquet").write_text("no table", encoding="utf-8")
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    write(tmp_path / "two.npz", first=ROWS, second=ROWS)
    write(tmp_path / "words.parquet", label=LABELS, name=LABELS)
    pd.DataFrame({"descriptors": [[1.0, 2.0], [1.0]]}).to_parquet(tmp_path / "ragged.parquet")
    pd.DataFrame({"descriptors": [[1.0, 2.0], None]}).to_parquet(tmp_path / "null.parquet")
    pd.DataFrame({"descriptors": [None, [1.0, 2.0]]}).to_parquet(tmp_path / "null first.parquet")
    damage(write(tmp_path / "header.npy", x=ROWS), b"(40, 6)", b"(40, 6(")
    damage(write(tmp_path / "huge.npy", x=ROWS), b"(40, 6), }         ", b"(40, 6000000000), }")
    damage(write(tmp_path / "quote.npy", x=ROWS), b"'descr'", b"'descr ")
    np.savez_compressed(tmp_path / "damaged.npz", x=np.zeros((9, 9)))
    contents = (tmp_path / "damaged.npz").read_bytes()
    damage(tmp_path / "damaged.npz", contents[60:64], b"\xff" * 4)
    entry = re.search(rb"PK\x01\x02.{4}", write(tmp_path / "encrypted.npz", x=ROWS).read_bytes(), re.DOTALL)
    assert entry is not None
    damage(tmp_path / "encrypted.npz", entry[0] + b"\0", entry[0] + b"\1")  # the flag of encryption
    expected = {
        "missing.npy": "no such file",
        "missing.parquet": "no such file",
        "scenes.pt": "unknown format",
        "empty.npy": "cannot be read",
        "text.npz": "cannot be read",
        "text.parquet": "cannot be read",
        "objects.npy": "saved as Python objects",
        "two.npz": "holds first, second",
        "words.parquet": "no numeric column",
        "ragged.parquet": "differ in length",
        "null.parquet": "are missing",
        "null first.parquet": "are missing",
        "header.npy": "cannot be read",
        "huge.npy": "cannot be read",
        "quote.npy": "cannot be read",
        "damaged.npz": "cannot be read",
        "encrypted.npz": "cannot be read",
    }
    for name, words in expected.items():
        with pytest.raises(UserError) as caught:
            read_descriptors(tmp_path / name)
        assert str(caught.value).startswith(str(tmp_path / name))
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)


def test_lines_are_read_without_byte_order_mark_and_spaces_at_their_ends(tmp_path: Path) -> None:
    (tmp_path / "y.txt").write_text("forest \nforest\n river\t\nstädtisch\n", encoding="utf-8-sig")
    assert read_labels(tmp_path / "y.txt").tolist() == ["forest", "forest", "river", "städtisch"]
    (tmp_path / "q.txt").write_text("3 \n1\n", encoding="utf-8-sig")
    assert read_queries(tmp_path / "q.txt").tolist() == [3, 1]


def test_lines_are_read_as_their_byte_order_mark_says(tmp_path: Path) -> None:
    (tmp_path / "y.txt").write_text("forest\nstädtisch\n", encoding="utf-16")
    assert read_labels(tmp_path / "y.txt").tolist() == ["forest", "städtisch"]


def test_lines_in_another_encoding_are_refused(tmp_path: Path) -> None:
    (tmp_path / "y.txt").write_text("städtisch\n", encoding="latin-1")
    with pytest.raises(UserError, match=r"y\.txt: no text in UTF-8 at byte 2; save it as UTF-8"):
        read_labels(tmp_path / "y.txt")


def test_missing_labels_and_odd_queries(tmp_path: Path) -> None:
    descriptors = write(tmp_path / "x.npy", x=ROWS)
    with pytest.raises(UserError, match="holds no labels; name a file of labels with --labels"):
        score_files(descriptors)
    for line in ("first", "99999999999999999999"):
        (tmp_path / "q.txt").write_text(f"{line}\n", encoding="utf-8")
        with pytest.raises(UserError, match="expected one index per line"):
            read_queries(tmp_path / "q.txt")
    with pytest.raises(UserError, match="name the right one 'labels'"):
        read_labels(write(tmp_path / "two.npz", first=LABELS, second=LABELS))
    with pytest.raises(UserError, match="no such file"):
        read_labels(tmp_path / "y.txt")


def table(path: Path, **columns: object) -> Path:
    """A table with the descriptors in columns f0 to f5, and others."""
    frame = pd.DataFrame(ROWS, columns=[f"f{i}" for i in range(6)])
    frame.assign(**columns).to_parquet(path)
    return path


@pytest.mark.parametrize("name", ["time", "target", "f", "year", "f6x"])
@pytest.mark.parametrize("values", [np.arange(40), np.arange(40) / 2], ids=["whole", "real"])
def test_a_column_beside_the_block_is_no_dimension(
    tmp_path: Path, name: str, values: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    assert np.array_equal(read_descriptors(table(tmp_path / "a.parquet", **{name: values})).descriptors, ROWS)
    assert f"descriptors are f0 to f5; left out: {name}" in caplog.text


def test_a_column_of_lists_beside_others_is_the_descriptors(tmp_path: Path) -> None:
    contents = read_descriptors(write(tmp_path / "a.parquet", vectors=ROWS, id=np.arange(40), labels=LABELS))
    assert np.array_equal(contents.descriptors, ROWS)


def test_dimensions_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    wide = np.random.default_rng(2).normal(size=(40, 12))
    frame = pd.DataFrame(wide, columns=[f"f{i}" for i in range(12)])
    frame[sorted(frame.columns)].to_parquet(tmp_path / "a.parquet")
    assert np.array_equal(read_descriptors(tmp_path / "a.parquet").descriptors, wide)


@pytest.mark.parametrize(
    ("words", "columns"),
    [
        ("f6 of int64", {"f6": np.arange(40)}),
        ("lack number 6", {"f7": ROWS[:, 0]}),
        ("several numbered blocks (f0 to f5, g0 to g1)", {"g0": ROWS[:, 0], "g1": ROWS[:, 1]}),
        ("columns f1 and f01 have the same number", {"f01": ROWS[:, 0]}),
    ],
)
def test_a_block_that_is_not_clear_is_refused(tmp_path: Path, words: str, columns: dict[str, np.ndarray]) -> None:
    with pytest.raises(UserError) as caught:
        read_descriptors(table(tmp_path / "a.parquet", **columns))
    assert words in str(caught.value)


def test_columns_without_numbers_are_no_dimensions(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="numeric columns mean, spread are not numbered"):
        read_descriptors(write(tmp_path / "a.parquet", mean=ROWS[:, 0], spread=ROWS[:, 1], label=LABELS))


@pytest.mark.parametrize("names", [("descriptors", "codes"), ("descriptors", "label", "labels")])
def test_two_arrays_of_one_meaning_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match="keep one of them"):
        read_descriptors(write(tmp_path / "a.npz", **dict.fromkeys(names, ROWS)))


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_pickled_labels_name_the_remedy(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"y{suffix}", labels=LABELS.astype(object))
    with pytest.raises(UserError, match=r"saved as Python objects.*y\.astype\(str\)"):
        read_labels(path)


def test_categories_and_codes_in_files(tmp_path: Path) -> None:
    pd.DataFrame({"label": pd.Categorical(LABELS)}).to_parquet(tmp_path / "y.parquet")
    expected = score(ROWS, LABELS).as_dict()
    assert score_files(write(tmp_path / "x.npy", x=ROWS), tmp_path / "y.parquet").as_dict() == expected
    packed = write(tmp_path / "packed.npy", x=np.packbits(ROWS > 0, axis=1, bitorder="little"))
    codes = score(ROWS > 0, LABELS, codes=True).as_dict()
    labels = tmp_path / "y.parquet"
    assert score_files(packed, labels, codes=True, bits=6, bit_order="little").as_dict() == codes


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";"])
@pytest.mark.parametrize("header", [True, False])
def test_csv_as_spreadsheets_write_it(tmp_path: Path, encoding: str, separator: str, header: bool) -> None:
    frame = pd.DataFrame(np.asarray(ROWS, dtype=np.float64), columns=[f"f{n}" for n in range(np.shape(ROWS)[1])])
    text = frame.to_csv(index=False, sep=separator, header=header, lineterminator="\r\n")
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    assert np.allclose(read_descriptors(tmp_path / "a.csv").descriptors, ROWS)


def test_labels_in_csv_stay_apart_and_none_is_taken_for_a_header(tmp_path: Path) -> None:
    (tmp_path / "y.csv").write_text("beach\nNA\n01\n1\n")
    assert list(read_labels(tmp_path / "y.csv")) == ["beach", "NA", "01", "1"]
    (tmp_path / "h.csv").write_text("label\n01\n1\n")
    assert list(read_labels(tmp_path / "h.csv")) == ["01", "1"]
    (tmp_path / "t.csv").write_text("f0,f1,label\n0.5,1,01\n0.5,2,1\n")
    contents = read_descriptors(tmp_path / "t.csv")
    assert list(contents.labels) == ["01", "1"]


@pytest.mark.parametrize("heading", ["filename", "image_id"])
@pytest.mark.parametrize("classes", [2, 4])
def test_classes_beside_a_column_of_bits_are_one_label_per_scene(tmp_path: Path, heading: str, classes: int) -> None:
    labels = np.arange(40) % classes
    table = pd.DataFrame({heading: np.arange(40), "label": labels, "split": np.arange(40) // 20})
    table.to_csv(tmp_path / "y.csv", index=False)
    np.save(tmp_path / "x.npy", ROWS)
    assert score_files(tmp_path / "x.npy", tmp_path / "y.csv").overall == score(ROWS, labels).overall


@pytest.mark.parametrize("separator", [",", ";"])
def test_blanks_at_the_ends_of_cells_in_csv_split_no_class(tmp_path: Path, separator: str) -> None:
    order = np.random.default_rng(2).permutation(40)
    ends = [" ", "", "\t", "  "]
    lines = [f" s{row}{ends[row % 4]}{separator}{LABELS[row]}{ends[row % 3]}" for row in order]
    (tmp_path / "y.csv").write_text("\n".join([f"id {separator} label ", *lines]) + "\n")
    np.savez(tmp_path / "x.npz", ids=[f"s{row}" for row in range(40)], descriptors=ROWS)
    found = score_files(tmp_path / "x.npz", tmp_path / "y.csv")
    assert set(found.per_class) == {*LABELS.tolist()}
    assert found.overall == pytest.approx(score(ROWS, LABELS).overall)
    words = [f"{LABELS[row]}{ends[row % 3]}" for row in range(40)]
    for name in ("one.csv", "one.txt"):
        (tmp_path / name).write_text("\n".join(words) + "\n")
        assert read_labels(tmp_path / name).tolist() == LABELS.tolist()
    cells = [f"{0.5 + row} {separator}{1.5 - row} {separator}{words[row]}" for row in range(40)]
    (tmp_path / "x.csv").write_text("\n".join([separator.join(["f0 ", "f1 ", "label "]), *cells]) + "\n")
    contents = read_descriptors(tmp_path / "x.csv")
    assert contents.labels is not None
    assert contents.labels.tolist() == LABELS.tolist()
    assert contents.descriptors.tolist() == [[0.5 + row, 1.5 - row] for row in range(40)]
    (tmp_path / "y.csv").write_text(f"id{separator} label \na{separator}01 \nb{separator}1\n")
    assert read_labels(tmp_path / "y.csv").tolist() == ["01", "1"]


@pytest.mark.parametrize("heading", ["id", "ids", "filename", "file_name", "file"])
def test_ids_and_file_names_in_csv_keep_their_zeros(tmp_path: Path, heading: str) -> None:
    names, order = [f"{number:03}" for number in range(40)], np.random.default_rng(2).permutation(40)
    np.savez(tmp_path / "x.npz", ids=np.array(names), descriptors=ROWS)
    lines = [f"{names[row]},{LABELS[row]}" for row in order]
    (tmp_path / "y.csv").write_text("\n".join([f"{heading},label", *lines]) + "\n")
    expected = score(ROWS, LABELS).overall
    assert score_files(tmp_path / "x.npz", tmp_path / "y.csv").overall == pytest.approx(expected)


@pytest.mark.parametrize("rows", ["1.5,2.5,3.5,\n4.5,5.5,6.5,", "7,1.5,2.5,3.5\n8,4.5,5.5,6.5"])
def test_lines_with_more_cells_than_the_header_are_refused(tmp_path: Path, rows: str) -> None:
    (tmp_path / "x.csv").write_text(f"f0,f1,f2\n{rows}\n")  # pandas would take the first cells for names of rows
    with pytest.raises(UserError, match="lines have more cells than the first one"):
        read_descriptors(tmp_path / "x.csv")


def test_two_columns_of_one_name_in_csv_are_refused(tmp_path: Path) -> None:
    (tmp_path / "y.csv").write_text("label,label\nbeach,sea\nsea,beach\n")
    with pytest.raises(UserError, match="several columns are called label; rename them"):
        read_labels(tmp_path / "y.csv")


@pytest.mark.parametrize(
    ("name", "lines", "said"),
    [
        ("f2", "f0,f1,f2\n1.5,2.5,3.5\n4.5,5.5,nan", "row 1 has 'nan'"),
        ("f0", "f0,f1,f2\n#N/A,2.5,3.5\n4.5,5.5,6.5", "row 0 has '#N/A'"),
        ("f1", "f0,f1,f2\n1.5,nan,3.5\n4.5,5.5,6.5", "row 0 has 'nan'"),  # the others have a gap
        ("f1", "f0,f1\n1.5,2.5\n4.5,nan", "row 1 has 'nan'"),  # a single one is no block
        ("f2", "f0,f1,f2,f3\n1.5,2.5,3.5,4.5\n4.5,5.5", "row 1 has"),  # the file ends within a line
    ],
)
def test_a_dimension_that_is_damaged_is_not_left_out(tmp_path: Path, name: str, lines: str, said: str) -> None:
    (tmp_path / "x.csv").write_text(f"{lines}\n")
    with pytest.raises(UserError) as caught:
        read_descriptors(tmp_path / "x.csv")
    assert f"column {name} is numbered like the dimensions, but {said}" in str(caught.value)


def test_a_numbered_column_of_words_is_no_dimension(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "x.csv").write_text("s1,1.5,2.5\ns2,4.5,5.5\n")  # without a header: columns 0, 1 and 2
    assert np.array_equal(read_descriptors(tmp_path / "x.csv").descriptors, [[1.5, 2.5], [4.5, 5.5]])
    assert "descriptors are 1 to 2; left out: 0" in caplog.text


@pytest.mark.parametrize("heading", ["image", "scene", "path", "name"])
def test_scenes_under_other_headings_are_matched_by_name(tmp_path: Path, heading: str) -> None:
    names, order = [f"{number:03}" for number in range(40)], np.random.default_rng(2).permutation(40)
    np.savez(tmp_path / "x.npz", ids=np.array(names), descriptors=ROWS)
    lines = [f"{names[row]},{LABELS[row]}" for row in order]
    (tmp_path / "y.csv").write_text("\n".join([f"{heading},label", *lines]) + "\n")
    assert score_files(tmp_path / "x.npz", tmp_path / "y.csv").overall == pytest.approx(score(ROWS, LABELS).overall)


def test_ids_in_the_index_of_parquet_are_ids(tmp_path: Path) -> None:
    names, order = [f"s{number}" for number in range(40)], np.random.default_rng(2).permutation(40)
    frame = pd.DataFrame(ROWS, columns=[f"f{i}" for i in range(6)], index=pd.Index(names, name="id"))
    frame.to_parquet(tmp_path / "x.parquet")
    pd.DataFrame({"label": LABELS}, index=frame.index).iloc[order].to_parquet(tmp_path / "y.parquet")
    found = score_files(tmp_path / "x.parquet", tmp_path / "y.parquet")
    assert found.overall == pytest.approx(score(ROWS, LABELS).overall)


@pytest.mark.parametrize(
    "names",
    [
        [f"s{number}" for number in range(40)],
        np.arange(40) * 3 + 7,
        list(range(40)),
        pd.RangeIndex(39, -1, -1),
        pd.RangeIndex(10, 50),
    ],
    ids=["words", "numbers", "numbers from 0", "reversed", "part"],
)
def test_an_unnamed_index_of_parquet_is_ids(tmp_path: Path, names: Any, caplog: pytest.LogCaptureFixture) -> None:
    order = np.random.default_rng(2).permutation(40)
    frame = pd.DataFrame(ROWS, index=names).add_prefix("f")
    frame.to_parquet(tmp_path / "x.parquet")
    pd.DataFrame({"label": LABELS}, index=names).iloc[order].to_parquet(tmp_path / "y.parquet")
    found = score_files(tmp_path / "x.parquet", tmp_path / "y.parquet")
    assert found.overall == pytest.approx(score(ROWS, LABELS).overall)
    assert found.overall["mAP"] != pytest.approx(score(ROWS, LABELS[order]).overall["mAP"], abs=1e-3)
    assert not caplog.text
    assert np.array_equal(read_descriptors(tmp_path / "x.parquet").descriptors, ROWS)


def test_an_index_that_only_counts_or_stands_beside_file_names_is_no_ids(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    x, y, order = tmp_path / "x.parquet", tmp_path / "y.parquet", np.random.default_rng(2).permutation(40)
    pd.DataFrame(ROWS).add_prefix("f").to_parquet(x)
    assert read_descriptors(x).ids is None
    labels = pd.DataFrame({"label": LABELS})
    labels.iloc[order].to_parquet(y)
    assert score_files(x, y).overall == pytest.approx(score(ROWS, LABELS[order]).overall)
    assert "y.parquet: its ids are not used, as" in caplog.text
    names = [f"{number}.tif" for number in range(40)]
    pd.DataFrame(ROWS).add_prefix("f").assign(filename=names).sample(frac=1, random_state=3).to_parquet(x)
    labels.assign(file=names).sample(frac=1, random_state=4).reset_index(drop=True).to_parquet(y)
    assert score_files(x, y).overall == pytest.approx(score(ROWS, LABELS).overall)


def test_an_index_that_repeats_itself_is_no_ids(tmp_path: Path) -> None:
    x, y, twice = tmp_path / "x.parquet", tmp_path / "y.parquet", [*range(20), *range(20)]
    pd.DataFrame(ROWS, index=twice).add_prefix("f").to_parquet(x)  # as of pd.concat
    labels = pd.DataFrame({"label": LABELS}, index=twice)
    labels.to_parquet(y)
    assert score_files(x, y).overall == pytest.approx(score(ROWS, LABELS).overall)
    labels.iloc[::-1].to_parquet(y)
    with pytest.raises(UserError, match="both have 'index', but their rows would be matched by their order"):
        score_files(x, y)


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".parquet"])
@pytest.mark.parametrize("heading", ["image_id", "Unnamed: 0"])
def test_whole_numbers_that_both_files_have_must_agree_row_by_row(tmp_path: Path, suffix: str, heading: str) -> None:
    order = np.random.default_rng(2).permutation(40)
    x, y = tmp_path / f"x{suffix}", tmp_path / f"y{suffix}"

    def written(path: Path, order: np.ndarray, **arrays: np.ndarray) -> None:
        arrays = {heading: np.arange(40)[order], **{name: array[order] for name, array in arrays.items()}}
        if suffix == ".npz":
            np.savez(path, **arrays)
        elif suffix == ".csv":
            if "descriptors" in arrays:
                arrays |= {f"f{number}": column for number, column in enumerate(arrays.pop("descriptors").T)}
            pd.DataFrame(arrays).to_csv(path, index=False)
        else:
            write(path, **arrays)

    written(x, np.arange(40), descriptors=ROWS.astype(np.float64))
    written(y, np.arange(40), label=LABELS)
    assert score_files(x, y).overall == pytest.approx(score(ROWS, LABELS).overall)
    written(y, order, label=LABELS)
    with pytest.raises(UserError, match=f"both have '{heading}', but their rows would be matched by their order"):
        score_files(x, y)


def test_numbers_that_are_dimensions_or_no_whole_ones_are_not_compared(tmp_path: Path) -> None:
    codes = np.random.default_rng(3).integers(0, 2, (40, 6))
    pd.DataFrame(codes).rename(columns=str).assign(share=ROWS[:, 0]).to_parquet(tmp_path / "x.parquet")
    classes = np.arange(40) % 4
    pd.DataFrame(classes).rename(columns=str).to_parquet(tmp_path / "y.parquet")  # labels called "0"
    expected = score(codes, classes, codes=True).overall
    assert score_files(tmp_path / "x.parquet", tmp_path / "y.parquet", codes=True).overall == pytest.approx(expected)
    pd.DataFrame({"label": classes, "share": ROWS[:, 1]}).to_parquet(tmp_path / "y.parquet")
    assert score_files(tmp_path / "x.parquet", tmp_path / "y.parquet", codes=True).overall == pytest.approx(expected)


def test_lists_of_labels_in_csv_keep_their_zeros(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("f0,f1,label_list\n0.5,1.5,01\n0.5,2.5,1\n")
    labels = read_descriptors(tmp_path / "t.csv").labels
    assert labels is not None
    assert list(labels) == [["01"], ["1"]]


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".parquet"])
def test_labels_with_ids_are_matched_by_id(suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(0)
    rows, classes = rng.normal(size=(40, 5)), rng.integers(0, 4, 40)
    rows[np.arange(40), classes] += 2
    names, order = np.array([f"s{number:02}.png" for number in range(40)]), rng.permutation(40)
    labels = tmp_path / f"labels{suffix}"
    table = pd.DataFrame({"id": names[order], "label": classes[order]})
    if suffix == ".npz":
        np.savez(labels, ids=names[order], labels=classes[order])
    elif suffix == ".csv":
        table.rename(columns={"id": "filename"}).to_csv(labels, index=False)
    else:
        table.to_parquet(labels)
    np.savez(tmp_path / "named.npz", ids=names, descriptors=rows)
    np.save(tmp_path / "plain.npy", rows)
    found = score_files(tmp_path / "named.npz", labels)
    assert found.overall == pytest.approx(score(rows, classes).overall)
    assert not caplog.text
    in_order = score_files(tmp_path / "plain.npy", labels)
    assert in_order.overall == pytest.approx(score(rows, classes[order]).overall)
    assert "its ids are not used, as" in caplog.text
    np.savez(tmp_path / "other.npz", ids=[f"{name}x" for name in names], descriptors=rows)
    with pytest.raises(UserError, match=r"lacks 40 \(s00\.pngx, .*\) of the 40 ids of .*other\.npz; use the same ids"):
        score_files(tmp_path / "other.npz", labels)
    np.savez(tmp_path / "twice.npz", ids=np.repeat(names[:20], 2), descriptors=rows)
    with pytest.raises(UserError, match=r"twice\.npz: has 20 \(s00\.png, .*\) of its ids more than once"):
        score_files(tmp_path / "twice.npz", labels)


@pytest.fixture
def shuffled(tmp_path: Path) -> Callable[[str, str, str], tuple[Path, Path]]:
    """Writes descriptors and, in another order, labels; each as a table or arrays that name the scenes in a heading."""
    rng = np.random.default_rng(0)
    names, order = np.array([f"s{number:02}" for number in range(40)]), rng.permutation(40)

    def written(suffix: str, ours: str, theirs: str) -> tuple[Path, Path]:
        descriptors, labels = tmp_path / f"x{suffix}", tmp_path / f"y{suffix}"
        if suffix == ".npz":
            np.savez(descriptors, **{ours: names, "descriptors": ROWS})
            np.savez(labels, **{theirs: names[order], "labels": LABELS[order]})
            return descriptors, labels
        tables = pd.DataFrame(ROWS).add_prefix("f"), pd.DataFrame({"label": LABELS[order]})
        for table, heading, values, path in zip(
            tables, (ours, theirs), (names, names[order]), (descriptors, labels), strict=True
        ):
            table.insert(0, heading, values)
            table.to_csv(path, index=False) if suffix == ".csv" else table.to_parquet(path)
        return descriptors, labels

    return written


NAMED = [(".npz", "filename", "ids"), (".npz", "ids", "file_name")]
NAMED += [
    (suffix, ours, theirs)
    for suffix in (".csv", ".parquet")
    for ours in ("id", "file", "name", "image")
    for theirs in ("filename", "path")
]


@pytest.mark.parametrize(("suffix", "ours", "theirs"), NAMED)
def test_descriptors_are_matched_by_whatever_names_their_scenes(
    shuffled: Callable[..., tuple[Path, Path]], suffix: str, ours: str, theirs: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert score_files(*shuffled(suffix, ours, theirs)).overall == pytest.approx(score(ROWS, LABELS).overall)
    assert not caplog.text


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".parquet"])
def test_an_unknown_column_that_both_files_have_is_refused_rather_than_matched_by_row(
    shuffled: Callable[..., tuple[Path, Path]], suffix: str
) -> None:
    descriptors, labels = shuffled(suffix, "tile", "tile")
    with pytest.raises(UserError, match=r"y\..* and .*x\..*: both have 'tile', .*; call it 'id' in both"):
        score_files(descriptors, labels)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_ids_that_the_other_table_lacks_are_said_on_either_side(
    shuffled: Callable[..., tuple[Path, Path]], suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    score_files(*shuffled(suffix, "id", "tile"))
    assert f"x{suffix}: its ids are not used, as" in caplog.text
    caplog.clear()
    score_files(*shuffled(suffix, "tile", "id"))
    assert f"y{suffix}: its ids are not used, as" in caplog.text


def test_what_is_called_codes_is_never_ranked_as_real_numbers(tmp_path: Path) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (30, 16), np.uint8)
    classes = np.arange(30) % 3
    np.savez(tmp_path / "codes.npz", codes=np.packbits(bits, axis=1), labels=classes)
    with pytest.raises(UserError, match="holds codes, which real similarities would rank wrongly; add --codes"):
        score_files(tmp_path / "codes.npz")
    found = score_files(tmp_path / "codes.npz", codes=True, bits=16)
    assert found.overall == score(bits, classes, codes=True).overall


def test_masked_values_are_refused() -> None:
    rows, classes = np.random.default_rng(0).normal(size=(9, 4)), np.arange(9) % 3
    masked = np.ma.masked_array(rows, mask=np.abs(rows) > 2)
    count = int((np.abs(rows) > 2).sum())
    assert count
    with pytest.raises(UserError, match=f"^descriptors: {count} values are masked; fill or drop them$"):
        score(masked, classes)
    with pytest.raises(UserError, match=r"^labels: 3 values are masked"):
        score(rows, np.ma.masked_equal(classes, 1))
    with pytest.raises(UserError, match=r"^labels: 9 values are masked"):
        score(rows, np.ma.masked_equal(np.eye(3, dtype=int)[classes], 1))
    assert score(np.ma.masked_array(rows), classes).overall == score(rows, classes).overall


@pytest.mark.parametrize("form", ["txt", "csv", "npy", "own csv", "own parquet", "own npz"])
def test_labels_with_semicolons_are_several(tmp_path: Path, form: str) -> None:
    names = ["sea;sand", "sea", "sand", "sea; sand", "field", "field;sea"]
    rows = np.random.default_rng(4).normal(size=(6, 3))
    table = pd.DataFrame(dict(zip(("f0", "f1", "f2"), rows.T, strict=True)) | {"label": names})
    labels = None if form.startswith("own") else tmp_path / f"y.{form}"
    path = tmp_path / f"x.{form.removeprefix('own ') if labels is None else 'npy'}"
    {
        "x.npy": lambda: np.save(path, rows),
        "x.npz": lambda: np.savez(path, descriptors=rows, labels=names),
        "x.csv": lambda: table.to_csv(path, index=False),
        "x.parquet": lambda: table.to_parquet(path),
    }[path.name]()
    if form == "npy":
        np.save(tmp_path / "y.npy", names)
    elif labels is not None:
        labels.write_text("\n".join(["labels"] * (form == "csv") + names))
    wanted = score(rows, [[name.strip() for name in one.split(";")] for one in names])
    assert score_files(path, labels).overall == pytest.approx(wanted.overall)


def test_a_class_called_junk_is_no_header(tmp_path: Path) -> None:
    (tmp_path / "y.csv").write_text("junk\nsea\njunk\n")
    assert read_labels(tmp_path / "y.csv").tolist() == ["junk", "sea", "junk"]
