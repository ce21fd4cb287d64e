/* Posterior Viterbi decoding of a CTC-CRF for one instruction set: `best_ways` and `evidence` of decode.py in one call.

   The scores of a frame are planar: S of staying in a state, then 4 S of moves, of which number j leads from state j / 4
   into state j % S. So the forward mass of a state is needed four times side by side, and the backward mass of a state is
   a sum over four neighbours; all else is done in order, LANES states at once. */

#ifndef SHUFFLE
/* One read: `ViterbiCall` of native.py. Scores (frames, 5 states), states a power of 4 from 16 on; bases and starts
   (frames), evidence (frames, 2). For the work: beta (frames + 1, states), choice (frames, states), mass (frames, 4). */
typedef struct {
    const float *scores;
    float *beta, *mass, *evidence;
    uint8_t *choice, *bases;
    int32_t *starts;
    int64_t frames, states;
} viterbi_call;

enum { UNDERFLOWED = -1, NOT_FINITE = -2 };
#define FLOOR 1e-8f /* as in scores.py */
#define LEAST 1e-37f /* above the denormals, which are slow */

#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (VI){__VA_ARGS__})
#endif

/* Walk back from the last state, and fill bases, starts and evidence from their first place; return the number of bases. */
static int64_t traced(const viterbi_call *call, int64_t states, int64_t state)
{
    int64_t place = call->frames;
    for (int64_t t = call->frames - 1; t >= 0; t--) {
        const int64_t way = call->choice[t * states + state];
        if (way) {
            call->bases[--place] = state % 4 + 1;
            call->starts[place] = t;
            state = (way - 1) * (states / 4) + state / 4;
        }
    }
    const int64_t count = call->frames - place;
    memmove(call->bases, call->bases + place, count);
    memmove(call->starts, call->starts + place, count * sizeof(int32_t));
    for (int64_t i = 0; i < count; i++) {
        const int64_t begin = i ? call->starts[i - 1] + 1 : 0, end = i + 1 < count ? call->starts[i + 1] : call->frames;
        float all[4] = {0.0f}, top = 0.0f;
        for (int64_t t = begin; t < end; t++)
            for (int c = 0; c < 4; c++) all[c] += call->mass[4 * t + c];
        const float share = all[call->bases[i] - 1] / ((all[0] + all[1]) + (all[2] + all[3]) + 1e-30f);
        state = (4 * state + call->bases[i] - 1) % states;
        for (int64_t t = call->starts[i]; t < end; t++) {
            const float held = call->beta[t * states + state];
            top = held > top ? held : top;
        }
        call->evidence[2 * i] = share < 1.0f ? share : 1.0f;
        call->evidence[2 * i + 1] = top < 1.0f ? top : 1.0f;
    }
    return count;
}
#endif

#if LANES == 16
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODD 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#define QUARTER(j)                                                                                                     \
    4 * j, 4 * j, 4 * j, 4 * j, 4 * j + 1, 4 * j + 1, 4 * j + 1, 4 * j + 1, 4 * j + 2, 4 * j + 2, 4 * j + 2, 4 * j + 2, \
        4 * j + 3, 4 * j + 3, 4 * j + 3, 4 * j + 3
#define SWAP(n) 0 ^ n, 1 ^ n, 2 ^ n, 3 ^ n, 4 ^ n, 5 ^ n, 6 ^ n, 7 ^ n, 8 ^ n, 9 ^ n, 10 ^ n, 11 ^ n, 12 ^ n, 13 ^ n, 14 ^ n, 15 ^ n
#elif LANES == 8
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14
#define ODD 1, 3, 5, 7, 9, 11, 13, 15
#define QUARTER(j) 2 * j, 2 * j, 2 * j, 2 * j, 2 * j + 1, 2 * j + 1, 2 * j + 1, 2 * j + 1
#define SWAP(n) 0 ^ n, 1 ^ n, 2 ^ n, 3 ^ n, 4 ^ n, 5 ^ n, 6 ^ n, 7 ^ n
#else
#define EVEN 0, 2, 4, 6
#define ODD 1, 3, 5, 7
#define QUARTER(j) j, j, j, j
#define SWAP(n) 0 ^ n, 1 ^ n, 2 ^ n, 3 ^ n
#endif

/* The sums of pairs of neighbours in a, then b. */
INLINE VF N(pairs)(VF a, VF b) { return SHUFFLE(a, b, EVEN) + SHUFFLE(a, b, ODD); }

/* The j-th quarter of a vector, each value four times. */
INLINE VF N(quarter)(VF a, const int j)
{
    return j == 0   ? SHUFFLE(a, a, QUARTER(0))
           : j == 1 ? SHUFFLE(a, a, QUARTER(1))
           : j == 2 ? SHUFFLE(a, a, QUARTER(2))
                    : SHUFFLE(a, a, QUARTER(3));
}

/* In each place, the sum of the places that are a multiple of four from it. */
INLINE VF N(by_four)(VF a)
{
#if LANES > 4
    a += SHUFFLE(a, a, SWAP(4));
#endif
#if LANES > 8
    a += SHUFFLE(a, a, SWAP(8));
#endif
    return a;
}

INLINE float N(total)(VF a)
{
    a = N(by_four)(a);
    a += SHUFFLE(a, a, SWAP(1));
    a += SHUFFLE(a, a, SWAP(2));
    return a[0];
}

INLINE float N(highest)(VF a)
{
#if LANES > 8
    a = N(most)(a, SHUFFLE(a, a, SWAP(8)));
#endif
#if LANES > 4
    a = N(most)(a, SHUFFLE(a, a, SWAP(4)));
#endif
    a = N(most)(a, SHUFFLE(a, a, SWAP(1)));
    a = N(most)(a, SHUFFLE(a, a, SWAP(2)));
    return a[0];
}

/* Where `value` is larger than `top`, put it and `number` in their place. */
INLINE void N(better)(VF value, int number, VF *top, VI *way)
{
#if LEVEL >= AVX512
    __mmask16 more = _mm512_cmp_ps_mask((__m512)value, (__m512)*top, _CMP_GT_OQ);
    *way = (VI)_mm512_mask_mov_epi32((__m512i)*way, more, (__m512i)N(every)(number));
#elif LEVEL == AVX2
    VI more = value > *top;
    *way = (VI)_mm256_blendv_epi8((__m256i)*way, (__m256i)N(every)(number), (__m256i)more);
#else
    VI more = value > *top;
    *way = (more & N(every)(number)) | (~more & *way);
#endif
    *top = N(most)(value, *top);
}

/* exp(x) of x <= 0, by the polynomial of `power`; below -87 it is that of -87. */
INLINE VF N(weight)(VF x)
{
    VF shift = N(all)(12582912.0f); /* 1.5 * 2 ** 23: the sum has the integer in its last bits */
    x = N(most)(N(all)(-87.0f), x) * N(all)(1.4426950408889634f);
    VF moved = x + shift, rest = x - (moved - shift), value;
    value = N(fma)(N(all)(0.0013276472454890609f), rest, N(all)(0.009675540961325169f));
    value = N(fma)(value, rest, N(all)(0.05550713092088699f));
    value = N(fma)(value, rest, N(all)(0.24022120237350464f));
    value = N(fma)(value, rest, N(all)(0.6931469440460205f));
    value = N(fma)(value, rest, N(all)(1.0000001192092896f));
    return (VF)((VI)value + ((VI)moved << 23));
}

/* Fill e with the exponentials of the scores of a frame, relative to the highest; return whether all were finite. */
INLINE int N(weights)(const float *row, const int64_t states, float *e)
{
    VF top[5], odd[5]; /* several chains: one would wait for each result */
    UNROLL for (int d = 0; d < 5; d++) top[d] = N(load)(row), odd[d] = N(all)(0.0f);
    for (int64_t s = 0; s < states; s += LANES)
        UNROLL for (int d = 0; d < 5; d++) {
            VF x = N(load)(row + d * states + s);
            top[d] = N(most)(x, top[d]);
            odd[d] = N(fma)(x, N(all)(0.0f), odd[d]); /* NaN of what is not finite */
        }
    top[0] = N(most)(N(most)(N(most)(top[0], top[1]), N(most)(top[2], top[3])), top[4]);
    const VF best = N(all)(N(highest)(top[0]));
    for (int64_t i = 0; i < 5 * states; i += LANES) N(put)(e + i, N(weight)(N(load)(row + i) - best));
    return N(total)(odd[0] + odd[1] + odd[2] + odd[3] + odd[4]) == 0.0f;
}

INLINE int64_t N(viterbi_of)(const viterbi_call *call, const int64_t states)
{
    const int64_t frames = call->frames, line = 5 * states;
    float e[line] __attribute__((aligned(64)));
    float alpha[states + LANES] __attribute__((aligned(64))), best[states + LANES] __attribute__((aligned(64)));
    float tops[states] __attribute__((aligned(64))), sums[states] __attribute__((aligned(64)));
    int32_t ways[states] __attribute__((aligned(64)));
    for (int64_t s = 0; s < states; s++) alpha[s] = best[s] = call->beta[frames * states + s] = 1.0f / states;

    for (int64_t t = frames - 1; t >= 0; t--) {
        const float *after = call->beta + (t + 1) * states;
        float *here = call->beta + t * states;
        VF total = N(all)(0.0f);
        if (!N(weights)(call->scores + t * line, states, e))
            return NOT_FINITE;
        for (int64_t s = 0; s < states; s += LANES) {
            VF into[4];
            UNROLL for (int j = 0; j < 4; j++)
                into[j] = N(load)(e + states + 4 * s + j * LANES) * N(load)(after + ((4 * s + j * LANES) & (states - 1)));
            VF value = N(pairs)(N(pairs)(into[0], into[1]), N(pairs)(into[2], into[3]));
            value = N(fma)(N(load)(e + s), N(load)(after + s), value);
            N(put)(here + s, value);
            total += value;
        }
        const float sum = N(total)(total);
        if (!(sum > 0.0f))
            return UNDERFLOWED;
        const VF scale = N(all)(1.0f / sum);
        for (int64_t s = 0; s < states; s += LANES) N(put)(here + s, N(load)(here + s) * scale);
    }

    const float least = LEAST * 5e12f * states;
    const VF floor = N(all)(FLOOR);
    for (int64_t t = 0; t < frames; t++) {
        const float *after = call->beta + (t + 1) * states;
        float *held = call->beta + t * states; /* this row is free when the next is read */
        uint8_t *choice = call->choice + t * states;
        VF total = N(all)(0.0f), overlap = total, emitted = total, peak = total;
        N(weights)(call->scores + t * line, states, e);
        for (int64_t g = 0; g < states; g += 4 * LANES) {
            VF from[4];
            UNROLL for (int d = 0; d < 4; d++) from[d] = N(load)(alpha + (d * states + g) / 4);
            UNROLL for (int j = 0; j < 4; j++) {
                const int64_t s = g + j * LANES;
                if (s >= states)
                    break;
                VF move[4], b = N(load)(after + s);
                UNROLL for (int d = 0; d < 4; d++) {
                    move[d] = N(quarter)(from[d], j) * N(load)(e + (d + 1) * states + s);
                    N(put)(e + (d + 1) * states + s, move[d]); /* posteriors, but for a factor a frame */
                }
                VF stayed = N(load)(alpha + s) * N(load)(e + s), moved = (move[0] + move[1]) + (move[2] + move[3]);
                VF value = stayed + moved;
                N(put)(sums + s, value);
                total += value;
                overlap = N(fma)(value, b, overlap);
                emitted = N(fma)(moved, b, emitted);
                N(put)(tops + s, stayed * b);
                N(put)(held + s, value * b);
            }
        }
        const float over = N(total)(overlap), all = N(total)(total);
        if (!(over > least * (all > 1.0f ? all : 1.0f)))
            return UNDERFLOWED;
        const VF inverse = N(all)(1.0f / over), scale = N(all)(1.0f / all);
        emitted = N(by_four)(emitted) * inverse;
        UNROLL for (int c = 0; c < 4; c++) call->mass[4 * t + c] = emitted[c];
        for (int64_t g = 0; g < states; g += 4 * LANES) {
            VF from[4];
            UNROLL for (int d = 0; d < 4; d++) from[d] = N(load)(best + (d * states + g) / 4);
            UNROLL for (int j = 0; j < 4; j++) {
                const int64_t s = g + j * LANES;
                if (s >= states)
                    break;
                VF b = N(load)(after + s) * inverse, top = N(fma)(N(load)(tops + s), inverse, floor) * N(load)(best + s);
                VI way = N(every)(0);
                UNROLL for (int d = 0; d < 4; d++)
                    N(better)(N(fma)(N(load)(e + (d + 1) * states + s), b, floor) * N(quarter)(from[d], j), d + 1, &top, &way);
                peak += top;
                N(put)(tops + s, top);
                *(VI *)(ways + s) = way;
                N(put)(held + s, N(load)(held + s) * inverse);
                N(put)(alpha + s, N(load)(sums + s) * scale);
            }
        }
        const VF high = N(all)(1.0f / N(total)(peak));
        for (int64_t s = 0; s < states; s += LANES) N(put)(best + s, N(load)(tops + s) * high);
        for (int64_t s = 0; s < states; s++) choice[s] = (uint8_t)ways[s];
    }
    int64_t last = 0;
    for (int64_t s = 1; s < states; s++) last = best[s] > best[last] ? s : last;
    return traced(call, states, last);
}

/* Decode a read; return its number of bases, or one of the enumerated values below 0. */
static int64_t N(viterbi)(const viterbi_call *call)
{
    switch (call->states) { /* with loops of known length it is nearly twice as fast */
    case 64:
        return N(viterbi_of)(call, 64);
    case 256:
        return N(viterbi_of)(call, 256);
    case 1024:
        return N(viterbi_of)(call, 1024);
    default:
        return N(viterbi_of)(call, call->states);
    }
}

#undef EVEN
#undef ODD
#undef QUARTER
#undef SWAP
