// SPDX-License-Identifier: BSD-3-Clause
//
// Where large buffers come from: the system, or functions of the program that uses the library.
#ifndef SC_MEMORY_H
#define SC_MEMORY_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/// All memory is aligned to this.
#define SC_MEMORY_ALIGNMENT 64

typedef struct sc_memory_hooks {
  /// `size` >= 1 bytes aligned to `alignment`, or NULL.
  void *(*allocate)(void *context, size_t size, size_t alignment);
  void (*release)(void *context, void *memory);
  void *context;
} sc_memory_hooks;

/// From now on memory comes from these functions; NULL: from the system. 0, and nothing changes, while any is in use.
int sc_memory_set_hooks(const sc_memory_hooks *hooks);
/// Not initialised; NULL if there is no more. Any thread.
void *sc_memory_allocate(size_t size);
/// NULL does nothing.
void sc_memory_release(void *memory);
/// Whether so much could be had at once now: allocates it and gives it back.
int sc_memory_has(size_t size);

#ifdef __cplusplus
}
#endif
#endif
