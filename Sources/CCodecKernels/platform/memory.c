// SPDX-License-Identifier: BSD-3-Clause
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE // posix_memalign
#endif
#include "sc_memory.h"

#include <stdatomic.h>
#include <stdlib.h>

// Written only while nothing is allocated.
static sc_memory_hooks hooks;
static atomic_size_t in_use;

int sc_memory_set_hooks(const sc_memory_hooks *new_hooks) {
  if (atomic_load(&in_use) != 0)
    return 0;
  hooks = new_hooks ? *new_hooks : (sc_memory_hooks){0};
  return 1;
}

void *sc_memory_allocate(size_t size) {
  void *memory = NULL;
  if (size == 0)
    size = 1;
  if (hooks.allocate)
    memory = hooks.allocate(hooks.context, size, SC_MEMORY_ALIGNMENT);
  else if (posix_memalign(&memory, SC_MEMORY_ALIGNMENT, size) != 0)
    memory = NULL;
  if (memory)
    atomic_fetch_add(&in_use, 1);
  return memory;
}

void sc_memory_release(void *memory) {
  if (!memory)
    return;
  if (hooks.release)
    hooks.release(hooks.context, memory);
  else
    free(memory);
  atomic_fetch_sub(&in_use, 1);
}

int sc_memory_has(size_t size) {
  // Through a volatile pointer: a compiler may drop an allocation that nothing reads.
  void *volatile memory = sc_memory_allocate(size);
  if (!memory)
    return 0;
  sc_memory_release(memory);
  return 1;
}
