// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// Channels of the inputs in order, each brought to the smallest q of all and clamped.
final class Concatenation: LayerOperation {
  static var kind: LayerKind {
    LayerKind(inputs: 2...16, activations: .none) { reader, layer throws(ModelError) in
      guard layer.inputs.allSatisfy({ $0.divisor == layer.input.divisor }) else {
        throw .shape(reader.place, "concatenation needs inputs of the same divisor")
      }
      guard layer.inputs.allSatisfy({ $0.widthClass == nil }) else {
        throw .shape(reader.place, "concatenation of tensors whose width depends on the rate point")
      }
      try reader.checkAlignment(layer)
      let channels = layer.inputs.reduce(0) { $0 + $1.channels }
      guard channels <= 4096 else {
        throw .value(reader.place, field: "channels", value: channels, valid: 1...4096)
      }
      return (
        Concatenation(),
        TensorInfo(channels: channels, widthClass: nil, bits: layer.bits, q: layer.q, divisor: layer.input.divisor)
      )
    }
  }

  var name: StaticString { "concatenation" }

  func multiplications(inputs: Int, outputs: Int) -> Double { 0 }

  func vectorProducts(inputs: Int, outputs: Int) -> VectorProducts {
    VectorProducts(position: 1200 + 112 * Double(outputs))
  }

  func program(_ layer: LayerContext, _ memory: ProgramMemory) -> any LayerProgram { Program(layer) }

  func derivative(_ layer: LayerContext) -> any LayerDerivative {
    var first: [Int] = []
    var gains: [[Double]] = []
    var at = 0
    for (input, shift) in zip(layer.inputTensors, layer.alignments) {
      first.append(at)
      gains.append([Double](repeating: 1 / Double(1 << Int64(shift)), count: input.channels))
      at += input.channels
    }
    return ScaledDerivative(first: first, gains: gains)
  }

  private final class Program: LayerProgram {
    let inputs: [Int]
    let output: Int
    let shifts: [Int32]
    let bounds: (lo: Int32, hi: Int32)

    init(_ layer: LayerContext) {
      inputs = layer.inputs
      output = layer.output
      shifts = layer.alignments.map { Int32($0) }
      bounds = (layer.outputTensor.lo, layer.outputTensor.hi)
    }

    var margins: Margins { Margins() }

    func inputRows(_ y: Int) -> ClosedRange<Int> { y...y }

    func run(_ y: Int, _ rows: RowStore) {
      let to = rows.rings[output]
      var out = to.row(y)
      for i in inputs.indices {
        let from = rows.rings[inputs[i]]
        sc_copy_channels(
          from.row(y), from.channels, out, to.channels, Int32(from.channels), from.width, shifts[i], bounds.lo,
          bounds.hi)
        out += from.channels
      }
    }
  }
}
