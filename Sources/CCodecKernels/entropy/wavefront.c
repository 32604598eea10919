// SPDX-License-Identifier: BSD-3-Clause
#include "wavefront.h"

size_t sc_plane_scratch(int32_t width, int32_t height) {
  return 4 * LINES * sc_wavefront_of(width, height).line * sizeof(uint16_t);
}
