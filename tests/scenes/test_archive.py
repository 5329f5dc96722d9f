"""Archives that nobody vouches for: unpacked below one folder, whole, or refused."""

import random
import resource
import shutil
import struct
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

from rsir_bench.base.errors import UserError
from rsir_bench.scenes.acquire.archive import ArchiveError, unpack

LINK, PIPE = 0o120777, 0o010644


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "a.zip"


def write(archive: Path, *members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(archive, "w", method) as content:
        for name, value in members:
            content.writestr(name, value)
    return archive


def edit(archive: Path, old: bytes, new: bytes) -> None:
    """Changes bytes in the headers of an archive."""
    content = archive.read_bytes()
    assert old in content
    archive.write_bytes(content.replace(old, new))


def patch_headers(archive: Path, local_offset: int, central_offset: int, value: bytes) -> None:
    """Overwrites one field of the only member, in both of its headers."""
    content = bytearray(archive.read_bytes())
    central = content.index(b"PK\x01\x02")
    for start in (local_offset, central + central_offset):
        content[start : start + len(value)] = value
    archive.write_bytes(bytes(content))


def test_files_and_folders_come_out_as_they_went_in(archive: Path, tmp_path: Path) -> None:
    write(archive, ("a/", b""), ("a/1.tif", b"one"), ("a/b/2.tif", b"two" * 999), method=zipfile.ZIP_DEFLATED)
    unpack(archive, tmp_path / "out")
    found = {path.relative_to(tmp_path / "out").as_posix(): path.read_bytes() for path in tmp_path.rglob("*.tif")}
    assert found == {"a/1.tif": b"one", "a/b/2.tif": b"two" * 999}
    assert archive.exists()


def test_names_in_the_style_of_windows_are_paths(archive: Path, tmp_path: Path) -> None:
    unpack(write(archive, ("a\\b\\1.tif", b"one"), ("a\\c\\", b"")), tmp_path / "out")
    assert (tmp_path / "out/a/b/1.tif").read_bytes() == b"one"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]


def test_what_macos_adds_stays_out(archive: Path, tmp_path: Path) -> None:
    unpack(write(archive, ("a/1.tif", b"one"), ("__MACOSX/a/._1.tif", b"x")), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]


@pytest.mark.parametrize(
    "name",
    ["../evil.tif", "a/../../evil.tif", "/evil.tif", "..\\evil.tif", "C:\\evil.tif", "C:evil.tif", "\\\\host\\x\\evil"],
)
def test_no_path_leaves_the_folder(name: str, archive: Path, tmp_path: Path) -> None:
    write(archive, ("ok.tif", b"x"), (name, b"evil"))
    with pytest.raises(ArchiveError, match="path outside its folder"):
        unpack(archive, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [archive]


@pytest.mark.parametrize("kind", [LINK, PIPE])
def test_links_and_devices_are_refused(kind: int, archive: Path, tmp_path: Path) -> None:
    link = zipfile.ZipInfo("a/link")
    link.external_attr = kind << 16
    with pytest.raises(ArchiveError, match="'a/link' is a link or a device"):
        unpack(write(archive, (link, b"/etc"), ("a/link/x.tif", b"x")), tmp_path / "out")
    assert list(tmp_path.iterdir()) == [archive]


def test_a_bomb_is_refused_before_it_is_unpacked(archive: Path, tmp_path: Path) -> None:
    write(archive, ("1.tif", bytes(5_000_000)), method=zipfile.ZIP_DEFLATED)
    with pytest.raises(ArchiveError, match="would unpack to 5000000 bytes"):
        unpack(archive, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [archive]


def test_a_bomb_that_lies_about_its_size_writes_no_more_than_it_declares(archive: Path, tmp_path: Path) -> None:
    write(archive, ("1.tif", bytes(5_000_000)), method=zipfile.ZIP_DEFLATED)
    patch_headers(archive, 22, 24, struct.pack("<I", 1000))
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, usual[1]))  # a byte more would be another error
    try:
        with pytest.raises(ArchiveError, match="CRC"):
            unpack(archive, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert list(tmp_path.iterdir()) == [archive]


def test_a_member_that_holds_less_than_it_declares_is_damaged(archive: Path, tmp_path: Path) -> None:
    write(archive, ("1.tif", b"x" * 500), method=zipfile.ZIP_DEFLATED)
    patch_headers(archive, 22, 24, struct.pack("<I", 600))
    with pytest.raises(ArchiveError, match="holds 500 bytes, not 600"):
        unpack(archive, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [archive]


def test_an_encrypted_archive_is_told(archive: Path, tmp_path: Path) -> None:
    write(archive, ("1.tif", b"x"))
    patch_headers(archive, 6, 8, b"\x01\x00")
    with pytest.raises(ArchiveError, match=r"'1\.tif' is encrypted"):
        unpack(archive, tmp_path / "out")


def test_an_unknown_compression_is_told(archive: Path, tmp_path: Path) -> None:
    write(archive, ("1.tif", b"x"))
    patch_headers(archive, 8, 10, b"\x09\x00")
    with pytest.raises(ArchiveError, match="packed by method 9"):
        unpack(archive, tmp_path / "out")


def test_the_same_path_twice_is_refused(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"'a/1\.tif' is there twice"):
        unpack(write(archive, ("a/1.tif", b"one"), ("a\\1.tif", b"two")), tmp_path / "out")


@pytest.mark.parametrize("damage", ["cut", "byte", "other"])
def test_a_damaged_archive_is_told_and_leaves_nothing(damage: str, archive: Path, tmp_path: Path) -> None:
    write(archive, ("a.tif", b"first"), ("b.tif", b"second"))
    if damage == "cut":
        archive.write_bytes(archive.read_bytes()[:60])
    elif damage == "byte":
        edit(archive, b"second", b"secQnd")
    else:
        archive.write_text("<html>please log in</html>")
    with pytest.raises(ArchiveError, match="damaged, or not a zip archive"):
        unpack(archive, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [archive]


def test_a_file_that_is_also_a_folder_is_the_fault_of_the_archive(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="damaged"):
        unpack(write(archive, ("a", b"one"), ("a/1.tif", b"two")), tmp_path / "out")
    assert list(tmp_path.iterdir()) == [archive]


def test_any_damage_is_told_as_damage(archive: Path, tmp_path: Path) -> None:
    """Bytes changed at random: unpacked where they mean nothing, else refused, never another error."""
    write(archive, ("a/é.tif", bytes(range(200))), ("a/2.tif", b"x" * 99), method=zipfile.ZIP_DEFLATED)
    whole, chance, refused = archive.read_bytes(), random.Random(0), 0
    for _ in range(150):
        content = bytearray(whole)
        content[chance.randrange(len(content))] = chance.choice((0, 255, chance.randrange(256)))
        archive.write_bytes(content)
        try:
            unpack(archive, tmp_path / "out")
        except ArchiveError:
            refused += 1
            assert not (tmp_path / "out").exists()
    assert refused > 50


def test_too_little_space_is_told_before_anything_is_written(archive: Path, tmp_path: Path, monkeypatch) -> None:
    write(archive, ("1.tif", bytes(3_000_000)))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: namedtuple("Usage", "free")(2_000_000))
    with pytest.raises(UserError, match=r"unpack a\.zip needs 3\.0 MB in .*, 2\.0 MB are free") as caught:
        unpack(archive, tmp_path / "out")
    assert not isinstance(caught.value, ArchiveError)  # else the archive would be thrown away
    assert list(tmp_path.iterdir()) == [archive]


def test_what_an_interrupted_call_left_goes(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "out/stale").mkdir(parents=True)
    unpack(write(archive, ("a/1.tif", b"one")), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]


def test_far_more_files_than_a_dataset_has_are_refused_before_any_is_made(archive: Path, tmp_path: Path) -> None:
    write(archive, *((f"a/{number}", b"") for number in range(100_001)))
    with pytest.raises(ArchiveError, match=r"holds 100,001 files and folders, more than 100,000"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()
