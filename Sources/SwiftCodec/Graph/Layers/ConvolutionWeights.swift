// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// What the three kinds of convolution share: the kernel's shape, indices of weight arrays at full width, and the proof that
/// accumulators of its products do not overflow at any rate position.
struct ConvolutionWeights: Sendable {
  /// 1…15
  let kh: Int
  let kw: Int
  /// 1…4
  let stride: Int
  let border: Border
  /// Int16 [channels][kh][kw][input channels], depthwise [channels][kh][kw].
  let weights: Int
  /// Int16 [rate points][channels], in 1/2^14: scales the weights; nil if they are the same at every rate point.
  let modulation: Int?
  /// Int32 [channels], or [rate points][channels] with modulation, in the accumulator's scale.
  let bias: Int
  /// s of each output channel, q(input) + exponent − q(output), in the order of the biases.
  let shifts: [UInt8]
  /// s between each rate point and the next, [rate points − 1][channels]; empty without modulation.
  let shiftsBetween: [UInt8]

  /// Elements of the weight array.
  let weightCount: Int

  /// Rows and columns before the first tap.
  var padTop: Int { (kh - 1) / 2 }
  var padLeft: Int { (kw - 1) / 2 }

  /// The fields of one, and its output. `divisor` gives the output's for a stride.
  static func parse(
    _ reader: inout LayerReader, _ layer: LayerHeader, strides: ClosedRange<Int>, isDepthwise: Bool = false,
    divisor: (LayerReader, Int) throws(ModelError) -> Int
  ) throws(ModelError) -> (kernel: ConvolutionWeights, output: TensorInfo) {
    let input = layer.input
    let channels = try reader.u16("channels", 1...4096)
    let widthClass = try reader.widthClass(channels: channels)
    let kh = try reader.u8("kh", 1...15)
    let kw = try reader.u8("kw", 1...15)
    let stride = try reader.u8("stride", strides)
    let border = try reader.u8("border", 0...1) == 0 ? Border.zero : .replicate
    if isDepthwise, channels != input.channels || widthClass != input.widthClass {
      throw .shape(reader.place, "a depthwise convolution keeps channels and width class")
    }
    let output = TensorInfo(
      channels: channels, widthClass: widthClass, bits: layer.bits, q: layer.q, divisor: try divisor(reader, stride))
    let isModulated = layer.op > 8
    let rows = isModulated ? [reader.weights.ratePoints.count, channels] : [channels]
    let weights = try reader.array("weights", isDepthwise ? [channels, kh, kw] : [channels, kh, kw, input.channels])
    let exponents = try reader.array("exponents", rows)
    let bias = try reader.array("bias", rows)
    let modulation = isModulated ? try reader.array("modulation", rows) : nil
    let key = RangeProofs.Key(
      weights: weights, exponents: exponents, bias: bias, modulation: modulation,
      inputClass: isDepthwise ? nil : input.widthClass, inputBits: input.bits,
      leakyShift: layer.activation.leakyShift, qDifference: input.q - layer.q)
    let proof: RangeProofs.Proof
    if let known = try reader.proofs.find(key, reader.place) {
      proof = known
    } else {
      proof = try prove(key, channels: channels, inputs: isDepthwise ? 1 : input.channels, &reader)
      reader.proofs.keep(proof, key)
    }
    let kernel = ConvolutionWeights(
      kh: kh, kw: kw, stride: stride, border: border, weights: weights, modulation: modulation, bias: bias,
      shifts: proof.shifts, shiftsBetween: proof.shiftsBetween,
      weightCount: reader.weights.elementCount(weights))
    return (kernel, output)
  }

  /// |bias| + Σ|weights|·2^bits + 2^(s+k−1) < 2^31 for every output channel at every rate point, of the input channels in
  /// use there, and what is asked for between them.
  private static func prove(
    _ key: RangeProofs.Key, channels: Int, inputs: Int, _ reader: inout LayerReader
  ) throws(ModelError) -> RangeProofs.Proof {
    let w = try reader.int16("weights", key.weights)
    let e = try reader.int8("exponents", key.exponents)
    let b = Array(try reader.int32("bias", key.bias))
    // Weights are looked at where they lie, the little that belongs to a channel once for all rate points.
    let m = if let modulation = key.modulation { Array(try reader.int16("modulation", modulation)) } else { [Int16]() }
    let taps = w.count / channels
    // Up to three looks for every rate point, and the sums for every width.
    try reader.proofs.charge(
      (Int64(taps) * (m.isEmpty ? 1 : key.inputClass == nil ? 3 : 4) + 32) * Int64(b.count), reader.place)
    for value in m where !(-16384...16384 ~= value) {
      throw .value(reader.place, field: "modulation", value: Int(value), valid: -16384...16384)
    }
    let k = key.leakyShift
    // Input channels in use at each rate point; of what all rate points share, the most.
    let points = reader.weights.ratePoints
    var widths = points.map { point in key.inputClass.map { point.widths[$0] } ?? inputs }
    if m.isEmpty { widths = [widths.max() ?? inputs] }
    // Σ|weights| of each channel, for each width that there is.
    var sums: [(width: Int, ofChannels: [Int64])] = []
    for width in widths where !sums.contains(where: { $0.width == width }) {
      sums.append((width, (0..<channels).map { Row(w, $0 * taps, taps, inputs, width).magnitudes }))
    }
    func sum(_ o: Int, _ width: Int) -> Int64 { sums.first { $0.width == width }?.ofChannels[o] ?? 0 }
    var shifts: [UInt8] = []
    shifts.reserveCapacity(b.count)
    for row in b.indices {
      let (point, o) = (row / channels, row % channels)
      let width = widths[point]
      let s = key.qDifference + Int(e[row])
      guard 1...(30 - k) ~= s else {
        throw .value(reader.place, field: "shift of an output channel", value: s, valid: 1...(30 - k))
      }
      shifts.append(UInt8(s))
      func bound(_ magnitude: Int64) -> Int64 {
        Int64(b[row].magnitude) + magnitude << Int64(key.inputBits) + 1 << Int64(s + k - 1)
      }
      // Mostly that is enough to know.
      let all = sum(o, width)
      var most = bound(m.isEmpty ? all : mostMagnitude(all, scale: Int64(m[row].magnitude), taps: taps))
      if most >= 1 << 31, !m.isEmpty {
        most = bound(Row(w, o * taps, taps, inputs, width).sum { Int64(modulated($0, by: m[row]).magnitude) })
      }
      guard most < 1 << 31 else { throw .overflow(reader.place, channel: o, bound: most) }
    }
    var between: [UInt8] = []
    between.reserveCapacity(max(0, m.count - channels))
    for row in 0..<max(0, m.count - channels) {
      let (point, o, next) = (row / channels, row % channels, row + channels)
      guard reader.weights.hasPositions(after: point) else {
        between.append(shifts[row])
        continue
      }
      let width = widths[point + 1]
      let found = shiftBetween(
        (m[row], m[next]), (shifts[row], shifts[next]), (b[row], b[next]), Row(w, o * taps, taps, inputs, width),
        sum: sum(o, width), inputBits: key.inputBits, leakyShift: k)
      guard found.bound < 1 << 31 else { throw .overflow(reader.place, channel: o, bound: found.bound) }
      between.append(found.shift)
    }
    return RangeProofs.Proof(shifts: shifts, shiftsBetween: between)
  }

  /// The weights of an output channel that meet the first input channels.
  struct Row {
    private let weights: FileArray<Int16>
    /// Runs of `width` weights that lie `step` apart.
    private let starts: StrideTo<Int>
    private let width: Int
    let count: Int

    /// Of the `taps` weights from `first` on, in groups of one for each of `inputs` channels, those of the first `width`.
    init(_ weights: FileArray<Int16>, _ first: Int, _ taps: Int, _ inputs: Int, _ width: Int) {
      self.weights = weights
      let isWhole = width == inputs
      starts = Swift.stride(from: first, to: first + taps, by: isWhole ? taps : inputs)
      self.width = isWhole ? taps : width
      count = taps / inputs * width
    }

    var magnitudes: Int64 { starts.reduce(0) { $0 + weights.magnitudes(from: $1, count: width) } }

    func sum(_ term: (Int16) -> Int64) -> Int64 {
      var sum: Int64 = 0
      for start in starts { for weight in weights[start..<(start + width)] { sum &+= term(weight) } }
      return sum
    }
  }

  /// At least the sum of the magnitudes of `taps` weights times scale / 2^14, rounded, from the sum of their magnitudes: each
  /// is at most half a unit more than it would be unrounded.
  private static func mostMagnitude(_ sum: Int64, scale: Int64, taps: Int) -> Int64 {
    (scale * sum + Int64(taps) << 13) >> 14
  }

  /// A weight at a rate point where its channel has this modulation.
  static func modulated(_ weight: Int16, by modulation: Int16) -> Int16 {
    Int16(clamping: (Int32(modulation) * Int32(weight) + 1 << 13) >> 14)
  }

  /// The shift of a modulated channel between two rate points, for the scales, shifts and biases of both; or the limit
  /// that its accumulator breaks (model.md §9). `weights` are the channel's, `sum` that of their magnitudes.
  static func shiftBetween(
    _ scales: (Int16, Int16), _ shifts: (UInt8, UInt8), _ biases: (Int32, Int32), _ weights: Row,
    sum: Int64, inputBits: Int, leakyShift: Int
  ) -> (shift: UInt8, bound: Int64) {
    let smaller = min(shifts.0, shifts.1)
    var least = Int64.max
    for i: UInt8 in 0...1 where smaller > i {
      let s = smaller - i
      let scale = max(
        abs(Interpolation.rounded(scale: Interpolation.aligned(scales.0, shifts.0, to: s))),
        abs(Interpolation.rounded(scale: Interpolation.aligned(scales.1, shifts.1, to: s))))
      let bias = max(
        abs(Interpolation.rounded(bias: Interpolation.aligned(biases.0, shifts.0, to: s))),
        abs(Interpolation.rounded(bias: Interpolation.aligned(biases.1, shifts.1, to: s))))
      func bound(_ magnitude: Int64) -> Int64 {
        bias + magnitude << Int64(inputBits) + 1 << Int64(Int(s) + leakyShift - 1)
      }
      // Mostly that is enough to know.
      least = bound(mostMagnitude(sum, scale: scale, taps: weights.count))
      if least < 1 << 31 { return (s, least) }
      least = bound(weights.sum { (scale * Int64($0.magnitude) + 1 << 13) >> 14 })
      if least < 1 << 31 { return (s, least) }
    }
    return (0, least)
  }
}

// ---- At one rate position ----

extension ConvolutionWeights {
  /// Weights, shifts and biases of all output channels at a position.
  struct Values {
    /// As in the file, modulation not yet applied.
    let weights: FileArray<Int16>
    /// nil for a layer without.
    let modulation: [Int16]?
    let shifts: [UInt8]
    let biases: [Int32]
  }

  func values(_ layer: LayerContext) -> Values {
    let all = layer.weights
    let weights = all.int16(self.weights)
    let biases = all.int32(bias)
    guard let modulation else {
      return Values(weights: weights, modulation: nil, shifts: shifts, biases: Array(biases))
    }
    let scales = all.int16(modulation)
    let channels = layer.outputInfo.channels
    let (k, f) = (layer.position.ratePoint, layer.position.fraction)
    let low = (k * channels)..<((k + 1) * channels)
    if f == 0 {
      return Values(
        weights: weights, modulation: Array(scales[low]), shifts: Array(shifts[low]), biases: Array(biases[low]))
    }
    var between: (scales: [Int16], biases: [Int32]) = ([], [])
    for i in low {
      let (j, s) = (i + channels, shiftsBetween[i])
      let scale = Interpolation.scale(
        Interpolation.aligned(scales[i], shifts[i], to: s), Interpolation.aligned(scales[j], shifts[j], to: s), f)
      let bias = Interpolation.straight(
        Interpolation.aligned(biases[i], shifts[i], to: s), Interpolation.aligned(biases[j], shifts[j], to: s), f)
      between.scales.append(Int16(Interpolation.rounded(scale: scale)))
      between.biases.append(Int32(Interpolation.rounded(bias: bias)))
    }
    return Values(
      weights: weights, modulation: between.scales, shifts: Array(shiftsBetween[low]), biases: between.biases)
  }
}

extension ConvolutionWeights.Values {
  /// Copies `count` weights from `first` on, all of output channel `channel`, with its modulation.
  func copy(channel: Int, from first: Int, count: Int, to out: UnsafeMutablePointer<Int16>) {
    weights.copy(from: first, count: count, to: out)
    if let modulation = modulation?[channel] {
      for i in 0..<count { out[i] = ConvolutionWeights.modulated(out[i], by: modulation) }
    }
  }

  /// The requantisation of the channels in use.
  func requant(_ layer: LayerContext, _ memory: ProgramMemory) -> sc_requant {
    let channels = layer.outputTensor.channels
    return memory.requant(
      bias: Array(biases[..<channels]), shift: shifts[..<channels].map { Int32($0) }, output: layer.outputTensor,
      layer.activation)
  }
}

/// Taps of a kernel along one axis, in the order of growing positions of what they meet. Tap −1 is a zero, for phases that
/// meet none.
struct Taps {
  let taps: [Int]
  /// The position that the first one meets, relative to that of the phase.
  let first: Int
  var count: Int { taps.count }

  /// All taps of a kernel of `size`.
  static func all(_ size: Int, pad: Int) -> Taps { Taps(taps: Array(0..<size), first: -pad) }

  /// With tap t at step · n + t − pad, n for every position, the taps that meet positions of phase `phase` modulo `step`:
  /// those at which phase + pad − t is a whole multiple of the step.
  static func phase(_ phase: Int, of step: Int, _ size: Int, pad: Int) -> Taps {
    let all = Array(stride(from: (phase + pad) % step, to: size, by: step).reversed())
    guard let top = all.first else { return Taps(taps: [-1], first: 0) }
    return Taps(taps: all, first: (phase + pad - top) / step)
  }
}

/// One dense product: a convolution, or one of the phases of a transposed one.
struct DenseProduct {
  let conv: sc_conv
  /// Input row and column of the first tap, relative to the output position times the stride (or over it, for a phase).
  let firstRow: Int
  let firstColumn: Int
  let columns: Int
  var rows: Int { Int(conv.rows) }

  /// Gathers and packs the weights of some taps.
  init(
    _ values: ConvolutionWeights.Values, _ kernel: ConvolutionWeights, _ rows: Taps, _ columns: Taps,
    _ layer: LayerContext,
    _ requant: sc_requant, _ memory: ProgramMemory
  ) {
    let inputs = layer.inputTensors[0].channels
    let fullInputs = layer.inputInfos[0].channels
    let outputs = layer.outputTensor.channels
    let run = columns.count * inputs
    let flat = memory.scratch(outputs * rows.count * run)
    var to = flat
    for o in 0..<outputs {
      for i in rows.taps {
        for j in columns.taps {
          if i >= 0, j >= 0 {
            let from = ((o * kernel.kh + i) * kernel.kw + j) * fullInputs
            values.copy(channel: o, from: from, count: inputs, to: to)
          } else {
            to.update(repeating: 0, count: inputs)
          }
          to += inputs
        }
      }
    }
    conv = sc_conv(
      weights: memory.pack(flat, rows: rows.count, run: run, outputs: outputs), rows: Int32(rows.count),
      run: Int32(run), out_channels: Int32(outputs), requant: requant)
    firstRow = rows.first
    firstColumn = columns.first
    self.columns = columns.count
  }

  /// The input rows, not clamped to the picture, that the output row at input row `y` is made of.
  func inputRows(_ y: Int) -> ClosedRange<Int> { (y + firstRow)...(y + firstRow + rows - 1) }
}
