"""Commands: the `bioacoustics` command line, one entry per workflow."""

import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import BaseModel, ValidationError
from rich.console import Console
from rich.markup import escape

from bioacoustics import __version__
from bioacoustics.cli.flags import command_of, explain
from bioacoustics.cli.launch import Machine, note_on_lone_process, plan_launch, run_plan
from bioacoustics.cli.memory import keep_freed_memory
from bioacoustics.cli.processes import die_with_parent
from bioacoustics.explorer.opening import OpeningConfig
from bioacoustics.explorer.server import explore
from bioacoustics.workflows.adapt import AdaptConfig, adapt
from bioacoustics.workflows.audit import AuditConfig, audit
from bioacoustics.workflows.clips import ClipsConfig, clips
from bioacoustics.workflows.convert import ConvertConfig, convert
from bioacoustics.workflows.demo import DemoConfig, demo
from bioacoustics.workflows.doctor import doctor
from bioacoustics.workflows.embed import EmbedConfig, embed
from bioacoustics.workflows.evaluate import EvaluateConfig, evaluate
from bioacoustics.workflows.events import EventsConfig, events
from bioacoustics.workflows.finetune import FinetuneConfig, finetune
from bioacoustics.workflows.histories import HistoriesConfig, histories
from bioacoustics.workflows.import_labels import ImportLabelsConfig, import_labels
from bioacoustics.workflows.index import IndexConfig, index
from bioacoustics.workflows.predict import PredictConfig, predict
from bioacoustics.workflows.pretrain import PretrainConfig, pretrain
from bioacoustics.workflows.search import SearchConfig, search
from bioacoustics.workflows.survey import BadFiles, Outcome
from bioacoustics.workflows.train import TrainConfig, train

FULL_DISK = (
    "the disk is full (No space left on device). What was committed is safe: make room and give the same "
    "command again, and it goes on; or choose another place for its output"
)
EXIT_ERROR = 1
EXIT_UNUSABLE_FILES = 3  # the work is done, but some recordings could not be used
SECONDS_TO_SPEAK_FIRST = 5
DEBUG_VARIABLE = "BIOACOUSTICS_DEBUG"

console = Console(stderr=True)
app = typer.Typer(
    name="bioacoustics",
    help="Deep learning on animal sound: pre-train, fine-tune, embed and classify on your own recordings.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog=f"Exit codes: 0 all well, {EXIT_ERROR} an error, {EXIT_UNUSABLE_FILES} done, some files unusable. "
    f"{DEBUG_VARIABLE}=1 shows where an error comes from.",
)


def _over_recordings(run: Callable[[Any, Console], Outcome]) -> Callable[[Any], None]:
    """A command that ends with its own exit code when recordings could not be used."""

    def command(config: Any) -> None:
        outcome = run(config, console)
        # One process speaks for all: whoever of several ends with an error makes torchrun end the others.
        speaks = os.environ.get("RANK", "0") == "0"
        if speaks and outcome.unusable and config.bad_files is not BadFiles.IGNORE:
            raise typer.Exit(EXIT_UNUSABLE_FILES)

    command.__doc__ = run.__doc__
    return command


def _plain(run: Callable[[Any, Console], object]) -> Callable[[Any], None]:
    def command(config: Any) -> None:
        run(config, console)

    command.__doc__ = run.__doc__
    return command


def _explore(config: OpeningConfig) -> None:
    if config.embed_only:
        from bioacoustics.explorer.embedding import embed_sample

        if embed_sample(config, console).unusable:
            raise typer.Exit(EXIT_UNUSABLE_FILES)
    elif code := explore(config, console):
        raise typer.Exit(code)


_explore.__doc__ = explore.__doc__


def _convert(config: ConvertConfig) -> None:
    """Convert a model between our bundle and the layouts that other programs read, without loss."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        header = convert(config.model_path, config.output_path, config.to, config.licence)
    for warning in caught:
        console.print(f"[yellow]warning[/] {escape(str(warning.message))}", highlight=False, soft_wrap=True)
    line = f"{config.output_path}: {header.kind} of {header.architecture}"
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _register(name: str, config_type: type[BaseModel], command: Callable[[Any], None]) -> None:
    app.command(name)(command_of(config_type, command))


_register("pretrain", PretrainConfig, _over_recordings(pretrain))
_register("adapt", AdaptConfig, _over_recordings(adapt))
_register("finetune", FinetuneConfig, _over_recordings(finetune))
_register("train", TrainConfig, _over_recordings(train))
_register("embed", EmbedConfig, _over_recordings(embed))
_register("predict", PredictConfig, _over_recordings(predict))
_register("events", EventsConfig, _over_recordings(events))
_register("histories", HistoriesConfig, _over_recordings(histories))
_register("evaluate", EvaluateConfig, _plain(evaluate))
_register("audit", AuditConfig, _over_recordings(audit))
_register("search", SearchConfig, _over_recordings(search))
_register("index", IndexConfig, _plain(index))
_register("explore", OpeningConfig, _explore)
_register("clips", ClipsConfig, _over_recordings(clips))
_register("import-labels", ImportLabelsConfig, _over_recordings(import_labels))
_register("convert", ConvertConfig, _convert)
_register("demo", DemoConfig, _plain(demo))


@app.command("doctor")
def _doctor(
    model_path: Annotated[Path | None, typer.Option("--model_path", help="also look at a checkpoint")] = None,
) -> None:
    """Say what this machine has, what is missing and how to get it; and what a checkpoint says of itself."""
    if not doctor(Console(), model_path):
        raise typer.Exit(EXIT_ERROR)


@app.command("version")
def _version() -> None:
    """Print the version."""
    print(__version__)


def main(command: str | None = None) -> None:
    """Run the command line: start several processes where the flags ask for it, else the command itself.

    Args:
        command: The command that the flags are for, where they do not say it themselves.
    """
    die_with_parent()
    keep_freed_memory()
    arguments = sys.argv[1:] if command is None else [command, *sys.argv[1:]]
    try:
        note = note_on_lone_process(arguments, os.environ)
        if note is not None:
            console.print(f"[yellow]warning[/] {escape(note)}", highlight=False, soft_wrap=True)
        plan = plan_launch(arguments, os.environ, Machine.here())
        if plan is not None:
            run_plan(plan)
        app([word for word in arguments if word.strip()])
    except ValidationError as error:
        _fail(explain(error), error)
    except (OSError, RuntimeError) as error:
        if "No space left on device" in str(error):
            _fail(FULL_DISK, error)
        if not isinstance(error, OSError):
            raise
        # The system's words for it, without its number, and the file first.
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), error)
    except ValueError as error:
        _fail(str(error), error)


def _fail(message: str, error: Exception) -> NoReturn:
    """Errors of these kinds speak to the user: the sentence is the message, not the traceback."""
    if os.environ.get(DEBUG_VARIABLE):
        raise error
    if os.environ.get("RANK", "0") != "0":
        # The first process nearly always fails for the same reason; then this one is ended before it repeats.
        time.sleep(SECONDS_TO_SPEAK_FIRST)
    console.print("[red]error[/]", end=" ")
    console.print(message, markup=False, highlight=False, soft_wrap=True)
    sys.exit(EXIT_ERROR)
