"""The app, and how its errors end."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, Any

import typer

from plkd.cli._annotate import annotate
from plkd.cli._console import console
from plkd.cli._demo import demo
from plkd.cli._patterns import patterns
from plkd.cli._train import train

#: What plkd raises for bad input, and what files raise; anything else is a fault of plkd and keeps its traceback.
_EXPECTED = (ValueError, KeyError, TypeError, RuntimeError, OSError)
#: Found by a public name, since typer has carried its own copy of click for some versions.
_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="plkd",
    help="Annotate single cells from a labelled reference, with a confidence and a reason for every call.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(demo)
app.command()(train)
app.command()(annotate)
app.command()(patterns)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"plkd {version('plkd')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def run(args: Sequence[str]) -> int:
    """Run one command line and return its exit code: 0, 1 for an error, 2 for wrong usage, 130 if interrupted.

    Parameters
    ----------
    args
        The words after ``plkd``; none shows the help.
    """
    with console():
        try:
            return int(app(list(args) or ["--help"], prog_name="plkd", standalone_mode=False) or 0)
        except _USAGE_ERROR as error:
            typer.echo(f"error: {_usage(error)}", err=True)
            return 2
        except (KeyboardInterrupt, typer.Abort):
            typer.echo("error: interrupted.", err=True)
            return 130
        except _EXPECTED as error:
            logging.getLogger("plkd").debug("Traceback:", exc_info=error)
            # str() of a KeyError is its message in quotes.
            text = error.args[0] if isinstance(error, KeyError) and error.args else error
            typer.echo(f"error: {_one_line(str(text)) or type(error).__name__}", err=True)
            return 1


def _usage(error: Any) -> str:
    text = _one_line(error.format_message())
    return f"{text} Try '{error.ctx.command_path if error.ctx else 'plkd'} --help'."


def _one_line(text: str) -> str:
    return " ".join(text.split())


def main() -> None:
    """Run the command line of this process."""
    sys.exit(run(sys.argv[1:]))
