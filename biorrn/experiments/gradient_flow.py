"""Vanishing and exploding gradients of recurrent cells: the norm of d loss_T / d h_t against T - t.

The loss is a read-out of the last state, loss_T = v . h_T with v a random unit vector, so its gradient reaches earlier
states only through the recurrence: a product of one Jacobian per step, whose norm shrinks or grows as a power of their
singular values (Bengio, Simard and Frasconi 1994, IEEE Trans. Neural Networks 5:157; Pascanu, Mikolov and Bengio 2013,
ICML 28:1310). h_t is the whole state of a cell; of an LSTM, output and memory. Identity initialisation: Le, Jaitly and
Hinton 2015, arXiv:1504.00941.

Clipping multiplies the gradient of all parameters by one number, min(1, bound / norm). The contributions of all steps
shrink alike, so a clipped gradient reaches no further back; clipping prevents large steps of the weights.

Layers of a trained model are measured one by one, on their inputs from real sequences: the state at the last step is
read out, and only the layer's own recurrence leads back. Steps of a backward layer count in its reading direction.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator
from torch import Tensor, nn

from biorrn.base.errors import ConfigError, InputError
from biorrn.base.files import write_text
from biorrn.base.lookup import lookup
from biorrn.config.recipe import Recipe
from biorrn.nn.batch import Batch
from biorrn.nn.cells import CELLS, Layer, reverse
from biorrn.nn.gradients import networks
from biorrn.nn.sequence import SequenceModel, build
from biorrn.nn.store import Stored
from biorrn.sequences.alphabets import STANDARD
from biorrn.sequences.prepared.files import ProteinFile, SignalFile
from biorrn.stats.figures import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, SKY, WIDTH, Drawing, draw, plain
from biorrn.stats.results import aligned_rows

HALF, HUNDREDTH = 0.5, 0.01  # of the largest norm of a curve
HEADER = ("panel", "name", "run", "steps_back", "norm", "clipped_norm")
COLUMNS = ("", "", "half", "1 %", "a step", "gradient", "clipped by")


class Reach(NamedTuple):
    """Result of one backward pass.

    Attributes
    ----------
    norms : float array (W,): norm of d loss_T / d h_t for T - t = 0, 1, ..., the median over rows.
    gradient : float: norm of the gradient of all parameters of the recurrence, of the mean loss of the rows.
    """

    norms: np.ndarray
    gradient: float


@dataclass(frozen=True, slots=True)
class Curve:
    """The reach of one cell or layer.

    Attributes
    ----------
    panel, name : str: panel of the figure, and label.
    runs : one entry per seed or ensemble member.
    """

    panel: str
    name: str
    runs: tuple[Reach, ...]

    def norms(self, clip: float = math.inf) -> np.ndarray:
        """Return the median over the runs, (W,), with gradients clipped at the norm `clip`."""
        return np.median([run.norms * share(run, clip) for run in self.runs], axis=0)

    def steps(self, part: float) -> int | None:
        """Return the steps back after which the norm stays below `part` of its maximum; None if it does not.

        >>> Curve("", "", (Reach(np.array([1.0, 2.0, 0.9, 0.2]), 1.0),)).steps(HALF)
        2
        """
        norms = self.norms()
        above = np.flatnonzero(~(norms <= part * norms.max()))
        return int(above[-1]) + 1 if above[-1] + 1 < len(norms) else None

    @property
    def rate(self) -> float:
        """Geometric mean factor of the norm per step back."""
        norms = self.norms()
        return float((norms[-1] / norms[0]) ** (1 / (len(norms) - 1)))


def share(run: Reach, clip: float) -> float:
    """Return the factor by which clipping at the norm `clip` multiplies every gradient.

    >>> share(Reach(np.ones(2), 8.0), 2.0), share(Reach(np.ones(2), 1.0), 2.0)
    (0.25, 1.0)
    """
    return min(1.0, clip / run.gradient) if run.gradient > 0 else 1.0


def reach(
    cells: Sequence[nn.Module], x: Tensor, generator: torch.Generator, *, skip: bool = False, state: Any = None
) -> Reach:
    """Return how far the gradient of a loss at the last step reaches into the states of the first of stacked cells.

    Parameters
    ----------
    cells : called as `cell(x[, state])`, the first below; in the type of x.
    x : float tensor (B, T, F).
    generator : draws the read-out of each row.
    skip : bool: add a layer's input to its output where the widths agree.
    state : of the first cell before the first step; None is its own.
    """
    kept: list[tuple[Tensor, ...]] = []
    for number, cell in enumerate(cells):
        outputs = []
        for step in range(x.shape[1]):
            output, after = cell(x[:, step : step + 1]) if state is None else cell(x[:, step : step + 1], state)
            hidden, *memory = after if isinstance(after, tuple) else (after,)
            # one tensor for the layer above and for the next step, so that its gradient is the sum of both
            hidden = output.reshape(hidden.shape)
            state = (hidden, *memory) if memory else hidden
            if not number:
                kept.append((hidden, *memory))
            outputs.append(hidden.reshape(output.shape))
        above = torch.cat(outputs, dim=1)
        x = above + x if skip and above.shape == x.shape else above
        state = None
    readout = torch.randn(x[:, -1].shape, generator=generator, dtype=x.dtype)
    losses = (x[:, -1] * readout / readout.norm(dim=1, keepdim=True)).sum(1)  # (B, H) -> (B,)
    states = [part for parts in kept for part in parts]
    parameters = [parameter for cell in cells for parameter in cell.parameters()]
    found = torch.autograd.grad(losses.sum(), [*states, *parameters], allow_unused=True, materialize_grads=True)
    each, width = found[: len(states)], len(kept[0])
    norms = [
        torch.stack([part.transpose(0, 1).flatten(1).norm(dim=1) for part in each[place : place + width]]).norm(dim=0)
        for place in range(0, len(each), width)
    ]
    gradient = torch.stack([part.norm() for part in found[len(states) :]]).norm() / len(x)
    return Reach(torch.stack(norms).median(dim=1).values.flip(0).numpy(), float(gradient))


def write_curves(path: str | Path, curves: Sequence[Curve], clip: float) -> None:
    """Write a table with a row per curve, run and step back: norm before and after clipping."""
    with write_text(path) as stream:
        print(*HEADER, sep="\t", file=stream)
        for curve in curves:
            for number, run in enumerate(curve.runs):
                part = share(run, clip)
                for back, norm in enumerate(run.norms):
                    cells = (curve.panel, curve.name, number, back, f"{norm:.6g}", f"{part * norm:.6g}")
                    print(*cells, sep="\t", file=stream)


def curve_lines(curves: Sequence[Curve], clip: float) -> list[str]:
    """Return an aligned table: steps back until the norm is half and a hundredth of its maximum, and its rate.

    `gradient` is the median gradient norm of the recurrent parameters; `clipped by` is the divisor of clipping.
    """
    rows: list[tuple[str, ...]] = [COLUMNS]
    for curve in curves:
        norms, gradient = curve.norms(), float(np.median([run.gradient for run in curve.runs]))
        never = f"> {len(norms) - 1}"
        by = float(np.median([1 / share(run, clip) for run in curve.runs]))
        steps = [never if (found := curve.steps(part)) is None else str(found) for part in (HALF, HUNDREDTH)]
        rows.append((curve.panel, curve.name, *steps, f"x {curve.rate:.3f}", f"{gradient:.2g}", f"{by:.2g}"))
    return aligned_rows(rows, left=(0, 1))


def check_clip(clip: float) -> None:
    """Raise ConfigError for an invalid clipping norm."""
    if not clip > 0:
        raise ConfigError(f"--clip: found {clip:g}; allowed is a number above 0")


ROWS = 16  # sequences per curve
RANDOM = "random"  # random residues instead of a file
SMALL, LARGE = 0.5, 1.5  # gains of the recurrent matrices


def _scaled(gain: float) -> Callable[[Tensor], Any]:
    return lambda gate: gate.mul_(gain)


def set_recurrent(cell: nn.Module, init: str) -> bool:
    """Initialise the recurrent matrix (H, H) of each gate by an entry of `INITS`; return whether there is any."""
    change = lookup(INITS, init, "--init")
    matrices = [weight for name, weight in cell.named_parameters() if name.startswith("weight_hh")]
    with torch.no_grad():
        for matrix in matrices:
            for gate in matrix.split(matrix.shape[1]):
                change(gate)
    return bool(matrices)


def random_steps(rows: int, length: int, generator: torch.Generator) -> Tensor:
    """Return random residues, one-hot: float64 (rows, length, 20)."""
    drawn = torch.randint(len(STANDARD), (rows, length), generator=generator)
    return nn.functional.one_hot(drawn, len(STANDARD)).double()


def prepared_steps(path: str | Path, rows: int, length: int, generator: torch.Generator) -> Tensor:
    """Return stretches of a prepared file: one-hot residues or current, float64 (B, W, F).

    W is `length`, or the longest that `rows` sequences reach.

    Raises
    ------
    InputError: not a prepared file of proteins or signal, or no sequence of two steps.
    """
    try:
        opened: ProteinFile | SignalFile = SignalFile(path)
    except InputError:
        opened = ProteinFile(path)
    with opened as file:
        offsets = file.file["signal_offsets" if isinstance(file, SignalFile) else "offsets"][:]
        sizes = np.diff(offsets)
        width = int(min(length, np.sort(sizes)[-min(rows, len(sizes)) :].min())) if len(sizes) else 0
        if width < 2:
            raise InputError(path, "holds no sequence of two steps or more")
        fitting = np.flatnonzero(sizes >= width)
        chosen = fitting[torch.randperm(len(fitting), generator=generator)[:rows].numpy()]
        if isinstance(file, SignalFile):
            return torch.stack([torch.from_numpy(file.signal(row)[-width:]).double()[:, None] for row in chosen])
        tokens = np.stack([file.tokens(row)[-width:] for row in chosen]).astype(np.int64)
    tokens = np.where((tokens > 0) & (tokens <= len(STANDARD)), tokens, 1)
    return nn.functional.one_hot(torch.from_numpy(tokens) - 1, len(STANDARD)).double()


def cell_curves(
    names: Sequence[str],
    *,
    length: int,
    hidden: int,
    seeds: int,
    layers: int,
    inits: Sequence[str],
    source: str = RANDOM,
    advance: Callable[[int], None] = lambda done: None,
) -> list[Curve]:
    """Return the curves of untrained cells: one layer per initialisation, then a stack without and with skips.

    Parameters
    ----------
    names : of `CELLS`.
    length : int: steps; hidden : int: units; seeds : int: number of seeds of weights and inputs.
    layers : int: of the stack, measured at the states of the first layer; 1 for no stack.
    inits : of `INITS`. A cell without a recurrent matrix has only the default.
    source : "random" for random residues, or a prepared file.
    advance : called with 1 after each backward pass.

    Raises
    ------
    ConfigError: an unknown name, or a number out of range.
    InputError: the prepared file cannot be used.
    """
    check(cells=names, init=inits, length=length, hidden=hidden, seeds=seeds, layers=layers)
    settings = [(init, init, 1, False) for init in inits]
    if layers > 1:
        settings += [(words, inits[0], layers, bool(words)) for words in ("", "skip")]
    found = []
    for panel, init, depth, skip in settings:
        if depth > 1:
            panel = f"{depth} layers" + (", skip connections" if skip else "")
        for name in names:
            runs = []
            for seed in range(seeds):
                generator = torch.Generator().manual_seed(seed)
                steps = random_steps if source == RANDOM else partial(prepared_steps, source)
                x = steps(ROWS, length, generator)
                cells = fresh(name, x.shape[-1], hidden, depth, seed)
                if all([set_recurrent(cell, init) for cell in cells]) or init == "default":
                    runs.append(reach(cells, x, generator, skip=skip))
                advance(1)
            found += [Curve(panel, name, tuple(runs))] if runs else []
    return found


def passes(names: Sequence[str], inits: Sequence[str], seeds: int, layers: int) -> int:
    """Return the number of backward passes of `cell_curves`."""
    return len(names) * seeds * (len(inits) + (2 if layers > 1 else 0))


def check(*, cells: Sequence[str] = (), init: Sequence[str] = (), **numbers: int) -> None:
    """Raise ConfigError for an unknown name or a number out of range."""
    for name in cells:
        lookup(CELLS, name, "--cells")
    for name in init:
        lookup(INITS, name, "--init")
    for option, value in numbers.items():
        least = 2 if option == "length" else 1
        if value < least:
            raise ConfigError(f"--{option}: found {value}; allowed is {least} or more")


def fresh(name: str, inputs: int, hidden: int, layers: int, seed: int) -> list[nn.Module]:
    """Return stacked cells with their initial weights, in float64."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        widths = [inputs, *[hidden] * (layers - 1)]
        return [Layer(name, width, hidden, "f").cells[0].double() for width in widths]


INITS: dict[str, Callable[[Tensor], Any]] = {
    "default": lambda gate: gate,  # as `biorrn train` begins
    "orthogonal": nn.init.orthogonal_,
    "identity": nn.init.eye_,
    "small": _scaled(SMALL),
    "large": _scaled(LARGE),
}


EACH = 4  # sequences per batch
WAYS = {"f": "forward", "b": "backward"}


def first_recipe(stored: Stored) -> Recipe:
    """Return the recipe of a model, of an ensemble that of its first member; ConfigError without recurrent layers."""
    found = networks(stored.model) or []
    if not found or not all(any(isinstance(part, Layer) for part in one.core.modules()) for one in found):
        raise ConfigError(
            f"model '{stored.path.name}': has a part without a recurrent layer, or one that reads other models"
        )
    recipe = stored.recipe if stored.recipe.members is None else stored.recipe.members[0].recipe
    assert isinstance(recipe, Recipe)  # as in every model folder
    return recipe


def longest_rows(batches: Iterable[Batch], rows: int = ROWS) -> tuple[Tensor, Tensor]:
    """Return the longest of a few sequences of each batch, as one batch: x (B, T, ...), 0-padded, and lengths (B,)."""
    found: list[Tensor] = []
    for batch in batches:
        places = torch.linspace(0, len(batch) - 1, min(EACH, len(batch))).round().long().tolist()
        found += [batch.x[place, : int(batch.lengths[place])] for place in places]
        found = sorted(found, key=len, reverse=True)[:rows]
    x = nn.utils.rnn.pad_sequence(found, batch_first=True)
    return x, torch.tensor([len(row) for row in found])


def layer_inputs(network: SequenceModel, x: Tensor, lengths: Tensor) -> list[tuple[Layer, Tensor, Tensor]]:
    """Return each recurrent layer of the core, in order, with its input (B, T, F) and lengths (B,)."""
    seen: list[tuple[Layer, Tensor, Tensor]] = []

    def look(layer: nn.Module, given: tuple[Any, ...]) -> None:
        assert isinstance(layer, Layer)
        seen.append((layer, *given))

    handles = [module.register_forward_pre_hook(look) for module in network.core.modules() if isinstance(module, Layer)]
    try:
        with torch.no_grad():
            network.eval()(x, lengths)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def network_curves(network: SequenceModel, x: Tensor, lengths: Tensor, length: int, seed: int) -> dict[str, Reach]:
    """Return the reach of each layer and direction of a network, by its name, such as "lstm 2 backward"."""
    found = {}
    for number, (layer, given, steps) in enumerate(layer_inputs(network, x, lengths), 1):
        for way, cell in zip(layer.directions, layer.cells, strict=True):
            name = next((name for name, kind in CELLS.items() if type(cell) is kind), type(cell).__name__)
            seen = given if way == "f" else reverse(given, steps)
            own = copy.deepcopy(cell).double()
            last, state = last_steps(own, seen.double(), steps, length)
            generator = torch.Generator().manual_seed(seed)
            found[f"{name} {number} {WAYS[way]}"] = reach([own], last, generator, state=state)
    return found


def last_steps(cell: nn.Module, x: Tensor, lengths: Tensor, length: int) -> tuple[Tensor, Any]:
    """Return the last steps of each row (B, W, F), W at most `length`, and the state of the cell before them."""
    width = min(length, int(lengths.min()))
    starts = (lengths - width).tolist()
    with torch.no_grad():
        _, first = cell(x[:1, :1])
        zero = tuple(map(torch.zeros_like, first)) if isinstance(first, tuple) else torch.zeros_like(first)
        states: list[Any] = [cell(x[row : row + 1, :start])[1] if start else zero for row, start in enumerate(starts)]
    if isinstance(first, tuple):
        state: Any = tuple(torch.cat(parts, dim=1) for parts in zip(*states, strict=True))
    else:
        state = torch.cat(states, dim=1)
    return torch.stack([x[row, start : start + width] for row, start in enumerate(starts)]), state


def untrained(stored: Stored, seed: int) -> list[SequenceModel]:
    """Return the networks of a model with freshly initialised cores; front ends and heads stay trained."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = networks(build(stored.recipe, stored.facts))
    trained = networks(stored.model)
    assert fresh is not None
    assert trained is not None
    twins = []
    for new, old in zip(fresh, trained, strict=True):
        twin = copy.deepcopy(old)
        twin.core.load_state_dict(new.core.state_dict())
        twins.append(twin)
    return twins


def model_curves(
    stored: Stored,
    batches: Iterable[Batch],
    *,
    length: int,
    seeds: int,
    advance: Callable[[int], None] = lambda done: None,
) -> list[Curve]:
    """Return the curves of a model's recurrent layers, trained and untrained.

    Parameters
    ----------
    stored : see `first_recipe`; the members of an ensemble are the runs of a curve.
    batches : sequences; the longest few are used.
    length : int: steps back.
    seeds : int: number of seeds of initial weights and read-outs.

    Raises
    ------
    ConfigError: a number is out of range.
    InputError: no sequence has two steps at the core.
    """
    check(length=length, seeds=seeds)
    trained = networks(stored.model) or []
    x, lengths = longest_rows(batches)
    found: dict[tuple[str, str], list[Reach]] = {}
    for seed in range(seeds):
        for panel, parts in (("trained", trained), ("untrained", untrained(stored, seed))):
            for network in parts:
                for name, one in network_curves(network, x, lengths, length, seed).items():
                    if len(one.norms) < 2:
                        raise InputError(stored.path, "no sequence of the prepared file has two steps at its core")
                    found.setdefault((panel, name), []).append(one)
                advance(1)
    shortest = {key: min(len(one.norms) for one in runs) for key, runs in found.items()}
    return [
        Curve(*key, tuple(Reach(one.norms[: shortest[key]], one.gradient) for one in found[key]))
        for key in sorted(found, key=lambda key: key[0])
    ]


COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, INK, GREY)
SOLID = 5  # solid lines; further ones are dashed, since curves may coincide
LINES: tuple[Any, ...] = ((0, (4, 2)), (0, (1, 1.2)), (0, (4, 1.5, 1, 1.5)))
LOUD = 10.0  # times the clipping norm, above which a panel is also drawn clipped
LOW, HIGH = 1e-12, 1e12  # norms beyond these are not drawn
ACROSS = 2  # panels
TITLES = {
    "default": "as training begins",
    "orthogonal": "orthogonal recurrent matrices",
    "identity": "identity recurrent matrices",
    "small": "recurrent matrices x 0.5",
    "large": "recurrent matrices x 1.5",
}
CAPTION = (
    "Norm of d loss_T / d h_t against T - t, for a loss on the last state only: the median over sequences and runs. "
)
CLIPPED = (
    "Clipping at {clip:g} multiplies the gradient at every step by the same number: the curves are shifted down with "
    "the same slope, so gradients reach no further back. "
)
STACKED = "For a stack, the states of the first layer are shown, so the gradient passed through all layers."


def loudest(curves: Sequence[Curve], clip: float) -> str | None:
    """Return the panel with the largest gradient, if it is far above the clipping norm."""
    most = {curve.panel: 0.0 for curve in curves}
    for curve in curves:
        most[curve.panel] = max(most[curve.panel], *(run.gradient for run in curve.runs))
    panel = max(most, key=lambda name: most[name])
    return panel if most[panel] > LOUD * clip else None


def flow_figure(curves: Sequence[Curve], clip: float) -> Drawing:
    """Return the figure of the curves by panel; the panel of an exploding gradient is repeated, clipped at `clip`."""
    exploding = loudest(curves, clip)
    panels: list[tuple[str, list[Curve], float]] = []
    for name in dict.fromkeys(curve.panel for curve in curves):
        own = [curve for curve in curves if curve.panel == name]
        panels.append((TITLES.get(name, name), own, math.inf))
        if name == exploding:
            panels.append((f"the same, clipped at {clip:g}", own, clip))
    names = list(dict.fromkeys(curve.name for curve in curves))
    looks: dict[str, tuple[str, Any]] = {
        name: (COLOURS[i % len(COLOURS)], "-" if i < SOLID else LINES[(i - SOLID) % len(LINES)])
        for i, name in enumerate(names)
    }
    rows = -(-len(panels) // ACROSS)
    columns = max(1, min(5, len(names), 80 // (8 + max(map(len, names)))))

    def paint(figure: Figure) -> None:
        figure.set_figwidth(1.5 * WIDTH)
        places = figure.subplots(rows, ACROSS, squeeze=False, sharey=True, sharex=True)
        for axes, (title, own, bound) in zip(places.flat, panels, strict=False):
            _panel(axes, title, own, bound, looks)
        for axes in places.flat[len(panels) :]:
            axes.set_visible(False)
        low, high = places[0, 0].get_ylim()
        ticks = [10.0**power for power in range(-12, 13, 6) if low <= 10.0**power <= high]
        if len(ticks) > 2:
            places[0, 0].set_yticks(ticks)
        for axes in places[:, 0]:
            axes.set_ylabel("norm of gradient")
        for number in range(ACROSS):
            shown = [axes for axes in places[:, number] if axes.get_visible()]
            if shown:
                shown[-1].set_xlabel("steps back, T $-$ t")
                shown[-1].tick_params(labelbottom=True)
        handles = [Line2D([], [], color=colour, linestyle=line, label=plain(n)) for n, (colour, line) in looks.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=columns)

    caption = CAPTION + (CLIPPED.format(clip=clip) if exploding else "")
    caption += STACKED if any(" layers" in curve.panel for curve in curves) else ""
    return draw("gradient_flow", caption.strip(), paint, 2.0 * rows + 0.5 + 0.2 * -(-len(names) // columns))


def _panel(axes: Axes, title: str, curves: Sequence[Curve], clip: float, looks: dict[str, tuple[str, Any]]) -> None:
    for curve in curves:
        norms = curve.norms(clip)
        shown = np.where((norms >= LOW) & (norms <= HIGH), norms, np.nan)
        colour, line = looks[curve.name]
        axes.plot(np.arange(len(norms)), shown, color=colour, linestyle=line, linewidth=1.4)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(base=10, numticks=6))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_title(plain(title), fontsize=9)
