"""Checks of a class: its card, its settings, and whether it builds networks of any shape."""

from __future__ import annotations

from rsir_bench.conformance.harness import MANY, SCENES, Bench, Failure, Training, descriptors, pixels_of, some
from rsir_bench.method import FrontEndCard, Settings
from rsir_bench.records.paper import paper_row, published_rows


def card(bench: Bench) -> str:
    """Check that the card is complete, and that the paper has its published rows.

    Raises:
        Failure: The check fails.
    """
    card = bench.entry.method_class.card
    trained = isinstance(card, FrontEndCard) or card.trained
    wanted = {"title": card.title, "paper": card.paper, "choices": "".join(card.choices)}
    if trained:
        wanted["stated"] = "".join(card.stated)
    if empty := [name for name, text in wanted.items() if not text.strip()]:
        raise Failure(f"card {card.name}: {', '.join(empty)} is empty")
    rows = bench.named.card.rows
    known = published_rows()
    for name, row in rows.items():
        if row.paper and paper_row(name, row.paper) not in known:
            near = sorted({f"{entry.method!r}, {entry.variant!r}, row {entry.pooling!r}" for entry in known})
            near = [text for text in near if row.paper[0] in text] or near
            raise Failure(f"row {name!r}: the paper has no {row.paper}; it has {'; '.join(near[:MANY])}")
    if isinstance(card, FrontEndCard) and (unknown := set(card.published) - set(rows)):
        raise Failure(f"published names rows that {card.default_method} does not have: {some(unknown)}")
    return f"{len(rows)} rows"


def settings(bench: Bench) -> str:
    """Check that the class of the settings is a ``Settings`` that rejects misspelt names.

    Raises:
        Failure: The check fails.
    """
    settings_class = bench.entry.method_class.Settings
    if not issubclass(settings_class, Settings):
        raise Failure(f"{settings_class.__name__}: derive it from rsir_bench.method.Settings")
    if settings_class.model_config.get("extra") != "forbid":
        raise Failure(f"{settings_class.__name__}: accepts settings that do not exist; leave its model_config out")
    return ", ".join(settings_class.model_fields) or "none"


def builds(bench: Bench) -> str:
    """Build it for 7 classes and 3 bands."""
    network = bench.build()
    return f"{sum(tensor.numel() for tensor in network.parameters())} parameters"


def other_shape(bench: Bench) -> None:
    """Build, train and describe with 38 classes and 13 bands."""
    network = bench.build(bench.setup(38, 13))
    scenes = bench.draw(SCENES, 38, 13)
    if bench.named.card.trained:
        Training(network, scenes).epoch(1)
    descriptors(network, pixels_of(scenes)[:4])
