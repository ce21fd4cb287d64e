"""The parts of a recipe that make its model a Gaussian process or a forest; `config` shows these names as its own."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from biorrn.config_frontends import LONGEST, MANY, WIDEST, Closed


class Sites(Closed):
    """Few positions of one protein that vary together: additive, pairwise and higher terms over the positions."""

    name: Literal["sites"] = "sites"
    # counted from 1; null: where the training rows differ from their consensus
    positions: list[Annotated[int, Field(ge=1, le=LONGEST)]] | None = Field(None, max_length=WIDEST)
    orders: int = Field(4, ge=1, le=MANY)  # positions that act together, at most


class Substitutions(Closed):
    """Substitutions anywhere in one protein, their effects added: like residues at like positions act alike."""

    name: Literal["substitutions"] = "substitutions"
    # target of the unchanged sequence where the assay's scale gives it; it counts as one more training row
    reference_value: float | None = None


class Descriptors(Closed):
    """Any proteins: their fixed descriptors, see encoders.descriptors."""

    name: Literal["descriptors"] = "descriptors"


class Proteins(Closed):
    """Any proteins: composition, order, pairs of residues and predicted structure, weighed block by block."""

    name: Literal["proteins"] = "proteins"


KernelRecipe = Annotated[Sites | Substitutions | Descriptors | Proteins, Field(discriminator="name")]


class GaussianProcess(Closed):
    """A Gaussian process in closed form; what its kernel learns, it learns by the marginal likelihood."""

    name: Literal["gaussian_process"] = "gaussian_process"
    kernel: KernelRecipe  # an entry of models.gaussian_kernels.KERNELS
    # the scale on which it works: as measured, log(target + offset), or the normal quantile of the target's rank
    # "clip": as measured, and never beyond the training targets
    warp: Literal["none", "clip", "log", "rank"] = "rank"
    offset: float = Field(0.1, ge=0)  # of the log, in the target's unit; every target must lie above its negative
    # what a substitution is expected to cost before any is seen, in standard deviations on that scale
    cost: float = Field(0.0, ge=0)
    steps: int = Field(50, ge=0, le=LONGEST)  # of the kernel's learning
    # rows below which the kernel learns nothing: of 28, those left out were predicted better by the kernel as it starts
    learn_from: int = Field(50, ge=2, le=LONGEST)
    rows: int = Field(700, ge=2, le=LONGEST)  # that a step sees, about; the fit that follows sees all
    lr: float = Field(0.1, gt=0)
    restarts: int = Field(1, ge=1, le=MANY)  # kernels learned from other draws of rows, whose predictions are averaged
    # rows from which the variance is told, at most; fewer than all: too wide
    variance_rows: int = Field(512, ge=1, le=LONGEST)


class Forest(Closed):
    """Extremely randomised trees on the substitutions of variants of one protein, and on the means of its sites."""

    name: Literal["forest"] = "forest"
    trees: int = Field(100, ge=1, le=10 * MANY)
    leaf: int = Field(2, ge=1, le=LONGEST)  # training rows of a leaf, at the least
    columns: float = Field(0.4, gt=0, le=1)  # of the features, tried at each split
