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
