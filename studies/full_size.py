"""Rehearse the paper's command at the paper's size on synthetic scenes: time, memory and disk of every stage.

    python studies/full_size.py rehearsal                      # hours of a CPU, 15 GB of disk
    python studies/full_size.py rehearsal --tenth              # trains on a tenth of the source
    python studies/full_size.py quick --set data.size=32       # all but the networks at full size
    python studies/full_size.py rehearsal --draw               # draws the scenes, and stops

Draws all datasets of the protocol with the folders, class names, counts, formats and pixel sizes of the originals, then
runs the protocol unchanged except for random weights of the trunk and what the options say: verify, plan and estimate,
pixel cache, training, describing, PCA, exact scoring, tables, report with its explorer, search. Each stage is a
process: time is elapsed; memory is the peak of the process without the pixel caches that it maps, which Linux alone
tells; disk is the growth of the folder. Finished stages are not repeated. A stage that was interrupted continues and is
marked; one that fails is marked, and the others go on. Scores of synthetic scenes mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tabulate import tabulate

from rsir_bench.base.errors import RunError, run_and_exit
from rsir_bench.base.progress import log, track
from rsir_bench.datasets.synthetic_scenes import (  # type: ignore[import-not-found] # the folder datasets/, as installed
    CLASSES,
    draw_scene,
)
from rsir_bench.protocol import load_protocol
from rsir_bench.records.store import read_records
from rsir_bench.scenes.card import DatasetCard, load_cards

DRAWN = 64  # pixels; then enlarged to the size of the originals, with noise
FORMATS = {"ucm": "tif"}  # the others are JPEG
QUALITY = {"nwpu": 75}  # of JPEG; what gives about the bytes of the originals
METHODS = ("baseline", "jsst")
LOOK_EVERY = 0.2  # seconds from one look at a process's memory to the next


@dataclass(frozen=True)
class Stage:
    """The cost of a stage, of all attempts together.

    Attributes:
        name: The stage.
        seconds: Elapsed; of an attempt that was killed with this process, nothing is known.
        peak_bytes: The most memory of its process at any time.
        disk_bytes: Growth of the folder.
        attempts: How often it was begun.
        ended: ``"well"``, ``"with an error"``, or empty: it was interrupted.
    """

    name: str
    seconds: float = 0
    peak_bytes: int = 0
    disk_bytes: int = 0
    attempts: int = 0
    ended: str = ""

    @property
    def title(self) -> str:
        """Its name, and what its figures are not those of."""
        marks = [f"{self.attempts} attempts"] if self.attempts > 1 else []
        marks += ["failed"] if self.ended == "with an error" else []
        return f"{self.name} ({', '.join(marks)})" if marks else self.name


def draw_class(folder: Path, card: DatasetCard, position: int) -> None:
    """Draw the scenes of one class: a synthetic class, in a tint that no other class has."""
    scene_class = card.classes[position]
    place = folder / scene_class.name
    place.mkdir(parents=True, exist_ok=True)
    ending = FORMATS.get(card.name, "jpg")
    name = f"{card.name}/{scene_class.name}"
    own = np.random.default_rng(int(sha256(name.encode()).hexdigest()[:8], 16))
    tint = own.uniform(0.7, 1.3, 3)
    for number in range(scene_class.scenes):
        rng = np.random.default_rng([position, number, card.pixels])
        scene = draw_scene(list(CLASSES)[position % len(CLASSES)], rng, DRAWN) * tint
        small = Image.fromarray((255 * scene.clip(0, 1)).astype(np.uint8))
        pixels = np.asarray(small.resize((card.pixels, card.pixels), Image.Resampling.BICUBIC), np.int16)
        grain = rng.integers(-6, 7, (card.pixels, card.pixels, 1), np.int16)
        made = Image.fromarray((pixels + grain).clip(0, 255).astype(np.uint8))
        path = place / f"{scene_class.name}_{number:04d}.{ending}"
        if ending == "jpg":
            made.save(path, quality=QUALITY.get(card.name, 95))
        else:
            made.save(path)


def draw_all(names: Sequence[str], data_root: Path) -> None:
    """Draw the named datasets, on all cores."""
    cards = load_cards()
    work = [(cards[name], position) for name in names for position in range(len(cards[name].classes))]
    with ProcessPoolExecutor() as pool:
        waiting = [pool.submit(draw_class, data_root / card.folders[0], card, position) for card, position in work]
        for done in track(waiting, "drawing scenes", len(waiting)):
            done.result()


class Rehearsal:
    """The stages of a rehearsal in a folder; ``stages.json`` holds the costs of finished ones."""

    def __init__(self, folder: Path, epochs: int, changes: Sequence[str] = (), *, tenth: bool = False) -> None:
        self.folder, self.tenth = folder, tenth
        self.data_root, self.runs = folder / "data", folder / "runs"
        protocol = load_protocol("patternnet")
        self.datasets = [protocol.source, *protocol.data.targets]
        self.changes = ["trunk.weights=none", f"train.epochs={epochs}", "train.milestones=[]", *changes]
        self.notes = folder / "stages.json"
        self.done = {stage.name: stage for stage in self._noted()}

    def _noted(self) -> Iterator[Stage]:
        if self.notes.is_file():
            yield from (Stage(**values) for values in json.loads(self.notes.read_text()))

    def _note(self, stage: Stage) -> None:
        self.done[stage.name] = stage
        self.notes.write_text(json.dumps([asdict(one) for one in self.done.values()], indent=1))

    def stage(self, name: str, work: Callable[[], int]) -> None:
        """Do a stage unless it has ended well; ``work`` returns its peak memory in bytes."""
        begun = self.done.get(name, Stage(name))
        if begun.ended == "well":
            return
        begun = replace(begun, attempts=begun.attempts + 1, ended="")
        self._note(begun)
        log(f"stage     {name}")
        before, started, peak, ended = _bytes_below(self.folder), time.perf_counter(), 0, ""
        try:
            peak = work()
            ended = "well"
        except RunError as error:
            log(str(error))
            ended = "with an error"
        finally:
            seconds, grown = time.perf_counter() - started, _bytes_below(self.folder) - before
            self._note(
                replace(
                    begun,
                    seconds=begun.seconds + seconds,
                    peak_bytes=max(begun.peak_bytes, peak),
                    disk_bytes=begun.disk_bytes + grown,
                    ended=ended,
                )
            )

    def command(self, *words: str) -> int:
        """Run a command of rsir-bench in the folder; return its peak memory in bytes."""
        program = [__file__, str(self.folder), "--only-tenth"] if self.tenth else ["-m", "rsir_bench"]
        return self._process([sys.executable, *program, *words], " ".join(words), self.folder / f"{words[0]}.txt")

    def _process(self, words: Sequence[str], name: str, output: Path) -> int:
        environment = {**os.environ, "RSIR_BENCH_CACHE": str(self.folder / "cache")}
        peak = 0
        with output.open("a") as said, subprocess.Popen(words, stdout=said, stderr=said, env=environment) as process:
            while process.poll() is None:
                peak = max(peak, _own_bytes(process.pid))
                time.sleep(LOOK_EVERY)
        if process.returncode:
            raise RunError(f"{name}: failed; see {output}")
        return peak

    def _changed(self) -> list[str]:
        return [word for change in self.changes for word in ("--set", change)]

    def run(self, method: str, *more: str) -> int:
        """Run a method under the protocol."""
        words = ["run", "--methods", method, "--targets", "all", *self._changed(), "--data-root", str(self.data_root)]
        return self.command(*words, "--device", "cpu", "--out", str(self.runs), *more)

    def cache(self) -> int:
        """Decode every scene, as a run would before its training."""
        words = [sys.executable, __file__, str(self.folder), "--only-cache", *self._changed()]
        return self._process(words, "pixel cache", self.folder / "cache.txt")

    def open_caches(self) -> None:
        """Decode every scene in this process."""
        from rsir_bench.runs.resolve import transform_of
        from rsir_bench.scenes.index import resolve_dataset
        from rsir_bench.scenes.pixel_cache import open_pixels

        protocol = load_protocol("patternnet", self.changes)
        for name in self.datasets:
            open_pixels(resolve_dataset(name, self.data_root), transform_of(protocol))

    def search(self) -> int:
        """Search the largest target with its first scene."""
        target = self.datasets[-1]
        image = min((self.data_root / load_cards()[target].folders[0]).rglob("*.jpg"))
        words = ["search", str(image), "--target", target, "--method", METHODS[0], "--protocol", "patternnet"]
        return self.command(*words, *self._changed(), "--data-root", str(self.data_root), "--out", str(self.runs))

    def draw(self) -> int:
        """Draw all scenes; memory is not measured."""
        draw_all(self.datasets, self.data_root)
        return 0

    def everything(self) -> None:
        """Do every stage, in order."""
        for name in self.datasets:
            verify = partial(self.command, "datasets", "verify", name, "--data-root", str(self.data_root))
            self.stage(f"datasets verify {name}", verify)
        self.stage("plan and estimate", lambda: self.run(",".join(METHODS), "--plan"))
        self.stage("pixel cache", self.cache)
        for method in METHODS:
            self.stage(f"run {method}", partial(self.run, method))
        runs = str(self.runs)
        self.stage("leaderboard", lambda: self.command("leaderboard", runs, "--out", str(self.folder / "tables")))
        report = ["report", runs, "--runs", runs, "--data-root", str(self.data_root)]
        self.stage("report", lambda: self.command(*report, "--out", str(self.folder / "report")))
        for turn in ("search, the first", "search, the second"):
            self.stage(turn, self.search)


def _own_bytes(process: int) -> int:
    """Return the memory of a process without that of files that it maps; 0 where it has just ended."""
    try:
        found = re.search(r"^RssAnon:\s*(\d+) kB$", Path(f"/proc/{process}/status").read_text(), re.MULTILINE)
    except ProcessLookupError:
        return 0
    return int(found[1]) * 1024 if found else 0


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def run_on_a_tenth(words: Sequence[str]) -> None:
    """Run a command of rsir-bench in this process; a training, and its estimate, has a tenth of the only epoch."""
    from rsir_bench.cli.app import main as rsir_bench
    from rsir_bench.runs import estimate
    from rsir_bench.training import loop

    whole = loop.epoch_batches

    def tenth(*given: Any) -> list[Any]:
        batches = whole(*given)
        return batches[: -(-len(batches) // 10)]

    vars(loop)["epoch_batches"] = tenth
    vars(estimate)["kept_epochs"] = lambda run: 0.9
    sys.argv = ["rsir-bench", *words]
    rsir_bench()


def within(runs: Path) -> list[list[object]]:
    """Return the costs of training in the records: method, seconds, scenes per second."""
    parts = {}
    for record in read_records([runs]):
        cost = record.cost
        parts[record.method.label] = [cost["train_seconds"], cost["train_images_per_second"]]
    return [[method, *values] for method, values in sorted(parts.items())]


def main() -> None:
    """Do the rehearsal, and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="an empty folder, or that of a rehearsal to continue")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=int, default=1)
    length.add_argument("--tenth", action="store_true", help="train for a tenth of an epoch")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change the protocol, too")
    parser.add_argument("--draw", action="store_true", help="draw the scenes, and stop")
    parser.add_argument("--only-cache", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--only-tenth", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only_tenth:
        run_on_a_tenth(options.only_tenth)
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    rehearsal = Rehearsal(options.folder.resolve(), options.epochs, options.set, tenth=options.tenth)
    if options.only_cache:
        rehearsal.open_caches()
        return
    rehearsal.stage("draw", rehearsal.draw)
    if options.draw:
        return
    rehearsal.everything()
    headers = ["stage", "minutes", "peak memory, MB", "disk, MB"]
    lines = [
        [stage.title, stage.seconds / 60, stage.peak_bytes / 1e6, stage.disk_bytes / 1e6]
        for stage in rehearsal.done.values()
    ]
    print(tabulate(lines, headers, floatfmt=(".0f", ".2f", ",.0f", ",.0f")))
    print(tabulate(within(rehearsal.runs), ["method", "training, s", "images/s"], floatfmt=".1f"))
    said = (rehearsal.folder / "run.txt").read_text()
    print("\n".join(re.findall(r"^(?:estimate|took) .*", said, re.MULTILINE)))
    if failed := [stage.name for stage in rehearsal.done.values() if stage.ended != "well"]:
        raise RunError(f"failed: {', '.join(failed)}; the same command tries again")


if __name__ == "__main__":
    run_and_exit(main, "full_size")
