"""Write a method to start from, which passes ``rsir-bench methods check`` unedited."""

from __future__ import annotations

import re
from pathlib import Path

from rsir_bench.base.errors import UserError

TEMPLATE = Path(__file__).with_name("template_method.py")


def write_template(name: str, folder: Path) -> Path:
    """Copy ``template_method.py`` as a method called ``name``; the file's name has underscores for hyphens.

    Returns:
        The file.

    Raises:
        UserError: ``name`` cannot be a method's name, or the file exists.
    """
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        raise UserError(
            f"{name!r}: not a valid method name; use lower-case letters, digits and '-', beginning with a letter"
        )
    path = folder / f"{name.replace('-', '_')}.py"
    class_name = "".join(word.capitalize() for word in name.split("-"))
    text = TEMPLATE.read_text(encoding="utf-8").replace("template-method", name).replace("TemplateMethod", class_name)
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise UserError(f"{path}: already exists; choose another name, or move the file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); choose another folder") from None
    return path
