// SPDX-License-Identifier: BSD-3-Clause
import SwiftCodec

/// The weights of the sum that chooses the levels of one channel, and the samples that they are fitted to: what the fits
/// with and without a hyperprior share.
///
/// The sum stands for the width of a Laplace distribution of the residual, whose likelihood is maximised by Fisher scoring,
/// each step by coordinate descent.
struct LevelWeights {
  let fitter: EntropyFitter
  let c: Int
  let residuals: Residuals
  /// Of all channels, [positions + 1]; and the same blurred.
  let magnitudes: [[UInt8]]
  let blurred: [[UInt16]]
  /// Positions that take part, and 1 / the probability with which they were drawn.
  private(set) var samples: [Int32] = []
  private(set) var sampleWeights: [Float] = []
  /// [features][samples]: what the fits begin with, then six causal neighbours, then nine of each source.
  private(set) var features: [AlignedBuffer<Float>] = []
  var theta: [Float] = []
  private(set) var sources: [Int] = []

  init(_ fitter: EntropyFitter, _ c: Int, _ residuals: Residuals, magnitudes: [[UInt8]], blurred: [[UInt16]]) {
    self.fitter = fitter
    self.c = c
    self.residuals = residuals
    self.magnitudes = magnitudes
    self.blurred = blurred
  }

  /// Draws positions, those where something happens more often: with min(1, factor · probability).
  mutating func draw(factor: Float, _ probability: (Int) -> Float) {
    var state = UInt64(c) &* 0x9E37_79B9_7F4A_7C15 | 1
    for r in fitter.coded[c] {
      for i in r {
        let p = min(1, factor * probability(i))
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

  mutating func append(_ feature: AlignedBuffer<Float>, _ weight: Float) {
    features.append(feature)
    theta.append(weight)
  }

  private mutating func append(_ plane: [UInt8], _ at: [Int32], _ weight: Float) {
    let feature = AlignedBuffer<Float>(count: samples.count, zero: 0)
    plane.withUnsafeBufferPointer { plane in
      at.withUnsafeBufferPointer { at in
        for (j, i) in samples.enumerated() { feature.base[j] = Float(plane[Int(at[Int(i)])]) }
      }
    }
    append(feature, weight)
  }

  mutating func appendNeighbours(_ weight: Float) {
    for k in 0..<ContextRule.causalCount { append(magnitudes[c], fitter.grid.causal[k], weight) }
  }

  mutating func appendSource(_ channel: Int) {
    sources.append(channel)
    for k in 0..<ContextRule.boxCount { append(magnitudes[channel], fitter.grid.around[k], 0) }
  }

  /// The sum of each sample.
  func sums(_ out: UnsafeMutablePointer<Float>) {
    let n = samples.count
    for j in 0..<n { out[j] = 0 }
    for (f, w) in zip(features, theta) where w != 0 { addProduct(out, f.base, w, n) }
  }

  /// Some rounds of coordinate descent of Σ h (e − Σ Δθ · feature)², where `e` follows. All weights stay ≥ 0 but the first,
  /// which stays ≥ `least`. What the sums change by is added to `move`.
  mutating func descend(
    _ e: UnsafeMutablePointer<Float>, _ h: UnsafePointer<Float>, least: Float,
    move: UnsafeMutablePointer<Float>? = nil
  ) {
    let n = samples.count
    for _ in 0..<4 {
      for f in features.indices {
        let feature = features[f]
        let (num, den) = weightedProducts(feature.base, e, h, n)
        guard den > 0 else { continue }
        let to = max(f == 0 ? least : 0, theta[f] + num / (den * 1.0001))
        let delta = to - theta[f]
        if delta == 0 { continue }
        theta[f] = to
        addProduct(e, feature.base, -delta, n)
        if let move { addProduct(move, feature.base, delta, n) }
      }
    }
  }

  /// The earlier channels whose blurred magnitudes would help most, by the score test: numerator² / denominator.
  func bestSources(
    among candidates: some Sequence<Int>, _ count: Int, least: Float,
    _ score: (UnsafeBufferPointer<UInt16>) -> (numerator: Float, denominator: Float)
  ) -> [Int] {
    var scores: [(score: Float, channel: Int)] = []
    for s in candidates where !sources.contains(s) {
      let (num, den) = blurred[s].withUnsafeBufferPointer(score)
      if num > 0, den > 0 { scores.append((num * num / den, s)) }
    }
    scores.sort { ($0.score, $1.channel) > ($1.score, $0.channel) }
    return scores.prefix(max(0, count)).filter { $0.score > least }.map { $0.channel }
  }

  /// Adds the weighted magnitudes of all coded samples; returns the shift that brings the sums to the levels' steps.
  func addMagnitudes(_ weights: [UInt8], to sums: inout [UInt16]) -> Int {
    fitter.addMagnitudes(weights, of: c, sources, magnitudes, to: &sums)
    return fitter.levelShift(sums, of: c)
  }

  /// Contexts of some integer weights, of which the last may be missing, and levels from these steps on; without CDFs and
  /// mean.
  func contexts(_ weights: [UInt8], shift: Int, firstSteps: [Int]) -> ChannelContexts {
    var contexts = ChannelContexts(cdf: [])
    guard firstSteps.count > 1 else { return contexts }
    contexts.weights = (0..<6).map { weights.indices.contains($0) ? weights[$0] : 0 }
    for (s, channel) in sources.enumerated() where weights.count > 6 + 9 * s {
      let nine = Array(weights[(6 + 9 * s)..<(15 + 9 * s)])
      if nine.contains(where: { $0 > 0 }) { contexts.sources.append(ContextSource(channel: channel, weights: nine)) }
    }
    contexts.shift = shift
    contexts.bounds = Array(firstSteps.dropFirst())
    return contexts
  }
}

/// What is counted of one level, to be merged with the next.
protocol MergeableLevel {
  var entropy: Double { get }
  func merged(with next: Self) -> Self
}

extension Array where Element: MergeableLevel {
  /// Merges neighbours where that costs least: at most `levels` are left, and none that saves less than `least` bits.
  mutating func merge(levels: Int, least: Double) {
    func cost(_ i: Int) -> Double { self[i].merged(with: self[i + 1]).entropy - self[i].entropy - self[i + 1].entropy }
    var costs = (0..<Swift.max(0, count - 1)).map(cost)
    while count > 1 {
      var i = 0
      for j in costs.indices where costs[j] < costs[i] { i = j }
      guard costs[i] < least || count > levels else { break }
      self[i] = self[i].merged(with: self[i + 1])
      remove(at: i + 1)
      costs.remove(at: i)
      for j in [i - 1, i] where costs.indices.contains(j) { costs[j] = cost(j) }
    }
  }
}

// MARK: - The Laplace distribution

/// Derivative of the code length by the width b of a Laplace distribution, and its expected square, of the residual's
/// magnitude r.
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
