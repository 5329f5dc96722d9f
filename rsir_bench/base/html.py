"""Render HTML: the only module that configures jinja2."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


def html_environment(package: str, folder: str = "templates") -> Environment:
    """Return the jinja2 environment of a package's templates: text is escaped, and a misspelt value is an error.

    Args:
        package: For example ``rsir_bench.report``.
        folder: The folder of the templates inside the package; empty for the package itself.
    """
    import jinja2  # most commands render no page

    return jinja2.Environment(
        loader=jinja2.PackageLoader(package, folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
