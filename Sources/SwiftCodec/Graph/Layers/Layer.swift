// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// One layer of a graph.
struct Layer: Sendable {
  /// For people, from the file.
  let name: String
  let operation: any LayerOperation
  /// Tensors that it reads, each with a smaller number than its own.
  let inputs: [Int]
  let activation: Activation
}

/// What a layer computes. Each kind of layer is one class in one file of this folder: how it is parsed, which shape its output
/// has, the proof that no accumulator overflows, how a row is computed, and its adjoint.
///
/// A new kind is such a file and a line in `LayerKind.of`.
protocol LayerOperation: AnyObject, Sendable {
  var name: StaticString { get }
  /// Multiply-adds for each position of the output, with these channels in use.
  func multiplications(inputs: Int, outputs: Int) -> Double
  /// What the kernels make of these: at least as many, in whole vectors.
  func vectorProducts(inputs: Int, outputs: Int) -> VectorProducts
  /// Elements of the weight arrays that `program` goes through.
  var fileWeights: Double { get }
  func program(_ layer: LayerContext, _ memory: ProgramMemory) -> any LayerProgram
  func derivative(_ layer: LayerContext) -> any LayerDerivative
}

extension LayerOperation {
  func vectorProducts(inputs: Int, outputs: Int) -> VectorProducts { VectorProducts() }
  var fileWeights: Double { 0 }
}

/// A layer at one rate position, its weights packed. Immutable; used by several threads.
protocol LayerProgram: AnyObject {
  /// What it reads beside the rows of its first input.
  var margins: Margins { get }
  /// The rows of its inputs, not clamped to the picture, that an output row is made of.
  func inputRows(_ y: Int) -> ClosedRange<Int>
  /// Computes an output row into its place.
  func run(_ y: Int, _ rows: RowStore)
}

/// Derivatives of a layer's output integers with respect to its input integers, at one rate position.
protocol LayerDerivative: AnyObject {
  /// Adds the power of the gradient of an input, given that of the output, if all of it is random. [channels] each.
  func addPower(_ slot: Int, of output: [Double], to input: inout [Double])
  /// What takes the gradient of the output back to an input, for these scales of both gradients, [channels] each.
  func adjoint(
    _ slot: Int, inputScales: [Double], outputScales: [Double], _ memory: ProgramMemory
  ) -> any AdjointStep
}

/// What one layer contributes to the gradient of one of its inputs. Immutable; used by several threads.
protocol AdjointStep: AnyObject {
  /// Columns of zeros beside the rows of the output's gradient that it reads.
  var margins: Margins { get }
  /// Columns beside a row of the input's gradient that it computes in the scratch row.
  var scratchColumns: Int { get }
  /// Whether it needs the input's integers of the forward pass.
  var needsValues: Bool { get }
  /// Rows of the output that an input row gets its gradient from, with those that it gets for rows outside, whose nearest
  /// row it is. `height` is the input's.
  func outputRows(_ y: Int, height: Int) -> ClosedRange<Int>
  /// Whether it can write the input's gradient, whatever is there, where nothing else adds to it.
  var canOverwrite: Bool { get }
  /// Adds to row `y` of the input's gradient, or if it can and `overwrites`, writes it. `values` is the input's row of the
  /// forward pass, if it is needed.
  func accumulate(
    _ y: Int, height: Int, from: GradientPlane, to: GradientPlane, values: UnsafePointer<Int16>?, overwrites: Bool,
    _ scratch: AdjointScratch)
}

extension AdjointStep {
  var margins: Margins { Margins() }
  var scratchColumns: Int { 0 }
  var needsValues: Bool { false }
  var canOverwrite: Bool { false }
}

/// A layer's surroundings at one rate position.
struct LayerContext {
  let weights: Weights
  let position: RatePosition
  let activation: Activation
  /// Numbers of the tensors.
  let inputs: [Int]
  let output: Int
  /// The tensors as the file describes them.
  let inputInfos: [TensorInfo]
  let outputInfo: TensorInfo
  /// The tensors as the position uses them.
  let inputTensors: [ProgramTensor]
  let outputTensor: ProgramTensor
}

/// A kind of layer in model files.
struct LayerKind {
  enum Activations {
    case none
    case relu
    case all
  }
  /// How many inputs it has.
  var inputs = 1...1
  /// Which activations it allows.
  let activations: Activations
  /// Parses the fields behind those that all layers have, and proves the range of its accumulators.
  let parse: (inout LayerReader, LayerHeader) throws(ModelError) -> (any LayerOperation, TensorInfo)

  /// The one list of the kinds: op → kind.
  static func of(op: UInt8) -> LayerKind? {
    switch op {
    case 1, 9: Convolution.kind
    case 2, 10: TransposedConvolution.kind
    case 3, 11: DepthwiseConvolution.kind
    case 4: Gain.kind
    case 5: Addition.kind
    case 6: Concatenation.kind
    case 7: PixelShuffle.kind
    case 8: PixelUnshuffle.kind
    case 12: HardSwish.kind
    default: nil
    }
  }

  static let ops = 1...12
}

/// The fields that every layer has.
struct LayerHeader {
  let op: UInt8
  let inputs: [TensorInfo]
  let activation: Activation
  /// Of the output.
  let q: Int
  let bits: Int

  var input: TensorInfo { inputs[0] }

  /// The output with the channels and the resolution of the first input.
  var sameShape: TensorInfo {
    TensorInfo(channels: input.channels, widthClass: input.widthClass, bits: bits, q: q, divisor: input.divisor)
  }
}
