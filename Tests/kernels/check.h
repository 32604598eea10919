// SPDX-License-Identifier: BSD-3-Clause
//
// What the kernel tests share beside random numbers: buffers of exact sizes, comparison with a message.
#ifndef CHECK_H
#define CHECK_H
#include <stddef.h>
#include <stdint.h>

#include "random.h"
#include "sc_kernels.h"

/// Comparisons made.
extern long check_ran;
/// The case at hand, for messages.
extern char check_what[400];

#define PICK(...) ((const int32_t[]){__VA_ARGS__}[next() % (sizeof((const int32_t[]){__VA_ARGS__}) / 4)])

/// Aligned to 64 bytes, of exactly this size; the caller frees it.
void *allocate(size_t bytes);

enum { GUARD = 0x5BAD, RANDOM = 0, MAXIMUM, MINIMUM, ALTERNATING, SPARSE, FILLS };

/// Element i of a fill.
int16_t value(int fill, int32_t lo, int32_t hi, size_t i);
/// Elements that are all GUARD.
int16_t *guarded(size_t count);
/// Whether two arrays of int16 agree; prints the case and the first difference.
int same(const int16_t *want, const int16_t *got, size_t count);
/// Whether a condition holds; prints the case and the text if not.
int holds(int condition, const char *text);

/// One random case of every entropy kernel.
int check_entropy(const sc_kernels *k, const sc_kernels *ref);
#endif
