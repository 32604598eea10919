// SPDX-License-Identifier: BSD-3-Clause
//
// Errors at every stage, again and again: leaks FIXTURES CYCLES. The heap is as large after the cycles as it was after the
// first ones. (valgrind --leak-check=full sees the same.)
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "swiftcodec.h"

static size_t heap(void) {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

enum { WIDTH = 24, HEIGHT = 20 };

typedef struct files {
  uint8_t *model, *stream, *video;
  size_t model_size, stream_size, video_size;
} files;

static void cycle(const files *f, unsigned turn) {
  char message[99];
  sc_model *model = NULL;
  // Models: cut, damaged, and the right one.
  sc_model_create(f->model, turn * 37 % f->model_size, &model, message, sizeof message);
  uint8_t *damaged = malloc(f->model_size);
  memcpy(damaged, f->model, f->model_size);
  damaged[turn * 61 % f->model_size] ^= 1;
  sc_model_create(damaged, f->model_size, &model, message, sizeof message);
  free(damaged);
  if (sc_model_create(f->model, f->model_size, &model, message, sizeof message) != SC_OK)
    exit(1);
  // Encoders: wrong settings, wrong pictures, a right one.
  sc_encoder_settings settings = SC_ENCODER_SETTINGS;
  sc_encoder *encoder = NULL;
  settings.threads = 1;
  settings.rate_point = 77;
  sc_encoder_create(model, &settings, &encoder);
  settings.rate_point = 0;
  if (sc_encoder_create(model, &settings, &encoder) != SC_OK)
    exit(1);
  settings.segment_rows = 7;
  sc_encoder_configure(encoder, &settings);
  uint8_t samples[WIDTH * HEIGHT * 3];
  for (size_t i = 0; i < sizeof samples; i++)
    samples[i] = (uint8_t)(i * 7 + turn);
  sc_picture picture = SC_PICTURE(WIDTH, HEIGHT, SC_PIXEL_RGB, samples);
  uint8_t *bytes = NULL;
  size_t size = 0;
  picture.width = 0;
  sc_encode(encoder, &picture, &bytes, &size);
  picture.width = WIDTH;
  if (sc_encode(encoder, &picture, &bytes, &size) != SC_OK)
    exit(1);
  sc_encoder_destroy(encoder);
  // Decoders: cut, damaged and of another model; too large, too much memory; a right one.
  sc_decoder_settings limits = SC_DECODER_SETTINGS;
  limits.threads = 1;
  sc_decoder *decoder = NULL;
  if (turn % 3 == 1)
    limits.max_pixels = 5;
  if (turn % 3 == 2)
    limits.max_memory = 1;
  if (sc_decoder_create(model, &limits, &decoder) != SC_OK)
    exit(1);
  sc_decode(decoder, bytes, turn % size, &picture);
  sc_decode(decoder, f->stream, f->stream_size, &picture);
  sc_decode(decoder, bytes, size, &picture);
  bytes[turn % size] ^= 16;
  sc_decode(decoder, bytes, size, &picture);
  sc_region region = {turn % 30, 0, 9, 9};
  sc_decode_region(decoder, bytes, size, &region, &picture);
  sc_decoder_destroy(decoder);
  sc_free(bytes);
  // Streams.
  sc_video_decoder *video = NULL;
  sc_video_decoder_create(model, NULL, f->video, f->video_size, &limits, &video);
  sc_video_decoder_destroy(video);
  sc_model_destroy(model);
}

int main(int argc, char **arguments) {
  if (argc < 3)
    return 2;
  files f;
  f.model = load_file(arguments[1], "models/tiny-hyper.scm", &f.model_size);
  f.stream = load_file(arguments[1], "golden/black-16x16-tiny-0.sci", &f.stream_size);
  f.video = load_file(arguments[1], "golden/moving-tiny.scv", &f.video_size);
  const unsigned cycles = (unsigned)atoi(arguments[2]);
  for (unsigned turn = 0; turn < 50; turn++)
    cycle(&f, turn);
  const size_t before = heap();
  for (unsigned turn = 0; turn < cycles; turn++)
    cycle(&f, turn);
  const long grown = (long)(heap() - before);
  printf("%u cycles with errors at every stage: the heap grew by %ld bytes\n", cycles, grown);
  // What the library keeps once and for all, and what the allocator keeps of freed blocks, does not grow with the cycles.
  if (grown > 65536) {
    fprintf(stderr, "FAIL: memory is lost\n");
    return 1;
  }
  free(f.model);
  free(f.stream);
  free(f.video);
  return 0;
}
