"""Imports point only to the left, and the command line starts light."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "biorrn"
FLOOR = ("errors", "lookup", "files", "progress", "config", "config_frontends", "batch", "device", "jit")
FLOOR += ("config_keys", "config_gaussian", "config_data", "config_yaml", "config_samples")
FLOOR += ("config_core", "config_heads", "config_training")
FLOOR += ("screen", "locks", "command")
LAYERS = ("floor", "readers", "encoders", "datasets", "kernels", "models", "training")
LAYERS += ("inference", "simulation", "evaluation", "tasks", "api", "cli")
RESOURCES = ("recipes", "pretrained")  # files of the package that anyone may read
HEAVY = {"torch", "lightning", "numba", "matplotlib", "pandas", "sklearn", "scipy", "h5py", "pod5", "pyarrow", "numpy"}
FILES = sorted(PACKAGE.rglob("*.py"))


def layer_of(module: str) -> str | None:
    """Return the layer of `biorrn.<part>...`; None for the package itself and its resources."""
    parts = module.split(".")
    if len(parts) == 1 or parts[1] in (*RESOURCES, "__main__", "__init__", "__version__"):
        return None
    return "floor" if parts[1] in FLOOR else parts[1]


def imports(tree: ast.AST, top_only: bool = False) -> Iterator[tuple[str, int]]:
    """Yield each imported module with its line; `top_only` leaves out functions and `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        lazy = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        if top_only and (lazy or typing_only):
            continue
        if isinstance(node, ast.Import):
            yield from ((name.name, node.lineno) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            module = node.module or ""
            if module == "biorrn":  # `from biorrn import x` may name a module
                yield from ((f"biorrn.{name.name}", node.lineno) for name in node.names)
            else:
                yield module, node.lineno
        else:
            yield from imports(node, top_only)


def name_of(path: Path) -> str:
    return ".".join(("biorrn", *path.relative_to(PACKAGE).with_suffix("").parts))


def relative(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_imports_point_left(path: Path) -> None:
    own = layer_of(name_of(path))
    if own is None:
        return
    assert own in LAYERS, f"{path.name}: '{own}' is no layer; a new file of the floor is named in FLOOR"
    for module, line in imports(ast.parse(path.read_text())):
        if not module.startswith("biorrn"):
            continue
        other = layer_of(module)
        assert other is None or other in LAYERS, f"line {line}: {module} is in no layer"
        if other is not None:
            assert LAYERS.index(other) <= LAYERS.index(own), f"line {line}: {own} imports {module}, to its right"


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_file_has_a_noun(path: Path) -> None:
    assert path.stem not in ("utils", "helpers", "misc", "common"), "a helper belongs to a noun"


@pytest.mark.parametrize("path", [path for path in FILES if layer_of(name_of(path)) in ("cli", "floor")], ids=relative)
def test_command_line_and_floor_start_light(path: Path) -> None:
    """`biorrn --help` and the workflow import these; a heavy library is imported inside the function that needs it."""
    found = {(module.split(".")[0], line) for module, line in imports(ast.parse(path.read_text()), top_only=True)}
    assert not {entry for entry in found if entry[0] in HEAVY}
    ours = {
        (module, line) for module, line in imports(ast.parse(path.read_text()), top_only=True) if "biorrn" in module
    }
    beyond = {entry for entry in ours if layer_of(entry[0]) not in (None, "floor", "cli")}
    assert not beyond, "imported at the top; import it inside the function"


def test_the_command_line_is_read_by_the_door_alone() -> None:
    """In a notebook `sys.argv` is the kernel's; two files are programs of their own."""
    found = [relative(path) for path in FILES if "sys.argv" in path.read_text(encoding="utf-8")]
    assert found == ["cli/main.py", "readers/guard.py", "training/residue_profile.py"]


def test_nothing_is_recorded_as_the_command_line_of_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    from biorrn.command import command_line, note
    from biorrn.evaluation.described import described

    monkeypatch.setattr("biorrn.command._words", [])
    monkeypatch.setattr("sys.argv", ["ipykernel_launcher.py", "-f", "kernel.json"])
    assert described("qc", "x", {})["command"] == ""
    note(["qc", "my summary.tsv"])
    assert described("qc", "x", {})["command"] == command_line() == "biorrn qc 'my summary.tsv'"


def dependencies() -> dict[str, set[str]]:
    """Return which modules of the package each module imports, at the top and within functions.

    The package itself is left out: it hands on the public API, and others read its version.
    """
    modules = {name_of(path).removesuffix(".__init__"): path for path in FILES}
    del modules["biorrn"]
    found: dict[str, set[str]] = {}
    for name, path in modules.items():
        wanted: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                wanted |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                module = node.module or ""
                # `from biorrn.models import store` names a module, `from biorrn.models.store import x` does not
                wanted |= {full if (full := f"{module}.{alias.name}") in modules else module for alias in node.names}
        found[name] = (wanted & set(modules)) - {name}
    return found


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """Return modules that import one another in a circle, the first again at the end; an empty list where none do."""
    done: set[str] = set()

    def visit(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name not in done:
            for other in sorted(graph[name]):
                if found := visit(other, [*way, name]):
                    return found
            done.add(name)
        return []

    return next((found for name in sorted(graph) if (found := visit(name, []))), [])


def test_no_circles() -> None:
    """No module imports another that leads back to it, within functions and for type checkers neither."""
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert not cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()})
    assert not (found := cycle(dependencies())), " -> ".join(found)
