"""Outputs of commands: checks before a command runs, and writing of evaluations and summaries."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from biorrn.base.errors import ConfigError

# parameters that name output files; any other parameter that names an existing file is an input
OUTPUTS = ("output", "summary", "figure", "figures", "stats", "report", "markdown")
# outputs of single commands, whose names are inputs elsewhere
OWN: dict[str, tuple[str, ...]] = dict.fromkeys(("basecalls", "language", "translation", "signal"), ("table",))
OWN |= {"simulate": ("truth", "reference")}


def checked(command: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a command so that its outputs are checked before it runs, see `check_outputs`."""

    @functools.wraps(command)
    def run(**values: Any) -> Any:
        check_outputs(values, (*OUTPUTS, *OWN.get(command.__name__, ())))
        return command(**values)

    return run


def check_outputs(values: Mapping[str, Any], names: Sequence[str] = OUTPUTS) -> None:
    """Check that no output overwrites an input or another output, and that output folders exist.

    A missing output folder is accepted where its parent exists, because writers create one level. `names` are those of
    the outputs.

    Raises
    ------
    ConfigError: an output is the same file as an input or another output (links are resolved), or its folder is
        missing.
    """
    outputs = {name: str(value) for name, value in values.items() if name in names and _is_path(value)}
    inputs = [path for name, value in values.items() if name not in names for path in _files(value)]
    for name, path in outputs.items():
        option = f"--{name} {path}"
        for given in inputs:
            if _same(path, given):
                raise ConfigError(f"{option}: is the input {given}; allowed is another file")
        for other, second in outputs.items():
            if other != name and _same(path, second):
                raise ConfigError(f"{option}: is also --{other}; allowed is another file")
        folder = Path(os.path.realpath(path) if os.path.islink(path) else path).parent  # writing follows a link
        above = folder.resolve().parent
        if not folder.exists() and (not above.is_dir() or above == Path(above.anchor)):
            raise ConfigError(f"{option}: there is no folder {folder}; make it first, or name another")


def _is_path(value: Any) -> bool:
    return isinstance(value, str | Path) and str(value) not in ("", "-")


def _files(value: Any) -> Iterator[str]:
    """Yield the existing files that a value, or an item of a list, names. Names of shipped models are not files."""
    for one in value if isinstance(value, list | tuple) else [value]:
        if _is_path(one):
            try:
                found = os.path.isfile(one)
            except ValueError:  # the path contains a zero byte
                found = False
            if found:
                yield str(one)


def _same(first: str, second: str) -> bool:
    """Return whether two paths are the same regular file, following links. Devices such as /dev/null never are."""
    if os.path.exists(first) and os.path.exists(second):
        return os.path.isfile(first) and os.path.samefile(first, second)
    return os.path.realpath(first) == os.path.realpath(second)


def write_evaluation(
    output: Path | None,
    content: dict[str, Any],
    figures: Path | None,
    draw: Callable[[], Any],
    lines: Callable[[dict[str, Any]], list[str]] | None = None,
    beside: Path | None = None,
) -> None:
    """Write an evaluation as JSON and its figures, and print its summary.

    Parameters
    ----------
    output : JSON file. None writes none.
    figures : folder of figures. None draws none.
    draw : returns the figures.
    lines : returns the summary of the content as lines. Default: that of `biorrn evaluate`.
    beside : file from which the figures' paths are relative. Default: `output`.
    """
    from biorrn.stats.figures import save_drawings
    from biorrn.stats.results import write_result

    if figures is not None:
        content["figures"] = save_drawings(draw(), figures, beside or output or figures)
    if output is not None:
        write_result(output, content)
    if lines is None:
        from biorrn.stats.results import summary_lines

        lines = summary_lines
    for line in lines(content):
        print(line)


def write_account(account: dict[str, Any], options: dict[str, Any], report: Path | None) -> None:
    """Print the summary of a prepared file, and write it as JSON if a report is given."""
    from biorrn.sequences.prepared.summary import lines
    from biorrn.sequences.prepared.summary import write_account as write

    if report is not None:
        write(report, {**options, **account})
    for line in lines(account):
        print(line)
