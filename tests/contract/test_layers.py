"""Imports point one way, without circles, and the command line starts light."""

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "biorrn"
DOMAINS = ("nanopore", "proteins", "tagging", "language", "translation")
# an import points to the same row or to one above it; domains do not import one another
LAYERS = (
    ("version", "base"),
    ("config",),
    ("stats",),
    ("sequences",),
    ("kernels",),
    ("nn",),
    ("training",),
    DOMAINS,
    ("report", "experiments"),
    ("rerun",),
    ("api",),
    ("cli",),
)
# but for this: a decoder can read signal, with the windows and losses of basecalling beside it
BRIDGES = {("translation", "nanopore")}
RESOURCES = ("recipes", "pretrained")  # files of the package that anyone may read
HEAVY = {"torch", "lightning", "numba", "matplotlib", "pandas", "sklearn", "scipy", "h5py", "pod5", "pyarrow", "numpy"}
LIGHT = ("version", "base", "config", "cli")
FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(module: str) -> str | None:
    """Return the room `x` of `biorrn.x...`; None for the package itself and its resources."""
    parts = module.split(".")
    return None if len(parts) == 1 or parts[1] in (*RESOURCES, "__main__", "__init__") else parts[1]


def layer_of(room: str) -> int:
    return next(place for place, rooms in enumerate(LAYERS) if room in rooms)


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


def test_every_room_has_a_layer() -> None:
    rooms = {room for path in FILES if (room := room_of(name_of(path)))}
    assert rooms == {room for rooms in LAYERS for room in rooms}


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_imports_point_up_the_list(path: Path) -> None:
    own = room_of(name_of(path))
    if own is None:
        return
    for module, line in imports(ast.parse(path.read_text())):
        other = room_of(module) if module.startswith("biorrn") else None
        if other is None or (own, other) in BRIDGES:
            continue
        assert layer_of(other) <= layer_of(own), f"line {line}: {own} imports {module}, which stands above it"
        assert other == own or not {own, other} <= set(DOMAINS), f"line {line}: {own} imports {module}, another domain"


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_file_has_a_noun(path: Path) -> None:
    assert path.stem not in ("utils", "helpers", "misc", "common"), "a helper belongs to a noun"


@pytest.mark.parametrize("path", [path for path in FILES if room_of(name_of(path)) in LIGHT], ids=relative)
def test_command_line_and_floor_start_light(path: Path) -> None:
    """`biorrn --help` and the workflow import these; a heavy library is imported inside the function that needs it."""
    found = {(module.split(".")[0], line) for module, line in imports(ast.parse(path.read_text()), top_only=True)}
    assert not {entry for entry in found if entry[0] in HEAVY}
    ours = {
        (module, line) for module, line in imports(ast.parse(path.read_text()), top_only=True) if "biorrn" in module
    }
    beyond = {entry for entry in ours if room_of(entry[0]) not in (None, *LIGHT)}
    assert not beyond, "imported at the top; import it inside the function"


def test_the_command_line_is_read_by_the_door_alone() -> None:
    """In a notebook `sys.argv` is the kernel's; two files are programs of their own."""
    found = [relative(path) for path in FILES if "sys.argv" in path.read_text(encoding="utf-8")]
    assert found == ["cli/main.py", "sequences/guard.py", "training/residue_profile.py"]


def test_nothing_is_recorded_as_the_command_line_of_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    from biorrn.base.terminal import command_line, note
    from biorrn.stats.results import described

    monkeypatch.setattr("biorrn.base.terminal._words", [])
    monkeypatch.setattr("sys.argv", ["ipykernel_launcher.py", "-f", "kernel.json"])
    assert described("qc", "x", {})["command"] == ""
    note(["qc", "my summary.tsv"])
    assert described("qc", "x", {})["command"] == command_line() == "biorrn qc 'my summary.tsv'"


def dependencies() -> dict[str, set[str]]:
    """Return which modules of the package each module imports, at the top and within functions."""
    modules = {name_of(path).removesuffix(".__init__"): path for path in FILES}
    found: dict[str, set[str]] = {}
    for name, path in modules.items():
        wanted: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                wanted |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                module = node.module or ""
                # `from biorrn.nn import store` names a module, `from biorrn.nn.store import x` does not
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


# names that files in several rooms share since they play one role there
ROLES = {
    *("task", "data", "files", "prepare", "predict", "evaluate", "metrics", "baselines"),
    *("figures", "summary", "engine"),
    *("reference", "cpu", "loss", "decode"),  # of a kernel
}


def twice(paths: Iterable[Path]) -> dict[str, list[Path]]:
    """Return the names that several files bear and that are no role.

    Two rooms repeat a name by design: a command bears that of what it runs, and `training` trains what `nn` computes.
    """
    found: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        if path.parts[0] != "cli" and path.stem not in {"__init__", *ROLES}:
            found[path.stem].append(path)
    return {
        name: named
        for name, named in found.items()
        if len(named) > 1 and {path.parts[0] for path in named} != {"nn", "training"}
    }


def test_no_name_is_given_twice() -> None:
    """A search for a name finds one file, or the files of one role."""
    assert list(
        twice(map(Path, ("base/a.py", "stats/a.py", "cli/b.py", "stats/b.py", "nn/c.py", "training/c.py")))
    ) == ["a"]
    assert list(twice(map(Path, ("nn/a.py", "nn/x/a.py")))) == ["a"]
    found = twice(path.relative_to(PACKAGE) for path in FILES)
    assert not found, "; ".join(f"{name}: {', '.join(map(str, named))}" for name, named in found.items())


def test_each_role_is_played_twice() -> None:
    stems = Counter(path.stem for path in FILES)
    assert not {role for role in ROLES if stems[role] < 2}, "no role: it names one file"


# small files with one importer and no tests of their own that stay -> why
ALONE = {
    "biorrn.training.forest": "the fit of `nn.forest`, as `training.gaussian` is of `nn.gaussian`",
}
SMALL = 120  # lines


def words(path: Path) -> set[str]:
    """Return the names of modules that a file imports or, as a table of choices does, writes as a string."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    return found


def test_a_small_file_has_two_importers_or_tests() -> None:
    """Else it is a part of its importer; but a command has a file of its own."""
    modules = {name_of(path).removesuffix(".__init__"): path for path in FILES}
    users = {name: words(path) for name, path in modules.items()}
    tested = set().union(
        *(words(path) for path in PACKAGE.parent.joinpath("tests").rglob("*.py") if path != Path(__file__))
    )
    found = set()
    for name, path in modules.items():
        lines = path.read_text(encoding="utf-8").splitlines()
        if path.stem in ("__init__", "__main__") or room_of(name) in ("cli", None) or len(lines) >= SMALL:
            continue
        if sum(name in used for other, used in users.items() if other != name) < 2 and name not in tested:
            found.add(name)
    assert found == set(ALONE), "fold it into its importer, or say in ALONE why it stays"


NAMED = [
    path
    for folder in ("workflow", "docs", "benchmarks", "data", "config", "tests", ".ci")
    for path in sorted((PACKAGE.parent / folder).rglob("*"))
    if path.suffix in (".py", ".smk", ".md", ".yaml", ".yml", "") and path.is_file() and path.parent.name != "contract"
]
NAMED += [PACKAGE.parent / name for name in ("README.md", "CONTRIBUTING.md", "Makefile", "Snakefile", "mkdocs.yml")]


def test_modules_that_are_named_exist() -> None:
    """In rules, docs, benchmarks and strings: `biorrn.x.y`, each with what it is said to hold."""
    wrong = []
    for path in NAMED:
        for found in set(re.findall(r"\bbiorrn(?:\.[a-z_]\w*)+", path.read_text(encoding="utf-8"))):
            place, names = PACKAGE, found.split(".")[1:]
            while names and (place / names[0]).is_dir():
                place /= names.pop(0)
            file = place / f"{names[0]}.py" if names else place
            if names and file.is_file():
                names = names[1:]
            elif names:
                file = place / "__init__.py"
            if names and not re.search(rf"\b{names[0]}\b", file.read_text(encoding="utf-8")):
                wrong.append(f"{path.relative_to(PACKAGE.parent)}: {found}")
    assert not wrong
