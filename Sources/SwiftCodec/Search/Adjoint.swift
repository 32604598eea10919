// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// A network's adjoint at one rate position: takes derivatives with respect to the outputs back to the inputs, through the
/// same integer kernels as the network itself.
///
/// The gradient of tensor t is kept as integers, gradient[c] · scales[t][c], in ±SC_GRADIENT_LIMIT. The scales are such
/// that every tensor's gradient has about the spread of the outputs', as far as errors are not correlated: rare ones
/// saturate. It is an estimate that chooses candidates, and no result depends on its precision.
final class AdjointProgram {
  /// What one layer contributes to the gradient of one of its inputs.
  struct Contribution {
    let step: any AdjointStep
    /// The layer's output.
    let output: Int
  }

  let forward: NetworkProgram
  /// Of each tensor.
  private(set) var contributions: [[Contribution]]
  /// The activations of the layers that make the tensors.
  let activations: [Activation]
  /// [tensors][channels]. That of an output is 2^q: its gradients are by values, and not by integers.
  let scales: [[Double]]
  /// Columns of zeros beside the rows of each tensor's gradient.
  private(set) var left: [Int]
  private(set) var right: [Int]
  /// 2^16 for as many channels as any tensor has.
  let ones: UnsafePointer<Int32>
  private let memory: ProgramMemory

  init(_ graph: Graph, _ forward: NetworkProgram, of weights: Weights, at position: RatePosition) {
    self.forward = forward
    let tensors = forward.tensors
    contributions = [[Contribution]](repeating: [], count: tensors.count)
    left = [Int](repeating: 0, count: tensors.count)
    right = [Int](repeating: 0, count: tensors.count)
    activations = [Activation](repeating: .none, count: graph.inputCount) + graph.layers.map { $0.activation }
    memory = ProgramMemory(forward.kernels)
    ones = memory.keepWords([Int32](repeating: 65536, count: tensors.reduce(0) { max($0, $1.channels) }))
    let derivatives = graph.layers.indices.map {
      graph.layers[$0].operation.derivative(graph.context(layer: $0, weights, position, tensors))
    }
    scales = Self.chooseScales(graph, forward, derivatives)
    for (i, layer) in graph.layers.enumerated() {
      let output = graph.inputCount + i
      for (slot, input) in layer.inputs.enumerated() {
        let step = derivatives[i].adjoint(
          slot, inputScales: scales[input], outputScales: scales[output], memory)
        left[output] = max(left[output], step.margins.left)
        right[output] = max(right[output], step.margins.right)
        contributions[input].append(Contribution(step: step, output: output))
      }
    }
  }

  /// Powers of a random unit gradient of the outputs' values in every channel of every tensor, and from them the scales.
  private static func chooseScales(
    _ graph: Graph, _ forward: NetworkProgram, _ derivatives: [any LayerDerivative]
  ) -> [[Double]] {
    var power = forward.tensors.map { [Double](repeating: 0, count: $0.channels) }
    let exponents = forward.outputs.map { Double(sign: .plus, exponent: forward.tensors[$0.tensor].q, significand: 1) }
    for (output, exponent) in zip(forward.outputs, exponents) {
      power[output.tensor] = power[output.tensor].map { $0 + 1 / (exponent * exponent) }
    }
    for (i, layer) in graph.layers.enumerated().reversed() {
      let to = graph.inputCount + i
      let passed = layer.activation == .none ? 1 : 0.5
      let output = power[to].map { $0 * passed }
      for (slot, input) in layer.inputs.enumerated() {
        derivatives[i].addPower(slot, of: output, to: &power[input])
        // Far from what any gradient needs, but finite, whatever gains a file puts in a row.
        power[input] = power[input].map { $0 < 1e80 ? ($0 > 1e-80 ? $0 : 0) : 1e80 }
      }
    }
    var scales = power.map { $0.map { $0 > 0 ? 1 / $0.squareRoot() : 1 } }
    for (output, exponent) in zip(forward.outputs, exponents) {
      scales[output.tensor] = scales[output.tensor].map { _ in exponent }
    }
    return scales
  }
}
