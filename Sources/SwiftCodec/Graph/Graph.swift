// SPDX-License-Identifier: BSD-3-Clause

/// What a network of a model is for.
public enum GraphRole: Sendable, Equatable {
  /// From the picture to the latent.
  case analysis
  /// From the latent to the picture.
  case synthesis
  /// From the latent to the hyper-latent.
  case hyperAnalysis
  /// From the hyper-latent to features of the latent's resolution.
  case hyperSynthesis
  /// From those and the slices before to means and scales of a slice of the latent's channels.
  case slice(Int)

  init?(rawValue: UInt8) {
    switch rawValue {
    case 0: self = .analysis
    case 1: self = .synthesis
    case 2: self = .hyperAnalysis
    case 3: self = .hyperSynthesis
    case 4..<20: self = .slice(Int(rawValue) - 4)
    default: return nil
    }
  }

  public var name: String {
    switch self {
    case .analysis: "analysis"
    case .synthesis: "synthesis"
    case .hyperAnalysis: "hyper-analysis"
    case .hyperSynthesis: "hyper-synthesis"
    case .slice(let i): "slice \(i)"
    }
  }
}

/// The shape and range of a tensor of a graph.
struct TensorInfo {
  /// At full width.
  let channels: Int
  /// The width class that narrows it, nil if it has all channels at every rate point.
  let widthClass: Int?
  /// Elements lie in [−2^bits, 2^bits − 1].
  let bits: Int
  /// value = integer · 2^−q
  let q: Int
  /// Height and width are those of the padded picture divided by 2^level.
  let level: Int
}

enum Border {
  case zero
  case replicate
}

enum Activation: Equatable {
  case none
  case relu
  /// Slope 2^−shift for negative values.
  case leakyReLU(shift: Int)

  /// What a leaky ReLU adds to the shift of a negative accumulator.
  var leakyShift: Int { if case .leakyReLU(let shift) = self { shift } else { 0 } }
}

enum ConvolutionKind {
  case convolution
  /// Stride 2 upwards.
  case transposed
  case depthwise
}

/// A convolution's weights, at full width: indices of the model's weight arrays and the kernel's shape.
struct Convolution {
  let kind: ConvolutionKind
  let kh: Int
  let kw: Int
  let stride: Int
  let border: Border
  /// Int16 [channels][kh][kw][input channels], depthwise [channels][kh][kw].
  let weights: Int
  /// Int16 [rate points][channels], in 1/2^14: scales the weights; nil if they are the same at every rate point.
  let modulation: Int?
  /// Int32 [channels], or [rate points][channels] with modulation, in the accumulator's scale.
  let bias: Int
  /// s of each output channel, q(input) + exponent − q(output), in the order of the biases.
  let shifts: [UInt8]
  /// s between each rate point and the next, [rate points − 1][channels]; empty without modulation.
  let bridges: [UInt8]

  /// A weight at a rate point where its channel has this modulation.
  static func modulated(_ weight: Int16, by modulation: Int16) -> Int16 {
    Int16(clamping: (Int32(modulation) * Int32(weight) + 1 << 13) >> 14)
  }

  /// Rows and columns before the first tap.
  var padTop: Int { (kh - 1) / 2 }
  var padLeft: Int { (kw - 1) / 2 }
}

enum Operation {
  case convolution(Convolution)
  /// Indices of the arrays gain: Int16 [rate points][channels], shift: UInt8 [rate points][channels].
  case gain(gain: Int, shift: Int)
  case add
  case concatenation
  case pixelShuffle(Int)
  case pixelUnshuffle(Int)

  var name: StaticString {
    switch self {
    case .convolution(let c):
      switch c.kind {
      case .convolution: "convolution"
      case .transposed: "transposed convolution"
      case .depthwise: "depthwise convolution"
      }
    case .gain: "gain"
    case .add: "add"
    case .concatenation: "concatenation"
    case .pixelShuffle: "pixel shuffle"
    case .pixelUnshuffle: "pixel unshuffle"
    }
  }
}

struct Layer {
  let name: String
  let operation: Operation
  let inputs: [Int]
  let activation: Activation
}

/// A network: layers in the order of execution. Tensor i is the graph's i-th input, or the output of layer i − inputCount.
struct Graph {
  let role: GraphRole
  let inputCount: Int
  let tensors: [TensorInfo]
  let layers: [Layer]
  let output: Int

  /// Multiply-adds per pixel of the picture of one layer at a rate point; `width` gives a tensor's channels there.
  func macPerPixel(layer index: Int, width: (TensorInfo) -> Int) -> Double {
    let layer = layers[index]
    let output = tensors[inputCount + index]
    let input = tensors[layer.inputs[0]]
    let outputs = Double(width(output)) / Double(1 << (2 * output.level))
    switch layer.operation {
    case .convolution(let c):
      let taps = Double(c.kh * c.kw)
      switch c.kind {
      case .convolution: return outputs * taps * Double(width(input))
      case .transposed: return outputs * taps * Double(width(input)) / 4
      case .depthwise: return outputs * taps
      }
    case .gain: return outputs
    case .add, .concatenation, .pixelShuffle, .pixelUnshuffle: return 0
    }
  }
}
