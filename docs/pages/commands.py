"""The reference of the command line, from Typer's own description of it."""

from __future__ import annotations

import inspect
import re
from typing import Any

import typer

from rsir_bench.cli.app import app

from .markdown import code, escaped, fence, prose, table

MARKUP = re.compile(r"\[/?[a-z][a-z ]*\]")
"""Colours and weights of rich, as in ``[bold]``."""


INTRO = """`rsir-bench VERB --help` prints the same in a terminal. Standard output holds data only; everything else goes
to standard error. Exit status: 0, done; 1, something failed or differs; 2, the command cannot start as it is."""


def page() -> str:
    """Return the page of all verbs."""
    program = typer.main.get_command(app)
    return "\n\n".join(["# Commands", INTRO, *_sections(program, "rsir-bench", 2)]) + "\n"


def _sections(command: Any, name: str, level: int) -> list[str]:
    """Return a command's heading, usage, text and options, and those of its subcommands."""
    context = typer.Context(command, info_name=name)
    parts = [f"{'#' * level} {name}", *_text(command.help)] if level > 2 or name != "rsir-bench" else []
    parameters = [one for one in command.get_params(context) if not getattr(one, "hidden", False)]
    subcommands = getattr(command, "commands", {})
    if not subcommands:
        parts += _tables(parameters, context)
    for word, subcommand in subcommands.items():
        if not subcommand.hidden:
            parts += _sections(subcommand, f"{name} {word}", 2 if name == "rsir-bench" else level + 1)
    return parts


def _text(words: str | None) -> list[str]:
    """Return the paragraphs of a help text; those that keep their lines are examples."""
    plain = inspect.cleandoc(MARKUP.sub("", words or "").partition("\f")[0])
    return [
        fence("text", paragraph.partition("\n")[2]) if paragraph.startswith("\b") else prose(paragraph)
        for paragraph in plain.split("\n\n")
        if paragraph.strip()
    ]


def _tables(parameters: list[Any], context: typer.Context) -> list[str]:
    """Return the tables of arguments and options, those of one panel of the help under its title."""
    panels: dict[str, list[Any]] = {}
    for parameter in parameters:
        usual = "Argument" if parameter.param_type_name == "argument" else "Option"
        panels.setdefault(getattr(parameter, "rich_help_panel", None) or usual, []).append(parameter)
    return [
        table(
            [escaped(title), "Meaning", "Default"], [_row(parameter, context) for parameter in held if _said(parameter)]
        )
        for title, held in panels.items()
        if any(map(_said, held))
    ]


def _said(parameter: Any) -> bool:
    return parameter.param_type_name == "argument" or "--help" not in parameter.opts


def _row(parameter: Any, context: typer.Context) -> list[str]:
    """Return name, meaning and default of a parameter."""
    if parameter.param_type_name == "argument":
        name = code(parameter.metavar or parameter.name.upper())
    else:
        name = ", ".join(code(word) for word in [*parameter.opts, *parameter.secondary_opts])
    words = [MARKUP.sub("", parameter.help or "")]
    if parameter.envvar:
        words.append(f"Or the environment variable ``{parameter.envvar}``.")
    default = parameter.default
    shown = "required" if parameter.required else "" if default in (None, False, "", ()) else code(default)
    return [name, prose(" ".join(words)), shown]
