// SPDX-License-Identifier: BSD-3-Clause
import SwiftCodec

/// The levels of one channel, with what they cost on the fitting set.
struct DifferenceFit {
  /// Without CDFs and mean.
  var contexts: ChannelContexts
  /// [levels][phases]
  var cells: [LevelCell]
  /// With the scale alone, with the same channel, with everything.
  var scaleBits: Double
  var ownBits: Double
  var bits: Double { cells.reduce(0) { $0 + $1.entropy } }
}

/// Fits the levels of one channel with a hyperprior: log b = θ₀ + θ₁ · scale + Σ θ · magnitude, where all but θ₀ are ≥ 0
/// (`LevelWeights`).
struct DifferenceFitter {
  private var weights: LevelWeights
  private let table: [UInt8]
  private let settings: DifferenceSettings
  /// Magnitudes of the samples' residuals, at most 63.
  private var sizes: [Float] = []

  private var fitter: EntropyFitter { weights.fitter }
  private var c: Int { weights.c }
  private var residuals: Residuals { weights.residuals }

  /// `table` is that of the magnitude rule.
  init(_ weights: LevelWeights, _ table: [UInt8], _ settings: DifferenceSettings) {
    self.weights = weights
    self.table = table
    self.settings = settings
  }

  mutating func fit(isWeighted: Bool) -> DifferenceFit {
    let isEmpty = fitter.coded[c].isEmpty
    let scale = levels(scaleWeight: isEmpty ? 0 : 1, [])
    guard isWeighted, scale.bits > 64 else { return scale }
    draw()
    optimise(steps: 6)
    weights.appendNeighbours(0)
    optimise(steps: 4)
    var best = scale
    func keep(_ fit: DifferenceFit) {
      if fit.bits < best.bits - settings.bitsPerStage { best = fit }
    }
    keep(quantisedLevels())
    let ownBits = best.bits
    for round in 0..<settings.rounds {
      let chosen = bestCandidates(settings.sources * (round + 1) / settings.rounds - weights.sources.count)
      if chosen.isEmpty { break }
      for s in chosen { weights.appendSource(s) }
      optimise(steps: 3)
    }
    if !weights.sources.isEmpty { keep(quantisedLevels()) }
    best.scaleBits = scale.bits
    best.ownBits = ownBits
    return best
  }

  private mutating func draw() {
    let values = residuals.values
    let scales = fitter.corpus.scales[c]
    // How often a sample is not zero, by its scale.
    var total = [Float](repeating: 1, count: 256)
    var moved = [Float](repeating: 0.01, count: 256)
    for r in fitter.coded[c] {
      for i in r {
        total[Int(scales[i])] += 1
        if values[i] != 0 { moved[Int(scales[i])] += 1 }
      }
    }
    func probability(_ i: Int) -> Float {
      (values[i] != 0 ? 1 : 0) + 0.02 + moved[Int(scales[i])] / total[Int(scales[i])]
    }
    var sum: Float = 0
    for r in fitter.coded[c] { for i in r { sum += probability(i) } }
    weights.draw(factor: Float(settings.samples) / sum, probability)
    let samples = weights.samples
    let n = samples.count
    sizes = samples.map { Float(min(values[Int($0)].magnitude, 63)) }
    var scaleMean: Float = 0
    for i in samples { scaleMean += Float(scales[Int(i)]) }
    scaleMean /= Float(max(1, n))
    let scale = AlignedBuffer<Float>(count: n, zero: 0)
    for (j, i) in samples.enumerated() { scale.base[j] = Float(scales[Int(i)]) - scaleMean }
    var mean: Float = 0
    for size in sizes { mean += size }
    weights.append(
      AlignedBuffer(count: n, zero: 1), Float(binaryLogarithm(Double(mean / Float(max(1, n)) + 0.05)) * 0.7))
    weights.append(scale, 0)
  }

  // MARK: Weights

  /// Derivative of each sample's code length by log b, negated over its expected square `h`: e.
  private func linearise(_ e: UnsafeMutablePointer<Float>, _ h: UnsafeMutablePointer<Float>) {
    let n = weights.samples.count
    let eta = AlignedBuffer<Float>(count: n, zero: 0)
    weights.sums(eta.base)
    for j in 0..<n {
      let b = fastExp(min(max(eta.base[j], -3), 4))
      // Rare outliers say nothing of the bulk.
      let d = derivatives(min(sizes[j], 8 * b + 2), b)
      let expected = max(d.h * b * b, 1e-5)
      e[j] = -d.g * b / expected
      h[j] = expected * weights.sampleWeights[j]
    }
  }

  private mutating func optimise(steps: Int) {
    let n = weights.samples.count
    let e = AlignedBuffer<Float>(count: n, zero: 0)
    let h = AlignedBuffer<Float>(count: n, zero: 0)
    let move = AlignedBuffer<Float>(count: n, zero: 0)
    for _ in 0..<steps {
      linearise(e.base, h.base)
      for j in 0..<n { move.base[j] = 0 }
      let start = weights.theta
      weights.descend(e.base, h.base, least: -.infinity, move: move.base)
      // No sample's width changes by more than a factor of e at once.
      var most: Float = 0
      for j in 0..<n { most = max(most, abs(move.base[j])) }
      if most > 1 {
        for f in start.indices { weights.theta[f] = start[f] + (weights.theta[f] - start[f]) / most }
      }
    }
  }

  private func bestCandidates(_ count: Int) -> [Int] {
    let n = weights.samples.count
    let e = AlignedBuffer<Float>(count: n, zero: 0)
    let h = AlignedBuffer<Float>(count: n, zero: 0)
    linearise(e.base, h.base)
    var total: Float = 0
    for j in 0..<n { total += h.base[j] }
    return weights.bestSources(among: 0..<c, count, least: settings.sourceScore) { plane in
      var num: Float = 0
      var den: Float = 0
      var sum: Float = 0
      var slope: Float = 0
      for j in 0..<n {
        let x = Float(plane[Int(weights.samples[j])])
        let weighted = h.base[j] * x
        num += weighted * e.base[j]
        slope += h.base[j] * e.base[j]
        den += weighted * x
        sum += weighted
      }
      // Beside the constant, that fits anew.
      return (num - sum * slope / total, den - sum * sum / total)
    }
  }

  // MARK: Levels

  /// Integer weights: as fine as weights of 7 bits and sums of 16 bits allow.
  private func quantisedLevels() -> DifferenceFit {
    let real = weights.theta.dropFirst(2)
    let scale = weights.theta[1]
    let largest = max(real.max() ?? 0, scale)
    let top = real.reduce(0, +) * Float(table[63]) + 255 * scale
    guard largest > 0 else { return levels(scaleWeight: 0, []) }
    let factor = min(127 / largest, 60000 / top)
    return levels(
      scaleWeight: Int((scale * factor).rounded()), real.map { UInt8(min(127, ($0 * factor).rounded())) })
  }

  /// The best levels of given weights.
  private func levels(scaleWeight: Int, _ integers: [UInt8]) -> DifferenceFit {
    let grid = fitter.grid
    var sums = [UInt16](repeating: 0, count: grid.count)
    fitter.corpus.scales[c].withUnsafeBufferPointer { scales in
      for i in 0..<grid.count { sums[i] = UInt16(scaleWeight) * UInt16(scales[i]) }
    }
    let shift = weights.addMagnitudes(integers, to: &sums)
    let bins = LevelCell.bins
    let phases = 1 << residuals.phaseBits
    // [phases][steps][bins]
    var counts = [[Float]](repeating: [Float](repeating: 0, count: 1024 * bins), count: phases)
    for r in fitter.coded[c] {
      for i in r {
        let at = min(1023, Int(sums[i] >> UInt16(shift))) * bins + LevelCell.bin(Int(residuals.values[i]))
        counts[phases > 1 ? Int(residuals.phases[i]) : 0][at] += 1
      }
    }
    let all = (0..<(1024 * bins)).map { i in counts.reduce(0) { $0 + $1[i] } }
    var merged = LevelCell.merge(steps: all, levels: settings.levels, least: settings.bitsPerLevel)
    if merged.isEmpty { merged = [LevelCell(first: 0, [Float](repeating: 0, count: bins))] }
    var cells = merged
    if phases > 1 {
      cells = []
      for (level, cell) in merged.enumerated() {
        let end = level + 1 < merged.count ? merged[level + 1].first : 1024
        for phase in 0..<phases {
          var sum = [Float](repeating: 0, count: bins)
          for step in cell.first..<end { for b in 0..<bins { sum[b] += counts[phase][step * bins + b] } }
          cells.append(LevelCell(first: cell.first, sum))
        }
      }
    }
    var contexts = weights.contexts(integers, shift: shift, firstSteps: merged.map { $0.first })
    if merged.count > 1 { contexts.scaleWeight = scaleWeight }
    let bits = cells.reduce(0) { $0 + $1.entropy }
    return DifferenceFit(contexts: contexts, cells: cells, scaleBits: bits, ownBits: bits)
  }
}
