// SPDX-License-Identifier: BSD-3-Clause
#ifndef SWIFTCODEC_H
#define SWIFTCODEC_H
#endif
