"""A page for each dataset, from its card."""

from __future__ import annotations

from rsir_bench.scenes.card import DatasetCard, load_cards

from .markdown import bullets, code, contents, escaped, fence, prose, table

INTRO = """`rsir-bench datasets` lists the same, and which of them are present. Own scenes need no card:
[Scenes of your own](../own_scenes.md); to add one that others should find: [Add a dataset](../add_dataset.md)."""


def pages() -> dict[str, str]:
    """Return the list of datasets, and a page for each."""
    cards = load_cards()
    rows = [
        [
            f"[{code(name)}](datasets/{name}.md)",
            escaped(card.title),
            _size(card),
            str(len(_labels(card))) + (" labels" if card.labels else ""),
            str(card.pixels),
            escaped(card.licence),
        ]
        for name, card in cards.items()
    ]
    heads = ["Name", "Dataset", "Scenes", "Classes", "Pixels", "Licence"]
    return {
        "datasets.md": contents("Datasets", INTRO, [f"datasets/{name}" for name in cards])
        + "\n"
        + table(heads, rows)
        + "\n",
        **{f"datasets/{name}.md": _page(card) for name, card in cards.items()},
    }


def _scenes(card: DatasetCard) -> int:
    return sum(scene_class.scenes for scene_class in card.classes)


def _size(card: DatasetCard) -> str:
    """Return the number of scenes, where the card says it."""
    return f"{_scenes(card):,}" if card.classes else "not on the card"


def _labels(card: DatasetCard) -> tuple[str, ...]:
    """Return the names of labels or of classes."""
    return tuple(card.labels.names) if card.labels else tuple(scene_class.name for scene_class in card.classes)


def _page(card: DatasetCard) -> str:
    """Return the page of a dataset."""
    facts = {
        "Scenes": _size(card),
        "Labels" if card.labels else "Classes": str(len(_labels(card))),
        "Pixels": f"{card.pixels} x {card.pixels}, {card.bands} bands",
        "Ground resolution": escaped(card.ground_resolution),
        "Licence": escaped(card.licence),
        "Source": escaped(card.source),
    }
    if card.paper_name:
        facts["In the paper"] = escaped(card.paper_name)
    if card.download and card.download.by_hand:
        facts["Download"] = prose(card.download.by_hand)
    classes = ([escaped(scene_class.name), f"{scene_class.scenes:,}"] for scene_class in card.classes)
    parts = [f"# {escaped(card.title)}", prose(card.description), table(["", ""], ([*pair] for pair in facts.items()))]
    parts += [fence("text", command) for command in _commands(card)]
    parts.append(f'Published results with figures: <a href="../../report/datasets/{card.name}.html">report</a>.')
    parts += ["## Cite", prose(card.citation)]
    parts += ["## Known faults", bullets(card.defects)] if card.defects else []
    if card.labels:
        parts += ["## Labels", f"A scene has several: {escaped(', '.join(_labels(card)))}."]
    if card.classes:
        parts += ["## Classes", table(["Class", "Scenes"], classes)]
    return "\n\n".join(parts) + "\n"


def _commands(card: DatasetCard) -> list[str]:
    if card.generator:
        return []
    lines = [f"rsir-bench datasets {verb} {card.name} --data-root data" for verb in ("download", "verify")]
    return ["\n".join(lines)]
