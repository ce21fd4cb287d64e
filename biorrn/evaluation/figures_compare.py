"""The figure of a comparison: what one model predicts against what another does, and whose errors are smaller."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from biorrn.errors import ConfigError
from biorrn.evaluation.compare_models import Side
from biorrn.evaluation.figures import INK, WIDTH, Drawing, as_bytes, cloud, draw, plain, say
from biorrn.files import atomic_path

FORMATS = (".svg", ".png")


def comparison_figure(content: dict[str, Any], true: np.ndarray, sides: list[Side]) -> Drawing:
    """Draw predictions of A against B (left) and their absolute errors (right), a row of panels a target.

    Parameters
    ----------
    content : of `compare_models.compare_models`, with the measured values `true` (N, K) and the two sides.
    """
    names = list(content["targets"])

    def paint(figure: Figure) -> None:
        panels = figure.subplots(len(names), 2, squeeze=False)
        for k, name in enumerate(names):
            known = ~np.isnan(true[:, k])
            a, b = (side.values[:, known, k].mean(axis=0) for side in sides)
            measured = true[known, k]
            values, errors = panels[k]
            _pair(values, figure, a, b, f"{name}, A", f"{name}, B")
            _pair(errors, figure, np.abs(a - measured), np.abs(b - measured), "error, A", "error, B")
            won = content["targets"][name]["won"]
            errors.set_title(f"A nearer {won['a']:,}, B nearer {won['b']:,}", fontsize=8)

    caption = f"Predictions and absolute errors of A ({content['a']}) and B ({content['b']}); dashed: equal."
    return draw("compare", caption, _wide(paint), 2.4 * len(names) + 0.2)


def _wide(paint: Callable[[Figure], None]) -> Callable[[Figure], None]:
    def wide(figure: Figure) -> None:
        figure.set_figwidth(1.4 * WIDTH)
        paint(figure)

    return wide


def _pair(axes: Any, figure: Figure, x: np.ndarray, y: np.ndarray, across: str, up: str) -> None:
    if not len(x):
        return say(axes, "no measured values")
    cloud(axes, figure, x, y)
    ends = [float(min(x.min(), y.min())), float(max(x.max(), y.max()))]
    axes.plot(ends, ends, color=INK, linewidth=1, linestyle="--")
    axes.set(xlabel=plain(across), ylabel=plain(up))


def write_figure(path: Path, drawing: Drawing) -> None:
    """Write a drawing as SVG or PNG, by the suffix.

    Raises
    ------
    ConfigError: another suffix.
    """
    if path.suffix not in FORMATS:
        raise ConfigError(f"--figure: found suffix '{path.suffix}'; allowed is {' or '.join(FORMATS)}")
    with atomic_path(path) as temporary:
        temporary.write_bytes(as_bytes(drawing.figure, path.suffix[1:]))
