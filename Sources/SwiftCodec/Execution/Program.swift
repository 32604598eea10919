// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// A graph at one rate position, with its weights narrowed, cut into phases and packed for one variant of the kernels.
///
/// Immutable after `init` but for the schedules that it keeps; shared by the runners of all threads.
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
  /// The schedules of the last sizes, and their lock.
  private var known: [(key: ScheduleKey, schedules: [Schedule])] = []
  private let lock = AlignedBuffer<Int32>(count: 1, zero: 0)

  private struct ScheduleKey: Equatable {
    let width: Int
    let height: Int
    let band: Range<Int>
    let threads: Int
    let stripeRows: Int
  }

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

  /// The bands that a band is cut into for some threads.
  func schedules(width: Int, height: Int, band: Range<Int>, _ execution: Execution) -> [Schedule] {
    let key = ScheduleKey(
      width: width, height: height, band: band, threads: execution.threads, stripeRows: execution.stripeRows)
    sc_lock(lock.base)
    let found = known.first { $0.key == key }
    sc_unlock(lock.base)
    if let found { return found.schedules }
    let schedules = Schedule.divide(
      self, width: width, height: height, band: band, threads: execution.threads, stripeRows: execution.stripeRows)
    sc_lock(lock.base)
    if known.count == Self.schedulesKept { known.removeFirst() }
    known.append((key, schedules))
    sc_unlock(lock.base)
    return schedules
  }

  private static let schedulesKept = 4

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
