"""Find the scenes of a target that are most similar to an image, and render a page that shows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsir_bench.base.errors import RunError, UserError
from rsir_bench.base.html import html_environment
from rsir_bench.ranking.after import PostProcessing
from rsir_bench.runs.request import Request
from rsir_bench.scenes.data_uri import PICTURE, as_address
from rsir_bench.scenes.index import SceneIndex
from rsir_bench.search.after import AfterHits, find_after
from rsir_bench.search.gallery import Gallery, Hit, find_run
from rsir_bench.search.index import APPROXIMATE, RecallReport, refuse_approximate_codes
from rsir_bench.search.query import Query, read_pixels, read_query, scene_pixels


@dataclass(frozen=True)
class Answer:
    """The scenes that a search found.

    Attributes:
        query: The query image.
        gallery: The scenes that were searched.
        kind: The kind of index.
        hits: The scenes found, nearest first.
        comparison: The approximate index compared with the exact one; None if the search was exact.
        after: The scenes found after each post-processing.
    """

    query: Query
    gallery: Gallery
    kind: str
    hits: list[Hit]
    comparison: RecallReport | None
    after: tuple[AfterHits, ...] = ()

    @property
    def scenes(self) -> SceneIndex:
        """The target."""
        return self.gallery.scenes

    @property
    def query_class(self) -> str | None:
        """The class of the query; None unless it is a scene of a target whose scenes have one."""
        return None if self.query.scene is None else self.class_of(self.query.scene)

    @property
    def query_labels(self) -> list[str] | None:
        """The labels of the query; None unless it is a scene of a target whose scenes have several."""
        return None if self.query.scene is None else self.labels_of(self.query.scene)

    def class_of(self, scene: int) -> str | None:
        """Return the class name of a scene; None if scenes have several labels."""
        return None if self.scenes.several is not None else self.scenes.classes[int(self.scenes.labels[scene])]

    def labels_of(self, scene: int) -> list[str] | None:
        """Return the labels of a scene; None if scenes have one, their class."""
        return None if self.scenes.several is None else self.scenes.several.of(scene)

    def words(self, scene: int) -> str:
        """Return the class of a scene, or its labels."""
        return self.class_of(scene) or ", ".join(self.labels_of(scene) or [])

    def same_class(self, hit: Hit) -> bool | None:
        """Return whether the scene has the query's class; None if that is unknown, or scenes have several labels."""
        return None if self.query_class is None else self.class_of(hit.scene) == self.query_class

    def shared(self, hit: Hit) -> list[str] | None:
        """Return the labels that the scene shares with the query; None if the query's are unknown."""
        if self.query_labels is None:
            return None
        return [name for name in self.labels_of(hit.scene) or [] if name in self.query_labels]

    def value(self, hit: Hit) -> str:
        """Return the similarity or distance as text; whole bits for codes."""
        return f"{hit.value:.0f}" if self.gallery.space.binary else f"{hit.value:.4f}"

    @property
    def lines(self) -> list[str]:
        """The search in words."""
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


def search_scenes(
    image: Path,
    request: Request,
    *,
    row: str | None = None,
    top: int = 10,
    ann: str | None = None,
    after: Sequence[PostProcessing] = (),
    log: Callable[[str], object],
) -> Answer:
    """Search a target for the scenes most similar to an image, without training; describe the target if needed.

    Args:
        image: The query; an image file from anywhere.
        request: One method, one seed, one target.
        row: Name of the row; None for the default, see ``rsir_bench.search.gallery.find_run``.
        top: The number of scenes to find, not counting the query.
        ann: ``hnsw`` or ``ivf`` for an approximate search; None searches exactly.
        after: Also post-process the exact search; the whole gallery takes part in it.
        log: Called with a line about work that takes long.

    Raises:
        UserError: The run is not trained, the image or a descriptor cannot be read, or an option does not fit.
    """
    for option, name in (("--method", request.methods[0]), ("--target", request.targets[0])):
        if name == "all" or "," in name:
            raise UserError(f"{option} {name}: search takes exactly one; name it")
    if ann is not None and ann not in APPROXIMATE:
        raise UserError(f"--ann {ann}: unknown; choose {' or '.join(APPROXIMATE)}, or omit it for exact search")
    if ann and after:
        raise UserError(f"--after {after[0]}: post-processing searches exactly; omit --ann or --after")
    if not image.exists():
        raise UserError(f"{image}: no such file; name an image file")
    artifacts, cell = find_run(request, row)
    if ann and cell.row.kind == "code":
        refuse_approximate_codes(ann)
    # The image is read before anything that takes long.
    query = read_query(image, artifacts.plan.datasets[cell.target], artifacts.run.transform)
    kind = ann or "flat"
    try:
        gallery = Gallery(artifacts, cell, log)
        hits = gallery.find(query, top, kind)
        processed = tuple(find_after(gallery, query, top, one) for one in after)
        return Answer(query, gallery, kind, hits, gallery.compare(kind, top) if ann else None, processed)
    except RunError as error:  # unlike in a campaign, no other run continues
        raise UserError(str(error)) from None


def as_page(answer: Answer) -> str:
    """Return one self-contained HTML page that shows the query and the hits.

    Raises:
        UserError: A scene can no longer be read.
    """
    template = html_environment("rsir_bench.search", "").get_template("panel.html")
    pictures: dict[int, str] = {}

    def shown(rank: int, hit: Hit, value: str, before: int | None = None) -> dict[str, Any]:
        if hit.scene not in pictures:
            pictures[hit.scene] = as_address(scene_pixels(hit.scene, answer.scenes, PICTURE))
        return {
            "rank": rank,
            "value": value,
            "words": answer.words(hit.scene),
            "scene": answer.scenes.paths[hit.scene],
            "itself": hit.itself,
            "same": answer.same_class(hit),
            "shared": answer.shared(hit),
            "before": before,
            "picture": pictures[hit.scene],
        }

    hits = [shown(rank, hit, answer.value(hit)) for rank, hit in enumerate(answer.hits, start=1)]
    after = {
        found.processing.label: [
            shown(rank, hit, f"{hit.value:.4f}", was)
            for rank, (hit, was) in enumerate(zip(found.hits, found.before, strict=True), start=1)
        ]
        for found in answer.after
    }
    query = {
        "name": answer.query.path.name,
        "class": answer.query_class,
        "labels": answer.query_labels,
        "picture": as_address(read_pixels(answer.query.path, answer.scenes, PICTURE)),
    }
    return template.render(query=query, target=answer.scenes.name, lines=answer.lines, hits=hits, after=after)
