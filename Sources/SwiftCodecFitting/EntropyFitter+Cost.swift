// SPDX-License-Identifier: BSD-3-Clause
import SwiftCodec

extension EntropyFitter {
  /// Ideal code length of this corpus under an entropy model fitted to another one.
  public func bits(_ model: FittedEntropy) -> Double {
    let table = model.table
    var hyperBits = 0.0
    if let hyper, let hyperTable = model.hyperTable {
      hyperBits = hyper.bits(
        FittedEntropy(kind: model.kind, steps: [], magnitude: model.magnitude, table: hyperTable))
    }
    let residuals = forEachChannel { c in Residuals(self, c, table.channels[c].mean) }
    let magnitudes = forEachChannel { c -> [UInt8] in
      var out = [UInt8](repeating: 0, count: grid.count + 1)
      for r in coded[c] {
        for i in r { out[i] = model.magnitude.magnitude(Int(residuals[c].values[i]), table.channels[c]) }
      }
      return out
    }
    // Of the last active channel before each one.
    var previous = [[UInt8]](repeating: [], count: channels)
    if case .threshold = model.magnitude {
      var last = [UInt8](repeating: 0, count: grid.count + 1)
      for c in table.order {
        previous[c] = last
        for r in coded[c] { for i in r { last[i] = magnitudes[c][i] } }
      }
    }
    let bits = forEachChannel { c -> Double in
      let contexts = table.channels[c]
      var sums = [Int](repeating: 0, count: grid.count)
      func add(_ weight: UInt8, _ plane: [UInt8], _ at: [Int32]) {
        guard weight > 0 else { return }
        for i in 0..<grid.count { sums[i] += Int(weight) * Int(plane[Int(at[i])]) }
      }
      if !contexts.weights.isEmpty { for k in 0..<6 { add(contexts.weights[k], magnitudes[c], grid.causal[k]) } }
      for s in contexts.sources {
        let plane = s.channel == ContextSource.previousActive ? previous[c] : magnitudes[s.channel]
        for k in 0..<9 { add(s.weights[k], plane, grid.around[k]) }
      }
      if contexts.scaleWeight > 0, !corpus.scales.isEmpty {
        for i in 0..<grid.count { sums[i] += contexts.scaleWeight * Int(corpus.scales[c][i]) }
      }
      let levels = ContextRule.levels(contexts.bounds)
      let phases = 1 << residuals[c].phaseBits
      let low = residuals[c].low
      let n = residuals[c].count
      var counts = [[Double]](repeating: [Double](repeating: 0, count: n), count: contexts.cdf.count)
      for r in coded[c] {
        for i in r {
          let level = levels[min(ContextRule.sumSteps - 1, sums[i] >> contexts.shift)]
          let phase = phases > 1 ? Int(residuals[c].phases[i]) : 0
          counts[level * phases + phase][Int(residuals[c].values[i]) - low] += 1
        }
      }
      var sum = 0.0
      for (i, index) in contexts.cdf.enumerated() {
        sum += table.cdfs[index].bits(Histogram(minimum: low, counts: counts[i]))
      }
      return sum + flagBits(c, active: table.active[c])
    }
    return bits.reduce(hyperBits, +)
  }
}

/// The sums that choose levels, as the coder forms them.
extension EntropyFitter {
  /// Adds weighted magnitudes at the coded samples of channel `c`: `weights` are those of the six causal neighbours and
  /// of nine around for each source; sources beyond them add nothing.
  func addMagnitudes(
    _ weights: [UInt8], of c: Int, _ sources: [Int], _ magnitudes: [[UInt8]], to sums: inout [UInt16]
  ) {
    for (k, weight) in weights.enumerated() where weight > 0 {
      let plane = k < 6 ? magnitudes[c] : magnitudes[sources[(k - 6) / 9]]
      let at = k < 6 ? grid.causal[k] : grid.around[(k - 6) % 9]
      let w = UInt16(weight)
      plane.withUnsafeBufferPointer { plane in
        at.withUnsafeBufferPointer { at in
          sums.withUnsafeMutableBufferPointer { sums in
            for r in coded[c] { for i in r { sums[i] &+= w &* UInt16(plane[Int(at[i])]) } }
          }
        }
      }
    }
  }

  /// The shift that leaves at most one of 2000 coded samples of channel `c` in the last of the 1024 steps.
  func levelShift(_ sums: [UInt16], of c: Int) -> Int {
    var high = [Int](repeating: 0, count: 17)
    var counted = 0
    for r in coded[c] {
      for i in r { high[16 - sums[i].leadingZeroBitCount] += 1 }
      counted += r.count
    }
    var above = 0
    for bits in stride(from: 16, to: 10, by: -1) {
      above += high[bits]
      if above * 2000 > counted { return bits - 10 }
    }
    return 0
  }
}
