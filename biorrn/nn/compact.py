"""Model folders made smaller before they ship.

    python -m biorrn.nn.compact MODEL [--target NAME]...

Large tensors are stored in half precision. With `--target`, the other targets of a regression model are removed: those
that were trained beside it only because they help (auxiliary targets).
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.nn.store import stored_weights, write_weights

LARGE = 1000  # elements from which `shrink` halves a tensor
# tensors of a regression model or of an ensemble of these -> dimension of the targets
BY_TARGET = {
    r"(members\.\d+\.)?head\.(shift|scale)": 0,
    r"neighbours\.residuals": 1,
    r"weights": 1,
    r"calibration\.[xy]": 0,
}
OUTPUT = re.compile(r"((?:members\.\d+\.)?head\.output\.)(\d+)\.(?:weight|bias)")


def shrink(folder: str | Path) -> None:
    """Convert the large float32 tensors of a model folder to float16, which halves its size.

    Raises
    ------
    InputError, BiorrnError: as `store.update_facts`.
    """
    import torch

    tensors, facts = stored_weights(folder)
    for name, tensor in tensors.items():
        if tensor.dtype == torch.float32 and tensor.numel() >= LARGE:
            tensors[name] = tensor.half()
    write_weights(folder, tensors, facts)


def keep_targets(folder: str | Path, names: Sequence[str]) -> None:
    """Remove all targets of a regression model but those named; the values of these do not change but for rounding.

    Raises
    ------
    InputError, BiorrnError: as `store.update_facts`.
    ConfigError: the model is no network, or ensemble of networks, for regression, or has no such target.
    """
    tensors, facts = stored_weights(folder)
    known = [target["name"] for target in facts.get("targets", [])]
    if facts.get("task") != "regression" or {"gaussian", "forest", "members"} & facts.keys():
        raise ConfigError(f"{folder}: is no network, or ensemble of networks, for regression; only these lose targets")
    for name in names:
        if name not in known:
            raise ConfigError(f"{folder}: has no target '{name}'; its targets: {', '.join(known)}")
    kept = [known.index(name) for name in names]
    last: dict[str, int] = {}  # of the layers of an output, each its only one with targets
    for found in map(OUTPUT.fullmatch, tensors):
        if found:
            last[found[1]] = max(last.get(found[1], 0), int(found[2]))
    by_target = BY_TARGET | {rf"{re.escape(head)}{layer}\.(weight|bias)": 0 for head, layer in last.items()}
    for name in tensors:
        for pattern, dimension in by_target.items():
            if re.fullmatch(pattern, name):
                tensors[name] = tensors[name].movedim(dimension, 0)[kept].movedim(0, dimension).contiguous()
    facts["targets"], facts["outputs"] = [facts["targets"][index] for index in kept], len(kept)
    if "weights" in facts:
        facts["weights"] = [[row[index] for index in kept] for row in facts["weights"]]
    for key in {"conformal", "difference"} & facts.keys():
        facts[key] = {name: facts[key][name] for name in names if name in facts[key]}
    write_weights(folder, tensors, facts)


def main() -> None:
    """Run the command of the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--target", action="append", help="keep only these targets; repeat it for several")
    given = parser.parse_args()
    try:
        if given.target:
            keep_targets(given.model, given.target)
        shrink(given.model)
    except BiorrnError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
