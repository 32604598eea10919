// SPDX-License-Identifier: BSD-3-Clause
//
// The header alone makes this target; a C target needs a file.
#include "swiftcodec.h"
