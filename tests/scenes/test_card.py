"""Cards: the seven of the suite describe their datasets; the error of a bad one names its file and field."""

import json
from pathlib import Path

import pytest

from rsir_bench.base.errors import UserError
from rsir_bench.scenes.card import edition_name, folder_key, load_cards, parse_card
from rsir_bench.scenes.fingerprint import content_fingerprint
from rsir_bench.scenes.inspect.listing import dataset_card
from rsir_bench.scenes.inspect.manifest import load_manifest

SEVEN = {
    "patternnet": (38, 30_400, None),
    "rs19": (19, 1_005, "RS19"),
    "ucm": (21, 2_100, "UCM"),
    "rsscn7": (7, 2_800, "RSSCN"),
    "aid": (30, 10_000, "AID"),
    "nwpu": (45, 31_500, "NWPU"),
    "eurosat": (10, 27_000, None),
}

CARD = """
name = "tiny"
title = "Tiny"
description = "two classes"
citation = "none"
licence = "none"
source = "here"
ground_resolution = "1 m"
pixels = 8
folders = ["Tiny"]
classes = [{ name = "dense forest", scenes = 2 }, { name = "river", scenes = 3, folders = ["Stream"] }]
[download]
url = "http://127.0.0.1/tiny.zip"
"""


@pytest.mark.parametrize("name", SEVEN)
def test_card_holds_the_published_numbers(name: str) -> None:
    card = load_cards()[name]
    assert (len(card.classes), sum(c.scenes for c in card.classes), card.paper_name) == SEVEN[name]


@pytest.mark.parametrize("name", SEVEN)
def test_every_archive_is_pinned_by_hash_or_commit_or_comes_by_hand(name: str) -> None:
    pin = load_cards()[name].download
    assert pin is not None
    if name == "aid":
        assert pin.url is None
        assert "captain-whu.github.io/AID" in pin.by_hand
    elif name == "rsscn7":
        assert "6d77849df87d242b323184ab096e44dd63730c7e" in pin.url
    else:
        assert pin.known_hash is not None


@pytest.mark.parametrize("name", load_cards())
def test_a_source_that_pages_link_is_an_address_and_nothing_more(name: str) -> None:
    source = load_cards()[name].source
    assert not source.startswith("https://") or " " not in source


def test_scenes_per_class_of_the_unequal_datasets() -> None:
    counts = {name: [entry.scenes for entry in load_cards()[name].classes] for name in ("aid", "eurosat")}
    assert counts["aid"][:10] == [360, 310, 220, 400, 360, 260, 240, 350, 410, 300]
    assert counts["aid"][10:20] == [370, 250, 390, 280, 290, 340, 350, 390, 370, 420]
    assert counts["aid"][20:] == [380, 260, 290, 410, 300, 300, 330, 290, 360, 420]
    assert counts["eurosat"] == [3000, 3000, 3000, 2500, 2500, 2000, 2500, 3000, 2500, 3000]


@pytest.mark.parametrize(
    ("name", "pixels", "licence"),
    [
        ("patternnet", 256, "CC-BY-4.0"),
        ("rs19", 600, "unclear"),
        ("ucm", 256, "public domain"),
        ("rsscn7", 400, "research and academic use"),
        ("aid", 600, "unclear"),
        ("nwpu", 256, "CC-BY-NC-4.0"),
        ("eurosat", 64, "MIT"),
    ],
)
def test_pixels_and_licence(name: str, pixels: int, licence: str) -> None:
    card = load_cards()[name]
    assert card.pixels == pixels
    assert card.licence.startswith(licence)


@pytest.mark.parametrize("name", load_cards())
def test_a_card_in_words_leaves_nothing_out(name: str) -> None:
    card, shown = load_cards()[name], " ".join(dataset_card(name).split())
    facts = [card.title, card.description, card.licence, card.citation, card.source, card.ground_resolution]
    facts += [f"{entry.name} {entry.scenes}" for entry in card.classes]
    facts += [f"{card.pixels} x {card.pixels} pixels", *card.defects]
    if card.download:
        facts += [card.download.url or card.download.by_hand, card.download.known_hash or "none that lasts"]
    assert [fact for fact in facts if fact not in shown] == []


def test_a_card_in_words_tells_of_bands_and_manifest() -> None:
    assert "13 bands, of which 4, 3, 2 are red, green, blue" in dataset_card("eurosat")
    assert "manifest: none" in dataset_card("eurosat")
    assert "manifest: size and SHA-256 of 2,100 files" in dataset_card("ucm")


def test_the_card_of_an_unknown_dataset() -> None:
    with pytest.raises(UserError, match="did you mean rsscn7"):
        dataset_card("rsscn")


def test_eurosat_shows_red_green_blue_of_sentinel_2() -> None:
    card = load_cards()["eurosat"]
    assert (card.bands, card.rgb, card.value_range) == (13, (3, 2, 1), (0, 4000))


@pytest.mark.parametrize(
    ("dataset", "folder", "class_name"),
    [
        ("patternnet", "christmas_tree_farm", "Christmas tree farm"),
        ("rs19", "footballField", "football field"),
        ("rs19", "railwayStation", "railway station"),
        ("ucm", "mediumresidential", "medium residential"),
        ("rsscn7", "dRiverLake", "rivers-lakes"),
        ("rsscn7", "Rivers_Lakes", "rivers-lakes"),
        ("aid", "StorageTanks", "storage tanks"),
        ("aid", "storage-tanks", "storage tanks"),
        ("nwpu", "ship", "ship"),
        ("nwpu", "thermal_power_station", "thermal power station"),
        ("eurosat", "SeaLake", "sea and lake"),
    ],
)
def test_folder_names_of_the_archives_mean_the_classes_of_the_paper(dataset, folder, class_name) -> None:
    assert load_cards()[dataset].class_of_folder[folder_key(folder)] == class_name


def test_a_valid_card() -> None:
    card = parse_card(CARD, "tiny.toml")
    assert card.class_of_folder == {"denseforest": "dense forest", "river": "river", "stream": "river"}
    assert (card.bands, card.rgb, card.value_range, card.download.known_hash) == (3, (0, 1, 2), None, None)


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("pixels = 8", "pixels = 0", "pixels"),
        ("pixels = 8", "pixels = 8\ncolour = 3", "colour"),
        ('licence = "none"', "", "licence"),
        ("scenes = 3", "scenes = -3", "classes.1.scenes"),
        ("pixels = 8", "pixels = 8\nrgb = [0, 1, 3]", "rgb"),
        ("pixels = 8", "pixels = 8\nvalue_range = [9, 9]", "value_range"),
        ('["Stream"]', '["Dense_Forest"]', "denseforest"),
        ('url = "http://127.0.0.1/tiny.zip"', "", "download"),
        ("[download]", '[download]\nmd5 = "12"', "download.md5"),
        ("[download]\nurl", "[generator]\nfunction", "generator.function"),
        ('name = "tiny"', 'name = "small"', "name"),
        ("pixels = 8", "pixels = = 8", "TOML"),
    ],
)
def test_a_bad_card_names_its_file_and_field_in_one_line(old: str, new: str, field: str) -> None:
    assert old in CARD
    with pytest.raises(UserError) as caught:
        parse_card(CARD.replace(old, new), "tiny.toml")
    message = str(caught.value)
    assert message.startswith("dataset card tiny.toml: ")
    assert field in message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["ucm", "rsscn7"])
def test_the_fingerprint_of_the_original_follows_from_the_manifest(name: str) -> None:
    card = load_cards()[name]
    originals = load_manifest(card)
    assert originals is not None
    classes = [class_name for class_name, _ in originals]
    files = originals.values()
    fingerprint = content_fingerprint(classes, [file.path for file in files], [file.sha256 for file in files])
    assert card.edition(fingerprint) == "original"
    assert f"edition original: content fingerprint {fingerprint[:12]}" in dataset_card(name)


def test_the_editions_of_published_results_are_on_the_cards() -> None:
    found: dict[str, set[str]] = {}
    for path in Path("leaderboards/results").glob("*/*/*.json"):
        record = json.loads(path.read_text())
        for part in filter(None, (record["target"], record["source"])):
            found.setdefault(part["name"], set()).add(edition_name(part["name"], part["fingerprint"]))
    real = {name: editions for name, editions in found.items() if load_cards()[name].generator is None}
    assert real == {"ucm": {"jpeg-256"}, "rsscn7": {"jpeg-256"}, "aid": {"jpeg-128"}}
    assert edition_name("ucm", "0123456789abcdef") == edition_name("mine", "0123456789abcdef") == "01234567"


@pytest.mark.parametrize(
    "editions", ['{ Original = "%s" }' % ("0" * 64), '{ original = "00" }', '{ a = "%s", b = "%s" }']
)
def test_editions_are_checked(editions: str) -> None:
    text = editions.replace("%s", "1" * 64)
    with pytest.raises(UserError, match=r"^dataset card tiny\.toml: (editions|card)"):
        parse_card(f"editions = {text}\n{CARD}", "tiny.toml")
