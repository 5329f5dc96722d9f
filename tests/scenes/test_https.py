"""What no hash is known of comes over https alone, also behind redirects."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_server import Served, served

from rsir_bench.base.errors import UserError
from rsir_bench.scenes.acquire import http
from rsir_bench.scenes.acquire.http import fetch


def test_plain_http_needs_a_hash(tmp_path: Path) -> None:
    with served(Served(content=b"archive")) as server:
        with pytest.raises(UserError, match=r"is not https, and the card pins no hash.*add its sha256") as caught:
            fetch(server.address, tmp_path / "a.part", None, "mine", pinned=False)
        assert "\n" not in str(caught.value)
        assert server.asked == []
        fetch(server.address, tmp_path / "a.part", None, "mine", pinned=True)
    assert (tmp_path / "a.part").read_bytes() == b"archive"


@pytest.mark.parametrize(
    "way",
    [
        ["https://a/x", "http://a/x"],
        ["https://a/x", "http://b/x", "https://b/x"],
        ["https://a/x", "HTTP://b/x", "https://b/x"],
    ],
)
def test_a_redirect_to_plain_http_needs_a_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: list[str]) -> None:
    class Answer:
        history = [SimpleNamespace(url=url) for url in way[:-1]]  # noqa: RUF012
        url, status_code, reason = way[-1], 200, "OK"
        headers = {"Content-Length": "1"}  # noqa: RUF012

        def __enter__(self) -> Answer:
            return self

        def __exit__(self, *_: object) -> None: ...

        def iter_content(self, _: int) -> list[bytes]:
            return [b"x"]

    monkeypatch.setattr(http.requests, "get", lambda *_, **__: Answer())
    with pytest.raises(UserError, match="is not https, and the card pins no hash"):
        fetch(way[0], tmp_path / "a.part", None, "mine", pinned=False)
    assert not (tmp_path / "a.part").exists()
    fetch(way[0], tmp_path / "a.part", None, "mine", pinned=True)
    assert (tmp_path / "a.part").read_bytes() == b"x"
