// SPDX-License-Identifier: BSD-3-Clause
//
// Errors at every stage, again and again: leaks FIXTURES CYCLES. The heap is as large after the cycles as it was after the
// first ones, and every stage has failed as it should. (valgrind --leak-check=full sees the same.)
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

enum { WIDTH = 24, HEIGHT = 20, STATUSES = 64 };

/// How often each status came.
static unsigned seen[STATUSES];

static sc_status note(sc_status status) {
  if ((unsigned)status >= STATUSES)
    exit(1);
  seen[status]++;
  return status;
}

/// What decoders say of the parts that share a status, and how often.
static struct {
  const char *words;
  unsigned seen;
} parts[] = {{"segment 0 does not decode", 0}, {"box", 0}, {"residual layer", 0}, {"pixels: sides", 0}};
enum { PARTS = sizeof parts / sizeof *parts };

static void note_message(const char *message) {
  for (int i = 0; i < PARTS; i++)
    parts[i].seen += strstr(message, parts[i].words) != NULL;
}

/// A call that has to succeed.
static void must(sc_status status, const char *what) {
  if (status == SC_OK)
    return;
  fprintf(stderr, "FAIL: %s: %s\n", what, sc_status_string(status));
  exit(1);
}

static void *allocate(size_t size) {
  void *memory = malloc(size);
  if (!memory)
    exit(2);
  return memory;
}

// ---- Checksums, so that damage goes as deep as it can ------------------------------------------------------------------

static uint32_t crc32c(const uint8_t *bytes, size_t size, uint32_t crc) {
  crc = ~crc;
  for (size_t i = 0; i < size; i++) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; bit++)
      crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
  }
  return ~crc;
}

static void store(uint8_t *at, uint32_t value) {
  for (int i = 0; i < 4; i++)
    at[i] = (uint8_t)(value >> 8 * i);
}

static size_t varint(const uint8_t *bytes, size_t size, size_t *at) {
  size_t value = 0;
  for (int i = 0; i < 5 && *at < size; i++) {
    const uint8_t byte = bytes[(*at)++];
    value |= (size_t)(byte & 0x7f) << 7 * i;
    if (byte < 0x80)
      break;
  }
  return value;
}

/// Makes the checksums of a bitstream right (docs/format/bitstream.md), as far as its parts can be walked.
static void mend(uint8_t *bytes, size_t size) {
  if (size < 16)
    return;
  size_t at = 8;
  for (int i = 0; i < 3; i++)
    varint(bytes, size, &at);
  const int has_boxes = bytes[3] >> 7;
  if (has_boxes) {
    at++;
    varint(bytes, size, &at);
  }
  uint32_t crc = 0;
  for (size_t first = 0; first < size; first = at) {
    size_t end = size - 4;
    if (has_boxes) {
      at += 4;
      const size_t count = varint(bytes, size, &at);
      if (at > size - 4 || count > size - 4 - at)
        return;
      end = at + count;
    }
    crc = crc32c(bytes + first, end - first, crc);
    store(bytes + end, crc);
    at = end + 4;
  }
}

static void mend_model(uint8_t *bytes, size_t size) {
  for (size_t at = 8; at + 12 <= size;) {
    const size_t count = bytes[at + 4] | (size_t)bytes[at + 5] << 8 | (size_t)bytes[at + 6] << 16;
    if (count > size - at - 12)
      return;
    store(bytes + at + 8 + count, crc32c(bytes + at, 8 + count, 0));
    at += 12 + count;
  }
}

// ---- Stages ----------------------------------------------------------------------------------------------------------------

typedef struct files {
  uint8_t *model, *formats, *inter, *stream, *video;
  size_t model_size, formats_size, inter_size, stream_size, video_size;
} files;

static int end_at_once(void *context, double done) {
  (void)context;
  return done > 0.3;
}

static sc_model *model_of(const uint8_t *bytes, size_t size) {
  char message[99];
  sc_model *model = NULL;
  must(sc_model_create(bytes, size, &model, message, sizeof message), "a model");
  return model;
}

/// Cut, damaged, damaged with the right checksums, of a wrong kind.
static void models(const uint8_t *bytes, size_t size, unsigned turn) {
  char message[99];
  sc_model *model = NULL;
  note(sc_model_create(bytes, turn * 37 % size, &model, message, sizeof message));
  uint8_t *damaged = allocate(size);
  // Behind the weights stand graphs and entropy models.
  const size_t places[] = {turn * 61 % size, size - 1 - turn * 61 % (size / 2)};
  for (int i = 0; i < 4; i++) {
    memcpy(damaged, bytes, size);
    damaged[places[i & 1]] ^= (uint8_t)(1 << turn % 8);
    if (i > 1)
      mend_model(damaged, size);
    if (note(sc_model_create(damaged, size, &model, message, sizeof message)) == SC_OK)
      sc_model_destroy(model);
  }
  free(damaged);
}

static void draw(uint8_t *samples, size_t count, unsigned turn) {
  for (size_t i = 0; i < count; i++)
    samples[i] = (uint8_t)(i * 7 + turn * (1 + i / 100));
}

/// Wrong settings, wrong pictures, targets that are not reached, calls that are ended. Gives a bitstream with metadata and
/// transparency, or in some turns of the networks alone.
static uint8_t *encode(sc_model *model, unsigned turn, size_t *size) {
  uint8_t samples[WIDTH * HEIGHT * 4];
  draw(samples, sizeof samples, turn);
  sc_picture picture = SC_PICTURE(WIDTH, HEIGHT, turn & 1 ? SC_PIXEL_RGBA : SC_PIXEL_RGB, samples);
  sc_encoder_settings settings = SC_ENCODER_SETTINGS;
  sc_encoder *encoder = NULL;
  settings.threads = 1;
  settings.rate_point = 77;
  note(sc_encoder_create(model, &settings, &encoder));
  settings.rate_point = 0;
  must(sc_encoder_create(model, &settings, &encoder), "an encoder");
  sc_encoder_settings wrong = settings;
  wrong.segment_rows = 7;
  note(sc_encoder_configure(encoder, &wrong));
  wrong = settings;
  wrong.entropy = (sc_entropy_kind)9;
  note(sc_encoder_configure(encoder, &wrong));
  wrong = settings;
  wrong.lambda = 1e300;
  note(sc_encoder_configure(encoder, &wrong));
  note(sc_encoder_set_metadata(encoder, (sc_metadata)99, samples, 3));
  must(sc_encoder_set_metadata(encoder, SC_METADATA_EXIF, samples, turn & 1 ? 30 : 0), "metadata");

  uint8_t *bytes = NULL;
  picture.width = 0;
  note(sc_encode(encoder, &picture, &bytes, size));
  picture.width = WIDTH;
  picture.strides[0] = 1;
  note(sc_encode(encoder, &picture, &bytes, size));
  picture.strides[0] = 0;
  wrong = settings;
  wrong.max_pixels = 5;
  must(sc_encoder_configure(encoder, &wrong), "a limit");
  note(sc_encode(encoder, &picture, &bytes, size));
  wrong = settings;
  wrong.target = SC_TARGET_BYTES;
  wrong.target_value = 1;
  must(sc_encoder_configure(encoder, &wrong), "a target");
  note(sc_encode(encoder, &picture, &bytes, size));
  wrong = settings;
  wrong.rdoq = SC_RDOQ_QUICK;
  wrong.progress = end_at_once;
  must(sc_encoder_configure(encoder, &wrong), "a search");
  note(sc_encode(encoder, &picture, &bytes, size));
  must(sc_encoder_configure(encoder, &settings), "settings");
  uint8_t small[3];
  note(sc_encode_into(encoder, &picture, small, sizeof small, size));
  must(sc_encode(encoder, &picture, &bytes, size), "encode");
  sc_encoder_destroy(encoder);
  return bytes;
}

/// Headers, payloads, boxes and residual layers: cut, damaged, damaged with the right checksums; another model's; beyond each
/// limit; calls that are ended.
static void decode(sc_model *model, const files *f, uint8_t *bytes, size_t size, unsigned turn) {
  uint8_t samples[WIDTH * HEIGHT * 4];
  const sc_picture picture = SC_PICTURE(WIDTH, HEIGHT, SC_PIXEL_RGBA, samples);
  sc_decoder_settings limits = SC_DECODER_SETTINGS;
  limits.threads = 1;
  sc_decoder *decoder = NULL;
  for (int kind = 0; kind < 5; kind++) {
    sc_decoder_settings wrong = limits;
    wrong.max_pixels = kind == 0 ? 5 : 0;
    wrong.max_memory = kind == 1 ? 1 : 0;
    wrong.max_mac_per_pixel = kind == 2 ? 1 : 0;
    wrong.max_work = kind == 3 ? 1 : 0;
    if (kind == 4)
      wrong.progress = end_at_once;
    must(sc_decoder_create(model, &wrong, &decoder), "a decoder");
    note(sc_decode(decoder, bytes, size, &picture));
    sc_decoder_destroy(decoder);
  }
  must(sc_decoder_create(model, &limits, &decoder), "a decoder");
  must(sc_decode(decoder, bytes, size, &picture), "decode");
  sc_region region = {turn % 30, 0, 9, 9};
  sc_picture part = SC_PICTURE(9, 9, SC_PIXEL_RGBA, samples);
  note(sc_decode_region(decoder, bytes, size, &region, &part));
  note(sc_decode(decoder, f->stream, f->stream_size, &picture));
  note(sc_decode(decoder, bytes, turn % size, &picture));
  sc_header header = {.struct_size = sizeof header};
  uint8_t *damaged = allocate(size);
  for (int i = 0; i < 6; i++) {
    const size_t place = i == 0   ? turn % 4
                         : i == 1 ? 8 + turn % 6
                                  : (turn * 13 + (size_t)i * size / 6) % size;
    memcpy(damaged, bytes, size);
    damaged[place] ^= (uint8_t)(1 << (turn + (unsigned)i) % 8);
    note(sc_read_header(damaged, size, &header));
    note(sc_decode(decoder, damaged, size, &picture));
    mend(damaged, size);
    note(sc_decode(decoder, damaged, size, &picture));
    note_message(sc_decoder_message(decoder));
    note(sc_decode_region(decoder, damaged, size, &region, &part));
  }
  free(damaged);
  must(sc_decode(decoder, bytes, size, &picture), "decode again");
  sc_decoder_destroy(decoder);
}

/// Wrong settings and frames; packets that are cut, damaged, of another stream, out of order, of the wrong model.
static void stream(sc_model *intra, sc_model *inter, sc_model *other, const files *f, unsigned turn) {
  sc_video_settings settings = SC_VIDEO_SETTINGS(WIDTH, HEIGHT);
  settings.threads = 1;
  settings.keep_scenes = 1;
  settings.intra_rdoq = SC_RDOQ_OFF;
  sc_video_encoder *encoder = NULL;
  note(sc_video_encoder_create(inter, inter, &settings, &encoder));
  note(sc_video_encoder_create(intra, intra, &settings, &encoder));
  sc_video_settings wrong = settings;
  wrong.segment_rows = 7;
  note(sc_video_encoder_create(intra, inter, &wrong, &encoder));
  wrong = settings;
  wrong.width = 70000;
  note(sc_video_encoder_create(intra, inter, &wrong, &encoder));
  must(sc_video_encoder_create(intra, inter, &settings, &encoder), "an encoder of streams");
  uint8_t samples[WIDTH * HEIGHT * 3 / 2];
  sc_picture frame = {.struct_size = sizeof frame, .width = WIDTH, .height = HEIGHT, .format = SC_PIXEL_I420};
  frame.planes[0] = samples;
  frame.planes[1] = samples + WIDTH * HEIGHT;
  frame.planes[2] = frame.planes[1] + WIDTH * HEIGHT / 4;
  note(sc_video_encoder_frame(encoder, &frame));

  uint8_t header[48], *packets[3];
  size_t header_size = 0, sizes[3];
  const uint8_t *bytes = NULL;
  must(sc_video_encoder_header(encoder, &bytes, &header_size), "a header");
  memcpy(header, bytes, header_size);
  for (unsigned t = 0; t < 3; t++) {
    draw(samples, sizeof samples, turn + t);
    frame.height--;
    note(sc_video_encoder_encode(encoder, &frame, &bytes, &sizes[t], NULL));
    frame.height++;
    must(sc_video_encoder_encode(encoder, &frame, &bytes, &sizes[t], NULL), "a frame");
    packets[t] = allocate(sizes[t]);
    memcpy(packets[t], bytes, sizes[t]);
  }
  size_t size = 0;
  must(sc_video_encoder_finish(encoder, &bytes, &size), "the end");
  note(sc_video_encoder_encode(encoder, &frame, &bytes, &size, NULL));
  sc_video_encoder_destroy(encoder);

  sc_video_decoder *decoder = NULL;
  sc_decoder_settings limits = SC_DECODER_SETTINGS;
  limits.threads = 1;
  // A header that names the model of intra frames for both.
  uint8_t other_header[48];
  memcpy(other_header, header, header_size);
  memcpy(other_header + 8, header + 4, 4);
  store(other_header + header_size - 4, crc32c(other_header, header_size - 4, 0));
  note(sc_video_decoder_create(intra, intra, other_header, header_size, &limits, &decoder));
  note(sc_video_decoder_create(other, inter, header, header_size, &limits, &decoder));
  note(sc_video_decoder_create(intra, NULL, header, header_size, &limits, &decoder));
  note(sc_video_decoder_create(intra, inter, header, turn % header_size, &limits, &decoder));
  note(sc_video_decoder_create(intra, inter, f->stream, f->stream_size, &limits, &decoder));
  header[turn % header_size] ^= 2;
  note(sc_video_decoder_create(intra, inter, header, header_size, &limits, &decoder));
  header[turn % header_size] ^= 2;
  if (turn % 4 == 1)
    limits.max_memory = 1;
  if (turn % 4 == 2)
    limits.max_mac_per_pixel = 1;
  must(sc_video_decoder_create(intra, inter, header, header_size, &limits, &decoder), "a decoder of streams");
  sc_video_frame got = SC_VIDEO_FRAME;
  note(sc_video_decoder_frame(decoder, &frame));
  note(sc_video_decoder_decode(decoder, packets[1], sizes[1], &got));
  note(sc_video_decoder_decode(decoder, packets[0], sizes[0], &got));
  note(sc_video_decoder_decode(decoder, packets[2], sizes[2], &got));
  // The checksums of packets go on from the header's.
  const uint32_t seed = crc32c(header, header_size - 4, 0);
  for (unsigned t = 0; t < 3; t++) {
    note(sc_video_decoder_decode(decoder, packets[t], turn % sizes[t], &got));
    uint8_t *at = packets[t] + (turn * 11 + 3) % (sizes[t] - 4);
    *at ^= (uint8_t)(1 << turn % 8);
    note(sc_video_decoder_decode(decoder, packets[t], sizes[t], &got));
    store(packets[t] + sizes[t] - 4, crc32c(packets[t], sizes[t] - 4, seed));
    note(sc_video_decoder_decode(decoder, packets[t], sizes[t], &got));
    *at ^= (uint8_t)(1 << turn % 8);
    store(packets[t] + sizes[t] - 4, crc32c(packets[t], sizes[t] - 4, seed));
    note(sc_video_decoder_decode(decoder, packets[t], sizes[t], &got));
  }
  sc_video_decoder_destroy(decoder);
  for (unsigned t = 0; t < 3; t++)
    free(packets[t]);
}

static void cycle(const files *f, unsigned turn) {
  models(f->model, f->model_size, turn);
  models(f->inter, f->inter_size, turn);
  sc_model *model = model_of(f->model, f->model_size);
  sc_model *formats = model_of(f->formats, f->formats_size);
  sc_model *inter = model_of(f->inter, f->inter_size);
  size_t size = 0;
  uint8_t *bytes = encode(model, turn, &size);
  decode(model, f, bytes, size, turn);
  sc_free(bytes);
  stream(formats, inter, model, f, turn);
  sc_model_destroy(model);
  sc_model_destroy(formats);
  sc_model_destroy(inter);
}

/// What each stage fails with at least once.
static const sc_status expected[] = {
    SC_ERROR_ARGUMENT,      SC_ERROR_LAYOUT,         SC_ERROR_RATE_POINT,      SC_ERROR_SEGMENT_ROWS,
    SC_ERROR_TARGET,        SC_ERROR_CANCELLED,      SC_ERROR_BUFFER,          SC_ERROR_NOT_A_MODEL,
    SC_ERROR_MODEL_INVALID, SC_ERROR_MODEL_CHECKSUM, SC_ERROR_MODEL_TRUNCATED, SC_ERROR_NOT_A_BITSTREAM,
    SC_ERROR_VERSION,       SC_ERROR_TRUNCATED,      SC_ERROR_CHECKSUM,        SC_ERROR_INVALID,
    SC_ERROR_OTHER_MODEL,   SC_ERROR_TOO_LARGE,      SC_ERROR_MEMORY,          SC_ERROR_MODEL_KIND,
    SC_ERROR_REFERENCE,     SC_ERROR_FRAME,
};

int main(int argc, char **arguments) {
  if (argc < 3)
    return 2;
  files f;
  f.model = load_file(arguments[1], "models/tiny-hyper.scm", &f.model_size);
  f.formats = load_file(arguments[1], "models/tiny-formats.scm", &f.formats_size);
  f.inter = load_file(arguments[1], "models/tiny-inter.scm", &f.inter_size);
  f.stream = load_file(arguments[1], "golden/black-16x16-tiny-0.sci", &f.stream_size);
  const unsigned cycles = (unsigned)atoi(arguments[2]);
  for (unsigned turn = 0; turn < 50; turn++)
    cycle(&f, turn);
  const size_t before = heap();
  for (unsigned turn = 0; turn < cycles; turn++)
    cycle(&f, turn);
  const long grown = (long)(heap() - before);
  unsigned long errors = 0;
  int kinds = 0;
  for (int i = 1; i < STATUSES; i++) {
    errors += seen[i];
    kinds += seen[i] > 0;
  }
  printf("%u cycles with %lu errors of %d kinds: the heap grew by %ld bytes\n", cycles, errors, kinds, grown);
  int bad = 0;
  for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
    if (!seen[expected[i]]) {
      fprintf(stderr, "FAIL: no call ended with: %s\n", sc_status_string(expected[i]));
      bad = 1;
    }
  }
  for (int i = 0; i < PARTS; i++) {
    if (!parts[i].seen) {
      fprintf(stderr, "FAIL: no decoder said: %s\n", parts[i].words);
      bad = 1;
    }
  }
  // What the library keeps once and for all, and what the allocator keeps of freed blocks, does not grow with the cycles.
  if (grown > 4096) {
    fprintf(stderr, "FAIL: memory is lost\n");
    bad = 1;
  }
  free(f.model);
  free(f.formats);
  free(f.inter);
  free(f.stream);
  return bad;
}
