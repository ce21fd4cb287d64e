"""The library names its instruction sets; the environment chooses among them, and without a library nothing fails."""

import ctypes
import subprocess
from pathlib import Path

import pytest

from biorrn.base.errors import BiorrnError
from biorrn.kernels.lstm import layers, native
from biorrn.kernels.lstm.native import FLOAT, SETS, VARIABLE, available, kernels

FOUND = available()
needs_library = pytest.mark.skipif(not FOUND, reason="no library was built")


@pytest.fixture(autouse=True)
def fresh() -> None:
    kernels.cache_clear()


@needs_library
def test_every_set_up_to_the_best_has_float32() -> None:
    assert [each.isa for each in FOUND] == list(SETS)[: len(FOUND)]
    for each in FOUND:
        assert each.kinds[-1] == FLOAT
        assert each.lanes in (4, 8, 16)


@needs_library
@pytest.mark.parametrize("isa", [each.isa for each in FOUND])
def test_the_environment_names_a_set(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, isa)
    chosen = kernels()
    assert chosen is not None
    assert chosen.isa == isa
    assert layers.described(FLOAT) == f"float32, {SETS[isa]}"


@needs_library
def test_the_best_set_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    chosen = kernels()
    assert chosen is not None
    assert chosen.isa == FOUND[-1].isa


@needs_library
def test_an_unknown_set_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "mmx")
    with pytest.raises(BiorrnError, match=r"BIORRN_ISA: found 'mmx'; allowed on this processor is one of generic"):
        kernels()


def test_without_a_library_there_are_no_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "_library", lambda: None)
    assert available() == []
    assert kernels() is None
    assert layers.kinds() == []
    kernels.cache_clear()


@needs_library
def test_ctypes_structures_are_those_of_the_library(tmp_path: Path) -> None:
    compiler = "cc"
    folder = Path(native.__file__).parent
    source = tmp_path / "sizes.c"
    names = {"lstm_call": native.LSTMCall, "dense_call": native.DenseCall}
    sizes = ", ".join(f"sizeof({name})" for name in names)
    source.write_text(f'#include "native.c"\n#include <stdio.h>\nint main(void) {{ printf("%zu %zu", {sizes}); }}\n')
    command = [compiler, "-std=gnu11", "-w", f"-I{folder}", str(source), "-o", str(tmp_path / "sizes")]
    try:
        subprocess.run(command, check=True)
    except FileNotFoundError:
        pytest.skip("no C compiler")
    found = subprocess.run([str(tmp_path / "sizes")], check=True, capture_output=True, text=True).stdout.split()
    assert [int(size) for size in found] == [ctypes.sizeof(kind) for kind in names.values()]


def test_a_library_of_another_version_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """One without a function of this version is as none."""
    monkeypatch.setattr(native.ctypes, "CDLL", lambda _: object())
    assert native._library.__wrapped__() is None
