"""The part of a recipe that says what runs over the steps; `config` shows these names as its own."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from biorrn.config_frontends import MANY, WIDEST, Closed


class Core(Closed):
    # an entry of models.recurrent.CELLS
    cell: Literal["rnn", "irnn", "gru", "gru_simple", "lstm", "mut1", "mut2", "mut3", "mingru"] = "gru"
    hidden: int = Field(128, ge=1, le=WIDEST)  # units a direction
    layers: int = Field(2, ge=0, le=MANY)  # 0: no recurrent core, and what stands above says nothing
    direction: Literal["forward", "backward", "bidirectional", "alternating"] = "bidirectional"
    dropout: float = Field(0.0, ge=0, lt=1)  # between layers
    weight_drop: float = Field(0.0, ge=0, lt=1)  # dropout of the hidden-to-hidden weights
    skip: bool = False  # add each layer's input to its output where the widths agree
    layer_norm: bool = False  # after each layer


class SelfAttention(Closed):
    name: Literal["self_attention"] = "self_attention"  # in a recipe, a core without a name is recurrent
    width: int = Field(128, ge=1, le=WIDEST)  # features a step; what comes in of another width is projected
    heads: int = Field(4, ge=1, le=MANY)  # each of width / heads features
    layers: int = Field(1, ge=1, le=MANY)
    feed_forward: int = Field(256, ge=0, le=WIDEST)  # width of the hidden layer after attention; 0 leaves it out
    window: int | None = Field(None, ge=0, le=WIDEST)  # steps on each side that a step sees; null is all
    position: Literal["none", "sinusoidal", "rotary"] = "rotary"  # how attention knows where a step stands
    causal: bool = False  # a step sees no later one
    dropout: float = Field(0.0, ge=0, lt=1)  # of what comes in, and of what attention and feed-forward add

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
