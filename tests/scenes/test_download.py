"""Downloads from a local server: licence first, checked, gone on with after a cut, in place whole or not at all."""

import errno
import hashlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from fake_data import small_card, write_archive, write_dataset
from fake_server import Served, served

from rsir_bench.base.errors import SceneError, UserError
from rsir_bench.cli.app import app
from rsir_bench.cli.groups.datasets import confirm_licence
from rsir_bench.scenes.acquire import download as download_module
from rsir_bench.scenes.acquire import http
from rsir_bench.scenes.card import DatasetCard, Download, Generator, load_cards
from rsir_bench.scenes.index import find_dataset, index_scenes

Offer = Callable[..., DatasetCard]


def download(card: DatasetCard, data_root: Path) -> Path:
    return download_module.download(card, data_root, confirm_licence=lambda _: None, log=print)


def not_asked(card: DatasetCard) -> None:
    pytest.fail(f"asked for the licence of {card.name}")


@pytest.fixture(autouse=True)
def _quick_and_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses, and blocks that are small beside the archives."""
    monkeypatch.setattr(http, "PAUSES", (0.0,) * 4)
    monkeypatch.setattr(http, "CHUNK", 100)
    monkeypatch.setattr(http, "refuse_plain", lambda what, addresses: None)  # the server here has no certificate


@pytest.fixture
def server() -> Iterator[Served]:
    with served(Served()) as state:
        yield state


@pytest.fixture
def offer(server: Served, tmp_path: Path) -> Offer:
    """Puts the archive of a small dataset on the server and returns the card that points there."""

    def serve(dataset: str = "ucm", classes: int | None = 2, **pins: str | int) -> DatasetCard:
        card = small_card(dataset, classes=classes)
        server.content = write_archive(card, tmp_path / "made.zip", tmp_path / "scratch").read_bytes()
        return pinned(card, server, **(pins or {"sha256": hashlib.sha256(server.content).hexdigest()}))

    return serve


def pinned(card: DatasetCard, server: Served, **pins: str | int) -> DatasetCard:
    return card.model_copy(update={"download": Download(url=server.address, **pins)})


def left_in(data_root: Path) -> list[str]:
    return sorted(path.name for path in data_root.glob("*") if path.name != ".downloads")


def kept_in(data_root: Path) -> list[str]:
    """What waits for the next call."""
    return sorted(path.name for path in (data_root / ".downloads").iterdir() if path.suffix != ".lock")


def assert_complete(card: DatasetCard, data_root: Path) -> None:
    assert len(index_scenes(card, data_root)) == 2 * len(card.classes)
    assert kept_in(data_root) == []


# The whole way


@pytest.mark.parametrize("dataset", ["patternnet", "rs19", "ucm", "rsscn7", "nwpu", "eurosat"])
def test_a_dataset_is_downloaded_and_complete(dataset: str, offer: Offer, tmp_path: Path, capsys) -> None:
    card = offer(dataset, classes=None)
    folder = download(card, tmp_path / "data")
    assert folder.is_relative_to(tmp_path / "data")
    assert left_in(tmp_path / "data") == [card.folders[0].split("/")[0]]
    assert_complete(card, tmp_path / "data")
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")  # no progress, as this is no terminal


def test_a_complete_dataset_is_not_downloaded_again(offer: Offer, server: Served, tmp_path: Path) -> None:
    card = offer()
    first = download(card, tmp_path / "data")
    assert download_module.download(card, tmp_path / "data", confirm_licence=not_asked, log=print) == first
    assert len(server.asked) == 1


def test_a_complete_dataset_may_lie_where_nothing_can_be_written(offer: Offer, tmp_path: Path) -> None:
    card = offer()
    write_dataset(card, tmp_path / "data")
    download_module.download(card, tmp_path / "data", confirm_licence=not_asked, log=print)
    assert not (tmp_path / "data/.downloads").exists()


def test_an_incomplete_dataset_is_left_alone_and_told(offer: Offer, tmp_path: Path) -> None:
    card = offer()
    write_dataset(card, tmp_path / "data")
    next((tmp_path / "data").rglob("*.tif")).unlink()
    with pytest.raises(SceneError, match=r"move .* away to download it again"):
        download(card, tmp_path / "data")


def test_aid_comes_by_hand(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"captain-whu\.github\.io/AID"):
        download(load_cards()["aid"], tmp_path)


def test_synthetic_datasets_need_no_download(tmp_path: Path) -> None:
    card = small_card("ucm").model_copy(update={"download": None, "generator": Generator(function="a:b")})
    with pytest.raises(UserError, match="needs no download"):
        download(card, tmp_path)


# The licence


def test_without_a_terminal_the_flag_is_asked_for(offer: Offer, server: Served, tmp_path: Path) -> None:
    ask = partial(confirm_licence, accepted=False)
    with pytest.raises(UserError, match=r"licence public domain.*add --accept-licence") as caught:
        download_module.download(offer(), tmp_path / "data", confirm_licence=ask, log=print)
    assert "\n" not in str(caught.value)
    assert server.asked == []
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("answer", ["y\n", "\n"])
def test_at_a_terminal_a_question_is_asked(answer: str, offer: Offer, server: Served, tmp_path: Path) -> None:
    outcome = at_terminal(offer(), tmp_path / "data", answer)
    assert "licence public domain" in outcome
    assert "Accept this licence and download ucm? [y/N]" in outcome
    assert ("not downloaded, the licence was not accepted" in outcome) == (answer != "y\n")
    assert left_in(tmp_path / "data") == (["UCMerced_LandUse"] if answer == "y\n" else [])
    assert len(server.asked) == ("downloading ucm" in outcome) == (answer == "y\n")  # with progress, once it starts


def at_terminal(card: DatasetCard, data_root: Path, answer: str) -> str:
    """What a terminal shows when a process downloads the card and the answer is typed."""
    ours, theirs = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    process = start(card, data_root, CALL, flag=False, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    os.write(ours, answer.encode())
    shown = b""
    with suppress(OSError):  # how Linux tells that the other end is closed
        while block := os.read(ours, 1 << 16):
            shown += block
    os.close(ours)
    process.wait(60)
    return shown.decode()


def test_the_verb_prints_the_folder_and_shows_the_licence_on_standard_error(
    offer: Offer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = offer()
    monkeypatch.setitem(load_cards(), "ucm", card)
    verb = ["datasets", "download", "ucm", "--data-root", str(tmp_path / "data")]
    with pytest.raises(UserError, match="add --accept-licence"):
        app(verb, standalone_mode=False)
    assert capsys.readouterr() == ("", "")
    app([*verb, "--accept-licence"], standalone_mode=False)
    licence = f"{card.title}: licence {card.licence}; source {card.source}"
    assert capsys.readouterr() == (f"{find_dataset(card, tmp_path / 'data')}\n", f"{licence}\n")
    assert_complete(card, tmp_path / "data")


# Cut connections and servers in trouble


@pytest.mark.parametrize("etag", [True, False])
def test_a_cut_download_goes_on_from_there(etag: bool, offer: Offer, server: Served, tmp_path: Path) -> None:
    card = offer()
    server.plan, server.etag = ["cut"], etag
    download(card, tmp_path / "data")
    assert_complete(card, tmp_path / "data")
    (zero, half), (start, rest) = server.sent
    assert (zero, half) == (0, len(server.content) // 2)
    assert half - 100 < start <= half  # at most a block is lost
    assert start + rest == len(server.content)
    assert server.asked == ["", f"bytes={start}-"]


def test_a_stopped_download_goes_on_at_the_next_call(offer: Offer, server: Served, tmp_path: Path) -> None:
    card = offer()
    server.always = "cut"
    with pytest.raises(UserError, match=r"failed 5 times, at last: .*; start the download again to resume at \d+ b"):
        download(card, tmp_path / "data")
    assert left_in(tmp_path / "data") == []
    assert kept_in(tmp_path / "data") == ["ucm.part", "ucm.part.json"]
    there = (tmp_path / "data/.downloads/ucm.part").stat().st_size
    assert there > 0.8 * len(server.content)
    server.always = ""
    download(card, tmp_path / "data")
    assert server.sent[-1] == (there, len(server.content) - there)
    assert_complete(card, tmp_path / "data")


def test_a_server_without_ranges_is_asked_from_the_start(offer: Offer, server: Served, tmp_path: Path) -> None:
    card = offer()
    server.plan, server.ranges = ["cut", "cut"], False
    download(card, tmp_path / "data")
    assert [start for start, _ in server.sent] == [0, 0, 0]
    assert_complete(card, tmp_path / "data")


@pytest.mark.parametrize("etag", [True, False])
def test_a_part_of_another_version_is_not_gone_on_with(
    etag: bool, offer: Offer, server: Served, tmp_path: Path
) -> None:
    """Without ETags only the hash of the whole tells it, as the sizes are equal."""
    card = offer()
    right, server.content = server.content, bytes(len(server.content))
    server.always, server.etag = "cut", etag
    with pytest.raises(UserError, match="failed 5 times"):
        download(card, tmp_path / "data")
    server.content, server.always = right, ""
    server.sent.clear()
    download(card, tmp_path / "data")
    assert server.sent[-1] == (0, len(right))
    assert_complete(card, tmp_path / "data")


@pytest.mark.parametrize("change", [-100, 100])
def test_a_part_of_a_version_of_another_size(change: int, offer: Offer, server: Served, tmp_path: Path) -> None:
    """The server takes the range, or has no byte there any more; the card has no hash that would tell."""
    card = pinned(offer(), server)
    right, server.etag, server.always = server.content, False, "cut"
    server.content = bytes(len(right) + change)
    with pytest.raises(UserError, match="failed 5 times"):
        download(card, tmp_path / "data")
    server.content, server.always = right, ""
    download(card, tmp_path / "data")
    assert server.sent[-1] == (0, len(right))
    assert_complete(card, tmp_path / "data")


def test_a_range_that_the_server_no_longer_has(offer: Offer, server: Served, tmp_path: Path) -> None:
    card = offer()
    server.plan = ["cut", "416"]
    download(card, tmp_path / "data")
    assert server.asked[2] == ""
    assert_complete(card, tmp_path / "data")


def test_a_part_without_its_note_or_of_another_address_is_started_over(
    offer: Offer, server: Served, tmp_path: Path
) -> None:
    card = offer()
    part = tmp_path / "data/.downloads/ucm.part"
    part.parent.mkdir(parents=True)
    for note in (None, "{", f'{{"url": "http://else", "etag": {server.tag!r}, "modified": null, "size": 9}}'):
        part.write_bytes(b"junk")
        if note is not None:
            part.with_name("ucm.part.json").write_text(note.replace("'", '"'))
        folder = download(card, tmp_path / "data")
        assert_complete(card, tmp_path / "data")
        folder.rename(tmp_path / f"seen {len(server.asked)}")
        for rest in left_in(tmp_path / "data"):
            (tmp_path / "data" / rest).rmdir()
    assert server.asked == ["", "", ""]


def test_a_server_in_trouble_is_asked_again(offer: Offer, server: Served, tmp_path: Path) -> None:
    card = offer()
    server.plan = ["500", "503", "429"]
    download(card, tmp_path / "data")
    assert len(server.asked) == 4
    assert_complete(card, tmp_path / "data")


@pytest.mark.parametrize("status", ["404", "403"])
def test_a_refusal_is_told_at_once_with_its_address(status: str, offer: Offer, server: Served, tmp_path: Path) -> None:
    card = offer()
    server.always = status
    with pytest.raises(UserError, match=rf"a\.zip answers {status}.*by hand"):
        download(card, tmp_path / "data")
    assert len(server.asked) == 1
    assert left_in(tmp_path / "data") == []


def test_no_server(tmp_path: Path) -> None:
    card = small_card("ucm").model_copy(update={"download": Download(url="http://127.0.0.1:9/a.zip")})
    with pytest.raises(UserError, match=r"^ucm: http.*: Connection refused; start the download again"):
        download(card, tmp_path)


def test_an_address_that_is_none(tmp_path: Path) -> None:
    card = small_card("ucm").model_copy(update={"download": Download(url="nowhere://a.zip")})
    with pytest.raises(UserError, match="check whether the address is still valid"):
        download(card, tmp_path)


# What came is not what was promised


def test_pins_of_every_kind_work(offer: Offer, server: Served, tmp_path: Path) -> None:
    card = offer()
    right = hashlib.md5(server.content).hexdigest()
    download(pinned(card, server, md5=right, size=len(server.content)), tmp_path / "data")


@pytest.mark.parametrize("pin", [{"sha256": "0" * 64}, {"md5": "0" * 32}])
def test_a_wrong_hash_leaves_nothing(pin: dict[str, str], offer: Offer, server: Served, tmp_path: Path) -> None:
    card = offer(**pin)
    with pytest.raises(UserError, match=r"not what the card pins \(\w+:0+\); nothing was kept"):
        download(card, tmp_path / "data")
    assert left_in(tmp_path / "data") == kept_in(tmp_path / "data") == []
    assert len(server.asked) == 1


def test_wrong_content_in_pieces_is_asked_for_twice_and_no_more(offer: Offer, server: Served, tmp_path: Path) -> None:
    card = offer(sha256="0" * 64)
    server.plan = ["cut", "", "cut", "", "cut", ""]
    with pytest.raises(UserError, match="not what the card pins"):
        download(card, tmp_path / "data")
    assert [start == 0 for start, _ in server.sent] == [True, False, True, False]


@pytest.mark.parametrize("word", ["", "chunked"])
@pytest.mark.parametrize("change", [-1, 1])
def test_a_file_of_another_size_than_pinned(
    change: int, word: str, offer: Offer, server: Served, tmp_path: Path
) -> None:
    card = offer()
    server.always = word
    card = pinned(card, server, size=len(server.content) + change)
    with pytest.raises(UserError, match=r"offers \d+ bytes, \d+ are right|failed 5 times, at last: .* \d+ bytes"):
        download(card, tmp_path / "data")
    assert left_in(tmp_path / "data") == []
    if word == "":
        assert len(server.asked) == 1


@pytest.mark.parametrize("word", ["more", "chunked"])
def test_more_bytes_than_promised_and_no_length_do_no_harm(
    word: str, offer: Offer, server: Served, tmp_path: Path
) -> None:
    card = offer()
    server.plan = [word]
    download(card, tmp_path / "data")
    assert_complete(card, tmp_path / "data")


def test_an_archive_with_too_few_scenes_does_not_appear(offer: Offer, tmp_path: Path) -> None:
    card = offer()
    wants_more = card.model_copy(update={"classes": small_card("ucm", scenes=3, classes=2).classes})
    with pytest.raises(SceneError, match="3 expected, 2 found"):
        download(wants_more, tmp_path / "data")
    assert left_in(tmp_path / "data") == kept_in(tmp_path / "data") == []


def test_a_damaged_archive_without_a_hash_is_not_kept(offer: Offer, server: Served, tmp_path: Path) -> None:
    card = pinned(offer(), server)
    right, server.content = server.content, server.content[:-50]
    with pytest.raises(UserError, match="damaged"):
        download(card, tmp_path / "data")
    assert left_in(tmp_path / "data") == kept_in(tmp_path / "data") == []
    server.content = right
    download(card, tmp_path / "data")
    assert_complete(card, tmp_path / "data")


# The disk


def test_too_little_space_is_told_before_the_first_byte(offer: Offer, tmp_path: Path, monkeypatch) -> None:
    card = offer()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: namedtuple("Usage", "free")(10))
    with pytest.raises(UserError, match="no space left: to download"):
        download(card, tmp_path / "data")
    assert kept_in(tmp_path / "data") == []


def test_a_disk_that_fills_up_while_unpacking_keeps_the_archive(
    offer: Offer, server: Served, tmp_path: Path, monkeypatch
) -> None:
    card = offer()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", full)
        with pytest.raises(UserError, match=r"ucm: No space left on device .*start the download again"):
            download(card, tmp_path / "data")
    assert left_in(tmp_path / "data") == []
    assert kept_in(tmp_path / "data") == ["ucm.zip"]
    download(card, tmp_path / "data")
    assert len(server.asked) == 1
    assert_complete(card, tmp_path / "data")


def test_a_file_that_may_not_grow_keeps_its_part(offer: Offer, server: Served, tmp_path: Path) -> None:
    card = offer()
    limit = len(server.content) // 2
    process = start(
        card, tmp_path / "data", CALL, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    )
    _, told = process.communicate(timeout=60)
    assert "ucm: File too large" in told
    assert process.returncode == 2
    assert (tmp_path / "data/.downloads/ucm.part").stat().st_size == limit
    download(card, tmp_path / "data")
    assert server.sent[-1] == (limit, len(server.content) - limit)
    assert_complete(card, tmp_path / "data")


# Processes

CALL = "download(card, data_root, confirm_licence=confirm, log=log)"

STOP_WHILE_UNPACKING = """
opened = []
def stop_at_the_third(event, arguments):
    if event == "open" and str(arguments[0]).endswith(".tif"):
        opened.append(arguments[0])
        if len(opened) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(stop_at_the_third)
download(card, data_root, confirm_licence=confirm, log=log)
"""


def start(card: DatasetCard, data_root: Path, script: str, flag: bool = True, **options) -> subprocess.Popen[str]:
    """A process with what a download needs, whose licence is accepted by the flag; it ends as the command line does."""
    program = f"""
import os, signal, sys
from functools import partial
from pathlib import Path
from rsir_bench.base.errors import UserError
from rsir_bench.cli.groups.datasets import confirm_licence
from rsir_bench.base.progress import log
from rsir_bench.scenes.card import DatasetCard
from rsir_bench.scenes.acquire.download import download
card, data_root = DatasetCard.model_validate_json(sys.argv[1]), Path(sys.argv[2])
confirm = partial(confirm_licence, accepted={flag})
try:
    exec({script!r})
except UserError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
"""
    command = [sys.executable, "-c", program, card.model_dump_json(), str(data_root)]
    return subprocess.Popen(command, text=True, **{"stderr": subprocess.PIPE, **options})


def test_an_interrupted_extraction_starts_over_without_a_new_download(
    offer: Offer, server: Served, tmp_path: Path
) -> None:
    card = offer()
    process = start(card, tmp_path / "data", STOP_WHILE_UNPACKING)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert left_in(tmp_path / "data") == []
    assert kept_in(tmp_path / "data") == ["ucm", "ucm.zip"]
    assert len(list((tmp_path / "data/.downloads/ucm").rglob("*.tif"))) == 2
    download(card, tmp_path / "data")
    assert len(server.asked) == 1
    assert_complete(card, tmp_path / "data")


def test_an_archive_that_is_there_but_wrong_is_fetched_anew(offer: Offer, server: Served, tmp_path: Path) -> None:
    card = offer()
    (tmp_path / "data/.downloads").mkdir(parents=True)
    (tmp_path / "data/.downloads/ucm.zip").write_bytes(b"of an older card")
    download(card, tmp_path / "data")
    assert len(server.asked) == 1
    assert_complete(card, tmp_path / "data")


def test_two_processes_download_once(offer: Offer, server: Served, tmp_path: Path) -> None:
    card = offer()
    server.plan = ["hold"]
    first = start(card, tmp_path / "data", CALL)
    while not server.asked and first.poll() is None:
        time.sleep(0.05)
    second = start(card, tmp_path / "data", CALL)
    assert "licence" in second.stderr.readline()
    assert second.stderr.readline() == "ucm: waiting for another process that downloads it\n"
    server.release.set()
    for process in (first, second):
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert len(server.asked) == 1
    assert_complete(card, tmp_path / "data")
