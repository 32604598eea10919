// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// Derivatives of layers that scale channels and put them in places of the output: gain, addition, concatenation.
final class ScaledDerivative: LayerDerivative {
  /// Of each input: the output channel of its first one.
  private let first: [Int]
  /// [inputs][channels]
  private let gains: [[Double]]

  init(first: [Int], gains: [[Double]]) {
    self.first = first
    self.gains = gains
  }

  func addPower(_ slot: Int, of output: [Double], to input: inout [Double]) {
    for x in input.indices { input[x] += gains[slot][x] * gains[slot][x] * output[first[slot] + x] }
  }

  func adjoint(
    _ slot: Int, inputScales: [Double], outputScales: [Double], _ memory: ProgramMemory
  ) -> any AdjointStep {
    let ratio = gains[slot].indices.map { gains[slot][$0] * inputScales[$0] / outputScales[first[slot] + $0] }
    return Step(factors: gradientFactors(ratio, memory), first: first[slot])
  }

  /// Adds channels first ..< first + count of the output's gradient, times factor / 2^16.
  private final class Step: AdjointStep {
    let factors: UnsafePointer<Int32>
    let first: Int

    init(factors: UnsafePointer<Int32>, first: Int) {
      self.factors = factors
      self.first = first
    }

    func outputRows(_ y: Int, height: Int) -> ClosedRange<Int> { y...y }

    func accumulate(
      _ y: Int, height: Int, from: GradientPlane, to: GradientPlane, values: UnsafePointer<Int16>?, overwrites: Bool,
      _ scratch: AdjointScratch
    ) {
      sc_gradient_accumulate(
        from.row(y) + first, from.channels, 1, to.row(y), to.channels, 1, Int32(to.channels), factors, to.width)
    }
  }
}

/// Factors of sc_gradient_accumulate, in 1/2^16, saturated.
func gradientFactors(_ values: [Double], _ memory: ProgramMemory) -> UnsafePointer<Int32> {
  memory.keepWords(values.map { Int32(min(max(($0 * 65536).rounded(), -2_147_483_647), 2_147_483_647)) })
}
