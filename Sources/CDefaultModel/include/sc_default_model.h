// SPDX-License-Identifier: BSD-3-Clause
//
// The model that comes with the library, as the bytes of a model file. An app that brings models of its own leaves this
// target out.
#ifndef SC_DEFAULT_MODEL_H
#define SC_DEFAULT_MODEL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// The model file. Static, never NULL.
const uint8_t *sc_default_model(void);
/// Its size in bytes.
size_t sc_default_model_size(void);
/// The model file of inter frames, for video, and its size.
const uint8_t *sc_default_inter_model(void);
size_t sc_default_inter_model_size(void);
/// The 64-bit hashes that name the two (docs/format/model.md, section 1), so that nobody has to compute them.
uint64_t sc_default_model_id(void);
uint64_t sc_default_inter_model_id(void);

#ifdef __cplusplus
}
#endif
#endif
