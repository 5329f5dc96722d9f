"""The explorer and the pages of scenes in a real browser, opened from disk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest
from browser import chromium, opened
from scenery import EVIL, Scenery, scenery

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Scenery:
    return scenery(tmp_path_factory)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


def settled(page: Any, scene: int) -> None:
    """Waits until the rankings of a scene are drawn."""
    page.wait_for_selector(f'#rankings[data-scene="{scene}"]')


def address(page: Any) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(page.url.partition("#")[2]).items()}


def check_rankings(page: Any, made: Scenery, scene: int) -> None:
    """Every frame, sign and scene is what the data say."""
    labels = made.target.labels
    for number, shown in enumerate(made.target.methods):
        items = page.locator(".ranking").nth(number).locator("li")
        found = shown.found.indices[scene].tolist()
        assert [int(value) for value in items.evaluate_all("all => all.map(one => one.dataset.scene)")] == found
        for place, neighbour in enumerate(found):
            right = labels[neighbour] == labels[scene]
            item = items.nth(place)
            assert item.get_attribute("class") == ("right" if right else "wrong")
            assert item.locator(".mark").inner_text().split()[:2] == [str(place + 1), "✓" if right else "✗"]
            style = item.locator("img").evaluate("one => getComputedStyle(one).borderTopStyle")
            assert style == ("solid" if right else "dashed")


def test_choosing_class_and_scene(made: Scenery, browser: Any) -> None:
    with opened(browser, made.out / "explorer.html") as found:
        page = found.page
        settled(page, 0)
        check_rankings(page, made, 0)
        assert EVIL in page.inner_text("#status")
        page.select_option("#class", label="class1")
        settled(page, 80)
        page.select_option("#scene", label="scene05.png")
        settled(page, 85)
        check_rankings(page, made, 85)
        assert address(page) == {
            "board": made.target.board,
            "target": made.target.index.name,
            "class": "class1",
            "scene": "class1/scene05.png",
        }


def test_keyboard(made: Scenery, browser: Any) -> None:
    with opened(browser, made.out / "explorer.html") as found:
        page = found.page
        settled(page, 0)
        for key, scene in (("ArrowRight", 1), ("ArrowLeft", 0), ("ArrowLeft", 39), ("n", 40), ("p", 0), ("p", 80)):
            page.keyboard.press(key)
            settled(page, scene)
        focused = []
        for _ in range(12):
            page.keyboard.press("Tab")
            focused.append(page.evaluate("document.activeElement.id || document.activeElement.parentElement.id"))
            width = page.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)")
            assert width > 0, focused
        assert [name for name in focused if name in ("target", "class", "scene", "previous", "next", "strip")] == [
            "target",
            "class",
            "scene",
            "previous",
            "next",
            "strip",
        ]
        page.locator(".ranking li button").first.focus()
        first = int(page.locator(".ranking li").first.get_attribute("data-scene"))
        page.keyboard.press("Enter")
        settled(page, first)


def test_arrows_in_a_list_stay_there(made: Scenery, browser: Any) -> None:
    with opened(browser, made.out / "explorer.html") as found:
        settled(found.page, 0)
        found.page.focus("#target")
        found.page.keyboard.press("n")
        found.page.wait_for_timeout(100)
        assert "scene00.png" in found.page.inner_text("#status")
        assert found.page.input_value("#class") == "0"


def test_an_address_opens_its_view(made: Scenery, browser: Any) -> None:
    words = {"board": made.target.board, "target": made.target.index.name, "scene": "class1/scene07.png"}
    with opened(browser, made.out / "explorer.html") as found:
        found.page.goto(f"{(made.out / 'explorer.html').as_uri()}#{urlencode(words)}")
        settled(found.page, 87)
        assert found.page.input_value("#class") == "2"
        found.page.goto(f"{(made.out / 'explorer.html').as_uri()}#scene=nowhere&class=class1")
        settled(found.page, 80)


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_all_images_load_and_nothing_is_wider_than_the_screen(
    made: Scenery, browser: Any, width: int, dark: bool
) -> None:
    for path in ("explorer.html", f"scenes/{made.target.name}.html"):
        with opened(browser, made.out / path, width=width, dark=dark) as found:
            page = found.page
            if path == "explorer.html":
                settled(page, 0)
            page.evaluate("document.querySelectorAll('img').forEach(one => { one.loading = 'eager'; })")
            page.wait_for_function("[...document.images].every(one => one.complete && one.naturalWidth > 0)")
            assert page.evaluate("document.images.length") > 40
            assert page.evaluate("[...document.images].every(one => one.alt)")
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_query_and_rankings_are_two_columns_on_a_wide_screen(made: Scenery, browser: Any) -> None:
    for width, columns, across in ((1440, 2, 10), (390, 1, 5)):
        with opened(browser, made.out / "explorer.html", width=width) as found:
            page = found.page
            settled(page, 0)
            edges = "all => all.map(one => Math.round(one.getBoundingClientRect().left))"
            assert len(set(page.eval_on_selector_all(".browse > *", edges))) == columns
            items = page.locator(".ranking").first.locator("li")
            assert len(set(items.evaluate_all(edges))) == across
            heading = page.locator(".ranking h3").first
            assert heading.get_attribute("title") == made.target.methods[0].title


def test_a_tile_opens_the_explorer_at_its_scene(made: Scenery, browser: Any) -> None:
    tile = made.scenes.strips[made.target.index.name].tiles[2]
    with opened(browser, made.out / "explorer.html") as found:
        found.page.goto(f"{made.out.as_uri()}/{tile.href}")
        settled(found.page, made.target.index.paths.index(tile.path))


def test_skipping_to_the_content_leaves_the_scene(made: Scenery, browser: Any) -> None:
    with opened(browser, made.out / "explorer.html") as found:
        settled(found.page, 0)
        found.page.keyboard.press("ArrowRight")
        settled(found.page, 1)
        found.page.locator("a.skip").focus()
        found.page.keyboard.press("Enter")
        found.page.wait_for_function("location.hash === '#content'")
        found.page.wait_for_timeout(100)  # no event marks that something did not happen
        assert "scene01.png" in found.page.inner_text("#status")
        settled(found.page, 1)


def test_methods_can_be_left_out(made: Scenery, browser: Any) -> None:
    with opened(browser, made.out / "explorer.html") as found:
        page = found.page
        settled(page, 0)
        assert page.inner_text("#count") == "4 of 4"
        page.click(".methods summary")
        page.locator("#methods input").nth(1).uncheck()
        page.wait_for_function("document.querySelectorAll('.ranking').length === 3")
        titles = page.locator(".ranking h3").all_inner_texts()
        assert not any(title.startswith(made.target.methods[1].title + " ") for title in titles)


def test_panels_lead_to_the_explorer(made: Scenery, browser: Any) -> None:
    with opened(browser, made.out / f"scenes/{made.target.name}.html") as found:
        found.page.locator(".panel .query a").first.click()
        found.page.wait_for_selector("#rankings[data-scene]")
        assert address(found.page)["scene"].endswith(".png")
