// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// Derivatives of the three kinds of convolution, whose adjoints are convolutions, too: one with stride s makes s² phases of
/// its input's gradient (`up`), and a transposed one reads its output's gradient with stride s (`down`).
final class ConvolutionDerivative: LayerDerivative {
  private let kernel: ConvolutionWeights
  private let up: Int
  private let down: Int
  private let isDepthwise: Bool
  private let inputs: Int
  private let outputs: Int
  private let fullInputs: Int
  private let weights: FileArray<Int16>
  /// Of each output channel: what a weight of 1 does to the output's integers.
  private let units: [Double]

  init(_ kernel: ConvolutionWeights, _ layer: LayerContext, up: Int, down: Int, isDepthwise: Bool) {
    self.kernel = kernel
    self.up = up
    self.down = down
    self.isDepthwise = isDepthwise
    inputs = layer.inputTensors[0].channels
    outputs = layer.outputTensor.channels
    fullInputs = layer.inputInfos[0].channels
    let values = kernel.values(layer)
    weights = values.weights
    var units = values.shifts[..<outputs].map { 1 / Double(1 << Int64($0)) }
    if let modulation = values.modulation {
      for o in units.indices { units[o] *= Double(modulation[o]) / 16384 }
    }
    self.units = units
  }

  /// The derivative by input channel x through tap (i, j); 0 for taps that do not exist.
  private func weight(_ o: Int, _ i: Int, _ j: Int, _ x: Int) -> Double {
    if i < 0 || j < 0 { return 0 }
    let tap = (o * kernel.kh + i) * kernel.kw + j
    return Double(weights[isDepthwise ? tap : tap * fullInputs + x]) * units[o]
  }

  func addPower(_ slot: Int, of output: [Double], to input: inout [Double]) {
    // Stride: an input meets each tap in one of stride² positions.
    let density = 1 / Double(up * up)
    for x in input.indices {
      var sum = 0.0
      for o in isDepthwise ? x..<(x + 1) : 0..<output.count {
        var square = 0.0
        for i in 0..<kernel.kh {
          for j in 0..<kernel.kw {
            let w = weight(o, i, j, x)
            square += w * w
          }
        }
        sum += square * output[o]
      }
      input[x] += sum * density
    }
  }

  func adjoint(
    _ slot: Int, inputScales: [Double], outputScales: [Double], _ memory: ProgramMemory
  ) -> any AdjointStep {
    func taps(_ phase: Int, _ size: Int, _ pad: Int) -> Taps {
      down > 1 ? .all(size, pad: pad) : .phase(phase, of: up, size, pad: pad)
    }
    var phases: [ConvolutionAdjoint.Phase] = []
    for a in 0..<up {
      for b in 0..<up {
        let rows = taps(a, kernel.kh, kernel.padTop)
        let columns = taps(b, kernel.kw, kernel.padLeft)
        let product =
          isDepthwise
          ? depthwise(rows, columns, inputScales, outputScales, memory)
          : dense(rows, columns, inputScales, outputScales, memory)
        phases.append(ConvolutionAdjoint.Phase(product: product, rows: rows, columns: columns))
      }
    }
    return ConvolutionAdjoint(kernel, phases, up: up, down: down)
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
      let factor = Double(Int64(1) << Int64(s))
      return peak * factor < 32000 && (sum * factor + Double(values.count)) < 250_000 && s <= 29
    }
    while fits(shift + 1) { shift += 1 }
    let factor = Double(Int64(1) << Int64(shift))
    return (values.map { Int16(min(max(($0 * factor).rounded(), -32000), 32000)) }, shift)
  }

  private func requant(_ shifts: [Int32], _ memory: ProgramMemory) -> sc_requant {
    sc_requant(
      bias: memory.keepPadded([Int32](repeating: 0, count: shifts.count), padding: 0),
      shift: memory.keepPadded(shifts, padding: 1), lo: -Int32(SC_GRADIENT_LIMIT), hi: Int32(SC_GRADIENT_LIMIT),
      leaky: 0)
  }

  private func dense(
    _ rows: Taps, _ columns: Taps, _ inputScales: [Double], _ outputScales: [Double], _ memory: ProgramMemory
  ) -> ConvolutionAdjoint.Product {
    let run = columns.count * outputs
    let flat = AlignedBuffer<Int16>(count: inputs * rows.count * run, zero: 0)
    var shifts: [Int32] = []
    var values = [Double](repeating: 0, count: rows.count * run)
    for c in 0..<inputs {
      var at = 0
      for i in rows.taps {
        for j in columns.taps {
          for o in 0..<outputs {
            values[at] = weight(o, i, j, c) * inputScales[c] / outputScales[o]
            at += 1
          }
        }
      }
      let (integers, shift) = quantise(values)
      shifts.append(shift)
      for (k, w) in integers.enumerated() { flat.base[c * values.count + k] = w }
    }
    return .dense(
      sc_conv(
        weights: memory.pack(flat.base, rows: rows.count, run: run, outputs: inputs), rows: Int32(rows.count),
        run: Int32(run), out_channels: Int32(inputs), requant: requant(shifts, memory)))
  }

  private func depthwise(
    _ rows: Taps, _ columns: Taps, _ inputScales: [Double], _ outputScales: [Double], _ memory: ProgramMemory
  ) -> ConvolutionAdjoint.Product {
    let padded = ProgramMemory.padded(inputs)
    let packed = memory.keepShorts(rows.count * columns.count * padded)
    var shifts: [Int32] = []
    for c in 0..<inputs {
      var values: [Double] = []
      for i in rows.taps {
        for j in columns.taps { values.append(weight(c, i, j, c) * inputScales[c] / outputScales[c]) }
      }
      let (integers, shift) = quantise(values)
      shifts.append(shift)
      for (t, w) in integers.enumerated() { packed[t * padded + c] = w }
    }
    return .depthwise(
      sc_depthwise(
        weights: packed, kh: Int32(rows.count), kw: Int32(columns.count), channels: Int32(inputs),
        requant: requant(shifts, memory)))
  }
}

/// Takes a gradient back through a convolution. Rows and columns outside of the input that the layer reads as the nearest
/// ones inside have their gradients added to these.
final class ConvolutionAdjoint: AdjointStep {
  enum Product {
    case dense(sc_conv)
    case depthwise(sc_depthwise)
  }

  /// Makes the gradient of every `up`-th row and column of a layer's input.
  struct Phase {
    let product: Product
    let rows: Taps
    let columns: Taps
  }

  private let up: Int
  private let down: Int
  /// up · up, by the row's phase first.
  private let phases: [Phase]
  /// Rows and columns outside of the input that the layer reads as the nearest one inside; multiples of `up`.
  private let top: Int
  private let bottom: Int
  private let left: Int
  private let right: Int

  init(_ kernel: ConvolutionWeights, _ phases: [Phase], up: Int, down: Int) {
    self.up = up
    self.down = down
    self.phases = phases
    // A transposed layer reads only a `down`-th as far.
    func beyond(_ n: Int) -> Int {
      kernel.border == .zero ? 0 : (max(0, n) + down * up - 1) / (down * up) * up
    }
    top = beyond(kernel.padTop)
    bottom = beyond(kernel.kh - 1 - kernel.padTop)
    left = beyond(kernel.padLeft)
    right = beyond(kernel.kw - 1 - kernel.padLeft)
  }

  var margins: Margins {
    var margins = Margins()
    for phase in phases {
      let first = phase.columns.first
      margins.left = max(margins.left, down * (left / up) - first)
      margins.right = max(margins.right, down * (right / up) + first + phase.columns.count - down)
    }
    return margins
  }

  var scratchColumns: Int { left + right }

  var canOverwrite: Bool { top + bottom + left + right == 0 }

  /// The row of a phase, and the phase, of an input row.
  private func split(_ y: Int) -> (row: Int, phase: Int) {
    let phase = (y % up + up) % up
    return ((y - phase) / up, phase)
  }

  func outputRows(_ y: Int, height: Int) -> ClosedRange<Int> {
    var low = Int.max
    var high = Int.min
    for y in (y == 0 ? -top : y)...(y == height - 1 ? y + bottom : y) {
      let (row, phase) = split(y)
      let rows = phases[phase * up].rows
      low = min(low, down * row + rows.first)
      high = max(high, down * row + rows.first + rows.count - 1)
    }
    return low...high
  }

  func accumulate(
    _ y: Int, height: Int, from: GradientPlane, to: GradientPlane, values: UnsafePointer<Int16>?, overwrites: Bool,
    _ scratch: AdjointScratch
  ) {
    let channels = to.channels
    let out = to.row(y)
    if overwrites {
      convolve(from, y, out, channels, to.width, scratch)
      return
    }
    func add(_ from: UnsafePointer<Int16>, _ to: UnsafeMutablePointer<Int16>, _ pixels: Int) {
      sc_gradient_accumulate(from, channels, 1, to, channels, 1, Int32(channels), scratch.ones, pixels)
    }
    let last = out + (to.width - 1) * channels
    for row in (y == 0 ? -top : y)...(y == height - 1 ? y + bottom : y) {
      let wide = scratch.row.base
      convolve(from, row, wide, channels, left + to.width + right, scratch)
      add(wide + left * channels, out, to.width)
      for x in 0..<left { add(wide + x * channels, out, 1) }
      for x in 0..<right { add(wide + (left + to.width + x) * channels, last, 1) }
    }
  }

  /// `columns` of the gradient of row `y`, from column −left.
  private func convolve(
    _ from: GradientPlane, _ y: Int, _ out: UnsafeMutablePointer<Int16>, _ channels: Int, _ columns: Int,
    _ scratch: AdjointScratch
  ) {
    let (row, rowPhase) = split(y)
    for b in 0..<up {
      let phase = phases[rowPhase * up + b]
      let firstColumn = phase.columns.first - down * (left / up)
      for i in 0..<phase.rows.count {
        let at = down * row + phase.rows.first + i
        scratch.pointers.base[i] =
          from.rows.contains(at) ? UnsafePointer(from.row(at) + firstColumn * from.channels) : scratch.zeros
      }
      let step = down * from.channels
      let kernels = scratch.kernels
      switch phase.product {
      case .dense(var c):
        kernels.pointee.conv(&c, scratch.pointers.base, step, out + b * channels, up * channels, columns / up)
      case .depthwise(var c):
        kernels.pointee.depthwise(&c, scratch.pointers.base, step, out + b * channels, up * channels, columns / up)
      }
    }
  }
}
