"""Flags are the fields of a config, no more and no less."""

from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Literal

import pytest
import typer
from pydantic import BaseModel, Field, ValidationError
from typer.testing import CliRunner

from bioacoustics.cli.flags import command_of, explain


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Config(BaseModel, frozen=True, extra="forbid"):
    save_dir: Path = Field(description="where it goes")
    number: int = Field(default=3, ge=1, description="how many")
    rate: float | None = Field(default=None, description="how fast")
    channel: int | Literal["mix"] = Field(default="mix", description="which channel")
    size: Literal["small", "large"] = Field(default="small", description="how large")
    colour: Colour = Field(default=Colour.RED, description="which colour")
    careful: bool = Field(default=False, description="take care")


def run(*words: str) -> tuple[Config | None, str, int]:
    seen: list[Config] = []

    def command(config: Config) -> None:
        """Do the thing."""
        seen.append(config)

    app = typer.Typer()
    app.command("do")(command_of(Config, command))
    app.command("other")(lambda: None)
    result = CliRunner().invoke(app, ["do", *words], env={"COLUMNS": "200", "NO_COLOR": "1"})
    return (seen[0] if seen else None), result.output, result.exit_code


def test_defaults_are_those_of_the_config() -> None:
    config, _, _ = run("--save_dir", "a b")
    assert config == Config(save_dir=Path("a b"))


def test_every_kind_of_field_can_be_given() -> None:
    words = ["--save_dir", "x", "--number", "5", "--rate", "2.5", "--channel", "1", "--size", "large"]
    config, _, _ = run(*words, "--colour", "blue", "--careful")
    assert config == Config(
        save_dir=Path("x"), number=5, rate=2.5, channel=1, size="large", colour=Colour.BLUE, careful=True
    )


def test_brackets_of_a_description_are_text_and_not_markup() -> None:
    class Bracketed(BaseModel, frozen=True, extra="forbid"):
        warmup: int | None = Field(default=None, description="[default: 13 % of the updates]")

    app = typer.Typer(rich_markup_mode="rich")
    app.command("do")(command_of(Bracketed, lambda config: None))
    app.command("other")(lambda: None)
    result = CliRunner().invoke(app, ["do", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert "[default: 13 % of the updates]" in result.output


def test_the_last_of_two_flags_wins() -> None:
    config, _, _ = run("--save_dir", "x", "--number", "5", "--number", "7")
    assert config is not None
    assert config.number == 7


def test_help_shows_description_and_default() -> None:
    _, output, code = run("--help")
    assert code == 0
    for words in ("Do the thing", "--save_dir", "where it goes", "how many", "[default: 3]", "--no_careful"):
        assert words in output


@pytest.mark.parametrize("words", [["--save", "x"], ["--save_dir", "x", "--numb", "3"], []])
def test_abbreviated_unknown_and_missing_flags_are_refused(words: list[str]) -> None:
    config, _, code = run(*words)
    assert config is None
    assert code == 2


def test_what_the_config_refuses_is_said_in_flags() -> None:
    with pytest.raises(ValidationError) as caught:
        Config(save_dir=Path(), number=0, rate="quick")  # type: ignore[arg-type]
    lines = explain(caught.value).splitlines()
    assert lines[0] == "--number: Input should be greater than or equal to 1, got '0'"
    assert lines[1].startswith("--rate: ")


def test_a_flag_of_two_kinds_is_named_once() -> None:
    with pytest.raises(ValidationError) as caught:
        Config(save_dir=Path(), channel="left")  # type: ignore[arg-type]
    assert explain(caught.value) == (
        "--channel: Input should be a valid integer, unable to parse string as an integer or: "
        "Input should be 'mix', got 'left'"
    )


def test_inherited_flags_have_a_panel_of_their_own_and_required_ones_come_first() -> None:
    class Shared(BaseModel, frozen=True):
        help_panel: ClassVar[str] = "Machine"
        threads: int = Field(default=1, description="how many threads")
        rows: int = Field(default=2, description="rows of any command")

    class Special(Shared, frozen=True):
        rate: float = Field(default=0.1, description="how fast")
        rows: int = Field(default=3, description="rows of this command")
        folder: Path = Field(description="where")

    app = typer.Typer()
    app.command("do")(command_of(Special, lambda config: None))
    result = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    places = [result.output.index(word) for word in ("--folder", "--rows", "Machine", "--threads")]
    assert places == sorted(places)
    assert "rows of this command" in result.output


def test_a_field_may_be_given_by_its_place() -> None:
    class Placed(BaseModel, frozen=True, extra="forbid"):
        folder: Path = Field(description="where to look", json_schema_extra={"positional": True})
        depth: int = Field(default=1, description="how deep")

    seen: list[Placed] = []
    app = typer.Typer()
    app.command("do")(command_of(Placed, seen.append))
    app.command("other")(lambda: None)
    environment = {"COLUMNS": "200", "NO_COLOR": "1"}
    result = CliRunner().invoke(app, ["do", "a b", "--depth", "2"], env=environment)
    assert result.exit_code == 0, result.output
    assert seen == [Placed(folder=Path("a b"), depth=2)]
    help_text = CliRunner().invoke(app, ["do", "--help"], env=environment).output
    assert "FOLDER" in help_text
    assert "where to look" in help_text
    assert "--folder" not in help_text
    assert CliRunner().invoke(app, ["do"], env=environment).exit_code == 2


def test_flags_may_be_repeated_and_take_pairs() -> None:
    class Many(BaseModel, frozen=True, extra="forbid"):
        like: tuple[Path, ...] = Field(default=(), description="examples")
        between: tuple[str, str] | None = Field(default=None, description="from and to")

    seen: list[Many] = []
    app = typer.Typer()
    app.command("do")(command_of(Many, seen.append))
    app.command("other")(lambda: None)
    words = ["do", "--like", "a b", "--like", "c", "--between", "22:00", "04:00"]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert CliRunner().invoke(app, ["do"]).exit_code == 0
    assert seen == [Many(like=(Path("a b"), Path("c")), between=("22:00", "04:00")), Many()]
    assert CliRunner().invoke(app, ["do", "--between", "22:00"]).exit_code == 2


def test_a_config_knows_which_flags_were_given() -> None:
    config, _, _ = run("--save_dir", "out", "--number", "3")
    assert config is not None
    assert config.model_fields_set == {"save_dir", "number"}
