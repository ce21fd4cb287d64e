"""The part of a recipe that says what training sees of signal; `config` shows these names as its own."""

from __future__ import annotations

from pydantic import Field

from biorrn.config_frontends import LONGEST, Closed


class Augment(Closed):
    """Random changes of the signal, or of the residues, in training."""

    stretch: float = Field(0.0, ge=0, lt=0.5)  # time is stretched by a factor drawn from 1 +- this
    scale: float = Field(0.0, ge=0)  # standard deviation of a factor around 1
    shift: float = Field(0.0, ge=0)  # standard deviation of an offset, in units of the normalised signal
    noise: float = Field(0.0, ge=0)  # largest standard deviation of white noise added, same units
    # task tagging: mean share of residues replaced, each by another drawn by BLOSUM62; a chain's share is 0 to twice it
    substitute: float = Field(0.0, ge=0, le=0.5)


class Chunks(Closed):
    """How signal is cut."""

    samples: int = Field(2400, ge=10, le=1 << 20)  # samples a chunk
    overlap: int = Field(300, ge=0, le=1 << 20)  # samples shared by neighbours when calling; a multiple of 2 * stride
    epoch: int = Field(1024, ge=1, le=LONGEST)  # random windows an epoch
