"""Residue attributions: integrated gradients, occlusion, attention pooling weights; figure and table."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.base.lookup import lookup
from biorrn.config.recipe import Recipe
from biorrn.nn.ensemble import Ensemble
from biorrn.nn.forward import model_on
from biorrn.nn.frontends import Variant
from biorrn.nn.gradients import BASELINES, COMPLETE, by_residue, gap_of, integrate, networks
from biorrn.nn.store import Stored, Weights
from biorrn.proteins.explain.attention_maps import maps_of, pools_of
from biorrn.proteins.landscape import GROUPS, LONGEST
from biorrn.proteins.predict import predict, target_names
from biorrn.sequences.alphabets import tokens
from biorrn.sequences.records import ProteinRecord
from biorrn.sequences.tables.writer import Table, late, open_table
from biorrn.sequences.tally import SHOWN, Tally
from biorrn.stats.figures import BLUE, GREEN, GREY, INK, ORANGE, RED, canvas, figure_files, plain


@dataclass(frozen=True, slots=True)
class Attribution:
    """Contribution of each residue to a prediction.

    Attributes
    ----------
    id, sequence : str: of the record; T residues.
    method : str: an entry of `METHODS`.
    values, baseline : float arrays (K,): prediction, and that of the baseline (NaN for occlusion, which has one a
        residue), in the targets' units.
    scores : float array (T, K): what each residue adds, in the targets' units.
    spread : float array (T, K) or None: standard deviation of the scores over the members of an ensemble.
    attention : float array (T,) or None: weight of each residue in the attention pool, mean over pools and members.
    added : float array (K,) or None: what near training rows add to the prediction beside `values`, see
        `nn.ensemble`; with gradients only, for an ensemble that has them.
    """

    id: str
    sequence: str
    method: str
    values: np.ndarray
    baseline: np.ndarray
    scores: np.ndarray
    spread: np.ndarray | None = None
    attention: np.ndarray | None = None
    added: np.ndarray | None = None

    @property
    def gap(self) -> np.ndarray:
        """Return (K,) how incomplete the scores are, see `gradients.gap_of`; NaN for occlusion."""
        return gap_of(self.values, self.baseline, self.scores)


def attribute(
    stored: Stored,
    records: Iterable[ProteinRecord],
    *,
    method: str = "auto",
    baseline: str = "mean",
    batch_size: int = 256,
    device: torch.device | str = "cpu",
) -> Iterator[Attribution]:
    """Yield the attribution of each record: the contribution of each residue to its prediction.

    Parameters
    ----------
    stored : Stored: a regression model.
    records : iterable of ProteinRecord.
    method : an entry of `METHODS`; "auto" is gradients where model and protein have them by residue, else occlusion;
        so it is for a model of the variants of one protein, where a path from the mean residue leads through proteins
        that have hundreds of mutations at once, on which the model was never trained.
    baseline : what a residue is compared with: "mean", the mean of the 20, or "X", the unknown residue.
    batch_size, device : as for `predict`; the former is for occlusion.

    Raises
    ------
    ConfigError: the model is not one for regression, or the method or the baseline is unknown.
    BiorrnError: gradients are asked for where there are none.
    """
    target_names(stored)
    if method != "auto":
        lookup(METHODS, method, "--method")
    if baseline not in BASELINES:
        raise ConfigError(f"--baseline: found '{baseline}'; allowed is one of {', '.join(BASELINES)}")
    if method == "gradients" and networks(stored.model) is None:
        raise ConfigError(f"{stored.path}: a model of this kind has no gradients by residue; use --method occlusion")
    where = torch.device(device)
    members = networks(stored.model) or []
    distant = method == "auto" and any(isinstance(member.frontend, Variant) for member in members)
    moved = replace(stored, weights=Weights.of(model_on(stored.model, where)))

    def one(record: ProteinRecord) -> Attribution:
        x = torch.from_numpy(tokens(record.sequence)).long().to(where)[None]
        lengths = torch.tensor([x.shape[1]], device=where)
        fits = method != "occlusion" and not distant and by_residue(moved.model, x, lengths)
        if method == "gradients" and not fits:
            problem = f"the model's features are not one a residue for a protein of {x.shape[1]} residues"
            raise BiorrnError(f"record '{record.id}': {problem}; use --method occlusion")
        found = METHODS["gradients" if fits else "occlusion"](moved, record, x, lengths, baseline, batch_size)
        return replace(found, attention=attention_of(moved.model, x, lengths))

    return map(one, records)


def gradients(
    stored: Stored, record: ProteinRecord, x: Tensor, lengths: Tensor, baseline: str, batch_size: int
) -> Attribution:
    """Return integrated gradients; see `nn.gradients`."""
    found = integrate(stored.model, x, lengths, baseline)
    memory = stored.model.neighbours if isinstance(stored.model, Ensemble) else None
    added = memory(x, lengths)[0].double().cpu().numpy() if memory is not None else None
    return Attribution(
        record.id, record.sequence, "gradients", found.values, found.baseline, found.scores, found.spread, None, added
    )


def occlusion(
    stored: Stored, record: ProteinRecord, x: Tensor, lengths: Tensor, baseline: str, batch_size: int
) -> Attribution:
    """Return by how much the prediction falls when a residue is replaced (Zeiler and Fergus 2014, ECCV 8689:818).

    What comes in its place is X, or each of the 20 residues in turn, whose predictions are averaged.
    """
    letters, sequence = BASELINES[baseline], record.sequence

    def mutants() -> Iterator[ProteinRecord]:
        yield record
        for place in range(len(sequence)):
            for letter in letters:
                yield replace(record, sequence=sequence[:place] + letter + sequence[place + 1 :])

    def scores_of(part: Stored) -> tuple[np.ndarray, np.ndarray]:
        bare = replace(part, facts=stored.facts | {"novelty": None, "conformal": None})
        # the numbers are near each other: bfloat16 would lose their difference
        given = predict(bare, mutants(), batch_size=batch_size, device=x.device, precision="32")
        found = np.array([one.values for one in given])
        return found[0], found[0] - found[1:].reshape(len(sequence), len(letters), -1).mean(1)

    values, scores = scores_of(stored)
    members = members_of(stored)
    spread = np.std([scores_of(member)[1] for member in members], axis=0) if len(members) > 1 else None
    return Attribution(record.id, sequence, "occlusion", values, np.full_like(values, np.nan), scores, spread)


def members_of(stored: Stored) -> list[Stored]:
    """Return the members of an ensemble as models of their own; none for any other model."""
    if not isinstance(stored.model, Ensemble):
        return []
    recipes = [member.recipe for member in stored.recipe.members or ()]
    return [
        replace(stored, weights=Weights.of(model), recipe=recipe)
        for model, recipe in zip(stored.model.members, recipes, strict=True)
        if isinstance(recipe, Recipe)  # as all are once trained
    ]


def attention_of(model: nn.Module, x: Tensor, lengths: Tensor) -> np.ndarray | None:
    """Return the weight (T,) of each residue of a row x (1, T) in attention pools, the mean over all in `model`.

    None where it has none, or where they weigh something other than residues.
    """
    found = maps_of(model, x, lengths, pools_of(model))
    fitting = [weights.mean(1)[0] for _, weights in found if weights.shape[-1] == x.shape[1]]
    return torch.stack(fitting).mean(0).double().cpu().numpy() if fitting else None


def count(tally: Tally, found: Attribution, targets: Sequence[str]) -> None:
    """Count an attribution; print the gap of the first proteins and of those with incomplete sums."""
    tally.add(proteins=1, residues=len(found.sequence))
    for column, target in enumerate(targets):
        value, baseline, gap = found.values[column], found.baseline[column], found.gap[column]
        said = f"record '{found.id}': {target} {value:.5g}"
        if np.isfinite(baseline):
            total = found.scores[:, column].sum()
            said += f", baseline {baseline:.5g}, attributions sum to {total:.5g} (gap {100 * gap:.2g} %)"
        if found.added is not None and found.added[column]:
            said += f"; near training rows add {found.added[column]:+.5g}, not attributed to residues"
        if tally.done["proteins"] <= SHOWN or gap > COMPLETE:
            tally.say(said)


METHODS: dict[str, Callable[..., Attribution]] = {"gradients": gradients, "occlusion": occlusion}


LINE = 50  # residues
LEAST = 30  # residues of width that title and key need
CELL = 0.17  # inches a residue
BARS, LETTERS, WEIGHTS, BETWEEN = 0.75, 0.26, 0.3, 0.3  # inches, from the top of a line to its bottom
LEFT, RIGHT, TOP, BOTTOM = 0.85, 0.25, 0.85, 0.15
COLOURS = {
    "special": "#8A6D00",
    "aliphatic": INK,
    "aromatic": "#9B3F82",
    "polar": GREEN,
    "positive": BLUE,
    "negative": RED,
}
RAISES, LOWERS = BLUE, RED


def explanation(found: Attribution, column: int, target: str, unit: str = "", offset: int = 0) -> Figure:
    """Draw an attribution for target `column`: `LINE` residues a line.

    Each line has bars of what the residues add (whiskers: standard deviation over the members of an ensemble), the
    residues with the number of each tenth, and the weights of the attention pool where there is one.

    Raises
    ------
    BiorrnError: the sequence has more than `LONGEST` residues.
    """
    length = len(found.sequence)
    if length > LONGEST:
        raise BiorrnError(f"--figure: record '{found.id}' has {length:,} residues; a figure shows up to {LONGEST:,}")
    scores = found.scores[:, column]
    spread = None if found.spread is None else found.spread[:, column]
    weights = WEIGHTS if found.attention is not None else 0.0
    lines = -(-length // LINE)
    width = LEFT + max(min(length, LINE), LEAST) * CELL + RIGHT
    tall = BARS + LETTERS + weights + BETWEEN
    height = TOP + lines * tall + BOTTOM
    reach = np.zeros_like(scores) if spread is None else spread
    span = (min(float((scores - reach).min()), 0.0), max(float((scores + reach).max()), 0.0))
    span = span if span[1] > span[0] else (-1.0, 1.0)
    with canvas(width, height) as figure:
        _title(figure, found, column, target, unit, width, height)
        for line in range(lines):
            part = slice(line * LINE, min((line + 1) * LINE, length))
            top, wide = height - TOP - line * tall, (part.stop - part.start) * CELL

            def below(start: float, size: float, top: float = top, wide: float = wide) -> Axes:
                place = (LEFT / width, (top - start - size) / height, wide / width, size / height)
                return figure.add_axes(place, xlim=(-0.5, wide / CELL - 0.5), xticks=[])

            _bars(below(0.0, BARS), scores[part], None if spread is None else spread[part], span)
            _letters(below(BARS, LETTERS), found.sequence[part], part.start + offset + 1)
            if found.attention is not None:
                _attention(below(BARS + LETTERS, WEIGHTS), found.attention[part], float(found.attention.max()))
    return figure


def _bars(axes: Axes, scores: np.ndarray, spread: np.ndarray | None, span: tuple[float, float]) -> None:
    places = np.arange(len(scores))
    axes.bar(places, scores, width=0.8, color=np.where(scores >= 0, RAISES, LOWERS), yerr=spread, ecolor=GREY,
             error_kw={"linewidth": 0.8})  # fmt: skip
    axes.axhline(0, color=INK, linewidth=0.6)
    axes.set_ylim(span)
    _scale(axes, "adds", list(span))


def _letters(axes: Axes, sequence: str, first: int) -> None:
    colours = {letter: COLOURS[name] for name, letters in GROUPS.items() for letter in letters}
    for place, letter in enumerate(sequence):
        axes.text(place, 0.45, letter, ha="center", va="center", fontsize=9, family="DejaVu Sans Mono", weight="bold",
                  color=colours.get(letter, GREY))  # fmt: skip
    axes.set(ylim=(0, 1), yticks=[])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.annotate(str(first), (-0.5, 0.4), xytext=(-4, 0), textcoords="offset points", ha="right", va="center",
                  fontsize=7, color=GREY, annotation_clip=False)  # fmt: skip
    axes.annotate(str(first + len(sequence) - 1), (len(sequence) - 0.5, 0.4), xytext=(3, 0),
                  textcoords="offset points", va="center", fontsize=7, color=GREY, annotation_clip=False)  # fmt: skip


def _attention(axes: Axes, weights: np.ndarray, most: float) -> None:
    axes.bar(np.arange(len(weights)), weights, width=0.8, color=ORANGE)
    axes.set_ylim(most, 0)  # downward, away from the letters
    _scale(axes, "attention", [most])


def _scale(axes: Axes, name: str, ticks: list[float]) -> None:
    axes.set_yticks(ticks, [f"{tick:.2g}".replace("-", "\N{MINUS SIGN}") for tick in ticks], fontsize=6)
    axes.tick_params(length=2, pad=2)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.annotate(name, (0, 0.5), xycoords="axes fraction", xytext=(-26, 0), textcoords="offset points", ha="right",
                  va="center", fontsize=7, color=GREY, annotation_clip=False)  # fmt: skip


def _title(
    figure: Figure, found: Attribution, column: int, target: str, unit: str, width: float, height: float
) -> None:
    shown = f" {unit}" if unit else ""
    text = f"{target} {found.values[column]:.3g}{shown}"
    if np.isfinite(found.baseline[column]):
        text += f" = baseline {found.baseline[column]:.3g} + bars; integrated gradients"
    else:
        text += "; bars: fall of the prediction when a residue is replaced"
    figure.text(LEFT / width, 1 - 0.14 / height, plain(found.id), fontsize=11, weight="bold", va="top", color=INK)
    text = text.replace("-", "\N{MINUS SIGN}") if "e-" not in text else text
    figure.text(LEFT / width, 1 - 0.4 / height, plain(text), fontsize=8, va="top", color=INK)
    right = 1 - RIGHT / width
    for name, colour in reversed(COLOURS.items()):
        drawn = figure.text(
            right, 1 - 0.2 / height, name, fontsize=7, va="top", ha="right", color=colour, weight="bold"
        )
        right = (drawn.get_window_extent().x0 / figure.dpi - 0.08) / width


@contextlib.contextmanager
def explanations(
    path: str | Path | None, targets: Sequence[Mapping[str, str]], offset: int = 0
) -> Iterator[Callable[[Attribution], None]]:
    """Yield `add(attribution)`, which writes a figure a protein and a target.

    Parameters
    ----------
    path : see `figure_files`; with None nothing is drawn.
    targets : sequence of {"name", "unit"}, as in a model's facts.
    offset : int: added to a place in the sequence, counted from 1, gives its number.
    """
    if path is None:
        yield lambda found: None
        return
    with figure_files(path, len(targets)) as save:

        def add(found: Attribution) -> None:
            for column, target in enumerate(targets):
                figure = explanation(found, column, target["name"], target.get("unit", ""), offset)
                save(figure, found.id, target["name"])

        yield add


@contextlib.contextmanager
def attributions_table(
    path: str | Path, targets: Sequence[str], offset: int = 0
) -> Iterator[Callable[[Attribution | ProteinRecord], None]]:
    """Open a table of residues: id, position, residue, columns of each target, attention where the model has any.

    The columns of a target are `_attribution` and, for an ensemble, `_spread`, with the target's name before them; the
    first attribution says which there are. A record that was left out has a row with its id alone.

    Parameters
    ----------
    path : see `sequences.tables.writer.open_table`.
    offset : int: added to a place in the sequence, counted from 1, gives the position.
    """
    columns: dict[str, type] = {"id": str, "position": int, "residue": str}

    def open(first: Attribution | ProteinRecord | None) -> contextlib.AbstractContextManager[Table]:
        spread = getattr(first, "spread", None) is not None
        for target in targets:
            columns[f"{target}_attribution"] = float
            columns.update({f"{target}_spread": float} if spread else {})
        if getattr(first, "attention", None) is not None:
            columns["attention"] = float
        return open_table(path, columns)

    def put(table: Table, found: Attribution | ProteinRecord) -> None:
        if isinstance(found, ProteinRecord):
            table([found.id, *[None] * (len(columns) - 1)])
            return
        numbers = [found.scores] if found.spread is None else [found.scores, found.spread]
        cells = np.stack(numbers, axis=2).reshape(len(found.sequence), -1)
        if found.attention is not None:
            cells = np.concatenate([cells, found.attention[:, None]], axis=1)
        size = len(found.sequence)
        table.add([[found.id] * size, range(offset + 1, offset + 1 + size), found.sequence, *cells.T])

    with late(open, put, lambda found: isinstance(found, ProteinRecord)) as write:
        yield write
