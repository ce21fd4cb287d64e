"""Generated documentation pages: command help, package reference, copies of pages that stand elsewhere.

mkdocs calls `on_config`, then `on_files`, then `on_page_markdown` for each page. Nothing is written into docs/. The
reference follows the folders of the package: each folder in `biorrn/` that holds modules is a page, so that moving a
module needs no edit here.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "biorrn"
COPIED = {
    "configuration.md": "config/README.md",
    "data.md": "data/README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changes.md": "CHANGELOG.md",
}
WITHOUT_PAGE = ("cli",)  # reference/commands.md has the help of every command


def on_config(config: Any) -> Any:
    """Add the reference page of each package to the navigation entry `Reference`."""
    pages = [{f"biorrn.{name}": f"reference/{name}.md"} for name in packages()]
    for section in config["nav"]:
        for entry in next(iter(section.values())) if isinstance(section, dict) else []:
            if isinstance(entry, dict) and isinstance(entry.get("Reference"), list):
                entry["Reference"] += pages
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages."""
    made = {
        "reference/commands.md": commands_page(),
        "reference/package.md": package_page(),
        **{f"reference/{name}.md": reference_page(name) for name in packages()},
        **{name: (ROOT / source).read_text(encoding="utf-8") for name, source in COPIED.items()},
    }
    every_key = (ROOT / "config/config.yaml").read_text(encoding="utf-8")
    made["configuration.md"] = (
        made["configuration.md"].replace("(config.yaml)", "(#every-key)").replace("(../docs/", "(")
        + f"\n## Every key\n\n```yaml\n{every_key}```\n"
    )
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, **about: Any) -> str:
    """Turn links to files that are copied, which work in the repository, into links to their pages."""
    for name, source in COPIED.items():
        markdown = markdown.replace(f"../{source}", name)
    return markdown


def packages() -> list[str]:
    """Return the names of the folders of the package that hold documented modules."""
    folders = sorted(path.parent for path in PACKAGE.glob("*/__init__.py"))
    return [path.name for path in folders if path.name not in WITHOUT_PAGE and any(map(public, modules(path.name)))]


def modules(name: str) -> list[Path]:
    """Return the files of the modules in one folder of the package, at any depth."""
    paths = sorted((PACKAGE / name).rglob("*.py"))
    return [path for path in paths if path.name == "__init__.py" or not path.name.startswith("_")]


def public(path: Path) -> list[str]:
    """Return the names of the public functions and classes of a file that have a docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.ClassDef)
    return [
        node.name
        for node in tree.body
        if isinstance(node, kinds) and not node.name.startswith("_") and ast.get_docstring(node)
    ]


def docstring(path: Path) -> str:
    """Return the docstring of a module, or nothing."""
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


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

    lines = ["# Commands", "", "The output of `--help`.", "", "```text", help_of([]), "```", ""]
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        lines += [f"## {name}", "", "```text", help_of([name]), "```", ""]
        for below in getattr(command, "commands", {}):
            lines += [f"### {name} {below}", "", "```text", help_of([name, below]), "```", ""]
    return "\n".join(lines)


def reference_page(name: str) -> str:
    """Return a page with every public name of one folder of the package."""
    lines = [f"# biorrn.{name}", "", docstring(PACKAGE / name / "__init__.py"), ""]
    for path in modules(name):
        if names := public(path):
            dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            lines += [f"::: {dotted}", "    options:", "      members:"]
            lines += [f"        - {member}" for member in names] + [""]
    return "\n".join(lines)


def package_page() -> str:
    """Return the list of reference pages, and the modules that stand beside the folders: the public API."""
    lines = ["# Package", "", docstring(PACKAGE / "__init__.py"), ""]
    for name in packages():
        count = sum(len(public(path)) for path in modules(name))
        about = docstring(PACKAGE / name / "__init__.py").partition("\n")[0]
        lines.append(f"- [`biorrn.{name}`]({name}.md) ({count} functions and classes): {about}")
    for path in sorted(PACKAGE.glob("*.py")):
        if not path.name.startswith("_") and (names := public(path)):
            lines += ["", f"::: biorrn.{path.stem}", "    options:", "      members:"]
            lines += [f"        - {member}" for member in names]
    return "\n".join(lines) + "\n"
