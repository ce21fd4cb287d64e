/* LSTM and dense layers for one instruction set and one kind of numbers.

   A tile of ROWS rows by two vectors of outputs keeps its sums in registers while weights are streamed. For an LSTM,
   two tiles give the gates i, f and g, o of the same LANES units. A row is summed in the same order whatever the rows
   beside it, so results depend neither on the batch nor on threads. */

#define BYTES(kind) ((kind) == FLOAT ? 4 : (kind) == INT8 ? 1 : 2)
#define SIZE BYTES(KIND)
#define NARROW (KIND != FLOAT)
#define INTEGER (KIND == INT16 || KIND == INT8)

/* two vectors a row fit the registers, which hold the weights and a value of x as well */
#if LEVEL >= AVX512
#define ROWS 12
#elif LEVEL == AVX2 && INTEGER
#define ROWS 4
#elif LEVEL == AVX2
#define ROWS 6
#elif defined(__aarch64__)
#define ROWS 8
#else
#define ROWS 4
#endif

/* More of a sum: WORDS words of x times the weights of a vector, `line` bytes from word to word. */
#if INTEGER
typedef VI M(sum);
#else
typedef VF M(sum);
#endif
#if KIND == INT8 && LEVEL < VNNI
#define WORDS 2
#else
#define WORDS 1
#endif
#define AT(k) (*(const UI *)(weights + (k) * line))
#define SPREAD(k) N(every)(*(const loose_int *)(x + 4 * (k)))

INLINE M(sum) M(more)(M(sum) sum, const char *x, const char *weights, const int line)
{
    (void)line;
#if KIND == INT8 && LEVEL >= VNNI
    return (VI)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)SPREAD(0), (__m512i)AT(0));
#elif KIND == INT8 && LEVEL >= AVX512 /* sums of four products fit 16 bits: see `clipped` in layers.py */
    __m512i fours = _mm512_add_epi16(_mm512_maddubs_epi16((__m512i)SPREAD(0), (__m512i)AT(0)),
                                     _mm512_maddubs_epi16((__m512i)SPREAD(1), (__m512i)AT(1)));
    return sum + (VI)_mm512_madd_epi16(fours, _mm512_set1_epi16(1));
#elif KIND == INT8
    __m256i fours = _mm256_add_epi16(_mm256_maddubs_epi16((__m256i)SPREAD(0), (__m256i)AT(0)),
                                     _mm256_maddubs_epi16((__m256i)SPREAD(1), (__m256i)AT(1)));
    return sum + (VI)_mm256_madd_epi16(fours, _mm256_set1_epi16(1));
#elif KIND == INT16 && LEVEL >= VNNI
    return (VI)_mm512_dpwssd_epi32((__m512i)sum, (__m512i)SPREAD(0), (__m512i)AT(0));
#elif KIND == INT16 && LEVEL >= AVX512
    return sum + (VI)_mm512_madd_epi16((__m512i)SPREAD(0), (__m512i)AT(0));
#elif KIND == INT16
    return sum + (VI)_mm256_madd_epi16((__m256i)SPREAD(0), (__m256i)AT(0));
#elif KIND == BFLOAT
    return _mm512_dpbf16_ps(sum, (__m512bh)SPREAD(0), (__m512bh)AT(0));
#else
    return N(fma)(N(all)(*(const loose_float *)x), (VF)AT(0), sum);
#endif
}

INLINE void M(add)(const int rows, const int vectors, M(sum) sums[ROWS][2], const char *x, int64_t step, int64_t depth,
                   const char *weights)
{
    const int line = 4 * LANES * vectors;
    for (int64_t k = 0; k < depth; k += WORDS, x += 4 * WORDS, weights += WORDS * line) {
        UNROLL for (int r = 0; r < rows; r++) {
            UNROLL for (int v = 0; v < vectors; v++)
                sums[r][v] = M(more)(sums[r][v], x + r * step, weights + 4 * LANES * v, line);
        }
    }
}

INLINE void M(tile)(const int rows, const int vectors, const char *x, int64_t x_step, int64_t x_depth, const char *h,
                    int64_t h_step, int64_t h_depth, const char *weights, const float *bias, const float *scale, float *out,
                    int64_t stride)
{
    M(sum) sums[ROWS][2];
    (void)scale; /* of integers alone */
    UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int v = 0; v < vectors; v++)
#if INTEGER
            sums[r][v] = N(every)(0);
#else
            sums[r][v] = N(load)(bias + LANES * v);
#endif
    }
    M(add)(rows, vectors, sums, x, x_step, x_depth, weights);
    M(add)(rows, vectors, sums, h, h_step, h_depth, weights + x_depth * 4 * LANES * vectors);
    UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int v = 0; v < vectors; v++)
#if INTEGER
            N(put)(out + r * stride + LANES * v,
                   N(fma)(N(real)(sums[r][v]), N(load)(scale + LANES * v), N(load)(bias + LANES * v)));
#else
            N(put)(out + r * stride + LANES * v, sums[r][v]);
#endif
    }
}

#define PRODUCT(name, rows, vectors)                                                                                    \
    static __attribute__((noinline)) void M(name)(                                                                      \
        const char *x, int64_t x_step, int64_t x_depth, const char *h, int64_t h_step, int64_t h_depth,                \
        const char *weights, const float *bias, const float *scale, float *out, int64_t stride)                        \
    {                                                                                                                   \
        M(tile)(rows, vectors, x, x_step, x_depth, h, h_step, h_depth, weights, bias, scale, out, stride);             \
    }
PRODUCT(row1, 1, 1)
PRODUCT(row2, 1, 2)
PRODUCT(half1, ROWS / 2, 1)
PRODUCT(half2, ROWS / 2, 2)
PRODUCT(full1, ROWS, 1)
PRODUCT(full2, ROWS, 2)
#undef PRODUCT

/* Rows of a tile for so many rows; the last tile may overlap the one before, since a row has the same sums in both. */
INLINE int64_t M(height)(int64_t rows) { return rows >= ROWS ? ROWS : rows >= ROWS / 2 ? ROWS / 2 : 1; }

INLINE product M(product)(int64_t height, int64_t vectors)
{
    if (vectors == 1)
        return height == ROWS ? M(full1) : height == 1 ? M(row1) : M(half1);
    return height == ROWS ? M(full2) : height == 1 ? M(row2) : M(half2);
}

/* Cell and state of LANES units of a row. The gates are exponents of 2, of -x and for g of -2 x, in units of ln 2; sigmoids
   and tanh are fractions of such powers, put together so that two divisions suffice. */
INLINE VF M(gates)(const float *gate, float *cell)
{
    VF one = N(all)(1.0f);
    VF i = N(power)(N(load)(gate), NARROW) + one, f = N(power)(N(load)(gate + LANES), NARROW) + one;
    VF g = N(power)(N(load)(gate + 2 * LANES), NARROW), o = N(power)(N(load)(gate + 3 * LANES), NARROW) + one;
    VF input = i * (g + one);
    VF c = N(fma)(N(load)(cell), input, (one - g) * f) / (f * input);
    N(put)(cell, c);
    VF e = N(power)(c * N(all)(-2.885390081777927f), NARROW);
    return (one - e) / (o * (e + one));
}

static int M(lstm)(const lstm_call *call)
{
    const int64_t rows = call->rows, hidden = call->hidden, x_step = call->inputs * SIZE, h_step = hidden * SIZE;
    const int64_t panel = (x_step + h_step) * 2 * LANES, height = M(height)(rows), tiles = (rows + height - 1) / height;
    const product sums = M(product)(height, 2);
    float *memory = aligned(sizeof(float) * rows * (hidden + 4 * LANES) + 2 * rows * h_step + sizeof(int64_t) * tiles);
    if (!memory)
        return 1;
    float *gates = memory, *cell = gates + rows * 4 * LANES;
    char *state = (char *)(cell + rows * hidden);
    int64_t *last = (int64_t *)(state + 2 * rows * h_step), steps = 0; /* steps of the longest row of a tile */
    if (KIND == INT8)
        memset(state, 128, 2 * rows * h_step);
    for (int64_t k = 0; k < tiles; k++) {
        int64_t first = k * height < rows - height ? k * height : rows - height;
        for (int64_t r = first; r < first + height; r++)
            last[k] = call->lengths[r] > last[k] ? call->lengths[r] : last[k];
        steps = last[k] > steps ? last[k] : steps;
    }
    for (int64_t n = 0; n < steps; n++) {
        const int64_t t = call->backward ? steps - 1 - n : n;
        const char *x = call->x + t * rows * x_step, *before = state + n % 2 * rows * h_step;
        char *now = state + (1 - n % 2) * rows * h_step, *out = call->out + t * rows * call->stride;
        for (int64_t u = 0; u < hidden; u += LANES) {
            for (int half = 0; half < 2; half++) { /* the panel stays in the cache for all rows */
                const int64_t output = 4 * u + 2 * LANES * half;
                const char *weights = call->weights + (2 * u / LANES + half) * panel;
                for (int64_t k = 0; k < tiles; k++) {
                    const int64_t r = k * height < rows - height ? k * height : rows - height;
                    if (t < last[k])
                        sums(x + r * x_step, x_step, x_step / 4, before + r * h_step, h_step, h_step / 4, weights,
                             call->bias + output, INTEGER ? call->scale + output : NULL,
                             gates + (4 * r + 2 * half) * LANES, 4 * LANES);
                }
            }
            for (int64_t r = 0; r < rows; r++) /* a row that has not begun keeps its zeros */
                if (t < call->lengths[r]) {
                    VF h = M(gates)(gates + r * 4 * LANES, cell + r * hidden + u);
                    N(write)(now + (r * hidden + u) * SIZE, h, KIND, call->unit);
                    if (call->kind != KIND)
                        N(write)(out + r * call->stride + u * BYTES(call->kind), h, call->kind, call->out_unit);
                }
        }
        for (int64_t r = 0; r < rows && call->kind == KIND; r++) /* not before, since x may be there */
            if (t < call->lengths[r])
                memcpy(out + r * call->stride, now + r * h_step, h_step);
    }
    release(memory);
    return 0;
}

#if KIND != INT8
INLINE VF M(activate)(VF x, int64_t activation)
{
    VF one = N(all)(1.0f);
    if (activation == SILU)
        return x / (N(power)(x * N(all)(-1.4426950408889634f), NARROW) + one);
    if (activation == TANH) {
        VF e = N(power)(x * N(all)(-2.885390081777927f), NARROW);
        return (one - e) / (e + one);
    }
    return activation == RELU ? N(most)(x, N(all)(0.0f)) : x;
}

static int M(dense)(const dense_call *call)
{
    enum { BLOCK = 48 }; /* rows that stay in the cache for all panels, and a panel for them; a multiple of ROWS */
    float sums[BLOCK * 2 * LANES] __attribute__((aligned(64)));
    char part[4 * LANES];
    const int64_t size = BYTES(call->kind), line = call->vectors * LANES;
    const VF factor = N(all)(call->factor), low = N(all)(call->low), high = N(all)(call->high);
    for (int64_t begin = 0; begin < call->count; begin += BLOCK) {
        const int64_t rows = call->count - begin < BLOCK ? call->count - begin : BLOCK, height = M(height)(rows);
        const product tile = M(product)(height, call->vectors);
        for (int64_t column = 0; column < call->width; column += line) {
            const char *weights = call->weights + column * 4 * call->depth;
            for (int64_t k = 0; k < rows; k += height) {
                const int64_t r = k < rows - height ? k : rows - height;
                tile(call->x + (begin + r) * call->step, call->step, call->depth, NULL, 0, 0, weights,
                     call->bias + column, INTEGER ? call->scale + column : NULL, sums + r * line, line);
            }
            for (int64_t r = 0; r < rows; r++) {
                char *row = call->out + (begin + r) * call->stride;
                for (int64_t c = column; c < column + line && c < call->width; c += LANES) {
                    VF y = M(activate)(N(load)(sums + r * line + c - column), call->activation);
                    y = N(least)(N(most)(y * factor, low), high);
                    if (c + LANES <= call->width) {
                        N(write)(row + c * size, y, call->kind, call->unit);
                    } else {
                        N(write)(part, y, call->kind, call->unit);
                        memcpy(row + c * size, part, (call->width - c) * size);
                    }
                }
            }
        }
    }
    return 0;
}

#include "property.h"
#endif

#undef ROWS
#undef WORDS
#undef AT
#undef SPREAD
#undef BYTES
#undef SIZE
#undef NARROW
#undef INTEGER
#undef KIND
