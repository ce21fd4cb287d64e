"""What all tests share."""

import os
from pathlib import Path

import pytest

# before torch is imported anywhere: several test workers share few cores
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the project's root."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real data, or skip where it is absent."""
    folder = Path(os.environ.get("BIORRN_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}; set BIORRN_SHARED_DATA to its place")
    return folder
