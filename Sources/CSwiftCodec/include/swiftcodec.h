// SPDX-License-Identifier: BSD-3-Clause
//
// SwiftCodec: the C interface. Compiles alone as C99 and C++.
//
// Pictures are 8-bit samples, rows from the top, in one of the layouts of sc_pixel_format. Sizes and strides are in
// pixels and bytes as said. A bitstream holds one picture, or is a stream of frames in packets, and names the model that it
// was made with.
//
// Ownership: what a function with "create" in its name gives, the caller destroys, in any order: encoders and
// decoders keep their model alive by themselves. Memory that sc_encode gives is freed with sc_free.
// Everything that the caller passes in stays the caller's, and is not kept after the call. Destroying or
// freeing NULL does nothing. On failure nothing is created or allocated: the pointers behind `out` arguments
// are set to NULL and sizes to 0, unless said otherwise.
//
// Threads: a model is immutable and may be used by any number of threads at a time. An encoder or a decoder
// is used by one thread at a time, and not from within its own callback. The allocator is the only global state. Within a call up to
// `threads` threads work, and all of them have ended when it returns.
//
// Structs start with their size. A program that was built with an earlier version of this header has smaller ones:
// what they lack counts as 0, the default.
//
// No function prints, exits or aborts on bad input. Memory: a call finds out what it needs, asks the allocator for all of it
// at once, and gives it back before work begins; if it is not there the call ends with SC_ERROR_OUT_OF_MEMORY. Only where other
// threads of the program take memory away while a call works can it run out later, and then the process ends. What a
// bitstream may ask for is limited with the bounds of sc_decoder_settings, whose defaults are meant for files from anywhere.
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

/// Counts changes after which programs that were built with an earlier header no longer work with the library. New
/// functions, statuses and fields at the ends of structs are none.
#define SC_ABI_VERSION 1

/// The SC_ABI_VERSION of the library at run time: a program works with a library of the one that it was built with.
SC_API uint32_t sc_abi_version(void);

// ---- Status --------------------------------------------------------------------------------------------------------

/// The result of a call. Values are never reused; new ones fill the gaps.
typedef enum sc_status {
  SC_OK = 0,

  // The call.
  SC_ERROR_ARGUMENT = 10, ///< a pointer is NULL, or a struct_size is not one of this library
  SC_ERROR_LAYOUT =
      11, ///< sides outside of 1...65535, a format unknown or without networks in the model, a row
          ///< stride too small, not the width and height that the bitstream's header says, a region
          ///< that is not in the picture
  SC_ERROR_RATE_POINT = 12,    ///< the model has fewer rate points, or the fraction is not one
  SC_ERROR_ENTROPY = 13,       ///< the model has no such entropy model
  SC_ERROR_BUFFER = 14,        ///< the buffer is too small; the size that it needs is stored
  SC_ERROR_SEGMENT_ROWS = 15,  ///< segment_rows is not 0 or a multiple of 8 up to 2040
  SC_ERROR_TARGET = 16,        ///< no position of the model reaches the target
  SC_ERROR_CANCELLED = 17,     ///< the callback said so
  SC_ERROR_OUT_OF_MEMORY = 18, ///< the memory that the call needs is not there

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
  SC_ERROR_TOO_LARGE = 36,   ///< more than max_pixels, max_mac_per_pixel or max_work
  SC_ERROR_MEMORY = 37,      ///< decoding takes more than max_memory
  SC_ERROR_MODEL_KIND =
      38, ///< a model of inter frames where one of pictures is needed, or the other way round

  // The frames of a stream.
  SC_ERROR_REFERENCE = 40, ///< the frame is predicted from one that was not decoded: go on at an intra frame
  SC_ERROR_FRAME = 41      ///< the frame does not follow on the one before: packets are missing
} sc_status;

/// One line for people; static, never NULL.
SC_API const char *sc_status_string(sc_status status);

/// Where the library gets large memory from: all that grows with pictures, and what sc_encode gives. Objects of some bytes are
/// the language's own. Both functions are called from any thread.
typedef struct sc_allocator {
  size_t struct_size; ///< sizeof(sc_allocator)
  /// size >= 1 bytes aligned to `alignment`, a power of two up to 64; NULL if there is no more.
  void *(*allocate)(void *context, size_t size, size_t alignment);
  /// Takes back what `allocate` gave; never NULL.
  void (*release)(void *context, void *memory);
  void *context;
} sc_allocator;

/// From now on memory comes from these functions; NULL: from the system again. SC_ERROR_ARGUMENT, and nothing changes, while
/// anything of the library exists that holds memory: to be called before the first model is made.
SC_API sc_status sc_set_allocator(const sc_allocator *allocator);

/// Called between parts of a call's work, on the thread of the call, with an estimate of the share that is done: 0...1, never
/// falling. If it gives anything but 0 the call ends with SC_ERROR_CANCELLED.
typedef int (*sc_progress)(void *context, double done);

// ---- Models --------------------------------------------------------------------------------------------------------

/// A trained codec: networks, rate points and entropy models.
typedef struct sc_model sc_model;

/// The model of pictures, and of intra frames of streams, that is part of the library.
SC_API sc_status sc_model_create_embedded(sc_model **out);
/// The model of inter frames that is part of the library, for streams.
SC_API sc_status sc_model_create_embedded_inter(sc_model **out);
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
/// The position of a quality of 0...100, which goes evenly from the first rate point of domain 0 to its last. Other
/// qualities are SC_ERROR_ARGUMENT, and nothing is stored.
SC_API sc_status sc_model_quality(const sc_model *model, double quality, uint32_t *rate_point,
                                  uint32_t *rate_fraction);
/// Domains are kinds of pictures with rate points of their own, numbered from 0 to this − 1, usually 1; 0 for NULL. No
/// positions lie between the rate points of two domains.
SC_API uint32_t sc_model_domains(const sc_model *model);
/// As sc_model_quality, in a domain; one that the model does not have is SC_ERROR_ARGUMENT.
SC_API sc_status sc_model_domain_quality(const sc_model *model, uint32_t domain, double quality,
                                         uint32_t *rate_point, uint32_t *rate_fraction);

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

/// A part of a picture, in pixels from the top left.
typedef struct sc_region {
  uint32_t x, y, width, height;
} sc_region;

/// What a bitstream carries beside the picture. It is neither read nor changed.
typedef enum sc_metadata {
  SC_METADATA_ICC = 1,              ///< an ICC profile
  SC_METADATA_EXIF = 2,             ///< Exif in TIFF form, without JPEG's "Exif\0\0"
  SC_METADATA_XMP = 3,              ///< an XMP packet in UTF-8
  SC_METADATA_CICP = 4,             ///< 4 bytes of H.273: primaries, transfer, matrix, full range
  SC_METADATA_GAMMA = 5,            ///< as PNG's gAMA
  SC_METADATA_CHROMATICITIES = 6,   ///< as PNG's cHRM
  SC_METADATA_RENDERING_INTENT = 7, ///< as PNG's sRGB
  SC_METADATA_RESOLUTION = 8        ///< as PNG's pHYs
} sc_metadata;

/// Where a bitstream has metadata of a kind: *data points into `bytes`; NULL, and *data_size 0, if it has none. Verifies the
/// checksums of the whole bitstream; no model is needed.
SC_API sc_status sc_read_metadata(const uint8_t *bytes, size_t size, sc_metadata kind, const uint8_t **data,
                                  size_t *data_size);

/// Whether a bitstream has transparency: 1 or 0. 0, too, for one that is damaged or NULL.
SC_API int sc_has_alpha(const uint8_t *bytes, size_t size);

/// Reads the header alone; `header` is untouched on failure. The first 64 bytes of a file are enough. Its fields are
/// in their ranges, but only sc_decode verifies the checksums: until then a damaged header may read as another one.
SC_API sc_status sc_read_header(const uint8_t *bytes, size_t size, sc_header *header);

// ---- Decoding ------------------------------------------------------------------------------------------------------

typedef struct sc_decoder sc_decoder;

/// 0 in every field but the first means the default.
typedef struct sc_decoder_settings {
  size_t struct_size;   ///< sizeof(sc_decoder_settings)
  uint32_t threads;     ///< at most 64; 0: one for every processor that the process may use
  uint32_t reserved;    ///< 0
  uint64_t max_pixels;  ///< pictures of more pixels are refused before memory is allocated
  uint64_t max_memory;  ///< so are those whose decoding takes more bytes beside model, bitstream and
                        ///< samples. Fewer threads need less
  sc_progress progress; ///< may be NULL; with it a call cannot be quite as fast. Not of streams.
  void *progress_context;
  uint64_t max_mac_per_pixel; ///< so are those whose networks make more multiply-adds for a pixel; 0: 2^19
  uint64_t max_work;          ///< so are those whose decoding takes the work of more multiply-adds in all
} sc_decoder_settings;
// Without them a bitstream (or a frame of a stream) of at most 2^20 bytes has 2^26 pixels, 384 MiB and a work of 2^38, which
// is a few seconds on one thread; each byte beyond adds 256 pixels (up to 2^28), 1024 bytes and a work of 2^20.

#define SC_DECODER_SETTINGS                                                                                  \
  { sizeof(sc_decoder_settings), 0, 0, 0, 0, 0, 0, 0, 0 }

/// `settings` NULL means the defaults.
SC_API sc_status sc_decoder_create(const sc_model *model, const sc_decoder_settings *settings,
                                   sc_decoder **out);
SC_API void sc_decoder_destroy(sc_decoder *decoder);

/// Decodes a bitstream into samples of the caller, who says the format: a model with networks for it decodes to it
/// directly, whatever was coded; SC_ERROR_LAYOUT where the model has none. RGBA and BGRA get the picture's alpha, or 255.
/// The same bitstream gives the same samples on every machine, with any number of threads. On failure no sample is
/// written, unless it is SC_ERROR_CANCELLED; bytes between rows are never written.
SC_API sc_status sc_decode(sc_decoder *decoder, const uint8_t *bytes, size_t size, const sc_picture *picture);
/// Decodes a part of the picture, to the same samples as sc_decode has there: `picture` has the region's width and height.
/// In I420 and NV12 a region starts at even coordinates. Time and memory go with the rows of the region and of the segments
/// that it touches: a picture decodes in strips, one after the other, with memory that does not grow with its height.
SC_API sc_status sc_decode_region(sc_decoder *decoder, const uint8_t *bytes, size_t size,
                                  const sc_region *region, const sc_picture *picture);
/// What went wrong in the decoder's last call, for people; empty after success. Valid until its next call.
SC_API const char *sc_decoder_message(const sc_decoder *decoder);

// ---- Encoding ------------------------------------------------------------------------------------------------------

typedef struct sc_encoder sc_encoder;

/// What a file is to come to. A search encodes about ten times.
typedef enum sc_target {
  SC_TARGET_NONE = 0,
  SC_TARGET_BYTES = 1,          ///< the largest file of at most target_value bytes
  SC_TARGET_BITS_PER_PIXEL = 2, ///< the largest file of at most target_value bits per pixel
  SC_TARGET_PSNR = 3,           ///< the smallest file with a PSNR of at least target_value dB
  /// A quality of target_value, 0 to 100, on any picture: where the networks at the position of sc_model_quality do not reach
  /// what it promises, from 26 dB at 80 to 38 dB at 100, or others do better, a residual layer helps. No search.
  SC_TARGET_QUALITY = 4,
  /// No sample is off by more than target_value, 0 (lossless) to 15. No search, and rdoq has no part in it.
  SC_TARGET_MAX_ERROR = 5
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
  uint32_t segment_rows; ///< most rows of the latent that are coded as one: a multiple of 8 up to 2040; 0: 64
  uint32_t rate_fraction; ///< 0...31: how many 32nds to go from rate_point towards the next
  sc_target target;       ///< if not SC_TARGET_NONE, rate_point and rate_fraction are searched for
  double target_value;    ///< >= 0
  sc_rdoq rdoq;
  uint32_t choose_domain; ///< 1: the position of the same quality in the cheapest domain; 0: this position
  double
      lambda; ///< the search's trade-off, of lambda · 255² · MSE + bits per pixel with samples in [0, 1], 1e-9 to 1e9; 0: the
              ///< position's
  uint64_t max_pixels;  ///< pictures of more pixels are refused; 0: 2^28
  sc_progress progress; ///< may be NULL
  void *progress_context;
} sc_encoder_settings;

#define SC_ENCODER_SETTINGS                                                                                  \
  { sizeof(sc_encoder_settings), 0, SC_ENTROPY_BEST, 0, 0, 0, SC_TARGET_NONE, 0, SC_RDOQ_OFF, 0, 0, 0, 0, 0 }

/// `settings` NULL means the defaults. Fails with the status that sc_encoder_configure gives.
SC_API sc_status sc_encoder_create(const sc_model *model, const sc_encoder_settings *settings,
                                   sc_encoder **out);
SC_API void sc_encoder_destroy(sc_encoder *encoder);
/// Changes the settings of the pictures to come; on failure the old ones stay.
SC_API sc_status sc_encoder_configure(sc_encoder *encoder, const sc_encoder_settings *settings);

/// Metadata of the pictures to come, copied; it replaces that of the same kind. None of it is there at the start; 0 bytes
/// take it away.
SC_API sc_status sc_encoder_set_metadata(sc_encoder *encoder, sc_metadata kind, const uint8_t *data,
                                         size_t data_size);

/// Encodes a picture as RGB, grey or YUV 4:2:0, as its format is. Alpha that is not 255 everywhere is coded without loss.
/// *bytes is memory of the library: free it with sc_free. The bitstream does not depend on the number of threads or the
/// machine.
SC_API sc_status sc_encode(sc_encoder *encoder, const sc_picture *picture, uint8_t **bytes, size_t *size);
/// Encodes a picture into memory of the caller. *size is the bitstream's size, also when SC_ERROR_BUFFER says
/// that `capacity` is less, in which case nothing is written.
SC_API sc_status sc_encode_into(sc_encoder *encoder, const sc_picture *picture, uint8_t *bytes,
                                size_t capacity, size_t *size);
/// What went wrong in the encoder's last call, for people; empty after success. Valid until its next call.
SC_API const char *sc_encoder_message(const sc_encoder *encoder);

/// Frees what sc_encode gave.
SC_API void sc_free(void *memory);

// ---- Streams -------------------------------------------------------------------------------------------------------
//
// A stream is a header and packets, one for each frame, in order; then an index and an end, which decoders do not need.
// Intra frames are coded like pictures with a model of pictures, inter frames with a model of inter frames that predicts
// them from the frame before. Frames are I420 or NV12. Memory that these functions give belongs to the encoder and is
// valid until its next call.

/// What is held.
typedef enum sc_rate_control {
  SC_RATE_QUALITY = 0,  ///< rate_value is a quality of 0...100, as sc_model_quality
  SC_RATE_BITRATE = 1,  ///< rate_value are bits a second on average, in one pass
  SC_RATE_MAX_ERROR = 2 ///< no sample is off by more than rate_value, 0 (lossless) to 15
} sc_rate_control;

/// 0 in every field but those of SC_VIDEO_SETTINGS means the default.
typedef struct sc_video_settings {
  size_t struct_size; ///< sizeof(sc_video_settings)
  uint32_t width;     ///< of all frames, in pixels: at most 2^26 together
  uint32_t height;
  double rate_value; ///< what it is says `rate`
  sc_rate_control rate;
  uint32_t intra_period;           ///< frames from one intra frame to the next at most; 0: no limit
  uint32_t frame_rate_numerator;   ///< frames a second; 0: unknown, and 25 to SC_RATE_BITRATE
  uint32_t frame_rate_denominator; ///< 0: 1
  uint8_t colour[4]; ///< H.273: primaries, transfer, matrix, 1 for full range; primaries 0: nothing is said
  sc_rdoq rdoq;      ///< in inter frames
  uint32_t motion_effort;  ///< of the search for vectors: 1 is fast, 3 thorough; 0: 3
  uint32_t keep_scenes;    ///< 1: a new scene does not start with an intra frame
  sc_entropy_kind entropy; ///< SC_ENTROPY_BEST: the strongest that both models have
  uint32_t segment_rows;   ///< as sc_encoder_settings; 0: 24
  uint32_t threads;        ///< at most 64; 0: one for every processor that the process may use
  sc_rdoq intra_rdoq;      ///< in intra frames: they are few and take a large part of the bits
} sc_video_settings;

/// Quality 50, a search in intra frames.
#define SC_VIDEO_SETTINGS(width, height)                                                                     \
  {                                                                                                          \
    sizeof(sc_video_settings), (width), (height), 50, SC_RATE_QUALITY, 0, 0, 0, {0, 0, 0, 0}, SC_RDOQ_OFF,   \
        0, 0, SC_ENTROPY_BEST, 0, 0, SC_RDOQ_FAST                                                            \
  }

typedef struct sc_video_encoder sc_video_encoder;

/// `inter` NULL makes every frame an intra frame.
SC_API sc_status sc_video_encoder_create(const sc_model *intra, const sc_model *inter,
                                         const sc_video_settings *settings, sc_video_encoder **out);
SC_API void sc_video_encoder_destroy(sc_video_encoder *encoder);
/// The stream's first bytes, at most 48.
SC_API sc_status sc_video_encoder_header(sc_video_encoder *encoder, const uint8_t **bytes, size_t *size);
/// Encodes the next frame to a packet. `is_intra`, which may be NULL, gets 1 for an intra frame.
SC_API sc_status sc_video_encoder_encode(sc_video_encoder *encoder, const sc_picture *frame,
                                         const uint8_t **packet, size_t *size, int *is_intra);
/// Copies the last frame as decoders have it, the same bytes.
SC_API sc_status sc_video_encoder_frame(sc_video_encoder *encoder, const sc_picture *picture);
/// The stream's last bytes: packets of the index and the end. No frame may follow.
SC_API sc_status sc_video_encoder_finish(sc_video_encoder *encoder, const uint8_t **bytes, size_t *size);
/// What went wrong in the encoder's last call, for people; empty after success. Valid until its next call.
SC_API const char *sc_video_encoder_message(const sc_video_encoder *encoder);

/// What the header of a stream says.
typedef struct sc_video_header {
  size_t struct_size; ///< sizeof(sc_video_header), set by the caller
  uint32_t width, height;
  uint32_t frame_rate_numerator; ///< frames a second; 0: unknown
  uint32_t frame_rate_denominator;
  uint8_t colour[4];       ///< H.273: primaries, transfer, matrix, 1 for full range; 2 where nothing is said
  uint32_t intra_model_id; ///< the upper 32 bits of sc_model_id
  uint32_t inter_model_id;
  uint32_t has_inter; ///< 0 for a stream of intra frames alone
  size_t size;        ///< bytes that the header takes
} sc_video_header;

#define SC_VIDEO_HEADER                                                                                      \
  { sizeof(sc_video_header), 0, 0, 0, 0, {0, 0, 0, 0}, 0, 0, 0, 0 }

/// Reads a stream's header and verifies its checksum; `header` is untouched on failure. The first 48 bytes are enough, and
/// all of a shorter stream.
SC_API sc_status sc_read_video_header(const uint8_t *bytes, size_t size, sc_video_header *header);

/// What a packet is.
typedef enum sc_packet_kind {
  SC_PACKET_OTHER = 0, ///< not needed to decode
  SC_PACKET_INTRA = 1, ///< a frame that decoding may start at
  SC_PACKET_INTER = 2, ///< a frame that needs the one before
  SC_PACKET_INDEX = 3,
  SC_PACKET_END = 4
} sc_packet_kind;

/// The size of the packet that starts at `bytes`, from its first 9 bytes or all of a shorter rest; SC_ERROR_TRUNCATED if they
/// are fewer than it needs. `kind` may be NULL.
SC_API sc_status sc_video_packet_size(const uint8_t *bytes, size_t size, size_t *packet_size,
                                      sc_packet_kind *kind);

typedef struct sc_video_decoder sc_video_decoder;

/// A decoder of the stream with this header. `inter` may be NULL for a stream of intra frames alone, `settings` for the
/// defaults; max_pixels is at most 2^26.
SC_API sc_status sc_video_decoder_create(const sc_model *intra, const sc_model *inter, const uint8_t *header,
                                         size_t header_size, const sc_decoder_settings *settings,
                                         sc_video_decoder **out);
SC_API void sc_video_decoder_destroy(sc_video_decoder *decoder);

/// What a packet gave.
typedef struct sc_video_frame {
  size_t struct_size; ///< sizeof(sc_video_frame), set by the caller
  uint32_t has_frame; ///< 0 for a packet without one: the index, the end
  uint32_t is_intra;
  uint64_t number;                    ///< from 0
  uint32_t rate_point, rate_fraction; ///< UINT32_MAX and 0 for a frame of SC_RATE_MAX_ERROR
} sc_video_frame;

#define SC_VIDEO_FRAME                                                                                       \
  { sizeof(sc_video_frame), 0, 0, 0, 0, 0 }

/// Decodes a whole packet. After an error, and to seek, go on with the packet of any intra frame: inter frames until then
/// are SC_ERROR_REFERENCE. `frame` is untouched on failure.
SC_API sc_status sc_video_decoder_decode(sc_video_decoder *decoder, const uint8_t *packet, size_t size,
                                         sc_video_frame *frame);
/// Copies the last decoded frame, I420 or NV12 of the stream's size. SC_ERROR_REFERENCE if there is none.
SC_API sc_status sc_video_decoder_frame(sc_video_decoder *decoder, const sc_picture *picture);
/// What went wrong in the decoder's last call, for people; empty after success. Valid until its next call.
SC_API const char *sc_video_decoder_message(const sc_video_decoder *decoder);

#ifdef __cplusplus
}
#endif
#endif
