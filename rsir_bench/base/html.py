"""Render HTML: the only module that configures jinja2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

from rsir_bench.base.text import encode, visible

if TYPE_CHECKING:
    from jinja2 import Environment


def html_environment(package: str, folder: str = "templates") -> Environment:
    """Return the jinja2 environment of a package's templates.

    Text is escaped, control characters too, and a misspelt value is an error.

    Args:
        package: For example ``rsir_bench.report``.
        folder: The folder of the templates inside the package; empty for the package itself.
    """
    import jinja2  # most commands render no page

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(package, folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: visible(value) if type(value) is str else value,  # Markup is our own
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["urlencode"] = _quoted
    return environment


def _quoted(value: str | Mapping[str, str]) -> str:
    """Return text, or a mapping as the query of an address, in percent-encoding."""
    if isinstance(value, str):
        return quote(encode(value))
    return "&".join(f"{quote(encode(name), '')}={quote(encode(text), '')}" for name, text in value.items())
