"""Where each base of a known sequence begins in its signal: dynamic programming over expected levels, in a band."""

import numpy as np

from biorrn.jit import each_row, jit


@jit()
def _realign(signal, levels, weights, edges, band, dwell_cost, edge_costs, back, out):  # type: ignore[no-untyped-def]
    """Fill `out` (L + 1,) with the edges of least cost; `edge_costs` (2, W) and `back` (L + 1, W) are workspace.

    Edge i may move by `band` samples either way; edge_costs[i % 2, w] is the least cost of the signal before it where
    it stands at low_i + w. An event costs weights[i] x sum (x - levels[i])^2 + dwell_cost[its length].
    """
    count = levels.shape[0]
    width = 2 * band + 1
    longest = dwell_cost.shape[0] - 1
    never = np.inf
    samples = signal.shape[0]
    edge_costs[:] = never
    edge_costs[0, band] = 0.0  # the first edge stands where it is
    sums = np.empty(0, np.float64)
    for i in range(count):
        before, now = i % 2, (i + 1) % 2
        low = edges[i] - band
        next_low = edges[i + 1] - band
        end = min(samples, edges[i + 1] + band)
        first = max(0, low)
        if sums.shape[0] < end - first + 1:
            sums = np.empty(2 * (end - first + 1), np.float64)
        sums[0] = 0.0  # of the cost of this base's level, from `first` on
        for t in range(first, end):
            off = signal[t] - levels[i]
            sums[t - first + 1] = sums[t - first] + weights[i] * off * off
        for w in range(width):
            edge_costs[now, w] = never
            place = next_low + w
            if place <= 0 or place > samples or (i == count - 1 and place != edges[count]):
                continue
            for v in range(width):
                start = low + v
                if start >= place:
                    break
                if edge_costs[before, v] == never:
                    continue
                cost = edge_costs[before, v] + sums[place - first] - sums[start - first]
                cost += dwell_cost[min(place - start, longest)]
                if cost < edge_costs[now, w]:
                    edge_costs[now, w] = cost
                    back[i + 1, w] = v
    if edge_costs[count % 2, band] == never:
        out[:] = edges
        return never
    w = band
    for i in range(count, 0, -1):
        out[i] = edges[i] - band + w
        w = back[i, w]
    out[0] = edges[0]
    return edge_costs[count % 2, band]


def realign(
    signal: np.ndarray,
    levels: np.ndarray,
    spreads: np.ndarray,
    edges: np.ndarray,
    segments: np.ndarray,
    dwell_cost: np.ndarray,
    band: int = 12,
    threads: int = 1,
) -> np.ndarray:
    """Return new edges of the events, int64 (L + 1,); the ends of each segment stay where they are.

    The edges are those of least total cost: the squared distance of each sample from the level of its base over twice
    the variance, and the cost of each dwell. Every event keeps at least one sample.

    Parameters
    ----------
    signal : float32 array (T,): current of all segments.
    levels, spreads : float64 arrays (L,): expected current of each base and its standard deviation over samples.
    edges : int64 array (L + 1,): where the events begin now, and where the last ends.
    segments : int64 array (N + 1,): bases of segment i are segments[i]:segments[i + 1].
    dwell_cost : float64 array (D,): cost of an event of d samples, -log of its probability; the last entry serves all
        longer ones.
    band : int: samples that an edge may move by in one call.
    threads : int: segments aligned at the same time.
    """
    out = edges.astype(np.int64).copy()
    weights = 0.5 / np.maximum(np.asarray(spreads, np.float64), 1e-3) ** 2
    lengths = np.diff(segments)

    def work(row: int) -> None:
        first, last = int(segments[row]), int(segments[row + 1])
        start, end = int(edges[first]), int(edges[last])
        costs = np.empty((2, 2 * band + 1))
        back = np.zeros((last - first + 1, 2 * band + 1), np.int16)
        own = edges[first : last + 1] - start
        found = np.empty(last - first + 1, np.int64)
        part = np.ascontiguousarray(signal[start:end], np.float64)
        _realign(
            part,
            np.ascontiguousarray(levels[first:last]),
            weights[first:last],
            own,
            band,
            dwell_cost,
            costs,
            back,
            found,
        )
        out[first:last] = found[:-1] + start

    each_row(work, [int(row) for row in np.argsort(-lengths) if lengths[row]], threads)
    return out
