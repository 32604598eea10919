// SPDX-License-Identifier: BSD-3-Clause
//
// What the C tests read.
#ifndef TEST_FILES_H
#define TEST_FILES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/// A file below the folder `root`; the caller frees it. An empty file gives a pointer, too. Ends the process if it is not there.
static inline uint8_t *load_file(const char *root, const char *path, size_t *size) {
  char full[1024];
  snprintf(full, sizeof full, "%s/%s", root, path);
  FILE *file = fopen(full, "rb");
  if (!file || fseek(file, 0, SEEK_END) != 0) {
    fprintf(stderr, "cannot read %s\n", full);
    exit(2);
  }
  *size = (size_t)ftell(file);
  rewind(file);
  uint8_t *bytes = malloc(*size + 1);
  if (!bytes || fread(bytes, 1, *size, file) != *size) {
    fprintf(stderr, "cannot read %s\n", full);
    exit(2);
  }
  fclose(file);
  return bytes;
}

#endif
