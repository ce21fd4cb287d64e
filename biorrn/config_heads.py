"""The part of a recipe that says what stands after the core; `config` shows these names as its own."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from biorrn.config_frontends import WIDEST, Closed


class PlainHead(Closed):
    # an entry of models.heads.HEADS
    name: Literal["regression", "ctc", "tokens", "tags", "values"] = "regression"
    hidden: int = Field(0, ge=0, le=WIDEST)  # width of one hidden layer before the output; 0 is none
    dropout: float = Field(0.0, ge=0, lt=1)


class ChainHead(Closed):
    """States of residues in a chain with scores of neighbours."""

    name: Literal["tags_crf"] = "tags_crf"
    # what is called: the most probable state of each residue, or the most probable of all paths
    call: Literal["state", "path"] = "state"
    hidden: int = Field(0, ge=0, le=WIDEST)
    dropout: float = Field(0.0, ge=0, lt=1)


class CRFHead(Closed):
    name: Literal["crf"] = "crf"
    state_len: int = Field(3, ge=1, le=5)  # bases a state remembers
    blank: float | None = 2.0  # score of staying in a state; null is learned, one for each state
    scale: float = Field(5.0, gt=0)  # scores of moves lie within +- this
    hidden: int = Field(0, ge=0, le=WIDEST)
    dropout: float = Field(0.0, ge=0, lt=1)


class DecoderHead(Closed):
    """A recurrent decoder with attention over the steps of the core."""

    name: Literal["decoder"] = "decoder"
    cell: Literal["gru", "lstm"] = "gru"
    hidden: int = Field(128, ge=1, le=WIDEST)  # units
    embedding: int = Field(32, ge=1, le=WIDEST)  # features of the symbol before
    attention: Literal["additive", "dot", "location", "moving"] = "additive"  # an entry of models.alignment.ATTENTIONS
    attention_width: int = Field(64, ge=1, le=WIDEST)  # of keys and queries
    kernel: int = Field(31, ge=1, le=WIDEST)  # steps around that location sees of the weights before; odd
    pace: float = Field(1.0, gt=0, le=WIDEST)  # steps of the core a symbol, with which a moving attention begins
    feeding: bool = True  # what was looked at last goes into the cell
    dropout: float = Field(0.0, ge=0, lt=1)
    sampling: float = Field(0.0, ge=0, le=1)  # training: how often a symbol before is the decoder's own
    smoothing: float = Field(0.0, ge=0, lt=1)  # training: part of the target that is spread over all symbols
    ctc: float = Field(0.0, ge=0, lt=1)  # training, of signal: part of the loss that is CTC on the encoder's steps

    @model_validator(mode="after")
    def odd(self) -> DecoderHead:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel {self.kernel} is even; allowed is an odd number")
        return self


Head = Annotated[PlainHead | ChainHead | CRFHead | DecoderHead, Field(discriminator="name")]
