"""Lists are separated by commas, and paths may hold them."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsir_bench.base.errors import UserError
from rsir_bench.cli.shared.lists import comma_list


def test_a_path_that_is_there_stays_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a,b, c").mkdir()
    (tmp_path / "d").mkdir()
    (tmp_path / "w,1.pth").touch()
    assert comma_list("--targets", "folder:a,b, c,ucm,folder:d") == ["folder:a,b, c", "ucm", "folder:d"]
    assert comma_list("--methods", "timm:x@w,1.pth,baseline") == ["timm:x@w,1.pth", "baseline"]
    assert comma_list("--targets", "folder:x,y") == ["folder:x", "y"]  # not there: told later
    assert comma_list("--seeds", "0,1") == ["0", "1"]


def test_two_ways_to_read_it_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "a,b"):
        (tmp_path / name).mkdir()
    with pytest.raises(UserError, match="both a and a,b are there; rename one"):
        comma_list("--targets", "folder:a,b")
