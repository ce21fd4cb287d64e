"""The door: the table of subcommands, and the one place where a user's fault becomes a line and exit code 2."""

import importlib
import os
import sys
from typing import Any

import typer

from biorrn import __version__
from biorrn.cli.outputs import checked
from biorrn.command import note
from biorrn.device import quiet_threads
from biorrn.errors import BiorrnError, shown
from biorrn.files import disk_fault
from biorrn.screen import guard_terminal

# subcommand -> module that holds a function of the same name (_ for -); heavy libraries are imported inside it
COMMANDS = {
    "reads": "biorrn.cli.reads",
    "prepare": "biorrn.cli.prepare",
    "train": "biorrn.cli.train",
    "rerun": "biorrn.cli.rerun",
    "predict": "biorrn.cli.predict",
    "translate": "biorrn.cli.translate",
    "scan": "biorrn.cli.scan",
    "explain": "biorrn.cli.explain",
    "basecall": "biorrn.cli.basecall",
    "merge": "biorrn.cli.merge",
    "qc": "biorrn.cli.qc",
    "map": "biorrn.cli.map",
    "assemble": "biorrn.cli.assemble",
    "calibrate": "biorrn.cli.calibrate",
    "evaluate": "biorrn.cli.evaluate",
    "compare": "biorrn.cli.compare",
    "cells": "biorrn.cli.cells",
    "gradient-flow": "biorrn.cli.gradient_flow",
    "report": "biorrn.cli.report",
    "embed": "biorrn.cli.embed",
    "generate": "biorrn.cli.generate",
    "activations": "biorrn.cli.activations",
    "models": "biorrn.cli.models",
    "pore-model": "biorrn.cli.pore_model",
    "simulate": "biorrn.cli.simulate",
}


def build_app() -> typer.Typer:
    """Return the command line with every entry of `COMMANDS`; a module may hold a function or a group `app`."""
    app = typer.Typer(
        name="biorrn",
        help="Learn on protein sequences and raw nanopore signal with recurrent networks.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for name, module in COMMANDS.items():
        entry = importlib.import_module(module)
        if hasattr(entry, "app"):
            for command in entry.app.registered_commands:
                if not hasattr(command.callback, "__wrapped__"):  # the modules outlive an app
                    command.callback = checked(command.callback)
            app.add_typer(entry.app, name=name)
        else:
            app.command(name, no_args_is_help=True)(checked(getattr(entry, name.replace("-", "_"))))

    @app.callback(invoke_without_command=True)
    def version(show: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
        if show:
            print(__version__)
            raise typer.Exit

    return app


def main() -> None:
    """Run the command line; a user's fault is one line on standard error and exit code 2."""
    guard_terminal()
    quiet_threads()  # before any command imports torch
    note(sys.argv[1:])
    try:
        code = build_app()(prog_name="biorrn", standalone_mode=False)
        sys.stdout.flush()  # or a full disk behind it would be told of after the end
    except BiorrnError as error:
        print(f"biorrn: error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # typer ends so where a pipe is closed
            code = 141
        else:
            raise
    except KeyboardInterrupt:
        code = 130
    except Exception as error:
        # known by what it can do: typer carries its own copy of click, so that the class has no fixed home
        code = usage_error(error) if hasattr(error, "format_message") else disk_error(error)
    if code == 130:
        print("biorrn: interrupted", file=sys.stderr)
    sys.exit(code if isinstance(code, int) else 0)


def disk_error(error: Exception) -> int:
    """Say in one line that a place cannot be read or written, if that is what the error says; raise any other."""
    reason = disk_fault(error)
    if reason is None and isinstance(error, PermissionError):
        reason = error.strerror
    if reason is None:
        raise error
    try:
        sys.stdout.flush()
    except OSError:  # what it holds would be tried once more at the end, in vain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    # files are named by what writes them; what has no name is the stream
    place = getattr(error, "filename", None) or getattr(error.__context__, "filename", None) or "standard output"
    print("biorrn: error: " + shown(f"{place}: {reason}"), file=sys.stderr)
    return 2


def usage_error(error: Any) -> int:
    """Say in one line what is wrong with the command itself, or show its help where it has no argument at all."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return int(error.exit_code)
    context = getattr(error, "ctx", None)
    help_at = f"; see '{context.command_path} --help'" if context else ""
    message = " ".join(error.format_message().split()).rstrip(".")
    print(f"biorrn: error: {shown(message)}{help_at}", file=sys.stderr)
    return 2
