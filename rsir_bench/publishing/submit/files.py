"""The files of a submission: regular files in its folder, with plain names, of limited size."""

from __future__ import annotations

import re
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

from rsir_bench.base.errors import UserError, one_line
from rsir_bench.ranking.files import hdf5

PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}")


def plain_file(folder: Path, name: str, most: int) -> Path:
    """Return the path of a file directly in a folder.

    Args:
        folder: The folder.
        name: The file's name, as somebody else wrote it.
        most: The largest number of bytes.

    Raises:
        UserError: The name is a path or odd, or it is missing, a link, no regular file, or too large.
    """
    path = folder / name
    if not PLAIN.fullmatch(name):
        raise UserError(f"{folder}: file {name!r:.80}: give a name in the folder, of letters, digits and . _ + -")
    try:
        status = path.lstat()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); docs/submit.md lists the files needed") from None
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{path}: is a link or not a regular file; replace it with the file itself")
    if status.st_size > most:
        raise UserError(f"{path}: {status.st_size:,} bytes, more than {most:,} allowed; check the file")
    return path


def plain_files(folder: Path, pattern: re.Pattern[str], most: int) -> list[Path]:
    """Return the files of a folder, sorted; all of them must have names of one pattern.

    Raises:
        UserError: It is missing, a link or no folder; or a file of it is refused by ``plain_file``.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise UserError(f"{folder}: not a folder, or a link to one; pack again with `rsir-bench submit pack`")
    names = sorted(entry.name for entry in folder.iterdir())
    for name in names:
        if not pattern.fullmatch(name):
            raise UserError(f"{folder}: {name!r:.80}: not written by `rsir-bench submit pack`; remove it")
    return [plain_file(folder, name, most) for name in names]


def check_decoded(path: Path, most: int) -> None:
    """Refuse a file of descriptors that would take too much memory, before it is decoded.

    Args:
        path: ``.npy``, ``.npz``, ``.parquet``, ``.csv`` or ``.h5``.
        most: The largest number of decoded bytes.

    Raises:
        UserError: It would take more, or its header cannot be read.
    """
    try:
        for decoded in _decoded_bytes(path):
            if decoded > most:
                raise UserError(
                    f"{path}: {decoded:,} bytes when decoded, more than {most:,}; give one row for each scene"
                )
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: cannot be read: {one_line(error)}") from None


def _decoded_bytes(path: Path) -> Iterator[int]:
    """Yield ever better estimates of what a file takes when it is decoded, each safe to make if the last was small."""
    if path.suffix == ".npz":
        with zipfile.ZipFile(path) as archive:
            yield sum(entry.file_size for entry in archive.infolist())
    elif path.suffix == ".parquet":
        yield from _of_parquet(path)
    elif path.suffix in hdf5.SUFFIXES:
        yield hdf5.decoded_bytes(path)
    else:  # text and plain arrays are as large as their file
        yield path.stat().st_size


def _of_parquet(path: Path) -> Iterator[int]:
    """Yield the bytes of all pages, of all numbers, and of all texts: one that comes often is stored once."""
    import pyarrow.compute as pc
    from pyarrow import parquet

    file = parquet.ParquetFile(path)
    groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    columns = [group.column(number) for group in groups for number in range(group.num_columns)]
    yield sum(column.total_uncompressed_size for column in columns)
    texts = sorted({column.path_in_schema for column in columns if "BYTE_ARRAY" in column.physical_type})
    yield sum(8 * column.num_values for column in columns if column.path_in_schema not in texts)
    if any("." in name for name in texts):
        raise ValueError("a column of lists of texts")
    table = parquet.read_table(path, columns=texts, read_dictionary=texts)
    chunks = [chunk for column in table.columns for chunk in column.chunks]
    yield sum(len(chunk) * int(pc.max(pc.binary_length(chunk.dictionary)).as_py() or 0) for chunk in chunks)
