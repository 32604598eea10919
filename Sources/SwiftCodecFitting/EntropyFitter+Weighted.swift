// SPDX-License-Identifier: BSD-3-Clause
import SwiftCodec

/// How `weighted` is fitted; the defaults are what measurements chose.
public struct WeightedSettings: Sendable {
  /// Most sources of a channel's scale.
  public var sources = 16
  /// Most sources of a channel's mean; 0 for no means at all.
  public var meanSources = 4
  /// Only so many of the strongest channels take part in means.
  public var meanChannels = 64
  /// Samples of a channel that weights are fitted to.
  public var samples = 30000
  /// A CDF must save so many bits of the fitting set to be there.
  public var bitsPerCDF = 200.0
  public var levels = 48
  /// log2 of the most phases of a mean.
  public var phaseBits = 2
  /// What values of 0 to 63 count as in sums; what lies beyond counts as 63.
  public var magnitudes = (0..<64).map { UInt8(min($0, 31)) }
  /// Sources are added in so many rounds.
  public var rounds = 4

  public init() {}
}

extension EntropyFitter {
  func fitWeighted() -> FittedEntropy { fitWeighted(WeightedSettings()) }

  public func fitWeighted(_ settings: WeightedSettings) -> FittedEntropy {
    var steps = fitStatic().steps
    let order = energyOrder()
    var position = [Int](repeating: 0, count: channels)
    for (i, c) in order.enumerated() { position[c] = i }
    let table = settings.magnitudes

    // Means, and what they leave.
    let means = fitMeans(order, settings)
    let residuals = forEachChannel { c in Residuals(self, c, means[c]) }
    var meanBits = activityBits
    for c in 0..<channels {
      let h = residuals[c].histogram(coded[c])
      meanBits += unconditional(h).bits(h)
    }
    steps.append(FittingStep(name: "means, one CDF a channel", bits: meanBits))
    let magnitudes = self.magnitudes(residuals, table)
    let blurred = forEachChannel { c in blur(magnitudes[c]) }

    let fits = concurrentMap(channels) { i -> ScaleFit in
      // The last channels have the most candidates: first come, first served.
      let c = order[channels - 1 - i]
      let weights = LevelWeights(self, c, residuals[c], magnitudes: magnitudes, blurred: blurred)
      var fitter = ScaleFitter(weights, candidates: Array(order[0..<position[c]]), settings)
      return fitter.fit()
    }
    var byChannel = [ScaleFit?](repeating: nil, count: channels)
    for i in 0..<channels { byChannel[order[channels - 1 - i]] = fits[i] }

    var pool = CDFPool()
    var contexts: [ChannelContexts] = []
    var own = activityBits
    var all = activityBits
    var smoothed = activityBits
    for c in 0..<channels {
      let fit = byChannel[c]!
      own += fit.ownBits
      all += fit.idealBits
      smoothed += fit.bits
      var channel = fit.contexts
      channel.cdf = fit.cdfs.map { pool.index($0) }
      channel.mean = means[c]
      contexts.append(channel)
    }
    steps.append(FittingStep(name: "levels by a weighted sum, same channel", bits: own))
    steps.append(FittingStep(name: "and earlier channels", bits: all))
    steps.append(FittingStep(name: "smoothed CDFs of 15 bits", bits: smoothed))
    let result = EntropyTable(mode: mode, active: activity, order: order, cdfs: pool.cdfs, channels: contexts)
    return FittedEntropy(kind: .weighted, steps: steps, magnitude: .table(table), table: result)
  }

  /// Magnitudes of all channels, [positions + 1]: 0 where nothing is coded.
  func magnitudes(_ residuals: [Residuals], _ table: [UInt8]) -> [[UInt8]] {
    forEachChannel { c in
      var out = [UInt8](repeating: 0, count: grid.count + 1)
      let values = residuals[c].values
      for r in coded[c] { for i in r { out[i] = MagnitudeRule.entry(table, Int(values[i])) } }
      return out
    }
  }

  /// Sums of 3×3 neighbourhoods weighted 1 2 1, 2 4 2, 1 2 1.
  func blur(_ plane: [UInt8]) -> [UInt16] {
    var out = [UInt16](repeating: 0, count: grid.count + 1)
    for k in 0..<9 {
      let weight = UInt16((k % 3 == 1 ? 2 : 1) * (k / 3 == 1 ? 2 : 1))
      grid.around[k].withUnsafeBufferPointer { at in
        plane.withUnsafeBufferPointer { plane in
          for i in 0..<grid.count { out[i] &+= weight &* UInt16(plane[Int(at[i])]) }
        }
      }
    }
    return out
  }
}

/// Equal CDFs once.
struct CDFPool {
  private(set) var cdfs: [CDF] = []
  private var places: [[Int]: Int] = [:]

  mutating func index(_ cdf: CDF) -> Int {
    let key = [cdf.minimum] + cdf.frequencies.map { Int($0) }
    if let place = places[key] { return place }
    places[key] = cdfs.count
    cdfs.append(cdf)
    return cdfs.count - 1
  }
}

/// A channel after its mean is taken off.
struct Residuals {
  /// [positions + 1]
  let values: [Int16]
  /// In 1/2^phaseBits; empty without a mean.
  let phases: [UInt8]
  let phaseBits: Int
  let low: Int
  let count: Int

  init(_ fitter: EntropyFitter, _ c: Int, _ mean: MeanPredictor?) {
    var out = fitter.corpus.values[c]
    var phases: [UInt8] = []
    if let mean {
      let n = fitter.grid.count
      var sums = [Int32](repeating: 0, count: n)
      func add(_ weight: Int, _ channel: Int, _ at: [Int32]) {
        guard weight != 0 else { return }
        let w = Int32(weight)
        fitter.seen[channel].withUnsafeBufferPointer { values in
          at.withUnsafeBufferPointer { at in
            sums.withUnsafeMutableBufferPointer { sums in
              for i in 0..<n { sums[i] &+= w &* Int32(values[Int(at[i])]) }
            }
          }
        }
      }
      for k in 0..<6 { add(mean.weights[k], c, fitter.grid.causal[k]) }
      for source in mean.sources {
        for k in 0..<9 { add(source.weights[k], source.channel, fitter.grid.around[k]) }
      }
      phases = [UInt8](repeating: 0, count: n)
      for i in 0..<n {
        let (offset, phase) = mean.split(Int(sums[i]))
        out[i] = Int16(truncatingIfNeeded: Int(out[i]) - offset)
        phases[i] = UInt8(phase)
      }
    }
    values = out
    self.phases = phases
    phaseBits = mean?.phaseBits ?? 0
    low = Int(out.min()!)
    count = Int(out.max()!) - low + 1
  }

  func histogram(_ ranges: [Range<Int>]) -> Histogram {
    var counts = [Double](repeating: 0, count: count)
    values.withUnsafeBufferPointer { values in
      for r in ranges { for i in r { counts[Int(values[i]) - low] += 1 } }
    }
    return Histogram(minimum: low, counts: counts)
  }
}

// MARK: - Means

extension EntropyFitter {
  /// Linear predictions by least squares, of the channels where that pays.
  func fitMeans(_ order: [Int], _ settings: WeightedSettings) -> [MeanPredictor?] {
    var result = [MeanPredictor?](repeating: nil, count: channels)
    guard settings.meanSources > 0 else { return result }
    let strong = Array(order.prefix(settings.meanChannels))
    // Second moments of all strong channels' 3×3 neighbourhoods and causal neighbours, on a part of the samples.
    let step = max(1, grid.count / 150_000)
    let samples = stride(from: 0, to: grid.count, by: step).map { $0 }
    let perChannel = 15
    let rows = AlignedBuffer<Float>(count: strong.count * perChannel * samples.count, zero: 0)
    let size = strong.count * perChannel
    parallel(threads: threads, count: strong.count) { s in
      let values = seen[strong[s]]
      for k in 0..<perChannel {
        let at = k < 9 ? grid.around[k] : grid.causal[k - 9]
        let row = rows.base + (s * perChannel + k) * samples.count
        for (j, i) in samples.enumerated() { row[j] = Float(values[Int(at[i])]) }
      }
    }
    let moments = AlignedBuffer<Double>(count: size * size, zero: 0)
    parallel(threads: threads, count: strong.count) { s in
      addMoments(
        moments.base, size, of: (s * perChannel)..<((s + 1) * perChannel), rows.base, samples: samples.count)
    }
    for a in 0..<size { for b in 0..<a { moments.base[b * size + a] = moments.base[a * size + b] } }

    let found = concurrentMap(strong.count) { i -> MeanPredictor? in
      let s = strong.count - 1 - i
      let target = s * perChannel + 4
      let variance = moments.base[target * size + target]
      guard variance > 0 else { return nil }
      let (chosen, best) = chooseSources(
        among: s, most: settings.meanSources,
        fit: { chosen in
          let features = (9..<15).map { s * perChannel + $0 }
          return leastSquares(
            moments.base, size, features + chosen.flatMap { a in (0..<9).map { a * perChannel + $0 } }, target,
            ridge: 1e-3 * Double(samples.count))
        }, isBetter: { $0 < 0.995 * $1 })
      guard best.error < 0.97 * variance else { return nil }
      return MeanPredictor(
        best.weights, sources: chosen.map { strong[$0] }, phaseBits: settings.phaseBits)
    }
    for i in strong.indices { result[strong[strong.count - 1 - i]] = found[i] }
    return result
  }
}

extension MeanPredictor {
  /// Real weights: six causal neighbours, then 3×3 of each source.
  init(_ weights: [Double], sources: [Int], phaseBits: Int) {
    var shift = 12
    while weights.reduce(0, { $0 + abs($1) }) * Double(1 << shift) > 32000, shift > phaseBits, shift > 1 {
      shift -= 1
    }
    let scale = Double(1 << shift)
    func quantised(_ w: Double) -> Int { max(-32767, min(32767, Int((w * scale).rounded()))) }
    self.init(
      weights: weights[0..<6].map(quantised),
      sources: sources.enumerated().map { s, channel in
        MeanSource(channel: channel, weights: weights[(6 + 9 * s)..<(15 + 9 * s)].map(quantised))
      }, shift: shift, phaseBits: phaseBits)
  }
}

func dotProduct(_ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ n: Int) -> Float {
  var s0 = SIMD8<Float>.zero
  var s1 = s0
  var i = 0
  let pa = UnsafeRawPointer(a)
  let pb = UnsafeRawPointer(b)
  while i + 16 <= n {
    s0 +=
      pa.loadUnaligned(fromByteOffset: 4 * i, as: SIMD8<Float>.self)
      * pb.loadUnaligned(fromByteOffset: 4 * i, as: SIMD8<Float>.self)
    s1 +=
      pa.loadUnaligned(fromByteOffset: 4 * i + 32, as: SIMD8<Float>.self)
      * pb.loadUnaligned(fromByteOffset: 4 * i + 32, as: SIMD8<Float>.self)
    i += 16
  }
  var sum = (s0 + s1).sum()
  while i < n {
    sum += a[i] * b[i]
    i += 1
  }
  return sum
}

/// Adds the products of some rows of samples with themselves and those before to second moments [size][size].
func addMoments(
  _ moments: UnsafeMutablePointer<Double>, _ size: Int, of some: Range<Int>, _ rows: UnsafePointer<Float>,
  samples: Int
) {
  // Blocks of samples that stay in the cache.
  let block = 2048
  for start in stride(from: 0, to: samples, by: block) {
    let n = min(block, samples - start)
    for a in some {
      for b in 0...a {
        moments[a * size + b] += Double(dotProduct(rows + a * samples + start, rows + b * samples + start, n))
      }
    }
  }
}

/// Sources of a mean, one after the other the one that leaves the least error, while `isBetter(new error, old error)`.
func chooseSources(
  among candidates: Int, most: Int, fit: ([Int]) -> (weights: [Double], error: Double),
  isBetter: (Double, Double) -> Bool
) -> (sources: [Int], fit: (weights: [Double], error: Double)) {
  var chosen: [Int] = []
  var best = fit([])
  while chosen.count < min(most, candidates) {
    var next = -1
    var nextFit = best
    for s in 0..<candidates where !chosen.contains(s) {
      let with = fit(chosen + [s])
      if with.error < nextFit.error {
        nextFit = with
        next = s
      }
    }
    guard next >= 0, isBetter(nextFit.error, best.error) else { break }
    chosen.append(next)
    best = nextFit
  }
  return (chosen, best)
}

/// Minimises the error of target by the features, given second moments [size][size].
func leastSquares(
  _ moments: UnsafePointer<Double>, _ size: Int, _ features: [Int], _ target: Int, ridge: Double
) -> (weights: [Double], error: Double) {
  let n = features.count
  // Cholesky of the features' moments.
  var l = [Double](repeating: 0, count: n * n)
  for i in 0..<n {
    for j in 0...i {
      var sum = moments[features[i] * size + features[j]] + (i == j ? ridge : 0)
      for k in 0..<j { sum -= l[i * n + k] * l[j * n + k] }
      l[i * n + j] = i == j ? max(sum, 1e-9).squareRoot() : sum / l[j * n + j]
    }
  }
  var w = [Double](repeating: 0, count: n)
  for i in 0..<n {
    var sum = moments[features[i] * size + target]
    for k in 0..<i { sum -= l[i * n + k] * w[k] }
    w[i] = sum / l[i * n + i]
  }
  for i in stride(from: n - 1, through: 0, by: -1) {
    var sum = w[i]
    for k in (i + 1)..<n { sum -= l[k * n + i] * w[k] }
    w[i] = sum / l[i * n + i]
  }
  var error = moments[target * size + target]
  for i in 0..<n {
    error -= 2 * w[i] * moments[features[i] * size + target]
    for j in 0..<n { error += w[i] * w[j] * moments[features[i] * size + features[j]] }
  }
  return (w, error)
}
