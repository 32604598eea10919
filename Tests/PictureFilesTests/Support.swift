// SPDX-License-Identifier: BSD-3-Clause

import SwiftCodec

/// A picture with gradients, edges and some noise.
func drawnPicture(width: Int, height: Int, channels: Int = 3, seed: UInt64 = 1) -> Picture {
  var generator = SplitMix(seed)
  var samples: [UInt8] = []
  for y in 0..<height {
    for x in 0..<width {
      let isInside = (x - width / 2) * (x - width / 2) + (y - height / 2) * (y - height / 2) < width * height / 9
      for c in 0..<channels {
        let base = isInside ? 200 - 40 * c : (x * 160 / width + y * 80 / height + 20 * c)
        samples.append(UInt8(min(255, max(0, base + Int.random(in: -3...3, using: &generator)))))
      }
    }
  }
  return try! Picture(width: width, height: height, channels: channels, samples: samples)
}

/// A small generator with a seed that tests can print.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(limit)) }
  mutating func int(_ range: ClosedRange<Int>) -> Int { range.lowerBound + below(range.count) }
  mutating func pick<T>(_ choices: [T]) -> T { choices[below(choices.count)] }
}
