from __future__ import annotations

import errno
import hashlib
import os
import threading
from pathlib import Path

import pytest

from rsir_bench.base.errors import UserError
from rsir_bench.base.files import digest, file_digest, write_atomically, write_text


def test_digest_is_the_sha256_of_canonical_json():
    assert (
        digest({"b": [1, 2.5, None, True], "a": "é"})
        == hashlib.sha256(b'{"a":"\\u00e9","b":[1,2.5,null,true]}').hexdigest()
    )


def test_digest_does_not_depend_on_the_order_of_keys():
    assert digest({"a": {"x": 1, "y": 2}, "b": 3}) == digest({"b": 3, "a": {"y": 2, "x": 1}})


@pytest.mark.parametrize("other", [[2, 1], [1, 2, 3], ["1", 2], {"1": 2}, None])
def test_digest_tells_values_apart(other):
    assert digest([1, 2]) != digest(other)


def test_file_digest(tmp_path):
    content = os.urandom(3_000_000)
    (tmp_path / "file").write_bytes(content)
    assert file_digest(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_written_whole_in_folders_made_on_the_way(tmp_path):
    path = tmp_path / "a" / "b" / "file.bin"
    write_atomically(path, lambda temporary: temporary.write_bytes(b"whole"))
    assert path.read_bytes() == b"whole"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.bin"]


def test_the_temporary_file_has_the_suffix_and_lies_in_the_same_folder(tmp_path):
    seen: list[Path] = []
    path = tmp_path / "array.npy"
    write_atomically(path, lambda temporary: (seen.append(temporary), temporary.write_bytes(b"x")))
    assert seen[0].suffix == ".npy"
    assert seen[0].parent == tmp_path
    assert seen[0].name.startswith(".")


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt()])
def test_an_interrupted_write_leaves_the_old_file_and_no_rest(tmp_path, error):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def write(temporary: Path) -> None:
        temporary.write_bytes(b"ha")
        raise error

    with pytest.raises(type(error)):
        write_atomically(path, write)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_the_users_affair(tmp_path):
    def write(temporary: Path) -> None:
        temporary.write_bytes(b"ha")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(UserError, match=r"file: cannot be written \(No space left on device\); free space or choose"):
        write_atomically(tmp_path / "file", write)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_the_users_affair(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UserError, match="cannot be written"):
        write_text(tmp_path / "out" / "run" / "log.csv", "text")


def test_threads_that_write_one_file_do_not_meet(tmp_path):
    path = tmp_path / "file"
    barrier = threading.Barrier(4)

    def write(temporary: Path, text: str) -> None:
        barrier.wait(timeout=20)  # all four temporary files are open at the same time
        temporary.write_text(text)
        barrier.wait(timeout=20)

    texts = [letter * 1000 for letter in "abcd"]
    threads = [threading.Thread(target=write_atomically, args=(path, lambda t, x=x: write(t, x))) for x in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert path.read_text() in texts
    assert list(tmp_path.iterdir()) == [path]


def test_text_is_utf8_with_unix_line_ends(tmp_path):
    write_text(tmp_path / "file", "naïve\nline\n")
    assert (tmp_path / "file").read_bytes() == "naïve\nline\n".encode()
