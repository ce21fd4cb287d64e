"""Every subcommand explains itself."""

import re
import subprocess
import sys
import typing
from collections.abc import Callable
from pathlib import Path

import pytest

from biorrn.cli.main import COMMANDS, FORMER, Subcommands, load
from biorrn.kernels.lstm.native import kernels


def commands(listed: bool = True) -> list[list[str]]:
    """Return the words of every command that `--help` lists, or does not list; a group's commands are separate."""
    found: list[list[str]] = []
    for name in [name for name, entry in COMMANDS.items() if bool(entry.group) == listed]:
        inner = getattr(load(name), "commands", None)
        found += [[name]] if inner is None else [[name, below] for below in inner]
    return found if listed else [*found, *([name] for name in FORMER)]


EVERY = [*commands(), *commands(listed=False)]


def command_of(words: list[str]) -> typing.Any:
    """Return the click command of these words."""
    found = Subcommands()[words[0]]
    for word in words[1:]:
        found = found.commands[word]
    return found


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_help_has_examples(command: list[str], run_cli: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(*command, "--help") == 0
    out = capsys.readouterr().out
    assert f"Usage: biorrn {' '.join(command)}" in out
    _, found, examples = out.partition("Examples:\n")
    assert found, "the docstring has no 'Examples:' after \\b"
    assert examples.strip().startswith(("biorrn", "zcat"))
    assert f"biorrn {' '.join(command)}" in examples


@pytest.mark.parametrize("command", commands(listed=False), ids=" ".join)
def test_former_spellings_work(
    command: list[str], run_cli: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(*command, "--help") == 0
    out = capsys.readouterr().out
    assert f"Usage: biorrn {' '.join(command)}" in out
    assert "Examples:\n" in out


@pytest.mark.parametrize("name", COMMANDS)
def test_table_has_the_first_line_of_each_help(name: str) -> None:
    assert " ".join(load(name).help.partition("\n\n")[0].split()) == COMMANDS[name].help


def test_help_lists_at_most_20_commands(run_cli: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli("--help") == 0
    out = capsys.readouterr().out
    listed = [name for name, entry in COMMANDS.items() if entry.group]
    assert [name for name in COMMANDS if f"\n  {name} " in out] == listed
    assert len(listed) <= 20
    assert re.findall(r"^(\w+):$", out, re.MULTILINE) == ["Options", "Use", "Train", "Reads", "Inspect"]


@pytest.mark.parametrize(
    "words",
    [
        ["protein", "t.csv", "--dry-run"],
        ["--seed", "1", "--dry-run", "protein", "t.csv"],
        ["--seed=1", "--dry-run", "protein", "t.csv"],
    ],
)
def test_train_protein_is_train_table(
    words: list[str], run_cli: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli("train", *words, "--target", "y") == 2
    assert capsys.readouterr().err == "biorrn: error: t.csv: cannot be read: No such file or directory\n"


def test_a_prepared_file_may_be_named_protein(run_cli: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli("train", "no_recipe", "protein", "-o", "run") == 2
    assert "no_recipe" in capsys.readouterr().err


@pytest.mark.parametrize("command", EVERY, ids=" ".join)
def test_every_option_has_help(command: list[str]) -> None:
    """An option without help cannot be used from --help."""
    for parameter in command_of(command).params:
        assert parameter.help, f"{parameter.name}: no help"


@pytest.mark.parametrize("command", [[], *EVERY], ids=lambda words: " ".join(words) or "biorrn")
def test_unknown_option_is_one_line(
    command: list[str], run_cli: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(*command, "--no-such-option") == 2
    err = capsys.readouterr().err
    assert err.startswith("biorrn: error: ")
    assert "--no-such-option" in err
    assert "--help" in err
    assert err.count("\n") == 1


def test_version(run_cli: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    from biorrn import __version__

    assert run_cli("--version") == 0
    assert capsys.readouterr().out.strip() == __version__


def test_help_imports_no_heavy_library() -> None:
    """Time on a shared machine says little; what is imported decides it."""
    code = (
        "import sys; sys.argv = ['biorrn', '--help']\n"
        "from biorrn.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "lightning", "numba", "matplotlib", "pandas", "sklearn", "scipy", "h5py", "pod5", "numpy"}
    assert "Usage: biorrn" in done.stdout
    assert not heavy & set(done.stderr.split())


@pytest.mark.skipif(kernels() is None, reason="no library was built")
@pytest.mark.parametrize("command", ["predict", "scan"])
def test_properties_need_no_heavy_library(command: str, kernel_model: Path, root: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.tsv"
    words = [
        "biorrn",
        command,
        str(kernel_model),
        str(root / "data" / "proteins.fasta"),
        "-o",
        str(output),
        "--device",
        "cpu",
    ]
    code = (
        f"import sys; sys.argv = {words!r}\n"
        "from biorrn.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print(*{name.split('.')[0] for name in sys.modules})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "lightning", "numba", "pandas", "sklearn", "scipy", "h5py", "pod5", "pyarrow"}
    heavy |= {"matplotlib"} if command == "predict" else set()
    assert output.read_text().count("\n") > 10
    assert not heavy & set(done.stdout.split())
