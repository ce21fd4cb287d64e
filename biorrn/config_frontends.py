"""The part of a recipe that says what stands before the core; `config` shows these names as its own."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Closed(BaseModel):
    """A mapping that knows its keys; any other key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OneHot(Closed):
    name: Literal["onehot"] = "onehot"


class Embedding(Closed):
    name: Literal["embedding"] = "embedding"
    width: int = Field(64, ge=1)  # features a residue
    # fixed features joined to the learned ones
    table: Literal["none", "blosum62", "scales", "blosum62+scales"] = "none"


class Fixed(Closed):
    name: Literal["blosum62", "scales"]


class ConvLayer(Closed):
    width: int = Field(ge=1)  # output channels
    kernel: int = Field(ge=1)  # samples; odd
    stride: int = Field(1, ge=1)  # samples

    @model_validator(mode="after")
    def odd(self) -> ConvLayer:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel {self.kernel} is even; allowed is an odd number")
        return self


class Conv(Closed):
    name: Literal["conv"] = "conv"
    layers: list[ConvLayer] = Field(min_length=1)


class Residual(Closed):
    """Residual blocks, each of three convolutions beside a shortcut."""

    name: Literal["residual"] = "residual"
    blocks: list[ConvLayer] = Field(min_length=1)  # kernel: of the middle one of the three


class SeparableBlock(ConvLayer):
    repeat: int = Field(1, ge=1)  # convolutions; the first has the stride
    separable: bool = True  # false: ordinary convolutions, as the first block wants, whose input is one channel
    residual: bool = False  # add the block's input, through a 1x1 convolution, before the last activation


class Separable(Closed):
    """Blocks of separable convolutions: one filter a channel along time, then a mixture of channels."""

    name: Literal["separable"] = "separable"
    blocks: list[SeparableBlock] = Field(min_length=1)
    activation: Literal["relu", "silu"] = "silu"
    dropout: float = Field(0.0, ge=0, lt=1)  # after each activation


Frontend = Annotated[OneHot | Embedding | Fixed | Conv | Residual | Separable, Field(discriminator="name")]
