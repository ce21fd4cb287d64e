"""Figures of classes: confusion matrix, reliability diagram, baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from matplotlib.figure import Figure

from biorrn.stats.figures import BLUE, ORANGE, PALE, Drawing, bars, confusion, draw, reliability, slug
from biorrn.stats.metrics import NAMES, deciding

SHOWN = 12  # classes up to which the matrix grows; of more, its cells hold no numbers


def _baselines(metrics: Mapping[str, Any], baselines: Mapping[str, Any]) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        shown = ("f_max", "macro_ap") if "f_max" in metrics else ("macro_f1", "accuracy")
        for axes, name in zip(figure.subplots(2, 1), shown, strict=True):
            others = [
                (key, entry["metrics"][name], PALE if entry["beats"] else ORANGE) for key, entry in baselines.items()
            ]
            bars(axes, [("model", metrics[name], BLUE), *others], NAMES[name])

    return paint


def class_figures(content: Mapping[str, Any]) -> list[Drawing]:
    """Draw an evaluation of classes, as `proteins.classes.evaluate.evaluate_classes` returns it."""
    where, table, drawings = f"{content['split']} split", content["confusion"], list[Drawing]()
    if table:
        high = 1.8 + 0.4 * len(table) if len(table) <= SHOWN else 4.0
        caption = f"Which class was predicted for which, {where}: parts of the proteins of each true class."
        drawings.append(draw("confusion", caption, confusion(table, list(table)), high))
    if content["confidence"]:
        unit = "proteins" if table else "classes"
        caption = f"Accuracy by the probability of the predicted class, {where}; dashed: as promised."
        if not table:
            caption = (
                f"How often a class is true by its probability, each of each protein, {where}; dashed: as promised."
            )
        drawings.append(draw("confidence", caption, reliability(content["confidence"], unit), 3.6))
    for name, baselines in content["baselines"].items():
        caption = f"The model and its baselines on {name}, {where}, with 95 % bootstrap intervals."
        if any(not entry["beats"] for entry in baselines.values()):
            metric = NAMES[deciding(next(iter(baselines.values())))]
            caption += f" Orange: not beaten by the model, by the paired interval of the difference in {metric}."
        paint = _baselines(content["metrics"][name], baselines)
        drawings.append(draw(f"baselines_{slug(name)}", caption, paint, 1.5 + 0.54 * (1 + len(baselines))))
    return drawings
