// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// The inverse of a pixel shuffle: out[y][x][c·f² + i·f + j] = in[f·y + i][f·x + j][c].
final class PixelUnshuffle: LayerOperation {
  private let factor: Int

  static var kind: LayerKind {
    LayerKind(activations: .none) { reader, layer throws(ModelError) in
      let input = layer.input
      let factor = try reader.u8("factor", PixelShuffle.factors)
      try PixelShuffle.checkShuffle(reader, layer)
      let channels = input.channels * factor * factor
      guard channels <= 4096 else {
        throw .value(reader.place, field: "channels", value: channels, valid: 1...4096)
      }
      return (
        PixelUnshuffle(factor),
        TensorInfo(
          channels: channels, widthClass: nil, bits: layer.bits, q: layer.q,
          divisor: try reader.coarser(input, by: factor))
      )
    }
  }

  init(_ factor: Int) { self.factor = factor }

  var name: StaticString { "pixel unshuffle" }

  func multiplications(inputs: Int, outputs: Int) -> Double { 0 }

  func vectorProducts(inputs: Int, outputs: Int) -> VectorProducts {
    VectorProducts(position: 96 * Double(outputs))
  }

  func program(_ layer: LayerContext, _ memory: ProgramMemory) -> any LayerProgram {
    Program(factor, input: layer.inputs[0], output: layer.output)
  }

  func derivative(_ layer: LayerContext) -> any LayerDerivative { Derivative(factor) }

  private final class Program: LayerProgram {
    let factor: Int
    let input: Int
    let output: Int

    init(_ factor: Int, input: Int, output: Int) {
      self.factor = factor
      self.input = input
      self.output = output
    }

    var margins: Margins { Margins() }

    func inputRows(_ y: Int) -> ClosedRange<Int> { (factor * y)...(factor * y + factor - 1) }

    func run(_ y: Int, _ rows: RowStore) {
      let from = rows.rings[input]
      let to = rows.rings[output]
      for i in 0..<factor {
        sc_pixel_unshuffle(
          from.row(factor * y + i), to.row(y), Int32(from.channels), Int32(factor), Int32(i), to.width)
      }
    }
  }

  private final class Derivative: LayerDerivative {
    let factor: Int

    init(_ factor: Int) { self.factor = factor }

    func addPower(_ slot: Int, of output: [Double], to input: inout [Double]) {
      let square = factor * factor
      for x in input.indices { for k in 0..<square { input[x] += output[x * square + k] / Double(square) } }
    }

    func adjoint(
      _ slot: Int, inputScales: [Double], outputScales: [Double], _ memory: ProgramMemory
    ) -> any AdjointStep {
      // Those of one place, [input channels], lie together.
      let square = factor * factor
      var ratios: [Double] = []
      for place in 0..<square {
        for c in inputScales.indices { ratios.append(inputScales[c] / outputScales[c * square + place]) }
      }
      return Step(factor, gradientFactors(ratios, memory))
    }
  }

  private final class Step: AdjointStep {
    let factor: Int
    /// [places][input channels]
    let factors: UnsafePointer<Int32>

    init(_ factor: Int, _ factors: UnsafePointer<Int32>) {
      self.factor = factor
      self.factors = factors
    }

    func outputRows(_ y: Int, height: Int) -> ClosedRange<Int> { (y / factor)...(y / factor) }

    func accumulate(
      _ y: Int, height: Int, from: GradientPlane, to: GradientPlane, values: UnsafePointer<Int16>?, overwrites: Bool,
      _ scratch: AdjointScratch
    ) {
      for j in 0..<factor {
        let place = y % factor * factor + j
        sc_gradient_accumulate(
          from.row(y / factor) + place, from.channels, factor * factor, to.row(y) + j * to.channels,
          factor * to.channels, 1, Int32(to.channels), factors + place * to.channels, from.width)
      }
    }
  }
}
