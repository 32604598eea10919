// SPDX-License-Identifier: BSD-3-Clause
#include "sc_default_model.h"

#include "models/ids.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

static const uint8_t model[] = {
#embed "models/flagship.scm"
};

const uint8_t *sc_default_model(void) { return model; }
size_t sc_default_model_size(void) { return sizeof model; }

static const uint8_t inter_model[] = {
#embed "models/inter.scm"
};

const uint8_t *sc_default_inter_model(void) { return inter_model; }
size_t sc_default_inter_model_size(void) { return sizeof inter_model; }

uint64_t sc_default_model_id(void) { return SC_FLAGSHIP_ID; }
uint64_t sc_default_inter_model_id(void) { return SC_INTER_ID; }
