// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// The sum of two tensors, each brought to the smaller q of both, rounded: |sum| ≤ 2^16.
final class Addition: LayerOperation {
  static var kind: LayerKind {
    LayerKind(inputs: 2...2, activations: .relu) { reader, layer throws(ModelError) in
      let (a, b) = (layer.inputs[0], layer.inputs[1])
      guard a.channels == b.channels, a.widthClass == b.widthClass, a.divisor == b.divisor else {
        throw .shape(reader.place, "add needs inputs of the same channels, width class and divisor")
      }
      try reader.checkAlignment(layer)
      return (Addition(), layer.sameShape)
    }
  }

  var name: StaticString { "add" }

  func multiplications(inputs: Int, outputs: Int) -> Double { 0 }

  func program(_ layer: LayerContext, _ memory: ProgramMemory) -> any LayerProgram { Program(layer) }

  func derivative(_ layer: LayerContext) -> any LayerDerivative {
    let channels = layer.outputTensor.channels
    return ScaledDerivative(
      first: [0, 0], gains: layer.alignments.map { [Double](repeating: 1 / Double(1 << Int64($0)), count: channels) })
  }

  private final class Program: LayerProgram {
    let inputs: (Int, Int)
    let output: Int
    let shifts: (Int32, Int32)
    let bounds: (lo: Int32, hi: Int32)

    init(_ layer: LayerContext) {
      inputs = (layer.inputs[0], layer.inputs[1])
      output = layer.output
      shifts = (Int32(layer.alignments[0]), Int32(layer.alignments[1]))
      bounds = (layer.outputTensor.lo, layer.outputTensor.hi)
    }

    var margins: Margins { Margins() }

    func inputRows(_ y: Int) -> ClosedRange<Int> { y...y }

    func run(_ y: Int, _ rows: RowStore) {
      let to = rows.rings[output]
      rows.kernels.pointee.add(
        rows.rings[inputs.0].row(y), rows.rings[inputs.1].row(y), to.row(y), to.width * to.channels, shifts.0,
        shifts.1, bounds.lo, bounds.hi)
    }
  }
}

extension LayerContext {
  /// By how much each input is shifted to have the output's q.
  var alignments: [Int] { inputTensors.map { $0.q - outputTensor.q } }
}
