"""The public API: its names, its docstrings, and how little `import biorrn` costs."""

import ast
import doctest
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import biorrn
from biorrn import api
from biorrn.kernels.lstm.native import available

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "numpy", "pandas", "numba", "lightning", "h5py", "scipy", "sklearn", "matplotlib", "pydantic"}


def test_names() -> None:
    functions = {"load_model", "predict", "scan", "suggest", "basecall"}
    functions |= {"read_signal", "read_proteins", "train", "evaluate"}
    assert set(biorrn.__all__) == functions | {"BiorrnError", "Evaluation", "Model"}
    assert sorted(biorrn.__all__) == biorrn.__all__
    assert dir(biorrn) == sorted([*biorrn.__all__, "__version__"])
    with pytest.raises(AttributeError, match="module 'biorrn' has no attribute 'predicts'"):
        biorrn.predicts  # noqa: B018


def test_what_the_module_defines_is_public_or_has_an_underscore() -> None:
    tree = ast.parse((ROOT / "biorrn/api.py").read_text(encoding="utf-8"))
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    assert {name for name in defined if not name.startswith("_")} == {*biorrn.__all__} - {"BiorrnError"}


@pytest.mark.parametrize("name", biorrn.__all__)
def test_docstring(name: str) -> None:
    """Each name has an example; a function tells of each argument, what it returns and what it raises."""
    thing = getattr(biorrn, name)
    text = inspect.getdoc(thing) or ""
    assert doctest.DocTestParser().get_examples(text)
    if inspect.isfunction(thing):
        body = text.split("Returns\n---")[0].split("Yields\n---")[0]
        listed = {
            one for names in re.findall(r"^(\w+(?:, \w+)*) :? ?", body, re.MULTILINE) for one in names.split(", ")
        }
        assert not set(inspect.signature(thing).parameters) - listed
        assert re.search("^Raises\n---", text, re.MULTILINE)
        assert re.search("^(Returns|Yields)\n---", text, re.MULTILINE)


def test_examples_of_docstrings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found = doctest.testmod(api)
    assert found.attempted > 20
    assert not found.failed


def test_import_is_light_and_changes_nothing() -> None:
    code = (
        "import os, signal, sys, threading\n"
        "def state(): return dict(os.environ), {s: signal.getsignal(s) for s in signal.valid_signals()}, sys.stderr\n"
        "before = state()\n"
        "import biorrn\n"
        "assert state() == before and threading.active_count() == 1\n"
        f"print(sorted(set({sorted(HEAVY)!r}) & set(sys.modules)))\n"
        "print(sorted(name for name in sys.modules if name.startswith('biorrn')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "['biorrn', 'biorrn.version']"]


def test_idle_threads_sleep_before_torch_is_imported() -> None:
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    code = f"import os, sys, biorrn; biorrn.predict; print('torch' in sys.modules, *map(os.environ.get, {names}))"
    environment = {key: value for key, value in os.environ.items() if key not in names}
    for given, expected in (
        ({}, "PASSIVE 1000"),
        ({names[0]: "ACTIVE"}, "ACTIVE None"),
        ({names[1]: "7"}, "PASSIVE 7"),
    ):
        words = {"capture_output": True, "text": True, "check": True, "env": environment | given}
        done = subprocess.run([sys.executable, "-c", code], **words)
        assert done.stdout == f"False {expected}\n"


@pytest.mark.skipif(not available(), reason="no library was built")
def test_a_prediction_by_the_kernels_needs_no_torch(kernel_model: Path) -> None:
    code = f"import sys, biorrn; biorrn.predict('{kernel_model}', {{'a': 'MKVLA'}}); print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False"]
