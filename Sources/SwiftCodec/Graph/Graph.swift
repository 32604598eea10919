// SPDX-License-Identifier: BSD-3-Clause

/// What a network of a model is for.
public enum GraphRole: Sendable, Equatable {
  /// From a picture to the latent; one for each pixel format.
  case analysis
  /// From the decoded latent to a picture; one for each pixel format.
  case synthesis
  /// From the latent to the hyper-latent.
  case hyperAnalysis
  /// From the hyper-latent to features of the latent's resolution.
  case hyperSynthesis
  /// From the reference frame to contexts that other networks read.
  case context
  /// From the features and the slices before to means and scales of a slice of the latent's channels; 0…15.
  case slice(Int)

  init?(rawValue: UInt8) {
    switch rawValue {
    case 0: self = .analysis
    case 1: self = .synthesis
    case 2: self = .hyperAnalysis
    case 3: self = .hyperSynthesis
    case 4: self = .context
    case 16..<32: self = .slice(Int(rawValue) - 16)
    default: return nil
    }
  }

  /// For people.
  public var name: String {
    switch self {
    case .analysis: "analysis"
    case .synthesis: "synthesis"
    case .hyperAnalysis: "hyper-analysis"
    case .hyperSynthesis: "hyper-synthesis"
    case .context: "context"
    case .slice(let i): "slice \(i)"
    }
  }

  /// Whether a model may have one for each pixel format.
  public var hasFormats: Bool { self == .analysis || self == .synthesis }
}

/// What an input or output of a network is. Raw values are those of model files.
public enum TensorName: UInt8, Sendable {
  /// Three channels at the picture's resolution: R, G, B.
  case rgb = 0
  /// One channel at the picture's resolution; of grey pictures, too.
  case luma
  /// Two channels at half the picture's width and height: U and V.
  case chroma
  /// The motion-compensated reference frame, as luma and chroma.
  case predictedLuma
  case predictedChroma
  case latent
  case decodedLatent
  case hyperLatent
  case features
  /// The decoded latent's channels of all slices before.
  case earlierSlices
  /// Means, then scales, of a slice.
  case parameters
  /// The decoded latent of the reference frame.
  case referenceLatent
  /// A tensor that synthesis of the reference frame made.
  case state
  /// An output of the context network.
  case context

  /// For people.
  public var name: StaticString {
    switch self {
    case .rgb: "rgb"
    case .luma: "luma"
    case .chroma: "chroma"
    case .predictedLuma: "predicted luma"
    case .predictedChroma: "predicted chroma"
    case .latent: "latent"
    case .decodedLatent: "decoded latent"
    case .hyperLatent: "hyper-latent"
    case .features: "features"
    case .earlierSlices: "earlier slices"
    case .parameters: "parameters"
    case .referenceLatent: "reference latent"
    case .state: "state"
    case .context: "context"
    }
  }

  /// Whether there can be several, told apart by an index.
  var hasIndex: Bool { self == .state || self == .context }

  /// Whether it comes from a reference frame.
  public var isOfReference: Bool {
    switch self {
    case .predictedLuma, .predictedChroma, .referenceLatent, .state, .context: true
    default: false
    }
  }
}

/// An input or output of a graph.
struct Port: Sendable, Equatable {
  let name: TensorName
  /// 0…7; 0 unless the name has an index.
  let index: Int
  /// The tensor that it is; that of an input is its position.
  let tensor: Int
}

/// A network: layers in the order of execution. Tensor i is the graph's i-th input, or the output of layer i − inputCount.
struct Graph: Sendable {
  let role: GraphRole
  /// Of analysis and synthesis; RGB for every other role.
  let format: PixelFormat
  /// 1…8
  let inputs: [Port]
  let tensors: [TensorInfo]
  /// 1…1024
  let layers: [Layer]
  /// 1…8
  let outputs: [Port]

  var inputCount: Int { inputs.count }

  /// The first output's tensor.
  var outputInfo: TensorInfo { tensors[outputs[0].tensor] }

  /// "analysis", with the format if it is not RGB.
  var name: String { Self.name(role, format) }

  static func name(_ role: GraphRole, _ format: PixelFormat) -> String {
    format == .rgb ? role.name : role.name + " (\(format.name))"
  }

  /// Multiply-adds per pixel of the picture of one layer at a rate point.
  func macPerPixel(layer index: Int, _ weights: Weights, ratePoint: Int) -> Double {
    let layer = layers[index]
    let output = tensors[inputCount + index]
    let all = layer.operation.multiplications(
      inputs: weights.width(tensors[layer.inputs[0]], ratePoint), outputs: weights.width(output, ratePoint))
    return all / Double(output.divisor * output.divisor)
  }
}
