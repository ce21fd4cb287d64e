"""Comparison of simulated with real signal of the same bases: a figure, and numbers.

    python benchmarks/compare_simulation.py PREPARED.h5 [--pore-model ID] [-o docs/simulation.png]

The input is a file of `biorrn prepare signal`; its training rows are used. The bases of each segment are simulated
once, at a random speed, and normalised like reads; both signals are rescaled and aligned in the same way.
"""

import argparse
from copy import deepcopy
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from biorrn.base.files import atomic_path
from biorrn.nanopore.signal import normalise
from biorrn.nanopore.simulate.estimate import estimate_pore_model
from biorrn.nanopore.simulate.labelled_signal import LabelledSignal, load_prepared
from biorrn.nanopore.simulate.pore_model import DEFAULT, PoreModel, load_pore_model
from biorrn.nanopore.simulate.reads import Settings, Simulator
from biorrn.sequences.alphabets import decode_bases
from biorrn.stats.figures import BLUE, GREY, ORANGE, STYLE, as_bytes

LAGS = 80  # samples
STEP = 1.2  # units of the read: boundaries with a smaller step are not looked at
REACH = 4  # samples on either side of a boundary
NAMES, COLOURS = ("real", "simulated"), (BLUE, ORANGE)


def simulated(real: LabelledSignal, model: PoreModel, seed: int = 0) -> LabelledSignal:
    """Return simulated signal of the bases of each segment, normalised like reads."""
    simulator = Simulator(model, Settings(), seed)
    signals, edges, total = [], [], 0
    for number, (start, end) in enumerate(zip(real.segments[:-1], real.segments[1:], strict=True)):
        current, own = simulator.current(real.bases[start:end], np.random.default_rng([seed, number]))
        signals.append(normalise(current))
        edges.append(own[:-1] + total)
        total += len(current)
    made = deepcopy(real)
    made.signal, made.edges = np.concatenate(signals), np.append(np.concatenate(edges), total)
    return made


def residual(data: LabelledSignal, model: PoreModel) -> np.ndarray:
    """Return the signal minus the level of its k-mer, float32 (T,); 0 if the k-mer is unknown."""
    index = data.kmers(model.k, model.centre)
    off = data.signal - np.repeat(model.level[np.maximum(index, 0)], np.diff(data.edges))
    return np.where(np.repeat(index >= 0, np.diff(data.edges)), np.clip(off, -1, 1), 0)


def autocorrelation(values: np.ndarray) -> np.ndarray:
    """Return the autocorrelation of a series at lags 0 to LAGS - 1."""
    found = np.array([(values[: len(values) - lag] * values[lag:]).mean() for lag in range(LAGS)])
    return found / found[0]


def step_response(data: LabelledSignal, model: PoreModel) -> np.ndarray:
    """Return the fraction of the step between two levels, at (2 REACH,) samples around a boundary."""
    index = data.kmers(model.k, model.centre)
    dwell = np.diff(data.edges)
    left = np.flatnonzero(
        (index[:-1] >= 0) & (index[1:] >= 0) & (dwell[:-1] > REACH + 1) & (dwell[1:] > REACH + 1)
        & (np.abs(model.level[index[1:]] - model.level[index[:-1]]) > STEP)
    )  # fmt: skip
    before, after = model.level[index[left]], model.level[index[left + 1]]
    places = data.edges[left + 1][:, None] + np.arange(-REACH, REACH)
    return np.asarray(np.median((data.signal[places] - before[:, None]) / (after - before)[:, None], axis=0))


def squiggle(axes: Axes, data: LabelledSignal, model: PoreModel, segment: int, colour: str, name: str) -> None:
    """Draw 36 bases from the middle of a segment with their levels."""
    start = int(data.segments[segment : segment + 2].mean())
    edges, index = data.edges[start : start + 37], data.kmers(model.k, model.centre)[start : start + 36]
    x = np.arange(edges[0], edges[-1]) - edges[0]
    axes.plot(x, data.signal[edges[0] : edges[-1]], color=colour, linewidth=0.9, label=name)
    axes.step(x, np.repeat(model.level[index], np.diff(edges)), color=GREY, linewidth=1.2, label="level")
    axes.set(xlabel="sample", ylabel="current", title=f"{name}: {decode_bases(data.bases[start : start + 12])}...")


def density(axes: Axes, values: list[np.ndarray], bins: np.ndarray, label: str) -> None:
    """Draw two distributions as outlines."""
    for value, name, colour in zip(values, NAMES, COLOURS, strict=True):
        axes.hist(value, bins.tolist(), density=True, histtype="step", color=colour, label=name, linewidth=1.4)
    axes.set(xlabel=label, ylabel="density")


def draw(both: list[LabelledSignal], models: list[PoreModel]) -> Figure:
    """Return the figure."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 9.6), dpi=100, layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(4, 2)
        for axes, data, model, name, colour in zip(grid[0], both, models, NAMES, COLOURS, strict=True):
            squiggle(axes, data, model, 2, colour, name)
            axes.set_ylim(-2.8, 3.2)
        seen = models[0].flag == 0
        for axes, column, label in ((grid[1, 0], "level", "level"), (grid[1, 1], "spread", "spread of events")):
            x, y = (getattr(model, column)[seen] for model in models)
            axes.scatter(x, y, s=3, color=BLUE, alpha=0.3, linewidths=0)
            axes.axline((float(x.mean()), float(x.mean())), slope=1, color=GREY, linewidth=1)
            r = float(np.corrcoef(x, y)[0, 1])
            axes.set(xlabel=f"{label}, real", ylabel="simulated", title=f"a point a 6-mer, r = {r:.4f}")
        density(grid[2, 0], [np.diff(data.edges) for data in both], np.arange(0.5, 60.5), "dwell, samples")
        grid[2, 0].set_yscale("log")
        density(grid[2, 1], [model.noise[seen] for model in models], np.linspace(0.08, 0.3, 60), "noise within events")
        for data, model, name, colour in zip(both, models, NAMES, COLOURS, strict=True):
            grid[3, 0].plot(autocorrelation(residual(data, model)), color=colour, label=name)
            grid[3, 1].plot(np.arange(-REACH, REACH), step_response(data, model), "o-", color=colour, label=name)
        grid[3, 0].set(xlabel="lag, samples", ylabel="correlation", title="current less its level", xscale="symlog")
        grid[3, 1].set(xlabel="samples from the boundary", ylabel="part of the step")
        for axes in grid[2:].ravel():
            axes.legend()
    return figure


def numbers(both: list[LabelledSignal], models: list[PoreModel]) -> list[tuple[str, float, float]]:
    """Return rows of statistic, real and simulated value."""
    columns = [_column(data, model, models[0].flag == 0) for data, model in zip(both, models, strict=True)]
    return [(name, columns[0][name], columns[1][name]) for name in columns[0]]


def _column(data: LabelledSignal, model: PoreModel, seen: np.ndarray) -> dict[str, float]:
    names = ("spread", "noise", "dwell", "dwell_shape")
    column = {f"{name}, median over 6-mers": float(np.median(getattr(model, name)[seen])) for name in names}
    dwell, rest = np.diff(data.edges), residual(data, model)
    column |= {f"dwell, {part:g} % quantile": float(np.percentile(dwell, part)) for part in (5, 50, 95, 99, 99.9)}
    column["current less level, standard deviation"] = float(rest.std())
    found, step = autocorrelation(rest), step_response(data, model)
    column |= {f"its correlation at lag {lag}": float(found[lag]) for lag in (1, 2, 5, 10, 20, 50)}
    column |= {f"part of a step, sample {place:+d}": float(step[place + REACH]) for place in (-2, -1, 0, 1)}
    return column | {"drift, standard deviation": model.device.drift_sd, "drift, memory": model.device.drift_memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prepared", type=Path, help="file of `biorrn prepare signal`, of real reads")
    parser.add_argument("--pore-model", default=DEFAULT)
    parser.add_argument("--rounds", type=int, default=1, help="of alignment, the same for both")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/simulation.png"))
    arguments = parser.parse_args()
    model, real = load_pore_model(arguments.pore_model), load_prepared(arguments.prepared)
    both = [real, simulated(real, model)]
    models = [estimate_pore_model(data, model.k, arguments.rounds, model.centre) for data in both]
    seen = models[0].flag == 0
    for name in ("level", "spread", "noise", "dwell"):
        x, y = (getattr(m, name)[seen] for m in models)
        r, ratio = np.corrcoef(x, y)[0, 1], np.median(y / x)
        print(f"{name}: r = {r:.4f}, simulated / real {ratio:.3f}, {seen.sum()} 6-mers")
    for what, first, second in numbers(both, models):
        print(f"{what:40s} {first:8.3f} {second:8.3f}")
    with atomic_path(arguments.output) as temporary:
        temporary.write_bytes(as_bytes(draw(both, models), arguments.output.suffix[1:]))


if __name__ == "__main__":
    main()
