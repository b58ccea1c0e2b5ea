"""Flags: a command's options are the fields of its config, so that the two cannot differ."""

import inspect
import types
import typing
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from rich.markup import escape

Config = TypeVar("Config", bound=BaseModel)

PLAIN_TYPES = (bool, int, float, str, Path)


def command_of(config_type: type[Config], run: Callable[[Config], None]) -> Callable[..., None]:
    """A function that typer can register: one flag per field of `config_type`, named exactly like the field.

    The description of a field is its help, its default the flag's default; a field without one is required.
    A field with `json_schema_extra={"positional": True}` is given by its place and not by its name. A field
    `tuple[X, ...]` is a flag that may be repeated, `tuple[X, Y]` one that takes two words.
    """

    def command(context: Any, **values: object) -> None:
        # Only what was given: a config may want to know, and its own defaults stand for the rest.
        given = {name: value for name, value in values.items() if _is_given(context, name)}
        run(config_type.model_validate(given))

    # What must be given is said first, wherever it was declared.
    fields = sorted(config_type.model_fields.items(), key=lambda item: not item[1].is_required())
    parameters = [_parameter(name, field, _panel(config_type, name)) for name, field in fields]
    parameters.append(inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context))
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__doc__ = inspect.getdoc(run)
    return command


def explain(error: ValidationError) -> str:
    """Say in the words of the command line what is wrong with the flags."""
    messages: dict[str, list[str]] = {}
    given: dict[str, str] = {}
    for problem in error.errors():
        # What follows in the location says which kind of a union was tried, in pydantic's words.
        flag = f"--{problem['loc'][0]}" if problem["loc"] else ""
        messages.setdefault(flag, []).append(problem["msg"].removeprefix("Value error, "))
        entry = problem["input"]
        words = " ".join(map(str, entry)) if isinstance(entry, list | tuple) else str(entry)
        given[flag] = "" if isinstance(entry, dict) else f", got {words!r}"
    return "\n".join(
        f"{flag}: {' or: '.join(said)}{given[flag]}" if flag else "\n".join(said)
        for flag, said in messages.items()
    )


def _is_given(context: Any, name: str) -> bool:
    """Whether a flag stood on the command line; `context` is what typer hands to a `typer.Context`."""
    source = context.get_parameter_source(name)
    return source is not None and source.name not in {"DEFAULT", "DEFAULT_MAP"}


def _panel(config_type: type[BaseModel], name: str) -> str | None:
    """Where --help shows a flag: apart, if it is one of those that several commands share by inheritance."""
    home = next(parent for parent in config_type.__mro__ if name in inspect.get_annotations(parent))
    panel: str | None = vars(home).get("help_panel")
    return panel


def _parameter(name: str, field: FieldInfo, panel: str | None) -> inspect.Parameter:
    flags = [f"--{name}/--no_{name}"] if field.annotation is bool else [f"--{name}"]
    default = inspect.Parameter.empty if field.is_required() else field.get_default(call_default_factory=True)
    shown: dict[str, Any] = {
        "help": escape(field.description or ""),
        "show_default": default is not None,
        "rich_help_panel": panel,
    }
    is_positional = field.json_schema_extra == {"positional": True}
    option = typer.Argument(metavar=name.upper(), **shown) if is_positional else typer.Option(*flags, **shown)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[_flag_type(field.annotation), option],
    )


def _flag_type(annotation: Any) -> Any:
    """The type typer shall parse: unions of several kinds come in as text, which the config then reads."""
    if annotation in PLAIN_TYPES or (isinstance(annotation, type) and issubclass(annotation, Enum)):
        return annotation
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return annotation
    if origin is tuple:
        words = tuple(_word_type(kind) for kind in arguments if kind is not ...)
        return types.GenericAlias(list if ... in arguments else tuple, words)
    if origin in (typing.Union, types.UnionType):
        kinds = [kind for kind in arguments if kind is not type(None)]
        is_optional = len(kinds) < len(arguments)
        inner = _flag_type(kinds[0]) if len(kinds) == 1 else str
        return inner | None if is_optional else inner
    raise TypeError(f"no flag can hold {annotation}")


def _word_type(annotation: Any) -> Any:
    """The type of one of several words; typer cannot choose among them, so the config does."""
    return str if typing.get_origin(annotation) is typing.Literal else _flag_type(annotation)
