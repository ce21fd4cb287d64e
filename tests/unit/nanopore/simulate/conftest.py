"""A small pore model of 3-mers, and signal simulated from it."""

import numpy as np
import pytest

from biorrn.nanopore.simulate.pore_model import Device, PoreModel


@pytest.fixture(scope="session")
def small_model() -> PoreModel:
    """Return a model of 3-mers with levels drawn at random, the middle base in the pore."""
    rng = np.random.default_rng(0)
    size = 64
    return PoreModel(
        k=3,
        centre=1,
        level=rng.normal(0, 1, size),
        spread=rng.uniform(0.08, 0.16, size),
        noise=rng.uniform(0.1, 0.2, size),
        dwell=rng.uniform(8, 12, size),
        dwell_shape=rng.uniform(0.4, 0.6, size),
        events=np.full(size, 100),
        flag=np.zeros(size, int),
        device=Device(noise_ar=(0.3, 0.1), drift_sd=0.03, drift_memory=0.9, tail=10.0, speed_sd=0.1),
        notes={"source": "made up"},
    )
