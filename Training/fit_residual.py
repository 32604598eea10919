# SPDX-License-Identifier: BSD-3-Clause
"""Writes the tables of the residual layer's distributions: Sources/CCodecKernels/residual/residual_tables.h.

A family of generalised Gaussian densities p(t) ~ exp(-|t|^beta) at unit mean of |t|. The decoder interpolates in them
with integers, so that every machine has the same probabilities.

    python3 Training/fit_residual.py > Sources/CCodecKernels/residual/residual_tables.h
"""

import math

BETAS = [0.45, 0.6, 0.75, 0.9, 1.1, 1.35, 1.65, 2.0]
POINTS, PER_UNIT = 512, 32  # tails at t = 0 ... 16, in units of the mean of |t|
SCALES, FIRST, PER_OCTAVE = 80, -7.5, 6.0  # mean of |t| in steps: 2^(FIRST + s / PER_OCTAVE)


def tails(beta):
    """P(T > t) / P(T > 0) at the points, by Simpson's rule on a fine grid out to where nothing is left."""
    mean = math.gamma(2 / beta) / math.gamma(1 / beta)  # of |t| for exp(-|t|^beta)
    fine = 16

    def density(t):
        return math.exp(-((t * mean) ** beta))

    steps = POINTS * 16 * fine  # 256 units: the heaviest tail is below 2^-31 there
    h = 1.0 / (PER_UNIT * fine)
    # Near 0 the density has a cusp; a finer grid there.
    pieces = []
    for i in range(steps):
        a = i * h
        parts = 64 if i < fine else 1
        total = 0.0
        for j in range(parts):
            lo, hi = a + h * j / parts, a + h * (j + 1) / parts
            total += (hi - lo) / 6 * (density(lo) + 4 * density((lo + hi) / 2) + density(hi))
        pieces.append(total)
    suffix = [0.0] * (steps + 1)
    for i in range(steps - 1, -1, -1):
        suffix[i] = suffix[i + 1] + pieces[i]
    return [suffix[i * fine] / suffix[0] for i in range(POINTS)]


def lines(values, per_line):
    for i in range(0, len(values), per_line):
        yield "    " + ", ".join(str(v) for v in values[i : i + per_line]) + ","


def main():
    print("// SPDX-License-Identifier: BSD-3-Clause")
    print("//")
    print("// Written by Training/fit_residual.py. Normative.")
    print("// clang-format off")
    print(f"#define SHAPES {len(BETAS)}")
    print(f"#define SHAPE_POINTS {POINTS}")
    print(f"#define SCALES {SCALES}")
    print(f"/// 2^30 P(T > t) of positive T at t = i / {PER_UNIT}, in units of its mean; exponents {BETAS}.")
    print("static const uint32_t shape_tail[SHAPES][SHAPE_POINTS] = {")
    for beta in BETAS:
        print("  {")
        print("\n".join(lines([round(v * 2**30) for v in tails(beta)], 12)))
        print("  },")
    print("};")
    print("/// Points per sixteenth of a step, in 1/65536.")
    print("static const uint32_t scale_inverse[SCALES] = {")
    inverse = [round(PER_UNIT / 16 * 65536 / 2 ** (FIRST + s / PER_OCTAVE)) for s in range(SCALES)]
    print("\n".join(lines(inverse, 12)))
    print("};")
    print("// clang-format on")


if __name__ == "__main__":
    main()
