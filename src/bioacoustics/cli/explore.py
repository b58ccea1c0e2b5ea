"""Explore: the script that Streamlit runs for the page; its flags are those of `bioacoustics explore`."""

import sys
from collections.abc import Sequence

import typer
from pydantic import ValidationError

from bioacoustics.cli.flags import command_of, explain
from bioacoustics.explorer.opening import OpeningConfig


def parsed(arguments: Sequence[str]) -> OpeningConfig:
    """The flags as a config.

    Raises:
        ValueError: a flag is unknown or its value makes no sense; the message says which.
    """
    found: list[OpeningConfig] = []
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command_of(OpeningConfig, found.append))
    try:
        app([word for word in arguments if word.strip()], standalone_mode=False)
    except ValidationError as error:
        raise ValueError(explain(error)) from error
    except Exception as error:
        # typer brings its own errors along, which only have their own base in common.
        if hasattr(error, "format_message"):
            raise ValueError(error.format_message()) from error
        raise
    return found[0]


def main() -> None:
    """Draw the page once; Streamlit calls this after every interaction."""
    from bioacoustics.explorer.page import complain, show

    try:
        config = parsed(sys.argv[1:])
    except ValueError as error:
        complain(str(error))
    else:
        show(config)


if __name__ == "__main__":
    main()
