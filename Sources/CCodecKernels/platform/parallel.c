// SPDX-License-Identifier: BSD-3-Clause
//
// Threads and the clock.
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE // sched_getaffinity
#endif
#include <time.h>

#include "sc_kernels.h"

#if !defined(SC_NO_THREADS) && (defined(__linux__) || defined(__APPLE__))
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

enum { MAX_HELPERS = 63 };

typedef struct batch {
  atomic_size_t next;
  size_t count;
  void (*job)(void *, size_t);
  void *context;
} batch;

static void *work(void *argument) {
  batch *b = argument;
  for (;;) {
    size_t i = atomic_fetch_add_explicit(&b->next, 1, memory_order_relaxed);
    if (i >= b->count) {
      return NULL;
    }
    b->job(b->context, i);
  }
}

void sc_parallel(int threads, size_t count, void (*job)(void *context, size_t index), void *context) {
  batch b = {.count = count, .job = job, .context = context};
  pthread_t helpers[MAX_HELPERS];
  int made = 0;
  while (made < threads - 1 && made < MAX_HELPERS && (size_t)made + 1 < count &&
         pthread_create(&helpers[made], NULL, work, &b) == 0) {
    made++;
  }
  work(&b);
  while (made > 0) {
    pthread_join(helpers[--made], NULL);
  }
}

// Others are soon where they are waited for; where they are not, they may need this processor.
static void pause_at(int round) {
  if (round >= 64)
    sched_yield();
}

void sc_counter_set(int32_t *counter, int32_t value) { __atomic_store_n(counter, value, __ATOMIC_RELEASE); }

void sc_counter_wait(const int32_t *counter, int32_t value) {
  for (int i = 0; __atomic_load_n(counter, __ATOMIC_ACQUIRE) < value; i++)
    pause_at(i);
}

void sc_lock(int32_t *lock) {
  for (int i = 0; __atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE) != 0; i++)
    pause_at(i);
}

void sc_unlock(int32_t *lock) { __atomic_store_n(lock, 0, __ATOMIC_RELEASE); }

int sc_cpu_count(void) {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    return CPU_COUNT(&set) > 0 ? CPU_COUNT(&set) : 1;
  }
#endif
  long n = sysconf(_SC_NPROCESSORS_ONLN);
  return n > 0 ? (int)n : 1;
}

#else

void sc_parallel(int threads, size_t count, void (*job)(void *context, size_t index), void *context) {
  (void)threads;
  for (size_t i = 0; i < count; i++) {
    job(context, i);
  }
}

// Jobs run one after the other: what they wait for has been done.
void sc_counter_set(int32_t *counter, int32_t value) { *counter = value; }
void sc_counter_wait(const int32_t *counter, int32_t value) {
  (void)counter;
  (void)value;
}
void sc_lock(int32_t *lock) { (void)lock; }
void sc_unlock(int32_t *lock) { (void)lock; }

int sc_cpu_count(void) { return 1; }

#endif

uint64_t sc_clock_ns(void) {
  struct timespec t;
#if defined(CLOCK_MONOTONIC)
  clock_gettime(CLOCK_MONOTONIC, &t);
#else
  timespec_get(&t, TIME_UTC);
#endif
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t sc_thread_clock_ns(void) {
#if defined(CLOCK_THREAD_CPUTIME_ID)
  struct timespec t;
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0)
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
#endif
  return sc_clock_ns();
}
