"""Prediction intervals of proteins without a relative in training, of differences between mutant and wild type, and of
effects of substitutions.

    python -m biorrn.proteins.uncertainty.extra_intervals no-relative MODEL TRAINED.h5 OTHERS.csv --target tm
    python -m biorrn.proteins.uncertainty.extra_intervals differences MODEL PAIRS.csv --wild-type wt_sequence \\
        --mutation mutation --target ddg
    python -m biorrn.proteins.uncertainty.extra_intervals effects MODEL TRAINED.h5 --predicted fold*.tsv \\
        --unlike others.tsv --lengths 30 80

All write into the facts of the model folder. `no-relative` stores the words (k-mers) of the training rows, by which a
protein without a relative is flagged, and calibrates an interval for such proteins on a table of other proteins.
`differences` calibrates the interval of the difference between a mutant and its wild type on measured pairs, with equal
numbers of pairs for each wild type, separately for wild types that the model knows and does not know. `effects` does
so for a model of effects of substitutions, from tables of `biorrn predict` for a table with the columns wt_sequence and
that of the effect: `--predicted` by models trained without these proteins, and `--unlike` for proteins whose length is
not within `--lengths`. Sums of effects in one protein tell how the interval of several substitutions grows. The words
of the wild types of TRAINED.h5 are stored too. The printed coverage is measured on wild types, or proteins, that were
left out of the calibration.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from biorrn.base.errors import BiorrnError
from biorrn.nn.store import Stored, load_model, update_facts
from biorrn.proteins.predict import predict, target_names
from biorrn.proteins.predicted import doubts
from biorrn.proteins.uncertainty import conformal, novelty
from biorrn.proteins.uncertainty.confidence import ROWS, novelty_facts
from biorrn.sequences.records import ProteinRecord
from biorrn.sequences.variants import VariantError, mutate, parse_variant
from biorrn.training.batches import ProteinDataset

PAIRS = 60  # of one wild type, at most
FEWEST = 100  # pairs of known wild types, below which all pairs tell their interval
SHOWN = 0.9  # level whose coverage is printed


def no_relative(model: str, trained: str, others: str, target: str, left_out: str | None = None) -> Iterator[str]:
    """Calibrate the intervals of proteins that a model does not know; yield what to print.

    Parameters
    ----------
    trained : prepared file of the model; relatives are searched among its training and validation rows.
    others : table with the columns sequence and `target`, none of them trained on.
    left_out : table with the columns sequence and set: the rows whose set is "test" are not used.
    """
    import pandas as pd

    stored = load_model(model)
    name = target_names(stored)[0]
    data = [ProteinDataset(trained, split) for split in ("train", "valid")]
    words = novelty.sketch(np.concatenate([one.flat for one in data]), np.concatenate([one.lengths for one in data]))
    stored.facts["relatives"] = words
    table = pd.read_csv(others)
    table = table[table["sequence"].str.fullmatch("[ACDEFGHIKLMNPQRSTVWY]+")]
    if left_out is not None:
        kept = pd.read_csv(left_out)
        table = table[~table["sequence"].isin(kept.loc[kept["set"] == "test", "sequence"])]
    table = table.sample(min(len(table), ROWS // 8), random_state=0)
    found = list(predict(stored, (ProteinRecord(str(k), text) for k, text in enumerate(table["sequence"]))))
    unknown = np.array([bool(doubts(one.flags, stored.facts)) for one in found])
    true, values = table[target].to_numpy(float), np.array([one.values[0] for one in found])
    yield f"{len(true):,} proteins, of which {int(unknown.sum()):,} are unlike what {model} knows"
    own = (true[unknown], values[unknown])
    away = own[0] - own[1]
    yield f"of these: mean error {np.abs(away).mean():.3g}, measured - predicted in the mean {away.mean():+.3g}"
    for level in conformal.cross_coverage(*own, levels=[SHOWN])["levels"]:
        yield f"intervals for 90 % hold {100 * level['coverage']:.1f} % of those left out, {level['width']:.3g} wide"
    entry = conformal.fit(*own)
    assert entry is not None
    known = stored.facts["conformal"]
    known[name] = known[name] | {"unlike": {key: value for key, value in entry.items() if key != "difference"}}
    update_facts(model, conformal=known, relatives=words)


def effects(
    model: str, trained: str, predicted: list[str], unlike: list[str], lengths: tuple[int, int]
) -> Iterator[str]:
    """Calibrate the intervals of effects of substitutions; yield what to print.

    Parameters
    ----------
    trained : prepared file of tags of the model.
    predicted, unlike : tables of predictions, which hold the measured effect in the column `input_` and its name.
    lengths : residues of the shortest and the longest protein that the first ones stand for.
    """
    import pandas as pd

    stored = load_model(model)
    name = target_names(stored, effects=True)[0]
    facts: dict[str, Any] = {}
    for kind, paths in (("known", predicted), ("unlike", unlike)):
        table = pd.concat([pd.read_csv(path, sep="\t") for path in paths], ignore_index=True)
        table = table[table[name].notna() & table[f"input_{name}"].notna()]
        table = _few_of_each(table, "wt_sequence")
        errors = (table[f"input_{name}"] - table[name]).to_numpy(float)
        owner, place = table["wt_sequence"].to_numpy(), table["mutation"].str[1:-1].to_numpy()
        entry = conformal.fit_differences(errors) | {"growth": conformal.growth(errors, owner, place)}
        facts[kind] = {"floor": None} | entry
        rises = entry["growth"][conformal.LEVELS.index(SHOWN)]
        yield (
            f"{kind} proteins: {len(np.unique(owner))} with {len(table):,} mutants: 90 % within "
            f"{conformal.quantile(np.abs(errors), SHOWN):.3g}; of proteins left out {_held(np.abs(errors), owner)}; "
            f"of k effects together within k ** {rises:.2f} times as much"
        )
    with h5py.File(trained) as file:
        words = novelty.sketch(file["tokens"][:], np.diff(file["offsets"][:]))
    bounds = {"min_length": lengths[0], "max_length": lengths[1]}
    update_facts(model, conformal={name: facts["known"] | {"unlike": facts["unlike"]}}, relatives=words, **bounds)


def differences(
    model: str,
    pairs: str,
    wild_type: str,
    mutation: str,
    target: str,
    scale: float = 1.0,
    known_rows: str | None = None,
) -> Iterator[str]:
    """Calibrate the intervals of differences between mutants and wild types; yield what to print.

    Parameters
    ----------
    pairs : table with columns of the sequence of the wild type, of one substitution each, and of the measured
        difference, mutant minus wild type; none of them trained on.
    scale : float: units of the table in one unit of the model.
    known_rows : prepared file: proteins unlike its training rows are those that the model does not know, where it was
        trained with others beside.
    """
    import pandas as pd

    if known_rows is not None:
        lengths = ProteinDataset(known_rows, "train").lengths
        scope = {"min_length": int(lengths.min()), "max_length": int(lengths.max())}
        update_facts(model, **scope, **novelty_facts(known_rows))
    stored = load_model(model)
    name = target_names(stored)[0]
    table = pd.read_csv(pairs)
    table = table[table[mutation].str.fullmatch(r"[A-Z]\d+[A-Z]") & np.isfinite(table[target])]
    table = _few_of_each(table, wild_type)
    errors, owner, unknown = _errors(stored, table, wild_type, mutation, target, scale)
    facts: dict[str, Any] = {}
    for kind, rows in (("known", ~unknown), ("unlike", unknown)):
        if kind == "known" and FEWEST > rows.sum() > 0:
            rows = np.ones(len(errors), bool)  # too few to be a class of their own
        wild = np.unique(owner[rows])
        if len(wild) < conformal.FOLDS:
            yield f"{kind} wild types: {len(wild)}, too few"
            continue
        facts[kind] = conformal.fit_differences(errors[rows])
        own = np.abs(errors[rows])
        yield (
            f"{kind} wild types: {len(wild)} with {int(rows.sum()):,} mutants: 90 % within "
            f"{conformal.quantile(own, SHOWN):.3g}; of wild types left out {_held(own, owner[rows])}"
        )
    if "known" in facts:
        unlike = {"unlike": facts["unlike"]} if "unlike" in facts else {}
        update_facts(model, difference={name: facts["known"] | unlike})


def _few_of_each(table: Any, column: str) -> Any:
    """Return at most `PAIRS` rows of a DataFrame, drawn at random, for each value of a column."""
    return table.groupby(column, sort=True).sample(frac=1, random_state=0).groupby(column, sort=True).head(PAIRS)


def _held(errors: np.ndarray, owner: np.ndarray) -> str:
    """Return which part of the errors of owners that are left out is within the quantile of the others, as text.

    Parameters
    ----------
    errors : float array (N,): absolute; owner : array (N,): the protein of each.
    """
    held = []
    for part in conformal.dealt(np.unique(owner), conformal.FOLDS):
        left = np.isin(owner, part)
        width = conformal.quantile(errors[~left], SHOWN)
        assert width is not None
        held.append(100 * float((errors[left] <= width).mean()))
    return f"{np.mean(held):.1f} % ({min(held):.0f} to {max(held):.0f} by fold)"


def _errors(
    stored: Stored, table: Any, wild_type: str, mutation: str, target: str, scale: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the error of each difference, the number of its wild type, and whether that is unknown, each (N,)."""
    records, measured, owner = [], [], []
    wild: dict[str, int] = {}
    for text, change, value in zip(table[wild_type], table[mutation], table[target], strict=True):
        try:
            sequence = mutate(text, parse_variant(change))
        except VariantError:
            continue
        wild.setdefault(text, len(wild))
        records.append(ProteinRecord("m", sequence))
        measured.append(float(value) / scale)
        owner.append(wild[text])
    own = list(predict(stored, [ProteinRecord("w", text) for text in wild], precision="32"))
    values = np.array([one.values[0] for one in predict(stored, records, precision="32")])
    of_wild = np.array([one.values[0] for one in own])[owner]
    unknown = np.array([bool(doubts(one.flags, stored.facts)) for one in own])[owner]
    return np.array(measured) - (values - of_wild), np.array(owner), unknown


def main() -> None:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    one = kinds.add_parser("no-relative")
    for word in ("model", "trained", "others"):
        one.add_argument(word)
    one.add_argument("--target", required=True)
    one.add_argument("--left-out")
    two = kinds.add_parser("differences")
    for word in ("model", "pairs"):
        two.add_argument(word)
    two.add_argument("--wild-type", required=True)
    two.add_argument("--mutation", required=True)
    two.add_argument("--target", required=True)
    two.add_argument("--scale", type=float, default=1.0)
    two.add_argument("--known-rows")
    three = kinds.add_parser("effects")
    for word in ("model", "trained"):
        three.add_argument(word)
    three.add_argument("--predicted", nargs="+", required=True)
    three.add_argument("--unlike", nargs="+", required=True)
    three.add_argument("--lengths", nargs=2, type=int, required=True)
    asked = vars(parser.parse_args())
    runs: dict[str, Any] = {"no-relative": no_relative, "differences": differences, "effects": effects}
    try:
        for line in runs[asked.pop("kind")](**asked):
            print(line)
    except (BiorrnError, OSError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
