// SPDX-License-Identifier: BSD-3-Clause
import SwiftCodec

/// Counts of the values minimum … minimum + counts.count − 1.
struct Histogram {
  var minimum: Int
  var counts: [Double]

  init(minimum: Int, counts: [Double]) {
    self.minimum = minimum
    self.counts = counts
  }

  var total: Double { counts.reduce(0, +) }

  /// Bits of the values under their own frequencies.
  var entropy: Double { entropyOfCounts(counts) }

  static func += (a: inout Histogram, b: Histogram) {
    for i in b.counts.indices { a.counts[i] += b.counts[i] }
  }
}

/// Σ n log2(N / n).
func entropyOfCounts(_ counts: some Sequence<Double>) -> Double {
  var total = 0.0
  var sum = 0.0
  for n in counts where n > 0 {
    total += n
    sum += EntropyLogarithm.timesItself(n)
  }
  return total > 0 ? EntropyLogarithm.timesItself(total) - sum : 0
}

enum EntropyLogarithm {
  private static let table: [Double] = (0..<65536).map { $0 == 0 ? 0 : Double($0) * binaryLogarithm(Double($0)) }

  /// n log2(n)
  static func timesItself(_ n: Double) -> Double {
    if n < 65536 {
      let i = Int(n)
      if Double(i) == n { return table[i] }
    }
    return n > 0 ? n * binaryLogarithm(n) : 0
  }
}

extension CDF {
  /// Bits of the values of a histogram.
  func bits(_ histogram: Histogram) -> Double {
    var sum = 0.0
    for (i, n) in histogram.counts.enumerated() where n > 0 { sum += n * bits(histogram.minimum + i) }
    return sum
  }

  /// The counts, smoothed by `strength` observations of the parent's frequencies.
  ///
  /// Values rarer than half a slot of 2^15 at either end are left to the escape.
  /// So do `escapes` values outside of the histogram.
  init(_ histogram: Histogram, parent: CDF?, strength: Double, escapes: Double = 0) {
    var q = histogram.counts
    var outside = 0.05 + escapes
    let total = histogram.total + (parent == nil ? 0 : strength) + outside
    if let parent {
      for (i, f) in parent.frequencies.enumerated() {
        let share = strength * Double(f) / 32768
        let at = parent.minimum + i - histogram.minimum
        if i < parent.frequencies.count - 1, q.indices.contains(at) { q[at] += share } else { outside += share }
      }
    }
    var low = 0
    var high = q.count - 1
    let least = 0.5 * total / 32768
    while high > low, q[low] < least || q[high] < least || high - low >= 255 {
      if q[low] < q[high] {
        outside += q[low]
        low += 1
      } else {
        outside += q[high]
        high -= 1
      }
    }
    self.init(minimum: histogram.minimum + low, weights: Array(q[low...high]) + [outside])
  }

  /// Frequencies in proportion to the weights, each at least 1: what rounding leaves over goes where it saves most.
  private init(minimum: Int, weights: [Double]) {
    let total = weights.reduce(0, +)
    var frequencies = weights.map { max(1, Int($0 / total * 32768)) }
    var rest = 32768 - frequencies.reduce(0, +)
    while rest != 0 {
      let step = rest > 0 ? 1 : -1
      var best = -1
      var bestGain = -Double.infinity
      for (i, f) in frequencies.enumerated() where f + step >= 1 {
        // The change of −Σ weight · log2(frequency), to first order.
        let gain = Double(step) * weights[i] / (Double(f) + 0.5 * Double(step))
        if gain > bestGain {
          bestGain = gain
          best = i
        }
      }
      // Many steps at once where one value holds nearly everything.
      let most = step > 0 ? rest : max(rest, 1 - frequencies[best])
      let by = abs(rest) > 64 ? most / 8 + step : step
      frequencies[best] += max(by, 1 - frequencies[best])
      rest = 32768 - frequencies.reduce(0, +)
    }
    self.init(minimum: minimum, frequencies: frequencies.map { UInt16($0) })
  }
}
