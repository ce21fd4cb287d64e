/* LSTM and dense layers of a trained network on the CPU, for several instruction sets and kinds of numbers.

   layers.h is written in GNU C vectors and included once for each set and kind; the set is chosen at run time. No part of
   Python is in this library: native.py calls it by ctypes, without the interpreter's lock. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#ifdef _WIN32
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif
#define INLINE static inline __attribute__((always_inline))
#define PASTE_(a, b) a##_##b
#define PASTE(a, b) PASTE_(a, b)
#define N(name) PASTE(name, SET)              /* of an instruction set */
#define M(name) PASTE(PASTE(name, SET), KIND) /* of a set and a kind of numbers */
#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* Functions between TARGET and END_TARGET are compiled for more instructions. */
#define PRAGMA(...) _Pragma(#__VA_ARGS__)
#ifdef __clang__
#define TARGET(set) PRAGMA(clang attribute push(__attribute__((target(set))), apply_to = function))
#define END_TARGET PRAGMA(clang attribute pop)
#else
#define TARGET(set) PRAGMA(GCC push_options) PRAGMA(GCC target(set))
#define END_TARGET PRAGMA(GCC pop_options)
#endif

/* Instruction sets, each with what is in those before; `SETS` in native.py. */
#define BASE 0 /* vectors of 16 bytes: SSE2 on x86, NEON on ARM */
#define AVX2 1 /* and FMA */
#define AVX512 2 /* F, BW, DQ, VL */
#define VNNI 3
#define BF16 4
#define SETS 5

/* Kinds of numbers that layers read and write; `KINDS` in native.py. */
#define FLOAT 0
#define BFLOAT 1
#define INT16 2
#define INT8 3 /* of states, which are bytes from 0 to 255, 128 more than their integer; dense layers do not read them */
#define KINDS 4

/* Activations of a dense layer; `ACTIVATIONS` in layers.py. */
enum { NONE, SILU, TANH, RELU };

/* One direction of an LSTM layer: out (steps, rows, hidden), which may be x (steps, rows, inputs), rows `stride` bytes
   apart. What is beyond the `lengths` of a row, in steps, is neither used nor written. `bias` and `scale`, of sums of
   integers, are (4 hidden). */
typedef struct {
    const char *x, *weights;
    const float *bias, *scale;
    char *out;
    const int64_t *lengths;
    int64_t rows, inputs, hidden, backward, stride, kind; /* kind of out */
    float unit, out_unit;                                 /* integer that stands for a state of 1, inside and in out */
} lstm_call;

/* A dense layer: out (count, width), rows `stride` bytes apart, of rows of x that have `depth` words of four bytes and
   are `step` bytes apart. out = clamp(factor * activation(x @ weights + bias), low, high); integers are `unit` times it. */
typedef struct {
    const char *x, *weights;
    const float *bias, *scale;
    char *out;
    int64_t count, step, depth, width, stride, vectors, activation, kind; /* vectors of a panel; kind of out */
    float factor, low, high, unit;
} dense_call;

/* Pools over the steps of a row. */
enum { MAX, MEAN, SUM };

/* A property model of proteins but its head: out (rows, pools, features) of tokens (rows, time) and `lengths` (rows).
   First layer: activation of `bias` (width) and the rows of a `table` (taps, symbols, width). Then LSTM layers, `cells`
   two a layer, of one or two `directions` (layers); a `dense` layer a step, or NULL; pools. The multiple of LANES that
   `features` is has zeros, or what is left out, at its end. `block` is the most rows of a block. */
typedef struct {
    const uint8_t *tokens;
    const int64_t *lengths;
    const float *table, *bias;
    const lstm_call *cells;
    const int64_t *directions;
    const dense_call *dense;
    const int64_t *kinds; /* of the pools */
    float *out;
    int64_t rows, time, taps, symbols, width, activation, layers, pools, features, block;
    float unit, state; /* integers that stand for an output of the first layer of 1, and for a state of 1 */
} property_call;

/* The sums of some rows of x, then h, with one panel of weights: vectors of outputs for each word of a row. */
typedef void (*product)(const char *x, int64_t x_step, int64_t x_depth, const char *h, int64_t h_step, int64_t h_depth,
                        const char *weights, const float *bias, const float *scale, float *out, int64_t stride);

typedef struct {
    int lanes;
    int (*lstm[KINDS])(const lstm_call *);
    int (*dense[KINDS])(const dense_call *);
    int (*property[KINDS])(const property_call *);
} kernels;

static void *aligned(size_t size)
{
    void *memory = NULL;
#ifdef _WIN32
    memory = _aligned_malloc(size, 64);
#else
    if (posix_memalign(&memory, 64, size))
        return NULL;
#endif
    if (memory)
        memset(memory, 0, size);
    return memory;
}

static void release(void *memory)
{
#ifdef _WIN32
    _aligned_free(memory);
#else
    free(memory);
#endif
}

#define SET base
#define LEVEL BASE
#define LANES 4
#include "vectors.h"
#include "../crf/viterbi.h"
#include "../edits/edits.h"
#define KIND FLOAT
#include "layers.h"
static const kernels of_base = {4, {lstm_base_0}, {dense_base_0},
                                  {property_base_0}};
#undef SET
#undef LEVEL
#undef LANES

#if defined(__x86_64__)

TARGET("avx2,fma")
#define SET avx2
#define LEVEL AVX2
#define LANES 8
#include "vectors.h"
#include "../crf/viterbi.h"
#include "../edits/edits.h"
#define KIND FLOAT
#include "layers.h"
#define KIND INT16
#include "layers.h"
#define KIND INT8
#include "layers.h"
static const kernels of_avx2 = {8, {lstm_avx2_0, NULL, lstm_avx2_2, lstm_avx2_3}, {dense_avx2_0, NULL, dense_avx2_2},
                                  {property_avx2_0, NULL, property_avx2_2}};
#undef SET
#undef LEVEL
#undef LANES
END_TARGET
TARGET("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#define SET avx512
#define LEVEL AVX512
#define LANES 16
#include "vectors.h"
#include "../crf/viterbi.h"
#include "../edits/edits.h"
#define KIND FLOAT
#include "layers.h"
#define KIND INT16
#include "layers.h"
#define KIND INT8
#include "layers.h"
static const kernels of_avx512 = {16, {lstm_avx512_0, NULL, lstm_avx512_2, lstm_avx512_3}, {dense_avx512_0, NULL, dense_avx512_2},
                                  {property_avx512_0, NULL, property_avx512_2}};
#undef SET
#undef LEVEL
END_TARGET
TARGET("avx512vnni,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#define SET vnni
#define LEVEL VNNI
#include "vectors.h"
#define KIND INT16
#include "layers.h"
#define KIND INT8
#include "layers.h"
static const kernels of_vnni = {16, {lstm_avx512_0, NULL, lstm_vnni_2, lstm_vnni_3}, {dense_avx512_0, NULL, dense_vnni_2},
                                  {property_avx512_0, NULL, property_vnni_2}};
#undef SET
#undef LEVEL
END_TARGET
TARGET("avx512bf16,avx512vnni,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#define SET bf16
#define LEVEL BF16
#include "vectors.h"
#define KIND FLOAT /* it also writes bfloat16 */
#include "layers.h"
#define KIND BFLOAT
#include "layers.h"
static const kernels of_bf16 = {16, {lstm_bf16_0, lstm_bf16_1, lstm_vnni_2, lstm_vnni_3}, {dense_bf16_0, dense_bf16_1, dense_vnni_2},
                                  {property_bf16_0, property_bf16_1, property_vnni_2}};
#undef SET
#undef LEVEL
#undef LANES
END_TARGET

static int64_t (*const viterbis[SETS])(const viterbi_call *) = {viterbi_base, viterbi_avx2, viterbi_avx512, viterbi_avx512,
                                                                viterbi_avx512};
static void (*const searches[SETS])(const edits_call *) = {edits_base, edits_avx2, edits_avx512, edits_avx512, edits_avx512};
static const kernels *const sets[SETS] = {&of_base, &of_avx2, &of_avx512, &of_vnni, &of_bf16};

static uint64_t enabled(void)
{
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

/* The best set of this processor whose registers the operating system saves. */
EXPORT int biorrn_best(void)
{
    uint32_t a, b, c, d, e;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (~c & (1u << 12 | 1u << 27 | 1u << 28)))
        return BASE; /* FMA, OSXSAVE, AVX */
    uint64_t saved = enabled();
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (saved & 6) != 6 || !(b & 1u << 5))
        return BASE;
    if ((saved & 0xE6) != 0xE6 || (~b & (1u << 16 | 1u << 17 | 1u << 30 | 1u << 31)))
        return AVX2; /* F, DQ, BW, VL */
    if (!(c & 1u << 11))
        return AVX512;
    if (a < 1 || !__get_cpuid_count(7, 1, &e, &b, &c, &d) || !(e & 1u << 5))
        return VNNI;
    return BF16;
}

#else

static int64_t (*const viterbis[SETS])(const viterbi_call *) = {viterbi_base};
static void (*const searches[SETS])(const edits_call *) = {edits_base};
static const kernels *const sets[SETS] = {&of_base};

EXPORT int biorrn_best(void) { return BASE; }

#endif

/* Floats in a vector of a set. */
EXPORT int biorrn_lanes(int set) { return sets[set]->lanes; }

/* Whether a set has kernels for a kind of numbers. */
EXPORT int biorrn_has(int set, int kind) { return sets[set]->lstm[kind] != NULL; }

/* Run a layer; return 0, or 1 where memory is short. */
EXPORT int biorrn_lstm(int set, int kind, const lstm_call *call) { return sets[set]->lstm[kind](call); }

EXPORT int biorrn_dense(int set, int kind, const dense_call *call) { return sets[set]->dense[kind](call); }

EXPORT int biorrn_property(int set, int kind, const property_call *call) { return sets[set]->property[kind](call); }

/* Decode a read of a CTC-CRF; return its number of bases, or a value of viterbi.h below 0. */
EXPORT int64_t biorrn_viterbi(int set, const viterbi_call *call) { return viterbis[set](call); }

/* Search patterns in texts. */
EXPORT void biorrn_edits(int set, const edits_call *call) { searches[set](call); }

/* setuptools links extensions of Python, which must have this. */
EXPORT void *PyInit__native(void) { return NULL; }
