"""Identity of validation windows against samples trained: a table and a figure, from the histories of runs.

    python benchmarks/training_curve.py hac=runs/hac_a,runs/hac_b fast=runs/fast [-t docs/measured/training.tsv]

Runs of one name follow one another: each started from the weights of the one before. A run may still go on.
"""

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from biorrn.base.errors import BiorrnError
from biorrn.base.files import atomic_path, write_text
from biorrn.stats.figures import BLUE, GREEN, ORANGE, STYLE, as_bytes
from biorrn.training.runs import read_history

COLUMNS = ("network", "run", "epoch", "samples", "lr", "train_loss", "valid_loss", "valid_identity", "hours")


def rows_of(name: str, folders: list[Path]) -> list[dict[str, Any]]:
    """Return a row for each epoch of runs that follow one another; samples and hours add up."""
    rows: list[dict[str, Any]] = []
    samples = hours = 0.0
    for number, folder in enumerate(folders):
        recipe = json.loads((folder / "run.json").read_text(encoding="utf-8"))["configuration"]
        step = recipe["training"]["batch_size"] * recipe["chunks"]["samples"]
        history = read_history(folder / "history.tsv")
        for place, epoch in enumerate(history["epoch"]):
            own = {"network": name, "run": number + 1, "epoch": int(epoch) + 1}
            own |= {key: f"{history[key][place]:.5g}" for key in COLUMNS if key in history and key not in own}
            own["samples"] = round(samples + step * history["step"][place])
            own["hours"] = f"{hours + history['seconds'][place] / 3600:.3f}"
            rows.append(own)
        if len(history["epoch"]):
            samples, hours = float(rows[-1]["samples"]), float(rows[-1]["hours"])
    return rows


def draw(rows: list[dict[str, Any]]) -> Figure:
    """Return the figure: a line for each network."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 3.6), dpi=100, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        for name, colour in zip(dict.fromkeys(row["network"] for row in rows), (BLUE, ORANGE, GREEN), strict=False):
            own = [row for row in rows if row["network"] == name]
            x = [row["samples"] / 1e6 for row in own]
            axes.plot(x, [float(row["valid_identity"]) for row in own], ".-", markersize=3, color=colour, label=name)
        axes.set(xlabel="million samples trained", ylabel="median identity of validation windows")
        axes.legend()
    return figure


def main() -> None:
    """Write the table and the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="NAME=FOLDER[,FOLDER...]")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/training.png"))
    parser.add_argument("-t", "--table", type=Path, default=Path("docs/measured/training.tsv"))
    arguments = parser.parse_args()
    rows = []
    for run in arguments.runs:
        name, found, folders = run.partition("=")
        if not found:
            sys.exit(f"found '{run}'; allowed is NAME=FOLDER[,FOLDER...]")
        rows += rows_of(name, [Path(folder) for folder in folders.split(",")])
    with write_text(arguments.table) as stream:
        table = csv.DictWriter(stream, COLUMNS, delimiter="\t", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    with atomic_path(arguments.output) as temporary:
        temporary.write_bytes(as_bytes(draw(rows), arguments.output.suffix[1:]))


if __name__ == "__main__":
    try:
        main()
    except (OSError, BiorrnError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
