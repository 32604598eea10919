// SPDX-License-Identifier: BSD-3-Clause

/// Numbers of positions between two rate points (model.md §9). Every result lies between those of the two ends, after
/// these are brought to the same shift: so what holds for the larger of both holds at every position.
enum Interpolation {
  /// ⌊√x⌋ for 0 ≤ x ≤ 2^62.
  static func squareRoot(_ x: Int64) -> Int64 {
    var root = Int64(Double(x).squareRoot())
    while root * root > x { root -= 1 }
    while (root + 1) * (root + 1) <= x { root += 1 }
    return root
  }

  /// scale · 2^−shift in units of 2^−(16 + s), towards zero; s ≤ shift.
  static func aligned(_ scale: Int16, _ shift: UInt8, to s: UInt8) -> Int64 {
    let magnitude = (Int64(scale.magnitude) << 16) >> Int64(shift - s)
    return scale < 0 ? -magnitude : magnitude
  }

  /// bias · 2^−shift in units of 2^−(16 + s), rounded down; s ≤ shift.
  static func aligned(_ bias: Int32, _ shift: UInt8, to s: UInt8) -> Int64 { (Int64(bias) << 16) >> Int64(shift - s) }

  /// Rounds what `aligned` gives to integers.
  static func rounded(scale: Int64) -> Int64 {
    let magnitude = (abs(scale) + 1 << 15) >> 16
    return scale < 0 ? -magnitude : magnitude
  }

  static func rounded(bias: Int64) -> Int64 { (bias + 1 << 15) >> 16 }

  /// f/32 of the way between two scales of at most 2^31: on the geometric line if they have the same sign, so that a gain
  /// and its inverse stay inverse to each other, or else on the straight line.
  static func scale(_ a: Int64, _ b: Int64, _ f: Int) -> Int64 {
    guard a != 0, b != 0, (a < 0) == (b < 0) else { return straight(a, b, f) }
    var low = abs(a)
    var high = abs(b)
    for bit in (0..<5).reversed() {
      let middle = squareRoot(low * high)
      if f >> bit & 1 == 1 { low = middle } else { high = middle }
    }
    return a < 0 ? -low : low
  }

  /// f/32 of the way between two numbers below 2^57.
  static func straight(_ a: Int64, _ b: Int64, _ f: Int) -> Int64 {
    (Int64(RatePosition.steps - f) * a + Int64(f) * b + 16) >> 5
  }
}
