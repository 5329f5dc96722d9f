"""Cards: the seven of the suite say what the datasets hold; a bad one names its file and field."""

import pytest

from rsir_bench.errors import UserError
from rsir_bench.scenes.card import folder_key, load_cards, parse_card

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
