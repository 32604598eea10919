// SPDX-License-Identifier: BSD-3-Clause
//
// SwiftCodec: the C interface. Compiles alone as C99 and C++.
//
// Pictures are 8-bit samples, rows from the top, in one of the layouts of sc_pixel_format. Sizes and strides are in
// pixels and bytes as said. A bitstream holds one picture and names the model that it was made with.
//
// Ownership: what a function with "create" in its name gives, the caller destroys, in any order: encoders and
// decoders keep their model alive by themselves. Memory that sc_encode gives is freed with sc_free.
// Everything that the caller passes in stays the caller's, and is not kept after the call. Destroying or
// freeing NULL does nothing. On failure nothing is created or allocated: the pointers behind `out` arguments
// are set to NULL and sizes to 0, unless said otherwise.
//
// Threads: a model is immutable and may be used by any number of threads at a time. An encoder or a decoder
// is used by one thread at a time. There is no global state. Within a call up to `threads` threads work, and
// all of them have ended when it returns.
//
// Structs start with their size. A program that was built with an earlier version of this header has smaller ones:
// what they lack counts as 0, the default.
//
// No function prints, exits or aborts on bad input. If memory runs out the process ends: limit what a
// bitstream may ask for with sc_decoder_settings.max_pixels.
#ifndef SWIFTCODEC_H
#define SWIFTCODEC_H

#include <stddef.h>
#include <stdint.h>

/// Marks what a shared library gives. SC_BUILD is defined where the library itself is built, SC_SHARED where a program on
/// Windows uses it as a DLL.
#ifndef SC_API
#if defined(_WIN32) && defined(SC_BUILD)
#define SC_API __declspec(dllexport)
#elif defined(_WIN32) && defined(SC_SHARED)
#define SC_API __declspec(dllimport)
#elif defined(__GNUC__)
#define SC_API __attribute__((visibility("default")))
#else
#define SC_API
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

// ---- Version -------------------------------------------------------------------------------------------------------

#define SC_VERSION_MAJOR 0
#define SC_VERSION_MINOR 2
#define SC_VERSION_PATCH 0
/// Comparable: 0x00MMmmpp.
#define SC_VERSION (SC_VERSION_MAJOR << 16 | SC_VERSION_MINOR << 8 | SC_VERSION_PATCH)

/// The SC_VERSION of the library at run time. Programs work with a library of the same major version, and of
/// the same minor version while the major one is 0.
SC_API uint32_t sc_version(void);

// ---- Status --------------------------------------------------------------------------------------------------------

/// The result of a call. Values are never reused; new ones fill the gaps.
typedef enum sc_status {
  SC_OK = 0,

  // The call.
  SC_ERROR_ARGUMENT = 10, ///< a pointer is NULL, or a struct_size is not one of this library
  SC_ERROR_LAYOUT =
      11, ///< sides outside of 1...65535, a format unknown or without networks in the model, a row
          ///< stride too small, or not the width and height that the bitstream's header says
  SC_ERROR_RATE_POINT = 12,   ///< the model has fewer rate points, or the fraction is not one
  SC_ERROR_ENTROPY = 13,      ///< the model has no such entropy model
  SC_ERROR_BUFFER = 14,       ///< the buffer is too small; the size that it needs is stored
  SC_ERROR_SEGMENT_ROWS = 15, ///< segment_rows is not 0 or a multiple of 8 up to 2040
  SC_ERROR_TARGET = 16,       ///< no position of the model reaches the target

  // The model file.
  SC_ERROR_NOT_A_MODEL = 20,     ///< it does not start as a model file of a known version
  SC_ERROR_MODEL_TRUNCATED = 21, ///< it ends too early
  SC_ERROR_MODEL_CHECKSUM = 22,  ///< a CRC does not match: the file is damaged
  SC_ERROR_MODEL_INVALID = 23,   ///< it breaks a rule of the format
  SC_ERROR_MODEL_OVERFLOW = 24,  ///< its weights are so large that an accumulator could overflow

  // The bitstream.
  SC_ERROR_NOT_A_BITSTREAM = 30,
  SC_ERROR_VERSION = 31,     ///< of a version that this library does not know
  SC_ERROR_TRUNCATED = 32,   ///< it ends too early
  SC_ERROR_CHECKSUM = 33,    ///< a CRC does not match: it is damaged
  SC_ERROR_INVALID = 34,     ///< it breaks a rule of the format
  SC_ERROR_OTHER_MODEL = 35, ///< made with another model than the decoder's
  SC_ERROR_TOO_LARGE = 36    ///< more pixels than max_pixels
} sc_status;

/// One line for people; static, never NULL.
SC_API const char *sc_status_string(sc_status status);

// ---- Models --------------------------------------------------------------------------------------------------------

/// A trained codec: networks, rate points and entropy models.
typedef struct sc_model sc_model;

/// The model that is part of the library.
SC_API sc_status sc_model_create_embedded(sc_model **out);
/// Reads a model file from memory; the bytes are copied. All of it is checked: a file from anywhere is safe
/// to try. If `message` is not NULL it receives what is wrong and where, of at most message_size − 1 bytes
/// and terminated; on success the empty string.
SC_API sc_status sc_model_create(const uint8_t *bytes, size_t size, sc_model **out, char *message,
                                 size_t message_size);
SC_API void sc_model_destroy(sc_model *model);

/// The 64-bit hash of the model file, whose upper 32 bits bitstreams name the model by; 0 for NULL.
SC_API uint64_t sc_model_id(const sc_model *model);
/// Rate points are numbered from 0, the lowest rate, to this − 1; 0 for NULL. Between two neighbours lie 31 more
/// positions, which a fraction of 1...31 names.
SC_API uint32_t sc_model_rate_points(const sc_model *model);
/// The position of a quality of 0...100, which goes evenly from the first rate point to the last. Other qualities are
/// SC_ERROR_ARGUMENT, and nothing is stored.
SC_API sc_status sc_model_quality(const sc_model *model, double quality, uint32_t *rate_point,
                                  uint32_t *rate_fraction);

/// How the latent is entropy coded.
typedef enum sc_entropy_kind {
  SC_ENTROPY_BEST = 0, ///< the strongest that the model has
  SC_ENTROPY_STATIC = 1,
  SC_ENTROPY_THRESHOLD = 2,
  SC_ENTROPY_WEIGHTED = 3
} sc_entropy_kind;

/// Whether the model has an entropy model of that kind: 1 or 0.
SC_API int sc_model_has_entropy(const sc_model *model, sc_entropy_kind kind);

// ---- Pictures ------------------------------------------------------------------------------------------------------

/// How samples lie in memory.
typedef enum sc_pixel_format {
  SC_PIXEL_RGB = 1,  ///< one plane, 3 bytes a pixel
  SC_PIXEL_RGBA = 2, ///< one plane, 4 bytes a pixel; alpha is not premultiplied
  SC_PIXEL_BGRA = 3, ///< the same in another order
  SC_PIXEL_GREY = 4, ///< one plane
  SC_PIXEL_I420 = 5, ///< planes Y, U, V; U and V have half the width and height, rounded up (YUV 4:2:0)
  SC_PIXEL_NV12 = 6  ///< planes Y and, of half the width and height, rounded up, U and V interleaved
} sc_pixel_format;

/// Samples of the caller. `planes` and `strides` (bytes from one row to the next; 0 for rows without a gap) count as far as
/// the format has planes; the others are NULL and 0.
typedef struct sc_picture {
  size_t struct_size;     ///< sizeof(sc_picture)
  uint32_t width;         ///< pixels, 1...65535
  uint32_t height;        ///< pixels, 1...65535
  sc_pixel_format format; ///< of the samples in memory
  uint32_t reserved;      ///< 0
  uint8_t *planes[3];     ///< read alone by an encoder, written by a decoder
  size_t strides[3];
} sc_picture;

/// A picture of one plane without gaps; planes of I420 and NV12 are set afterwards.
#define SC_PICTURE(width, height, format, samples)                                                           \
  {                                                                                                          \
    sizeof(sc_picture), (width), (height), (format), 0, {(samples), 0, 0}, { 0, 0, 0 }                       \
  }

/// What the header of a bitstream says.
typedef struct sc_header {
  size_t struct_size; ///< sizeof(sc_header), set by the caller
  uint32_t width, height;
  sc_pixel_format format; ///< SC_PIXEL_RGB, SC_PIXEL_GREY or SC_PIXEL_I420: what was coded
  uint32_t rate_point, rate_fraction;
  sc_entropy_kind entropy;
  uint32_t model_id;     ///< the upper 32 bits of sc_model_id
  uint32_t segments;     ///< parts that are coded independently
  uint32_t segment_rows; ///< their height in rows of the latent, if there are several; otherwise 0
} sc_header;

#define SC_HEADER                                                                                            \
  { sizeof(sc_header), 0, 0, SC_PIXEL_RGB, 0, 0, SC_ENTROPY_BEST, 0, 0, 0 }

/// Reads the header alone; `header` is untouched on failure. The first 64 bytes of a file are enough. Its fields are
/// in their ranges, but only sc_decode verifies the checksums: until then a damaged header may read as another one.
SC_API sc_status sc_read_header(const uint8_t *bytes, size_t size, sc_header *header);

// ---- Decoding ------------------------------------------------------------------------------------------------------

typedef struct sc_decoder sc_decoder;

/// 0 in every field but the first means the default.
typedef struct sc_decoder_settings {
  size_t struct_size;  ///< sizeof(sc_decoder_settings)
  uint32_t threads;    ///< at most 64; 0: one for every processor that the process may use
  uint32_t reserved;   ///< 0
  uint64_t max_pixels; ///< pictures of more pixels are refused before memory is allocated; 0: 2^28
} sc_decoder_settings;

#define SC_DECODER_SETTINGS                                                                                  \
  { sizeof(sc_decoder_settings), 0, 0, 0 }

/// `settings` NULL means the defaults.
SC_API sc_status sc_decoder_create(const sc_model *model, const sc_decoder_settings *settings,
                                   sc_decoder **out);
SC_API void sc_decoder_destroy(sc_decoder *decoder);

/// Decodes a bitstream into samples of the caller, who says the format: a model with networks for it decodes to it
/// directly, whatever was coded; SC_ERROR_LAYOUT where the model has none. RGBA and BGRA get the picture's alpha, or 255.
/// The same bitstream gives the same samples on every machine, with any number of threads. On failure no sample is
/// written; bytes between rows are never written.
SC_API sc_status sc_decode(sc_decoder *decoder, const uint8_t *bytes, size_t size, const sc_picture *picture);
/// What went wrong in the decoder's last call, for people; empty after success. Valid until its next call.
SC_API const char *sc_decoder_message(const sc_decoder *decoder);

// ---- Encoding ------------------------------------------------------------------------------------------------------

typedef struct sc_encoder sc_encoder;

/// What a file is to come to. A search encodes about ten times.
typedef enum sc_target {
  SC_TARGET_NONE = 0,
  SC_TARGET_BYTES = 1,          ///< the largest file of at most target_value bytes
  SC_TARGET_BITS_PER_PIXEL = 2, ///< the largest file of at most target_value bits per pixel
  SC_TARGET_PSNR = 3            ///< the smallest file with a PSNR of at least target_value dB
} sc_target;

/// Rate-distortion optimised quantisation: the encoder searches for a smaller file or a better picture. The decoder does
/// not know of it, and the result does not depend on the machine.
typedef enum sc_rdoq {
  SC_RDOQ_OFF = 0,
  SC_RDOQ_FAST = 1, ///< some tens of decodings
  SC_RDOQ_FULL = 2, ///< some hundreds
  SC_RDOQ_QUICK = 3 ///< about ten, for most of what SC_RDOQ_FAST gains
} sc_rdoq;

/// 0 in every field but the first means the default.
typedef struct sc_encoder_settings {
  size_t struct_size;      ///< sizeof(sc_encoder_settings)
  uint32_t rate_point;     ///< below sc_model_rate_points
  sc_entropy_kind entropy; ///< SC_ENTROPY_BEST: the strongest that the model has
  uint32_t threads;        ///< at most 64; 0: one for every processor that the process may use
  uint32_t
      segment_rows; ///< rows of the latent that are coded independently: a multiple of 8 up to 2040; 0: 64
  uint32_t rate_fraction; ///< 0...31: how many 32nds to go from rate_point towards the next
  sc_target target;       ///< if not SC_TARGET_NONE, rate_point and rate_fraction are searched for
  double target_value;    ///< >= 0
  sc_rdoq rdoq;
  uint32_t reserved; ///< 0
  double
      lambda; ///< the search's trade-off, of lambda · 255² · MSE + bits per pixel with samples in [0, 1]; 0: the
              ///< position's
} sc_encoder_settings;

#define SC_ENCODER_SETTINGS                                                                                  \
  { sizeof(sc_encoder_settings), 0, SC_ENTROPY_BEST, 0, 0, 0, SC_TARGET_NONE, 0, SC_RDOQ_OFF, 0, 0 }

/// `settings` NULL means the defaults. Fails with the status that sc_encoder_configure gives.
SC_API sc_status sc_encoder_create(const sc_model *model, const sc_encoder_settings *settings,
                                   sc_encoder **out);
SC_API void sc_encoder_destroy(sc_encoder *encoder);
/// Changes the settings of the pictures to come; on failure the old ones stay.
SC_API sc_status sc_encoder_configure(sc_encoder *encoder, const sc_encoder_settings *settings);

/// Encodes a picture as RGB, grey or YUV 4:2:0, as its format is; alpha is coded without loss. *bytes is memory of the library: free it with sc_free. The bitstream does not depend on
/// the number of threads or the machine.
SC_API sc_status sc_encode(sc_encoder *encoder, const sc_picture *picture, uint8_t **bytes, size_t *size);
/// Encodes a picture into memory of the caller. *size is the bitstream's size, also when SC_ERROR_BUFFER says
/// that `capacity` is less, in which case nothing is written.
SC_API sc_status sc_encode_into(sc_encoder *encoder, const sc_picture *picture, uint8_t *bytes,
                                size_t capacity, size_t *size);
/// What went wrong in the encoder's last call, for people; empty after success. Valid until its next call.
SC_API const char *sc_encoder_message(const sc_encoder *encoder);

/// Frees what sc_encode gave.
SC_API void sc_free(void *memory);

#ifdef __cplusplus
}
#endif
#endif
