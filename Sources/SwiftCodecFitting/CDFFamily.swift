// SPDX-License-Identifier: BSD-3-Clause
import SwiftCodec

/// Counts of the samples of one level of one channel: −127…127 and, last, what lies outside.
struct LevelCell: MergeableLevel {
  static let reach = 127
  static let bins = 2 * reach + 2

  /// First step of the sum that belongs to it.
  var first: Int
  var counts: [Float]
  var entropy: Double

  init(first: Int, _ counts: [Float]) {
    self.first = first
    self.counts = counts
    entropy = entropyOfCounts(counts.lazy.map { Double($0) })
  }

  static func bin(_ value: Int) -> Int { value >= -reach && value <= reach ? value + reach : bins - 1 }

  func merged(with next: LevelCell) -> LevelCell {
    LevelCell(first: first, zip(counts, next.counts).map { $0 + $1 })
  }

  /// Steps [steps][bins] of one channel, merged where that costs least: at most `levels` cells are left, and none that
  /// saves less than `least` bits.
  static func merge(steps: [Float], levels: Int, least: Double) -> [LevelCell] {
    // First into cells of similar weight: zeros say little.
    let count = steps.count / bins
    var mass = [Float](repeating: 0, count: count)
    for s in 0..<count {
      var sum: Float = 0
      for b in 0..<bins { sum += steps[s * bins + b] }
      mass[s] = sum - 0.97 * steps[s * bins + reach]
    }
    let enough = mass.reduce(0, +) / 128
    var cells: [LevelCell] = []
    var pending = [Float](repeating: 0, count: bins)
    var pendingMass: Float = 0
    var first = 0
    for s in 0..<count where mass[s] > 0 {
      if pendingMass == 0 { first = cells.isEmpty ? 0 : s }
      for b in 0..<bins { pending[b] += steps[s * bins + b] }
      pendingMass += mass[s]
      if pendingMass >= enough {
        cells.append(LevelCell(first: first, pending))
        pending = [Float](repeating: 0, count: bins)
        pendingMass = 0
      }
    }
    if pendingMass > 0 { cells.append(LevelCell(first: first, pending)) }
    cells.merge(levels: levels, least: least)
    return cells
  }
}

/// A few CDFs for the levels of all channels: each level uses the one that codes it shortest.
struct CDFFamily {
  private(set) var cdfs: [CDF]
  /// Of each cell.
  private(set) var members: [Int]

  init(_ cells: [LevelCell], count: Int, rounds: Int = 12) {
    let occupied = cells.indices.filter { cells[$0].counts.contains { $0 > 0 } }
    members = [Int](repeating: 0, count: cells.count)
    guard !occupied.isEmpty else {
      cdfs = [CDF(Histogram(minimum: 0, counts: [1]), parent: nil, strength: 0)]
      return
    }
    // From narrow to wide, cut where the bits are.
    let order = occupied.map { (cell: $0, width: CDFFamily.width(cells[$0].counts)) }
      .sorted { ($0.width, $0.cell) < ($1.width, $1.cell) }
    let total = occupied.reduce(0.0) { $0 + cells[$1].entropy + 1 }
    var done = 0.0
    for (i, _) in order {
      members[i] = min(count - 1, Int(done / total * Double(count)))
      done += cells[i].entropy + 1
    }
    cdfs = []
    let sparse = cells.map { cell in cell.counts.indices.filter { cell.counts[$0] > 0 } }
    for _ in 0..<rounds {
      refit(cells, occupied)
      // [CDF][bin]
      let bits = cdfs.map { cdf in
        (0..<LevelCell.bins).map {
          Float(cdf.bits($0 < LevelCell.bins - 1 ? $0 - LevelCell.reach : 4 * LevelCell.reach))
        }
      }
      var changed = 0
      for i in occupied {
        var best = members[i]
        var least = Float.infinity
        for j in bits.indices {
          var sum: Float = 0
          for b in sparse[i] { sum += cells[i].counts[b] * bits[j][b] }
          if sum < least {
            least = sum
            best = j
          }
        }
        if best != members[i] { changed += 1 }
        members[i] = best
      }
      if changed == 0 { break }
    }
    refit(cells, occupied)
  }

  /// The mean magnitude.
  private static func width(_ counts: [Float]) -> Float {
    var sum: Float = 0
    var total: Float = 0
    for (b, n) in counts.enumerated() {
      sum += n * Float(b == LevelCell.bins - 1 ? 2 * LevelCell.reach : abs(b - LevelCell.reach))
      total += n
    }
    return total > 0 ? sum / total : 0
  }

  /// The CDFs of what their members have together, smoothed by a Laplace distribution; those without members go.
  private mutating func refit(_ cells: [LevelCell], _ occupied: [Int]) {
    var sums: [Int: [Float]] = [:]
    for i in occupied {
      if sums[members[i]] == nil { sums[members[i]] = [Float](repeating: 0, count: LevelCell.bins) }
      for b in 0..<LevelCell.bins { sums[members[i]]![b] += cells[i].counts[b] }
    }
    let used = sums.keys.sorted()
    var place: [Int: Int] = [:]
    for (i, j) in used.enumerated() { place[j] = i }
    for i in occupied { members[i] = place[members[i]]! }
    cdfs = used.map { CDFFamily.cdf(sums[$0]!) }
  }

  private static func cdf(_ counts: [Float]) -> CDF {
    // The Laplace distribution of the same mean magnitude m: P(|v| = n) falls by t = exp(−1/b) a step.
    let mean = max(Double(width(counts)), 1e-3)
    let t = min(0.999, mean / (1 + mean))
    var shape = [Double](repeating: 0, count: LevelCell.bins - 1)
    for b in shape.indices {
      var p = 1.0
      for _ in 0..<abs(b - LevelCell.reach) { p *= t }
      shape[b] = max(p, 1e-12)
    }
    let sum = shape.reduce(0, +)
    let strength = 6.0
    let smoothed = shape.indices.map { Double(counts[$0]) + strength * shape[$0] / sum }
    return CDF(
      Histogram(minimum: -LevelCell.reach, counts: smoothed), parent: nil, strength: 0,
      escapes: Double(counts[LevelCell.bins - 1]))
  }
}
