// SPDX-License-Identifier: BSD-3-Clause
import SwiftCodec

/// The contexts of one channel, with what they cost on the fitting set.
struct ScaleFit {
  /// Without CDFs and mean.
  var contexts: ChannelContexts
  /// [level][phase]
  var cdfs: [CDF]
  var ownBits: Double
  var idealBits: Double
  var bits: Double
}

/// Fits the levels of one channel without a hyperprior: b = θ₀ + Σ θ · magnitude with θ ≥ 0 (`LevelWeights`).
struct ScaleFitter {
  private var weights: LevelWeights
  private let candidates: [Int]
  private let settings: WeightedSettings
  private let least: Float = 2e-3

  private var fitter: EntropyFitter { weights.fitter }
  private var c: Int { weights.c }
  private var residuals: Residuals { weights.residuals }

  /// `candidates` are the channels coded before.
  init(_ weights: LevelWeights, candidates: [Int], _ settings: WeightedSettings) {
    self.weights = weights
    self.candidates = candidates
    self.settings = settings
  }

  mutating func fit() -> ScaleFit {
    let marginal = residuals.histogram(fitter.coded[c])
    guard marginal.total > 0, marginal.entropy > 16 else { return unconditional(marginal) }
    draw()
    weights.append(AlignedBuffer(count: weights.samples.count, zero: 1), 0.1)
    weights.appendNeighbours(0.1)
    optimise(steps: 4)
    let own = levels(marginal)
    guard settings.sources > 0, !candidates.isEmpty else { return own }
    for round in 0..<settings.rounds {
      let chosen = bestCandidates(settings.sources * (round + 1) / settings.rounds - weights.sources.count)
      if chosen.isEmpty { break }
      for s in chosen { weights.appendSource(s) }
      optimise(steps: round == settings.rounds - 1 ? 5 : 2)
    }
    var all = levels(marginal)
    all.ownBits = own.idealBits
    if all.bits > own.bits { all = own }
    let plain = unconditional(marginal)
    return all.bits < plain.bits ? all : plain
  }

  private func unconditional(_ marginal: Histogram) -> ScaleFit {
    let cdf = fitter.unconditional(marginal)
    let bits = cdf.bits(marginal)
    return ScaleFit(
      contexts: ChannelContexts(cdf: []), cdfs: [CDF](repeating: cdf, count: 1 << residuals.phaseBits),
      ownBits: bits, idealBits: bits, bits: bits)
  }

  private mutating func draw() {
    let causal = fitter.grid.causal
    let m = weights.magnitudes[c]
    func probability(_ i: Int) -> Float {
      var energy = 0
      for k in 0..<4 { energy += Int(m[Int(causal[k][i])]) }
      return (m[i] > 0 ? 1 : 0) + min(1, 0.25 * Float(energy)) + 0.02
    }
    var total = 0.0
    for r in fitter.coded[c] { for i in r { total += Double(probability(i)) } }
    weights.draw(factor: Float(Double(settings.samples) / total), probability)
  }

  // MARK: Weights

  /// Derivative of each sample's code length by b, negated over its expected square `h`: e.
  private func linearise(_ e: UnsafeMutablePointer<Float>, _ h: UnsafeMutablePointer<Float>) {
    let n = weights.samples.count
    let b = AlignedBuffer<Float>(count: n, zero: 0)
    weights.sums(b.base)
    let m = weights.magnitudes[c]
    for j in 0..<n {
      let width = max(b.base[j], least)
      let d = derivatives(Float(m[Int(weights.samples[j])]), width)
      h[j] = d.h * weights.sampleWeights[j]
      // Far steps of single samples are noise.
      e[j] = min(max(-d.g / d.h, -4 * width), 4 * width + 1)
    }
  }

  private mutating func optimise(steps: Int) {
    let e = AlignedBuffer<Float>(count: weights.samples.count, zero: 0)
    let h = AlignedBuffer<Float>(count: weights.samples.count, zero: 0)
    for _ in 0..<steps {
      linearise(e.base, h.base)
      weights.descend(e.base, h.base, least: least)
    }
  }

  private func bestCandidates(_ count: Int) -> [Int] {
    let n = weights.samples.count
    let e = AlignedBuffer<Float>(count: n, zero: 0)
    let h = AlignedBuffer<Float>(count: n, zero: 0)
    linearise(e.base, h.base)
    for j in 0..<n { e.base[j] *= h.base[j] }
    return weights.bestSources(among: candidates, count, least: 8) { plane in
      var num: Float = 0
      var den: Float = 0
      for j in 0..<n {
        let x = Float(plane[Int(weights.samples[j])])
        num += e.base[j] * x
        den += h.base[j] * x * x
      }
      return (num, den)
    }
  }

  // MARK: Levels

  private func levels(_ marginal: Histogram) -> ScaleFit {
    // Integer weights: as fine as weights of 7 bits and sums of 16 bits allow.
    let real = weights.theta.dropFirst()
    let largest = real.max() ?? 0
    guard largest > 0 else { return unconditional(marginal) }
    let scale = min(127 / largest, 60000 / (real.reduce(0, +) * Float(settings.magnitudes.max() ?? 1)))
    let integers = real.map { UInt8(min(127, ($0 * scale).rounded())) }
    var sums = [UInt16](repeating: 0, count: fitter.grid.count)
    let shift = weights.addMagnitudes(integers, to: &sums)

    let phases = 1 << residuals.phaseBits
    let n = residuals.count
    // [step][phase][symbol]
    var counts = [Float](repeating: 0, count: 1024 * phases * n)
    counts.withUnsafeMutableBufferPointer { counts in
      for r in fitter.coded[c] {
        for i in r {
          let step = min(1023, Int(sums[i] >> UInt16(shift)))
          let phase = phases > 1 ? Int(residuals.phases[i]) : 0
          counts[(step * phases + phase) * n + Int(residuals.values[i]) - residuals.low] += 1
        }
      }
    }
    let cells = mergedCells(counts, phases, n, marginal)
    let parent = fitter.unconditional(marginal)
    var cdfs: [CDF] = []
    var bits = 0.0
    var ideal = 0.0
    for cell in cells {
      var whole = Histogram(minimum: residuals.low, counts: [Double](repeating: 0, count: n))
      for histogram in cell.histograms { whole += Histogram(minimum: residuals.low, counts: histogram) }
      var level = CDF(whole, parent: parent, strength: 8)
      if level.bits(whole) > parent.bits(whole) { level = parent }
      for counts in cell.histograms {
        let h = Histogram(minimum: residuals.low, counts: counts)
        var cdf = CDF(h, parent: level, strength: 8)
        if cdf.bits(h) > level.bits(h) - settings.bitsPerCDF / 4 { cdf = level }
        if cdf.bits(h) > parent.bits(h) { cdf = parent }
        cdfs.append(cdf)
        bits += cdf.bits(h)
        ideal += h.entropy
      }
    }
    return ScaleFit(
      contexts: weights.contexts(integers, shift: shift, firstSteps: cells.map { $0.first }), cdfs: cdfs,
      ownBits: ideal, idealBits: ideal, bits: bits)
  }

  private struct Cell: MergeableLevel {
    var first: Int
    /// By phase.
    var histograms: [[Double]]
    var entropy: Double

    init(first: Int, _ histograms: [[Double]]) {
      self.first = first
      self.histograms = histograms
      entropy = histograms.reduce(0) { $0 + entropyOfCounts($1) }
    }

    func merged(with next: Cell) -> Cell {
      Cell(first: first, zip(histograms, next.histograms).map { a, b in zip(a, b).map { $0 + $1 } })
    }
  }

  /// Steps of the sum, merged where that costs least until what is left is worth its CDFs.
  private func mergedCells(_ counts: [Float], _ phases: Int, _ n: Int, _ marginal: Histogram) -> [Cell] {
    let size = phases * n
    var cells: [Cell] = []
    // First into at most 160 cells of similar weight.
    let total = Float(marginal.total)
    var pending = [[Double]](repeating: [Double](repeating: 0, count: n), count: phases)
    var pendingTotal: Float = 0
    var first = 0
    for step in 0..<1024 {
      var mass: Float = 0
      for i in 0..<size { mass += counts[step * size + i] }
      if mass == 0 { continue }
      if pendingTotal == 0 { first = cells.isEmpty ? 0 : step }
      for p in 0..<phases { for v in 0..<n { pending[p][v] += Double(counts[step * size + p * n + v]) } }
      pendingTotal += mass
      if pendingTotal * 160 >= total || step < 16 {
        cells.append(Cell(first: first, pending))
        pending = [[Double]](repeating: [Double](repeating: 0, count: n), count: phases)
        pendingTotal = 0
      }
    }
    if pendingTotal > 0 { cells.append(Cell(first: first, pending)) }
    cells.merge(levels: settings.levels, least: settings.bitsPerCDF * Double(phases) * 0.7)
    return cells
  }
}
