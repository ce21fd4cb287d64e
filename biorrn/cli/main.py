"""The command `biorrn`: table of subcommands, lazy loading, and errors as one line with an exit code."""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup

from biorrn.base.compute import prepare_libraries
from biorrn.base.errors import BiorrnError, shown
from biorrn.base.files import disk_fault
from biorrn.base.terminal import guard_terminal, note
from biorrn.cli.outputs import checked
from biorrn.version import __version__


class Command(NamedTuple):
    """A row of the table `COMMANDS`."""

    module: str  # holds a function named as the command (_ for -), or a group `app`
    group: str  # heading in `biorrn --help`; "" is not listed
    help: str  # first line of the command's own help


class Subcommands(Mapping[str, Any]):
    """The subcommands by name. A module is imported when its command is looked up."""

    def __getitem__(self, name: str) -> Any:
        first, *rest = FORMER.get(name, name).split()
        command = load(first)
        for word in rest:
            command = command.commands[word]
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


@functools.cache
def load(name: str) -> Any:
    """Import a subcommand and return it as a click command or group; KeyError if there is none of that name."""
    entry = COMMANDS[name]
    module = importlib.import_module(entry.module)
    parent = typer.Typer(callback=lambda: None, add_completion=False, rich_markup_mode=None)
    if (app := getattr(module, "app", None)) is None:
        parent.command(name, no_args_is_help=True)(checked(getattr(module, name.replace("-", "_"))))
    else:
        for command in app.registered_commands:
            command.callback = checked(command.callback)
        if app.registered_callback is None:
            app.info.help = entry.help
        parent.add_typer(app, name=name)
    return typer.main.get_command(parent).commands[name]  # type: ignore[attr-defined]


class Biorrn(TyperGroup):
    """The top level: subcommands are listed in groups, and imported on use."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = Subcommands()  # type: ignore[assignment]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the listed commands under the headings of their groups."""
        listed = [(entry.group, name, entry.help) for name, entry in COMMANDS.items() if entry.group]
        width = max(len(name) for _, name, _ in listed)
        for group in dict.fromkeys(group for group, _, _ in listed):
            with formatter.section(group):
                formatter.write_dl([(name.ljust(width), help) for own, name, help in listed if own == group])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find a subcommand. `train protein TABLE` is the former spelling of `train-table TABLE`."""
        if args[0] == "train" and (place := first_positional(args[1:])) is not None and args[place + 1] == "protein":
            args = ["train-table", *args[1 : place + 1], *args[place + 2 :]]
        return super().resolve_command(ctx, args)


def first_positional(words: list[str]) -> int | None:
    """Return the place of the first argument of `train` that is neither an option nor the value of one."""
    flags = {flag for name in ("train", "train-table") for one in load(name).params if getattr(one, "is_flag", False)
             for flag in one.opts} | {"-h", "--help"}  # fmt: skip
    value = False
    for place, word in enumerate(words):
        if value or word.startswith("-"):
            value = not value and word not in flags and "=" not in word
        else:
            return place
    return None


def build_app() -> typer.Typer:
    """Return the command line as a typer application."""
    app = typer.Typer(
        name="biorrn",
        cls=Biorrn,
        help="Learn from protein sequences and raw nanopore signal with recurrent networks.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback(invoke_without_command=True)
    def version(show: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
        if show:
            print(__version__)
            raise typer.Exit

    return app


def main() -> None:
    """Run the command line. An error of the user is one line on standard error and exit code 2."""
    guard_terminal()
    prepare_libraries()  # before any command imports torch
    note(sys.argv[1:])
    try:
        code = build_app()(prog_name="biorrn", standalone_mode=False)
        sys.stdout.flush()  # report a full disk here, not while Python shuts down
    except BiorrnError as error:
        print(f"biorrn: error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # how typer ends when a pipe is closed
            code = 141
        else:
            raise
    except KeyboardInterrupt:
        code = 130
    except Exception as error:
        # recognised by its method: typer ships its own copy of click, so the class has no stable import path
        code = usage_error(error) if hasattr(error, "format_message") else disk_error(error)
    if code == 130:
        print("biorrn: interrupted", file=sys.stderr)
    sys.exit(code if isinstance(code, int) else 0)


def disk_error(error: Exception) -> int:
    """Print in one line that a file cannot be read or written, and return 2; raise any other error."""
    reason = disk_fault(error)
    if reason is None and isinstance(error, PermissionError):
        reason = error.strerror
    if reason is None:
        raise error
    try:
        sys.stdout.flush()
    except OSError:  # Python would try to flush again at exit and fail again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    # writers add the file's name; an error without one is about standard output
    place = getattr(error, "filename", None) or getattr(error.__context__, "filename", None) or "standard output"
    print("biorrn: error: " + shown(f"{place}: {reason}"), file=sys.stderr)
    return 2


def usage_error(error: Any) -> int:
    """Print in one line what is wrong with the arguments, or the help where there are none, and return the code."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return int(error.exit_code)
    context = getattr(error, "ctx", None)
    help_at = f"; see '{context.command_path} --help'" if context else ""
    message = " ".join(error.format_message().split()).rstrip(".")
    called = context.info_name if context else ""
    other = {"train": "train-table", "train-table": "train"}.get(called)
    option = getattr(error, "option_name", None)
    if other and type(error).__name__ == "NoSuchOption" and any(option in one.opts for one in load(other).params):
        message = f"{option}: belongs to 'biorrn {other}', not to 'biorrn {called}'"
    print(f"biorrn: error: {shown(message)}{help_at}", file=sys.stderr)
    return 2


# name -> module, group in `biorrn --help`, help. Heavy libraries are imported inside the commands.
COMMANDS = {
    name: Command(f"biorrn.cli.{module}", group, help)
    for name, module, group, help in (
        ("predict", "predict", "Use", "Predict a property or a class of each protein, or a state of each residue."),
        ("scan", "scan", "Use", "Predict the effect of mutations; by default, of every single substitution."),
        ("explain", "explain", "Use", "Show which residues a prediction depends on."),
        ("suggest", "suggest", "Use", "Choose the variants to measure next."),
        ("basecall", "basecall", "Use", "Basecall raw nanopore signal."),
        ("prepare", "prepare.app", "Train", "Convert proteins or labelled reads to one HDF5 file with a split."),
        ("train", "train", "Train", "Train a recipe on a prepared file, or resume an interrupted training."),
        ("train-table", "train_table", "Train", "Train a model on a table of proteins; no recipe needed."),
        (
            "evaluate",
            "evaluate.app",
            "Train",
            "Measure predictions or basecalls against the truth, and compare models.",
        ),
        ("reads", "reads", "Reads", "List and check raw nanopore reads."),
        ("simulate", "simulate", "Reads", "Simulate raw nanopore reads with known bases."),
        ("merge", "merge", "Reads", "Merge the outputs of several basecall runs."),
        ("trim", "trim", "Reads", "Cut adapters and primers from basecalled reads."),
        ("demux", "demux", "Reads", "Sort basecalled reads by barcode."),
        ("qc", "qc", "Reads", "Summarise a basecalling run: yield, lengths, Q-scores, channels."),
        ("map", "map", "Reads", "Map basecalled reads to a reference with minimap2."),
        ("assemble", "assemble", "Reads", "Assemble reads with minimap2, miniasm and racon."),
        ("models", "models", "Inspect", "List models, describe one, export or plot its hidden states."),
        ("report", "report", "Inspect", "Build an HTML report of evaluations, runs and data sets."),
        # not listed: the help of train names rerun, that of trim split; experiments is for developers; embed holds
        # commands of prepare and models
        ("rerun", "rerun", "", "Repeat a training run, and check that the weights are the same."),
        ("experiments", "experiments", "", "Compare recurrent cells, and measure how far gradients reach."),
        ("embed", "embed", "", "Embed proteins with language models; learn k-mer embeddings, export hidden states."),
        (
            "split",
            "split",
            "",
            "Split basecalled reads that hold two molecules, at adapters or open pore between them.",
        ),
    )
}
# former names of commands that moved into a group
FORMER = {
    "compare": "evaluate compare",
    "pore-model": "prepare pore-model",
    "activations": "models activations",
    "generate": "models generate",
    "translate": "models translate",
    "calibrate": "evaluate calibrate",
    "cells": "experiments cells",
    "gradient-flow": "experiments gradient-flow",
}
