"""Checksums beside files, locks, and the limits of TOML: quick, so that every run of the tests has them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from rsir_bench.base.errors import UserError
from rsir_bench.base.files import (
    PARTIAL,
    SEALED_VERSIONS,
    discard,
    file_digest,
    is_intact,
    locked,
    seal_of,
    write_sealed,
)
from rsir_bench.base.toml import DEEPEST, LONGEST, parse_toml
from rsir_bench.records.store import record_files
from rsir_bench.scenes.decode import Resize, decode_scene


def _write(path: Path, content: bytes) -> None:
    write_sealed(path, lambda unfinished: unfinished.write_bytes(content))


def test_a_sealed_file_is_intact_until_a_bit_changes(tmp_path: Path) -> None:
    path = tmp_path / "a" / "file.npy"
    assert not is_intact(path)
    _write(path, b"content")
    assert is_intact(path)
    assert seal_of(path).read_text() == f"{file_digest(path)}\n"
    path.write_bytes(b"contenu")
    assert not is_intact(path)
    _write(path, b"content")
    assert is_intact(path)
    seal_of(path).unlink()
    path.write_bytes(b"from before there were seals")
    assert is_intact(path)


@pytest.mark.parametrize("sealed", [True, False])
def test_the_old_file_is_intact_when_the_process_dies_before_the_new_one_is_moved(
    sealed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.pt"
    path.write_bytes(b"old")
    if sealed:
        _write(path, b"old")
    replace = Path.replace

    def dies(self: Path, target: Path) -> Path:
        if target == path:
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", dies)
    for number in range(SEALED_VERSIONS - 1):
        with pytest.raises(KeyboardInterrupt):
            _write(path, b"new %d" % number)
        assert path.read_bytes() == b"old"
        assert is_intact(path)
    monkeypatch.undo()
    _write(path, b"newer")
    assert is_intact(path)
    assert len(seal_of(path).read_text().split()) == SEALED_VERSIONS


def test_a_lock_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"\.lock: cannot be created or locked"), locked(tmp_path / "file" / ".lock"):
        pass
    with pytest.raises(OSError, match="of the work"), locked(tmp_path / ".lock"):
        raise OSError("of the work")  # is not taken for one of the lock


def test_removing_what_a_failed_write_left_may_fail_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: object, **__: object) -> None:
        raise OSError(30, os.strerror(30))

    monkeypatch.setattr(Path, "unlink", read_only)
    discard(tmp_path / "file")


def test_unfinished_files_and_notes_are_no_records(tmp_path: Path) -> None:
    for name in (f"{PARTIAL}1-2-a.json", "trained.json", "described.json", "a.json", "a.json.sha256"):
        (tmp_path / name).write_text("{")
    assert [path.name for path in record_files(tmp_path)] == ["a.json"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a = " + "[" * 5000 + "]" * 5000, "nested deeper"),
        ("a = " + "[" * DEEPEST + "]" * DEEPEST, "nested deeper"),
        ("a = 0x8000000000000000", "64 bits"),
        ("a = [{b = 99999999999999999999}]", "64 bits"),
        ("#" * (LONGEST + 1), "longer than"),
        ("a = 1" + "0" * 5000, "limit"),
        ("a =", "Invalid value"),
    ],
)
def test_toml_that_is_refused(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_toml(text)


def test_toml_that_is_taken() -> None:
    assert parse_toml("a = -9223372036854775808\r\nb = [[1], {c = 'd'}]\n") == {"a": -(2**63), "b": [[1], {"c": "d"}]}


def test_a_tif_of_bands_is_read_under_any_name(tmp_path: Path) -> None:
    """The content says how a file is read."""
    bands = np.arange(5 * 24 * 24, dtype=np.uint16).reshape(5, 24, 24)
    tifffile.imwrite(tmp_path / "scene.tif", bands, photometric="minisblack")
    resize = Resize(24, Image.Resampling.NEAREST)
    named = decode_scene((tmp_path / "scene.tif").read_bytes(), resize, 5, range(5), (0, 2879))
    (tmp_path / "scene.tif").rename(tmp_path / "scene.png")
    assert np.array_equal(decode_scene((tmp_path / "scene.png").read_bytes(), resize, 5, range(5), (0, 2879)), named)
    assert named[0, 0].tolist() == [0, 51, 102, 153, 204]
