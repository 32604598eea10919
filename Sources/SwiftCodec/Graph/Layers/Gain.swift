// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// out = clamp((gain · in + 2^(s−1)) >> s), with a gain and an s for every channel at every rate point.
final class Gain: LayerOperation {
  /// Indices of the arrays gain: Int16 [rate points][channels], shift: UInt8 [rate points][channels].
  private let gain: Int
  private let shift: Int

  static var kind: LayerKind {
    LayerKind(activations: .all) { reader, layer throws(ModelError) in
      let shape = [reader.weights.ratePoints.count, layer.input.channels]
      let gain = try reader.array("gain", shape)
      let shift = try reader.array("shift", shape)
      _ = try reader.int16("gain", gain)
      let shifts = try reader.uint8("shift", shift)
      // |gain|·2^15 + 2^(s+k−1) ≤ 2^30 + 2^30 − 1 < 2^31 by these ranges, between rate points, too.
      let valid = 1...(30 - layer.activation.leakyShift)
      try reader.proofs.charge(Int64(shifts.count), reader.place)
      for s in shifts where !(valid ~= Int(s)) {
        throw .value(reader.place, field: "shift", value: Int(s), valid: valid)
      }
      return (Gain(gain: gain, shift: shift), layer.sameShape)
    }
  }

  init(gain: Int, shift: Int) {
    self.gain = gain
    self.shift = shift
  }

  var name: StaticString { "gain" }

  func multiplications(inputs: Int, outputs: Int) -> Double { Double(outputs) }

  /// A position is a call of its own.
  func vectorProducts(inputs: Int, outputs: Int) -> VectorProducts { VectorProducts(position: 1100) }

  /// Gains and shifts of all channels at a position.
  private func values(_ layer: LayerContext) -> (gains: [Int16], shifts: [UInt8]) {
    let gains = layer.weights.int16(gain)
    let shifts = layer.weights.uint8(shift)
    let channels = layer.outputInfo.channels
    let first = layer.position.ratePoint * channels
    if layer.position.fraction == 0 {
      return (Array(gains[first..<(first + channels)]), Array(shifts[first..<(first + channels)]))
    }
    let s = (first..<(first + channels)).map { min(shifts[$0], shifts[$0 + channels]) }
    let between = s.indices.map { c in
      let a = Interpolation.aligned(gains[first + c], shifts[first + c], to: s[c])
      let b = Interpolation.aligned(gains[first + channels + c], shifts[first + channels + c], to: s[c])
      return Int16(Interpolation.rounded(scale: Interpolation.scale(a, b, layer.position.fraction)))
    }
    return (between, s)
  }

  func program(_ layer: LayerContext, _ memory: ProgramMemory) -> any LayerProgram {
    let (gains, shifts) = values(layer)
    let channels = layer.outputTensor.channels
    let packed = memory.keepShorts(ProgramMemory.padded(channels))
    for c in 0..<channels { packed[c] = gains[c] }
    let requant = memory.requant(
      bias: [Int32](repeating: 0, count: channels), shift: shifts[..<channels].map { Int32($0) },
      output: layer.outputTensor, layer.activation)
    return Program(
      sc_gain(gain: packed, channels: Int32(channels), requant: requant), input: layer.inputs[0],
      output: layer.output)
  }

  func derivative(_ layer: LayerContext) -> any LayerDerivative {
    let (gains, shifts) = values(layer)
    return ScaledDerivative(
      first: [0],
      gains: [(0..<layer.outputTensor.channels).map { Double(gains[$0]) / Double(1 << Int64(shifts[$0])) }])
  }

  private final class Program: LayerProgram {
    let gain: sc_gain
    let input: Int
    let output: Int

    init(_ gain: sc_gain, input: Int, output: Int) {
      self.gain = gain
      self.input = input
      self.output = output
    }

    var margins: Margins { Margins() }

    func inputRows(_ y: Int) -> ClosedRange<Int> { y...y }

    func run(_ y: Int, _ rows: RowStore) {
      let to = rows.rings[output]
      var gain = gain
      rows.kernels.pointee.gain(&gain, rows.rings[input].row(y), to.row(y), to.width)
    }
  }
}
