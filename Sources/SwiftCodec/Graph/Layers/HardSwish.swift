// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// v · clamp(v + 3, 0, 6) / 6 of values v (Howard et al., MobileNetV3, ICCV 2019), in integers: with q of the input and
/// s = 16 + 2·q − q(output),
///
///     t = clamp(x + 3·2^q, 0, 6·2^q);  out = clamp((x · t · 10923 + 2^(s−1)) >> s);  10923 = round(2^16 / 6)
///
/// For 0 ≤ q ≤ 12, |x · t · 10923| < 2^15 · 2^15 · 2^14: with 1 ≤ s ≤ 44 no sum leaves 64 bits.
final class HardSwish: LayerOperation {
  private let inputQ: Int
  private let shift: Int

  static var kind: LayerKind {
    LayerKind(activations: .none) { reader, layer throws(ModelError) in
      let q = layer.input.q
      guard 0...12 ~= q else { throw .value(reader.place, field: "q of an input", value: q, valid: 0...12) }
      let shift = 16 + 2 * q - layer.q
      guard 1...44 ~= shift else { throw .value(reader.place, field: "shift", value: shift, valid: 1...44) }
      return (HardSwish(inputQ: q, shift: shift), layer.sameShape)
    }
  }

  init(inputQ: Int, shift: Int) {
    self.inputQ = inputQ
    self.shift = shift
  }

  var name: StaticString { "hard swish" }

  func multiplications(inputs: Int, outputs: Int) -> Double { 2 * Double(outputs) }

  func vectorProducts(inputs: Int, outputs: Int) -> VectorProducts {
    VectorProducts(position: 352 * Double(outputs))
  }

  func program(_ layer: LayerContext, _ memory: ProgramMemory) -> any LayerProgram { Program(self, layer) }

  func derivative(_ layer: LayerContext) -> any LayerDerivative {
    // Of integers by integers where the slope is 1.
    let exponent = layer.outputTensor.q - layer.inputTensors[0].q
    return Derivative(inputQ: inputQ, unit: Double(sign: .plus, exponent: exponent, significand: 1))
  }

  private final class Program: LayerProgram {
    let input: Int
    let output: Int
    let q: Int32
    let shift: Int32
    let bounds: (lo: Int32, hi: Int32)

    init(_ operation: HardSwish, _ layer: LayerContext) {
      input = layer.inputs[0]
      output = layer.output
      q = Int32(operation.inputQ)
      shift = Int32(operation.shift)
      bounds = (layer.outputTensor.lo, layer.outputTensor.hi)
    }

    var margins: Margins { Margins() }

    func inputRows(_ y: Int) -> ClosedRange<Int> { y...y }

    func run(_ y: Int, _ rows: RowStore) {
      let to = rows.rings[output]
      sc_hard_swish(
        rows.rings[input].row(y), to.row(y), to.width * to.channels, q, shift, bounds.lo, bounds.hi)
    }
  }

  private final class Derivative: LayerDerivative {
    let inputQ: Int
    let unit: Double

    init(inputQ: Int, unit: Double) {
      self.inputQ = inputQ
      self.unit = unit
    }

    /// Half of the values are taken to lie where the slope is 0.
    func addPower(_ slot: Int, of output: [Double], to input: inout [Double]) {
      for c in input.indices { input[c] += unit * unit * output[c] / 2 }
    }

    func adjoint(
      _ slot: Int, inputScales: [Double], outputScales: [Double], _ memory: ProgramMemory
    ) -> any AdjointStep {
      let ratios = inputScales.indices.map { unit * inputScales[$0] / outputScales[$0] }
      return Step(inputQ: Int32(inputQ), gradientFactors(ratios, memory))
    }
  }

  private final class Step: AdjointStep {
    let inputQ: Int32
    let factors: UnsafePointer<Int32>

    init(inputQ: Int32, _ factors: UnsafePointer<Int32>) {
      self.inputQ = inputQ
      self.factors = factors
    }

    var needsValues: Bool { true }

    func outputRows(_ y: Int, height: Int) -> ClosedRange<Int> { y...y }

    func accumulate(
      _ y: Int, height: Int, from: GradientPlane, to: GradientPlane, values: UnsafePointer<Int16>?, overwrites: Bool,
      _ scratch: AdjointScratch
    ) {
      sc_hard_swish_gradient(values, from.row(y), to.row(y), Int32(to.channels), inputQ, factors, to.width)
    }
  }
}
