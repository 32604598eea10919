// SPDX-License-Identifier: BSD-3-Clause
//
// CRC-32C. The instruction where the processor has one, a 256-entry table elsewhere.
#include <string.h>

#include "sc_kernels.h"

// The table is linear in its index: entry i is the XOR of the entries of i's bits.
#define BIT(i, k, v) ((i) >> (k)&1 ? (v) : 0)
#define E1(i)                                                                                                \
  BIT(i, 0, 0xF26B8303u) ^ BIT(i, 1, 0xE13B70F7u) ^ BIT(i, 2, 0xC79A971Fu) ^ BIT(i, 3, 0x8AD958CFu) ^        \
      BIT(i, 4, 0x105EC76Fu) ^ BIT(i, 5, 0x20BD8EDEu) ^ BIT(i, 6, 0x417B1DBCu) ^ BIT(i, 7, 0x82F63B78u)
#define E4(i) E1(i), E1((i) + 1), E1((i) + 2), E1((i) + 3)
#define E16(i) E4(i), E4((i) + 4), E4((i) + 8), E4((i) + 12)
#define E64(i) E16(i), E16((i) + 16), E16((i) + 32), E16((i) + 48)
static const uint32_t table[256] = {E64(0), E64(64), E64(128), E64(192)};

static uint32_t crc_table(uint32_t crc, const uint8_t *p, size_t size) {
  for (; size; size--) {
    crc = crc >> 8 ^ table[(crc ^ *p++) & 255];
  }
  return crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>
#define SC_CRC_TARGET __attribute__((target("sse4.2")))
#define SC_CRC_64(crc, v) ((uint32_t)_mm_crc32_u64(crc, v))
#define SC_CRC_8(crc, v) _mm_crc32_u8(crc, v)
static int has_crc(void) { return __builtin_cpu_supports("sse4.2"); }
#elif defined(__aarch64__) && (defined(__APPLE__) || defined(__linux__))
#if defined(__clang__)
#define SC_CRC_TARGET __attribute__((target("crc")))
#define SC_CRC_64(crc, v) __builtin_arm_crc32cd(crc, v)
#define SC_CRC_8(crc, v) __builtin_arm_crc32cb(crc, v)
#else
#define SC_CRC_TARGET __attribute__((target("+crc")))
#define SC_CRC_64(crc, v) __builtin_aarch64_crc32cx(crc, v)
#define SC_CRC_8(crc, v) __builtin_aarch64_crc32cb(crc, v)
#endif
#if defined(__APPLE__)
static int has_crc(void) { return 1; }
#else
#include <sys/auxv.h>
static int has_crc(void) { return getauxval(AT_HWCAP) >> 7 & 1; } // HWCAP_CRC32
#endif
#endif

#if defined(SC_CRC_TARGET)
// a b modulo the polynomial; bits are reflected, so that 1 << 31 is x^0.
static uint32_t multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (; a; a <<= 1) {
    product ^= a >> 31 ? b : 0;
    b = b >> 1 ^ (b & 1 ? 0x82F63B78u : 0);
  }
  return product;
}

// Bytes of a part of three, whose instructions do not wait for each other's.
enum { PART_BITS = 15, PART = 1 << PART_BITS };

SC_CRC_TARGET static uint32_t crc_instruction(uint32_t crc, const uint8_t *p, size_t size) {
  if (size >= 3 * PART) {
    uint32_t shift = 1u << 30; // x, and then x^(8 PART): what PART zero bytes multiply a CRC with
    for (int i = 0; i < PART_BITS + 3; i++) {
      shift = multiply(shift, shift);
    }
    for (; size >= 3 * PART; size -= 3 * PART, p += 3 * PART) {
      uint32_t second = 0, third = 0;
      for (size_t i = 0; i < PART; i += 8) {
        uint64_t v[3];
        memcpy(v, p + i, 8);
        memcpy(v + 1, p + PART + i, 8);
        memcpy(v + 2, p + 2 * PART + i, 8);
        crc = SC_CRC_64(crc, v[0]);
        second = SC_CRC_64(second, v[1]);
        third = SC_CRC_64(third, v[2]);
      }
      crc = multiply(shift, multiply(shift, crc) ^ second) ^ third;
    }
  }
  for (; size >= 8; size -= 8, p += 8) {
    uint64_t v;
    memcpy(&v, p, 8);
    crc = SC_CRC_64(crc, v);
  }
  for (; size; size--) {
    crc = SC_CRC_8(crc, *p++);
  }
  return crc;
}
#endif

uint32_t sc_crc32c(uint32_t crc, const void *data, size_t size) {
#if defined(SC_CRC_TARGET)
  if (has_crc()) {
    return ~crc_instruction(~crc, data, size);
  }
#endif
  return ~crc_table(~crc, data, size);
}
