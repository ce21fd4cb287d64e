"""Benchmark of the network of DeepNano-blitz (Boza et al. 2020, Bioinformatics 36:4191) on one thread.

Run: pip install mkl; python benchmarks/bench_deepnano.py [--widths 48 96] [--mkl FOLDER] [--rounds 5]

DeepNano-blitz is written in Rust on Intel's MKL. This is not that program but its arithmetic, written anew from the
description: the same calls of MKL on arrays of the same sizes, with random weights. A chunk of 1,560 samples, of which
1,500 are new, and their squares go through a convolution of 33 samples, a maximum over three, tanh, and four GRU layers
in alternating direction: a matrix product for the inputs of all steps, then for each step a product compiled by MKL for
this one shape, and MKL's exp and tanh of least accuracy. Reading, normalising and decoding are not measured, so that
the program itself can only be slower. A C compiler is needed.
"""

import argparse
import ctypes
import os
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from measure import interleaved, machine

SOURCE = r"""
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
enum { STEPS = 520, SAMPLES = 1560, NEW = 1500, KERNEL = 33, ROUGH = 259, HIGH = 3 }; /* modes of MKL */
enum { BY_ROW = 101, AS_IS = 111 };
typedef void (*product)(void *, float *, float *, float *);
void cblas_sgemm(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *, int);
int mkl_cblas_jit_create_sgemm(void **, int, int, int, size_t, size_t, size_t, float, size_t, size_t, float, size_t);
product mkl_jit_get_sgemm_ptr(const void *);
void vmsExp(int, const float *, float *, int64_t);
void vmsTanh(int, const float *, float *, int64_t);

static float *some(size_t count)
{
    float *values = aligned_alloc(64, (count * 4 + 63) / 64 * 64);
    for (size_t i = 0; i < count; i++) values[i] = (rand() / (float)RAND_MAX - 0.5f) * 0.2f;
    return values;
}

static void matrix(int rows, int columns, int depth, const float *a, const float *b, float *out)
{
    cblas_sgemm(BY_ROW, AS_IS, AS_IS, rows, columns, depth, 1, a, depth, b, columns, 0, out, columns);
}

/* One layer; its output is turned round, so that the next reads the other direction. */
static void gru(int width, void *jitter, product step, const float *x, float **weights, float *gates, float *out)
{
    float state[3 * width], candidate[width], first[width];
    memset(first, 0, sizeof first);
    matrix(STEPS, 3 * width, width, x, weights[0], gates);
    for (int t = 0; t < STEPS; t++) {
        float *before = t ? out + (STEPS - t) * width : first, *now = out + (STEPS - 1 - t) * width;
        const float *in = gates + t * 3 * width;
        step(jitter, before, weights[1], state);
        for (int i = 0; i < 2 * width; i++) state[i] += in[i] + weights[2][i];
        vmsExp(2 * width, state, state, ROUGH);
        for (int i = 0; i < 2 * width; i++) state[i] = 1 / (1 + state[i]);
        for (int i = 0; i < width; i++)
            candidate[i] = (state[2 * width + i] + weights[4][i]) * state[width + i]
                           + in[2 * width + i] + weights[3][i];
        vmsTanh(width, candidate, candidate, ROUGH);
        for (int i = 0; i < width; i++) now[i] = before[i] * state[i] + (1 - state[i]) * candidate[i];
    }
}

/* Run chunks through the network; return the number of new samples. */
long run(int width, int chunks)
{
    void *jitter;
    mkl_cblas_jit_create_sgemm(&jitter, BY_ROW, AS_IS, AS_IS, 1, 3 * width, width, 1, width, 3 * width, 0, 3 * width);
    product step = mkl_jit_get_sgemm_ptr(jitter);
    float *weights[4][5], *filter = some(2 * KERNEL * width), *last = some(5 * width), *signal = some(SAMPLES);
    for (int layer = 0; layer < 4; layer++) {
        const size_t sizes[5] = {3 * width * width, 3 * width * width, 2 * width, width, width};
        for (int i = 0; i < 5; i++) weights[layer][i] = some(sizes[i]);
    }
    float *windows = some(SAMPLES * 2 * KERNEL), *convolved = some(SAMPLES * width), *frames = some(STEPS * width);
    float *gates = some(STEPS * 3 * width), *other = some(STEPS * width), *scores = some(STEPS * 5);
    for (int chunk = 0; chunk < chunks; chunk++) {
        memset(windows, 0, SAMPLES * 2 * KERNEL * sizeof(float));
        for (int t = 0; t < SAMPLES; t++)
            for (int k = 0; k < KERNEL; k++) {
                const int from = t + k - KERNEL / 2;
                if (from >= 0 && from < SAMPLES) {
                    windows[(t * KERNEL + k) * 2] = signal[from];
                    windows[(t * KERNEL + k) * 2 + 1] = signal[from] * signal[from];
                }
            }
        matrix(SAMPLES, width, 2 * KERNEL, windows, filter, convolved);
        for (int t = 0; t < STEPS; t++)
            for (int i = 0; i < width; i++) {
                const float *at = convolved + 3 * t * width + i;
                float most = at[0] > at[width] ? at[0] : at[width];
                frames[t * width + i] = most > at[2 * width] ? most : at[2 * width];
            }
        vmsTanh(STEPS * width, frames, frames, HIGH);
        gru(width, jitter, step, frames, weights[0], gates, other);
        gru(width, jitter, step, other, weights[1], gates, frames);
        gru(width, jitter, step, frames, weights[2], gates, other);
        gru(width, jitter, step, other, weights[3], gates, frames);
        matrix(STEPS, 5, width, frames, last, scores);
        signal[0] += scores[0] * 1e-9f;
    }
    return (long)chunks * NEW;
}
"""


def built(mkl: Path, folder: Path) -> ctypes.CDLL:
    """Compile the network for this processor."""
    source, library = folder / "network.c", folder / "network.so"
    source.write_text(SOURCE)
    options = ["-O3", "-march=native", "-ffast-math", "-shared", "-fPIC", f"-Wl,-rpath,{mkl}"]
    runtime = next(mkl.glob("libmkl_rt.so*"))
    subprocess.run(["cc", *options, "-o", str(library), str(source), str(runtime)], check=True)
    return ctypes.CDLL(str(library))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--widths", type=int, nargs="+", default=[48, 64, 96], help="units of a layer; default 48 64 96"
    )
    parser.add_argument("--mkl", type=Path, default=Path(sys.prefix) / "lib", help="folder of libmkl_rt.so")
    parser.add_argument("--chunks", type=int, default=400, help="chunks a round")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved repeats")
    options = parser.parse_args()
    os.environ |= {"MKL_THREADING_LAYER": "SEQUENTIAL", "MKL_NUM_THREADS": "1"}
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        network = built(options.mkl.resolve(), Path(folder))
        jobs = {str(width): partial(network.run, width, options.chunks) for width in options.widths}
        seconds = interleaved(jobs, options.rounds)
    print("width\tsamples/s: median, best")
    for width, taken in seconds.items():
        rates = [1500 * options.chunks / each for each in taken]
        print(f"{width}\t{statistics.median(rates):,.0f}, {max(rates):,.0f}")


if __name__ == "__main__":
    main()
