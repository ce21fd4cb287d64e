/* Vectors of LANES floats of one instruction set, and the functions of them that layers.h needs. */

typedef float N(vf) __attribute__((vector_size(4 * LANES)));
typedef int32_t N(vi) __attribute__((vector_size(4 * LANES)));
typedef uint32_t N(vu) __attribute__((vector_size(4 * LANES)));
typedef float N(uf) __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t N(ui) __attribute__((vector_size(4 * LANES), aligned(1), may_alias));

#ifndef VF
#define VF N(vf)
#define VI N(vi)
#define UF N(uf)
#define UI N(ui)
typedef float loose_float __attribute__((aligned(1), may_alias));
typedef int32_t loose_int __attribute__((aligned(1), may_alias));
#endif

INLINE VF N(load)(const float *from) { return *(const UF *)from; }
INLINE void N(put)(float *to, VF x) { *(UF *)to = x; }

#if LEVEL >= AVX512
INLINE VF N(all)(float x) { return _mm512_set1_ps(x); }
INLINE VI N(every)(int32_t x) { return (VI)_mm512_set1_epi32(x); }
INLINE VF N(fma)(VF a, VF b, VF c) { return _mm512_fmadd_ps(a, b, c); }
INLINE VF N(least)(VF a, VF b) { return _mm512_min_ps(a, b); }
INLINE VF N(most)(VF a, VF b) { return _mm512_max_ps(a, b); }
INLINE VF N(real)(VI x) { return _mm512_cvtepi32_ps((__m512i)x); }
INLINE void N(put_int16)(char *to, VF x)
{
    _mm256_storeu_si256((__m256i *)to, _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(x)));
}
INLINE void N(put_byte)(char *to, VF x) { _mm_storeu_si128((__m128i *)to, _mm512_cvtusepi32_epi8(_mm512_cvtps_epi32(x))); }
#elif LEVEL == AVX2
INLINE VF N(all)(float x) { return _mm256_set1_ps(x); }
INLINE VI N(every)(int32_t x) { return (VI)_mm256_set1_epi32(x); }
INLINE VF N(fma)(VF a, VF b, VF c) { return _mm256_fmadd_ps(a, b, c); }
INLINE VF N(least)(VF a, VF b) { return _mm256_min_ps(a, b); }
INLINE VF N(most)(VF a, VF b) { return _mm256_max_ps(a, b); }
INLINE VF N(real)(VI x) { return _mm256_cvtepi32_ps((__m256i)x); }
INLINE void N(put_int16)(char *to, VF x)
{
    __m256i whole = _mm256_cvtps_epi32(x);
    __m128i packed = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    _mm_storeu_si128((__m128i *)to, packed);
}
INLINE void N(put_byte)(char *to, VF x)
{
    __m256i whole = _mm256_cvtps_epi32(x);
    __m128i packed = _mm_packus_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    _mm_storel_epi64((__m128i *)to, _mm_packus_epi16(packed, packed));
}
#elif defined(__aarch64__)
INLINE VF N(all)(float x) { return vdupq_n_f32(x); }
INLINE VI N(every)(int32_t x) { return vdupq_n_s32(x); }
INLINE VF N(fma)(VF a, VF b, VF c) { return vfmaq_f32(c, a, b); }
INLINE VF N(least)(VF a, VF b) { return vminq_f32(a, b); }
INLINE VF N(most)(VF a, VF b) { return vmaxq_f32(a, b); }
#else
INLINE VF N(all)(float x) { return (VF){x, x, x, x}; }
INLINE VI N(every)(int32_t x) { return (VI){x, x, x, x}; }
INLINE VF N(fma)(VF a, VF b, VF c) { return a * b + c; }
INLINE VF N(choose)(VI where, VF a, VF b) { return (VF)((where & (VI)a) | (~where & (VI)b)); }
INLINE VF N(least)(VF a, VF b) { return N(choose)(a < b, a, b); }
INLINE VF N(most)(VF a, VF b) { return N(choose)(a > b, a, b); }
#endif

/* 2 ** x, of x clamped to +-40, by the best polynomial of 2 ** (x - round(x)) that is 1 at 0: relative error 7e-8, or 2.8e-6
   where the result is kept with fewer bits than a float has. */
INLINE VF N(power)(VF x, const int narrow)
{
    x = N(least)(N(most)(x, N(all)(-40.0f)), N(all)(40.0f));
    VF shift = N(all)(12582912.0f); /* 1.5 * 2 ** 23: the sum has the integer in its last bits */
    VF moved = x + shift, rest = x - (moved - shift), value;
    if (narrow) {
        value = N(fma)(N(all)(0.009582576341927052f), rest, N(all)(0.05590682849287987f));
        value = N(fma)(value, rest, N(all)(0.24024106562137604f));
        value = N(fma)(value, rest, N(all)(0.6931241154670715f));
    } else {
        value = N(fma)(N(all)(0.0013202981790527701f), rest, N(all)(0.009674952365458012f));
        value = N(fma)(value, rest, N(all)(0.055510472506284714f));
        value = N(fma)(value, rest, N(all)(0.24022166430950165f));
        value = N(fma)(value, rest, N(all)(0.6931465864181519f));
    }
    value = N(fma)(value, rest, N(all)(1.0f));
    return (VF)((VI)value + (VI)((N(vu))moved << 23));
}

/* Write LANES numbers of a kind; `unit` is the integer that stands for 1. */
INLINE void N(write)(char *to, VF x, int64_t kind, float unit)
{
    (void)unit;
    if (kind == FLOAT)
        *(UF *)to = x;
#if LEVEL == BF16
    if (kind == BFLOAT)
        _mm256_storeu_si256((__m256i *)to, (__m256i)_mm512_cvtneps_pbh(x));
#endif
#if LEVEL >= AVX2
    if (kind == INT16)
        N(put_int16)(to, x * N(all)(unit));
    if (kind == INT8)
        N(put_byte)(to, N(fma)(x, N(all)(unit), N(all)(128.0f)));
#endif
}
