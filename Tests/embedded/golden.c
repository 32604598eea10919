// SPDX-License-Identifier: BSD-3-Clause
//
// Decodes the golden files through the C interface alone, here and on emulated machines: golden FIXTURES
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "swiftcodec.h"

static const char *root;
static int failures;

static void fail(const char *file, const char *what) {
  fprintf(stderr, "FAIL %s: %s\n", file, what);
  failures++;
}

/// A file below the fixtures.
static uint8_t *load(const char *path, size_t *size) { return load_file(root, path, size); }

static FILE *open_list(const char *name) {
  char full[1024];
  snprintf(full, sizeof full, "%s/golden/%s", root, name);
  FILE *list = fopen(full, "r");
  if (!list) {
    fprintf(stderr, "cannot read %s\n", full);
    exit(2);
  }
  return list;
}

/// Bit by bit: nothing of the library is used.
static uint32_t crc32c(const uint8_t *bytes, size_t size) {
  uint32_t crc = 0xFFFFFFFFu;
  for (size_t i = 0; i < size; i++) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; bit++) {
      crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
    }
  }
  return ~crc;
}

static sc_model *load_model(const char *path) {
  sc_model *model = NULL;
  char message[256];
  if (strcmp(path, "embedded") == 0) {
    if (sc_model_create_embedded(&model) != SC_OK) {
      fail(path, "does not load");
    }
    return model;
  }
  size_t size;
  uint8_t *bytes = load(path, &size);
  if (sc_model_create(bytes, size, &model, message, sizeof message) != SC_OK) {
    fail(path, message);
  }
  free(bytes);
  return model;
}

/// The planes of a picture without gaps, one after the other: width and height of each.
static int planes_of(sc_pixel_format format, size_t width, size_t height, size_t row[3], size_t rows[3]) {
  row[0] = format == SC_PIXEL_RGB ? 3 * width : width;
  rows[0] = height;
  row[1] = row[2] = (width + 1) / 2;
  rows[1] = rows[2] = (height + 1) / 2;
  return format == SC_PIXEL_I420 ? 3 : 1;
}

static sc_pixel_format format_of(const char *name) {
  return strcmp(name, "rgb") == 0 ? SC_PIXEL_RGB : strcmp(name, "grey") == 0 ? SC_PIXEL_GREY : SC_PIXEL_I420;
}

/// Decodes into rows with gaps and compares the hash; checks that the gaps are untouched.
static void check(sc_decoder *decoder, const char *file, const uint8_t *bytes, size_t size,
                  const unsigned shape[2], sc_pixel_format format, uint32_t hash) {
  sc_header header = SC_HEADER;
  if (sc_read_header(bytes, size < 64 ? size : 64, &header) != SC_OK) {
    fail(file, "the header does not read");
    return;
  }
  if (header.width != shape[0] || header.height != shape[1] || header.format != format) {
    fail(file, "another size or format");
    return;
  }
  enum { GAP = 13 };
  size_t row[3], rows[3], total = 0, packed_size = 0;
  const int count = planes_of(format, header.width, header.height, row, rows);
  for (int p = 0; p < count; p++) {
    total += (row[p] + GAP) * rows[p];
    packed_size += row[p] * rows[p];
  }
  uint8_t *samples = malloc(total), *packed = malloc(packed_size), *to = packed, *at = samples;
  memset(samples, 0xA5, total);
  sc_picture picture = SC_PICTURE(header.width, header.height, format, samples);
  for (int p = 0; p < count; p++) {
    picture.planes[p] = at;
    picture.strides[p] = row[p] + GAP;
    at += (row[p] + GAP) * rows[p];
  }
  sc_status status = sc_decode(decoder, bytes, size, &picture);
  if (status != SC_OK) {
    fail(file, sc_decoder_message(decoder));
  } else {
    for (int p = 0; p < count; p++) {
      for (size_t y = 0; y < rows[p]; y++) {
        const uint8_t *from = picture.planes[p] + y * picture.strides[p];
        memcpy(to, from, row[p]);
        to += row[p];
        for (size_t x = row[p]; x < row[p] + GAP; x++) {
          if (from[x] != 0xA5) {
            fail(file, "bytes between rows were written");
            break;
          }
        }
      }
    }
    if (crc32c(packed, packed_size) != hash) {
      fail(file, "other pixels");
    }
  }
  free(samples);
  free(packed);
}

static int check_good(const char *only) {
  FILE *list = open_list("golden.txt");
  char line[512], file[128], path[160], model_path[128], current[128] = "";
  sc_model *model = NULL;
  sc_decoder *decoder = NULL;
  int done = 0;
  while (fgets(line, sizeof line, list)) {
    unsigned shape[2], hash;
    char format[16];
    if (line[0] == '#' ||
        sscanf(line, "%127s %127s %u %u %15s %x", file, model_path, &shape[0], &shape[1], format, &hash) !=
            6 ||
        (only && strcmp(only, model_path) != 0)) {
      continue;
    }
    if (strcmp(current, model_path) != 0) {
      sc_decoder_destroy(decoder);
      sc_model_destroy(model);
      decoder = NULL;
      model = load_model(model_path);
      if (!model || sc_decoder_create(model, NULL, &decoder) != SC_OK) {
        exit(2);
      }
      strcpy(current, model_path);
    }
    snprintf(path, sizeof path, "golden/%s", file);
    size_t size;
    uint8_t *bytes = load(path, &size);
    check(decoder, file, bytes, size, shape, format_of(format), hash);
    free(bytes);
    done++;
  }
  sc_decoder_destroy(decoder);
  sc_model_destroy(model);
  fclose(list);
  return done;
}

/// A stream of the list of videos and what it was opened with.
typedef struct video {
  char file[128], intra[128], inter[128];
  uint8_t *bytes;
  size_t size, at;
  sc_video_header header;
  sc_video_decoder *decoder;
  unsigned next; ///< the number of the frame that its next packet gives
} video;

static void close_video(video *v) {
  sc_video_decoder_destroy(v->decoder);
  free(v->bytes);
  memset(v, 0, sizeof *v);
}

static void open_video(video *v, const char *file, const char *intra_path, const char *inter_path) {
  char path[160];
  sc_video_header header = SC_VIDEO_HEADER;
  sc_model *intra = load_model(intra_path);
  sc_model *inter = strcmp(inter_path, "-") == 0 ? NULL : load_model(inter_path);
  close_video(v);
  strcpy(v->file, file);
  strcpy(v->intra, intra_path);
  strcpy(v->inter, inter_path);
  snprintf(path, sizeof path, "golden/%s", file);
  v->bytes = load(path, &v->size);
  sc_status status = sc_read_video_header(v->bytes, v->size, &header);
  if (status == SC_OK) {
    status = sc_video_decoder_create(intra, inter, v->bytes, header.size, NULL, &v->decoder);
  }
  if (status != SC_OK) {
    fail(file, sc_status_string(status));
    exit(1);
  }
  v->header = header;
  v->at = header.size;
  sc_model_destroy(intra);
  sc_model_destroy(inter);
}

/// Decodes on to a frame of a stream, and compares it.
static void check_frame(video *v, unsigned number, uint32_t hash) {
  size_t row[3], rows[3], total = 0;
  const int count = planes_of(SC_PIXEL_I420, v->header.width, v->header.height, row, rows);
  while (v->next <= number) {
    size_t size;
    sc_video_frame frame = SC_VIDEO_FRAME;
    if (sc_video_packet_size(v->bytes + v->at, v->size - v->at, &size, NULL) != SC_OK ||
        size > v->size - v->at ||
        sc_video_decoder_decode(v->decoder, v->bytes + v->at, size, &frame) != SC_OK || !frame.has_frame ||
        frame.number != v->next) {
      fail(v->file, sc_video_decoder_message(v->decoder));
      exit(1);
    }
    v->at += size;
    v->next++;
  }
  for (int p = 0; p < count; p++) {
    total += row[p] * rows[p];
  }
  uint8_t *samples = malloc(total), *at = samples;
  sc_picture picture = SC_PICTURE(v->header.width, v->header.height, SC_PIXEL_I420, samples);
  for (int p = 0; p < count; p++) {
    picture.planes[p] = at;
    at += row[p] * rows[p];
  }
  if (sc_video_decoder_frame(v->decoder, &picture) != SC_OK || crc32c(samples, total) != hash) {
    fail(v->file, "another frame");
  }
  free(samples);
}

/// Frames of streams, in their order: stream, intra model, inter model or "-", frame, CRC-32C.
static int check_videos(void) {
  char full[1024], line[512], file[128], intra[128], inter[128];
  snprintf(full, sizeof full, "%s/golden/golden-video.txt", root);
  FILE *list = fopen(full, "r");
  video v;
  int done = 0;
  memset(&v, 0, sizeof v);
  while (list && fgets(line, sizeof line, list)) {
    unsigned number, hash;
    if (line[0] == '#' || sscanf(line, "%127s %127s %127s %u %x", file, intra, inter, &number, &hash) != 5) {
      continue;
    }
    if (strcmp(v.file, file) != 0 || number < v.next) {
      open_video(&v, file, intra, inter);
    }
    check_frame(&v, number, hash);
    done++;
  }
  close_video(&v);
  if (list) {
    fclose(list);
  }
  return done;
}

static int check_bad(void) {
  FILE *list = open_list("errors.txt");
  sc_model *model = load_model("models/tiny.scm");
  sc_decoder *decoder = NULL;
  char line[512], file[128], path[160];
  int done = 0;
  if (!model || sc_decoder_create(model, NULL, &decoder) != SC_OK) {
    exit(2);
  }
  while (fgets(line, sizeof line, list)) {
    unsigned expected;
    if (line[0] == '#' || sscanf(line, "%127s %u", file, &expected) != 2) {
      continue;
    }
    snprintf(path, sizeof path, "golden/%s", file);
    size_t size;
    uint8_t *bytes = load(path, &size);
    sc_header header = SC_HEADER;
    sc_status status = sc_read_header(bytes, size, &header);
    if (status == SC_OK) {
      uint8_t *samples = malloc((size_t)header.width * header.height * 3);
      sc_picture picture = SC_PICTURE(header.width, header.height, SC_PIXEL_RGB, samples);
      status = sc_decode(decoder, bytes, size, &picture);
      if (status != SC_OK && !*sc_decoder_message(decoder)) {
        fail(file, "no message");
      }
      free(samples);
    }
    if ((unsigned)status != expected) {
      fail(file, sc_status_string(status));
    }
    free(bytes);
    done++;
  }
  sc_decoder_destroy(decoder);
  sc_model_destroy(model);
  fclose(list);
  return done;
}

/// A picture to bytes and back, through both ways to encode.
static void check_encoder(void) {
  sc_model *model = load_model("models/tiny.scm");
  sc_encoder *encoder = NULL;
  sc_encoder_settings settings = SC_ENCODER_SETTINGS;
  uint8_t samples[29 * 40], *bytes = NULL, copy[4096], decoded[29 * 37];
  size_t size = 0, other = 0;
  sc_picture picture = SC_PICTURE(37, 29, SC_PIXEL_GREY, samples), target = picture;
  sc_decoder *decoder = NULL;
  for (size_t i = 0; i < sizeof samples; i++) {
    samples[i] = (uint8_t)(i * 7 % 251);
  }
  if (sc_model_quality(model, 80.0, &settings.rate_point, &settings.rate_fraction) != SC_OK ||
      settings.rate_fraction == 0) {
    fail("sc_model_quality", "gives no position between rate points");
  }
  picture.strides[0] = 40;
  target.planes[0] = decoded;
  settings.segment_rows = 8;
  settings.threads = 2;
  if (sc_encoder_create(model, &settings, &encoder) != SC_OK ||
      sc_decoder_create(model, NULL, &decoder) != SC_OK) {
    fail("encoder", "is not made");
    exit(1);
  }
  sc_model_destroy(model); // they keep it
  if (sc_encode(encoder, &picture, &bytes, &size) != SC_OK) {
    fail("sc_encode", sc_encoder_message(encoder));
  } else if (sc_encode_into(encoder, &picture, copy, size - 1, &other) != SC_ERROR_BUFFER || other != size) {
    fail("sc_encode_into", "takes too small a buffer");
  } else if (sc_encode_into(encoder, &picture, copy, sizeof copy, &other) != SC_OK || other != size ||
             memcmp(copy, bytes, size) != 0) {
    fail("sc_encode_into", "differs from sc_encode");
  } else {
    if (sc_decode(decoder, bytes, size, &target) != SC_OK) {
      fail("sc_decode", sc_decoder_message(decoder));
    }
    target.width = 36;
    if (sc_decode(decoder, bytes, size, &target) != SC_ERROR_LAYOUT) {
      fail("sc_decode", "takes another width");
    }
  }
  sc_free(bytes);
  settings.target = SC_TARGET_BYTES;
  settings.target_value = (double)size - 1;
  if (sc_encoder_configure(encoder, &settings) != SC_OK ||
      sc_encode_into(encoder, &picture, copy, sizeof copy, &other) != SC_OK || other >= size) {
    fail("sc_encode_into", "misses the target");
  }
  sc_encoder_destroy(encoder);
  sc_decoder_destroy(decoder);
}

int main(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: golden FIXTURES [MODEL]\n");
    return 2;
  }
  root = argv[1];
  int good = check_good(argc > 2 ? argv[2] : NULL);
  int videos = argc > 2 ? 0 : check_videos();
  int bad = check_bad();
  check_encoder();
  if (good == 0 || bad == 0) {
    fail(root, "nothing was checked");
  }
  printf("golden: %d files, %d frames of streams, %d damaged files, %d failures\n", good, videos, bad,
         failures);
  return failures ? 1 : 0;
}
