// SPDX-License-Identifier: BSD-3-Clause
import SwiftCodec

/// How entropy models with a hyperprior are fitted; the defaults are what measurements chose.
public struct DifferenceSettings: Sendable {
  /// Most earlier channels that take part in a channel's levels.
  public var sources = 8
  /// They are added in so many rounds.
  public var rounds = 2
  /// Samples of a channel that weights are fitted to.
  public var samples = 16000
  /// CDFs that all channels share.
  public var cdfs = 128
  public var levels = 32
  /// A level must save so many bits of the fitting set to be there.
  public var bitsPerLevel = 16.0
  /// A channel's weights, and those of every further round, must save so many bits of it to be there: about what they cost
  /// in the model file.
  public var bitsPerStage = 50.0
  /// An earlier channel takes part if a Newton step along its weight promises half of this, in the units of the fit.
  public var sourceScore: Float = 15
  /// A mean must leave less than this part of the weighted square to be there.
  public var meanError = 0.99
  /// log2 of the phases of a mean.
  public var phaseBits = 2
  /// Only the first channels' means have earlier channels as sources.
  public var meanChannels = 40
  public var meanSources = 4
  /// Samples that a mean is fitted to, about.
  public var meanSamples = 50_000

  public init() {}
}

/// With a hyperprior: v, the latent's differences from the means, whose scales the network gives, too.
extension EntropyFitter {
  func fitDifferences(_ kind: EntropyKind, _ hyper: EntropyFitter) -> FittedEntropy {
    fitDifferences(kind, hyper, DifferenceSettings())
  }

  /// static: the scale alone chooses a sample's level. weighted: the scale and weighted magnitudes of neighbours, after what
  /// causal neighbours say of the mean: hyper-latents are too coarse to tell flat areas' levels.
  func fitDifferences(_ kind: EntropyKind, _ hyper: EntropyFitter, _ settings: DifferenceSettings) -> FittedEntropy {
    precondition(kind != .threshold, "thresholds are not for differences")
    let isWeighted = kind == .weighted
    let order = Array(0..<channels)
    // What a neighbour says of a scale is a factor, as the scales are logarithms: so is its magnitude.
    let table = (0..<64).map { UInt8((8 * binaryLogarithm(Double(1 + $0))).rounded()) }
    let means = isWeighted ? differenceMeans(settings) : [MeanPredictor?](repeating: nil, count: channels)
    let residuals = forEachChannel { c in Residuals(self, c, means[c]) }
    let magnitudes = forEachChannel { c -> [UInt8] in
      var out = [UInt8](repeating: 0, count: isWeighted ? grid.count + 1 : 0)
      let values = residuals[c].values
      if isWeighted { for r in coded[c] { for i in r { out[i] = MagnitudeRule.entry(table, Int(values[i])) } } }
      return out
    }
    let blurred = forEachChannel { c in isWeighted ? blur(magnitudes[c]) : [] }
    // The last channels have the most candidates: first come, first served.
    let found = concurrentMap(channels) { i -> DifferenceFit in
      let c = channels - 1 - i
      return DifferenceFitter(
        self, c, residuals[c], magnitudes: magnitudes, blurred: blurred, table, settings
      ).fit(isWeighted: isWeighted)
    }
    let fits = Array(found.reversed())
    let family = CDFFamily(fits.flatMap { $0.cells }, count: settings.cdfs)
    var contexts: [ChannelContexts] = []
    var at = 0
    for fit in fits {
      var channel = fit.contexts
      channel.cdf = Array(family.members[at..<(at + fit.cells.count)])
      channel.mean = means[contexts.count]
      at += fit.cells.count
      contexts.append(channel)
    }
    let result = EntropyTable(mode: mode, active: activity, order: order, cdfs: family.cdfs, channels: contexts)
    var hyperSettings = WeightedSettings()
    hyperSettings.magnitudes = table
    let hyperTable = isWeighted ? hyper.fitWeighted(hyperSettings) : hyper.fitStatic()
    let hyperBits = hyperTable.steps.last?.bits ?? 0
    let before = hyperBits + activityBits
    var steps = [
      FittingStep(name: isWeighted ? "hyper-latent with contexts" : "hyper-latent, one CDF a channel", bits: hyperBits),
      FittingStep(
        name: isWeighted
          ? "and differences, \(means.count { $0 != nil }) channels with means, levels by scale"
          : "and differences, levels by scale",
        bits: fits.reduce(before) { $0 + $1.scaleBits }),
    ]
    if isWeighted {
      steps += [
        FittingStep(name: "levels by scale and same channel", bits: fits.reduce(before) { $0 + $1.ownBits }),
        FittingStep(name: "and earlier channels", bits: fits.reduce(before) { $0 + $1.bits }),
      ]
    }
    var fitted = FittedEntropy(
      kind: kind, steps: steps, magnitude: isWeighted ? .table(table) : .none, hyperTable: hyperTable.table, table: result
    )
    steps.append(FittingStep(name: "\(family.cdfs.count) CDFs of 15 bits for all channels", bits: bits(fitted)))
    fitted.steps = steps
    return fitted
  }

  /// What causal neighbours and earlier channels say of the means, by least squares; nil where that does not pay.
  ///
  /// Squares are weighted by the inverse of what is usual at a sample's scale, as in a likelihood.
  private func differenceMeans(_ settings: DifferenceSettings) -> [MeanPredictor?] {
    concurrentMap(channels) { i in
      // The last channels have the most candidates: first come, first served.
      let c = channels - 1 - i
      return differenceMean(c, sources: c < settings.meanChannels ? c : 0, settings)
    }.reversed()
  }

  private func differenceMean(_ c: Int, sources: Int, _ settings: DifferenceSettings) -> MeanPredictor? {
    let values = corpus.values[c]
    let scales = corpus.scales[c]
    let positions = coded[c].reduce(0) { $0 + $1.count }
    guard positions > 0 else { return nil }
    var squares = [Float](repeating: 0.1, count: 256)
    var counts = [Float](repeating: 1, count: 256)
    for r in coded[c] {
      for i in r {
        squares[Int(scales[i])] += Float(values[i]) * Float(values[i])
        counts[Int(scales[i])] += 1
      }
    }
    let weights = zip(squares, counts).map { ($1 / ($0 + 0.02 * $1)).squareRoot() }
    // Of the sample, its six neighbours, and nine of each earlier channel.
    let step = max(1, positions / settings.meanSamples)
    let samples = coded[c].flatMap { stride(from: $0.lowerBound, to: $0.upperBound, by: step) }
    let size = 7 + 9 * sources
    let rows = AlignedBuffer<Float>(count: size * samples.count, zero: 0)
    func fill(_ feature: Int, _ channel: Int, _ at: [Int32]?) {
      let row = rows.base + feature * samples.count
      seen[channel].withUnsafeBufferPointer { values in
        for (j, i) in samples.enumerated() {
          row[j] = Float(values[at.map { Int($0[i]) } ?? i]) * weights[Int(scales[i])]
        }
      }
    }
    fill(0, c, nil)
    for k in 0..<6 { fill(1 + k, c, grid.causal[k]) }
    for s in 0..<sources { for k in 0..<9 { fill(7 + 9 * s + k, s, grid.around[k]) } }
    let moments = AlignedBuffer<Double>(count: size * size, zero: 0)
    addMoments(moments.base, size, of: 0..<size, rows.base, samples: samples.count)
    for a in 0..<size { for b in 0..<a { moments.base[b * size + a] = moments.base[a * size + b] } }
    let square = moments.base[0]
    let (chosen, best) = chooseSources(
      among: sources, most: settings.meanSources,
      fit: { chosen in
        let features = Array(1..<7) + chosen.flatMap { s in (7 + 9 * s)..<(16 + 9 * s) }
        return leastSquares(moments.base, size, features, 0, ridge: 1e-4 * square + 1e-9)
      }, isBetter: { $0 < $1 - 0.004 * square })
    guard best.error < settings.meanError * square else { return nil }
    return MeanPredictor(best.weights, sources: chosen, phaseBits: settings.phaseBits)
  }
}

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

/// Fits the weights of the sum that chooses a sample's level.
///
/// The sum stands for the logarithm of the width b of a Laplace distribution of v: log b = θ₀ + θ₁ · scale +
/// Σ θ · magnitude, where all but θ₀ are ≥ 0. The likelihood is maximised by Fisher scoring, each step by coordinate
/// descent.
final class DifferenceFitter {
  private let fitter: EntropyFitter
  private let c: Int
  private let residuals: Residuals
  private let magnitudes: [[UInt8]]
  private let blurred: [[UInt16]]
  private let table: [UInt8]
  private let settings: DifferenceSettings
  /// Positions that take part, and 1 / the probability with which they were drawn.
  private var samples: [Int32] = []
  private var sampleWeights: [Float] = []
  private var sizes: [Float] = []
  /// 1, the scale less its mean, six causal neighbours, nine of each source.
  private var features: [AlignedBuffer<Float>] = []
  private var theta: [Float] = []
  private var sources: [Int] = []

  init(
    _ fitter: EntropyFitter, _ c: Int, _ residuals: Residuals, magnitudes: [[UInt8]], blurred: [[UInt16]],
    _ table: [UInt8], _ settings: DifferenceSettings
  ) {
    self.fitter = fitter
    self.c = c
    self.residuals = residuals
    self.magnitudes = magnitudes
    self.blurred = blurred
    self.table = table
    self.settings = settings
  }

  func fit(isWeighted: Bool) -> DifferenceFit {
    let isEmpty = fitter.coded[c].isEmpty
    let scale = levels(scaleWeight: isEmpty ? 0 : 1, [])
    guard isWeighted, scale.bits > 64 else { return scale }
    draw()
    optimise(steps: 6)
    for k in 0..<6 { append(magnitudes[c], fitter.grid.causal[k]) }
    optimise(steps: 4)
    var best = scale
    func keep(_ fit: DifferenceFit) {
      if fit.bits < best.bits - settings.bitsPerStage { best = fit }
    }
    let own = quantisedLevels()
    keep(own)
    let ownBits = best.bits
    for round in 0..<settings.rounds {
      let chosen = bestCandidates(settings.sources * (round + 1) / settings.rounds - sources.count)
      if chosen.isEmpty { break }
      for s in chosen {
        sources.append(s)
        for k in 0..<9 { append(magnitudes[s], fitter.grid.around[k]) }
      }
      optimise(steps: 3)
    }
    if !sources.isEmpty { keep(quantisedLevels()) }
    best.scaleBits = scale.bits
    best.ownBits = ownBits
    return best
  }

  // MARK: Samples

  /// Draws positions, those where something happens more often.
  private func draw() {
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
    let factor = Float(settings.samples) / sum
    var state = UInt64(c) &* 0x9E37_79B9_7F4A_7C15 | 1
    var scaleMean: Float = 0
    for r in fitter.coded[c] {
      for i in r {
        let p = min(1, factor * probability(i))
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        if Float(state >> 40) < p * 16_777_216 {
          samples.append(Int32(i))
          sampleWeights.append(1 / p)
          sizes.append(Float(min(values[i].magnitude, 63)))
          scaleMean += Float(scales[i])
        }
      }
    }
    let n = samples.count
    scaleMean /= Float(max(1, n))
    let scale = AlignedBuffer<Float>(count: n, zero: 0)
    for (j, i) in samples.enumerated() { scale.base[j] = Float(scales[Int(i)]) - scaleMean }
    features = [AlignedBuffer(count: n, zero: 1), scale]
    var mean: Float = 0
    for size in sizes { mean += size }
    theta = [Float(binaryLogarithm(Double(mean / Float(max(1, n)) + 0.05)) * 0.7), 0]
  }

  private func append(_ plane: [UInt8], _ at: [Int32]) {
    let feature = AlignedBuffer<Float>(count: samples.count, zero: 0)
    plane.withUnsafeBufferPointer { plane in
      at.withUnsafeBufferPointer { at in
        for (j, i) in samples.enumerated() { feature.base[j] = Float(plane[Int(at[Int(i)])]) }
      }
    }
    features.append(feature)
    theta.append(0)
  }

  // MARK: Weights

  /// Derivative of each sample's code length by log b, negated over its expected square `h`: e.
  private func linearise(_ e: UnsafeMutablePointer<Float>, _ h: UnsafeMutablePointer<Float>) {
    let n = samples.count
    let eta = AlignedBuffer<Float>(count: n, zero: 0)
    for (f, w) in zip(features, theta) where w != 0 { addProduct(eta.base, f.base, w, n) }
    for j in 0..<n {
      let b = fastExp(min(max(eta.base[j], -3), 4))
      // Rare outliers say nothing of the bulk.
      let d = derivatives(min(sizes[j], 8 * b + 2), b)
      let expected = max(d.h * b * b, 1e-5)
      e[j] = -d.g * b / expected
      h[j] = expected * sampleWeights[j]
    }
  }

  private func optimise(steps: Int) {
    let n = samples.count
    let e = AlignedBuffer<Float>(count: n, zero: 0)
    let h = AlignedBuffer<Float>(count: n, zero: 0)
    let move = AlignedBuffer<Float>(count: n, zero: 0)
    for _ in 0..<steps {
      linearise(e.base, h.base)
      for j in 0..<n { move.base[j] = 0 }
      let start = theta
      for _ in 0..<4 {
        for f in features.indices {
          let (num, den) = weightedProducts(features[f].base, e.base, h.base, n)
          guard den > 0 else { continue }
          var to = theta[f] + num / (den * 1.0001)
          if f > 0 { to = max(0, to) }
          let delta = to - theta[f]
          if delta == 0 { continue }
          theta[f] = to
          addProduct(e.base, features[f].base, -delta, n)
          addProduct(move.base, features[f].base, delta, n)
        }
      }
      // No sample's width changes by more than a factor of e at once.
      var most: Float = 0
      for j in 0..<n { most = max(most, abs(move.base[j])) }
      if most > 1 { for f in theta.indices { theta[f] = start[f] + (theta[f] - start[f]) / most } }
    }
  }

  /// The earlier channels whose blurred magnitudes would help most, by the score test.
  private func bestCandidates(_ count: Int) -> [Int] {
    let n = samples.count
    let e = AlignedBuffer<Float>(count: n, zero: 0)
    let h = AlignedBuffer<Float>(count: n, zero: 0)
    linearise(e.base, h.base)
    var total: Float = 0
    for j in 0..<n { total += h.base[j] }
    var scores: [(score: Float, channel: Int)] = []
    for s in 0..<c where !sources.contains(s) {
      blurred[s].withUnsafeBufferPointer { plane in
        var num: Float = 0
        var den: Float = 0
        var sum: Float = 0
        var slope: Float = 0
        for j in 0..<n {
          let x = Float(plane[Int(samples[j])])
          let weighted = h.base[j] * x
          num += weighted * e.base[j]
          slope += h.base[j] * e.base[j]
          den += weighted * x
          sum += weighted
        }
        // Beside the constant, that fits anew.
        num -= sum * slope / total
        den -= sum * sum / total
        if num > 0, den > 0 { scores.append((num * num / den, s)) }
      }
    }
    scores.sort { ($0.score, $1.channel) > ($1.score, $0.channel) }
    return scores.prefix(max(0, count)).filter { $0.score > settings.sourceScore }.map { $0.channel }
  }

  // MARK: Levels

  /// Integer weights: as fine as weights of 7 bits and sums of 16 bits allow.
  private func quantisedLevels() -> DifferenceFit {
    let weights = theta.dropFirst(2)
    let scale = theta[1]
    let largest = max(weights.max() ?? 0, scale)
    let top = weights.reduce(0, +) * Float(table[63]) + 255 * scale
    guard largest > 0 else { return levels(scaleWeight: 0, []) }
    let factor = min(127 / largest, 60000 / top)
    return levels(
      scaleWeight: Int((scale * factor).rounded()),
      weights.map { UInt8(min(127, ($0 * factor).rounded())) })
  }

  /// The best levels of given weights.
  private func levels(scaleWeight: Int, _ weights: [UInt8]) -> DifferenceFit {
    let grid = fitter.grid
    var sums = [UInt16](repeating: 0, count: grid.count)
    fitter.corpus.scales[c].withUnsafeBufferPointer { scales in
      for i in 0..<grid.count { sums[i] = UInt16(scaleWeight) * UInt16(scales[i]) }
    }
    fitter.addMagnitudes(weights, of: c, sources, magnitudes, to: &sums)
    let shift = fitter.levelShift(sums, of: c)
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
    var contexts = ChannelContexts(cdf: [])
    if merged.count > 1 {
      contexts.weights = [UInt8](repeating: 0, count: 6)
      for (k, weight) in weights.prefix(6).enumerated() { contexts.weights[k] = weight }
      for (s, channel) in sources.enumerated() where weights.count > 6 + 9 * s {
        let nine = Array(weights[(6 + 9 * s)..<(15 + 9 * s)])
        if nine.contains(where: { $0 > 0 }) {
          contexts.sources.append(ContextSource(channel: channel, weights: nine))
        }
      }
      contexts.scaleWeight = scaleWeight
      contexts.shift = shift
      contexts.bounds = merged.dropFirst().map { $0.first }
    }
    let bits = cells.reduce(0) { $0 + $1.entropy }
    return DifferenceFit(contexts: contexts, cells: cells, scaleBits: bits, ownBits: bits)
  }
}
