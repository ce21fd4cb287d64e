"""The part of a recipe that says what stands before the core; `config` shows these names as its own."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

# What a recipe may ask for at most; what is larger is a typing error, or meant ill.
WIDEST = 1 << 16  # features, samples of a kernel
MANY = 1 << 10  # layers, blocks, members
LONGEST = 1 << 31  # steps of a training, samples, rows


class Closed(BaseModel):
    """A mapping that knows its keys; any other key is an error, and so is a number that is not finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class OneHot(Closed):
    name: Literal["onehot"] = "onehot"


class ConvLayer(Closed):
    width: int = Field(ge=1, le=WIDEST)  # output channels
    kernel: int = Field(ge=1, le=WIDEST)  # samples; odd
    stride: int = Field(1, ge=1, le=WIDEST)  # samples

    @model_validator(mode="after")
    def odd(self) -> ConvLayer:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel {self.kernel} is even; allowed is an odd number")
        return self


class Embedding(Closed):
    name: Literal["embedding"] = "embedding"
    width: int = Field(64, ge=1, le=WIDEST)  # features a residue
    symbols: int = Field(21, ge=1, le=WIDEST)  # letters of the alphabet; 21 are the residues and X
    # fixed features joined to the learned ones
    table: Literal["none", "blosum62", "scales", "blosum62+scales"] = "none"
    # convolutions over the features, each with SiLU
    layers: list[ConvLayer] = Field(default_factory=list, max_length=MANY)

    @model_validator(mode="after")
    def every_residue(self) -> Embedding:
        if any(layer.stride != 1 for layer in self.layers):
            raise ValueError("a convolution over residues has stride 1")
        if self.table != "none" and self.symbols != 21:
            raise ValueError(f"table '{self.table}' has features of 21 residues; found {self.symbols} symbols")
        return self


class Dilated(Closed):
    """Residual convolutions over residues, each block looking further than the last."""

    name: Literal["dilated"] = "dilated"
    embedding: int = Field(32, ge=1, le=WIDEST)  # learned features a residue
    table: Literal["none", "blosum62", "scales", "blosum62+scales"] = "blosum62+scales"  # joined to the learned ones
    width: int = Field(128, ge=1, le=WIDEST)  # features of each block
    first: int = Field(7, ge=1, le=WIDEST)  # residues that the first convolution sees; odd
    kernel: int = Field(5, ge=1, le=WIDEST)  # residues that each block sees, before dilation; odd
    dilations: list[Annotated[int, Field(ge=1, le=WIDEST)]] = Field(
        default_factory=lambda: [1, 2, 4, 8, 16], max_length=MANY
    )
    dropout: float = Field(0.0, ge=0, lt=1)  # within each block

    @model_validator(mode="after")
    def odd(self) -> Dilated:
        for kernel in (self.first, self.kernel):
            if kernel % 2 == 0:
                raise ValueError(f"kernel {kernel} is even; allowed is an odd number")
        return self


class Fixed(Closed):
    name: Literal["blosum62", "scales"]


class Variant(Closed):
    """For variants of one protein: a vector for what differs from the reference, at each of its positions."""

    name: Literal["variant"] = "variant"
    width: int = Field(8, ge=1, le=WIDEST)  # features a position
    hidden: int = Field(32, ge=1, le=WIDEST)  # of the network that makes a vector of the two residues
    reference: str | None = None  # residues; default: the commonest of each position in the training rows


class Vectors(Closed):
    """Vectors of residues or k-mers from a file. A model folder holds the values, and their shape instead of a path."""

    name: Literal["table"] = "table"
    path: str | None = None  # as `biorrn embed word2vec` writes; or .npz, or text: a word and its numbers a line
    tune: bool = False  # train the vectors with the rest
    k: int = Field(0, ge=0, le=MANY)  # residues a word; this and the next two come from the file
    rows: int = Field(0, ge=0, le=LONGEST)  # words, the unknown one left out
    width: int = Field(0, ge=0, le=WIDEST)

    @model_validator(mode="after")
    def source(self) -> Vectors:
        return _one_source(self, all((self.k, self.rows, self.width)), any((self.k, self.rows, self.width)))


class Tokeniser(Closed):
    """How a language model reads sequences; see `encoders.tokenisers`."""

    name: Literal["residue", "base", "kmer", "pairs"] = "residue"
    k: int = Field(3, ge=2, le=8)  # letters of a k-mer
    merges: int = Field(500, ge=1, le=2000)  # pairs to learn from the training rows


class Tokens(Closed):
    """A learned vector for each symbol of a language model."""

    name: Literal["tokens"] = "tokens"
    tokens: Tokeniser = Tokeniser()
    width: int = Field(64, ge=1, le=WIDEST)  # features a symbol
    dropout: float = Field(0.0, ge=0, lt=1)  # of whole symbols: a dropped one is zero wherever the batch has it
    tied: bool = False  # the head tells symbols by these same vectors
    size: int = Field(0, ge=0, le=1 << 17)  # ids; comes from the tokeniser


class LanguageModel(Closed):
    """Hidden states of trained language models. A model folder holds their weights, and recipes instead of paths."""

    name: Literal["language_model"] = "language_model"
    path: str | None = None  # model folder of a recipe of task language
    backward: str | None = None  # another, of direction backward, for states that know both sides
    tune: bool = False  # train its weights with the rest
    # models of the two; come from the folders
    parts: list[dict[str, Any]] = Field(default_factory=list, max_length=MANY)
    tokenisers: list[dict[str, Any]] = Field(default_factory=list, max_length=MANY)  # of the parts

    @model_validator(mode="after")
    def source(self) -> LanguageModel:
        if self.backward is not None and self.path is None:
            raise ValueError("key 'path' is missing beside 'backward'")
        if len(self.parts) != len(self.tokenisers):
            raise ValueError(f"found {len(self.parts)} parts and {len(self.tokenisers)} tokenisers; each part has one")
        return _one_source(self, bool(self.parts), bool(self.parts))


Filled = TypeVar("Filled", Vectors, LanguageModel)


def _one_source(recipe: Filled, settled: bool, partly: bool) -> Filled:
    """Check that values come from a path or, in a model folder, from the weights."""
    if recipe.path is None and not settled:
        raise ValueError("key 'path' is missing; it names where the values come from")
    if recipe.path is not None and partly:
        raise ValueError("its shape comes from 'path'; give 'name', 'path' and 'tune' only")
    return recipe


class Conv(Closed):
    name: Literal["conv"] = "conv"
    layers: list[ConvLayer] = Field(min_length=1, max_length=MANY)


class Residual(Closed):
    """Residual blocks, each of three convolutions beside a shortcut."""

    name: Literal["residual"] = "residual"
    blocks: list[ConvLayer] = Field(min_length=1, max_length=MANY)  # kernel: of the middle one of the three


class SeparableBlock(ConvLayer):
    repeat: int = Field(1, ge=1, le=MANY)  # convolutions; the first has the stride
    separable: bool = True  # false: ordinary convolutions, as the first block wants, whose input is one channel
    residual: bool = False  # add the block's input, through a 1x1 convolution, before the last activation


class Separable(Closed):
    """Blocks of separable convolutions: one filter a channel along time, then a mixture of channels."""

    name: Literal["separable"] = "separable"
    blocks: list[SeparableBlock] = Field(min_length=1, max_length=MANY)
    activation: Literal["relu", "silu"] = "silu"
    dropout: float = Field(0.0, ge=0, lt=1)  # after each activation


Frontend = Annotated[
    OneHot | Embedding | Dilated | Fixed | Tokens | Variant | Vectors | LanguageModel | Conv | Residual | Separable,
    Field(discriminator="name"),
]
