"""Pages that are made from what stands elsewhere: commands from their help, the package from its docstrings.

mkdocs calls `on_files` before it builds; nothing is written into docs/.
"""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
# in the order in which data flows; the floor is the package's own modules
LAYERS = (
    "readers",
    "encoders",
    "datasets",
    "kernels",
    "models",
    "training",
    "inference",
    "simulation",
    "evaluation",
    "tasks",
)
COPIED = {"configuration.md": "config/README.md", "changes.md": "CHANGELOG.md"}


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made: reference, configuration, changes."""
    made = {
        "reference/commands.md": commands_page(),
        "reference/package.md": package_page(),
        **{f"reference/{layer}.md": layer_page(layer) for layer in LAYERS},
        "results.md": results_page(),
        **{name: (ROOT / source).read_text(encoding="utf-8") for name, source in COPIED.items()},
    }
    every_key = (ROOT / "config/config.yaml").read_text(encoding="utf-8")
    made["configuration.md"] = (
        made["configuration.md"]
        .replace("(config.yaml)", "(#every-key)")
        .replace("`docs/scale.md`", "[scale](scale.md)")
        + f"\n## Every key\n\n```yaml\n{every_key}```\n"
    )
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    return files


def results_page() -> str:
    """Return what README says was measured, as a page of its own."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    measured = readme.partition("\n## Measured\n")[2].partition("\n## ")[0]
    figure = "![Predicted and measured stability; identity, errors and Q-scores of called lambda reads](results.png)"
    return f"# Measured results\n{measured}\n{figure}\n"


def commands_page() -> str:
    """Return the help of every command."""
    import click  # noqa: F401  # typer shows its help by it
    import typer
    from typer.testing import CliRunner

    from biorrn.cli.main import build_app

    app = build_app()
    runner = CliRunner(env={"COLUMNS": "110", "TERMINAL_WIDTH": "110", "NO_COLOR": "1"})

    def help_of(words: list[str]) -> str:
        return runner.invoke(app, [*words, "--help"], prog_name="biorrn").stdout.strip()

    lines = ["# Commands", "", "What `--help` says.", "", "```text", help_of([]), "```", ""]
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        lines += [f"## {name}", "", "```text", help_of([name]), "```", ""]
        for below in getattr(command, "commands", {}):
            lines += [f"### {name} {below}", "", "```text", help_of([name, below]), "```", ""]
    return "\n".join(lines)


def public(path: Path) -> list[str]:
    """Return the names of the public functions and classes of a file that have a docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.ClassDef)
    return [
        node.name
        for node in tree.body
        if isinstance(node, kinds) and not node.name.startswith("_") and ast.get_docstring(node)
    ]


def layer_page(layer: str) -> str:
    """Return a page with every public name of a layer."""
    package = importlib.import_module(f"biorrn.{layer}")
    lines = [f"# biorrn.{layer}", "", package.__doc__ or "", ""]
    for path in sorted((ROOT / "biorrn" / layer).glob("*.py")):
        names = public(path)
        if not names or path.name.startswith("_"):
            continue
        lines += [f"::: biorrn.{layer}.{path.stem}", "    options:", "      members:"]
        lines += [f"        - {name}" for name in names] + [""]
    return "\n".join(lines)


def package_page() -> str:
    """Return the page that leads to the layers."""
    lines = [
        "# Package",
        "",
        "In the order in which data flows; an import points to the same line or to one above it.",
        "",
    ]
    for layer in LAYERS:
        count = sum(len(public(path)) for path in (ROOT / "biorrn" / layer).glob("*.py"))
        lines.append(f"- [`biorrn.{layer}`]({layer}.md): {count} functions and classes")
    return "\n".join(lines) + "\n"
