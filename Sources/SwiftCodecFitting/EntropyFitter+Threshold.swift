// SPDX-License-Identifier: BSD-3-Clause
import SwiftCodec

extension EntropyFitter {
  /// Thresholds, coding order, and four CDFs a channel (Galpin et al., §3.1 and equation 3).
  func fitThreshold() -> FittedEntropy {
    var steps = fitStatic().steps
    // §3.1.5
    let spatial = forEachChannel { c in bestInterval(c) }
    steps.append(
      FittingStep(name: "left and top against a threshold", bits: spatial.reduce(activityBits) { $0 + $1.bits }))

    let states = forEachChannel { c in spatialStates(c, spatial[c].interval) }
    // The flag of the last active channel before the one to be coded.
    var natural = [UInt8](repeating: 0, count: grid.count)
    var naturalBits = activityBits
    for c in 0..<channels {
      naturalBits += entropy(states[c], c, natural)
      update(&natural, c, spatial[c].interval)
    }
    steps.append(FittingStep(name: "previous channel, in the order of their numbers", bits: naturalBits))

    // §3.1.4
    var order = [(0..<channels).max { spatial[$0].bits < spatial[$1].bits }!]
    var rest = Array(0..<channels).filter { $0 != order[0] }
    var previous = [UInt8](repeating: 0, count: grid.count)
    var histograms = [[Histogram]](repeating: [], count: channels)
    func append(_ c: Int) {
      histograms[c] = contextHistograms(states[c], c, previous)
      update(&previous, c, spatial[c].interval)
    }
    append(order[0])
    while !rest.isEmpty {
      let bits = concurrentMap(rest.count) { i in entropy(states[rest[i]], rest[i], previous) }
      var best = 0
      for i in rest.indices where spatial[rest[i]].bits - bits[i] > spatial[rest[best]].bits - bits[best] { best = i }
      let c = rest.remove(at: best)
      order.append(c)
      append(c)
    }

    var cdfs: [CDF] = []
    var contexts: [ChannelContexts] = []
    var total = activityBits
    var ordered = activityBits
    for c in 0..<channels {
      let parent = unconditional(histogram(c))
      for h in histograms[c] { ordered += h.entropy }
      var indices: [Int] = []
      for h in histograms[c] {
        var cdf = CDF(h, parent: parent, strength: 16)
        // A context without a gain takes the parent.
        if cdf.bits(h) >= parent.bits(h) { cdf = parent }
        total += cdf.bits(h)
        indices.append(cdfs.count)
        cdfs.append(cdf)
      }
      var channel = ChannelContexts(cdf: indices)
      channel.low = spatial[c].interval.lowerBound
      channel.high = spatial[c].interval.upperBound
      channel.weights = [1, 0, 0, 1, 0, 0]
      channel.sources = [ContextSource(channel: ContextSource.previousActive, weights: [0, 0, 0, 0, 1, 0, 0, 0, 0])]
      channel.bounds = [1, 2, 3]
      contexts.append(channel)
    }
    steps.append(FittingStep(name: "channels ordered by gain", bits: ordered))
    steps.append(FittingStep(name: "smoothed CDFs of 15 bits", bits: total))
    let table = EntropyTable(mode: mode, active: activity, order: order, cdfs: cdfs, channels: contexts)
    return FittedEntropy(kind: .threshold, steps: steps, magnitude: .threshold, table: table)
  }

  /// The interval of values that do not count, with the least entropy given how many of left and top lie outside of
  /// it, by trying all of two families: v < t as in the paper, and |v| < t.
  private func bestInterval(_ c: Int) -> (interval: Range<Int>, bits: Double) {
    let (low, high) = (range[c].lowerBound, range[c].upperBound)
    let signed = bestThreshold(c, count: high - low + 1) { $0 - low }
    let absolute = bestThreshold(c, count: max(-low, high) + 1) { abs($0) }
    if signed.bits < absolute.bits { return (-32768..<(low + signed.threshold), signed.bits) }
    return ((1 - absolute.threshold)..<absolute.threshold, absolute.bits)
  }

  /// The threshold from 1 up on `rank` of the neighbours.
  private func bestThreshold(_ c: Int, count: Int, rank: (Int) -> Int) -> (threshold: Int, bits: Double) {
    let low = range[c].lowerBound
    let n = range[c].count
    let limit = min(count, 1024)
    // Values by the larger and by the smaller of the two neighbours: sums of these from a threshold up are the
    // histograms of "at least one" and "both".
    var larger = [Double](repeating: 0, count: limit * n)
    var smaller = larger
    corpus.values[c].withUnsafeBufferPointer { values in
      grid.causal[0].withUnsafeBufferPointer { left in
        grid.causal[3].withUnsafeBufferPointer { top in
          for r in coded[c] {
            for i in r {
              let a = rank(Int(values[Int(left[i])]))
              let b = rank(Int(values[Int(top[i])]))
              let v = Int(values[i]) - low
              larger[min(max(a, b), limit - 1) * n + v] += 1
              smaller[min(min(a, b), limit - 1) * n + v] += 1
            }
          }
        }
      }
    }
    let all = histogram(c).counts
    var one = [Double](repeating: 0, count: n)
    var both = one
    var best = (threshold: 1, bits: entropyOfCounts(all))
    for t in stride(from: limit - 1, to: 0, by: -1) {
      var changed = false
      for v in 0..<n {
        changed = changed || larger[t * n + v] > 0 || smaller[t * n + v] > 0
        one[v] += larger[t * n + v]
        both[v] += smaller[t * n + v]
      }
      guard changed else { continue }
      let bits =
        entropyOfCounts(both) + entropyOfCounts((0..<n).lazy.map { one[$0] - both[$0] })
        + entropyOfCounts((0..<n).lazy.map { all[$0] - one[$0] })
      if bits < best.bits { best = (t, bits) }
    }
    return best
  }

  /// (how many of left and top reach the threshold) · symbols + symbol, of each coded sample.
  private func spatialStates(_ c: Int, _ interval: Range<Int>) -> [UInt16] {
    let low = range[c].lowerBound
    let n = range[c].count
    precondition(3 * n <= 65536, "latents of more than 21845 different values are not fitted")
    var states: [UInt16] = []
    corpus.values[c].withUnsafeBufferPointer { values in
      for r in coded[c] {
        for i in r {
          let a = counts(values, grid.causal[0][i], interval)
          let b = counts(values, grid.causal[3][i], interval)
          states.append(UInt16((a + b) * n + Int(values[i]) - low))
        }
      }
    }
    return states
  }

  /// Whether a neighbour counts; one that does not exist does not.
  private func counts(_ values: UnsafeBufferPointer<Int16>, _ at: Int32, _ interval: Range<Int>) -> Int {
    at == grid.count || interval.contains(Int(values[Int(at)])) ? 0 : 1
  }

  private func contextHistograms(_ states: [UInt16], _ c: Int, _ previous: [UInt8]) -> [Histogram] {
    let n = range[c].count
    var counts = [UInt32](repeating: 0, count: 6 * n)
    counts.withUnsafeMutableBufferPointer { counts in
      states.withUnsafeBufferPointer { states in
        previous.withUnsafeBufferPointer { previous in
          var at = 0
          for r in coded[c] {
            for i in r {
              counts[Int(previous[i]) * 3 * n + Int(states[at])] += 1
              at += 1
            }
          }
        }
      }
    }
    return (0..<4).map { k in
      Histogram(
        minimum: range[c].lowerBound,
        counts: (0..<n).map { v in
          Double((k < 3 ? counts[k * n + v] : 0) + (k > 0 ? counts[(k + 2) * n + v] : 0))
        })
    }
  }

  private func entropy(_ states: [UInt16], _ c: Int, _ previous: [UInt8]) -> Double {
    contextHistograms(states, c, previous).reduce(0) { $0 + $1.entropy }
  }

  /// After channel c is coded.
  private func update(_ previous: inout [UInt8], _ c: Int, _ interval: Range<Int>) {
    corpus.values[c].withUnsafeBufferPointer { values in
      previous.withUnsafeMutableBufferPointer { previous in
        for r in coded[c] { for i in r { previous[i] = interval.contains(Int(values[i])) ? 0 : 1 } }
      }
    }
  }
}
