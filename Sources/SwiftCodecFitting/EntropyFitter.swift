// SPDX-License-Identifier: BSD-3-Clause
import SwiftCodec

/// What a step of fitting leaves of the code length of the fitting set.
public struct FittingStep: Sendable {
  /// For people.
  public let name: String
  /// Ideal code length of the whole fitting set.
  public let bits: Double
}

/// An entropy model of one rate point, fitted to a corpus.
public struct FittedEntropy: Sendable {
  /// The kind that was fitted.
  public let kind: EntropyKind
  /// In their order: the last is what the model costs on the set that it was fitted to.
  public internal(set) var steps: [FittingStep]
  let magnitude: MagnitudeRule
  /// Of the hyper-latent; nil without one.
  var hyperTable: EntropyTable?
  let table: EntropyTable

  /// Bytes that it takes of a model file.
  public var size: Int {
    EntropyModel(kind: kind, magnitude: magnitude, hyperTables: hyperTable.map { [$0] } ?? [], tables: [table])
      .serialised().count
  }
}

extension FittedEntropy {
  /// What a model file has; nil if it has no such entropy model.
  public init?(_ kind: EntropyKind, of model: Model, ratePoint: Int) {
    guard let entropy = model.entropyModels.first(where: { $0.kind == kind }) else { return nil }
    self.init(
      kind: kind, steps: [], magnitude: entropy.magnitude,
      hyperTable: entropy.hyperTables.isEmpty ? nil : entropy.hyperTables[ratePoint],
      table: entropy.tables[ratePoint])
  }
}

/// Fits entropy models of one rate point to a corpus of latents.
public final class EntropyFitter {
  let corpus: LatentCorpus
  let threads: Int
  /// Of the hyper-latents; nil without them.
  let hyper: EntropyFitter?
  let grid: CorpusGrid
  /// Most frequent value of each channel.
  let mode: [Int]
  /// By channel: the pictures in which it is active.
  let activePictures: [[Bool]]
  /// Probability that a channel is active, in 1/2^15 (Galpin et al., §3.1.2).
  let activity: [Int]
  /// By channel: the ranges of the samples that are coded.
  let coded: [[Range<Int>]]
  /// Lowest and highest coded value of each channel.
  let range: [ClosedRange<Int>]
  /// The values of each channel as means see them: where it is not active, 0.
  let seen: [[Int16]]

  /// Of a set of at least one picture. Results do not depend on `threads`.
  public convenience init(_ set: FittingSet, threads: Int) {
    self.init(set.latents, hyper: set.hyperLatents.map { EntropyFitter($0, threads: threads) }, threads: threads)
  }

  convenience init(_ corpus: LatentCorpus, threads: Int) { self.init(corpus, hyper: nil, threads: threads) }

  private init(_ corpus: LatentCorpus, hyper: EntropyFitter?, threads: Int) {
    precondition(corpus.pictures > 0)
    self.corpus = corpus
    self.hyper = hyper
    self.threads = threads
    let grid = CorpusGrid(corpus.sizes)
    self.grid = grid
    var mode: [Int] = []
    var activePictures: [[Bool]] = []
    var coded: [[Range<Int>]] = []
    var range: [ClosedRange<Int>] = []
    for values in corpus.values {
      var low = 0
      var high = 0
      for v in values {
        low = min(low, Int(v))
        high = max(high, Int(v))
      }
      var counts = [Int](repeating: 0, count: high - low + 1)
      for v in values { counts[Int(v) - low] += 1 }
      counts[-low] -= 1
      var best = 0
      for i in counts.indices where counts[i] > counts[best] { best = i }
      mode.append(best + low)
      let m = Int16(best + low)
      let active = corpus.sizes.indices.map { p in
        values[grid.starts[p]..<grid.starts[p + 1]].contains { $0 != m }
      }
      activePictures.append(active)
      var ranges: [Range<Int>] = []
      for p in active.indices where active[p] {
        let new = grid.starts[p]..<grid.starts[p + 1]
        if let last = ranges.last, last.upperBound == new.lowerBound {
          ranges[ranges.count - 1] = last.lowerBound..<new.upperBound
        } else {
          ranges.append(new)
        }
      }
      coded.append(ranges)
      range.append(low...high)
    }
    self.mode = mode
    self.activePictures = activePictures
    self.coded = coded
    self.range = range
    seen = corpus.values.indices.map { c in
      var values = corpus.values[c]
      if mode[c] != 0 {
        for (p, isActive) in activePictures[c].enumerated() where !isActive {
          for i in grid.starts[p]..<grid.starts[p + 1] { values[i] = 0 }
        }
      }
      return values
    }
    activity = activePictures.map { active in
      let p = (Double(active.count { $0 }) + 0.5) / Double(active.count + 1)
      return min(32767, max(1, Int(p * 32768)))
    }
  }

  var channels: Int { corpus.channels }

  /// Fits an entropy model of one kind; with a hyperprior, static or weighted.
  public func fit(_ kind: EntropyKind) -> FittedEntropy {
    if let hyper { return fitDifferences(kind, hyper) }
    switch kind {
    case .static: return fitStatic()
    case .threshold: return fitThreshold()
    case .weighted: return fitWeighted()
    }
  }

  /// One result for each channel, in parallel.
  func forEachChannel<T>(_ body: (Int) -> T) -> [T] { concurrentMap(channels, body) }

  func concurrentMap<T>(_ count: Int, _ body: (Int) -> T) -> [T] {
    var results = [T?](repeating: nil, count: count)
    results.withUnsafeMutableBufferPointer { results in
      // Each thread writes its own elements.
      nonisolated(unsafe) let out = results.baseAddress!
      parallel(threads: threads, count: count) { out[$0] = body($0) }
    }
    return results.map { $0! }
  }

  /// Coded values of a channel.
  func histogram(_ c: Int) -> Histogram {
    var counts = [Double](repeating: 0, count: range[c].count)
    corpus.values[c].withUnsafeBufferPointer { values in
      for r in coded[c] { for i in r { counts[Int(values[i]) - range[c].lowerBound] += 1 } }
    }
    return Histogram(minimum: range[c].lowerBound, counts: counts)
  }

  /// Bits of the flags that tell which channels are active.
  var activityBits: Double {
    (0..<channels).reduce(0) { $0 + flagBits($1, active: activity[$1]) }
  }

  /// Bits of a channel's flags, of which `active` / 2^15 is the probability of a 1.
  func flagBits(_ c: Int, active: Int) -> Double {
    let count = Double(activePictures[c].count { $0 })
    return count * ContextRule.bits(frequency: active)
      + (Double(corpus.pictures) - count) * ContextRule.bits(frequency: 32768 - active)
  }

  /// Channels by falling mean magnitude.
  func energyOrder() -> [Int] {
    let energy = forEachChannel { c in
      var sum = 0
      for v in corpus.values[c] { sum += Int(v.magnitude) }
      return sum
    }
    return Array(0..<channels).sorted { (energy[$0], $1) > (energy[$1], $0) }
  }

  // MARK: One CDF a channel

  /// The CDF that a channel has without contexts.
  func unconditional(_ histogram: Histogram) -> CDF {
    CDF(histogram, parent: CDF(minimum: 0, frequencies: [32767, 1]), strength: 1)
  }

  func fitStatic() -> FittedEntropy {
    let cdfs = forEachChannel { c in unconditional(histogram(c)) }
    var bits = activityBits
    for c in 0..<channels { bits += cdfs[c].bits(histogram(c)) }
    let all = bits - activityBits
    let table = EntropyTable(
      mode: mode, active: activity, order: Array(0..<channels), cdfs: cdfs,
      channels: (0..<channels).map { ChannelContexts(cdf: [$0]) })
    return FittedEntropy(
      kind: .static,
      steps: [
        FittingStep(name: "one CDF a channel, all channels coded", bits: bitsWithoutActivity()),
        FittingStep(name: "activity flags", bits: all + activityBits),
      ], magnitude: .none, table: table)
  }

  /// One CDF a channel for all pictures.
  private func bitsWithoutActivity() -> Double {
    forEachChannel { c in
      var counts = [Double](repeating: 0, count: range[c].count)
      for v in corpus.values[c].dropLast() { counts[Int(v) - range[c].lowerBound] += 1 }
      let all = Histogram(minimum: range[c].lowerBound, counts: counts)
      return unconditional(all).bits(all)
    }.reduce(0, +)
  }
}

/// A model file whose entropy models are replaced by fitted ones, which must be of rate points in their order, from
/// `ratePoint` on.
///
/// Models of other kinds stay as they are; so do tables of other rate points, byte for byte, which the file must have by the
/// same rule of magnitudes.
public func modelFile(
  _ bytes: [UInt8], replacingEntropyBy fits: [[FittedEntropy]], from ratePoint: Int = 0
) throws(ModelError) -> [UInt8] {
  let old = try Model(bytes)
  var models: [EntropyModel] = []
  for ofKind in fits {
    guard let first = ofKind.first else { continue }
    var all = ofKind
    if all.count < old.ratePoints.count {
      let place = ModelLocation(section: "ENTR", item: "\(first.kind.name)")
      all = try old.ratePoints.indices.map { k throws(ModelError) in
        if (ratePoint..<(ratePoint + ofKind.count)).contains(k) { return ofKind[k - ratePoint] }
        guard let kept = FittedEntropy(first.kind, of: old, ratePoint: k), kept.magnitude == first.magnitude else {
          throw .entropy(
            place, "the tables of rate points that are not fitted are missing, or of another rule of magnitudes")
        }
        return kept
      }
    }
    models.append(
      EntropyModel(
        kind: first.kind, magnitude: first.magnitude, hyperTables: all.compactMap { $0.hyperTable },
        tables: all.map { $0.table }))
  }
  let out = try Model.file(bytes, replacing: models)
  _ = try Model(out)
  return out
}
