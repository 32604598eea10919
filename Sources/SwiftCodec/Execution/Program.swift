// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// A graph at one rate position, with its weights narrowed, cut into phases and packed for one variant of the kernels.
///
/// Immutable after `init`; shared by the runners of all threads.
package final class NetworkProgram {
  /// One dense product: a convolution, or one of the four phases of a transposed one.
  struct Phase {
    var conv: sc_conv
    /// Input row and column of the first tap, relative to the output position (in strides, or halved for a phase).
    let firstRow: Int
    let firstColumn: Int
    let columns: Int
    var rows: Int { Int(conv.rows) }
  }

  enum Step {
    case convolution(Phase, stride: Int, border: Border)
    /// Phase 2a + b makes output rows of parity a and columns of parity b.
    case transposed([Phase], border: Border)
    case depthwise(sc_depthwise, padTop: Int, padLeft: Int, stride: Int, border: Border)
    case gain(sc_gain)
    case add(shiftA: Int32, shiftB: Int32)
    case concatenation(shifts: [Int32])
    case pixelShuffle(Int)
    case pixelUnshuffle(Int)
  }

  /// A tensor as this position uses it.
  struct Tensor {
    let channels: Int
    let level: Int
    let q: Int
    let lo: Int32
    let hi: Int32
    /// Columns beside the rows that consumers read.
    var left = 0
    var right = 0
    var readsZeros = false
    var readsReplicated = false
  }

  struct LayerProgram {
    let step: Step
    let inputs: [Int]
    let output: Int
  }

  let inputCount: Int
  let output: Int
  let kernels: UnsafePointer<sc_kernels>
  private(set) var tensors: [Tensor] = []
  private(set) var layers: [LayerProgram] = []
  // Owners of what the C structs point at.
  private var shorts: [AlignedBuffer<Int16>] = []
  private var words: [AlignedBuffer<Int32>] = []

  convenience init(_ graph: Graph, of model: Model, ratePoint: Int, cpu: CPU) {
    self.init(graph, of: model, at: RatePosition(ratePoint: ratePoint), cpu: cpu)
  }

  init(_ graph: Graph, of model: Model, at position: RatePosition, cpu: CPU) {
    inputCount = graph.inputCount
    output = graph.output
    kernels = cpu.kernels
    for (i, info) in graph.tensors.enumerated() {
      let relu = i >= inputCount && graph.layers[i - inputCount].activation == .relu
      tensors.append(
        Tensor(
          channels: model.width(info, model.widthPoint(position)), level: info.level, q: info.q,
          lo: relu ? 0 : -(1 << Int32(info.bits)), hi: (1 << Int32(info.bits)) - 1))
    }
    for (i, layer) in graph.layers.enumerated() {
      let step = self.step(layer, graph, inputCount + i, model, position)
      layers.append(LayerProgram(step: step, inputs: layer.inputs, output: inputCount + i))
      addMargins(step, input: layer.inputs[0])
    }
  }

  private func addMargins(_ step: Step, input: Int) {
    func need(_ left: Int, _ right: Int, _ border: Border) {
      tensors[input].left = max(tensors[input].left, left)
      tensors[input].right = max(tensors[input].right, right)
      if left > 0 || right > 0 {
        if border == .zero { tensors[input].readsZeros = true } else { tensors[input].readsReplicated = true }
      }
    }
    switch step {
    case .convolution(let phase, let stride, let border):
      need(-phase.firstColumn, phase.columns + phase.firstColumn - stride, border)
    case .transposed(let phases, let border):
      for phase in phases { need(-phase.firstColumn, phase.firstColumn + phase.columns - 1, border) }
    case .depthwise(let conv, _, let padLeft, let stride, let border):
      need(padLeft, Int(conv.kw) - padLeft - stride, border)
    case .gain, .add, .concatenation, .pixelShuffle, .pixelUnshuffle: break
    }
  }

  private func keep(_ count: Int) -> UnsafeMutablePointer<Int16> {
    shorts.append(AlignedBuffer(count: count, zero: 0))
    return shorts[shorts.count - 1].base
  }

  private func keepPadded(_ values: [Int32], padding: Int32) -> UnsafePointer<Int32> {
    let lanes = Int(SC_LANES)
    let buffer = AlignedBuffer<Int32>(count: (values.count + lanes - 1) / lanes * lanes, zero: padding)
    for (i, value) in values.enumerated() { buffer.base[i] = value }
    words.append(buffer)
    return UnsafePointer(buffer.base)
  }

  private func requant(bias: [Int32], shift: [Int32], output: Int, _ activation: Activation) -> sc_requant {
    sc_requant(
      bias: keepPadded(bias, padding: 0), shift: keepPadded(shift, padding: 1), lo: tensors[output].lo,
      hi: tensors[output].hi, leaky: Int32(activation.leakyShift))
  }

  private func step(
    _ layer: Layer, _ graph: Graph, _ output: Int, _ model: Model, _ position: RatePosition
  ) -> Step {
    let input = tensors[layer.inputs[0]]
    let channels = tensors[output].channels
    func align(_ i: Int) -> Int32 { Int32(tensors[layer.inputs[i]].q - tensors[output].q) }
    switch layer.operation {
    case .convolution(let c):
      guard case .i16(var weights) = model.arrays[c.weights].elements else {
        preconditionFailure("validated by the parser")
      }
      let full = graph.tensors[output].channels
      let (modulation, shifts, biases) = model.parameters(c, channels: full, at: position)
      if let modulation {
        let taps = weights.count / full
        weights.withUnsafeMutableBufferPointer { weights in
          for i in weights.indices { weights[i] = Convolution.modulated(weights[i], by: modulation[i / taps]) }
        }
      }
      let requant = self.requant(
        bias: Array(biases[..<channels]), shift: shifts[..<channels].map { Int32($0) }, output: output,
        layer.activation)
      let fullInputs = graph.tensors[layer.inputs[0]].channels
      switch c.kind {
      case .depthwise:
        let lanes = Int(SC_LANES)
        let padded = (channels + lanes - 1) / lanes * lanes
        let taps = c.kh * c.kw
        let packed = keep(taps * padded)
        for o in 0..<channels { for t in 0..<taps { packed[t * padded + o] = weights[o * taps + t] } }
        let conv = sc_depthwise(
          weights: packed, kh: Int32(c.kh), kw: Int32(c.kw), channels: Int32(channels), requant: requant)
        return .depthwise(conv, padTop: c.padTop, padLeft: c.padLeft, stride: c.stride, border: c.border)
      case .convolution:
        let rows = Array(0..<c.kh)
        let columns = Array(0..<c.kw)
        return .convolution(
          phase(
            weights, c, rows, columns, inputs: input.channels, fullInputs: fullInputs, outputs: channels,
            firstRow: -c.padTop, firstColumn: -c.padLeft, requant), stride: c.stride, border: c.border)
      case .transposed:
        // Output 2x + b gathers input x + (b + pad − j)/2 through tap j, for every j of the parity of b + pad; the
        // input column grows as j falls.
        func taps(_ parity: Int, _ pad: Int, _ size: Int) -> (taps: [Int], first: Int) {
          let all = stride(from: (parity + pad) & 1, to: size, by: 2).reversed()
          guard let top = all.first else { return ([-1], 0) }
          return (Array(all), (parity + pad - top) >> 1)
        }
        var phases: [Phase] = []
        for a in 0..<2 {
          for b in 0..<2 {
            let rows = taps(a, c.padTop, c.kh)
            let columns = taps(b, c.padLeft, c.kw)
            phases.append(
              phase(
                weights, c, rows.taps, columns.taps, inputs: input.channels, fullInputs: fullInputs,
                outputs: channels, firstRow: rows.first, firstColumn: columns.first, requant))
          }
        }
        return .transposed(phases, border: c.border)
      }
    case .gain(let gain, let shift):
      let (gains, shifts) = model.gains(gain, shift, channels: graph.tensors[output].channels, at: position)
      let packed = keep((channels + Int(SC_LANES) - 1) / Int(SC_LANES) * Int(SC_LANES))
      for c in 0..<channels { packed[c] = gains[c] }
      return .gain(
        sc_gain(
          gain: packed, channels: Int32(channels),
          requant: requant(
            bias: [Int32](repeating: 0, count: channels),
            shift: shifts[..<channels].map { Int32($0) }, output: output, layer.activation)))
    case .add: return .add(shiftA: align(0), shiftB: align(1))
    case .concatenation: return .concatenation(shifts: layer.inputs.indices.map { align($0) })
    case .pixelShuffle(let factor): return .pixelShuffle(factor)
    case .pixelUnshuffle(let factor): return .pixelUnshuffle(factor)
    }
  }

  /// Gathers and packs the weights of some taps; tap −1 is a zero, for phases without any.
  private func phase(
    _ weights: [Int16], _ c: Convolution, _ rows: [Int], _ columns: [Int], inputs: Int, fullInputs: Int, outputs: Int,
    firstRow: Int, firstColumn: Int, _ requant: sc_requant
  ) -> Phase {
    let run = columns.count * inputs
    let flat = AlignedBuffer<Int16>(count: outputs * rows.count * run, zero: 0)
    weights.withUnsafeBufferPointer { weights in
      var to = flat.base
      for o in 0..<outputs {
        for i in rows {
          for j in columns {
            if i >= 0, j >= 0 {
              let from = weights.baseAddress! + ((o * c.kh + i) * c.kw + j) * fullInputs
              to.update(from: from, count: inputs)
            }
            to += inputs
          }
        }
      }
    }
    let size = kernels.pointee.conv_packed_size(Int32(rows.count), Int32(run), Int32(outputs))
    let packed = keep(size / 2)
    kernels.pointee.conv_pack(packed, flat.base, Int32(rows.count), Int32(run), Int32(outputs))
    let conv = sc_conv(
      weights: packed, rows: Int32(rows.count), run: Int32(run), out_channels: Int32(outputs), requant: requant)
    return Phase(conv: conv, firstRow: firstRow, firstColumn: firstColumn, columns: columns.count)
  }
}

extension NetworkProgram.LayerProgram {
  /// The input rows, not clamped to the picture, that an output row is made of.
  func inputRows(_ y: Int) -> ClosedRange<Int> {
    switch step {
    case .convolution(let phase, let stride, _):
      let first = stride * y + phase.firstRow
      return first...(first + phase.rows - 1)
    case .transposed(let phases, _):
      let phase = phases[2 * (y & 1)]
      let first = (y >> 1) + phase.firstRow
      return first...(first + phase.rows - 1)
    case .depthwise(let conv, let padTop, _, let stride, _):
      let first = stride * y - padTop
      return first...(first + Int(conv.kh) - 1)
    case .gain, .add, .concatenation: return y...y
    case .pixelShuffle(let factor): return (y / factor)...(y / factor)
    case .pixelUnshuffle(let factor): return (factor * y)...(factor * y + factor - 1)
    }
  }
}
