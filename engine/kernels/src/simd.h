// Sixteen floats or 32-bit integers at a time, on registers of whatever width the instruction set has.
//
// Included by files that are compiled once for each instruction set; `ISA` names it, and everything lives in a namespace
// of that name, so that the linker never mixes two of them up. Nothing of the standard library is instantiated here for
// the same reason.

#pragma once

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif

#define PARTS (16 / LANES)
#define UNROLL _Pragma("GCC unroll 16")
#define INLINE inline __attribute__((always_inline))

namespace ISA {

typedef float FloatLanes __attribute__((vector_size(4 * LANES)));
typedef int32_t IntLanes __attribute__((vector_size(4 * LANES)));
typedef uint32_t WordLanes __attribute__((vector_size(4 * LANES)));
typedef int8_t ByteLanes __attribute__((vector_size(LANES)));

struct Ints {
    IntLanes part[PARTS];
};

struct Floats {
    FloatLanes part[PARTS];
};

#define EACH_PART UNROLL for (int p = 0; p < PARTS; ++p)

INLINE Floats splat(float value) {
    Floats result;
    EACH_PART result.part[p] = value - FloatLanes{};
    return result;
}

INLINE Ints splat_int(int32_t value) {
    Ints result;
    EACH_PART result.part[p] = value - IntLanes{};
    return result;
}

INLINE Floats load(const float *from) {
    Floats result;
    EACH_PART memcpy(&result.part[p], from + p * LANES, sizeof result.part[p]);
    return result;
}

INLINE void store(float *to, Floats value) {
    EACH_PART memcpy(to + p * LANES, &value.part[p], sizeof value.part[p]);
}

// The first `count` of sixteen, or all of them; what is not loaded is 0.
INLINE Floats load_some(const float *from, int count) {
    if (count >= 16) return load(from);
    float lane[16] = {};
    memcpy(lane, from, sizeof(float) * count);
    return load(lane);
}

INLINE void store_some(float *to, Floats values, int count) {
    if (count >= 16) return store(to, values);
    float lane[16];
    store(lane, values);
    memcpy(to, lane, sizeof(float) * count);
}

INLINE Ints load_ints(const void *from) {
    Ints result;
    EACH_PART memcpy(&result.part[p], (const char *)from + p * sizeof result.part[p], sizeof result.part[p]);
    return result;
}

INLINE void store_ints(void *to, Ints value) {
    EACH_PART memcpy((char *)to + p * sizeof value.part[p], &value.part[p], sizeof value.part[p]);
}

#define LANEWISE(type, op)                                     \
    INLINE type operator op(type a, type b) {                  \
        type result;                                           \
        EACH_PART result.part[p] = a.part[p] op b.part[p];     \
        return result;                                         \
    }
LANEWISE(Floats, +)
LANEWISE(Floats, -)
LANEWISE(Floats, *)
LANEWISE(Floats, /)
LANEWISE(Ints, +)
LANEWISE(Ints, -)
LANEWISE(Ints, &)
#undef LANEWISE

// a * b + c, rounded once where the processor can; the portable form rounds the product too.
INLINE Floats fma(Floats a, Floats b, Floats c) {
    Floats result;
    EACH_PART {
#if defined(__AVX512F__)
        result.part[p] = (FloatLanes)_mm512_fmadd_ps((__m512)a.part[p], (__m512)b.part[p], (__m512)c.part[p]);
#elif defined(__AVX2__)
        result.part[p] = (FloatLanes)_mm256_fmadd_ps((__m256)a.part[p], (__m256)b.part[p], (__m256)c.part[p]);
#elif defined(__aarch64__)
        result.part[p] = (FloatLanes)vfmaq_f32((float32x4_t)c.part[p], (float32x4_t)a.part[p], (float32x4_t)b.part[p]);
#else
        result.part[p] = a.part[p] * b.part[p] + c.part[p];
#endif
    }
    return result;
}

// Where one of the two is not a number, `b`.
INLINE Floats maximum(Floats a, Floats b) {
    Floats result;
    EACH_PART result.part[p] = a.part[p] > b.part[p] ? a.part[p] : b.part[p];
    return result;
}

INLINE Ints shift_left(Ints a, int bits) {
    Ints result;
    EACH_PART result.part[p] = (IntLanes)((WordLanes)a.part[p] << bits);
    return result;
}

INLINE Ints shift_right(Ints a, int bits) {
    Ints result;
    EACH_PART result.part[p] = (IntLanes)((WordLanes)a.part[p] >> bits);
    return result;
}

INLINE Floats to_floats(Ints a) {
    Floats result;
    EACH_PART result.part[p] = __builtin_convertvector(a.part[p], FloatLanes);
    return result;
}

// To the nearest integer, ties to even. Exact for magnitudes below 2^22: adding 1.5 * 2^23 leaves the integer in the
// low bits of the sum.
INLINE Ints round_to_ints(Floats a) {
    Ints result;
    EACH_PART result.part[p] = (IntLanes)(a.part[p] + 12582912.0f) - 0x4b400000;
    return result;
}

// The sum and the maximum of the sixteen, always in the same order: halves, then halves of those.
INLINE float sum(Floats a) {
    float lane[16];
    store(lane, a);
    for (int width = 8; width; width /= 2)
        for (int i = 0; i < width; ++i) lane[i] += lane[i + width];
    return lane[0];
}

INLINE float highest(Floats a) {
    float lane[16];
    store(lane, a);
    for (int width = 8; width; width /= 2)
        for (int i = 0; i < width; ++i) lane[i] = lane[i] > lane[i + width] ? lane[i] : lane[i + width];
    return lane[0];
}

// The largest magnitudes, place by place. They are compared as integers, which sets what is not a number above all that
// is: it comes out if it was ever there.
INLINE Floats larger_magnitude(Floats a, Floats b) {
    Floats result;
    EACH_PART {
        IntLanes first = (IntLanes)a.part[p] & 0x7fffffff, second = (IntLanes)b.part[p] & 0x7fffffff;
        result.part[p] = (FloatLanes)(first > second ? first : second);
    }
    return result;
}

INLINE float largest_magnitude(Floats a) {
    int32_t lane[16], result = 0;
    memcpy(lane, &a, sizeof lane);
    for (int i = 0; i < 16; ++i) {
        int32_t bits = lane[i] & 0x7fffffff;
        result = bits > result ? bits : result;
    }
    float value;
    memcpy(&value, &result, sizeof value);
    return value;
}

// bfloat16: the upper half of a float, rounded to nearest, ties to even.
INLINE uint16_t to_bfloat16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

INLINE Floats load_bytes(const int8_t *from) {
    Floats result;
    EACH_PART {
        ByteLanes bytes;
        memcpy(&bytes, from + p * LANES, sizeof bytes);
        result.part[p] = __builtin_convertvector(__builtin_convertvector(bytes, IntLanes), FloatLanes);
    }
    return result;
}

// IEEE half precision, where the processor converts it.
#if defined(__F16C__) || defined(__aarch64__)
#define HAS_HALF 1
INLINE Floats load_half(const uint16_t *from) {
    Floats result;
    EACH_PART {
#if defined(__AVX512F__)
        result.part[p] = (FloatLanes)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(from + p * LANES)));
#elif defined(__F16C__)
        result.part[p] = (FloatLanes)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(from + p * LANES)));
#else
        result.part[p] = (FloatLanes)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from + p * LANES)));
#endif
    }
    return result;
}
#else
#define HAS_HALF 0
#endif

// e^x to about one unit in the last place for x up to 88; exactly 0 below -87. What is not a number stays so. Polynomial
// and splitting of ln 2 after Cephes' expf.
INLINE Floats exponential(Floats x) {
    Floats clamped = maximum(splat(-87.0f), x);
    Ints n = round_to_ints(clamped * splat(1.44269504088896341f));
    Floats whole = to_floats(n);
    Floats r = fma(whole, splat(-0.693359375f), clamped);
    r = fma(whole, splat(2.12194440e-4f), r);
    Floats y = splat(1.9875691500e-4f);
    y = fma(y, r, splat(1.3981999507e-3f));
    y = fma(y, r, splat(8.3334519073e-3f));
    y = fma(y, r, splat(4.1665795894e-2f));
    y = fma(y, r, splat(1.6666665459e-1f));
    y = fma(y, r, splat(5.0000001201e-1f));
    y = fma(y, r * r, r + splat(1.0f));
    Floats result;
    EACH_PART {
        FloatLanes power = (FloatLanes)((n.part[p] + 127) << 23);
        result.part[p] = x.part[p] < -87.0f ? FloatLanes{} : y.part[p] * power;
    }
    return result;
}

}  // namespace ISA
