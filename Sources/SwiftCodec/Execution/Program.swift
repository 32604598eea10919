// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// A graph at one rate position, with its weights narrowed, cut into phases and packed for one variant of the kernels.
///
/// Immutable after `init`; shared by the runners of all threads.
package final class NetworkProgram {
  struct Step {
    let layer: any LayerProgram
    let inputs: [Int]
    let output: Int
  }

  let inputs: [Port]
  let outputs: [Port]
  let kernels: UnsafePointer<sc_kernels>
  let tensors: [ProgramTensor]
  let layers: [Step]
  /// Rows of the padded picture to a row of all outputs together: the least common multiple of their divisors. Bands
  /// and stripes are whole numbers of it.
  let unit: Int
  /// The owner of what the C structs point at.
  private let memory: ProgramMemory

  var inputCount: Int { inputs.count }
  /// The first output's tensor.
  var output: Int { outputs[0].tensor }

  convenience init(_ graph: Graph, of weights: Weights, ratePoint: Int, cpu: CPU) {
    self.init(graph, of: weights, at: RatePosition(ratePoint: ratePoint), cpu: cpu)
  }

  init(_ graph: Graph, of weights: Weights, at position: RatePosition, cpu: CPU) {
    inputs = graph.inputs
    outputs = graph.outputs
    kernels = cpu.kernels
    unit = graph.outputs.reduce(1) { leastCommonMultiple($0, graph.tensors[$1.tensor].divisor) }
    memory = ProgramMemory(cpu.kernels)
    var tensors: [ProgramTensor] = []
    for (i, info) in graph.tensors.enumerated() {
      let relu = i >= graph.inputCount && graph.layers[i - graph.inputCount].activation == .relu
      tensors.append(
        ProgramTensor(
          channels: weights.width(info, weights.widthPoint(position)), divisor: info.divisor, q: info.q,
          lo: relu ? 0 : -(1 << Int32(info.bits)), hi: (1 << Int32(info.bits)) - 1))
    }
    var layers: [Step] = []
    for (i, layer) in graph.layers.enumerated() {
      let context = graph.context(layer: i, weights, position, tensors)
      let program = layer.operation.program(context, memory)
      tensors[layer.inputs[0]].add(program.margins)
      layers.append(Step(layer: program, inputs: layer.inputs, output: context.output))
    }
    self.tensors = tensors
    self.layers = layers
    memory.freeScratch()
  }

  /// Rows of an output to a unit.
  func rowsPerUnit(output: Int) -> Int { unit / tensors[outputs[output].tensor].divisor }
}

extension Graph {
  /// A layer's surroundings at a rate position, where tensors are as `tensors`.
  func context(
    layer index: Int, _ weights: Weights, _ position: RatePosition, _ tensors: [ProgramTensor]
  ) -> LayerContext {
    let layer = layers[index]
    let output = inputCount + index
    return LayerContext(
      weights: weights, position: position, activation: layer.activation, inputs: layer.inputs, output: output,
      inputInfos: layer.inputs.map { self.tensors[$0] }, outputInfo: self.tensors[output],
      inputTensors: layer.inputs.map { tensors[$0] }, outputTensor: tensors[output])
  }
}
