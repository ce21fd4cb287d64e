"""Wording of the report: sentences with numbers in them, headings, and numbers as text.

Sentences without numbers are in the template `report.html`; captions are beside their figure in `figures.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from biorrn.stats.figures import slug
from biorrn.stats.metrics import LOWER, NAMES, RATES

ITEMS = 40  # of a list, shown at most
SHARES = ("fraction", "identity", "mismatch", "insertion", "deletion", "occupancy")  # how names of shares end
DETAILS = {  # what the list of details of an evaluation is called
    "regression": "Coverage of the prediction intervals",
    "classification": "Counts and tables: classes, sets, flags",
    "basecalls": "Counts and tables: read lengths, qualities, errors",
    "tagging": "Counts and tables: states, lengths, confidence",
    "language": "Counts, and perplexity by position",
    "translation": "Rows and models",
}
# key "kind" -> heading of its part
KINDS: dict[str, str] = {
    "qc": "Reads",
    "mapping": "Mapping",
    "assembly": "Assembly",
    "generated": "Generated sequences",
}


def text(value: Any) -> str:
    """Return a value as text: thousands separators, four digits, a dash for missing.

    >>> text(53614), text(0.123456), text(None), text([1, 2]), text(True)
    ('53,614', '0.1235', '–', '1, 2', 'yes')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.4g}"
    if isinstance(value, list | tuple):
        shown = ", ".join(text(item) for item in value[:ITEMS])
        return f"{shown}, … ({len(value):,} in all)" if len(value) > ITEMS else shown
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {text(entry)}" for key, entry in list(value.items())[:ITEMS])
    return str(value)


def label(key: str) -> str:
    """Return a key as words.

    >>> label("near_identical")
    'near identical'
    """
    return str(key).replace("_", " ")


def number(name: str, value: Any) -> str:
    """Return the value of a metric: three decimals, or per cent for a rate."""
    if not isinstance(value, int | float):
        return "–"
    return f"{100 * value:.2f} %" if name in RATES else f"{value:.3f}"


def estimate(name: str, entry: dict[str, Any]) -> dict[str, Any]:
    """Return an estimate as the cells of a row: metric, value, interval, n; "raw" is what sorts it."""
    low, high = number(name, entry.get("low")), number(name, entry.get("high"))
    return {
        "metric": NAMES.get(name, label(name)),
        "value": number(name, entry.get("value")),
        "raw": entry.get("value") if isinstance(entry.get("value"), int | float) else None,
        "interval": "–" if low == "–" else f"{low.removesuffix(' %')} to {high}",
        "n": text(entry.get("n")),
    }


def minutes(seconds: float | None) -> str:
    """Return a time in minutes.

    >>> minutes(331.59), minutes(3.1), minutes(36000), minutes(None)
    ('5.5', '0.05', '600', '–')
    """
    if seconds is None or math.isnan(seconds):
        return "–"
    value = seconds / 60
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def duration(seconds: float) -> str:
    """Return a time in words.

    >>> duration(5.24), duration(331.59), duration(36000)
    ('5.2 seconds', '5.5 minutes', '10.0 hours')
    """
    if seconds < 60:
        return f"{seconds:.1f} seconds"
    return f"{seconds / 60:.1f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def megabytes(value: float | None) -> str:
    """Return an amount of memory or of data, given in MB.

    >>> megabytes(772.41), megabytes(0.04), megabytes(14210.0), megabytes(None)
    ('772 MB', '0.04 MB', '14.2 GB', '–')
    """
    if value is None or math.isnan(value):
        return "–"
    return f"{value / 1000:.1f} GB" if value >= 1000 else f"{value:.0f} MB" if value >= 1 else f"{value:.2g} MB"


def sample_number(name: str, value: int | float) -> str:
    """Return a number of a sample as text: shares in per cent.

    >>> sample_number("mapped fraction", 0.98765), sample_number("reads", 12345)
    ('98.77 %', '12,345')
    """
    if name.endswith(SHARES) and isinstance(value, float) and 0 <= value <= 1:
        return f"{100 * value:.2f} %"
    return text(value)


def anchors(names: Sequence[str], before: str) -> list[str]:
    """Return an id for each name, all different.

    >>> anchors(["a b", "a_b"], "run")
    ['run-a_b', 'run-a_b-2']
    """
    taken: dict[str, int] = {}
    found = []
    for name in names:
        stem = f"{before}-{slug(name)}"
        taken[stem] = taken.get(stem, 0) + 1
        found.append(stem if taken[stem] == 1 else f"{stem}-{taken[stem]}")
    return found


def result_sentence(
    content: dict[str, Any], target: str, metric: str, metrics: dict[str, Any], shown: dict[str, Any]
) -> str:
    """Return the headline result of an evaluation."""
    where = f"{shown['n']} {'reads' if content['kind'] == 'basecalls' else 'proteins'} ({content['split']})"
    if content["kind"] == "basecalls":
        errors = [f"{key} {number(key, metrics[key].get('value'))}" for key in LOWER if key in metrics]
        end = f"; {', '.join(errors)}" if errors else ""
        return f"Median identity {shown['value']} (95 % interval {shown['interval']}) on {where}{end}."
    if content["kind"] == "tagging" and "accuracy_residue" in metrics:
        overlap = number("sov", metrics.get("sov", {}).get("value"))
        return (
            f"{shown['value']} of the residues correct (95 % interval {shown['interval']}) in {where}; "
            f"segment overlap {overlap}."
        )
    if content["kind"] == "classification" and metric == "f_max":
        precise = estimate("macro_ap", metrics.get("macro_ap", {}))["value"]
        return (
            f"F-max {shown['value']} (95 % interval {shown['interval']}) on {where}; macro average precision {precise}."
        )
    if content["kind"] == "classification":
        right = estimate("accuracy", metrics.get("accuracy", {}))["value"]
        return f"Macro F1 {shown['value']} (95 % interval {shown['interval']}) on {where}; accuracy {right}."
    if content["kind"] == "language":
        found = estimate("perplexity", metrics.get("perplexity", {}))
        where = f"the {target} of {shown['n']} sequences ({content['split']})"
        return f"Perplexity {found['value']} (95 % interval {found['interval']}) of {where}."
    if content["kind"] == "translation":
        kind, count = next(iter(content["rows"].items()))
        right = "of the sequences exact" if metric == "exact" else "of the aligned columns correct"
        where = f"{count} {kind} ({content['split']})"
        return f"{target}: {shown['value']} {right} (95 % interval {shown['interval']}) of {where}."
    rmse = metrics.get("rmse", {}).get("value")
    end = f"; RMSE {number('rmse', rmse)}" if isinstance(rmse, int | float) else ""
    what = f"{target}: " if len(content["metrics"]) > 1 else ""
    return f"{what}Spearman {shown['value']} (95 % interval {shown['interval']}) on {where}{end}."


def verdict(baselines: dict[str, Any]) -> dict[str, Any]:
    """Return {"verdict", "good", "bad"} for the table of runs; the sentence is `stats.baselines.headline`."""
    lost = [key for key, entry in baselines.items() if not entry["beats"]]
    words = "–"
    if baselines:
        words = f"does not beat {', '.join(lost)}" if lost else "beats every baseline"
        if len(lost) > 2:
            words = f"does not beat {len(lost)} of {len(baselines)}"
    return {"verdict": words, "good": bool(baselines) and not lost, "bad": bool(lost)}


def training_sentence(run: dict[str, Any]) -> str:
    """Return time, device, rate, memory and parameters of a training; "" if the run has none."""
    train = run["training"]
    if not train:
        return ""
    if not train["finished"]:
        return f"Training is not finished: {train['epochs']} epochs are recorded."
    facts = train["facts"]
    words = [f"Trained in {duration(train['seconds'])}" if train["seconds"] is not None else "Trained"]
    if facts.get("device"):
        threads = facts.get("threads")
        words.append(f"on {facts['device']}" + (f" ({text(threads)} threads)" if isinstance(threads, int) else ""))
    parts = [" ".join(words).replace("(1 threads)", "(1 thread)")]
    parts += [f"at {train['rate']}"] if train["rate"] != "–" else []
    parts += [f"peak memory {run['memory']}"] if run["memory"] != "–" else []
    parts += [f"{text(facts['parameters'])} parameters"] if facts.get("parameters") else []
    return ", ".join(parts) + "."


def leakage_sentences(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return {"text", "bad"} for each split: what it shares with the training rows; bad where it shares any row.

    Parameters
    ----------
    content : report of `biorrn prepare`; its key "leakage" is as `sequences.similarity` gives it.
    """
    found = []
    leakage = content.get("leakage")
    for split, entry in leakage.items() if isinstance(leakage, dict) else ():
        if not isinstance(entry, dict):
            continue
        if entry.get("proteins"):
            same = entry.get("identical_in_train", 0)
            words = f"{split}: {text(same)} of {text(entry['proteins'])} proteins are also in train"
            near = [
                f"{100 * value:.1f} % of at least {100 * float(key.removeprefix('within_')):.0f} % identity"
                for key, value in entry.items()
                if key.startswith("within_") and isinstance(value, int | float)
            ]
            words += f"; of {text(entry.get('compared'))} compared, {' and '.join(near)} to one there" if near else ""
            found.append({"text": f"{words}.", "bad": bool(same)})
        elif entry.get("segments"):
            shared, part = entry.get("reads_in_train", 0), entry.get("covered_by_train")
            words = f"{split}: {text(shared)} reads have another segment in train"
            if isinstance(part, int | float):
                words += (
                    f"; train covers {100 * part:.1f} % of its {text(entry.get('reference_bases'))} reference bases"
                )
            found.append({"text": f"{words}.", "bad": bool(part)})
    return found


def comparison_sentence(title: str, members: Sequence[Mapping[str, Any]]) -> str:
    """Return which of several runs has the highest metric, and how many intervals overlap with its interval.

    Parameters
    ----------
    title : the metric, and the target if any.
    members : rows of the overview: "name", "value", "interval", "raw" and "estimate".
    """
    best = max(members, key=lambda entry: entry["raw"])
    reach = best["estimate"].get("low")
    rivals = [
        entry
        for entry in members
        if entry is not best and isinstance(reach, int | float) and (entry["estimate"].get("high") or 0) >= reach
    ]
    words = f"Highest {title}: {best['name']}, {best['value']} ({best['interval']})"
    words += (
        f"; the intervals of {len(rivals)} of the other {len(members) - 1} runs overlap with its own."
        if len(members) > 2
        else f"; the interval of the other run {'overlaps' if rivals else 'does not overlap'} with its own."
    )
    return words + " The score of a run selected as the highest is biased upwards: evaluate it on other rows."


def scan_sentence(mutants: int, positions: int, target: str) -> str:
    """Return what a mutational scan covers."""
    return (
        f"{mutants:,} substitutions at {positions:,} positions; the positions where the predicted {target} "
        "changes most, by the mean over the substitutions there:"
    )
