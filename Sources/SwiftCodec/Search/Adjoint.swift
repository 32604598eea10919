// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// A synthesis network's adjoint at one rate point: takes derivatives with respect to the output back to the latent,
/// through the same integer kernels as the network itself.
///
/// The gradient of tensor t is kept as integers, gradient[c] · scales[t][c], in ±SC_GRADIENT_LIMIT. The scales are such
/// that every tensor's gradient has about the spread of the output's, as far as errors are not correlated: rare ones
/// saturate. It is an estimate that chooses candidates, and no result depends on its precision.
final class AdjointProgram {
  enum Product {
    case dense(sc_conv)
    case depthwise(sc_depthwise)
  }

  /// Makes the gradient of every `up`-th row and column of a layer's input.
  struct Phase {
    var product: Product
    let rows: Int
    let columns: Int
    let firstRow: Int
    let firstColumn: Int
  }

  struct Convolution {
    let up: Int
    let down: Int
    /// up · up, row parity first.
    let phases: [Phase]
    /// Rows and columns outside of the input that the layer reads as the nearest one inside; multiples of `up`.
    let top: Int
    let bottom: Int
    let left: Int
    let right: Int

    /// The row of a phase, and the phases' parity, of an input row.
    func split(_ y: Int) -> (row: Int, parity: Int) { up == 1 ? (y, 0) : (y >> 1, y & 1) }

    func outputRows(_ y: Int) -> ClosedRange<Int> {
      let (row, parity) = split(y)
      let phase = phases[parity * up]
      let first = down * row + phase.firstRow
      return first...(first + phase.rows - 1)
    }
  }

  enum Step {
    case convolution(Convolution)
    /// Channels first ..< first + count of the output, times factor / 2^16.
    case copy(factors: UnsafePointer<Int32>, first: Int)
    case shuffle(Int, factors: UnsafePointer<Int32>)
    case unshuffle(Int, factors: UnsafePointer<Int32>)
  }

  /// What one layer contributes to the gradient of one of its inputs.
  struct Contribution {
    let step: Step
    let output: Int
  }

  enum Mask {
    case none
    case relu
    case leaky(Int)
  }

  let forward: NetworkProgram
  /// Of each tensor.
  private(set) var contributions: [[Contribution]]
  private(set) var masks: [Mask]
  private(set) var scales: [[Double]]
  /// Columns of zeros beside the rows of each tensor's gradient.
  private(set) var left: [Int]
  private(set) var right: [Int]
  private var shorts: [AlignedBuffer<Int16>] = []
  private var words: [AlignedBuffer<Int32>] = []
  private let noBias: AlignedBuffer<Int32>
  let ones: UnsafePointer<Int32>

  init(_ graph: Graph, _ forward: NetworkProgram, of model: Model, at position: RatePosition) {
    self.forward = forward
    let count = forward.tensors.count
    contributions = [[Contribution]](repeating: [], count: count)
    masks = [Mask](repeating: .none, count: count)
    scales = [[Double]](repeating: [], count: count)
    left = [Int](repeating: 0, count: count)
    right = [Int](repeating: 0, count: count)
    let widest = forward.tensors.reduce(0) { max($0, $1.channels) } + Int(SC_LANES)
    noBias = AlignedBuffer(count: widest, zero: 0)
    let one = AlignedBuffer<Int32>(count: widest, zero: 65536)
    words.append(one)
    ones = UnsafePointer(one.base)
    for (i, layer) in graph.layers.enumerated() {
      switch layer.activation {
      case .none: break
      case .relu: masks[graph.inputCount + i] = .relu
      case .leakyReLU(let shift): masks[graph.inputCount + i] = .leaky(shift)
      }
    }
    let local = graph.layers.indices.map { LocalDerivative(graph, $0, forward, model, position) }
    chooseScales(graph, local)
    for (i, layer) in graph.layers.enumerated() {
      for slot in layer.inputs.indices { add(local[i], graph, i, slot) }
    }
  }

  /// Power of a random unit gradient of the output in every channel of every tensor.
  private func chooseScales(_ graph: Graph, _ local: [LocalDerivative]) {
    var power = forward.tensors.map { [Double](repeating: 0, count: $0.channels) }
    let output = forward.output
    power[output] = power[output].map { _ in 1 }
    for i in graph.layers.indices.reversed() {
      let to = graph.inputCount + i
      let passed: Double
      switch masks[to] {
      case .none: passed = 1
      case .relu, .leaky: passed = 0.5
      }
      for (slot, input) in graph.layers[i].inputs.enumerated() {
        local[i].addPower(slot: slot, of: power[to].map { $0 * passed }, to: &power[input])
      }
    }
    let exponent = Double(1 << forward.tensors[output].q)
    for t in scales.indices {
      scales[t] = power[t].map { $0 > 0 ? 1 / $0.squareRoot() : 1 }
      if t == output {
        scales[t] = scales[t].map { _ in exponent }
      } else {
        scales[t] = scales[t].map { $0 * exponent }
      }
    }
  }

  private func factors(_ values: [Double]) -> UnsafePointer<Int32> {
    let buffer = AlignedBuffer<Int32>(count: values.count, zero: 0)
    for (i, v) in values.enumerated() {
      buffer.base[i] = Int32(min(max((v * 65536).rounded(), -2147483647), 2147483647))
    }
    words.append(buffer)
    return UnsafePointer(buffer.base)
  }

  private func add(_ local: LocalDerivative, _ graph: Graph, _ index: Int, _ slot: Int) {
    let layer = graph.layers[index]
    let input = layer.inputs[slot]
    let output = graph.inputCount + index
    let step: Step
    switch local.kind {
    case .convolution(let c, let weight):
      let adjoint = convolution(c, weight, input, output)
      for phase in adjoint.phases {
        left[output] = max(left[output], adjoint.down * (adjoint.left / adjoint.up) - phase.firstColumn)
        right[output] = max(
          right[output],
          adjoint.down * (adjoint.right / adjoint.up) + phase.firstColumn + phase.columns - adjoint.down)
      }
      step = .convolution(adjoint)
    case .scaled(let first, let gains):
      let ratio = gains[slot].indices.map { c in
        gains[slot][c] * scales[input][c] / scales[output][first[slot] + c]
      }
      step = .copy(factors: factors(ratio), first: first[slot])
    case .shuffle(let f):
      step = .shuffle(
        f, factors: factors(scales[input].indices.map { scales[input][$0] / scales[output][$0 / (f * f)] }))
    case .unshuffle(let f):
      step = .unshuffle(
        f, factors: factors(scales[output].indices.map { scales[input][$0 / (f * f)] / scales[output][$0] }))
    }
    contributions[input].append(Contribution(step: step, output: output))
  }

  private func convolution(
    _ c: SwiftCodec.Convolution, _ weight: (Int, Int, Int, Int) -> Double, _ input: Int, _ output: Int
  ) -> Convolution {
    // Taps of an input row of a parity, in the order of growing output rows; the first output row.
    struct Taps {
      var taps: [Int]
      var first: Int
    }
    let up = c.kind == .transposed ? 1 : c.stride
    let down = c.kind == .transposed ? 2 : 1
    func taps(_ parity: Int, _ pad: Int, _ size: Int) -> Taps {
      if c.kind == .transposed { return Taps(taps: Array(0..<size), first: -pad) }
      let all = Array(stride(from: (parity + pad) % up, to: size, by: up).reversed())
      guard let top = all.first else { return Taps(taps: [-1], first: 0) }
      return Taps(taps: all, first: (parity + pad - top) / up)
    }
    let inputs = forward.tensors[input].channels
    let outputs = forward.tensors[output].channels
    var phases: [Phase] = []
    for a in 0..<up {
      for b in 0..<up {
        let rows = taps(a, c.padTop, c.kh)
        let columns = taps(b, c.padLeft, c.kw)
        phases.append(
          Phase(
            product: c.kind == .depthwise
              ? depthwise(weight, rows.taps, columns.taps, input, output)
              : dense(weight, rows.taps, columns.taps, inputs, outputs, input, output),
            rows: rows.taps.count, columns: columns.taps.count, firstRow: rows.first, firstColumn: columns.first))
      }
    }
    guard c.border == .replicate else {
      return Convolution(up: up, down: down, phases: phases, top: 0, bottom: 0, left: 0, right: 0)
    }
    // A transposed layer reads half as far.
    let reach = c.kind == .transposed ? 2 : 1
    func beyond(_ n: Int) -> Int { (max(0, n) + reach * up - 1) / (reach * up) * up }
    return Convolution(
      up: up, down: down, phases: phases, top: beyond(c.padTop), bottom: beyond(c.kh - 1 - c.padTop),
      left: beyond(c.padLeft), right: beyond(c.kw - 1 - c.padLeft))
  }

  /// Integer weights, and the shift, that a channel's products are requantised with: no sum can overflow.
  private func quantise(_ values: [Double]) -> (weights: [Int16], shift: Int32) {
    var sum = 0.0
    var peak = 0.0
    for v in values {
      sum += v.magnitude
      peak = max(peak, v.magnitude)
    }
    var shift: Int32 = 1
    func fits(_ s: Int32) -> Bool {
      let factor = Double(1 << s)
      return peak * factor < 32000 && (sum * factor + Double(values.count)) < 250_000 && s <= 29
    }
    while fits(shift + 1) { shift += 1 }
    let factor = Double(1 << shift)
    return (values.map { Int16(min(max(($0 * factor).rounded(), -32000), 32000)) }, shift)
  }

  private func requant(_ shifts: [Int32]) -> sc_requant {
    let lanes = Int(SC_LANES)
    let buffer = AlignedBuffer<Int32>(count: (shifts.count + lanes - 1) / lanes * lanes, zero: 1)
    for (i, s) in shifts.enumerated() { buffer.base[i] = s }
    words.append(buffer)
    return sc_requant(
      bias: UnsafePointer(noBias.base), shift: UnsafePointer(buffer.base), lo: -Int32(SC_GRADIENT_LIMIT),
      hi: Int32(SC_GRADIENT_LIMIT), leaky: 0)
  }

  private func dense(
    _ weight: (Int, Int, Int, Int) -> Double, _ rows: [Int], _ columns: [Int], _ inputs: Int, _ outputs: Int,
    _ input: Int, _ output: Int
  ) -> Product {
    let run = columns.count * outputs
    let flat = AlignedBuffer<Int16>(count: inputs * rows.count * run, zero: 0)
    var shifts: [Int32] = []
    var values = [Double](repeating: 0, count: rows.count * run)
    for c in 0..<inputs {
      var at = 0
      for i in rows {
        for j in columns {
          for o in 0..<outputs {
            values[at] = i < 0 || j < 0 ? 0 : weight(o, i, j, c) * scales[input][c] / scales[output][o]
            at += 1
          }
        }
      }
      let (integers, shift) = quantise(values)
      shifts.append(shift)
      for (k, w) in integers.enumerated() { flat.base[c * values.count + k] = w }
    }
    let kernels = forward.kernels.pointee
    let size = kernels.conv_packed_size(Int32(rows.count), Int32(run), Int32(inputs))
    let packed = AlignedBuffer<Int16>(count: size / 2, zero: 0)
    shorts.append(packed)
    kernels.conv_pack(packed.base, flat.base, Int32(rows.count), Int32(run), Int32(inputs))
    return .dense(
      sc_conv(
        weights: packed.base, rows: Int32(rows.count), run: Int32(run), out_channels: Int32(inputs),
        requant: requant(shifts)))
  }

  private func depthwise(
    _ weight: (Int, Int, Int, Int) -> Double, _ rows: [Int], _ columns: [Int], _ input: Int, _ output: Int
  ) -> Product {
    let channels = forward.tensors[input].channels
    let lanes = Int(SC_LANES)
    let padded = (channels + lanes - 1) / lanes * lanes
    let packed = AlignedBuffer<Int16>(count: rows.count * columns.count * padded, zero: 0)
    shorts.append(packed)
    var shifts: [Int32] = []
    for c in 0..<channels {
      var values: [Double] = []
      for i in rows {
        for j in columns {
          values.append(i < 0 || j < 0 ? 0 : weight(c, i, j, c) * scales[input][c] / scales[output][c])
        }
      }
      let (integers, shift) = quantise(values)
      shifts.append(shift)
      for (t, w) in integers.enumerated() { packed.base[t * padded + c] = w }
    }
    return .depthwise(
      sc_depthwise(
        weights: packed.base, kh: Int32(rows.count), kw: Int32(columns.count), channels: Int32(channels),
        requant: requant(shifts)))
  }
}

/// Derivatives of a layer's output integers with respect to its input integers.
struct LocalDerivative {
  enum Kind {
    /// weight(output channel, row, column, input channel)
    case convolution(SwiftCodec.Convolution, (Int, Int, Int, Int) -> Double)
    /// Of each input: the output channel of its first one, and the gain of each channel.
    case scaled(first: [Int], gains: [[Double]])
    case shuffle(Int)
    case unshuffle(Int)
  }
  let kind: Kind
  let inputs: Int

  init(_ graph: Graph, _ index: Int, _ forward: NetworkProgram, _ model: Model, _ position: RatePosition) {
    let layer = graph.layers[index]
    let output = graph.inputCount + index
    inputs = forward.tensors[layer.inputs[0]].channels
    let inputs = self.inputs
    func power(_ shift: Int) -> Double { 1 / Double(1 << shift) }
    switch layer.operation {
    case .convolution(let c):
      guard case .i16(let weights) = model.arrays[c.weights].elements else {
        preconditionFailure("validated by the parser")
      }
      let fullInputs = graph.tensors[layer.inputs[0]].channels
      let (modulation, shifts, _) = model.parameters(c, channels: graph.tensors[output].channels, at: position)
      var units = shifts[..<forward.tensors[output].channels].map { power(Int($0)) }
      if let modulation { for o in units.indices { units[o] *= Double(modulation[o]) / 16384 } }
      kind = .convolution(
        c,
        c.kind == .depthwise
          ? { o, i, j, _ in Double(weights[(o * c.kh + i) * c.kw + j]) * units[o] }
          : { o, i, j, x in Double(weights[((o * c.kh + i) * c.kw + j) * fullInputs + x]) * units[o] })
    case .gain(let gain, let shift):
      let (gains, shifts) = model.gains(gain, shift, channels: graph.tensors[output].channels, at: position)
      kind = .scaled(
        first: [0],
        gains: [(0..<inputs).map { Double(gains[$0]) * power(Int(shifts[$0])) }])
    case .add, .concatenation:
      var first: [Int] = []
      var gains: [[Double]] = []
      var at = 0
      for input in layer.inputs {
        let tensor = forward.tensors[input]
        first.append(at)
        gains.append([Double](repeating: power(tensor.q - forward.tensors[output].q), count: tensor.channels))
        if case .concatenation = layer.operation { at += tensor.channels }
      }
      kind = .scaled(first: first, gains: gains)
    case .pixelShuffle(let f): kind = .shuffle(f)
    case .pixelUnshuffle(let f): kind = .unshuffle(f)
    }
  }

  /// Adds the power of the gradient of an input, given that of the output, if all of it is random.
  func addPower(slot: Int, of output: [Double], to input: inout [Double]) {
    switch kind {
    case .convolution(let c, let weight):
      // Stride: an input meets each tap in one of stride² positions.
      let density = c.kind == .transposed ? 1 : 1 / Double(c.stride * c.stride)
      for x in input.indices {
        var sum = 0.0
        for o in c.kind == .depthwise ? x..<(x + 1) : 0..<output.count {
          var square = 0.0
          for i in 0..<c.kh {
            for j in 0..<c.kw {
              let w = weight(o, i, j, x)
              square += w * w
            }
          }
          sum += square * output[o]
        }
        input[x] += sum * density
      }
    case .scaled(let first, let gains):
      for x in input.indices { input[x] += gains[slot][x] * gains[slot][x] * output[first[slot] + x] }
    case .shuffle(let f):
      for x in input.indices { input[x] += output[x / (f * f)] }
    case .unshuffle(let f):
      for x in input.indices {
        for k in 0..<(f * f) { input[x] += output[x * f * f + k] / Double(f * f) }
      }
    }
  }
}
