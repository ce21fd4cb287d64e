"""How every single-base edit of a template changes the likelihood of one read: a pair hidden Markov model in a band.

The read is taken for a noisy copy of the template. Before each template base the read may hold inserted bases; the base
is then copied, miscopied or left out, with probabilities that depend on the base and on how many equal ones stand just
before it, as a caller loses bases of homopolymers. Forward and backward sums over all alignments give the likelihood
of the read under each edited template at the cost of a row or two, as in Chin et al. 2013 (Quiver), and the expected
counts from which the probabilities are estimated (Baum-Welch).
"""

import numpy as np

from biorrn.jit import jit
from biorrn.kernels.error_model import RUN, ErrorModel

BAND = 48  # read positions looked at for each template base
EDITS = 9  # columns of a gain table: becomes A, C, G, T; is deleted; A, C, G, T is inserted before it
DELETE, INSERT = 4, 5  # the columns of a deletion and of an inserted A
UNKNOWN = 5  # class of a read base that is not known (N); 4 stands for a deletion
EDGE = 3  # bases at both ends of a read's span whose edits are not judged by it


@jit()
def run_classes(template):  # type: ignore[no-untyped-def]
    """Return uint8 (n,): how many bases equal to each one stand just before it, at most RUN - 1."""
    found = np.zeros(template.shape[0], np.uint8)
    for i in range(1, template.shape[0]):
        if template[i] == template[i - 1]:
            found[i] = min(RUN - 1, found[i - 1] + 1)
    return found


@jit()
def _step(before, low_before, low, read, emit, stop, insert, out):  # type: ignore[no-untyped-def]
    """Fill `out` with the forward row after one more template base; return its sum."""
    total = 0.0
    shift = low - low_before
    for k in range(out.shape[0]):
        value = 0.0
        j = low + k
        a = k + shift
        if j <= read.shape[0]:
            if 0 <= a < before.shape[0]:
                value = before[a] * emit[4]
            if 0 < a <= before.shape[0] and j > 0:
                value += before[a - 1] * emit[read[j - 1]]
            value *= stop
            if k > 0:
                value += out[k - 1] * insert[read[j - 1]]
        out[k] = value
        total += value
    return total


@jit()
def _cut(before, low_before, after, low_after, read, emit, stop):  # type: ignore[no-untyped-def]
    """Return the sum over all paths that take a template base between a forward and a backward row."""
    total = 0.0
    for k in range(before.shape[0]):
        j = low_before + k
        if j > read.shape[0]:
            break
        a = j - low_after
        if 0 <= a < after.shape[0]:
            total += before[k] * emit[4] * after[a]
        if j < read.shape[0] and 0 <= a + 1 < after.shape[0]:
            total += before[k] * emit[read[j]] * after[a + 1]
    return total * stop


@jit()
def _rows(template, runs, read, lows, emit, insert, stop, forward, backward, scales):  # type: ignore[no-untyped-def]
    """Fill forward and backward rows, each scaled to sum 1, and the logs of their scales; return the log likelihood."""
    n, m, width = template.shape[0], read.shape[0], forward.shape[1]
    forward[0, :] = 0.0
    forward[0, -lows[0]] = 1.0
    scales[:, :] = 0.0
    for i in range(n):
        b = template[i]
        left = stop[template[i - 1]] if i else 1.0
        total = _step(forward[i], lows[i], lows[i + 1], read, emit[runs[i], b], left, insert[b], forward[i + 1])
        if total <= 0.0:
            return -np.inf
        forward[i + 1] /= total
        scales[0, i + 1] = scales[0, i] + np.log(total)
    if not 0 <= m - lows[n] < width or forward[n, m - lows[n]] <= 0.0:
        return -np.inf
    for i in range(n, -1, -1):
        total = 0.0
        low = lows[i]
        for k in range(width - 1, -1, -1):
            j = low + k
            value = 0.0
            if j <= m:
                if i == n and j == m:
                    value = 1.0
                if i < n:
                    a = j - lows[i + 1]
                    e = emit[runs[i], template[i]]
                    if 0 <= a < width:
                        value = e[4] * backward[i + 1, a]
                    if j < m and 0 <= a + 1 < width:
                        value += e[read[j]] * backward[i + 1, a + 1]
                    value *= stop[template[i - 1]] if i else 1.0
                if i and j < m and k + 1 < width:
                    value += insert[template[i - 1], read[j]] * backward[i, k + 1]
            backward[i, k] = value
            total += value
        if total <= 0.0:
            return -np.inf
        backward[i] /= total
        scales[1, i] = (scales[1, i + 1] if i < n else 0.0) + np.log(total)
    return np.log(forward[n, m - lows[n]]) + scales[0, n]


@jit()
def _edited(p, column, template, runs, read, lows, emit, insert, stop, forward, backward, scales, rows):  # type: ignore[no-untyped-def]  # fmt: skip
    """Return the log likelihood of the read under the template with one edit at base p."""
    n = template.shape[0]
    last, count = template[p - 1], runs[p - 1]
    row, low, scale, q, spare = forward[p], lows[p], scales[0, p], p, 0
    if column != DELETE:
        b = column if column < DELETE else column - INSERT
        q = p + 1 if column < DELETE else p
        count = min(RUN - 1, count + 1) if b == last else 0
        total = _step(row, low, lows[q], read, emit[count, b], stop[last], insert[b], rows[0])
        row, low, last, spare = rows[0], lows[q], b, 1
        if total <= 0.0:
            return -np.inf
    else:
        q = p + 1
    while True:
        b = template[q]
        count = min(RUN - 1, count + 1) if b == last else 0
        if count == runs[q] or q + 1 >= n or template[q + 1] != b:
            break
        # the edit changed the length of a run: its further bases have other classes than the backward rows know
        _step(row, low, lows[q + 1], read, emit[count, b], stop[last], insert[b], rows[spare])
        row, low, last, spare, q = rows[spare], lows[q + 1], b, 1 - spare, q + 1
    total = _cut(row, low, backward[q + 1], lows[q + 1], read, emit[count, b], stop[last])
    return np.log(total) + scale + scales[1, q + 1] if total > 0.0 else -np.inf


@jit()
def _count(template, runs, read, lows, emit, insert, stop, forward, backward, scales, known, seen, extra, path):  # type: ignore[no-untyped-def]  # fmt: skip
    """Add the expected counts of what happened to each base, and fill the likeliest read position of each row."""
    n, m, width = template.shape[0], read.shape[0], forward.shape[1]
    for i in range(n + 1):
        best = -1.0
        weight = np.exp(scales[0, i] + scales[1, i] - known)
        for k in range(width):
            j = lows[i] + k
            if j > m:
                break
            value = forward[i, k] * backward[i, k]
            if value > best:
                best, path[i] = value, j
            if i and j < m and k + 1 < width:
                b = template[i - 1]
                if read[j] != UNKNOWN:
                    extra[b, read[j]] += weight * forward[i, k] * insert[b, read[j]] * backward[i, k + 1]
        if i == n:
            break
        weight = np.exp(scales[0, i] + scales[1, i + 1] - known) * (stop[template[i - 1]] if i else 1.0)
        e, into = emit[runs[i], template[i]], seen[runs[i], template[i]]
        for k in range(width):
            j = lows[i] + k
            a = j - lows[i + 1]
            if j <= m and 0 <= a < width:
                into[4] += weight * forward[i, k] * e[4] * backward[i + 1, a]
            if j < m and read[j] != UNKNOWN and 0 <= a + 1 < width:
                into[read[j]] += weight * forward[i, k] * e[read[j]] * backward[i + 1, a + 1]


@jit()
def _score(template, runs, read, path, active, emit, insert, gains, seen, extra, width):  # type: ignore[no-untyped-def]
    n, m = template.shape[0], read.shape[0]
    stop = 1.0 - insert[:, :4].sum(axis=1)
    lows = np.maximum(0, np.minimum(path - width // 2, m + 1 - width))
    forward, backward = np.empty((n + 1, width)), np.empty((n + 1, width))
    scales, rows = np.empty((2, n + 1)), np.empty((2, width))
    known = _rows(template, runs, read, lows, emit, insert, stop, forward, backward, scales)
    if known == -np.inf:
        return known
    _count(template, runs, read, lows, emit, insert, stop, forward, backward, scales, known, seen, extra, path)
    for p in range(EDGE, n - EDGE):
        if not active[p]:
            continue
        for column in range(EDITS):
            # of equal edits only one is scored: the last base of a run goes, a run grows behind its last base
            if column < DELETE and column == template[p]:
                continue
            if column == DELETE and template[p + 1] == template[p]:
                continue
            if column >= INSERT and column - INSERT == template[p]:
                continue
            new = _edited(
                p, column, template, runs, read, lows, emit, insert, stop, forward, backward, scales, rows
            )  # fmt: skip
            gains[p, column] = max(new - known, -30.0)  # a read may be wrong altogether
    return known


def edit_gains(
    template: np.ndarray,
    read: np.ndarray,
    path: np.ndarray,
    model: ErrorModel,
    active: np.ndarray | None = None,
    width: int = BAND,
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Score every single-base edit of a template by one read, over the span that the read was aligned to.

    Parameters
    ----------
    template, read : uint8 arrays (n,) and (m,): classes 0..3 (A, C, G, T), same direction, aligned from end to end. A
        read base may be `UNKNOWN`, whose probability is that of any base: it speaks for none.
    path : int64 array (n + 1,): how many read bases stand before each template base, by some alignment; not falling.
    model : the probabilities.
    active : bool array (n,): bases whose edits are scored; default: all.
    width : int: read positions looked at around `path`.

    Returns
    -------
    log likelihood of the read (minus infinity where the band holds no alignment; then all else is void);
    gains float64 (n, EDITS): what each edit adds to it, 0 where it was not scored and for one of several equal edits;
    path int64 (n + 1,) of highest posterior probability;
    expected counts float64 (RUN, 4, 5) and (4, 4), as in `ErrorModel`.
    """
    n = len(template)
    if len(path) != n + 1:
        raise ValueError(f"path has {len(path)} positions for a template of {n} bases")
    gains, seen, extra = np.zeros((n, EDITS)), np.zeros((RUN, 4, 5)), np.zeros((4, 4))
    new_path = np.asarray(path, np.int64).copy()
    active = np.ones(n, dtype=np.bool_) if active is None else active
    known = -np.inf
    if n and len(read):
        runs, width = run_classes(template), min(width, len(read) + 1)
        emit, insert = _with_unknown(model.emit), _with_unknown(model.insert)
        known = _score(template, runs, read, new_path, active, emit, insert, gains, seen, extra, width)
    return float(known), gains, new_path, seen, extra


def _with_unknown(table: np.ndarray) -> np.ndarray:
    """Return probabilities (..., 4 or 5) with columns up to `UNKNOWN`, which gets the sum of those of the bases."""
    made = np.zeros((*table.shape[:-1], UNKNOWN + 1))
    made[..., : table.shape[-1]] = table
    made[..., UNKNOWN] = table[..., :4].sum(axis=-1)
    return made
