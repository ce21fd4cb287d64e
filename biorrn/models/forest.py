"""A forest as a model: variants of one protein in, one value a target out, in the target's unit.

Extremely randomised trees (Geurts, Ernst and Wehenkel 2006, Machine Learning 63:3) on `encoders.site_features`. It is
fitted by `training.forest`; what is kept are the nodes of its trees and the tables of effects that its features read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from biorrn.config import Substitutions
from biorrn.encoders.residues import tokens
from biorrn.encoders.site_features import COLUMNS, WIDTH, Effects, features, substitutions
from biorrn.errors import ConfigError
from biorrn.models.gaussian_kernels import Setting
from biorrn.models.gaussian_substitutions import SubstitutionKernel

DEEPEST = 10_000  # steps down a tree
BLOCK = 256  # rows of a forward pass that go down the trees together
TABLES = ("site", "around", "count", "alike", "comes", "goes")  # of `Effects`


class Trees(nn.Module):
    """The trees of one target.

    Attributes
    ----------
    roots : int32 tensor (trees,): node at which each begins.
    feature : int32 tensor (nodes,): column that a node looks at.
    threshold : float64 tensor (nodes,): at or below it a row goes left.
    left, right : int32 tensors (nodes,): of a leaf, the leaf itself.
    value : float32 tensor (nodes,): of a leaf, beyond `base`.
    base : float32 tensor (1,): the mean of the training rows.
    """

    roots: Tensor
    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    value: Tensor
    base: Tensor

    def __init__(self, trees: int, nodes: int, length: int) -> None:
        super().__init__()
        self.register_buffer("roots", torch.zeros(trees, dtype=torch.int32))
        self.register_buffer("feature", torch.zeros(nodes, dtype=torch.int32))
        self.register_buffer("threshold", torch.zeros(nodes, dtype=torch.float64))
        for name in ("left", "right"):
            self.register_buffer(name, torch.zeros(nodes, dtype=torch.int32))
        self.register_buffer("value", torch.zeros(nodes))
        self.register_buffer("base", torch.zeros(1))
        shapes = dict.fromkeys(TABLES[:3], (length,)) | {"alike": (length, WIDTH)} | dict.fromkeys(TABLES[4:], (WIDTH,))
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape))

    def limits(self) -> dict[str, int]:
        """Return what each tensor of indices stays below; checked when a model is loaded."""
        return dict.fromkeys(("roots", "left", "right"), len(self.feature)) | {"feature": COLUMNS}

    def effects(self) -> Effects:
        """Return the tables that the features read."""
        return Effects(*(getattr(self, name).numpy() for name in TABLES))

    def fill(self, estimators: Sequence[Any], base: float, effects: Effects) -> None:
        """Take over fitted trees of scikit-learn and the tables of effects."""
        start = 0
        for place, estimator in enumerate(estimators):
            tree = estimator.tree_
            leaf, end = tree.children_left < 0, start + tree.node_count
            self.roots[place] = start
            self.feature[start:end] = torch.from_numpy(np.where(leaf, 0, tree.feature).astype(np.int32))
            self.threshold[start:end] = torch.from_numpy(tree.threshold.copy())
            for name in ("left", "right"):
                child = np.where(leaf, np.arange(start, end), getattr(tree, f"children_{name}") + start)
                getattr(self, name)[start:end] = torch.from_numpy(child.astype(np.int32))
            self.value[start:end] = torch.from_numpy(tree.value[:, 0, 0].astype(np.float32))
            start = end
        self.base[0] = base
        for name in TABLES:
            getattr(self, name).copy_(torch.from_numpy(getattr(effects, name)))

    def forward(self, codes: Tensor, reference: np.ndarray) -> Tensor:
        """Return the values float64 (B,) of rows (B, L) as the front end aligns them."""
        asked = substitutions(codes.numpy().astype(np.uint8), reference)
        x = torch.from_numpy(features(asked, self.effects().of(asked), len(reference)))
        return torch.cat([self._down(part) for part in x.split(BLOCK)]) + self.base.double()

    def _down(self, x: Tensor) -> Tensor:
        node = self.roots.long().expand(len(x), -1)  # (B, trees)
        for _ in range(DEEPEST):  # a damaged file may lead in a circle
            below = x.gather(1, self.feature[node].long()).double() <= self.threshold[node]
            child = torch.where(below, self.left[node], self.right[node]).long()
            if torch.equal(child, node):
                break
            node = child
        return self.value[node].double().mean(1)


class ForestModel(nn.Module):
    """Maps `(x, lengths)` to `(values, lengths)`: (B, K), in the targets' units.

    Parameters
    ----------
    reference : int64 tensor (L,): tokens of the consensus of the training rows.
    trees, nodes : int: of each target, trees, and nodes in all of them together.

    Rows of another length are aligned to the consensus as a Gaussian process of substitutions aligns them. It computes
    on the CPU, wherever the input is.
    """

    stride = 1

    def __init__(self, reference: Tensor, trees: int, nodes: Sequence[int]) -> None:
        super().__init__()
        self.kernel = SubstitutionKernel(Substitutions(), Setting(reference, torch.arange(len(reference))))
        self.reference = reference.numpy().astype(np.uint8)
        self.targets = nn.ModuleList(Trees(trees, count, len(reference)) for count in nodes)
        self.requires_grad_(False)

    def _apply(self, fn: Any, recurse: bool = True) -> ForestModel:
        return self

    def encode(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the rows aligned to the consensus, (B, L), on the CPU."""
        return self.kernel.encode(x.cpu(), lengths.cpu())

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        codes = self.encode(x, lengths)
        values = [trees(codes, self.reference) for trees in self.targets]
        return torch.stack(values, 1).float().to(x.device), lengths


def build_forest(trees: int, facts: dict[str, Any]) -> ForestModel:
    """Return the model of a stored recipe, its numbers to be filled from the model folder.

    Parameters
    ----------
    facts : dict: with "forest": {"reference": str, "nodes": list of int, one a target}.

    Raises
    ------
    ConfigError: the facts are not those of a forest.
    """
    own = facts.get("forest")
    if not isinstance(own, dict) or len(own.get("nodes", ())) != int(facts.get("outputs", 1)):
        raise ConfigError("a forest without the facts of its trees; was it written by biorrn?")
    return ForestModel(torch.from_numpy(tokens(own["reference"])).long(), trees, own["nodes"])
