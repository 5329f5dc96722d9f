"""What a search found: as a table, as JSON, and as a page with pictures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from tabulate import tabulate

from rsir_bench.scenes.data_uri import as_address
from rsir_bench.scenes.index import SceneIndex
from rsir_bench.scenes.pixel_cache import Transform
from rsir_bench.search.gallery import Gallery, Hit
from rsir_bench.search.index import Comparison
from rsir_bench.search.query import Query, read_pixels

PICTURE = Transform(192)
"""How scenes are shown on the page: red, green and blue."""


@dataclass(frozen=True)
class Answer:
    """The scenes that a search found.

    Attributes:
        query: What was searched for.
        gallery: Where.
        kind: Of index.
        hits: Nearest first.
        comparison: The approximate index beside the exact one; None where the search was exact.
    """

    query: Query
    gallery: Gallery
    kind: str
    hits: list[Hit]
    comparison: Comparison | None

    @property
    def scenes(self) -> SceneIndex:
        """The target."""
        return self.gallery.scenes

    @property
    def query_class(self) -> str | None:
        """Known where the query is a scene of the target."""
        return None if self.query.scene is None else self.class_of(self.query.scene)

    def class_of(self, scene: int) -> str:
        """The class name of a scene."""
        return self.scenes.classes[int(self.scenes.labels[scene])]

    def same_class(self, hit: Hit) -> bool | None:
        """Whether the scene is of the query's class; None where that is not known."""
        return None if self.query_class is None else self.class_of(hit.scene) == self.query_class

    def value(self, hit: Hit) -> str:
        """The similarity or distance as text; whole bits for codes."""
        return f"{hit.value:.0f}" if self.gallery.space.binary else f"{hit.value:.4f}"

    @property
    def lines(self) -> list[str]:
        """What was searched and how, in words."""
        cell, run = self.gallery.cell, self.gallery.artifacts.run
        row = cell.row_name + (" fitted on the target" if cell.fit == "target" else "")
        searched = f"{self.scenes.name}, {len(self.gallery):,} scenes"
        lines = [f"{run.title}, row {row}, on {searched}; by {self.gallery.space.unit}"]
        if self.comparison is not None:
            found = self.comparison
            lines.append(
                f"{self.kind}: recall@{found.top} {found.recall:.3f} against exact search, on {found.scenes} scenes; "
                f"{found.milliseconds:.2f} ms per query, exact {found.exact_milliseconds:.2f} ms"
            )
        return lines


def as_table(answer: Answer) -> str:
    """The hits as plain text, under what was searched."""
    known = answer.query_class is not None
    headers = ["rank", answer.gallery.space.unit, "class", "scene", *(["same class"] if known else [])]
    rows = []
    for rank, hit in enumerate(answer.hits, start=1):
        row = [str(rank), answer.value(hit), answer.class_of(hit.scene), answer.scenes.paths[hit.scene]]
        rows.append([*row, *([_same(answer, hit)] if known else [])])
    align = ["right", "right", *["left"] * (len(headers) - 2)]
    table = tabulate(rows, headers, tablefmt="simple", colalign=align, disable_numparse=True)
    return "\n".join([f"{answer.query.path}", *answer.lines, "", table])


def _same(answer: Answer, hit: Hit) -> str:
    if hit.itself:
        return "the query itself"
    return "yes" if answer.same_class(hit) else "no"


def as_json(answer: Answer) -> dict[str, Any]:
    """Everything for programs."""
    gallery, run = answer.gallery, answer.gallery.artifacts.run
    scene = answer.query.scene
    return {
        "query": {
            "file": str(answer.query.path),
            "scene": None if scene is None else answer.scenes.paths[scene],
            "class": answer.query_class,
        },
        "method": run.method.label,
        "seed": run.seed,
        "row": gallery.cell.row_name,
        "fit": gallery.cell.fit,
        "board": gallery.artifacts.plan.board,
        "target": answer.scenes.name,
        "fingerprint": answer.scenes.fingerprint,
        "scenes": len(gallery),
        "measure": gallery.space.unit,
        "index": answer.kind,
        "comparison": asdict(answer.comparison) if answer.comparison else None,
        "hits": [
            {
                "rank": rank,
                "value": hit.value,
                "class": answer.class_of(hit.scene),
                "scene": answer.scenes.paths[hit.scene],
                "itself": hit.itself,
                "same_class": answer.same_class(hit),
            }
            for rank, hit in enumerate(answer.hits, start=1)
        ],
    }


def as_page(answer: Answer) -> str:
    """One page that needs no other file: the query and the hits, as pictures.

    Raises:
        UserError: A scene cannot be read any more.
    """
    import jinja2  # only this needs it

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string((resources.files("rsir_bench.search") / "panel.html").read_text("utf-8"))
    hits = [
        {
            "rank": rank,
            "value": answer.value(hit),
            "class": answer.class_of(hit.scene),
            "scene": answer.scenes.paths[hit.scene],
            "itself": hit.itself,
            "same": answer.same_class(hit),
            "picture": _picture(answer.scenes.root / answer.scenes.paths[hit.scene], answer.scenes),
        }
        for rank, hit in enumerate(answer.hits, start=1)
    ]
    query = {
        "name": answer.query.path.name,
        "class": answer.query_class,
        "picture": _picture(answer.query.path, answer.scenes),
    }
    return template.render(query=query, target=answer.scenes.name, lines=answer.lines, hits=hits)


def _picture(path: Path, index: SceneIndex) -> str:
    """A scene as the address of an image that holds its bytes."""
    return as_address(read_pixels(path, index, PICTURE))
