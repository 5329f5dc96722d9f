"""Search settings for the tuned rows, every method with the same number of configurations, on held-out classes.

    python studies/held_out_classes.py ucm --data-root data --out held-out
    python studies/tuned_rows.py held-out/ucm-trained held-out/ucm-retrieved --results tuned-rows.jsonl

``tuned_rows.toml`` next to it holds the configurations. The study trains on the first folder, retrieves in the second,
and prints one line per configuration, the best first: the mean mAP of its rows over the seeds. For a front end that
generates parameters it also prints how much of known distortions they explain: the scenes that are retrieved are
distorted at random, and R^2 is that of a least squares prediction of each true parameter from the generated ones, on
scenes that were not fitted on: 1 for a full explanation, about 0 for none. No target of any protocol is looked at.
What is in the file of results is not trained again, so a search can be stopped, and continued on another machine.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from explained_distortions import explained  # type: ignore[import-not-found] # the study next to this one
from tabulate import tabulate

from rsir_bench.base.errors import UserError, run_and_exit
from rsir_bench.base.progress import log
from rsir_bench.runs.artifacts.chain import RunArtifacts
from rsir_bench.runs.plan import Plan, Run
from rsir_bench.runs.request import Request
from rsir_bench.runs.runners.campaign import campaign
from rsir_bench.scenes.batches import unit_range
from rsir_bench.scenes.pixel_cache import open_pixels
from rsir_bench.training.augmentation import Distortions

GRID = Path(__file__).with_suffix(".toml")
STRENGTH = 0.5  # of the known distortions, as in the augmentation of the grid
PARAMETERS = ("gain", "offset", "scale", "shift", "rotation")


def configurations(grid: dict[str, Any], method: str) -> Iterator[list[str]]:
    """Yield the overrides of each configuration of a method."""
    for parts in itertools.product(grid["methods"][method]["regimes"], *grid["shared"].values()):
        yield [override for part in parts for override in part]


def explained_parameters(plan: Plan, run: Run) -> dict[str, float]:
    """Return R^2 of each kind of known distortion for a trained front end, by name; empty for a method without one."""
    network = RunArtifacts(plan, run).network().load().eval()
    front = getattr(network, "front", None)
    if not hasattr(front, "transformation"):
        return {}
    scenes = open_pixels(plan.datasets[run.cells[0].target], run.transform)
    pixels = torch.from_numpy(np.array(scenes)).permute(0, 3, 1, 2)
    drawn = Distortions.draw(len(pixels), pixels.shape[1], STRENGTH, torch.Generator().manual_seed(0))
    theta = []
    with torch.inference_mode():
        for start in range(0, len(pixels), 64):
            part = slice(start, start + 64)
            theta.append(front.transformation(drawn[part].apply(unit_range(pixels[part])))[1])  # type: ignore[union-attr]
    generated = torch.cat(theta).double().numpy()
    return {name: explained(generated, getattr(drawn, name).double().numpy()) for name in PARAMETERS}


def figures_of(request: Request) -> dict[str, float] | None:
    """Return the figures of a configuration with one seed, by the column that shows them; None: the run failed."""
    outcome = campaign(request, log)
    if outcome.failures:
        return None
    figures = {f"{record.row.name} mAP": record.metrics["mAP"] for record in outcome.records}
    parameters = explained_parameters(outcome.plan, outcome.plan.runs[0])
    return figures | {f"R^2 {name}": value for name, value in parameters.items()}


def read_results(path: Path) -> dict[tuple[str, str, int], dict[str, float]]:
    """Return the figures in a file of results, by method, settings and seed; none if there is no file yet."""
    if not path.is_file():
        return {}
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {(line["method"], line["settings"], line["seed"]): line["figures"] for line in lines}


def table(method: str, grid: dict[str, Any], results: dict[tuple[str, str, int], dict[str, float]]) -> str:
    """Return a table of a method's configurations, the best first, with the means over the seeds that are done."""
    rows: list[dict[str, Any]] = []
    for overrides in configurations(grid, method):
        settings = " ".join(overrides)
        done = [results[method, settings, seed] for seed in grid["seeds"] if (method, settings, seed) in results]
        if done:
            means = {name: mean(figures[name] for figures in done) for name in done[0]}
            rows.append({**means, "seeds": len(done), "settings": settings})
    best_first = sorted(rows, key=lambda row: row["PCA mAP"], reverse=True)
    return tabulate(best_first, "keys", floatfmt=".4f")


def main() -> None:
    """Train every configuration, and print a table."""
    grid = tomllib.loads(GRID.read_text(encoding="utf-8"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder of class folders to train on")
    parser.add_argument("target", type=Path, help="folder of class folders to retrieve in")
    parser.add_argument("--methods", default=",".join(grid["methods"]), help="some of the grid's methods")
    parser.add_argument("--seed", type=int, choices=grid["seeds"], help="only this one; for one process per core")
    parser.add_argument("--results", type=Path, required=True, help="file of figures, one line of JSON for each seed")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, default=Path("runs"))
    options = parser.parse_args()
    methods = options.methods.split(",")
    if unknown := set(methods) - set(grid["methods"]):
        parser.error(f"--methods {', '.join(sorted(unknown))}: not in {GRID.name}; add regimes there first")
    failed: list[str] = []
    for method in methods:
        seeds = grid["seeds"] if options.seed is None else [options.seed]
        for overrides, seed in itertools.product(configurations(grid, method), seeds):
            settings = " ".join(overrides)
            if (method, settings, seed) in read_results(options.results):
                continue
            request = Request(
                methods=[method],
                targets=[f"folder:{options.target}"],
                protocol=grid["protocol"],
                seeds=[seed],
                data_root=options.data_root,
                out=options.out,
                overrides=[f"data.source=folder:{options.source}", *overrides],
            )
            if (figures := figures_of(request)) is None:
                failed.append(f"{method} {settings} seed {seed}")
                continue
            line = {"method": method, "settings": settings, "seed": seed, "figures": figures}
            with options.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        print(f"{method}\n{table(method, grid, read_results(options.results))}", flush=True)
    if failed:
        raise UserError(f"failed: {', '.join(failed)}; the same command tries again")


if __name__ == "__main__":
    run_and_exit(main, "tuned_rows")
