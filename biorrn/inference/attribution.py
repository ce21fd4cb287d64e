"""Which residues a prediction rests on: integrated gradients, occlusion, and the weights of attention pools."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from biorrn.encoders.residues import tokens
from biorrn.errors import BiorrnError, ConfigError
from biorrn.inference.attention_maps import maps_of, pools_of
from biorrn.inference.forward import model_on
from biorrn.inference.gradients import BASELINES, COMPLETE, by_residue, gap_of, integrate, networks
from biorrn.inference.predict import predict, target_names
from biorrn.inference.summary import SHOWN, Tally
from biorrn.lookup import lookup
from biorrn.models.ensemble import Ensemble
from biorrn.models.store import Stored
from biorrn.models.variants import Variant
from biorrn.readers.records import ProteinRecord


@dataclass(frozen=True, slots=True)
class Attribution:
    """What each residue adds to a prediction.

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
        `models.neighbours`; with gradients only, for an ensemble that has them.
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
    """Yield what each residue of each record adds to its prediction.

    Parameters
    ----------
    stored : Stored: a regression model.
    records : iterable of ProteinRecord.
    method : an entry of `METHODS`; "auto" is gradients where model and protein have them by residue, else occlusion;
        so it is for a model of the variants of one protein, where a path from the mean residue leads through proteins
        that have hundreds of mutations at once, on which the model was never trained.
    baseline : what a residue is compared with: "mean", the mean of the 20, or "X", the residue that stands for any.
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
    moved = replace(stored, model=model_on(stored.model, where))

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
    """Return integrated gradients; see `inference.gradients`."""
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

    def scores_of(model: nn.Module) -> tuple[np.ndarray, np.ndarray]:
        bare = replace(stored, model=model, facts=stored.facts | {"novelty": None, "conformal": None})
        # a difference of two numbers near each other: bfloat16 would round it away
        given = predict(bare, mutants(), batch_size=batch_size, device=x.device, precision="32")
        found = np.array([one.values for one in given])
        return found[0], found[0] - found[1:].reshape(len(sequence), len(letters), -1).mean(1)

    values, scores = scores_of(stored.model)
    members = list(stored.model.members) if isinstance(stored.model, Ensemble) else []
    spread = np.std([scores_of(member)[1] for member in members], axis=0) if len(members) > 1 else None
    return Attribution(record.id, sequence, "occlusion", values, np.full_like(values, np.nan), scores, spread)


def attention_of(model: nn.Module, x: Tensor, lengths: Tensor) -> np.ndarray | None:
    """Return the weight (T,) of each residue of a row x (1, T) in attention pools, the mean over all in `model`.

    None where it has none, or where they weigh something other than residues.
    """
    found = maps_of(model, x, lengths, pools_of(model))
    fitting = [weights.mean(1)[0] for _, weights in found if weights.shape[-1] == x.shape[1]]
    return torch.stack(fitting).mean(0).double().cpu().numpy() if fitting else None


def count(tally: Tally, found: Attribution, targets: Sequence[str]) -> None:
    """Count an attribution; of the first proteins, and of those that are not complete, say what the sum misses."""
    tally.add(proteins=1, residues=len(found.sequence))
    for column, target in enumerate(targets):
        value, baseline, gap = found.values[column], found.baseline[column], found.gap[column]
        said = f"record '{found.id}': {target} {value:.5g}"
        if np.isfinite(baseline):
            total = found.scores[:, column].sum()
            said += f", baseline {baseline:.5g}, attributions sum to {total:.5g} (gap {100 * gap:.2g} %)"
        if found.added is not None and found.added[column]:
            said += f"; near training rows add {found.added[column]:+.5g}, which is no residue's"
        if tally.done["proteins"] <= SHOWN or gap > COMPLETE:
            tally.say(said)


METHODS: dict[str, Callable[..., Attribution]] = {"gradients": gradients, "occlusion": occlusion}
