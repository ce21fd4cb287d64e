"""Configuration of model parts: front ends, recurrent cores, attention, heads, Gaussian processes, forests."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

# limits of a recipe
WIDEST = 1 << 16  # features, samples of a kernel
MANY = 1 << 10  # layers, blocks, members
LONGEST = 1 << 31  # steps of a training, samples, rows


class Closed(BaseModel):
    """A mapping with known keys; an unknown key or a number that is not finite is an error."""

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
    width: int = Field(64, ge=1, le=WIDEST)  # features per residue
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
    embedding: int = Field(32, ge=1, le=WIDEST)  # learned features per residue
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
    """The tokeniser of a language model; see `sequences.tokenisers`."""

    name: Literal["residue", "base", "kmer", "pairs"] = "residue"
    k: int = Field(3, ge=2, le=8)  # letters of a k-mer
    merges: int = Field(500, ge=1, le=2000)  # pairs to learn from the training rows


class Tokens(Closed):
    """A learned vector for each symbol of a language model."""

    name: Literal["tokens"] = "tokens"
    tokens: Tokeniser = Tokeniser()
    width: int = Field(64, ge=1, le=WIDEST)  # features a symbol
    dropout: float = Field(0.0, ge=0, lt=1)  # of whole symbols: a dropped one is zero wherever the batch has it
    tied: bool = False  # the head has these same vectors
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


class Embeddings(Closed):
    """Embeddings of a large language model, from a file; a model folder holds their width, and no path."""

    name: Literal["embeddings"] = "embeddings"
    path: str | None = None  # HDF5, .npz, .pt, or a table; see `sequences.embeddings`
    per: Literal["residue", "mean"] = "residue"  # a step a residue, or one step a protein: their mean
    width: int = Field(0, ge=0, le=WIDEST)  # numbers of a vector; this and the next come from the file
    model: str = ""  # the language model, where the file names it

    @model_validator(mode="after")
    def source(self) -> Embeddings:
        return _one_source(self, bool(self.width), bool(self.width or self.model))


class Adapted(Closed):
    """A protein language model of the Hugging Face hub with low-rank adapters (LoRA), which are trained; it is not.

    A model folder holds the adapters, and in place of the path the language model's name and checksum.
    """

    name: Literal["plm"] = "plm"
    path: str | None = None  # name or folder, as `biorrn embed plm --model` takes it
    rank: int = Field(8, ge=1, le=256)  # of each adapter
    alpha: int = Field(16, ge=1, le=WIDEST)  # the output of an adapter is multiplied by alpha / rank
    dropout: float = Field(0.0, ge=0, lt=1)  # of what an adapter reads
    half: bool = False  # keep the language model in bfloat16, which takes half the memory
    checkpointing: bool = False  # compute activations again for the gradient: less memory, a fifth to a half more time
    model: str = Field("", max_length=1000, pattern=r"^([\w-][\w.-]*/)?([\w-][\w.-]*)?$")  # comes from the path
    sha256: str = Field("", pattern="^([0-9a-f]{64})?$")  # of its weights; beside a path, any other is refused

    @model_validator(mode="after")
    def source(self) -> Adapted:
        return _one_source(self, bool(self.model and self.sha256), bool(self.model))


class Trained(Closed):
    """What trained models say of each residue, beside its own features, and convolutions over all of it; all joined.

    The models stay as they are. A model folder holds their weights, and recipes instead of paths.
    """

    name: Literal["trained"] = "trained"
    # model folders or shipped models: of task tagging, or of task language over residues; one that has such a front end
    # itself, as ddg, gives what its own models tell
    path: list[str] | None = Field(None, min_length=1, max_length=MANY)
    embedding: int = Field(16, ge=1, le=WIDEST)  # learned features per residue
    table: Literal["none", "blosum62", "scales", "blosum62+scales"] = "scales"  # joined to the learned ones
    layers: list[ConvLayer] = Field(default_factory=list, max_length=MANY)  # each over the one before, with SiLU
    dropout: float = Field(0.0, ge=0, lt=1)  # of what each convolution reads and gives
    # recipe and facts of each model; come from the folders
    parts: list[dict[str, Any]] = Field(default_factory=list, max_length=MANY)

    @model_validator(mode="after")
    def source(self) -> Trained:
        if any(layer.stride != 1 for layer in self.layers):
            raise ValueError("a convolution over residues has stride 1")
        return _one_source(self, bool(self.parts), bool(self.parts))


Filled = TypeVar("Filled", "Vectors", "LanguageModel", "Trained", "Embeddings", "Adapted", "MeanEmbeddings")


def _one_source(recipe: Filled, settled: bool, partly: bool) -> Filled:
    """Check that values come from a path or, in a model folder, from the weights."""
    if recipe.path is None and not settled:
        raise ValueError("key 'path' is missing; it names where the values come from")
    if recipe.path is not None and partly:
        raise ValueError("its shape comes from 'path'; give 'path' alone, beside settings")
    return recipe


class ActivatedLayer(ConvLayer):
    activation: Literal["silu", "tanh", "relu"] = "silu"
    clamp: tuple[float, float] | None = None  # lowest and highest output of the activation

    @model_validator(mode="after")
    def rising(self) -> ActivatedLayer:
        if self.clamp is not None and self.clamp[0] >= self.clamp[1]:
            raise ValueError(f"clamp {list(self.clamp)}: allowed is a lower and a higher number")
        return self


class Conv(Closed):
    name: Literal["conv"] = "conv"
    layers: list[ActivatedLayer] = Field(min_length=1, max_length=MANY)


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
    OneHot
    | Embedding
    | Dilated
    | Fixed
    | Tokens
    | Variant
    | Vectors
    | LanguageModel
    | Embeddings
    | Adapted
    | Trained
    | Conv
    | Residual
    | Separable,
    Field(discriminator="name"),
]


class Core(Closed):
    # the names of `CELLS` in nn/cells.py, listed here because recipes are read without torch; a new cell needs both
    cell: Literal["rnn", "irnn", "gru", "gru_simple", "lstm", "mut1", "mut2", "mut3", "mingru"] = "gru"
    hidden: int = Field(128, ge=1, le=WIDEST)  # units a direction
    layers: int = Field(2, ge=0, le=MANY)  # 0: no recurrent core; the other keys have no effect
    direction: Literal["forward", "backward", "bidirectional", "alternating"] = "bidirectional"
    dropout: float = Field(0.0, ge=0, lt=1)  # between layers
    weight_drop: float = Field(0.0, ge=0, lt=1)  # dropout of the hidden-to-hidden weights
    skip: bool = False  # add each layer's input to its output where the widths agree
    layer_norm: bool = False  # after each layer

    def directions(self, layer: int) -> str:
        """Return the directions of a layer, counted from 0: "f" forward, "b" backward, "fb" both.

        >>> [Core(direction="alternating").directions(layer) for layer in range(3)]
        ['b', 'f', 'b']
        """
        if self.direction == "alternating":
            return "bf"[layer % 2]
        return {"forward": "f", "backward": "b", "bidirectional": "fb"}[self.direction]


class SelfAttention(Closed):
    name: Literal["self_attention"] = "self_attention"  # in a recipe, a core without a name is recurrent
    width: int = Field(128, ge=1, le=WIDEST)  # features per step; input of another width is projected
    heads: int = Field(4, ge=1, le=MANY)  # each of width / heads features
    layers: int = Field(1, ge=1, le=MANY)
    feed_forward: int = Field(256, ge=0, le=WIDEST)  # width of the hidden layer after attention; 0 leaves it out
    window: int | None = Field(None, ge=0, le=WIDEST)  # steps on each side that a step sees; null is all
    position: Literal["none", "sinusoidal", "rotary"] = "rotary"  # encoding of the position of a step
    causal: bool = False  # a step sees no later one
    dropout: float = Field(0.0, ge=0, lt=1)  # of the input, and of the outputs of attention and feed-forward layers

    @property
    def direction(self) -> Literal["forward", "bidirectional"]:
        """Return which way a recurrent core would run to see the same steps."""
        return "forward" if self.causal else "bidirectional"

    @model_validator(mode="after")
    def whole_heads(self) -> SelfAttention:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} does not divide into {self.heads} heads")
        if self.position == "rotary" and self.width // self.heads % 2:
            raise ValueError(
                f"position rotary turns pairs of features, and width {self.width} in {self.heads} heads gives "
                f"{self.width // self.heads} each; allowed is an even number"
            )
        return self


def _kind(value: Any) -> str | None:
    if isinstance(value, list):
        return "cores"
    if isinstance(value, dict) and "name" in value:
        return "self_attention" if value["name"] == "self_attention" else None
    return "self_attention" if isinstance(value, SelfAttention) else "recurrent"


_CHOOSE = Discriminator(
    _kind,
    custom_error_type="core_name",
    custom_error_message="allowed is name: self_attention, or no name for a recurrent core, or a list of these",
)
_Recurrent = Annotated[Core, Tag("recurrent")]
_Attention = Annotated[SelfAttention, Tag("self_attention")]
OneCore = Annotated[_Recurrent | _Attention, _CHOOSE]
# one core, or several that are run one after another
AnyCore = Annotated[
    _Recurrent | _Attention | Annotated[list[OneCore], Field(min_length=1, max_length=MANY), Tag("cores")],
    _CHOOSE,
]


def cores(core: Core | SelfAttention | list[Core | SelfAttention]) -> list[Core | SelfAttention]:
    """Return the cores of a recipe in the order in which they run."""
    return core if isinstance(core, list) else [core]


def sees(core: Core | SelfAttention | list[Core | SelfAttention]) -> Literal["forward", "backward", "both"]:
    """Return which steps reach the output of one step: itself and those before it, those after it, or both.

    >>> sees(Core(direction="backward")), sees(SelfAttention())
    ('backward', 'both')
    >>> sees([Core(direction="forward"), SelfAttention(causal=True)])
    'forward'
    """
    ways = {one.direction for one in cores(core)}
    for way in ("forward", "backward"):
        if ways == {way}:
            return way
    return "both"


class PlainHead(Closed):
    # names of `HEADS` in nn/heads.py
    name: Literal["regression", "classes", "labels", "ctc", "tokens", "tags", "values"] = "regression"
    hidden: int = Field(0, ge=0, le=WIDEST)  # width of one hidden layer before the output; 0 is none
    dropout: float = Field(0.0, ge=0, lt=1)


class ChainHead(Closed):
    """States of residues in a chain with scores of neighbours."""

    name: Literal["tags_crf"] = "tags_crf"
    # decoding: the most probable state of each residue, or the most probable path
    call: Literal["state", "path"] = "state"
    hidden: int = Field(0, ge=0, le=WIDEST)
    dropout: float = Field(0.0, ge=0, lt=1)


class CRFHead(Closed):
    name: Literal["crf"] = "crf"
    state_len: int = Field(3, ge=1, le=5)  # bases per state
    blank: float | None = 2.0  # score of staying in a state; null is learned, one for each state
    scale: float = Field(5.0, gt=0)  # scores of moves lie within +- this, unless squash is none
    squash: Literal["tanh", "clamp", "none"] = "tanh"  # how they are kept within it: scale * tanh(x), or cut off
    bias: bool = True  # of the last layer
    hidden: int = Field(0, ge=0, le=WIDEST)
    activation: Literal["silu", "none"] = "silu"  # of the hidden layer; none: the output is a product of two matrices
    dropout: float = Field(0.0, ge=0, lt=1)


class DecoderHead(Closed):
    """A recurrent decoder with attention over the steps of the core."""

    name: Literal["decoder"] = "decoder"
    cell: Literal["gru", "lstm"] = "gru"
    hidden: int = Field(128, ge=1, le=WIDEST)  # units
    embedding: int = Field(32, ge=1, le=WIDEST)  # features of the previous symbol
    attention: Literal["additive", "dot", "location", "moving"] = "additive"  # names of `ATTENTIONS` in nn/decoder.py
    attention_width: int = Field(64, ge=1, le=WIDEST)  # of keys and queries
    kernel: int = Field(31, ge=1, le=WIDEST)  # window of the previous weights, in steps, of location attention; odd
    pace: float = Field(1.0, gt=0, le=WIDEST)  # initial steps of the core per symbol, of moving attention
    feeding: bool = True  # input feeding: the last context goes into the cell
    dropout: float = Field(0.0, ge=0, lt=1)
    sampling: float = Field(0.0, ge=0, le=1)  # training: part of the previous symbols that are the decoder's own
    smoothing: float = Field(0.0, ge=0, lt=1)  # training: label smoothing over all symbols
    ctc: float = Field(0.0, ge=0, lt=1)  # training, of signal: part of the loss that is CTC on the encoder's steps

    @model_validator(mode="after")
    def odd(self) -> DecoderHead:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel {self.kernel} is even; allowed is an odd number")
        return self


Head = Annotated[PlainHead | ChainHead | CRFHead | DecoderHead, Field(discriminator="name")]


class Sites(Closed):
    """Few positions of one protein that vary together: additive, pairwise and higher terms over the positions."""

    name: Literal["sites"] = "sites"
    # counted from 1; null: where the training rows differ from their consensus
    positions: list[Annotated[int, Field(ge=1, le=LONGEST)]] | None = Field(None, max_length=WIDEST)
    orders: int = Field(4, ge=1, le=MANY)  # largest number of interacting positions


class Substitutions(Closed):
    """Additive effects of substitutions anywhere in one protein, shared by similar residues and positions."""

    name: Literal["substitutions"] = "substitutions"
    # target of the unchanged sequence where the assay's scale gives it; it counts as one more training row
    reference_value: float | None = None
    # model of effects of substitutions, such as ddg: a linear part of the prior mean, which the evidence weighs
    effects: str | None = None


class Descriptors(Closed):
    """Any proteins: their fixed descriptors, see `sequences.descriptors`."""

    name: Literal["descriptors"] = "descriptors"


class Proteins(Closed):
    """Any proteins: composition, order, pairs of residues and predicted structure, weighted by block."""

    name: Literal["proteins"] = "proteins"


class MeanEmbeddings(Closed):
    """Any proteins: embeddings of a large language model, the mean over the residues."""

    name: Literal["embeddings"] = "embeddings"
    path: str | None = None  # as of the front end of this name, and the next two
    width: int = Field(0, ge=0, le=WIDEST)
    model: str = ""

    @model_validator(mode="after")
    def source(self) -> MeanEmbeddings:
        return _one_source(self, bool(self.width), bool(self.width or self.model))


KernelRecipe = Annotated[Sites | Substitutions | Descriptors | Proteins | MeanEmbeddings, Field(discriminator="name")]


class GaussianProcess(Closed):
    """An exact Gaussian process; its kernel is trained by the marginal likelihood."""

    name: Literal["gaussian_process"] = "gaussian_process"
    kernel: KernelRecipe  # name: one of `KERNELS` in nn/gaussian/model.py
    # the scale on which it works: as measured, log(target + offset), or the normal quantile of the target's rank
    # "clip": as measured, and never beyond the training targets
    warp: Literal["none", "clip", "log", "rank"] = "rank"
    offset: float = Field(0.1, ge=0)  # of the log, in the target's unit; every target must lie above its negative
    # prior mean of a substitution's effect, downwards, in standard deviations on that scale
    cost: float = Field(0.0, ge=0)
    steps: int = Field(50, ge=0, le=LONGEST)  # of the training of the kernel
    # with fewer rows the kernel is not trained: of 28 rows, the initial kernel predicted those left out better
    learn_from: int = Field(50, ge=2, le=LONGEST)
    rows: int = Field(700, ge=2, le=LONGEST)  # per step, about; the final fit has all
    lr: float = Field(0.1, gt=0)
    restarts: int = Field(1, ge=1, le=MANY)  # kernels trained on other draws of rows, whose predictions are averaged
    # rows from which the variance is predicted, at most; with fewer than all, it is too wide
    variance_rows: int = Field(512, ge=1, le=LONGEST)


class Forest(Closed):
    """Extremely randomised trees on the substitutions of variants of one protein, and on the means of its sites."""

    name: Literal["forest"] = "forest"
    trees: int = Field(100, ge=1, le=10 * MANY)
    leaf: int = Field(3, ge=1, le=LONGEST)  # training rows of a leaf, at the least; each row is there twice
    columns: float = Field(0.4, gt=0, le=1)  # of the features, tried at each split
    effects: str | None = None  # model of effects of substitutions, such as ddg, that gives further features
