// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

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
  /// The picture's rows and columns to a row and column of the latent.
  let divisor: Int
  /// Squared error of every cell of divisor × divisor samples of the picture; [height][width] of the latent.
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
    divisor = program.tensors[0].divisor
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
    let rowSamples = layout.paddedWidth * divisor
    let rows = max(DistortionMeter.minimumBandRows, DistortionMeter.bandSamples / rowSamples)
    let count = max(1, (layout.height + rows - 1) / rows)
    return (0..<count).map { ($0 * layout.height / count)..<(($0 + 1) * layout.height / count) }
  }

  /// Fills `cells` alone.
  func measure(_ latent: Latent) {
    cells.withUnsafeMutableBufferPointer { $0.update(repeating: 0) }
    for band in bands {
      forward(latent, output: (band.lowerBound * divisor)..<(band.upperBound * divisor), own: band, nil)
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

  /// Fraction bits of the output's errors before they are scaled: a grey picture's are parts of an integer.
  private static let errorBits: Int32 = 5

  /// Decodes rows of the output; those of `own` are added to `cells`.
  private func forward(_ latent: Latent, output: Range<Int>, own: Range<Int>, _ work: Band?) {
    let first = output.lowerBound / divisor
    let last = (output.upperBound + divisor - 1) / divisor
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
          let band = max(from * divisor, output.lowerBound)..<min(to * divisor, output.upperBound)
          if band.isEmpty { return }
          let width = layout.width
          let unused = AlignedBuffer<UInt64>(count: width, zero: 0)
          NetworkRunner(
            program, width: layout.paddedWidth, height: layout.paddedHeight, band: band,
            stripeRows: execution.stripeRows
          ).run(
            source: { _, y, row in latent.read(row: y, row) },
            sink: { _, y, row in
              let cell = y / self.divisor
              work?.keepOutput(row, y)
              guard y < self.picture.height else { return }
              let line = samples + y * self.picture.width * self.picture.channels
              sc_error_row(
                row, q, line, Int32(self.picture.channels), self.picture.width, Int32(self.divisor),
                own.contains(cell) ? cells + cell * width : unused.base, work?.adjoint.outputRow(y),
                DistortionMeter.errorBits)
            },
            tap: work.map { work in { tensor, y, row in work.adjoint.keepMask(tensor, y, row, output: band) } })
        }
      }
    }
  }

  /// One band of the latent: errors of what it decodes to, taken back to it.
  private final class Band {
    let meter: DistortionMeter
    let adjoint: AdjointPass
    let band: Range<Int>
    private let width: Int
    /// The decoded rows, which probes need.
    private let decoded: AlignedBuffer<Int16>

    var outputRows: Range<Int> { adjoint.outputRows() }

    init(_ meter: DistortionMeter, _ band: Range<Int>) {
      self.meter = meter
      self.band = band
      let layout = meter.layout
      adjoint = AdjointPass(
        meter.adjoint, width: layout.paddedWidth, height: layout.paddedHeight, rows: band,
        threads: meter.execution.threads)
      width = layout.paddedWidth / meter.program.tensors[meter.program.output].divisor
      decoded = AlignedBuffer(count: adjoint.outputRows().count * width * 3, zero: 0)
    }

    func keepOutput(_ row: UnsafePointer<Int16>, _ y: Int) {
      (decoded.base + (y - outputRows.lowerBound) * width * 3).update(from: row, count: width * 3)
      adjoint.outputRow(y).update(repeating: 0, count: width * 3)
    }

    /// Multiplies the output's errors by a power of two that gives them a spread of 2^8 to 2^9; returns the logarithm of their
    /// unit's inverse.
    func scaleErrors() -> Int32 {
      var power: Int64 = 0
      for y in outputRows {
        let row = adjoint.outputRow(y)
        for i in 0..<(width * 3) { power += Int64(row[i]) * Int64(row[i]) }
      }
      var scale: Int32 = 9
      let samples = Int64(outputRows.count * width * 3)
      while scale > -DistortionMeter.errorBits, power >= samples {
        power /= 4
        scale -= 1
      }
      let limit = Int32(SC_GRADIENT_LIMIT)
      for y in outputRows {
        let row = adjoint.outputRow(y)
        for i in 0..<(width * 3) { row[i] = Int16(min(max(Int32(row[i]) << scale, -limit), limit)) }
      }
      return scale + DistortionMeter.errorBits
    }

    func fillProbe(_ index: Int) {
      let q = Int32(meter.program.tensors[meter.program.output].q)
      for y in outputRows where y < meter.picture.height {
        sc_probe_row(
          decoded.base + (y - outputRows.lowerBound) * width * 3, q, Int32(meter.picture.channels),
          meter.picture.width, adjoint.outputRow(y), 8, UInt64(index) << 40 ^ UInt64(y) << 17)
      }
    }

    /// Takes the output's gradient to the latent: [rows][width][channels] of `out`.
    func propagate(into out: UnsafeMutablePointer<Float>, unit: Float) {
      adjoint.propagate()
      let units = adjoint.inputScales.map { unit / Float($0) }
      var at = out
      for y in band {
        let row = adjoint.inputRow(y)
        for x in 0..<meter.layout.width {
          for c in 0..<meter.channels { at[c] = Float(row[x * meter.channels + c]) * units[c] }
          at += meter.channels
        }
      }
    }
  }
}
