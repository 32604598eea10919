// SPDX-License-Identifier: BSD-3-Clause

/// log2(x) of a finite positive number, to about 1e-15 of the result or of 1; without a C library.
public func binaryLogarithm(_ x: Double) -> Double {
  precondition(x > 0 && x.isFinite)
  // x = 2^e m with m in [sqrt(1/2), sqrt(2)); ln m = 2 atanh((m − 1) / (m + 1)).
  var e = Double(x.exponent)
  var m = x.significand
  if m > 1.414213562373095 {
    m /= 2
    e += 1
  }
  let t = (m - 1) / (m + 1)
  let t2 = t * t
  var sum = 0.0
  var k = 25
  while k >= 1 {
    sum = sum * t2 + 1 / Double(k)
    k -= 2
  }
  return e + 2 * t * sum * 1.4426950408889634
}

/// Peak signal-to-noise ratio in dB of 8-bit samples: 10 log10(255² / MSE); infinite for an MSE of 0.
public func peakSignalToNoiseRatio(squaredError: UInt64, samples: Int) -> Double {
  guard squaredError > 0 else { return .infinity }
  return 10 * 0.30102999566398120 * binaryLogarithm(65025 * Double(samples) / Double(squaredError))
}
