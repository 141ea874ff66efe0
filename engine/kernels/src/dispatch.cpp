// isa: any
// Which kernels this processor can run, the best first.

#include <atomic>
#include <cstring>

#include "library.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#ifndef FINGERPRINT
#define FINGERPRINT "unknown"
#endif

extern "C" {
extern const Kernels kernels_portable;
#if defined(__x86_64__)
extern const Kernels kernels_avx2, kernels_avx512;
#endif
}

namespace {

#if defined(__x86_64__)
// By hand: not every compiler's `__builtin_cpu_supports` knows its name.
bool converts_halves() {
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && c & bit_F16C;
}
#endif

bool runs(const Kernels *candidate) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (candidate == &kernels_avx512)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni");
    if (candidate == &kernels_avx2)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && converts_halves();
#endif
    return candidate == &kernels_portable;
}

const Kernels *const BY_SPEED[] = {
#if defined(__x86_64__)
    &kernels_avx512,
    &kernels_avx2,
#endif
    &kernels_portable,
};

const Kernels *best() {
    for (const Kernels *candidate : BY_SPEED)
        if (runs(candidate)) return candidate;
    return &kernels_portable;
}

std::atomic<const Kernels *> chosen{nullptr};

}  // namespace

const Kernels *kernels() {
    if (!chosen) chosen = best();
    return chosen;
}

extern "C" {

EXPORT const char *kernels_fingerprint() { return FINGERPRINT; }

EXPORT const char *kernels_name() { return kernels()->name; }

// Whether matrices for these kernels may have scales in half precision.
EXPORT int kernels_half_scales() { return kernels()->half_scales; }

// Use the kernels of that name from now on. 0 if there are none, or not on this processor.
EXPORT int kernels_use(const char *name) {
    for (const Kernels *candidate : BY_SPEED)
        if (!std::strcmp(candidate->name, name) && runs(candidate)) {
            chosen = candidate;
            return 1;
        }
    return 0;
}

}  // extern "C"
