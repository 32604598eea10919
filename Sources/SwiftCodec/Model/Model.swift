// SPDX-License-Identifier: BSD-3-Clause

/// A section of a model file: for people.
public struct SectionInfo: Sendable {
  /// Four characters (model.md §1).
  public let tag: String
  /// Bytes of the payload.
  public let size: Int
}

/// A layer at a rate point: for people.
public struct LayerInfo: Sendable {
  /// As the exporter called it.
  public let name: String
  /// The kind of layer.
  public let operation: String
  /// Channels of the output.
  public let channels: Int
  /// Height and width of the output are those of the padded picture divided by this.
  public let divisor: Int
  /// Multiply-adds by pixel of the picture.
  public let macPerPixel: Double
}

/// A trained codec: networks, rate points and entropy models, read from a model file and validated as a whole.
///
/// Immutable, and safe to use from any number of threads.
public final class Model: Sendable {
  /// The 64-bit hash of the file.
  public let id: UInt64
  /// What bitstreams name it by: the first half of `id`.
  public var shortID: UInt32 { UInt32(id >> 32) }
  /// As the file calls the model.
  public let name: String
  /// What the file says of itself, a line for people.
  public let summary: String
  /// Domain by domain, each from the lowest rate to the highest.
  public var ratePoints: [RatePoint] { weights.ratePoints }
  /// In the order of the file.
  public let sections: [SectionInfo]
  let weights: Weights
  let networks: Networks
  /// In the order of the file; at most one of each kind.
  package let entropyModels: [EntropyModel]
  /// How vectors are coded; nil for a model that does not read motion-compensated frames.
  let motion: MotionTables?

  /// Reads a model file (model.md §1). Nothing of it is trusted: what is returned can be executed without any overflow.
  public convenience init(_ bytes: [UInt8]) throws(ModelError) {
    try self.init(bytes.withUnsafeBufferPointer { FileBytes(copying: $0) })
  }

  /// The same of bytes that stay where they are: weights are read from there.
  package init(_ file: FileBytes) throws(ModelError) {
    var parser = ModelFileParser(file)
    // Thrown when everything is initialised: an object that is not does not get its memory freed in the Embedded library.
    let failure = parser.failure()
    id = failure == nil ? file.knownHash ?? modelHash(file.bytes) : 0
    name = parser.name
    summary = parser.summary
    sections = parser.sections
    weights = parser.weights
    entropyModels = parser.entropyModels
    motion = parser.motion
    networks = parser.networks ?? Networks()
    if let failure { throw failure }
    if motion == nil, networks.readsMotion {
      throw .section(ModelLocation(section: "MOTN", item: ""), "is missing in a model that reads predicted frames")
    }
  }

  /// The entropy models that it has.
  public var entropyKinds: [EntropyKind] { entropyModels.map { $0.kind } }

  /// The best of its entropy models.
  public var preferredEntropyKind: EntropyKind? {
    entropyKinds.max { $0.rawValue < $1.rawValue }
  }

  /// The pixel formats that it encodes and decodes, at least one, in the order of their raw values.
  public var formats: [PixelFormat] { networks.formats }

  /// Whether pictures of a format can be coded: a grey one also as R = G = B.
  public func codes(_ format: PixelFormat) -> Bool {
    formats.contains(format) || format == .grey && formats.contains(.rgb)
  }

  /// The format of the networks that code pictures of a format.
  func networkFormat(_ format: PixelFormat) -> PixelFormat {
    format == .grey && !formats.contains(.grey) ? .rgb : format
  }

  /// Whether it codes a frame given a reference frame; nothing but such a frame can be coded with it.
  public var isInter: Bool { networks.isInter }

  var hyperprior: Hyperprior? { networks.hyperprior }

  /// The latent's height and width are those of the padded picture divided by this.
  var latentDivisor: Int { networks.latent.divisor }

  /// Of the hyper-latent; of the latent, if there is none.
  var hyperDivisor: Int { hyperprior?.analysis.outputInfo.divisor ?? latentDivisor }

  /// Pictures of a format are padded to whole multiples of this, 1…1024.
  func paddingUnit(_ format: PixelFormat) -> Int { networks.paddingUnit(format) }

  /// y = integer · 2^−latentExponent
  var latentExponent: Int { networks.latent.q }

  /// Channels of the hyper-latent at a rate point; 0 without one.
  package func hyperChannels(ratePoint: Int) -> Int {
    hyperprior.map { weights.width($0.analysis.outputInfo, ratePoint) } ?? 0
  }

  /// Whether there is a hyper-latent.
  package var hasHyperprior: Bool { hyperprior != nil }

  /// Channels of the latent at a rate point.
  public func latentChannels(ratePoint: Int) -> Int { weights.width(networks.latent, ratePoint) }

  /// nil for a network that the model does not have. Only analysis and synthesis depend on the format.
  func graph(_ role: GraphRole, _ format: PixelFormat) -> Graph? { networks.graph(role, format) }

  /// The networks that it has for a format, those of the encoder first and synthesis last.
  public func roles(_ format: PixelFormat = .rgb) -> [GraphRole] {
    let slices = hyperprior?.slices.indices.map { GraphRole.slice($0) } ?? []
    let all = [.context, .analysis, .hyperAnalysis, .hyperSynthesis] + slices + [.synthesis]
    return all.filter { networks.graph($0, format) != nil }
  }

  /// The layers of a network in the order of execution; none if the model does not have it.
  public func layers(_ role: GraphRole, _ format: PixelFormat = .rgb, ratePoint: Int) -> [LayerInfo] {
    precondition(ratePoints.indices.contains(ratePoint))
    guard let graph = self.graph(role, format) else { return [] }
    return graph.layers.indices.map { i in
      let tensor = graph.tensors[graph.inputCount + i]
      return LayerInfo(
        name: graph.layers[i].name, operation: "\(graph.layers[i].operation.name)",
        channels: weights.width(tensor, ratePoint), divisor: tensor.divisor,
        macPerPixel: graph.macPerPixel(layer: i, weights, ratePoint: ratePoint))
    }
  }

  /// Multiply-adds per pixel of one network.
  public func macPerPixel(_ role: GraphRole, _ format: PixelFormat = .rgb, ratePoint: Int) -> Double {
    layers(role, format, ratePoint: ratePoint).reduce(0) { $0 + $1.macPerPixel }
  }

  /// Multiply-adds per pixel to encode: every network but synthesis.
  public func encoderMACPerPixel(_ format: PixelFormat = .rgb, ratePoint: Int) -> Double {
    roles(format).reduce(0) { $1 == .synthesis ? $0 : $0 + macPerPixel($1, format, ratePoint: ratePoint) }
  }

  /// Multiply-adds per pixel to decode: every network but analysis and hyper-analysis.
  public func decoderMACPerPixel(_ format: PixelFormat = .rgb, ratePoint: Int) -> Double {
    roles(format).reduce(0) {
      $1 == .analysis || $1 == .hyperAnalysis ? $0 : $0 + macPerPixel($1, format, ratePoint: ratePoint)
    }
  }
}
