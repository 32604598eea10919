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

/// Fits the weights of the sum that chooses a sample's level.
///
/// The sum stands for the width b of a Laplace distribution of the residual: b = θ₀ + Σ θ·magnitude with θ ≥ 0.
/// The likelihood of the rounded residuals is maximised by Fisher scoring, each step by coordinate descent.
final class ScaleFitter {
  private let fitter: EntropyFitter
  private let c: Int
  private let residuals: Residuals
  private let candidates: [Int]
  private let magnitudes: [[UInt8]]
  private let blurred: [[UInt16]]
  private let settings: WeightedSettings
  /// Positions that take part, and 1 / the probability with which they were drawn.
  private var samples: [Int32] = []
  private var sampleWeights: [Float] = []
  private var features: [AlignedBuffer<Float>] = []
  private var theta: [Float] = []
  private var sources: [Int] = []
  private let least: Float = 2e-3

  init(
    _ fitter: EntropyFitter, _ c: Int, _ residuals: Residuals, candidates: [Int], magnitudes: [[UInt8]],
    blurred: [[UInt16]], _ settings: WeightedSettings
  ) {
    self.fitter = fitter
    self.c = c
    self.residuals = residuals
    self.candidates = candidates
    self.magnitudes = magnitudes
    self.blurred = blurred
    self.settings = settings
  }

  func fit() -> ScaleFit {
    let marginal = residuals.histogram(fitter.coded[c])
    guard marginal.total > 0, marginal.entropy > 16 else { return unconditional(marginal) }
    draw()
    features = [AlignedBuffer(count: samples.count, zero: 1)]
    theta = [0.1]
    for k in 0..<6 { append(magnitudes[c], fitter.grid.causal[k], 0.1) }
    optimise(steps: 4)
    let own = levels(marginal)
    guard settings.sources > 0, !candidates.isEmpty else { return own.fit }
    for round in 0..<settings.rounds {
      let wanted = settings.sources * (round + 1) / settings.rounds - sources.count
      let chosen = bestCandidates(wanted)
      if chosen.isEmpty { break }
      for s in chosen {
        sources.append(s)
        for k in 0..<9 { append(magnitudes[s], fitter.grid.around[k], 0) }
      }
      optimise(steps: round == settings.rounds - 1 ? 5 : 2)
    }
    var all = levels(marginal)
    all.fit.ownBits = own.fit.idealBits
    if all.fit.bits > own.fit.bits { all.fit = own.fit }
    let plain = unconditional(marginal)
    return all.fit.bits < plain.bits ? all.fit : plain
  }

  private func unconditional(_ marginal: Histogram) -> ScaleFit {
    let cdf = fitter.unconditional(marginal)
    let bits = cdf.bits(marginal)
    return ScaleFit(
      contexts: ChannelContexts(cdf: []), cdfs: [CDF](repeating: cdf, count: 1 << residuals.phaseBits),
      ownBits: bits, idealBits: bits, bits: bits)
  }

  // MARK: Samples

  /// Draws positions, those where something happens more often.
  private func draw() {
    let grid = fitter.grid
    let m = magnitudes[c]
    var energy: [Float] = []
    var total = 0.0
    for r in fitter.coded[c] {
      for i in r {
        var e = 0
        for k in 0..<4 { e += Int(m[Int(grid.causal[k][i])]) }
        let p = (m[i] > 0 ? 1 : 0) + min(1, 0.25 * Float(e)) + 0.02
        energy.append(p)
        total += Double(p)
      }
    }
    let scale = Float(Double(settings.samples) / total)
    var at = 0
    var state = UInt64(c) &* 0x9E37_79B9_7F4A_7C15 | 1
    for r in fitter.coded[c] {
      for i in r {
        let p = min(1, scale * energy[at])
        at += 1
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        if Float(state >> 40) < p * 16_777_216 {
          samples.append(Int32(i))
          sampleWeights.append(1 / p)
        }
      }
    }
  }

  private func append(_ plane: [UInt8], _ at: [Int32], _ weight: Float) {
    let feature = AlignedBuffer<Float>(count: samples.count, zero: 0)
    plane.withUnsafeBufferPointer { plane in
      at.withUnsafeBufferPointer { at in
        for (j, i) in samples.enumerated() { feature.base[j] = Float(plane[Int(at[Int(i)])]) }
      }
    }
    features.append(feature)
    theta.append(weight)
  }

  // MARK: Weights

  private func optimise(steps: Int) {
    let n = samples.count
    let b = AlignedBuffer<Float>(count: n, zero: 0)
    let e = AlignedBuffer<Float>(count: n, zero: 0)
    let h = AlignedBuffer<Float>(count: n, zero: 0)
    let m = magnitudes[c]
    let r = samples.map { Float(m[Int($0)]) }
    for _ in 0..<steps {
      for j in 0..<n { b.base[j] = 0 }
      for (f, w) in zip(features, theta) where w != 0 { addProduct(b.base, f.base, w, n) }
      for j in 0..<n {
        let width = max(b.base[j], least)
        let d = derivatives(r[j], width)
        h.base[j] = d.h * sampleWeights[j]
        // Far steps of single samples are noise.
        e.base[j] = min(max(-d.g / d.h, -4 * width), 4 * width + 1)
      }
      for _ in 0..<4 {
        for f in features.indices {
          let (num, den) = weightedProducts(features[f].base, e.base, h.base, n)
          guard den > 0 else { continue }
          let to = max(f == 0 ? least : 0, theta[f] + num / (den * 1.0001))
          let delta = to - theta[f]
          if delta == 0 { continue }
          theta[f] = to
          addProduct(e.base, features[f].base, -delta, n)
        }
      }
    }
  }

  /// The earlier channels whose blurred magnitudes would help most, by the score test.
  private func bestCandidates(_ count: Int) -> [Int] {
    let n = samples.count
    let b = AlignedBuffer<Float>(count: n, zero: 0)
    for (f, w) in zip(features, theta) where w != 0 { addProduct(b.base, f.base, w, n) }
    var g = [Float](repeating: 0, count: n)
    var h = g
    for j in 0..<n {
      let width = max(b.base[j], least)
      let d = derivatives(Float(magnitudes[c][Int(samples[j])]), width)
      h[j] = d.h * sampleWeights[j]
      g[j] = -min(max(-d.g / d.h, -4 * width), 4 * width + 1) * h[j]
    }
    var scores: [(score: Float, channel: Int)] = []
    for s in candidates where !sources.contains(s) {
      var num: Float = 0
      var den: Float = 0
      blurred[s].withUnsafeBufferPointer { plane in
        for j in 0..<n {
          let x = Float(plane[Int(samples[j])])
          num -= g[j] * x
          den += h[j] * x * x
        }
      }
      if num > 0, den > 0 { scores.append((num * num / den, s)) }
    }
    scores.sort { ($0.score, $1.channel) > ($1.score, $0.channel) }
    return scores.prefix(count).filter { $0.score > 8 }.map { $0.channel }
  }

  // MARK: Levels

  private func levels(_ marginal: Histogram) -> (fit: ScaleFit, Void) {
    // Integer weights: as fine as weights of 7 bits and sums of 16 bits allow.
    let weights = theta.dropFirst()
    let largest = weights.max() ?? 0
    let all = weights.reduce(0, +)
    guard largest > 0 else { return (unconditional(marginal), ()) }
    let scale = min(127 / largest, 60000 / (all * Float(settings.magnitudes.max() ?? 1)))
    let integers = weights.map { UInt8(min(127, ($0 * scale).rounded())) }
    var sums = [UInt16](repeating: 0, count: fitter.grid.count)
    fitter.addMagnitudes(integers, of: c, sources, magnitudes, to: &sums)
    let shift = fitter.levelShift(sums, of: c)

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
    var contexts = ChannelContexts(cdf: [])
    if cells.count > 1 {
      contexts.weights = Array(integers[0..<6])
      for (s, channel) in sources.enumerated() {
        let weights = Array(integers[(6 + 9 * s)..<(15 + 9 * s)])
        if weights.contains(where: { $0 > 0 }) {
          contexts.sources.append(ContextSource(channel: channel, weights: weights))
        }
      }
      contexts.shift = shift
      contexts.bounds = cells.dropFirst().map { $0.first }
    }
    return (ScaleFit(contexts: contexts, cdfs: cdfs, ownBits: ideal, idealBits: ideal, bits: bits), ())
  }

  private struct Cell {
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
    var costs = (0..<max(0, cells.count - 1)).map { i in
      cells[i].merged(with: cells[i + 1]).entropy - cells[i].entropy - cells[i + 1].entropy
    }
    while cells.count > 1 {
      var i = 0
      for j in costs.indices where costs[j] < costs[i] { i = j }
      guard costs[i] < settings.bitsPerCDF * Double(phases) * 0.7 || cells.count > settings.levels else { break }
      cells[i] = cells[i].merged(with: cells[i + 1])
      cells.remove(at: i + 1)
      costs.remove(at: i)
      for j in [i - 1, i] where costs.indices.contains(j) {
        costs[j] = cells[j].merged(with: cells[j + 1]).entropy - cells[j].entropy - cells[j + 1].entropy
      }
    }
    return cells
  }
}

// MARK: - The Laplace distribution

/// Derivative of the code length by b and its expected square, of the residual's magnitude r.
func derivatives(_ r: Float, _ b: Float) -> (g: Float, h: Float) {
  // With a = 1 / b: P(0) = 1 − q₂ where q₂ = exp(−a / 2), and P(|r| = n) = q₂ · exp(−a (n − 1)) (1 − exp(−a)).
  let a = 1 / b
  let half = fastExp(-a / 2)
  let q = half * half
  let zero = -0.5 * half / max(1 - half, 1e-9)
  let geometric = q / max(1 - q, 1e-9)
  let da = r < 0.5 ? zero : r - 0.5 - geometric
  let fisher = half * (0.25 + geometric / max(1 - q, 1e-9)) + (1 - half) * zero * zero
  let a2 = a * a
  return (-da * a2, max(fisher, 1e-9) * a2 * a2)
}

func fastExp(_ x: Float) -> Float {
  // 2^(x log2 e): the fraction by a polynomial.
  let t = max(x * 1.4426950408889634, -100)
  let i = t.rounded(.down)
  let f = t - i
  let p = 1 + f * (0.69314718 + f * (0.24022651 + f * (0.05550411 + f * (0.009618129 + f * 0.0013333558))))
  return p * Float(bitPattern: UInt32(Int32(i) + 127) << 23)
}

/// out += w x
func addProduct(_ out: UnsafeMutablePointer<Float>, _ x: UnsafePointer<Float>, _ w: Float, _ n: Int) {
  for j in 0..<n { out[j] += w * x[j] }
}

/// Σ h x e and Σ h x².
func weightedProducts(
  _ x: UnsafePointer<Float>, _ e: UnsafePointer<Float>, _ h: UnsafePointer<Float>, _ n: Int
) -> (Float, Float) {
  var s0 = SIMD8<Float>.zero
  var s1 = s0
  let px = UnsafeRawPointer(x)
  let pe = UnsafeRawPointer(e)
  let ph = UnsafeRawPointer(h)
  var i = 0
  while i + 8 <= n {
    let v = px.loadUnaligned(fromByteOffset: 4 * i, as: SIMD8<Float>.self)
    let t = v * ph.loadUnaligned(fromByteOffset: 4 * i, as: SIMD8<Float>.self)
    s0 += t * pe.loadUnaligned(fromByteOffset: 4 * i, as: SIMD8<Float>.self)
    s1 += t * v
    i += 8
  }
  var num = s0.sum()
  var den = s1.sum()
  while i < n {
    num += h[i] * x[i] * e[i]
    den += h[i] * x[i] * x[i]
    i += 1
  }
  return (num, den)
}
