// SPDX-License-Identifier: BSD-3-Clause
//
// What names the models of this folder. Written by scripts/model_ids.py.
#define SC_FLAGSHIP_ID UINT64_C(0xAF153F44241E4C75)
#define SC_INTER_ID UINT64_C(0x47B216F3B3EB04E3)
