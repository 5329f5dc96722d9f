"""How much of the known distortions of the synthetic scenes JSST's parameters explain.

    python studies/explained_distortions.py jsst --source demo-both --out runs

trains the method (or loads a trained one) under the protocol ``demo``, generates the transformation parameters
of every scene of a distorted target, and predicts the true affine and spectral parameters from them by least squares on
other scenes of the target. The linear map removes the gauge: the network is free in which view it takes for the
undistorted one. The study prints the coefficient of determination R^2 on held-out scenes: 1 for a full explanation,
about 0 for none.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold, cross_val_predict
from tabulate import tabulate

from rsir_bench.base.errors import run_and_exit
from rsir_bench.datasets.synthetic import (  # type: ignore[import-not-found] # the folder datasets/, as installed
    AFFINE_COLUMNS,
    GAIN_COLUMNS,
    OFFSET_COLUMN,
    read_distortions,
)
from rsir_bench.runs.artifacts.chain import RunArtifacts
from rsir_bench.runs.plan import Plan, Run, make_plan
from rsir_bench.runs.request import Request
from rsir_bench.scenes.batches import unit_range
from rsir_bench.scenes.pixel_cache import open_pixels

TRUTHS = {"affine": AFFINE_COLUMNS, "spectral": (*GAIN_COLUMNS, OFFSET_COLUMN)}
FOLDS = 10


def generated(plan: Plan, run: Run, target: str) -> np.ndarray:
    """Return the parameters that a trained front end generates for the scenes of a target, (N, P) float64."""
    network = RunArtifacts(plan, run).network().load().eval()
    pixels = torch.from_numpy(np.array(open_pixels(plan.datasets[target], run.transform))).permute(0, 3, 1, 2)
    with torch.inference_mode():
        parts = [network.front.transformation(unit_range(part))[1] for part in pixels.split(64)]  # type: ignore[union-attr, operator, no-untyped-call]
        return torch.cat(parts).double().numpy()


def explained(theta: np.ndarray, truth: np.ndarray, seed: int = 0) -> float:
    """Return the held-out R^2, averaged over the columns of the truth that vary; NaN where none does.

    Args:
        theta: (N, P) float, the predictors.
        truth: (N, Q) float, the known parameters.
        seed: Of the folds.
    """
    truth = truth[:, truth.std(axis=0) > 0]
    if not truth.shape[1]:
        return float("nan")
    folds = KFold(FOLDS, shuffle=True, random_state=seed)
    predicted = cross_val_predict(LinearRegression(), theta, truth, cv=folds)
    rest = ((truth - predicted) ** 2).sum(axis=0) / ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)
    return float(1 - rest.mean())


def main() -> None:
    """Print a table: target x kind of distortion."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="+", help="front ends with a transformation, e.g. jsst jsst-spat")
    parser.add_argument("--source", default="demo-source")
    parser.add_argument("--targets", default="demo-view,demo-spectral,demo-both")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--out", type=Path, default=Path("runs"))
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    options = parser.parse_args()
    targets = [name for name in options.targets.split(",") if name != options.source]
    request = Request(
        methods=options.methods,
        targets=targets,
        protocol="demo",
        seeds=[int(seed) for seed in options.seeds.split(",")],
        data_root=Path("data"),
        device="cpu",
        out=options.out,
        overrides=[f"data.source={options.source}", *options.overrides],
        plugins=[],
    )
    plan = make_plan(request)
    rows = []
    for run in plan.runs:
        for target in targets:
            theta = generated(plan, run, target)
            index = plan.datasets[target]
            truth = read_distortions(index.root).loc[list(index.paths)]
            found = [explained(theta, truth[list(columns)].to_numpy()) for columns in TRUTHS.values()]
            rows.append([run.title, target, *found, theta.std(axis=0).max()])
    headers = ["run", "target", *(f"{kind} R^2" for kind in TRUTHS), "greatest spread of theta"]
    print(tabulate(rows, headers, floatfmt=".3f"))


if __name__ == "__main__":
    run_and_exit(main, "explained_distortions")
