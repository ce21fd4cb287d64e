"""What the tests of the command line share."""

import sys
from collections.abc import Callable

import pytest

from biorrn.cli.main import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def biorrn(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs the command line here and returns its exit code, stdout and stderr."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["biorrn", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
