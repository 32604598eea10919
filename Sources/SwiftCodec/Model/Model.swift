// SPDX-License-Identifier: BSD-3-Clause

/// One trade-off between rate and distortion that a model was trained for.
public struct RatePoint: Sendable {
  /// λ of λ·255²·MSE + bits per pixel, with MSE of samples in [0, 1].
  public let lambda: Float
  /// Channels of each width class in use.
  public let widths: [Int]
}

/// A section of a model file: for people.
public struct SectionInfo: Sendable {
  public let tag: String
  /// Bytes of the payload.
  public let size: Int
}

/// A layer at a rate point: for people.
public struct LayerInfo: Sendable {
  public let name: String
  public let operation: String
  /// Channels of the output.
  public let channels: Int
  /// Height and width of the output are those of the picture divided by 2^level.
  public let level: Int
  public let macPerPixel: Double
}

/// The networks that give the latent's probabilities.
struct Hyperprior: Sendable {
  let analysis: Graph
  let synthesis: Graph
  let slices: [Graph]
  /// Latent channels of each slice.
  let sliceChannels: [Int]
}

/// A trained codec: networks, rate points and entropy models, read from a model file and validated as a whole.
///
/// Immutable, and safe to use from any number of threads.
public final class Model: Sendable {
  /// The 64-bit hash of the file.
  public let id: UInt64
  /// What bitstreams name it by: the first half of `id`.
  public var shortID: UInt32 { UInt32(id >> 32) }
  public let name: String
  public let summary: String
  /// From the lowest rate to the highest.
  public let ratePoints: [RatePoint]
  public let sections: [SectionInfo]
  let arrays: [WeightArray]
  let analysis: Graph
  let synthesis: Graph
  let hyperprior: Hyperprior?
  package let entropyModels: [EntropyModel]

  /// Reads a model file (FORMAT.md §1). Nothing of it is trusted: what is returned can be executed without any overflow.
  public init(_ bytes: [UInt8]) throws(ModelError) {
    var parser = ModelFileParser(bytes)
    try parser.parse()
    id = modelHash(bytes)
    name = parser.name
    summary = parser.summary
    ratePoints = parser.ratePoints
    sections = parser.sections
    arrays = parser.arrays
    entropyModels = parser.entropyModels
    guard let networks = parser.networks else {
      throw .section(ModelLocation(section: "GRPH", item: ""), "the graphs are missing")
    }
    analysis = networks.analysis
    synthesis = networks.synthesis
    hyperprior = networks.hyperprior
  }

  /// The entropy models that it has.
  public var entropyKinds: [EntropyKind] { entropyModels.map { $0.kind } }

  /// The best of its entropy models.
  public var preferredEntropyKind: EntropyKind? {
    entropyKinds.max { $0.rawValue < $1.rawValue }
  }

  /// The latent's height and width are those of the padded picture divided by 2^latentLevel.
  var latentLevel: Int { analysis.tensors[analysis.output].level }

  /// Pictures are padded to multiples of 2^paddingLevel: the level of the hyper-latent, if there is one.
  var paddingLevel: Int { hyperprior.map { $0.analysis.tensors[$0.analysis.output].level } ?? latentLevel }

  /// y = integer · 2^−latentExponent
  var latentExponent: Int { analysis.tensors[analysis.output].q }

  /// Channels of the hyper-latent; 0 without one.
  package var hyperChannels: Int { hyperprior.map { $0.analysis.tensors[$0.analysis.output].channels } ?? 0 }

  /// Channels of a tensor in use at a rate point.
  func width(_ tensor: TensorInfo, _ ratePoint: Int) -> Int {
    tensor.widthClass.map { ratePoints[ratePoint].widths[$0] } ?? tensor.channels
  }

  /// Channels of the latent at a rate point.
  public func latentChannels(ratePoint: Int) -> Int { width(analysis.tensors[analysis.output], ratePoint) }

  /// nil for a role that the model does not have.
  func graph(_ role: GraphRole) -> Graph? {
    switch role {
    case .analysis: analysis
    case .synthesis: synthesis
    case .hyperAnalysis: hyperprior?.analysis
    case .hyperSynthesis: hyperprior?.synthesis
    case .slice(let i): hyperprior.flatMap { $0.slices.indices.contains(i) ? $0.slices[i] : nil }
    }
  }

  /// The networks that it has.
  public var roles: [GraphRole] {
    guard let hyperprior else { return [.analysis, .synthesis] }
    return [.analysis, .hyperAnalysis, .hyperSynthesis] + hyperprior.slices.indices.map { .slice($0) } + [.synthesis]
  }

  /// The layers of a network in the order of execution.
  public func layers(_ role: GraphRole, ratePoint: Int) -> [LayerInfo] {
    precondition(ratePoints.indices.contains(ratePoint))
    guard let graph = self.graph(role) else { return [] }
    return graph.layers.indices.map { i in
      let tensor = graph.tensors[graph.inputCount + i]
      return LayerInfo(
        name: graph.layers[i].name, operation: "\(graph.layers[i].operation.name)", channels: width(tensor, ratePoint),
        level: tensor.level, macPerPixel: graph.macPerPixel(layer: i) { width($0, ratePoint) })
    }
  }

  /// Multiply-adds per pixel of one network.
  public func macPerPixel(_ role: GraphRole, ratePoint: Int) -> Double {
    layers(role, ratePoint: ratePoint).reduce(0) { $0 + $1.macPerPixel }
  }

  /// Multiply-adds per pixel to encode: every network but synthesis.
  public func encoderMACPerPixel(ratePoint: Int) -> Double {
    roles.reduce(0) { $1 == .synthesis ? $0 : $0 + macPerPixel($1, ratePoint: ratePoint) }
  }

  /// Multiply-adds per pixel to decode: every network but analysis and hyper-analysis.
  public func decoderMACPerPixel(ratePoint: Int) -> Double {
    roles.reduce(0) {
      $1 == .analysis || $1 == .hyperAnalysis ? $0 : $0 + macPerPixel($1, ratePoint: ratePoint)
    }
  }
}
