"""What every command checks of its outputs before it begins: none is an input, and their folders can be."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from biorrn.errors import ConfigError

# parameters of commands that name what is written; all others name inputs, where a file of that name is there
OUTPUTS = ("output", "summary", "figure", "figures", "stats", "report", "markdown")


def checked(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return a command that first checks its outputs, see `check_outputs`."""

    @functools.wraps(command)
    def run(**values: Any) -> Any:
        check_outputs(values)
        return command(**values)

    return run


def check_outputs(values: Mapping[str, Any]) -> None:
    """Check the parameters of a command.

    A folder that is missing is made only where the folder that it is in exists, and never below the root.

    Raises
    ------
    ConfigError: an output is the file of an input or of another output, by another path perhaps, or lies in a folder
        that is not there.
    """
    outputs = {name: str(value) for name, value in values.items() if name in OUTPUTS and _is_path(value)}
    inputs = [path for name, value in values.items() if name not in OUTPUTS for path in _files(value)]
    for name, path in outputs.items():
        option = f"--{name} {path}"
        for given in inputs:
            if _same(path, given):
                raise ConfigError(f"{option}: is the input {given}; allowed is another file")
        for other, second in outputs.items():
            if other != name and _same(path, second):
                raise ConfigError(f"{option}: is also --{other}; allowed is another file")
        folder = Path(os.path.realpath(path) if os.path.islink(path) else path).parent  # a link is written through
        above = folder.resolve().parent
        if not folder.exists() and (not above.is_dir() or above == Path(above.anchor)):
            raise ConfigError(f"{option}: there is no folder {folder}; make it first, or name another")


def _is_path(value: Any) -> bool:
    return isinstance(value, str | Path) and str(value) not in ("", "-")


def _files(value: Any) -> Iterator[str]:
    """Yield what is named by a value, or by an item of it, and is a file; a shipped model's id is none."""
    for one in value if isinstance(value, list | tuple) else [value]:
        if _is_path(one):
            try:
                found = os.path.isfile(one)
            except ValueError:  # a zero byte
                found = False
            if found:
                yield str(one)


def _same(first: str, second: str) -> bool:
    """Tell whether two paths are one file, by links too. Devices, such as /dev/null, are nobody's."""
    if os.path.exists(first) and os.path.exists(second):
        return os.path.isfile(first) and os.path.samefile(first, second)
    return os.path.realpath(first) == os.path.realpath(second)
