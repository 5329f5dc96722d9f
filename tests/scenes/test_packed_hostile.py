"""Shards of strangers: damage, bombs, links and names that mean no good; each is refused in one line."""

from __future__ import annotations

import gzip
import io
import os
import resource
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from packing import add_member, class_label, hugging_face
from PIL import Image

from rsir_bench.base.errors import SceneError, UserError
from rsir_bench.scenes.index import resolve_dataset
from rsir_bench.scenes.inspect.verify import verify
from rsir_bench.scenes.pixel_cache import Transform, open_pixels
from rsir_bench.scenes.readers.parquet import listing as parquet_listing
from rsir_bench.scenes.readers.parquet import store as parquet_store
from rsir_bench.scenes.readers.parquet.pages import pages_of, read_groups
from rsir_bench.scenes.readers.tar import listing as tar_listing
from rsir_bench.scenes.readers.tar.members import LONGEST_HEAD, Member, members_of

FUZZ = [pytest.param(120), pytest.param(4000, marks=pytest.mark.nightly)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RSIR_BENCH_CACHE", str(tmp_path / "cache"))


def refused(name: str) -> str:
    """The one line by which a dataset is refused."""
    with pytest.raises(UserError) as caught:
        open_pixels(resolve_dataset(name, Path("nowhere")), Transform(4))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def png(value: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(stream, "png")
    return stream.getvalue()


def tar_of(*extra: Callable[[tarfile.TarFile], object], form: int = tarfile.PAX_FORMAT) -> bytes:
    """Four scenes of two classes, and what is added to them."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for number in range(4):
            add_member(archive, f"{number}.png", png(number))
            add_member(archive, f"{number}.cls", str(number % 2).encode())
        for add in extra:
            add(archive)
    return stream.getvalue()


def special(name: str, kind: bytes, target: str = "") -> Callable[[tarfile.TarFile], object]:
    """A member that is no regular file."""

    def add(archive: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        archive.addfile(info)

    return add


def placed(tmp_path: Path, content: bytes, name: str = "0.tar") -> str:
    (tmp_path / "x").mkdir(exist_ok=True)
    (tmp_path / "x" / name).write_bytes(content)
    return f"{name.rpartition('.')[2]}:{tmp_path / 'x'}"


def parquet_of(contents: Any = None, labels: Any = None, paths: Any = None, **options: Any) -> bytes:
    """Four scenes of two classes, as Hugging Face writes them."""
    contents = pa.array([png(number) for number in range(4)]) if contents is None else contents
    labels = pa.array([number % 2 for number in range(len(contents))]) if labels is None else labels
    paths = pa.array([f"{number}.png" for number in range(len(contents))]) if paths is None else paths
    image = pa.StructArray.from_arrays([contents, paths], ["bytes", "path"])
    table = pa.table({"image": image, "label": labels})
    table = table.replace_schema_metadata(hugging_face({"label": class_label(["a", "b"])}))
    stream = io.BytesIO()
    pq.write_table(table, stream, store_schema=False, **options)
    return stream.getvalue()


def tree(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*")}


# --- tar ---


@pytest.mark.parametrize(
    ("add", "told"),
    [
        (special("5.png", tarfile.SYMTYPE, "/etc/passwd"), "its member '5.png' is a link; write the tar again"),
        (special("5.png", tarfile.LNKTYPE, "0.png"), "its member '5.png' is a link"),
        (special("5.png", tarfile.CHRTYPE), "its member '5.png' is a device"),
        (special("5.png", tarfile.BLKTYPE), "its member '5.png' is a device"),
        (special("5.png", tarfile.FIFOTYPE), "its member '5.png' is a pipe"),
        (special("5.png", tarfile.GNUTYPE_SPARSE), "its member '5.png' is a sparse file"),
        (special("5.png", b"V"), "its member '5.png' is of type b'V'"),
        (lambda tar: add_member(tar, "../../5.png", png(5)), "its member '../../5.png' is a path outside"),
        (lambda tar: add_member(tar, "/tmp/5.png", png(5)), "its member '/tmp/5.png' is a path outside"),
        (lambda tar: add_member(tar, "5\n.png", png(5)), r"the name of its member '5\n.png' holds control characters"),
        (lambda tar: add_member(tar, "x" * 1100 + ".png", b""), "has 1,104 characters; write the tar again"),
        (lambda tar: add_member(tar, "x" * LONGEST_HEAD, b""), "a name or extended headers of 1,048,"),
    ],
)
def test_members_that_no_dataset_has(add: Callable[[tarfile.TarFile], object], told: str, tmp_path: Path) -> None:
    name = placed(tmp_path, tar_of(add))
    before = tree(tmp_path)
    assert f"{tmp_path}/x/0.tar: " in refused(name)
    assert told in refused(name)
    assert tree(tmp_path) == before


def test_extended_headers_of_holes_or_for_all_members_are_refused(tmp_path: Path) -> None:
    def sparse(archive: tarfile.TarFile) -> None:
        info = tarfile.TarInfo("5.png")
        info.pax_headers = {"GNU.sparse.major": "1"}
        archive.addfile(info)

    assert "a sparse file (GNU.sparse.major)" in refused(placed(tmp_path, tar_of(sparse)))
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"path": "x.png"}) as archive:
        add_member(archive, "a.png", png(1))
    assert "extended headers that rename all members" in refused(placed(tmp_path, stream.getvalue()))


def test_a_plain_global_header_is_passed_over(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "x"}) as archive:
        for number in range(2):
            add_member(archive, f"{number}.png", png(number))
            add_member(archive, f"{number}.cls", str(number).encode())
    assert len(resolve_dataset(placed(tmp_path, stream.getvalue()), tmp_path)) == 2


@pytest.mark.parametrize("kept", [100, 512, 1000, 5000, 8192])
def test_a_tar_that_is_cut_off_is_told_with_the_place(kept: int, tmp_path: Path) -> None:
    told = refused(placed(tmp_path, tar_of()[:kept]))
    assert f"{tmp_path}/x/0.tar: cut off" in told
    assert f"{kept:,}" in told


def test_a_tar_cut_off_after_it_was_listed_is_told(tmp_path: Path) -> None:
    name = placed(tmp_path, tar_of())
    index = resolve_dataset(name, tmp_path)
    os.truncate(tmp_path / "x/0.tar", 1000)
    with pytest.raises(SceneError, match=r"0\.tar: changed since its scenes were listed; run the command again"):
        open_pixels(index, Transform(4))


def test_damage_within_a_tar_is_not_taken_for_its_end(tmp_path: Path) -> None:
    content = bytearray(tar_of())
    content[2048 + 100] ^= 1
    assert "0.tar: not a tar file, or damaged at byte 2,048 (wrong checksum)" in refused(
        placed(tmp_path, bytes(content))
    )


@pytest.mark.parametrize("size", [b"\xff" * 12, b"\x80" + b"\xff" * 11, b"\x80" + bytes(3) + b"\x7f" + bytes(7)])
def test_sizes_below_zero_and_beyond_the_file_are_damage(size: bytes, tmp_path: Path) -> None:
    head = bytearray(tar_of()[:512])
    head[124:136], head[148:156] = size, b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    assert "0.tar: cut off: member '0.png' of " in refused(placed(tmp_path, bytes(head) + bytes(1024)))


def test_two_archives_in_one_file_are_not_read_by_half(tmp_path: Path) -> None:
    assert "bytes after the end mark at byte 8,192, as of two archives in one file" in refused(
        placed(tmp_path, tar_of() * 2)
    )


@pytest.mark.parametrize(("pack", "told"), [(gzip.compress, "gzip"), (lambda content: b"BZh9" + bytes(600), "bzip2")])
def test_packed_tars_are_refused_with_what_to_do(pack: Callable[[bytes], bytes], told: str, tmp_path: Path) -> None:
    content = pack(tar_of())
    content += os.urandom(max(0, 512 - len(content)))
    expected = f"0.tar: packed by {told}; decompress it to a plain .tar"
    assert expected in refused(placed(tmp_path, content))


def test_a_sparse_file_of_a_terabyte_takes_no_time(tmp_path: Path) -> None:
    name = placed(tmp_path, tar_of())
    os.truncate(tmp_path / "x/0.tar", 2**40)
    assert "bytes after the end mark" in refused(name)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_members_are_those_that_tarfile_finds(form: int) -> None:
    names = ["a.png", "b/" * 40 + "c.png", "é/ü.png", "d" * 99, "x/" * 60 + "y" * 80, "\udcff.png"]
    names = [name for name in names if form != tarfile.USTAR_FORMAT or len(name.encode("utf-8", "replace")) < 150]
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form, encoding="utf-8", errors="surrogateescape") as archive:
        for number, name in enumerate(names):
            add_member(archive, name, bytes(number * 300))
        archive.addfile(folder_member("folder"))
    content = stream.getvalue()
    found = list(members_of(io.BytesIO(content), len(content)))
    with tarfile.open(fileobj=io.BytesIO(content), encoding="utf-8", errors="surrogateescape") as archive:
        known = [Member(info.name, info.offset_data, info.size) for info in archive if info.isreg()]
    assert found == known


def folder_member(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = tarfile.DIRTYPE
    return info


def test_checksums_with_bytes_below_zero_and_large_sizes_in_binary_are_read(tmp_path: Path) -> None:
    head = bytearray(tar_of()[:512])
    head[:6] = b"\xc3\xa9.png"
    head[124:136] = b"\x80" + bytes(9) + b"\x01\x00"
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % (sum(head) - 256 * sum(byte > 127 for byte in head))
    content = bytes(head) + bytes(512 + 1024)
    assert list(members_of(io.BytesIO(content), len(content))) == [Member("é.png", 512, 256)]


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_listing, "MOST_MEMBERS", 5)
    assert "0.tar: more than 5 members with those before it; name fewer shards" in refused(placed(tmp_path, tar_of()))


@pytest.mark.parametrize("form", ["tar", "parquet"])
def test_a_scene_of_more_bytes_than_any_is_named(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RSIR_BENCH_SCENE_BYTES", "100")
    large = png(3) + bytes(1000)
    content = tar_of(lambda tar: add_member(tar, "9.png", large), lambda tar: add_member(tar, "9.cls", b"1"))
    if form == "parquet":
        content = parquet_of(pa.array([png(0), png(1), large]))
    where = "0.tar/9.png" if form == "tar" else "0.parquet/2/2.png"
    told = refused(placed(tmp_path, content, f"0.{form}"))
    assert f"{where}: a file of {len(large):,} bytes; a scene may have 100" in told


@pytest.mark.parametrize("form", ["tar", "parquet"])
def test_a_scene_that_is_no_picture_is_named_with_its_place(form: str, tmp_path: Path) -> None:
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n" + bytes(100)
    content = tar_of(lambda tar: add_member(tar, "9.png", script), lambda tar: add_member(tar, "9.cls", b"1"))
    if form == "parquet":
        content = parquet_of(pa.array([png(0), png(1), script]))
    where = "0.tar/9.png" if form == "tar" else "0.parquet/2/2.png"
    name = placed(tmp_path, content, f"0.{form}")
    assert f"1 unreadable: {tmp_path}/x/{where} (not an image, but PostScript;" in refused(name)
    assert verify(name, tmp_path).unreadable == {
        where: "not an image, but PostScript; save the scene as tif or PNG, or get it again"
    }


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("form", ["tar", "parquet"])
def test_a_pipe_is_no_shard(form: str, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    os.mkfifo(tmp_path / f"x/0.{form}")
    assert f"0.{form}: is a pipe, a device or a folder" in refused(f"{form}:{tmp_path / 'x'}")


# --- parquet ---


def test_rows_that_share_one_large_picture_do_not_unpack_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RSIR_BENCH_SCENE_BYTES", "2000000")
    shared = pa.DictionaryArray.from_arrays(pa.array(np.zeros(2000, np.int32)), pa.array([png(1) + bytes(1_000_000)]))
    content = parquet_of(shared, compression="zstd", dictionary_pagesize_limit=10**9)
    assert len(content) < 20_000
    told = refused(placed(tmp_path, content, "0.parquet"))
    assert "its row group unpacks to far more bytes than the shard has" in told


def test_rows_that_share_one_long_file_name_are_refused_before_they_are_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_listing, "MOST_AT_ONCE", 2**24)
    count = 20_000
    shared = pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array(["x" * 5_000_000]))
    contents = pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([png(1)]))
    content = parquet_of(contents, paths=shared, compression="zstd", dictionary_pagesize_limit=10**9)
    assert len(content) < 2_000_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "a file name or label of 5,000,000 bytes" in refused(placed(tmp_path, content, "0.parquet"))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KB; unpacked they are 100 GB


def test_too_many_rows_and_too_large_groups_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = placed(tmp_path, parquet_of(), "0.parquet")
    for setting, told in (
        ("MOST_SCENES", "4 rows with those before it, more than 3"),
        ("MOST_GROUP_BYTES", "bytes in one row group; write groups of about a hundred scenes"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(parquet_listing, setting, 3)
            assert told in refused(name)


def test_a_page_that_unpacks_to_more_than_any_scene_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RSIR_BENCH_SCENE_BYTES", "1000000")
    monkeypatch.setattr(parquet_store, "MOST_PAGE", 5_000_000)
    content = parquet_of(pa.array([png(0), bytes(60_000_000)]), compression="zstd", use_dictionary=False)
    assert len(content) < 10_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told = refused(placed(tmp_path, content, "0.parquet"))
    assert "in a page of 60,000,0" in told
    assert "write smaller row groups; a scene may have 1,000,000" in told
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KB


@pytest.mark.parametrize("texts", [False, True])
def test_lists_of_labels_without_end_are_refused_before_they_are_unpacked(texts: bool, tmp_path: Path) -> None:
    count = 10_000_000
    values = pa.array(np.zeros(count, np.int8))
    if texts:
        values = pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int8)), pa.array(["sea"]))
    labels = pa.ListArray.from_arrays(pa.array([0, 1, count], pa.int32()), values)
    content = parquet_of(pa.array([png(0), png(1)]), labels, compression="zstd")
    del values, labels
    assert len(content) < 100_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told = refused(placed(tmp_path, content, "0.parquet"))
    assert "10,000,000 values of 'label' for 2 rows; write the file again" in told
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KB


@pytest.mark.parametrize("options", [{}, {"data_page_version": "2.0", "compression": "gzip"}, {"row_group_size": 1}])
def test_sizes_of_pages_are_those_that_pyarrow_knows(options: dict[str, Any], tmp_path: Path) -> None:
    placed(tmp_path, parquet_of(**options), "0.parquet")
    with (tmp_path / "x/0.parquet").open("rb") as stream:
        known = pq.ParquetFile(stream).metadata
        for number, group in enumerate(read_groups(stream)):
            about = known.row_group(number)
            assert (group.rows, group.size) == (about.num_rows, about.total_byte_size)
            for place in range(known.num_columns):
                column = about.column(place)
                chunk = group.chunk(column.path_in_schema)
                pages = list(pages_of(stream, chunk))
                assert sum(page.values for page in pages if not page.is_dictionary) == column.num_values
                assert chunk.stop - chunk.start == column.total_compressed_size
                heads = column.total_uncompressed_size - sum(page.size for page in pages)
                assert 0 < heads < 200 * len(pages)


@pytest.mark.parametrize("path", ["a\x1b[2J.png", "a\0.png", "x" * 1500, "a\u2028b.png"])
def test_file_names_that_no_line_can_show_are_refused(path: str, tmp_path: Path) -> None:
    told = refused(placed(tmp_path, parquet_of(paths=pa.array([path, "b", "c", "d"])), "0.parquet"))
    assert "0.parquet: row 0: its file name" in told or "a file name or label of 1,500 bytes" in told


def test_file_names_lead_nowhere(tmp_path: Path) -> None:
    paths = pa.array(["../../a.png", "/etc/passwd", "C:\\x\\c.png", ".."])
    index = resolve_dataset(placed(tmp_path, parquet_of(paths=paths), "0.parquet"), tmp_path)
    assert sorted(index.paths) == ["0.parquet/0/a.png", "0.parquet/1/passwd", "0.parquet/2/c.png", "0.parquet/3/.."]
    before = tree(tmp_path)
    assert len(open_pixels(index, Transform(4))) == 4
    assert {path for path in tree(tmp_path) - before if "/cache/" not in path} == set()


@pytest.mark.parametrize("kept", [0, 3, 100, 700, -1])
def test_a_parquet_that_is_cut_off_is_told(kept: int, tmp_path: Path) -> None:
    told = refused(placed(tmp_path, parquet_of()[:kept], "0.parquet"))
    assert told.startswith(f"{tmp_path}/x/0.parquet: no parquet, or damaged: ")


@pytest.mark.parametrize(("how", "place"), [({"write_page_checksum": True}, 9000), ({}, 3)])
def test_damage_in_a_row_group_names_its_shard_and_rows(how: dict[str, Any], place: int, tmp_path: Path) -> None:
    """With a checksum wherever it is; without, where the structure of a page suffers."""
    contents = pa.array([png(number) + os.urandom(3000) for number in range(8)])
    content = bytearray(parquet_of(contents, row_group_size=4, use_dictionary=False, **how))
    chunk = pq.ParquetFile(io.BytesIO(content)).metadata.row_group(1).column(0)
    content[chunk.data_page_offset + place] ^= 0xFF
    name = placed(tmp_path, bytes(content), "0.parquet")
    assert "cannot read" in refused(name)
    assert "0.parquet/4/4.png: its " in refused(name)
    assert sorted(verify(name, tmp_path).unreadable) == [f"0.parquet/{row}/{row}.png" for row in (4, 5, 6, 7)]


def test_an_empty_parquet_and_one_without_row_groups_say_that_nothing_is_there(tmp_path: Path) -> None:
    content = parquet_of(pa.array([], pa.binary()), labels=pa.array([], pa.int64()), paths=pa.array([], pa.string()))
    assert "needs scenes of at least two classes, found: no scene" in refused(placed(tmp_path, content, "0.parquet"))


# --- anything ---


def mutated(content: bytes, random: np.random.Generator) -> bytes:
    """Cut off, changed, shortened or lengthened somewhere; more often at the end, where parquet has its head."""
    data = bytearray(content)
    low = 0 if random.random() < 0.6 else max(0, len(data) - 2000)
    first, last = sorted(int(number) for number in random.integers(low, len(data), 2))
    match int(random.integers(4)):
        case 0:
            del data[first:]
        case 1:
            for place in random.integers(low, len(data), int(random.integers(1, 8))):
                data[place] = random.integers(256)
        case 2:
            del data[first:last]
        case _:
            data[first:first] = random.bytes(int(random.integers(1, 80)))
    return bytes(data)


@pytest.mark.parametrize("count", FUZZ)
@pytest.mark.parametrize("form", ["tar", "parquet"])
def test_any_damage_is_read_or_refused_in_one_line(form: str, count: int, tmp_path: Path) -> None:
    content = tar_of(form=tarfile.GNU_FORMAT) if form == "tar" else parquet_of(row_group_size=3)
    ends: Counter[str] = Counter()
    for seed in range(count):
        name = placed(tmp_path, mutated(content, np.random.default_rng(seed)), f"0.{form}")
        try:
            open_pixels(resolve_dataset(name, tmp_path), Transform(4))
            ends["read"] += 1
        except UserError as error:
            assert "\n" not in str(error)  # noqa: PT017 - both ends are right
            assert f"0.{form}" in str(error) or f"{form}:{tmp_path}" in str(error) or "x-" in str(error)  # noqa: PT017
            ends["refused"] += 1
    assert ends["refused"] > 0.5 * count
    assert ends["read"] > 0


def head_of(name: bytes, size: int, kind: bytes = b"0") -> bytes:
    """The head of a member as plain bytes."""
    head = bytearray(512)
    head[: len(name)], head[124:136], head[156:157] = name, b"%011o\0" % size, kind
    head[257:265] = b"ustar\00000"
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)


@pytest.mark.parametrize(
    "records",
    [
        b"12 path=x\n",
        b"0 path=x\n",
        b"99999999 path=x\n",
        b"9 path=ab",
        b"path=x\n",
        b"11 size=9z\n",
        b"11 size=-9\n",
    ],
)
def test_extended_headers_that_make_no_sense_are_damage(records: bytes, tmp_path: Path) -> None:
    content = head_of(b"x", len(records), b"x") + records.ljust(512, b"\0") + bytes(1024)
    told = refused(placed(tmp_path, content))
    assert "0.tar: extended headers" in told
