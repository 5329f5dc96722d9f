"""Pack a folder of class folders as others pack datasets: parquet, tar, and images with a CSV."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rsir_bench.scenes.decode import SCENE_SUFFIXES

Files = Sequence[tuple[str, Path]]
"""Class and file of each scene."""


def files_of(folder: Path) -> list[tuple[str, Path]]:
    """The scenes of a folder of class folders, in an order of their own: not that of classes."""
    found = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SCENE_SUFFIXES]
    order = np.random.default_rng(0).permutation(len(found))
    return [(found[number].parent.name, found[number]) for number in order]


def image_type() -> pa.DataType:
    """How Hugging Face stores pictures."""
    return pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def hugging_face(features: Mapping[str, Any]) -> dict[str, str]:
    """The metadata of a schema."""
    return {"huggingface": json.dumps({"info": {"features": features}})}


def class_label(names: Sequence[str]) -> dict[str, Any]:
    """The feature of labels with names."""
    return {"names": list(names), "_type": "ClassLabel"}


def parquet_table(files: Files, names: Sequence[str]) -> pa.Table:
    """Scenes and labels as a table."""
    images = [{"bytes": path.read_bytes(), "path": path.name} for _, path in files]
    labels = [names.index(name) for name, _ in files]
    table = pa.table({"image": pa.array(images, image_type()), "label": pa.array(labels, pa.int64())})
    return table.replace_schema_metadata(hugging_face({"image": {"_type": "Image"}, "label": class_label(names)}))


def to_parquet(folder: Path, out: Path, shards: int = 2, rows: int = 5, split: str = "train") -> Path:
    """Pack a folder into parquet shards; the names of the classes are not in the order of the alphabet."""
    files = files_of(folder)
    names = sorted({name for name, _ in files}, reverse=True)
    (out / "data").mkdir(parents=True)
    for number in range(shards):
        table = parquet_table(files[number::shards], names)
        pq.write_table(table, out / f"data/{split}-{number:05}-of-{shards:05}.parquet", row_group_size=rows)
    return out


def add_member(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a regular file to a tar."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def as_text(name: str) -> tuple[str, bytes]:
    """The name of a class as a member ``KEY.txt``."""
    return "txt", name.encode()


def to_tar(folder: Path, out: Path, label: Callable[[str], tuple[str, bytes]] = as_text, shards: int = 2) -> Path:
    """Pack a folder into tar shards; the keys are the paths of the files."""
    files = files_of(folder)
    out.mkdir(parents=True)
    for number in range(shards):
        with tarfile.open(out / f"scenes-{number:06}.tar", "w") as tar:
            for name, path in files[number::shards]:
                ending, content = label(name)
                add_member(tar, f"{name}/{path.name}", path.read_bytes())
                add_member(tar, f"{name}/{path.stem}.{ending}", content)
    return out


def to_csv(folder: Path, out: Path, name: str = "labels.csv") -> Path:
    """Put all scenes of a folder into one folder, with a CSV of their labels."""
    out.mkdir(parents=True)
    with (out / name).open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["filename", "label"])
        for label, path in files_of(folder):
            (out / path.name).write_bytes(path.read_bytes())
            writer.writerow([path.name, label])
    return out
