// SPDX-License-Identifier: BSD-3-Clause

/// Dequantisation and inverse DCT (T.81, A.3.3) in integers.
enum JPEGTransform {
  private static let bits = 20
  /// Bits behind the point between the two passes.
  private static let fraction = 8

  /// cos(kπ/16) / 2, of 20 bits behind the point, k = 1…7.
  private static let c1 = 514214, c2 = 484379, c3 = 435930, c4 = 370728, c5 = 291279, c6 = 200636, c7 = 102284

  /// The samples of a component.
  static func plane(_ component: JPEGComponent, _ coefficients: [Int16]) -> Plane {
    var plane = Plane(width: component.width, height: component.height)
    guard let table = component.table else { return plane }
    // In rows, as the coefficients are.
    var steps = [Int](repeating: 0, count: 64)
    for (place, step) in table.enumerated() { steps[Int(JPEG.zigzag[place])] = Int(step) }
    var work = [Int](repeating: 0, count: 64)
    let source = coefficients.span
    var target = plane.samples.mutableSpan
    for by in 0..<component.blocksHigh {
      for bx in 0..<component.blocksWide {
        let at = 64 * (component.start + by * component.stride + bx)
        columns(source, at, steps, &work)
        rows(
          &work, &target, start: 8 * by * component.width + 8 * bx, stride: component.width,
          width: min(8, component.width - 8 * bx), height: min(8, component.height - 8 * by))
      }
    }
    return plane
  }

  /// A product of coefficient and step is of at most 31 bits and a sign, and a pass grows values by less than 2.7 times:
  /// below 2^33 · 2^20 here, and below 2^41 · 2.7 · 2^20 < 2^63 in the rows.
  private static func columns(
    _ source: borrowing Span<Int16>, _ at: Int, _ steps: [Int], _ work: inout [Int]
  ) {
    let steps = steps.span
    var work = work.mutableSpan
    for x in 0..<8 {
      @inline(__always) func value(_ y: Int) -> Int { Int(source[at + 8 * y + x]) &* steps[8 * y + x] }
      var rest: Int16 = 0
      for y in 1..<8 { rest |= source[at + 8 * y + x] }
      if rest == 0 {
        let level = (value(0) &* c4 &+ 1 << (bits - fraction - 1)) >> (bits - fraction)
        for y in 0..<8 { work[8 * y + x] = level }
        continue
      }
      let out = inverse(value(0), value(1), value(2), value(3), value(4), value(5), value(6), value(7))
      let half = 1 << (bits - fraction - 1)
      for y in 0..<8 { work[8 * y + x] = (out[y] &+ half) >> (bits - fraction) }
    }
  }

  private static func rows(
    _ work: inout [Int], _ target: inout MutableSpan<UInt8>, start: Int, stride: Int, width: Int, height: Int
  ) {
    let work = work.span
    // Half a unit for rounding, and the level shift of 128.
    let offset = 1 << (bits + fraction - 1) + 128 << (bits + fraction)
    for y in 0..<height {
      let at = 8 * y
      let out = inverse(
        work[at], work[at + 1], work[at + 2], work[at + 3], work[at + 4], work[at + 5], work[at + 6], work[at + 7])
      for x in 0..<width {
        target[start + y * stride + x] = UInt8(clamping: (out[x] &+ offset) >> (bits + fraction))
      }
    }
  }

  /// Eight samples, of `bits` more bits behind the point than the coefficients.
  @inline(__always)
  private static func inverse(
    _ x0: Int, _ x1: Int, _ x2: Int, _ x3: Int, _ x4: Int, _ x5: Int, _ x6: Int, _ x7: Int
  ) -> SIMD8<Int> {
    let (e0, e1) = (c4 &* (x0 &+ x4), c4 &* (x0 &- x4))
    let (e2, e3) = (c2 &* x2 &+ c6 &* x6, c6 &* x2 &- c2 &* x6)
    let (a0, a1, a2, a3) = (e0 &+ e2, e1 &+ e3, e1 &- e3, e0 &- e2)
    let b0 = c1 &* x1 &+ c3 &* x3 &+ c5 &* x5 &+ c7 &* x7
    let b1 = c3 &* x1 &- c7 &* x3 &- c1 &* x5 &- c5 &* x7
    let b2 = c5 &* x1 &- c1 &* x3 &+ c7 &* x5 &+ c3 &* x7
    let b3 = c7 &* x1 &- c5 &* x3 &+ c3 &* x5 &- c1 &* x7
    return SIMD8(a0 &+ b0, a1 &+ b1, a2 &+ b2, a3 &+ b3, a3 &- b3, a2 &- b2, a1 &- b1, a0 &- b0)
  }
}
