// SPDX-License-Identifier: BSD-3-Clause
#include "sc_default_model.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

static const uint8_t model[] = {
#embed "models/flagship.scm"
};

const uint8_t *sc_default_model(void) { return model; }
size_t sc_default_model_size(void) { return sizeof model; }
