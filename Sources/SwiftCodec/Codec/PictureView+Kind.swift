// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

// What a picture's samples alone tell of what it shows.

extension PictureView {
  /// Whether a picture is unlike photographs: tiny; or half of its pixels are just what their neighbours foretell, as where
  /// people or programs draw; or they are far from it, as noise, dithering and lines of one pixel are.
  var isUnusual: Bool {
    guard width * height > 32 * 32 else { return true }
    let first = components[self.first.components]
    var (seen, exact, errors) = (0, 0, 0)
    for y in stride(from: 1, to: height, by: 4) {
      for x in 1..<max(1, width) {
        let error = Self.medianError(first, x, y)
        seen += 1
        if error == 0 { exact += 1 }
        errors += error
      }
    }
    return 2 * exact >= seen || errors >= 20 * first.count * seen
  }

  /// Whether at least one block in 50 has edges, and yet pixels that are mostly just what their neighbours foretell: where
  /// people or programs draw, be it beside photographs.
  var hasDrawings: Bool {
    let first = components[self.first.components]
    let side = BlockMask.side
    var (drawn, blocks) = (0, 0)
    for top in stride(from: 0, to: height, by: side) {
      for left in stride(from: 0, to: width, by: side) {
        var (seen, exact, sharpest) = (0, 0, 0)
        for y in stride(from: top + 1, to: min(height, top + side), by: 2) {
          for x in left + 1..<max(left + 1, min(width, left + side)) {
            seen += 1
            if Self.medianError(first, x, y) == 0 { exact += 1 }
            for c in first {
              let here = c.base + (y * c.row_stride + x * c.step)
              sharpest = max(sharpest, abs(Int(here[0]) - Int(here[-c.step])))
            }
          }
        }
        blocks += 1
        if sharpest >= 32, 2 * exact >= seen { drawn += 1 }
      }
    }
    return 50 * drawn >= blocks
  }

  /// By how much the median predictor of LOCO-I (Weinberger, Seroussi, Sapiro 2000) misses the components' samples at a place
  /// in a row and column from 1 on, in sum.
  @inline(__always)
  private static func medianError(_ components: ArraySlice<sc_component>, _ x: Int, _ y: Int) -> Int {
    var error = 0
    for c in components {
      let here = c.base + (y * c.row_stride + x * c.step)
      let (west, north) = (Int(here[-c.step]), Int(here[-c.row_stride]))
      let corner = Int(here[-c.row_stride - c.step])
      let (low, high) = (min(west, north), max(west, north))
      error += abs(Int(here[0]) - (corner >= high ? low : corner <= low ? high : west + north - corner))
    }
    return error
  }
}
