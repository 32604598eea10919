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

/// Measures the distortion of a latent with the integer network, and its gradient with the adjoint one.
///
/// Works in bands of rows of the latent, so that memory grows with the picture's width but not with its height. The
/// bands do not depend on the number of threads, nor does any result.
final class DistortionMeter {
  let program: NetworkProgram
  let adjoint: AdjointProgram
  let picture: Picture
  let layout: LatentLayout
  let execution: Execution
  let channels: Int
  /// log2 of the picture's rows and columns to a row and column of the latent.
  let level: Int
  /// Squared error of every cell of 2^level × 2^level samples of the picture; [height][width] of the latent.
  private(set) var cells: [UInt64]
  /// Derivative of half the squared error with respect to the latent: [height][width][channels].
  let gradient: AlignedBuffer<Float>
  /// Samples of the picture that a band covers at most, if it has more than `minimumBandRows` rows.
  static let bandSamples = 1 << 20
  static let minimumBandRows = 16

  init(
    _ program: NetworkProgram, _ adjoint: AdjointProgram, _ picture: Picture, _ layout: LatentLayout,
    _ execution: Execution
  ) {
    self.program = program
    self.adjoint = adjoint
    self.picture = picture
    self.layout = layout
    self.execution = execution
    channels = program.tensors[0].channels
    level = program.tensors[0].level
    cells = [UInt64](repeating: 0, count: layout.width * layout.height)
    gradient = AlignedBuffer(count: layout.width * layout.height * channels, zero: 0)
  }

  var squaredError: UInt64 { cells.reduce(0, +) }

  /// Takes back what was measured around a place.
  func forget(rows: Int, columns: Int, size: Int, _ before: [UInt64]) {
    for y in max(0, rows)..<min(layout.height, rows + size) {
      for x in max(0, columns)..<min(layout.width, columns + size) {
        cells[y * layout.width + x] = before[y * layout.width + x]
      }
    }
  }

  private var bands: [Range<Int>] {
    let rowSamples = layout.paddedWidth << level
    let rows = max(DistortionMeter.minimumBandRows, DistortionMeter.bandSamples / rowSamples)
    let count = max(1, (layout.height + rows - 1) / rows)
    return (0..<count).map { ($0 * layout.height / count)..<(($0 + 1) * layout.height / count) }
  }

  /// Fills `cells` alone.
  func measure(_ latent: Latent) {
    cells.withUnsafeMutableBufferPointer { $0.update(repeating: 0) }
    for band in bands {
      forward(latent, output: (band.lowerBound << level)..<(band.upperBound << level), own: band, nil)
    }
  }

  /// Fills `cells` and `gradient`. Each of the probes is an adjoint pass of random signs instead of errors: `probe` gets
  /// its number, rows of the latent, and its result there, [rows][width][channels] in units of 2^-8.
  func differentiate(
    _ latent: Latent, probes: Int = 0, _ probe: (Int, Range<Int>, UnsafePointer<Float>) -> Void = { _, _, _ in }
  ) {
    cells.withUnsafeMutableBufferPointer { $0.update(repeating: 0) }
    for band in bands {
      let work = Band(self, band)
      forward(latent, output: work.outputRows, own: band, work)
      let size = layout.width * channels
      work.propagate(into: gradient.base + band.lowerBound * size, unit: 1 / Float(1 << work.scaleErrors()))
      if probes > 0 {
        let result = AlignedBuffer<Float>(count: band.count * size, zero: 0)
        for i in 0..<probes {
          work.fillProbe(i)
          work.propagate(into: result.base, unit: 1 / 256)
          probe(i, band, result.base)
        }
      }
    }
  }

  /// Decodes rows of the output; those of `own` are added to `cells`.
  private func forward(_ latent: Latent, output: Range<Int>, own: Range<Int>, _ work: Band?) {
    let first = output.lowerBound >> level
    let last = (output.upperBound + (1 << level) - 1) >> level
    let parts = max(1, min(execution.threads, last - first))
    let q = Int32(program.tensors[program.output].q)
    cells.withUnsafeMutableBufferPointer { cells in
      picture.samples.withUnsafeBufferPointer { samples in
        // Every part writes rows of its own.
        nonisolated(unsafe) let cells = cells.baseAddress!
        nonisolated(unsafe) let samples = samples.baseAddress!
        parallel(threads: parts, count: parts) { i in
          let from = first + i * (last - first) / parts
          let to = first + (i + 1) * (last - first) / parts
          let band = max(from << level, output.lowerBound)..<min(to << level, output.upperBound)
          if band.isEmpty { return }
          let width = layout.width
          let unused = AlignedBuffer<UInt64>(count: width, zero: 0)
          NetworkRunner(
            program, width: layout.paddedWidth, height: layout.paddedHeight, band: band,
            stripeRows: execution.stripeRows
          ).run(
            source: { _, y, row in latent.read(row: y, row) },
            sink: { y, row in
              let cell = y >> self.level
              work?.keepOutput(row, y)
              guard y < self.picture.height else { return }
              let line = samples + y * self.picture.width * self.picture.channels
              sc_error_row(
                row, q, line, Int32(self.picture.channels), self.picture.width, Int32(self.level),
                own.contains(cell) ? cells + cell * width : unused.base, work?.outputRow(y), 0)
            },
            tap: work.map { work in { tensor, y, row in work.keepMask(tensor, y, row, output: band) } })
        }
      }
    }
  }

  /// The adjoint network on one band of the latent: gradients of all tensors as far as it needs them.
  private final class Band {
    let meter: DistortionMeter
    let adjoint: AdjointProgram
    let program: NetworkProgram
    private var planes: [GradientPlane] = []
    /// Of tensors with a mask: [rows of the plane][width · channels].
    private var masks: [AlignedBuffer<UInt8>?] = []
    /// The decoded rows, which probes need.
    private let decoded: AlignedBuffer<Int16>
    private let zeros: AlignedBuffer<Int16>
    let band: Range<Int>

    var outputRows: Range<Int> { planes[program.output].rows }

    init(_ meter: DistortionMeter, _ band: Range<Int>) {
      self.meter = meter
      self.band = band
      adjoint = meter.adjoint
      program = meter.program
      let layout = meter.layout
      let heights = program.tensors.map { layout.paddedHeight >> $0.level }
      var low = [Int](repeating: Int.max, count: heights.count)
      var high = [Int](repeating: -1, count: heights.count)
      low[0] = band.lowerBound
      high[0] = band.upperBound - 1
      for t in program.tensors.indices where high[t] >= 0 {
        for c in adjoint.contributions[t] {
          let first = Band.outputRows(c, low[t], heights[t]).lowerBound
          let last = Band.outputRows(c, high[t], heights[t]).upperBound
          low[c.output] = min(low[c.output], min(max(first, 0), heights[c.output] - 1))
          high[c.output] = max(high[c.output], min(max(last, 0), heights[c.output] - 1))
        }
      }
      var widest = 0
      for (t, tensor) in program.tensors.enumerated() {
        let rows = high[t] >= 0 ? low[t]..<(high[t] + 1) : 0..<0
        let plane = GradientPlane(
          rows: rows, width: layout.paddedWidth >> tensor.level, channels: tensor.channels, left: adjoint.left[t],
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
      let out = planes[program.output]
      decoded = AlignedBuffer(count: out.rows.count * out.width * 3, zero: 0)
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

    func keepOutput(_ row: UnsafePointer<Int16>, _ y: Int) {
      let out = planes[program.output]
      (decoded.base + (y - out.rows.lowerBound) * out.width * 3).update(from: row, count: out.width * 3)
      out.row(y).update(repeating: 0, count: out.width * 3)
    }

    /// Multiplies the output's errors by a power of two that gives them a spread of 2^8 to 2^9; returns its logarithm.
    func scaleErrors() -> Int32 {
      let out = planes[program.output]
      var power: Int64 = 0
      for y in out.rows {
        let row = out.row(y)
        for i in 0..<(out.width * 3) { power += Int64(row[i]) * Int64(row[i]) }
      }
      var scale: Int32 = 9
      let samples = Int64(out.rows.count * out.width * 3)
      while scale > 0, power >= samples {
        power /= 4
        scale -= 1
      }
      let limit = Int32(SC_GRADIENT_LIMIT)
      for y in out.rows {
        let row = out.row(y)
        for i in 0..<(out.width * 3) { row[i] = Int16(min(max(Int32(row[i]) << scale, -limit), limit)) }
      }
      return scale
    }

    func fillProbe(_ index: Int) {
      let out = planes[program.output]
      let q = Int32(program.tensors[program.output].q)
      for y in out.rows where y < meter.picture.height {
        sc_probe_row(
          decoded.base + (y - out.rows.lowerBound) * out.width * 3, q, Int32(meter.picture.channels),
          meter.picture.width, out.row(y), 8, UInt64(index) << 40 ^ UInt64(y) << 17)
      }
    }

    /// Takes the output's gradient to the latent: [rows][width][channels] of `out`.
    func propagate(into out: UnsafeMutablePointer<Float>, unit: Float) {
      let threads = meter.execution.threads
      for t in program.tensors.indices.reversed() where t != program.output && !planes[t].rows.isEmpty {
        let rows = planes[t].rows
        let chunk = max(1, min(8, rows.count / (2 * threads)))
        parallel(threads: threads, count: (rows.count + chunk - 1) / chunk) { i in
          let scratch = Scratch(self, t)
          let first = rows.lowerBound + i * chunk
          for y in first..<min(first + chunk, rows.upperBound) { compute(t, y, scratch) }
        }
      }
      let plane = planes[0]
      let units = adjoint.scales[0].map { unit / Float($0) }
      var at = out
      for y in band {
        let row = plane.row(y)
        for x in 0..<plane.width {
          for c in 0..<plane.channels { at[c] = Float(row[x * plane.channels + c]) * units[c] }
          at += plane.channels
        }
      }
    }

    private final class Scratch {
      let row: AlignedBuffer<Int16>
      let pointers = AlignedBuffer<UnsafePointer<Int16>?>(count: 16, zero: nil)
      init(_ band: Band, _ tensor: Int) {
        var beyond = 0
        for c in band.adjoint.contributions[tensor] {
          if case .convolution(let conv) = c.step { beyond = max(beyond, conv.left + conv.right) }
        }
        let plane = band.planes[tensor]
        row = AlignedBuffer(count: (plane.width + beyond) * plane.channels + Int(SC_ROW_SLACK), zero: 0)
      }
    }

    private func compute(_ tensor: Int, _ y: Int, _ scratch: Scratch) {
      let plane = planes[tensor]
      let to = plane.row(y)
      let channels = plane.channels
      let count = plane.width * channels
      let contributions = adjoint.contributions[tensor]
      let height = meter.layout.paddedHeight >> program.tensors[tensor].level
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
}
