// SPDX-License-Identifier: BSD-3-Clause
#include "wavefront.h"

sc_wavefront sc_wavefront_of(int32_t width, int32_t height) {
  sc_wavefront w = {.period = width < 2 * LINES ? 2 * LINES : width};
  // The last row is the last to end: a period is longer than the lines are behind each other.
  w.steps =
      (size_t)((height - 1) / LINES) * (size_t)w.period + 2 * (size_t)((height - 1) % LINES) + (size_t)width;
  w.line = (w.steps + 2 * LINES) & ~(size_t)(LINES - 1);
  return w;
}

size_t sc_plane_scratch(int32_t width, int32_t height) {
  return 4 * LINES * sc_wavefront_of(width, height).line * sizeof(uint16_t);
}
