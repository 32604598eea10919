// SPDX-License-Identifier: BSD-3-Clause

/// What a sample's context is made of (model.md §8): which neighbours it has, what stands in for those beyond the
/// borders, how their values count, and what a value outside of its CDF costs.
///
/// Everything in Swift that must agree with the coder asks here: the search's rates, and fitting. The coder itself is C,
/// and its plain variant is the specification.
package enum ContextRule {
  /// Rows and columns from a sample to its neighbours in the same channel, in the order of their weights: left, left of
  /// left, top left, top, top right, top of top.
  package static let causalOffsets: [(y: Int, x: Int)] = [(0, -1), (0, -2), (-1, -1), (-1, 0), (-1, 1), (-2, 0)]
  /// How many these are.
  package static let causalCount = 6
  /// 3×3 around the sample in channels coded before, row by row.
  package static let boxCount = 9
  /// Sums of weighted magnitudes are shifted and clamped to steps 0 ..< this before they choose a level.
  package static let sumSteps = 1024
  /// Residuals of larger magnitude count as the last entry of a magnitude table does.
  package static let magnitudeEntries = 64

  /// The k-th causal neighbour of (y, x), as its place y · width + x; nil for one that counts as 0.
  ///
  /// To the right of the plane stands its last column. To its left stands the first sample of the row above, and above
  /// it the first row, two columns further left for every row.
  package static func causalPlace(_ k: Int, _ y: Int, _ x: Int, width: Int) -> Int? {
    var (y, x) = (y + causalOffsets[k].y, x + causalOffsets[k].x)
    if x < 0, y > 0 { (y, x) = (y - 1, 0) }
    if y < 0 { (y, x) = (0, x + 2 * y) }
    return x < 0 ? nil : y * width + min(x, width - 1)
  }

  /// The k-th sample of the 3×3 around (y, x), as its place: beyond the borders stands the nearest one.
  package static func boxPlace(_ k: Int, _ y: Int, _ x: Int, width: Int, height: Int) -> Int {
    min(max(y + k / 3 - 1, 0), height - 1) * width + min(max(x + k % 3 - 1, 0), width - 1)
  }

  /// Bits of an escaped value beyond those of the escape itself: 5 for its length, and its bits but the highest.
  ///
  /// `beyond` is how far the value lies beyond the CDF: 0, 1, … above its last value, −1, −2, … below its first.
  package static func escapeBits(_ beyond: Int) -> Int {
    let code = beyond >= 0 ? 2 * beyond : -2 * beyond - 1
    return 5 + max(0, Int.bitWidth - code.leadingZeroBitCount - 1)
  }

  /// Ideal code length of a symbol of some frequency, 1…2^15 in units of 2^−15.
  package static func bits(frequency: Int) -> Double { 15 - binaryLogarithm(Double(frequency)) }

  /// The level of each step of the shifted sum, plus 1 for every bound that it reaches.
  package static func levels(_ bounds: [Int]) -> [Int] {
    [Int](unsafeUninitializedCapacity: sumSteps) { levels, count in
      forEachLevel(bounds) { level, steps in
        for step in steps { levels[step] = level }
      }
      count = sumSteps
    }
  }

  /// The steps of each level in turn; none for a level whose bound is that of the next.
  static func forEachLevel(_ bounds: [Int], _ body: (_ level: Int, _ steps: Range<Int>) -> Void) {
    var first = 0
    for (level, bound) in bounds.enumerated() {
      body(level, first..<bound)
      first = bound
    }
    body(bounds.count, first..<sumSteps)
  }
}

extension MagnitudeRule {
  /// What the coder and the search are given. Where levels follow from a hyperprior's scales alone, every magnitude is 0,
  /// which saves them a case.
  func normalised(_ table: EntropyTable) -> MagnitudeRule {
    guard case .none = self, table.channels.contains(where: { $0.levels > 1 }) else { return self }
    return .table([UInt8](repeating: 0, count: ContextRule.magnitudeEntries))
  }

  /// Of a residual that a channel codes; without a mean that is its value.
  package func magnitude(_ residual: Int, _ contexts: ChannelContexts) -> UInt8 {
    switch self {
    case .none: 0
    case .threshold: residual < contexts.low || residual >= contexts.high ? 1 : 0
    case .table(let table): MagnitudeRule.entry(table, residual)
    }
  }

  /// The entry of a magnitude table that a residual counts as.
  @inline(__always)
  package static func entry(_ table: [UInt8], _ residual: Int) -> UInt8 {
    table[min(Int(residual.magnitude), ContextRule.magnitudeEntries - 1)]
  }
}
