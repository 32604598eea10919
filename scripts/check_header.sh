#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# check_header.sh HEADER: the public header compiles alone, as C99, C11 and C++.
set -euo pipefail
for standard in c99 c11 c17; do
  cc -x c -std=$standard -Wall -Wextra -Wpedantic -Werror -fsyntax-only "$1"
done
for standard in c++11 c++17; do
  c++ -x c++ -std=$standard -Wall -Wextra -Wpedantic -Werror -fsyntax-only "$1"
done
echo "$(basename "$1") compiles alone as C99, C11, C17, C++11 and C++17"
