// SPDX-License-Identifier: BSD-3-Clause
import SwiftCodec

/// Latents of many pictures at one rate point: what entropy models are fitted to.
///
/// The samples of a channel lie one after the other, picture by picture, row by row; one zero follows the last.
public struct LatentCorpus: Sendable {
  /// Of the latent.
  public let channels: Int
  /// Width and height of each picture's latent.
  private(set) var sizes: [(width: Int, height: Int)] = []
  private(set) var values: [[Int16]]
  /// The scales that a hyperprior gives, as `values`; empty without one.
  private(set) var scales: [[UInt8]]

  init(channels: Int, hasScales: Bool = false) {
    self.channels = channels
    values = [[Int16]](repeating: [0], count: channels)
    scales = [[UInt8]](repeating: [0], count: hasScales ? channels : 0)
  }

  /// Samples of one channel.
  public var positions: Int { values[0].count - 1 }
  /// With a hyperprior, segments.
  public var pictures: Int { sizes.count }

  /// Adds a latent, [channels][height][width], and its scales to a corpus that has them.
  mutating func append(
    _ latent: UnsafePointer<Int16>, scales new: UnsafePointer<UInt8>? = nil, width: Int, height: Int
  ) {
    precondition((new == nil) == scales.isEmpty)
    let size = width * height
    sizes.append((width, height))
    for c in 0..<channels {
      values[c].removeLast()
      values[c].append(contentsOf: UnsafeBufferPointer(start: latent + c * size, count: size))
      values[c].append(0)
    }
    guard let new else { return }
    for c in scales.indices {
      scales[c].removeLast()
      scales[c].append(contentsOf: UnsafeBufferPointer(start: new + c * size, count: size))
      scales[c].append(0)
    }
  }

  /// Adds another corpus of as many channels, with scales if this has them.
  mutating func append(_ other: LatentCorpus) {
    precondition(channels == other.channels && scales.count == other.scales.count)
    sizes += other.sizes
    for c in 0..<channels {
      values[c].removeLast()
      values[c] += other.values[c]
    }
    for c in scales.indices {
      scales[c].removeLast()
      scales[c] += other.scales[c]
    }
  }
}

/// What is coded of many pictures at one rate point, with a hyperprior or without.
public struct FittingSet: Sendable {
  /// The latents; with a hyperprior their differences from the means, and each segment as a picture.
  public internal(set) var latents: LatentCorpus
  /// nil without a hyperprior.
  public internal(set) var hyperLatents: LatentCorpus?

  /// An empty set.
  public init(model: Model, ratePoint: Int) {
    let hasScales = model.hasHyperprior
    latents = LatentCorpus(channels: model.latentChannels(ratePoint: ratePoint), hasScales: hasScales)
    hyperLatents = hasScales ? LatentCorpus(channels: model.hyperChannels(ratePoint: ratePoint)) : nil
  }

  mutating func append(_ other: FittingSet) {
    latents.append(other.latents)
    if let more = other.hyperLatents { hyperLatents?.append(more) }
  }
}

/// Computes what is coded of pictures with the encoder. One thread at a time may use it.
public final class LatentAnalyser {
  private let model: Model
  /// One for each picture that is analysed at the same time.
  private var encoders: [Encoder] = []
  private let rdoq: RDOQ
  /// As `EncoderSettings.hasDeadZone`.
  package var hasDeadZone: Bool
  /// As `EncoderSettings.filters`.
  package var filters = true

  /// Without RDOQ latents are rounded, and do not depend on the entropy model: contexts change what a sample costs, not its value. With it
  /// they are those that the encoder finds with the model's preferred one. There must be one with RDOQ or a hyperprior.
  public init(model: Model, rdoq: RDOQ = .off) {
    precondition(model.preferredEntropyKind != nil || (rdoq == .off && !model.hasHyperprior))
    self.model = model
    self.rdoq = rdoq
    hasDeadZone = rdoq != .off
  }

  /// Adds what is coded of a picture to a set of the same model and rate point.
  public func add(_ picture: Picture, ratePoint: Int, to set: inout FittingSet, execution: Execution = Execution()) {
    add([picture], ratePoint: ratePoint, to: &set, execution: execution)
  }

  /// The same of several pictures in their order, one on each thread at a time.
  public func add(
    _ pictures: [Picture], ratePoint: Int, to set: inout FittingSet, execution: Execution = Execution()
  ) {
    let workers = min(execution.threads, pictures.count)
    while encoders.count < workers {
      let encoder = Encoder(model: model)
      // A hyperprior's networks see segments, here of the default height; without one segments only cut contexts.
      if !model.hasHyperprior { encoder.segmentRows = 65536 }
      encoders.append(encoder)
    }
    var sets = pictures.map { _ in FittingSet(model: model, ratePoint: ratePoint) }
    var changing = EncoderSettings(ratePoint: ratePoint)
    changing.rdoq = rdoq
    changing.hasDeadZone = hasDeadZone
    changing.filters = filters
    changing.execution = execution.inside(parallel: workers)
    let settings = changing
    sets.withUnsafeMutableBufferPointer { sets in
      // Each worker has an encoder and sets of its own.
      nonisolated(unsafe) let (encoders, sets) = (encoders, sets)
      parallel(threads: workers, count: workers) { worker in
        for i in stride(from: worker, to: pictures.count, by: workers) {
          sets[i].append(encoders[worker], pictures[i], settings)
        }
      }
    }
    for one in sets { set.append(one) }
  }
}

extension FittingSet {
  fileprivate mutating func append(_ encoder: Encoder, _ picture: Picture, _ settings: EncoderSettings) {
    do throws(EncodeError) { append(try encoder.quantise(picture, settings)) } catch {
      preconditionFailure(error.description)
    }
  }

  fileprivate mutating func append(_ segments: [QuantisedSegment]) {
    for segment in segments {
      latents.append(
        segment.symbols.base, scales: segment.prior.map { UnsafePointer($0.scales.base) }, width: segment.width,
        height: segment.height)
      guard let prior = segment.prior else { continue }
      hyperLatents?.append(prior.hyperLatent.base, width: prior.hyperWidth, height: prior.hyperHeight)
    }
  }

  /// Adds what is coded of a clip's inter frames at the set's rate point, each predicted from the decoded frame before.
  ///
  /// `model` is that of the set, `intra` codes the first frame; `frames` are 4:2:0 and of one size. Errors are the
  /// encoder's.
  public mutating func append(
    clip frames: [Picture], ratePoint: Int, of model: Model, intra: Model, execution: Execution = Execution()
  ) throws(EncodeError) {
    guard let first = frames.first else { return }
    var settings = VideoSettings()
    settings.rate = .quality(model.quality(of: RatePosition(ratePoint: ratePoint)))
    settings.detectsScenes = false
    settings.execution = execution
    settings.entropy = model.preferredEntropyKind
    let encoder = try VideoEncoder(
      intra: intra, inter: model, width: first.width, height: first.height, settings)
    encoder.keepsSegments = true
    for frame in frames {
      if try !encoder.encode(frame).isIntra { append(encoder.segments) }
    }
  }
}

/// Neighbours of every sample of a corpus, by index; the zero behind the last sample for those that do not exist.
struct CorpusGrid {
  let count: Int
  /// The first sample of each picture, and `count`.
  let starts: [Int]
  /// Left, left of left, top left, top, top right, top of top.
  let causal: [[Int32]]
  /// 3×3, row by row.
  let around: [[Int32]]

  init(_ sizes: [(width: Int, height: Int)]) {
    var starts = [0]
    for size in sizes { starts.append(starts[starts.count - 1] + size.width * size.height) }
    let total = starts[starts.count - 1]
    func table(_ neighbour: (_ y: Int, _ x: Int, _ size: (width: Int, height: Int)) -> Int?) -> [Int32] {
      var out = [Int32](repeating: Int32(total), count: total)
      for (size, start) in zip(sizes, starts) {
        for y in 0..<size.height {
          for x in 0..<size.width {
            if let from = neighbour(y, x, size) { out[start + y * size.width + x] = Int32(start + from) }
          }
        }
      }
      return out
    }
    count = total
    self.starts = starts
    causal = (0..<ContextRule.causalCount).map { k in
      table { y, x, size in ContextRule.causalPlace(k, y, x, width: size.width) }
    }
    around = (0..<ContextRule.boxCount).map { k in
      table { y, x, size in ContextRule.boxPlace(k, y, x, width: size.width, height: size.height) }
    }
  }
}
