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
    let magnitudes = isWeighted ? self.magnitudes(residuals, table) : [[UInt8]](repeating: [], count: channels)
    let blurred = forEachChannel { c in isWeighted ? blur(magnitudes[c]) : [] }
    // The last channels have the most candidates: first come, first served.
    let found = concurrentMap(channels) { i -> DifferenceFit in
      let c = channels - 1 - i
      let weights = LevelWeights(self, c, residuals[c], magnitudes: magnitudes, blurred: blurred)
      var fitter = DifferenceFitter(weights, table, settings)
      return fitter.fit(isWeighted: isWeighted)
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
      kind: kind, steps: steps, magnitude: isWeighted ? .table(table) : .none, hyperTable: hyperTable.table,
      table: result)
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
