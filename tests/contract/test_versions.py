"""pyproject.toml, constraints.txt and environment.yml say the same."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DIRECT = [Requirement(line) for line in PROJECT["dependencies"]]
EXTRAS = [Requirement(line) for extra in PROJECT["optional-dependencies"].values() for line in extra]
DEV = [requirement for requirement in EXTRAS if requirement.name != PROJECT["name"]]
LINES = (ROOT / "constraints.txt").read_text().splitlines()
PROGRAMS = {"minimap2", "miniasm", "racon", "c-compiler"}  # of rule assemble and of the kernels; no Python packages
CONDA_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib"}


def pins() -> dict[str, str]:
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in LINES)}


def conda_pins() -> dict[str, str]:
    content = yaml.safe_load((ROOT / "environment.yml").read_text())
    found = {}
    for entry in content["dependencies"]:
        for line in entry["pip"] if isinstance(entry, dict) else [entry]:
            name, _, version = line.replace("==", "=").partition("=")
            found[canonicalize_name(CONDA_NAMES.get(name, name))] = version
    return found


@pytest.mark.parametrize("line", LINES)
def test_constraint_is_a_public_pin(line: str) -> None:
    """No editable or local path, no host, no build of one machine."""
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*==[0-9][0-9A-Za-z.]*", line), line


def test_torch_is_first_and_the_rest_is_sorted() -> None:
    assert LINES[0].startswith("torch==")
    assert LINES[1:] == sorted(LINES[1:], key=lambda line: line.upper())
    assert len({canonicalize_name(line.split("==")[0]) for line in LINES}) == len(LINES)


@pytest.mark.parametrize("requirement", [*DIRECT, *DEV], ids=str)
def test_pin_satisfies_pyproject(requirement: Requirement) -> None:
    name = canonicalize_name(requirement.name)
    assert name in pins(), f"{name} of pyproject.toml is not in constraints.txt"
    assert Version(pins()[name]) in requirement.specifier


@pytest.mark.parametrize("requirement", DIRECT, ids=str)
def test_conda_has_the_same_version(requirement: Requirement) -> None:
    name = canonicalize_name(requirement.name)
    assert conda_pins().get(name) == pins()[name]


def test_conda_has_nothing_else() -> None:
    direct = {canonicalize_name(requirement.name) for requirement in DIRECT}
    assert set(conda_pins()) - direct == {"python", "pip", *PROGRAMS}


def test_one_version_of_python() -> None:
    assert Version(conda_pins()["python"]) in Requirement(f"python{PROJECT['requires-python']}").specifier
