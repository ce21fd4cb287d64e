"""Forest of extremely randomised trees over substitution features, for variants of one protein.

Method: Geurts, Ernst and Wehenkel 2006 (Machine Learning 63:3). `training.forest` fits the trees; a model folder holds
their nodes and the tables of mean effects from which the features are made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from biorrn.base.errors import ConfigError
from biorrn.config.recipe import Substitutions
from biorrn.nn.gaussian.kernels import Setting
from biorrn.nn.gaussian.substitutions import SubstitutionKernel
from biorrn.sequences.alphabets import TABLES, tokens

PRIOR = 1.0  # pseudo-count: rows of effect 0 in every mean
NEAR = 3.0  # positions: standard deviation of the window over neighbouring sites
ALIKE = 3.0  # standard deviation of the Gaussian weight of similar residues, in standardised scales
FOLDS = 10  # cross-fitting: the features of a training row use the effects of the other folds

_SCALES = TABLES["scales"].astype(np.float64)  # (22, 10)
_BLOSUM = np.zeros((len(_SCALES), len(_SCALES)))
_BLOSUM[:, 1:21] = TABLES["blosum62"]
_SIMILAR = np.exp(-0.5 * np.square(_SCALES[:, None] - _SCALES[None]).sum(2) / ALIKE**2)  # (22, 22)
WIDTH = len(_SCALES)
COLUMNS = 1 + 3 * (6 + 3 * _SCALES.shape[1] + 2) + 2 * WIDTH  # features of a row


@dataclass(frozen=True)
class SiteFeatures:
    """The substitutions of rows with respect to a reference, one entry for each.

    Attributes
    ----------
    row, site : int64 arrays (M,).
    old, new : uint8 arrays (M,): tokens.
    counts : int64 array (N,): substitutions of each row.
    """

    row: np.ndarray
    site: np.ndarray
    old: np.ndarray
    new: np.ndarray
    counts: np.ndarray

    def part(self, mask: np.ndarray) -> SiteFeatures:
        """Return the substitutions where the bool array (M,) is True; the counts stay those of whole rows."""
        return SiteFeatures(self.row[mask], self.site[mask], self.old[mask], self.new[mask], self.counts)


def substitutions(table: np.ndarray, reference: np.ndarray) -> SiteFeatures:
    """Return the substitutions of rows, uint8 (N, L) padded with 0, from a reference (L,); padding is ignored."""
    row, site = np.nonzero((table != reference) & (table > 0))
    return SiteFeatures(row, site, reference[site], table[row, site], np.bincount(row, minlength=len(table)))


@dataclass(frozen=True)
class Effects:
    """Mean effects of substitutions in the measured rows, as float32 tables.

    Attributes
    ----------
    site, around, count : (L,): mean effect at a site and at its neighbours, and the number of rows with the site.
    alike : (L, 22): mean effect at a site of residues similar to the new one.
    comes, goes : (22,): mean effect of the new residue, and of the replaced one.
    """

    site: np.ndarray
    around: np.ndarray
    count: np.ndarray
    alike: np.ndarray
    comes: np.ndarray
    goes: np.ndarray

    def of(self, asked: SiteFeatures) -> np.ndarray:
        """Return the effects for each substitution, float64 (M, 6)."""
        found = [self.site[asked.site], self.alike[asked.site, asked.new], self.around[asked.site]]
        found += [self.comes[asked.new], self.goes[asked.old], self.count[asked.site]]
        return np.stack(found, axis=1).astype(np.float64)


def learn(known: SiteFeatures, values: np.ndarray, weights: np.ndarray, length: int) -> Effects:
    """Return the mean effects of the substitutions of measured rows.

    Parameters
    ----------
    values, weights : float64 arrays (N,): centred values and weights of the rows; a row's value is shared equally among
        its substitutions.
    length : int: of the reference.
    """
    share = weights[known.row]
    value = share * values[known.row] / np.maximum(known.counts[known.row], 1)
    place = known.site * WIDTH + known.new
    sums = np.bincount(place, value, length * WIDTH).reshape(length, WIDTH)
    counts = np.bincount(place, share, length * WIDTH).reshape(length, WIDTH)
    site_sums, site_counts = sums.sum(1), counts.sum(1)
    reach = np.arange(-int(3 * NEAR), int(3 * NEAR) + 1)
    window = np.exp(-0.5 * np.square(reach / NEAR)) * (reach != 0)
    around = [np.convolve(part, window)[reach[-1] : reach[-1] + length] for part in (site_sums, site_counts)]
    goes = np.bincount(known.old, value, WIDTH) / (np.bincount(known.old, share, WIDTH) + PRIOR)
    tables = (
        *(site_sums / (site_counts + PRIOR), around[0] / (around[1] + PRIOR), site_counts),
        (sums @ _SIMILAR) / (counts @ _SIMILAR + PRIOR),
        *(sums.sum(0) / (counts.sum(0) + PRIOR), goes),
    )
    return Effects(*(table.astype(np.float32) for table in tables))


def learn_in_folds(
    known: SiteFeatures, values: np.ndarray, weights: np.ndarray, length: int, seed: int, sites: bool = False
) -> np.ndarray:
    """Return the effects for each substitution, float64 (M, 6), learned from the folds without its row.

    Parameters
    ----------
    sites : bool: the folds are of sites in place of rows, so that a substitution is seen as one of a new site.
    """
    held_together = known.site if sites else known.row
    number_of = length if sites else len(values)
    fold = np.random.default_rng(seed).permutation(number_of) % max(1, min(FOLDS, number_of))
    learned = np.zeros((len(known.row), 6))
    for number in range(int(fold.max(initial=0)) + 1):
        held = fold[held_together] == number
        learned[held] = learn(known.part(~held), values, weights, length).of(known.part(held))
    return learned


def features(asked: SiteFeatures, learned: np.ndarray, length: int) -> np.ndarray:
    """Return the features of rows, float32 (N, F): sum, minimum and maximum over substitutions, and residue counts.

    Parameters
    ----------
    learned : float64 array (M, 6 + F): `Effects.of` each substitution, and what else is known of it.
    """
    old, new = _SCALES[asked.old], _SCALES[asked.new]
    score, place = _BLOSUM[asked.old, asked.new][:, None], asked.site[:, None] / max(length, 1)
    each = np.concatenate([learned, new - old, np.abs(new - old), old, score, place], axis=1)
    n = len(asked.counts)
    sums, least, most = (np.zeros((n, each.shape[1])) for _ in range(3))
    least[asked.counts > 0], most[asked.counts > 0] = np.inf, -np.inf
    np.add.at(sums, asked.row, each)
    np.minimum.at(least, asked.row, each)
    np.maximum.at(most, asked.row, each)
    residues = np.zeros((n, 2 * WIDTH))
    np.add.at(residues, (asked.row, asked.old), 1.0)
    np.add.at(residues, (asked.row, asked.new + WIDTH), 1.0)
    return np.concatenate([asked.counts[:, None], sums, least, most, residues], axis=1).astype(np.float32)


DEEPEST = 10_000  # most levels of a tree
BLOCK = 256  # rows of a forward pass in one block
EFFECT_TABLES = ("site", "around", "count", "alike", "comes", "goes")  # of `Effects`


class Trees(nn.Module):
    """The trees of one target.

    Attributes
    ----------
    roots : int32 tensor (trees,): root node of each tree.
    feature : int32 tensor (nodes,): feature column of the split.
    threshold : float64 tensor (nodes,): rows at or below it go left.
    left, right : int32 tensors (nodes,): children; those of a leaf are the leaf itself.
    value : float32 tensor (nodes,): of a leaf, relative to `base`.
    base : float32 tensor (1,): the mean of the training rows.
    """

    roots: Tensor
    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    value: Tensor
    base: Tensor

    def __init__(self, trees: int, nodes: int, length: int, told: int = 0) -> None:
        super().__init__()
        self.columns = COLUMNS + 3 * told
        self.register_buffer("roots", torch.zeros(trees, dtype=torch.int32))
        self.register_buffer("feature", torch.zeros(nodes, dtype=torch.int32))
        self.register_buffer("threshold", torch.zeros(nodes, dtype=torch.float64))
        for name in ("left", "right"):
            self.register_buffer(name, torch.zeros(nodes, dtype=torch.int32))
        self.register_buffer("value", torch.zeros(nodes))
        self.register_buffer("base", torch.zeros(1))
        shapes = (
            dict.fromkeys(EFFECT_TABLES[:3], (length,))
            | {"alike": (length, WIDTH)}
            | dict.fromkeys(EFFECT_TABLES[4:], (WIDTH,))
        )
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape))

    def limits(self) -> dict[str, int]:
        """Return the upper bound of each tensor of indices, checked when a model is loaded."""
        return dict.fromkeys(("roots", "left", "right"), len(self.feature)) | {"feature": self.columns}

    def effects(self) -> Effects:
        """Return the tables of mean effects."""
        return Effects(*(getattr(self, name).numpy() for name in EFFECT_TABLES))

    def fill(self, estimators: Sequence[Any], base: float, effects: Effects) -> None:
        """Copy fitted trees of scikit-learn and the tables of effects."""
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
        for name in EFFECT_TABLES:
            getattr(self, name).copy_(torch.from_numpy(getattr(effects, name)))

    def forward(self, codes: Tensor, reference: np.ndarray, told: np.ndarray) -> Tensor:
        """Return the values float64 (B,) of rows aligned to the reference, (B, L).

        Parameters
        ----------
        told : float array (L, 22, F): what a model tells of each substitution; F may be 0.
        """
        asked = substitutions(codes.numpy().astype(np.uint8), reference)
        learned = np.concatenate([self.effects().of(asked), told[asked.site, asked.new]], 1)
        x = torch.from_numpy(features(asked, learned, len(reference)))
        return torch.cat([self._down(part) for part in x.split(BLOCK)]) + self.base.double()

    def _down(self, x: Tensor) -> Tensor:
        node = self.roots.long().expand(len(x), -1)  # (B, trees)
        for _ in range(DEEPEST):  # a damaged file may contain a cycle
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
    told : int: features F of each substitution that come from another model, see `nn.told`.

    Rows of another length are aligned to the consensus as by `gaussian.substitutions`. It always computes on the CPU.
    """

    stride = 1

    told: Tensor

    def __init__(self, reference: Tensor, trees: int, nodes: Sequence[int], told: int = 0) -> None:
        super().__init__()
        self.kernel = SubstitutionKernel(Substitutions(), Setting(reference, torch.arange(len(reference))))
        self.reference = reference.numpy().astype(np.uint8)
        self.targets = nn.ModuleList(Trees(trees, count, len(reference), told) for count in nodes)
        # empty ones are not stored, as in the folders of earlier versions
        self.register_buffer("told", torch.zeros(len(reference), WIDTH, told), persistent=told > 0)
        self.requires_grad_(False)

    def _apply(self, fn: Any, recurse: bool = True) -> ForestModel:
        return self

    def encode(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the rows aligned to the consensus, (B, L), on the CPU."""
        return self.kernel.encode(x.cpu(), lengths.cpu())

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        codes = self.encode(x, lengths)
        values = [trees(codes, self.reference, self.told.numpy()) for trees in self.targets]
        return torch.stack(values, 1).float().to(x.device), lengths


def build_forest(trees: int, facts: dict[str, Any]) -> ForestModel:
    """Return the model of a stored recipe, to be filled from the model folder.

    Parameters
    ----------
    facts : dict: with "forest": {"reference": str, "nodes": list of int, one for each target, and optionally
        "told": int, the number of features}.

    Raises
    ------
    ConfigError: the facts are not those of a forest.
    """
    own = facts.get("forest")
    if not isinstance(own, dict) or len(own.get("nodes", ())) != int(facts.get("outputs", 1)):
        raise ConfigError("fact 'forest' is missing or does not match the outputs; was the model written by biorrn?")
    return ForestModel(torch.from_numpy(tokens(own["reference"])).long(), trees, own["nodes"], own.get("told", 0))
