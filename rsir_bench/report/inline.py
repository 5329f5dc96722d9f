"""Turn a figure's file into a part of a page, which scales, follows the colour scheme, and names its points."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from rsir_bench.base.files import digest
from rsir_bench.base.text import visible

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
DECIMALS = re.compile(r"(-?\d+)\.(\d{1,2})\d*")
FONT_FAMILY = re.compile(r"font-family:[^;]*(;|$)")


@dataclass(frozen=True)
class Named:
    """What the reader is shown where the pointer rests on a part of a figure.

    Attributes:
        text: The name of the whole part.
        points: One text for each of its points; empty if the name is enough.
    """

    text: str
    points: Sequence[str] = ()


def inline(file: str, title: str, named: Mapping[str, Named], dark: Mapping[str, str]) -> str:
    """Return the SVG of a figure as an element of a page, as wide as its column.

    Args:
        file: The SVG file that matplotlib wrote.
        title: What the figure shows, for screen readers.
        named: What parts are called, by the id of their group.
        dark: The colours that a dark page has other ones for; the page's style sheet gives these by ``colour_name``.
    """
    root = ElementTree.fromstring(file)
    prefix = f"f{digest([title, file])[:6]}-"
    _clean(root, prefix, named, dark)
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    root.attrib |= {"class": "plot", "role": "img", "aria-label": visible(title), "stroke-linejoin": "round"}
    ElementTree.register_namespace("", SVG)
    return ElementTree.tostring(root, encoding="unicode")


def colour_name(colour: str) -> str:
    """Return the name of a colour in the style sheet: ``"--f-0072b2"`` for ``"#0072b2"``."""
    return f"--f-{colour[1:]}"


def style_sheet(dark: Mapping[str, str]) -> str:
    """Return the style sheet that gives the colours of figures on a dark page."""
    lines = "".join(f"    {colour_name(light)}: {instead};\n" for light, instead in dark.items())
    return f"@media (prefers-color-scheme: dark) {{\n  :root {{\n{lines}  }}\n}}\n"


def _clean(element: Element, prefix: str, named: Mapping[str, Named], dark: Mapping[str, str]) -> None:
    """Drop what a page does not need, round numbers, and name parts, from an element down."""
    element.text, element.tail = _kept(element.text), None
    for child in list(element):
        if child.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}style") or (child.tag == f"{{{SVG}}}g" and not len(child)):
            element.remove(child)
    name = named.get(element.attrib.get("id", ""))
    for key, value in list(element.attrib.items()):
        del element.attrib[key]
        if key == "id" and element.tag == f"{{{SVG}}}g":
            continue
        _set(element, key, value, prefix, dark)
    for child in list(element):
        _clean(child, prefix, named, dark)
        if child.tag == f"{{{SVG}}}g" and not child.attrib:  # a group of nothing but parts
            place = list(element).index(child)
            element[place : place + 1] = list(child)
    if name is not None:
        _name(element, name)


def _kept(text: str | None) -> str | None:
    return text if text and text.strip() else None


def _set(element: Element, key: str, value: str, prefix: str, dark: Mapping[str, str]) -> None:
    if value.startswith("rotate(-0 "):
        return
    if key == "id":
        value = prefix + value
    elif key == f"{{{XLINK}}}href":
        key, value = "href", value.replace("#", f"#{prefix}", 1)
    elif key == "clip-path":
        value = value.replace("#", f"#{prefix}", 1)
    elif key == "style":
        value = FONT_FAMILY.sub("", value)
        for light in dark:
            value = value.replace(light, f"var({colour_name(light)},{light})")
    elif key in ("d", "x", "y", "transform", "points", "viewBox"):
        value = DECIMALS.sub(r"\1.\2", " ".join(value.split()))
    element.attrib[key] = value


def _name(element: Element, name: Named) -> None:
    """Add the titles of a part: that of the whole, and one for each point where there are as many points."""
    element.attrib["class"] = "named"
    points = list(element.iter(f"{{{SVG}}}use"))
    if len(points) == len(name.points):
        for point, text in zip(points, name.points, strict=True):
            _title(point, text)
    _title(element, name.text)


def _title(element: Element, text: str) -> None:
    title = ElementTree.Element(f"{{{SVG}}}title")
    title.text = visible(text)
    element.insert(0, title)
