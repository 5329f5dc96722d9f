"""Split a source by class, so that settings can be chosen without looking at any target.

    python studies/held_out_classes.py ucm --data-root data --out held-out

makes two folders of links to the dataset's scenes, ``held-out/ucm-trained`` and ``held-out/ucm-retrieved``: every third
class is in the second. A protocol with the first as its source and the second as its target retrieves among classes
that no training saw, as on a real target, but in scenes that a choice may be made on. The command for it is printed;
its results are on a separate board.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rsir_bench.base.errors import UserError, run_and_exit
from rsir_bench.scenes.index import SceneIndex, resolve_dataset
from rsir_bench.scenes.reading.store import FolderStore

EVERY = 3


def split(index: SceneIndex, out: Path, every: int = EVERY) -> tuple[Path, Path]:
    """Link the scenes of a dataset into two folders of class folders.

    Args:
        index: The dataset.
        out: Where the two folders go, named after the dataset.
        every: The second folder gets the classes whose numbers, from 1 in the order of the labels, are multiples of it.

    Returns:
        The folder to train on and the one to retrieve in.

    Raises:
        UserError: One of them is there already, or a part would have fewer than two classes, or the scenes
            have no files of their own.
    """
    held = [every > 0 and number % every == 0 for number in range(1, len(index.classes) + 1)]
    if min(sum(held), len(held) - sum(held)) < 2:
        raise UserError(f"--every {every}: of {len(held)} classes each part needs two at least; choose another")
    if not isinstance(index.store, FolderStore):
        raise UserError(f"{index.root}: its scenes have no files to link; name a folder of class folders")
    folders = out / f"{index.name}-trained", out / f"{index.name}-retrieved"
    for folder in folders:
        if folder.exists():
            raise UserError(f"{folder}: is there already; name another --out, or delete it")
    for path, label in zip(index.paths, index.labels, strict=True):
        link = folders[held[label]] / index.classes[label] / path.replace("/", "-")  # a name may be in two folders
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to((index.root / path).resolve())
    return folders


def main() -> None:
    """Make the folders and print the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="for example ucm")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, default=Path("held-out"))
    parser.add_argument("--every", type=int, default=EVERY)
    options = parser.parse_args()
    trained, retrieved = split(resolve_dataset(options.dataset, options.data_root), options.out, options.every)
    source = f"--set data.source=folder:{trained} --targets folder:{retrieved}"
    print(f"rsir-bench run --protocol PROTOCOL {source} --methods METHOD --set methods.METHOD.SETTING=VALUE")


if __name__ == "__main__":
    run_and_exit(main, "held_out_classes")
