"""constraints.txt is what is tested: everything that biorrn can import here has the version that stands there."""

from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

LINES = (Path(__file__).resolve().parents[2] / "constraints.txt").read_text().splitlines()
PINS = {canonicalize_name(name): version for name, version in (line.split("==") for line in LINES)}
UNLOCKED = {"biorrn", "setuptools"}  # as `pip freeze` leaves them out


def needed(extra: str = "dev") -> dict[str, str]:
    """Return all that the package and its extra need here, directly and not, with the versions that are installed."""
    found: dict[str, str] = {}
    left = [(Requirement(line), extra) for line in metadata.requires("biorrn") or []]
    while left:
        requirement, of = left.pop()
        name = canonicalize_name(requirement.name)
        if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": of})):
            continue
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # an extra that is not installed
        own = [
            (Requirement(line), each) for line in metadata.requires(name) or [] for each in ("", *requirement.extras)
        ]
        left += own
    return {name: version for name, version in found.items() if name not in UNLOCKED}


def test_all_that_is_needed_is_locked() -> None:
    assert set(needed()) - set(PINS) == set()


@pytest.mark.parametrize(("name", "version"), sorted(PINS.items()))
def test_what_is_installed_is_what_is_locked(name: str, version: str) -> None:
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{name} is not installed here")
    assert Version(found).public == Version(version).public
