"""The part of a recipe that says how its model is trained; `config` shows these names as its own."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from biorrn.config_data import Augment
from biorrn.config_frontends import LONGEST, Closed

Part = Annotated[float, Field(ge=0, lt=1)]


class Training(Closed):
    batch_size: int = Field(64, ge=1, le=LONGEST)
    # task tagging: padded steps a batch; its rows are as many as fit. Default: batch_size rows, long or short
    batch_residues: int | None = Field(None, ge=1, le=LONGEST)
    crop: int | None = Field(None, ge=32, le=LONGEST)  # task tagging: longer chains are cut, at new places every epoch
    epochs: int = Field(10, ge=1, le=LONGEST)
    # task regression: rows of the prepared file that are fitted. Beyond `train` the last epoch is kept, since no row
    # is left to choose another, and the scores of the validation rows say nothing of new ones
    rows: Literal["train", "train+valid", "all"] = "train"
    max_minutes: float | None = Field(None, gt=0)  # stop at the end of the epoch that passes this
    lr: float = Field(2e-3, gt=0)  # peak of the schedule
    warmup: float = Field(0.05, ge=0, lt=1)  # part of all steps
    final_lr: float = Field(0.01, ge=0, le=1)  # where the cosine ends, as a part of the peak
    weight_decay: float = Field(0.01, ge=0)
    betas: tuple[Part, Part] = (0.9, 0.999)
    # an entry of the task's LOSSES
    loss: Literal["mse", "huber", "rank", "mse+rank", "huber+rank", "ctc", "crf", "cross_entropy"] = "mse"
    label_smoothing: float = Field(0.0, ge=0, lt=1)  # task tagging: share of the target spread over all states
    rank_weight: float = Field(1.0, ge=0)  # of the order of pairs, where the loss has it beside the values
    clip_quantile: float = Field(0.9, gt=0, le=1)  # gradients are clipped at this quantile of the recent norms
    ema: float = Field(0.0, ge=0, lt=1)  # decay of the averaged weights; 0 is off
    bptt: int = Field(0, ge=0, le=LONGEST)  # task language: steps a gradient goes back, state carried on; 0 is all
    # task language: weight in the loss of the mean square of hidden states (AR), and of their change a step (TAR)
    activation: float = Field(0.0, ge=0)
    activation_change: float = Field(0.0, ge=0)
    patience: int | None = Field(None, ge=1, le=LONGEST)  # epochs without a better validation score before stopping
    precision: Literal["32", "bf16", "16", "auto"] = "32"
    augment: Augment = Augment()
