"""Downloads from a local server: checked, unpacked safely, in place in one step or not at all."""

import hashlib
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from fake_data import small_card, write_archive, write_dataset

from rsir_bench.errors import SceneError, UserError
from rsir_bench.scenes.card import DatasetCard, Download, Generator, load_cards
from rsir_bench.scenes.download import download
from rsir_bench.scenes.index import index_scenes


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address that serves it."""
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def offer(served: tuple[Path, str], tmp_path: Path) -> Callable[..., DatasetCard]:
    """Puts the archive of a small dataset on the server and returns the card that points there."""
    folder, address = served

    def serve(dataset: str, classes: int | None = None, **pins: str) -> DatasetCard:
        card = small_card(dataset, classes=classes)
        archive = write_archive(card, folder / "a.zip", tmp_path / "scratch")
        pins = pins or {"sha256": hashlib.sha256(archive.read_bytes()).hexdigest()}
        return card.model_copy(update={"download": Download(url=f"{address}/a.zip", **pins)})

    return serve


def left_in(data_root: Path) -> list[str]:
    return sorted(path.name for path in data_root.glob("*") if path.name != ".downloads")


@pytest.mark.parametrize("dataset", ["patternnet", "rs19", "ucm", "rsscn7", "nwpu", "eurosat"])
def test_a_dataset_is_downloaded_and_complete(dataset: str, offer, tmp_path: Path, capsys) -> None:
    card = offer(dataset)
    folder = download(card, tmp_path / "data")
    assert folder.is_relative_to(tmp_path / "data")
    assert len(index_scenes(card, tmp_path / "data")) == 2 * len(card.classes)
    assert left_in(tmp_path / "data") == [card.folders[0].split("/")[0]]
    assert [path.suffix for path in (tmp_path / "data/.downloads").iterdir()] == [".lock"]
    assert f"licence {card.licence}" in capsys.readouterr().out


def test_md5_pins_work(offer, served, tmp_path: Path) -> None:
    card = offer("ucm", classes=2)
    digest = hashlib.md5((served[0] / "a.zip").read_bytes()).hexdigest()
    card = card.model_copy(update={"download": Download(url=card.download.url, md5=digest)})
    download(card, tmp_path / "data")


def test_a_complete_dataset_is_not_downloaded_again(offer, served, tmp_path: Path) -> None:
    card = offer("ucm", classes=2)
    first = download(card, tmp_path / "data")
    (served[0] / "a.zip").unlink()
    assert download(card, tmp_path / "data") == first


def test_an_incomplete_dataset_is_left_alone_and_told(offer, tmp_path: Path) -> None:
    card = offer("ucm", classes=2)
    write_dataset(card, tmp_path / "data")
    next((tmp_path / "data").rglob("*.tif")).unlink()
    with pytest.raises(SceneError, match=r"move .* away to download it anew"):
        download(card, tmp_path / "data")


def test_a_wrong_hash_leaves_nothing(offer, tmp_path: Path) -> None:
    card = offer("ucm", classes=2, sha256="0" * 64)
    with pytest.raises(UserError, match="not the pinned hash"):
        download(card, tmp_path / "data")
    assert left_in(tmp_path / "data") == []
    assert [path.suffix for path in (tmp_path / "data/.downloads").iterdir()] == [".lock"]


def test_a_missing_file_is_told_with_its_address(offer, served, tmp_path: Path) -> None:
    card = offer("ucm", classes=2)
    (served[0] / "a.zip").unlink()
    with pytest.raises(UserError, match=r"404.*a\.zip"):
        download(card, tmp_path / "data")
    assert left_in(tmp_path / "data") == []


def test_no_server(tmp_path: Path) -> None:
    card = small_card("ucm").model_copy(update={"download": Download(url="http://127.0.0.1:9/a.zip")})
    with pytest.raises(UserError, match=r"ucm: .*start the download again"):
        download(card, tmp_path)


def test_an_archive_with_too_few_scenes_does_not_appear(offer, tmp_path: Path) -> None:
    card = offer("ucm", classes=2)
    wants_more = card.model_copy(update={"classes": small_card("ucm", scenes=3, classes=2).classes})
    with pytest.raises(SceneError, match="3 expected, 2 found"):
        download(wants_more, tmp_path / "data")
    assert left_in(tmp_path / "data") == []


def test_what_a_stopped_download_left_is_cleared(offer, tmp_path: Path) -> None:
    card = offer("ucm", classes=2)
    (tmp_path / "data/.downloads/ucm/stale").mkdir(parents=True)
    download(card, tmp_path / "data")
    assert not (tmp_path / "data/UCMerced_LandUse/stale").exists()


def crafted(served: tuple[Path, str], members: dict[str, bytes]) -> DatasetCard:
    folder, address = served
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as content:
        for name, value in members.items():
            content.writestr(name, value)
    return small_card("ucm").model_copy(update={"download": Download(url=f"{address}/a.zip")})


@pytest.mark.parametrize("name", ["../evil.tif", "a/../../../evil.tif", "/tmp/rsir_bench_evil.tif"])
def test_no_path_leaves_the_folder(name: str, served, tmp_path: Path) -> None:
    card = crafted(served, {"ok.tif": b"x", name: b"evil"})
    with pytest.raises(UserError, match="path outside"):
        download(card, tmp_path / "data")
    assert not list(tmp_path.rglob("*evil*"))
    assert not Path("/tmp/rsir_bench_evil.tif").exists()


def test_a_bomb_is_refused_before_it_is_unpacked(served, tmp_path: Path) -> None:
    card = crafted(served, {"forest/1.tif": bytes(5_000_000)})
    with pytest.raises(UserError, match="would unpack to 5000000 bytes"):
        download(card, tmp_path / "data")
    assert not list(tmp_path.rglob("1.tif"))


def test_a_damaged_archive_is_told_and_not_kept(served, tmp_path: Path) -> None:
    card = crafted(served, {"forest/1.tif": b"x" * 100})
    archive = served[0] / "a.zip"
    archive.write_bytes(archive.read_bytes()[:50])
    with pytest.raises(UserError, match="archive is damaged"):
        download(card, tmp_path / "data")
    assert not list((tmp_path / "data").rglob("*.zip"))


def test_aid_comes_by_hand(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"captain-whu\.github\.io/AID"):
        download(load_cards()["aid"], tmp_path)


def test_synthetic_datasets_need_no_download(tmp_path: Path) -> None:
    card = small_card("ucm").model_copy(update={"download": None, "generator": Generator(function="a:b")})
    with pytest.raises(UserError, match="needs no download"):
        download(card, tmp_path)
