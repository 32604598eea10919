// SPDX-License-Identifier: BSD-3-Clause
//
// Encodes a picture at every rate point of the embedded model, decodes the files again and prints what came
// of it.
//
//   roundtrip [PICTURE.ppm | PICTURE.pgm]       8-bit binary PNM; without one a gradient is drawn
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "swiftcodec.h"

static int fail(const char *what, sc_status status, const char *message) {
  fprintf(stderr, "roundtrip: %s: %s%s%s\n", what, sc_status_string(status), message && *message ? ": " : "",
          message ? message : "");
  return 1;
}

/// Reads a PNM, or draws; the samples are the caller's to free.
static uint8_t *read_picture(const char *path, sc_picture *picture) {
  unsigned width = 160, height = 120, channels = 3;
  FILE *file = NULL;
  if (path) {
    char kind;
    unsigned maximum;
    file = fopen(path, "rb");
    if (!file || fscanf(file, "P%c %u %u %u", &kind, &width, &height, &maximum) != 4 || fgetc(file) == EOF ||
        (kind != '5' && kind != '6') || maximum != 255 || width - 1 > 65534 || height - 1 > 65534) {
      fprintf(stderr, "roundtrip: %s is not a binary PNM of 8 bits\n", path);
      if (file) {
        fclose(file);
      }
      return NULL;
    }
    channels = kind == '6' ? 3 : 1;
  }
  size_t size = (size_t)width * height * channels;
  uint8_t *samples = malloc(size);
  if (samples && file && fread(samples, 1, size, file) != size) {
    fprintf(stderr, "roundtrip: %s ends too early\n", path);
    free(samples);
    samples = NULL;
  } else if (samples && !file) {
    for (unsigned y = 0; y < height; y++) {
      for (unsigned x = 0; x < width; x++) {
        uint8_t *pixel = samples + 3 * ((size_t)y * width + x);
        pixel[0] = (uint8_t)(x * 255 / width);
        pixel[1] = (uint8_t)(y * 255 / height);
        pixel[2] = (uint8_t)((x / 16 + y / 16) % 2 ? 200 : 60);
      }
    }
  }
  if (file) {
    fclose(file);
  }
  sc_picture shape = SC_PICTURE(width, height, channels == 3 ? SC_PIXEL_RGB : SC_PIXEL_GREY, samples);
  *picture = shape;
  return samples;
}

int main(int argc, char **argv) {
  sc_picture picture;
  uint8_t *samples = read_picture(argc > 1 ? argv[1] : NULL, &picture);
  if (!samples) {
    return 1;
  }
  size_t count = (size_t)picture.width * picture.height * (picture.format == SC_PIXEL_RGB ? 3 : 1);
  uint8_t *decoded = malloc(count);
  sc_model *model = NULL;
  sc_encoder *encoder = NULL;
  sc_decoder *decoder = NULL;
  int result = 1;

  sc_status status = sc_model_create_embedded(&model);
  if (status != SC_OK || !decoded) {
    fail("model", status, NULL);
    goto out;
  }
  if ((status = sc_decoder_create(model, NULL, &decoder)) != SC_OK ||
      (status = sc_encoder_create(model, NULL, &encoder)) != SC_OK) {
    fail("create", status, NULL);
    goto out;
  }
  printf("library %u.%u.%u, model %016llx, %u x %u, %s\n", sc_version() >> 16, sc_version() >> 8 & 255,
         sc_version() & 255, (unsigned long long)sc_model_id(model), picture.width, picture.height,
         picture.format == SC_PIXEL_RGB ? "RGB" : "grey");

  for (uint32_t k = 0; k < sc_model_rate_points(model); k++) {
    sc_encoder_settings settings = SC_ENCODER_SETTINGS;
    uint8_t *bytes = NULL;
    size_t size = 0;
    sc_header header = SC_HEADER;
    settings.rate_point = k;
    // The lowest rate point as good as the encoder can quickly make it.
    settings.rdoq = k == 0 ? SC_RDOQ_FAST : SC_RDOQ_OFF;
    if ((status = sc_encoder_configure(encoder, &settings)) != SC_OK ||
        (status = sc_encode(encoder, &picture, &bytes, &size)) != SC_OK) {
      fail("encode", status, sc_encoder_message(encoder));
      goto out;
    }
    if ((status = sc_read_header(bytes, size, &header)) != SC_OK) {
      sc_free(bytes);
      fail("header", status, NULL);
      goto out;
    }
    // A program that only decodes takes size and format from the header.
    sc_picture target = SC_PICTURE(header.width, header.height, header.format, decoded);
    status = sc_decode(decoder, bytes, size, &target);
    sc_free(bytes);
    if (status != SC_OK) {
      fail("decode", status, sc_decoder_message(decoder));
      goto out;
    }
    // FNV-1a: the same on every machine and in every build.
    uint64_t hash = 0xcbf29ce484222325u;
    double error = 0;
    for (size_t i = 0; i < count; i++) {
      double d = (double)decoded[i] - samples[i];
      error += d * d;
      hash = (hash ^ decoded[i]) * 0x100000001b3u;
    }
    printf("rate point %u: %zu bytes, %.3f bits per pixel, MSE %.3f, pixels %016llx\n", k, size,
           8.0 * (double)size / ((double)picture.width * picture.height), error / (double)count,
           (unsigned long long)hash);
  }
  result = 0;

out:
  sc_encoder_destroy(encoder);
  sc_decoder_destroy(decoder);
  sc_model_destroy(model);
  free(decoded);
  free(samples);
  return result;
}
