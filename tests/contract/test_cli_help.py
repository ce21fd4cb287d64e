"""Every subcommand explains itself."""

import importlib
import subprocess
import sys
import typing

import pytest

from biorrn.cli.main import COMMANDS, main


def commands() -> list[list[str]]:
    """Return the words of every command; a group's commands stand by themselves."""
    found = []
    for name, module in COMMANDS.items():
        group = getattr(importlib.import_module(module), "app", None)
        if group is None:
            found.append([name])
        else:
            found += [[name, entry.name or entry.callback.__name__] for entry in group.registered_commands]
    return found


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Run the command line in this process and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["biorrn", *words])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_help_has_examples(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *command, "--help") == 0
    out = capsys.readouterr().out
    assert f"Usage: biorrn {' '.join(command)}" in out
    _, found, examples = out.partition("Examples:\n")
    assert found, "the docstring has no 'Examples:' after \\b"
    assert examples.strip().startswith(("biorrn", "zcat"))
    assert f"biorrn {' '.join(command)}" in examples


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_option_has_help(command: list[str]) -> None:
    """An option that shows nothing beside its name cannot be used from --help."""
    module = importlib.import_module(COMMANDS[command[0]])
    group = getattr(module, "app", None)
    if group is None:
        function = getattr(module, command[0].replace("-", "_"))
    else:
        names = {entry.name or entry.callback.__name__: entry.callback for entry in group.registered_commands}
        function = names[command[1]]
    hints = typing.get_type_hints(function, include_extras=True)
    hints.pop("return", None)
    for name, hint in hints.items():
        notes = [note for note in getattr(hint, "__metadata__", ()) if hasattr(note, "help")]
        assert notes, f"{name}: no typer.Option or typer.Argument"
        assert notes[0].help, f"{name}: no help"


@pytest.mark.parametrize("command", [[], *commands()], ids=lambda words: " ".join(words) or "biorrn")
def test_unknown_option_is_one_line(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *command, "--no-such-option") == 2
    err = capsys.readouterr().err
    assert err.startswith("biorrn: error: ")
    assert "--no-such-option" in err
    assert "--help" in err
    assert err.count("\n") == 1


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from biorrn import __version__

    assert run(monkeypatch, "--version") == 0
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
