// SPDX-License-Identifier: BSD-3-Clause

#if !hasFeature(Embedded)

  /// Latents of many pictures at one rate point: what entropy models are fitted to.
  ///
  /// The samples of a channel lie one after the other, picture by picture, row by row; one zero follows the last.
  public struct LatentCorpus: Sendable {
    public let channels: Int
    /// Width and height of each picture's latent.
    private(set) var sizes: [(width: Int, height: Int)] = []
    private(set) var values: [[Int16]]
    /// The scales that a hyperprior gives, as `values`; empty without one.
    private(set) var scales: [[UInt8]]

    public init(channels: Int) { self.init(channels: channels, hasScales: false) }

    init(channels: Int, hasScales: Bool) {
      self.channels = channels
      values = [[Int16]](repeating: [0], count: channels)
      scales = [[UInt8]](repeating: [0], count: hasScales ? channels : 0)
    }

    /// Samples of one channel.
    public var positions: Int { values[0].count - 1 }
    public var pictures: Int { sizes.count }

    /// Adds a latent: [channels][height][width].
    public mutating func append(_ latent: UnsafePointer<Int16>, width: Int, height: Int) {
      let size = width * height
      sizes.append((width, height))
      for c in 0..<channels {
        values[c].removeLast()
        values[c].append(contentsOf: UnsafeBufferPointer(start: latent + c * size, count: size))
        values[c].append(0)
      }
    }

    /// The same with scales: of a corpus that has them.
    mutating func append(
      _ latent: UnsafePointer<Int16>, scales new: UnsafePointer<UInt8>, width: Int, height: Int
    ) {
      append(latent, width: width, height: height)
      let size = width * height
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

    public init(model: Model, ratePoint: Int) {
      let hasScales = model.hyperprior != nil
      latents = LatentCorpus(channels: model.latentChannels(ratePoint: ratePoint), hasScales: hasScales)
      hyperLatents = hasScales ? LatentCorpus(channels: model.hyperChannels) : nil
    }

    mutating func append(_ other: FittingSet) {
      latents.append(other.latents)
      if let more = other.hyperLatents { hyperLatents?.append(more) }
    }
  }

  /// Computes latents with the integer network, as the encoder does. One thread at a time may use it.
  public final class LatentAnalyser {
    private let model: Model
    /// One for each picture that is analysed at the same time.
    private var prepared: [PreparedModel]
    private let rdoq: RDOQ

    /// Without RDOQ latents do not depend on the entropy model: contexts change what a sample costs, not its value. With it
    /// they are those that the encoder finds with the model's preferred one, which there must be.
    public init(model: Model, rdoq: RDOQ = .off) {
      precondition(rdoq == .off || model.preferredEntropyKind != nil)
      self.model = model
      prepared = [PreparedModel(model)]
      self.rdoq = rdoq
    }

    /// Adds what is coded of a picture to a set of the same model and rate point.
    public func add(
      _ picture: Picture, ratePoint: Int, to set: inout FittingSet, execution: Execution = Execution()
    ) {
      add([picture], ratePoint: ratePoint, to: &set, execution: execution)
    }

    /// The same of several pictures in their order, one on each thread at a time.
    public func add(
      _ pictures: [Picture], ratePoint: Int, to set: inout FittingSet, execution: Execution = Execution()
    ) {
      let workers = min(execution.threads, pictures.count)
      while prepared.count < workers { prepared.append(PreparedModel(model)) }
      var sets = pictures.map { _ in FittingSet(model: model, ratePoint: ratePoint) }
      let inner = execution.inside(parallel: workers)
      prepared.withUnsafeMutableBufferPointer { prepared in
        sets.withUnsafeMutableBufferPointer { sets in
          // Each worker has a prepared model and sets of its own.
          nonisolated(unsafe) let (prepared, sets) = (prepared, sets)
          parallel(threads: workers, count: workers) { worker in
            for i in stride(from: worker, to: pictures.count, by: workers) {
              add(pictures[i], ratePoint: ratePoint, to: &sets[i], using: &prepared[worker], inner)
            }
          }
        }
      }
      for one in sets { set.append(one) }
    }

    private func add(
      _ picture: Picture, ratePoint: Int, to set: inout FittingSet, using prepared: inout PreparedModel,
      _ execution: Execution
    ) {
      guard set.hyperLatents != nil else {
        add(picture, ratePoint: ratePoint, to: &set.latents, using: &prepared, execution)
        return
      }
      // A hyperprior's networks see segments, here of the encoder's default height.
      let layout = LatentLayout(model, width: picture.width, height: picture.height, segmentRows: 64)
      let analysis = prepared.program(.analysis, ratePoint: ratePoint, cpu: execution.cpu)
      let latent = picture.withView { analysis.analyse($0, layout, channels: set.latents.channels, execution) }
      guard let kind = model.preferredEntropyKind,
        let codec = prepared.segmentCodec(kind, ratePoint: ratePoint, cpu: execution.cpu),
        let hyperLatent = prepared.hyperLatent(of: latent, ratePoint: ratePoint, execution)
      else { preconditionFailure("a model with a hyperprior and an entropy model") }
      picture.withView {
        _ = prepared.optimise(
          latent, hyperLatent, kind, of: $0, at: RatePosition(ratePoint: ratePoint), rdoq, lambda: nil, execution,
          progress: nil)
      }
      for i in 0..<layout.segmentCount {
        let (prior, symbols) = codec.quantise(
          segment: i, latent, hyperLatent: hyperLatent.segments[i].base, execution)
        set.latents.append(
          symbols.base, scales: prior.scales.base, width: layout.width, height: layout.rows(segment: i).count)
        set.hyperLatents?.append(
          hyperLatent.segments[i].base, width: hyperLatent.layout.width,
          height: hyperLatent.layout.rows(segment: i).count)
      }
    }

    /// Adds the latent of a picture to a corpus of `model.latentChannels(ratePoint:)` channels.
    public func add(
      _ picture: Picture, ratePoint: Int, to corpus: inout LatentCorpus, execution: Execution = Execution()
    ) {
      add(picture, ratePoint: ratePoint, to: &corpus, using: &prepared[0], execution)
    }

    private func add(
      _ picture: Picture, ratePoint: Int, to corpus: inout LatentCorpus, using prepared: inout PreparedModel,
      _ execution: Execution
    ) {
      precondition(corpus.channels == model.latentChannels(ratePoint: ratePoint))
      let layout = LatentLayout(model, width: picture.width, height: picture.height, segmentRows: 65536)
      let analysis = prepared.program(.analysis, ratePoint: ratePoint, cpu: execution.cpu)
      let latent = picture.withView { analysis.analyse($0, layout, channels: corpus.channels, execution) }
      if let kind = model.preferredEntropyKind {
        picture.withView {
          _ = prepared.optimise(
            latent, nil, kind, of: $0, at: RatePosition(ratePoint: ratePoint), rdoq, lambda: nil, execution,
            progress: nil)
        }
      }
      corpus.append(latent.segments[0].base, width: layout.width, height: layout.height)
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
      func table(_ dy: Int, _ dx: Int, isOwn: Bool) -> [Int32] {
        var out = [Int32](repeating: Int32(total), count: total)
        for (size, start) in zip(sizes, starts) {
          for y in 0..<size.height {
            for x in 0..<size.width {
              let to = start + y * size.width + x
              let ny = y + dy
              let nx = x + dx
              if isOwn {
                // As the coder sees it: FORMAT.md §1.6.
                let from =
                  ny < 0
                  ? (y: 0, x: nx + 2 * ny) : nx < 0 ? (y: ny - 1, x: 0) : (y: ny, x: min(nx, size.width - 1))
                if from.y >= 0, from.x >= 0 { out[to] = Int32(start + from.y * size.width + from.x) }
              } else {
                let cy = min(max(ny, 0), size.height - 1)
                out[to] = Int32(start + cy * size.width + min(max(nx, 0), size.width - 1))
              }
            }
          }
        }
        return out
      }
      count = total
      self.starts = starts
      causal = [(0, -1), (0, -2), (-1, -1), (-1, 0), (-1, 1), (-2, 0)].map { table($0.0, $0.1, isOwn: true) }
      around = (0..<9).map { table($0 / 3 - 1, $0 % 3 - 1, isOwn: false) }
    }
  }

#endif
