// SPDX-License-Identifier: BSD-3-Clause

import Foundation
import Testing

@testable import SwiftCodec

/// Probabilities of channels' flags in frames that follow others.
@Suite struct ActivityHistoryTests {
  /// Within a thousandth of the logistic function, which it stands for, and never certain.
  @Test func probabilities() {
    var last: Int32 = 0
    for z in -2000...2000 {
      let p = ActivityHistory.probability(Int32(z))
      let exact = 32768 / (1 + exp(-Double(min(1536, max(-1536, z))) / 256))
      #expect(abs(Double(p) - exact) < 160 && p >= last && 81...32687 ~= p, "\(z): \(p), \(exact)")
      last = p
    }
  }

  @Test func logarithms() {
    for p in Int32(0)...32768 {
      let z = ActivityHistory.logarithm(p)
      #expect(z == -1536 || ActivityHistory.probability(z) <= p)
      #expect(z == 1536 || ActivityHistory.probability(z + 1) > p)
    }
  }

  /// Flags that are the same in every frame take ever fewer bits, those of a coin not many more than their number.
  @Test func learns() throws {
    var random = SplitMix.test(71)
    let channels = 64
    let (still, noisy) = (ActivityHistory(), ActivityHistory())
    func bits(_ history: ActivityHistory, _ flags: [Bool]) -> Double {
      var frame = ActivityHistory.Frame(history, channels: channels)
      var bits = 0.0
      for (c, flag) in flags.enumerated() {
        let one = Double(frame.probability(c, model: 16384)) / 32768
        bits -= log2(flag ? one : 1 - one)
        frame.learn(c, flag)
      }
      return bits
    }
    let flags = (0..<channels).map { _ in random.below(2) == 1 }
    let costs = (0..<40).map { _ in bits(still, flags) }
    #expect(costs[0] < 80 && costs[10] < 30 && costs[39] < 8, "\(costs)")
    let coins = (0..<100).map { _ in bits(noisy, (0..<channels).map { _ in random.below(2) == 1 }) }
    #expect(coins.reduce(0, +) / 100 < 75, "\(coins)")
  }
}
