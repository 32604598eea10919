// SPDX-License-Identifier: BSD-3-Clause
//
// Encodes a clip to a stream, decodes the stream packet by packet, and compares every frame with what the encoder said
// that decoders get. Then it joins the stream at its second intra frame.
//
//   video                                       a clip is drawn
//   video CLIP.y4m [STREAM.scv]                 4:2:0 of 8 bits
//   video CLIP.yuv WIDTH HEIGHT [STREAM.scv]    raw I420
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "swiftcodec.h"

enum { DRAWN_FRAMES = 12 };

typedef struct clip {
  FILE *file; ///< NULL: drawn
  int is_y4m;
  unsigned width, height, rate_numerator, rate_denominator;
  uint8_t *samples; ///< of one frame: Y, U, V without gaps
  size_t size;
} clip;

static int fail(const char *what, sc_status status, const char *message) {
  fprintf(stderr, "video: %s: %s%s%s\n", what, sc_status_string(status), message && *message ? ": " : "",
          message ? message : "");
  return 1;
}

/// One line of a Y4M file, without its end. 0 for a line that is too long or missing.
static int read_line(FILE *file, char *line, size_t capacity) {
  size_t length = 0;
  int c;
  while ((c = fgetc(file)) != EOF && c != '\n') {
    if (length + 1 == capacity) {
      return 0;
    }
    line[length++] = (char)c;
  }
  line[length] = 0;
  return c == '\n';
}

/// The parameters of a Y4M file. 0 if it is none, or not one that this program reads.
static int read_y4m_header(clip *clip) {
  char line[512];
  if (!read_line(clip->file, line, sizeof line) || strncmp(line, "YUV4MPEG2", 9) != 0) {
    return 0;
  }
  for (char *field = strtok(line + 9, " "); field; field = strtok(NULL, " ")) {
    if (field[0] == 'W') {
      clip->width = (unsigned)strtoul(field + 1, NULL, 10);
    } else if (field[0] == 'H') {
      clip->height = (unsigned)strtoul(field + 1, NULL, 10);
    } else if (field[0] == 'F') {
      sscanf(field + 1, "%u:%u", &clip->rate_numerator, &clip->rate_denominator);
    } else if (field[0] == 'C' && (strncmp(field + 1, "420", 3) != 0 || field[4] == 'p')) {
      return strcmp(field + 1, "420paldv") == 0;
    }
  }
  return 1;
}

static void draw(clip *clip, unsigned number) {
  const unsigned w = clip->width, h = clip->height, cw = (w + 1) / 2, ch = (h + 1) / 2;
  uint8_t *u = clip->samples + (size_t)w * h, *v = u + (size_t)cw * ch;
  for (unsigned y = 0; y < h; y++) {
    for (unsigned x = 0; x < w; x++) {
      unsigned moved = x + 2 * number;
      clip->samples[(size_t)y * w + x] = (uint8_t)(40 + (moved / 8 + y / 8) % 2 * 60 + (moved * 3 + y) % 64);
    }
  }
  for (unsigned y = 0; y < ch; y++) {
    for (unsigned x = 0; x < cw; x++) {
      u[(size_t)y * cw + x] = (uint8_t)(100 + (x + number) % 32);
      v[(size_t)y * cw + x] = (uint8_t)(140 - y % 24);
    }
  }
}

/// The next frame: 1, or 0 at the end.
static int next_frame(clip *clip, unsigned number) {
  char line[512];
  if (!clip->file) {
    draw(clip, number);
    return number < DRAWN_FRAMES;
  }
  if (clip->is_y4m && (!read_line(clip->file, line, sizeof line) || strncmp(line, "FRAME", 5) != 0)) {
    return 0;
  }
  return fread(clip->samples, 1, clip->size, clip->file) == clip->size;
}

static sc_picture picture_of(const clip *clip, uint8_t *samples) {
  const size_t luma = (size_t)clip->width * clip->height;
  sc_picture picture = SC_PICTURE(clip->width, clip->height, SC_PIXEL_I420, samples);
  picture.planes[1] = samples + luma;
  picture.planes[2] = samples + luma + (clip->size - luma) / 2;
  return picture;
}

/// FNV-1a.
static uint64_t hash_of(const uint8_t *samples, size_t size) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (size_t i = 0; i < size; i++) {
    hash = (hash ^ samples[i]) * 0x100000001b3u;
  }
  return hash;
}

/// A growing stream in memory.
typedef struct buffer {
  uint8_t *bytes;
  size_t size, capacity;
} buffer;

static int append(buffer *to, const uint8_t *bytes, size_t size) {
  if (to->capacity - to->size < size) {
    size_t capacity = 2 * to->capacity + size;
    uint8_t *larger = realloc(to->bytes, capacity);
    if (!larger) {
      return 0;
    }
    to->bytes = larger;
    to->capacity = capacity;
  }
  memcpy(to->bytes + to->size, bytes, size);
  to->size += size;
  return 1;
}

/// Encodes the whole clip. `hashes` gets one of every frame as decoders have it.
static int encode(clip *clip, const sc_model *intra, const sc_model *inter, buffer *stream, buffer *hashes) {
  sc_video_settings settings = SC_VIDEO_SETTINGS(clip->width, clip->height);
  sc_video_encoder *encoder = NULL;
  const uint8_t *bytes;
  size_t size;
  int is_intra, result = 1;
  uint8_t *decoded = malloc(clip->size);
  sc_picture frame = picture_of(clip, clip->samples), copy = picture_of(clip, decoded);
  settings.frame_rate_numerator = clip->rate_numerator;
  settings.frame_rate_denominator = clip->rate_denominator;
  settings.intra_period = 8;
  sc_status status = decoded ? sc_video_encoder_create(intra, inter, &settings, &encoder) : SC_ERROR_ARGUMENT;
  if (status != SC_OK) {
    fail("encoder", status, NULL);
    goto out;
  }
  if ((status = sc_video_encoder_header(encoder, &bytes, &size)) != SC_OK || !append(stream, bytes, size)) {
    fail("header", status, sc_video_encoder_message(encoder));
    goto out;
  }
  for (unsigned number = 0; next_frame(clip, number); number++) {
    if ((status = sc_video_encoder_encode(encoder, &frame, &bytes, &size, &is_intra)) != SC_OK ||
        !append(stream, bytes, size) || (status = sc_video_encoder_frame(encoder, &copy)) != SC_OK) {
      fail("encode", status, sc_video_encoder_message(encoder));
      goto out;
    }
    double error = 0;
    for (size_t i = 0; i < clip->size; i++) {
      double d = (double)decoded[i] - clip->samples[i];
      error += d * d;
    }
    uint64_t hash = hash_of(decoded, clip->size);
    printf("frame %u: %s, %u bytes, MSE %.3f, samples %016llx\n", number, is_intra ? "intra" : "inter",
           (unsigned)size, error / (double)clip->size, (unsigned long long)hash);
    if (!append(hashes, (const uint8_t *)&hash, sizeof hash)) {
      goto out;
    }
  }
  if ((status = sc_video_encoder_finish(encoder, &bytes, &size)) != SC_OK || !append(stream, bytes, size)) {
    fail("finish", status, sc_video_encoder_message(encoder));
    goto out;
  }
  result = 0;

out:
  sc_video_encoder_destroy(encoder);
  free(decoded);
  return result;
}

/// Decodes the stream from its intra frame number `skip` on and compares every frame's hash. The number of frames; 0 for a
/// failure.
static unsigned decode(const clip *clip, const sc_model *intra, const sc_model *inter, const buffer *stream,
                       const buffer *hashes, unsigned skip) {
  sc_video_header header = SC_VIDEO_HEADER;
  sc_video_decoder *decoder = NULL;
  uint8_t *decoded = malloc(clip->size);
  sc_picture copy = picture_of(clip, decoded);
  unsigned count = 0;
  sc_status status = sc_read_video_header(stream->bytes, stream->size, &header);
  if (!decoded || status != SC_OK ||
      (status = sc_video_decoder_create(intra, inter, stream->bytes, header.size, NULL, &decoder)) != SC_OK) {
    fail("decoder", status, NULL);
    goto out;
  }
  for (size_t at = header.size; at < stream->size;) {
    // A program that reads from a pipe has 9 bytes first, and then knows how many follow.
    size_t size;
    sc_packet_kind kind;
    sc_video_frame frame = SC_VIDEO_FRAME;
    if ((status = sc_video_packet_size(stream->bytes + at, stream->size - at, &size, &kind)) != SC_OK ||
        size > stream->size - at) {
      count = 0;
      fail("packet", status, NULL);
      break;
    }
    const uint8_t *packet = stream->bytes + at;
    at += size;
    if (skip > 0 && (kind != SC_PACKET_INTRA || --skip > 0)) {
      continue;
    }
    if ((status = sc_video_decoder_decode(decoder, packet, size, &frame)) != SC_OK ||
        (frame.has_frame && (status = sc_video_decoder_frame(decoder, &copy)) != SC_OK)) {
      count = 0;
      fail("decode", status, sc_video_decoder_message(decoder));
      break;
    }
    if (!frame.has_frame) {
      continue;
    }
    uint64_t expected, hash = hash_of(decoded, clip->size);
    memcpy(&expected, hashes->bytes + (size_t)frame.number * sizeof expected, sizeof expected);
    if (hash != expected) {
      fprintf(stderr, "video: frame %u differs\n", (unsigned)frame.number);
      count = 0;
      break;
    }
    count++;
  }

out:
  sc_video_decoder_destroy(decoder);
  free(decoded);
  return count;
}

int main(int argc, char **argv) {
  clip clip = {NULL, 0, 176, 144, 25, 1, NULL, 0};
  buffer stream = {NULL, 0, 0}, hashes = {NULL, 0, 0};
  sc_model *intra = NULL, *inter = NULL;
  const char *output = NULL;
  int result = 1;
  if (argc > 1) {
    const size_t length = strlen(argv[1]);
    clip.is_y4m = length > 4 && strcmp(argv[1] + length - 4, ".y4m") == 0;
    clip.file = fopen(argv[1], "rb");
    if (!clip.is_y4m && argc > 3) {
      clip.width = (unsigned)strtoul(argv[2], NULL, 10);
      clip.height = (unsigned)strtoul(argv[3], NULL, 10);
    }
    output = clip.is_y4m ? argv[2] : argc > 4 ? argv[4] : NULL;
    if (!clip.file || (clip.is_y4m ? !read_y4m_header(&clip) : argc < 4) || clip.width - 1 > 65534 ||
        clip.height - 1 > 65534) {
      fprintf(stderr, "video: %s cannot be read as 4:2:0 of 8 bits\n", argv[1]);
      goto out;
    }
  }
  const size_t chroma = (size_t)((clip.width + 1) / 2) * ((clip.height + 1) / 2);
  clip.size = (size_t)clip.width * clip.height + 2 * chroma;
  clip.samples = malloc(clip.size);
  sc_status status = sc_model_create_embedded(&intra);
  if (status == SC_OK) {
    status = sc_model_create_embedded_inter(&inter);
  }
  if (status != SC_OK || !clip.samples) {
    fail("models", status, NULL);
    goto out;
  }
  if (encode(&clip, intra, inter, &stream, &hashes) != 0) {
    goto out;
  }
  if (output) {
    FILE *file = fopen(output, "wb");
    int is_written = file && fwrite(stream.bytes, 1, stream.size, file) == stream.size;
    if (!file || fclose(file) != 0 || !is_written) {
      fprintf(stderr, "video: cannot write %s\n", output);
      goto out;
    }
  }
  unsigned all = decode(&clip, intra, inter, &stream, &hashes, 0);
  if (all != hashes.size / sizeof(uint64_t)) {
    goto out;
  }
  printf("%u x %u, %u frames, %u bytes: decoded to the same samples\n", clip.width, clip.height, all,
         (unsigned)stream.size);
  if (all > 8) {
    unsigned some = decode(&clip, intra, inter, &stream, &hashes, 2);
    if (some == 0) {
      goto out;
    }
    printf("from the second intra frame on: %u frames, the same\n", some);
  }
  result = 0;

out:
  sc_model_destroy(intra);
  sc_model_destroy(inter);
  if (clip.file) {
    fclose(clip.file);
  }
  free(clip.samples);
  free(stream.bytes);
  free(hashes.bytes);
  return result;
}
