// SPDX-License-Identifier: BSD-3-Clause
//
// Memory, through the C interface alone: memory [PIXELS]
// An allocator of the program's own is used, and gets everything back; calls that ask for more than there is end with
// SC_ERROR_OUT_OF_MEMORY, whatever the limit of the address space is. Linux.
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE // MAP_ANONYMOUS
#endif
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "swiftcodec.h"

static int failures;

static void check(int good, const char *what) {
  if (!good) {
    fprintf(stderr, "FAIL %s\n", what);
    failures++;
  }
}

// ---- An allocator ---------------------------------------------------------------------------------------------------

/// Counts bytes. A block begins with its size. A block that is given back at once was a question: whether so
/// much is there.
typedef struct counter {
  size_t used, calls;
  size_t most;  ///< in use, but for questions
  size_t asked; ///< the largest question, with what was in use then
  void *last;   ///< the block that the last call gave
} counter;

static void settle(counter *c) { c->most = c->used > c->most ? c->used : c->most; }

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *count_allocate(void *context, size_t size, size_t alignment) {
  counter *c = context;
  char *block = aligned_alloc(alignment, (size + 2 * alignment - 1) / alignment * alignment);
  if (!block) {
    return NULL;
  }
  *(size_t *)(void *)block = size;
  pthread_mutex_lock(&lock);
  settle(c);
  c->calls++;
  c->used += size;
  c->last = block + alignment;
  pthread_mutex_unlock(&lock);
  return block + alignment;
}

static void count_release(void *context, void *memory) {
  counter *c = context;
  char *block = (char *)memory - 64;
  pthread_mutex_lock(&lock);
  if (memory != c->last) {
    settle(c);
  } else if (c->used > c->asked) {
    c->asked = c->used;
  }
  c->last = NULL;
  c->used -= *(size_t *)(void *)block;
  pthread_mutex_unlock(&lock);
  free(block);
}

// ---- Pictures -------------------------------------------------------------------------------------------------------

/// Neither flat nor noise; alpha, the fourth byte, with an edge.
static void draw(uint8_t *rgba, uint32_t width, uint32_t height, uint32_t step) {
  uint32_t random = 1;
  for (uint32_t y = 0; y < height; y++) {
    for (uint32_t x = 0; x < width; x++, rgba += step) {
      random = random * 1664525u + 1013904223u;
      const uint32_t noise = random >> 28;
      rgba[0] = (uint8_t)(x / 3 + noise);
      rgba[1] = (uint8_t)(y / 2 + x / 7 + noise);
      rgba[2] = (uint8_t)((x ^ y) / 4 + noise);
      if (step == 4) {
        rgba[3] = (uint8_t)(x < width / 2 ? 255 : y & 255);
      }
    }
  }
}

static sc_picture picture_of(uint8_t *samples, uint32_t width, uint32_t height, int has_alpha) {
  sc_picture picture = {.struct_size = sizeof picture, .width = width, .height = height};
  picture.format = has_alpha ? SC_PIXEL_RGBA : SC_PIXEL_RGB;
  picture.planes[0] = samples;
  return picture;
}

/// Encodes and decodes; the first status that is not SC_OK. The bitstream stays in *bytes.
static sc_status encode(const sc_picture *picture, sc_rdoq rdoq, uint8_t **bytes, size_t *size) {
  sc_model *model = NULL;
  sc_encoder *encoder = NULL;
  sc_encoder_settings settings = {
      .struct_size = sizeof settings, .rate_point = 4, .rdoq = rdoq, .threads = 1};
  sc_status status = sc_model_create_embedded(&model);
  if (status == SC_OK) {
    status = sc_encoder_create(model, &settings, &encoder);
  }
  if (status == SC_OK) {
    status = sc_encode(encoder, picture, bytes, size);
  }
  sc_encoder_destroy(encoder);
  sc_model_destroy(model);
  return status;
}

static sc_status decode(const sc_picture *picture, const uint8_t *bytes, size_t size) {
  sc_model *model = NULL;
  sc_decoder *decoder = NULL;
  sc_decoder_settings settings = {.struct_size = sizeof settings, .threads = 1};
  sc_status status = sc_model_create_embedded(&model);
  if (status == SC_OK) {
    status = sc_decoder_create(model, &settings, &decoder);
  }
  if (status == SC_OK) {
    status = sc_decode(decoder, bytes, size, picture);
  }
  sc_decoder_destroy(decoder);
  sc_model_destroy(model);
  return status;
}

// ---- The allocator is used, and what a call asks for covers what it takes -------------------------------------------------

static void check_allocator(uint32_t width, uint32_t height, int has_alpha, sc_rdoq rdoq) {
  counter c = {0};
  const sc_allocator allocator = {
      .struct_size = sizeof allocator, .allocate = count_allocate, .release = count_release, .context = &c};
  uint8_t *samples = malloc((size_t)4 * width * height), *out = malloc((size_t)4 * width * height);
  if (!samples || !out) {
    exit(2);
  }
  draw(samples, width, height, has_alpha ? 4 : 3);
  const sc_picture picture = picture_of(samples, width, height, has_alpha);
  const sc_picture decoded = picture_of(out, width, height, has_alpha);
  uint8_t *bytes = NULL;
  size_t size = 0;
  check(sc_set_allocator(&allocator) == SC_OK, "set the allocator");
  check(encode(&picture, rdoq, &bytes, &size) == SC_OK, "encode with an allocator");
  settle(&c);
  const counter encoding = c;
  check(c.calls > 100, "the allocator is used");
  check(sc_set_allocator(NULL) == SC_ERROR_ARGUMENT, "no other allocator while memory is in use");
  c.most = c.asked = 0;
  check(decode(&decoded, bytes, size) == SC_OK, "decode with an allocator");
  printf("%ux%u%s, rdoq %d: encode takes %.1f of %.1f MiB that it asked for, decode %.1f of %.1f\n", width,
         height, has_alpha ? " with alpha" : "", (int)rdoq, (double)encoding.most / 1048576,
         (double)encoding.asked / 1048576, (double)c.most / 1048576, (double)c.asked / 1048576);
  check(encoding.most <= encoding.asked, "encoding takes no more than it asks for");
  check(c.most <= c.asked, "decoding takes no more than it asks for");
  sc_free(bytes);
  check(c.used == 0, "all memory is given back");
  check(sc_set_allocator(NULL) == SC_OK, "the system's allocator again");
  free(samples);
  free(out);
}

// ---- Video --------------------------------------------------------------------------------------------------------------

/// What a stream asks for covers what it takes, and is not more than twice that.
static void check_video(uint32_t width, uint32_t height, sc_rdoq rdoq, uint32_t threads) {
  enum { FRAMES = 4 };
  counter c = {0};
  const sc_allocator allocator = {
      .struct_size = sizeof allocator, .allocate = count_allocate, .release = count_release, .context = &c};
  const size_t luma = (size_t)width * height, chroma = (size_t)((width + 1) / 2) * ((height + 1) / 2);
  uint8_t *samples = malloc(luma + 2 * chroma), *wide = malloc(3 * (size_t)(width + 16) * height);
  uint8_t *packets[FRAMES] = {NULL};
  size_t sizes[FRAMES] = {0}, asked = 0;
  if (!samples || !wide) {
    exit(2);
  }
  draw(wide, width + 16, height, 3);
  check(sc_set_allocator(&allocator) == SC_OK, "set the allocator");
  sc_model *intra = NULL, *inter = NULL;
  sc_video_encoder *encoder = NULL;
  sc_video_decoder *decoder = NULL;
  check(sc_model_create_embedded(&intra) == SC_OK && sc_model_create_embedded_inter(&inter) == SC_OK,
        "the embedded models");
  settle(&c);
  const size_t models = c.used;
  sc_video_settings settings = SC_VIDEO_SETTINGS(width, height);
  settings.threads = threads;
  settings.rdoq = settings.intra_rdoq = rdoq;
  check(sc_video_encoder_create(intra, inter, &settings, &encoder) == SC_OK, "create a video encoder");
  uint8_t header[64];
  size_t header_size = 0;
  const uint8_t *bytes = NULL;
  if (encoder && sc_video_encoder_header(encoder, &bytes, &header_size) == SC_OK &&
      header_size <= sizeof header) {
    memcpy(header, bytes, header_size);
  }
  asked = c.asked;
  for (int i = 0; encoder && i < FRAMES; i++) {
    for (uint32_t y = 0; y < height; y++) {
      for (uint32_t x = 0; x < width; x++) {
        samples[(size_t)y * width + x] = wide[3 * ((size_t)y * (width + 16) + x + 3 * (uint32_t)i)];
      }
    }
    memset(samples + luma, 120, 2 * chroma);
    sc_picture frame = {
        .struct_size = sizeof frame, .width = width, .height = height, .format = SC_PIXEL_I420};
    frame.planes[0] = samples;
    frame.planes[1] = samples + luma;
    frame.planes[2] = samples + luma + chroma;
    check(sc_video_encoder_encode(encoder, &frame, &bytes, &sizes[i], NULL) == SC_OK, "encode a frame");
    packets[i] = malloc(sizes[i]);
    memcpy(packets[i], bytes, sizes[i]);
  }
  settle(&c);
  const counter encoding = c;
  sc_video_encoder_destroy(encoder);
  c.most = c.asked = 0;
  const sc_decoder_settings decoding = {.struct_size = sizeof decoding, .threads = threads};
  check(sc_video_decoder_create(intra, inter, header, header_size, &decoding, &decoder) == SC_OK,
        "create a video decoder");
  const size_t asked_to_decode = c.asked;
  for (int i = 0; decoder && i < FRAMES; i++) {
    sc_video_frame frame = SC_VIDEO_FRAME;
    check(sc_video_decoder_decode(decoder, packets[i], sizes[i], &frame) == SC_OK, "decode a frame");
    free(packets[i]);
  }
  settle(&c);
  sc_video_decoder_destroy(decoder);
  sc_model_destroy(intra);
  sc_model_destroy(inter);
  printf("video %ux%u, rdoq %d, %u threads: encode takes %.1f of %.1f MiB that it asked for, decode %.1f of "
         "%.1f\n",
         width, height, (int)rdoq, threads, (double)(encoding.most - models) / 1048576,
         (double)(asked - models) / 1048576, (double)(c.most - models) / 1048576,
         (double)(asked_to_decode - models) / 1048576);
  check(encoding.most <= asked && asked - models <= 2 * (encoding.most - models),
        "encoding takes half to all that it asks for");
  check(c.most <= asked_to_decode && asked_to_decode - models <= 2 * (c.most - models),
        "decoding takes half to all that it asks for");
  check(c.used == 0, "all memory is given back");
  check(sc_set_allocator(NULL) == SC_OK, "the system's allocator again");
  free(samples);
  free(wide);
}

// ---- Limits of the address space ----------------------------------------------------------------------------------------

static size_t address_space(void) {
  unsigned long pages = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (!file || fscanf(file, "%lu", &pages) != 1) {
    exit(2);
  }
  fclose(file);
  return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

typedef struct job {
  sc_picture picture;
  /// NULL: encode.
  const uint8_t *bytes;
  size_t size;
} job;

/// The status with `mebibytes` more of address space than now, in a process of its own; −1 if that was killed.
static int status_within(size_t mebibytes, const job *job) {
  fflush(NULL);
  const pid_t child = fork();
  if (child == 0) {
    const rlim_t limit = address_space() + (mebibytes << 20);
    if (setrlimit(RLIMIT_AS, &(struct rlimit){limit, limit}) != 0) {
      _exit(200);
    }
    uint8_t *bytes = NULL;
    size_t size = 0;
    const sc_status status = job->bytes ? decode(&job->picture, job->bytes, job->size)
                                        : encode(&job->picture, SC_RDOQ_OFF, &bytes, &size);
    sc_free(bytes);
    _exit((int)status);
  }
  int state = 0;
  if (child < 0 || waitpid(child, &state, 0) != child) {
    exit(2);
  }
  return WIFEXITED(state) ? WEXITSTATUS(state) : -1;
}

/// 64 MiB upwards, until it works: never anything but SC_OK and SC_ERROR_OUT_OF_MEMORY.
static void check_limits(const char *what, const job *job) {
  for (size_t mebibytes = 64; mebibytes <= 8192; mebibytes += mebibytes < 512 ? 32 : 128) {
    const int status = status_within(mebibytes, job);
    if (status == SC_OK) {
      printf("%s works with %zu MiB; below, %s\n", what, mebibytes, sc_status_string(SC_ERROR_OUT_OF_MEMORY));
      return;
    }
    if (status != SC_ERROR_OUT_OF_MEMORY) {
      fprintf(stderr, "FAIL %s with %zu MiB: %s\n", what, mebibytes,
              status < 0 ? "killed" : sc_status_string((sc_status)status));
      failures++;
      return;
    }
  }
  check(0, "it works with 8 GiB");
}

int main(int count, char **arguments) {
  check_allocator(768, 512, 0, SC_RDOQ_OFF);
  check_allocator(1531, 769, 0, SC_RDOQ_OFF);
  check_allocator(400, 300, 1, SC_RDOQ_OFF);
  check_allocator(512, 384, 0, SC_RDOQ_QUICK);
  check_video(352, 288, SC_RDOQ_OFF, 1);
  check_video(352, 288, SC_RDOQ_FAST, 1);
  check_video(1280, 720, SC_RDOQ_OFF, 1);
  check_video(1920, 1080, SC_RDOQ_OFF, 1);
  check_video(1280, 720, SC_RDOQ_OFF, 4);

  const uint32_t width = 8192, height = (uint32_t)((count > 1 ? atof(arguments[1]) : 50.33) * 1e6 / width);
  const size_t size = (size_t)3 * width * height;
  // Shared, so that a child's result is seen here, and none is copied.
  uint8_t *samples = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  uint8_t *out = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (samples == MAP_FAILED || out == MAP_FAILED) {
    exit(2);
  }
  draw(samples, width, height, 3);
  job job = {.picture = picture_of(samples, width, height, 0)};
  check_limits("encode", &job);
  uint8_t *bytes = NULL;
  size_t length = 0;
  check(encode(&job.picture, SC_RDOQ_OFF, &bytes, &length) == SC_OK, "encode");
  job.picture.planes[0] = out;
  job.bytes = bytes;
  job.size = length;
  if (bytes) {
    check_limits("decode", &job);
  }
  sc_free(bytes);
  printf("Memory: %d failures\n", failures);
  return failures != 0;
}
