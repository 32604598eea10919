// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// out[f·y + i][f·x + j][c] = in[y][x][c·f² + i·f + j], factor f (Shi et al., CVPR 2016).
final class PixelShuffle: LayerOperation {
  private let factor: Int

  static let factors = 2...8

  static var kind: LayerKind {
    LayerKind(activations: .none) { reader, layer throws(ModelError) in
      let input = layer.input
      let factor = try reader.u8("factor", factors)
      try checkShuffle(reader, layer)
      guard input.channels % (factor * factor) == 0 else {
        throw .shape(reader.place, "pixel shuffle needs a multiple of factor² channels")
      }
      return (
        PixelShuffle(factor),
        TensorInfo(
          channels: input.channels / (factor * factor), widthClass: nil, bits: layer.bits, q: layer.q,
          divisor: try reader.finer(input, by: factor))
      )
    }
  }

  /// What both kinds of shuffle ask for.
  static func checkShuffle(_ reader: LayerReader, _ layer: LayerHeader) throws(ModelError) {
    guard layer.q == layer.input.q, layer.bits == layer.input.bits else {
      throw .shape(reader.place, "a shuffle keeps q and bits")
    }
    guard layer.input.widthClass == nil else {
      throw .shape(reader.place, "a shuffle of a tensor whose width depends on the rate point")
    }
  }

  init(_ factor: Int) { self.factor = factor }

  var name: StaticString { "pixel shuffle" }

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

    func inputRows(_ y: Int) -> ClosedRange<Int> { (y / factor)...(y / factor) }

    func run(_ y: Int, _ rows: RowStore) {
      let from = rows.rings[input]
      let to = rows.rings[output]
      sc_pixel_shuffle(
        from.row(y / factor), to.row(y), Int32(to.channels), Int32(factor), Int32(y % factor), from.width)
    }
  }

  private final class Derivative: LayerDerivative {
    let factor: Int

    init(_ factor: Int) { self.factor = factor }

    func addPower(_ slot: Int, of output: [Double], to input: inout [Double]) {
      for x in input.indices { input[x] += output[x / (factor * factor)] }
    }

    func adjoint(
      _ slot: Int, inputScales: [Double], outputScales: [Double], _ memory: ProgramMemory
    ) -> any AdjointStep {
      // Those of one place, [output channels], lie together.
      let square = factor * factor
      var ratios: [Double] = []
      for place in 0..<square {
        for c in outputScales.indices { ratios.append(inputScales[c * square + place] / outputScales[c]) }
      }
      return Step(factor, gradientFactors(ratios, memory))
    }
  }

  private final class Step: AdjointStep {
    let factor: Int
    /// [places][output channels]
    let factors: UnsafePointer<Int32>

    init(_ factor: Int, _ factors: UnsafePointer<Int32>) {
      self.factor = factor
      self.factors = factors
    }

    func outputRows(_ y: Int, height: Int) -> ClosedRange<Int> { (factor * y)...(factor * y + factor - 1) }

    func accumulate(
      _ y: Int, height: Int, from: GradientPlane, to: GradientPlane, values: UnsafePointer<Int16>?, overwrites: Bool,
      _ scratch: AdjointScratch
    ) {
      for place in 0..<(factor * factor) {
        sc_gradient_accumulate(
          from.row(factor * y + place / factor) + place % factor * from.channels, factor * from.channels, 1,
          to.row(y) + place, to.channels, factor * factor, Int32(from.channels), factors + place * from.channels,
          to.width)
      }
    }
  }
}
