// SPDX-License-Identifier: BSD-3-Clause

/// Numbers of positions between two rate points (FORMAT.md §1.7). Every result lies between those of the two ends, after
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

extension Convolution {
  /// The shift of a modulated channel between two rate points, for the scales, shifts and biases of both; or the limit
  /// that its accumulator breaks (FORMAT.md §1.7). `weights` are the channel's.
  static func bridge(
    _ scales: (Int16, Int16), _ shifts: (UInt8, UInt8), _ biases: (Int32, Int32), _ weights: ArraySlice<Int16>,
    inputBits: Int, leakyShift: Int
  ) -> (shift: UInt8, bound: Int) {
    let smaller = min(shifts.0, shifts.1)
    var bound = Int.max
    for s in [smaller, smaller - 1] where s > 0 {
      let scale = max(
        abs(Interpolation.rounded(scale: Interpolation.aligned(scales.0, shifts.0, to: s))),
        abs(Interpolation.rounded(scale: Interpolation.aligned(scales.1, shifts.1, to: s))))
      let bias = max(
        abs(Interpolation.rounded(bias: Interpolation.aligned(biases.0, shifts.0, to: s))),
        abs(Interpolation.rounded(bias: Interpolation.aligned(biases.1, shifts.1, to: s))))
      var magnitude: Int64 = 0
      for weight in weights { magnitude &+= (scale * Int64(weight.magnitude) + 1 << 13) >> 14 }
      bound = Int(bias + magnitude << Int64(inputBits) + 1 << Int64(Int(s) + leakyShift - 1))
      if bound < 1 << 31 { return (s, bound) }
    }
    return (0, bound)
  }
}

extension Model {
  /// Gains and shifts of all channels of a gain layer at a position.
  func gains(
    _ gain: Int, _ shift: Int, channels: Int, at position: RatePosition
  ) -> (gains: [Int16], shifts: [UInt8]) {
    guard case .i16(let gains) = arrays[gain].elements, case .u8(let shifts) = arrays[shift].elements
    else { preconditionFailure("validated by the parser") }
    let first = position.ratePoint * channels
    if position.fraction == 0 {
      return (Array(gains[first..<(first + channels)]), Array(shifts[first..<(first + channels)]))
    }
    let s = (first..<(first + channels)).map { min(shifts[$0], shifts[$0 + channels]) }
    let between = s.indices.map { c in
      let a = Interpolation.aligned(gains[first + c], shifts[first + c], to: s[c])
      let b = Interpolation.aligned(gains[first + channels + c], shifts[first + channels + c], to: s[c])
      return Int16(Interpolation.rounded(scale: Interpolation.scale(a, b, position.fraction)))
    }
    return (between, s)
  }

  /// Modulation (nil for a layer without), shifts and biases of all output channels of a convolution at a position.
  func parameters(
    _ c: Convolution, channels: Int, at position: RatePosition
  ) -> (modulation: [Int16]?, shifts: [UInt8], biases: [Int32]) {
    guard case .i32(let biases) = arrays[c.bias].elements else { preconditionFailure("validated by the parser") }
    guard let modulation = c.modulation else { return (nil, c.shifts, biases) }
    guard case .i16(let scales) = arrays[modulation].elements else { preconditionFailure("validated by the parser") }
    let low = (position.ratePoint * channels)..<((position.ratePoint + 1) * channels)
    if position.fraction == 0 { return (Array(scales[low]), Array(c.shifts[low]), Array(biases[low])) }
    let shifts = Array(c.bridges[low])
    var between: (scales: [Int16], biases: [Int32]) = ([], [])
    for i in low {
      let (j, s, f) = (i + channels, c.bridges[i], position.fraction)
      let scale = Interpolation.scale(
        Interpolation.aligned(scales[i], c.shifts[i], to: s), Interpolation.aligned(scales[j], c.shifts[j], to: s), f)
      let bias = Interpolation.straight(
        Interpolation.aligned(biases[i], c.shifts[i], to: s), Interpolation.aligned(biases[j], c.shifts[j], to: s), f)
      between.scales.append(Int16(Interpolation.rounded(scale: scale)))
      between.biases.append(Int32(Interpolation.rounded(bias: bias)))
    }
    return (between.scales, shifts, between.biases)
  }
}
