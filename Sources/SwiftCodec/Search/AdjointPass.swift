// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// Rows of a tensor's gradient, with zeros beside them.
private struct GradientPlane {
  let rows: Range<Int>
  let width: Int
  let channels: Int
  let stride: Int
  private let first: UnsafeMutablePointer<Int16>
  let owner: AlignedBuffer<Int16>

  init(rows: Range<Int>, width: Int, channels: Int, left: Int, right: Int) {
    self.rows = rows
    self.width = width
    self.channels = channels
    stride = (max(0, left) + width + max(0, right)) * channels
    owner = AlignedBuffer(count: stride * rows.count + Int(SC_ROW_SLACK), zero: 0)
    first = owner.base + max(0, left) * channels
  }

  func row(_ y: Int) -> UnsafeMutablePointer<Int16> { first + (y - rows.lowerBound) * stride }
}

/// The adjoint network on rows of the inputs: gradients of all tensors as far as those rows need them.
///
/// `keepMask` sees the forward pass, `outputRow` is filled with the output's gradient, and `propagate` takes it to the
/// inputs.
final class AdjointPass {
  let adjoint: AdjointProgram
  private let program: NetworkProgram
  private let heights: [Int]
  private let threads: Int
  private var planes: [GradientPlane] = []
  /// Of tensors with a mask: [rows of the plane][width · channels].
  private var masks: [AlignedBuffer<UInt8>?] = []
  private let zeros: AlignedBuffer<Int16>

  /// Rows of the output whose gradient counts.
  var outputRows: Range<Int> { planes[program.output].rows }

  /// `rows` are those of the inputs, `width` × `height` the padded picture.
  init(_ adjoint: AdjointProgram, width: Int, height: Int, rows: Range<Int>, threads: Int) {
    self.adjoint = adjoint
    self.threads = threads
    program = adjoint.forward
    let heights = program.tensors.map { height >> $0.level }
    self.heights = heights
    var low = [Int](repeating: Int.max, count: heights.count)
    var high = [Int](repeating: -1, count: heights.count)
    for t in 0..<program.inputCount {
      low[t] = rows.lowerBound
      high[t] = rows.upperBound - 1
    }
    for t in program.tensors.indices where high[t] >= 0 {
      for c in adjoint.contributions[t] {
        let first = AdjointPass.outputRows(c, low[t], heights[t]).lowerBound
        let last = AdjointPass.outputRows(c, high[t], heights[t]).upperBound
        low[c.output] = min(low[c.output], min(max(first, 0), heights[c.output] - 1))
        high[c.output] = max(high[c.output], min(max(last, 0), heights[c.output] - 1))
      }
    }
    var widest = 0
    for (t, tensor) in program.tensors.enumerated() {
      let rows = high[t] >= 0 ? low[t]..<(high[t] + 1) : 0..<0
      let plane = GradientPlane(
        rows: rows, width: width >> tensor.level, channels: tensor.channels, left: adjoint.left[t],
        right: adjoint.right[t])
      planes.append(plane)
      widest = max(widest, plane.stride)
      switch adjoint.masks[t] {
      case .none: masks.append(nil)
      case .relu, .leaky:
        masks.append(AlignedBuffer(count: rows.count * plane.width * plane.channels, zero: 0))
      }
    }
    zeros = AlignedBuffer(count: widest + Int(SC_ROW_SLACK), zero: 0)
  }

  /// Rows of a contribution's output that a row of the input gets its gradient from, with those that it gets for rows
  /// outside.
  private static func outputRows(_ c: AdjointProgram.Contribution, _ y: Int, _ height: Int) -> ClosedRange<Int> {
    switch c.step {
    case .convolution(let conv):
      let first = y == 0 ? -conv.top : y
      let last = y == height - 1 ? y + conv.bottom : y
      var low = Int.max
      var high = Int.min
      for y in first...last {
        low = min(low, conv.outputRows(y).lowerBound)
        high = max(high, conv.outputRows(y).upperBound)
      }
      return low...high
    case .copy: return y...y
    case .shuffle(let f, _): return (f * y)...(f * y + f - 1)
    case .unshuffle(let f, _): return (y / f)...(y / f)
    }
  }

  /// Sees rows of a forward pass that makes rows `output` of the output.
  func keepMask(_ tensor: Int, _ y: Int, _ row: UnsafePointer<Int16>, output: Range<Int>) {
    guard let mask = masks[tensor], planes[tensor].rows.contains(y) else { return }
    // Rows near the edge of two threads' bands come from both, and are kept from one.
    let shift = program.tensors[tensor].level - program.tensors[program.output].level
    let at = shift >= 0 ? y << shift : y >> -shift
    let all = outputRows
    if at < output.lowerBound && output.lowerBound > all.lowerBound { return }
    if at >= output.upperBound && output.upperBound < all.upperBound { return }
    var leaky: Int32 = 0
    if case .leaky(let shift) = adjoint.masks[tensor] { leaky = Int32(shift) }
    let plane = planes[tensor]
    let count = plane.width * plane.channels
    sc_gradient_mask(
      row, count, program.tensors[tensor].hi, leaky, mask.base + (y - plane.rows.lowerBound) * count)
  }

  func outputRow(_ y: Int) -> UnsafeMutablePointer<Int16> { planes[program.output].row(y) }

  func inputRow(_ input: Int, _ y: Int) -> UnsafePointer<Int16> { UnsafePointer(planes[input].row(y)) }

  /// From the output's gradient to those of the inputs.
  func propagate() {
    for t in program.tensors.indices.reversed() where t != program.output && !planes[t].rows.isEmpty {
      let rows = planes[t].rows
      let chunk = max(1, min(8, rows.count / (2 * threads)))
      parallel(threads: threads, count: (rows.count + chunk - 1) / chunk) { i in
        let scratch = Scratch(self, t)
        let first = rows.lowerBound + i * chunk
        for y in first..<min(first + chunk, rows.upperBound) { compute(t, y, scratch) }
      }
    }
  }

  private final class Scratch {
    let row: AlignedBuffer<Int16>
    let pointers = AlignedBuffer<UnsafePointer<Int16>?>(count: 16, zero: nil)
    init(_ pass: AdjointPass, _ tensor: Int) {
      var beyond = 0
      for c in pass.adjoint.contributions[tensor] {
        if case .convolution(let conv) = c.step { beyond = max(beyond, conv.left + conv.right) }
      }
      let plane = pass.planes[tensor]
      row = AlignedBuffer(count: (plane.width + beyond) * plane.channels + Int(SC_ROW_SLACK), zero: 0)
    }
  }

  private func compute(_ tensor: Int, _ y: Int, _ scratch: Scratch) {
    let plane = planes[tensor]
    let to = plane.row(y)
    let channels = plane.channels
    let count = plane.width * channels
    let contributions = adjoint.contributions[tensor]
    let height = heights[tensor]
    to.update(repeating: 0, count: count)
    for contribution in contributions {
      let from = planes[contribution.output]
      switch contribution.step {
      case .convolution(let conv):
        if contributions.count == 1, conv.top + conv.bottom + conv.left + conv.right == 0 {
          convolve(conv, from, y, to, channels, plane.width, scratch)
          continue
        }
        let first = y == 0 ? -conv.top : y
        let last = y == height - 1 ? y + conv.bottom : y
        for row in first...last {
          let wide = scratch.row.base
          convolve(conv, from, row, wide, channels, conv.left + plane.width + conv.right, scratch)
          accumulate(wide + conv.left * channels, to, channels, plane.width)
          for x in 0..<conv.left { accumulate(wide + x * channels, to, channels, 1) }
          for x in 0..<conv.right {
            accumulate(wide + (conv.left + plane.width + x) * channels, to + count - channels, channels, 1)
          }
        }
      case .copy(let factors, let first):
        sc_gradient_accumulate(
          from.row(y) + first, from.channels, 1, to, channels, 1, Int32(channels), factors, plane.width)
      case .shuffle(let f, let factors):
        for i in 0..<f {
          for j in 0..<f {
            // A factor for every channel of the input: those of this place are f² apart.
            let place = i * f + j
            var some: [Int32] = []
            for c in 0..<from.channels { some.append(factors[c * f * f + place]) }
            sc_gradient_accumulate(
              from.row(f * y + i) + j * from.channels, f * from.channels, 1, to + place, channels, f * f,
              Int32(from.channels), some, plane.width)
          }
        }
      case .unshuffle(let f, let factors):
        for j in 0..<f {
          let place = y % f * f + j
          var some: [Int32] = []
          for c in 0..<channels { some.append(factors[c * f * f + place]) }
          sc_gradient_accumulate(
            from.row(y / f) + place, from.channels, f * f, to + j * channels, f * channels, 1, Int32(channels),
            some, from.width)
        }
      }
    }
    if let mask = masks[tensor] {
      var leaky: Int32 = 0
      if case .leaky(let shift) = adjoint.masks[tensor] { leaky = Int32(shift) }
      sc_gradient_apply_mask(to, mask.base + (y - plane.rows.lowerBound) * count, count, leaky)
    }
  }

  private func accumulate(
    _ from: UnsafePointer<Int16>, _ to: UnsafeMutablePointer<Int16>, _ channels: Int, _ pixels: Int
  ) {
    sc_gradient_accumulate(from, channels, 1, to, channels, 1, Int32(channels), adjoint.ones, pixels)
  }

  /// `columns` of the gradient of row `y`, from column −left.
  private func convolve(
    _ conv: AdjointProgram.Convolution, _ from: GradientPlane, _ y: Int, _ out: UnsafeMutablePointer<Int16>,
    _ channels: Int, _ columns: Int, _ scratch: Scratch
  ) {
    let kernels = program.kernels.pointee
    let (row, parity) = conv.split(y)
    for b in 0..<conv.up {
      let phase = conv.phases[parity * conv.up + b]
      let firstColumn = phase.firstColumn - conv.down * (conv.left / conv.up)
      for i in 0..<phase.rows {
        let at = conv.down * row + phase.firstRow + i
        scratch.pointers.base[i] =
          from.rows.contains(at)
          ? UnsafePointer(from.row(at) + firstColumn * from.channels) : UnsafePointer(zeros.base)
      }
      let step = conv.down * from.channels
      switch phase.product {
      case .dense(var c):
        kernels.conv(
          &c, scratch.pointers.base, step, out + b * channels, conv.up * channels, columns / conv.up)
      case .depthwise(var c):
        kernels.depthwise(
          &c, scratch.pointers.base, step, out + b * channels, conv.up * channels, columns / conv.up)
      }
    }
  }
}
