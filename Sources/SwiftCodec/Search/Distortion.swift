// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// Measures the distortion of a latent with the integer network, and its gradient with the adjoint one.
///
/// The distortion of a picture is Σ weight · squared error over its samples: 1 for RGB and grey; of 4:2:0 pictures 3 for
/// luma and 8 for chroma, so that mean squared errors of Y, U and V count as 6 : 4 : 4. As squared errors of RGB they count
/// about equally, and in PSNR weighted 6 : 1 : 1 as 6 to those by which chroma's are smaller.
///
/// Works in bands of rows of the latent, so that memory grows with the picture's width but not with its height. The
/// bands do not depend on the number of threads, nor does any result.
final class DistortionMeter {
  let program: NetworkProgram
  let adjoint: AdjointProgram
  /// What is decoded is compared with it.
  var picture: PictureView { didSet { planes = ErrorPlane.planes(of: picture, program) } }
  let layout: LatentLayout
  let execution: Execution
  let channels: Int
  /// What the network reads of a frame before; nil for stills.
  private let reference: ReferenceInputs?
  /// The picture's rows and columns to a row and column of the latent.
  let divisor: Int
  /// What the network's first outputs are compared with.
  private var planes: [ErrorPlane]
  /// Distortion of every cell of divisor × divisor pixels; [height][width] of the latent.
  private(set) var cells: [UInt64]
  /// Derivative of half the distortion with respect to the latent: [height][width][channels].
  let gradient: AlignedBuffer<Float>
  /// Pixels that a band covers at most, if it has more than `minimumBandRows` rows.
  static let bandSamples = 1 << 20
  static let minimumBandRows = 16
  /// That of a picture of one band, for the next pass, and whether it has the forward pass of that.
  private var kept: Band?
  private var isDecoded = false

  init(
    _ program: NetworkProgram, _ adjoint: AdjointProgram, _ picture: PictureView, _ layout: LatentLayout,
    reference: ReferenceInputs? = nil, _ execution: Execution
  ) {
    self.program = program
    self.adjoint = adjoint
    self.picture = picture
    self.layout = layout
    self.reference = reference
    // The next band takes what the last one leaves.
    var execution = execution
    execution.pool = execution.pool ?? MemoryPool()
    self.execution = execution
    channels = program.tensors[0].channels
    divisor = program.tensors[0].divisor
    planes = ErrorPlane.planes(of: picture, program)
    cells = [UInt64](repeating: 0, count: layout.width * layout.height)
    gradient = AlignedBuffer(count: layout.width * layout.height * channels, zero: 0)
  }

  /// What λ · squared error of a picture's pixel is to be divided by, so that its components count once together: of 4:2:0
  /// luma is 3 of 4 parts, and chroma counts beyond the fourth.
  static func unit(_ format: PixelFormat) -> Double {
    switch format {
    case .rgb: 3
    case .grey: 1
    case .yuv420: 4
    }
  }

  /// The distortion of the whole picture.
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

  /// Units of the outputs that rows of the latent lie in.
  private func units(_ rows: Range<Int>) -> Range<Int> {
    (rows.lowerBound * divisor / program.unit)..<((rows.upperBound * divisor + program.unit - 1) / program.unit)
  }

  /// Decodes a latent. If the same is differentiated next, a picture of one band takes no second forward pass for that.
  func decode(_ latent: Latent, into decoded: PictureView) {
    let bands = bands
    if bands.count == 1, kept == nil { kept = Band(self, bands[0]) }
    for band in bands {
      forward(
        latent, units: kept?.adjoint.outputUnits ?? units(band), own: band, decoded: decoded, measures: false, kept)
    }
    isDecoded = kept != nil
  }

  /// Fills `cells` and, if there is one, the picture that the latent decodes to.
  func measure(_ latent: Latent, decoded: PictureView? = nil) {
    cells.withUnsafeMutableBufferPointer { $0.update(repeating: 0) }
    for band in bands { forward(latent, units: units(band), own: band, decoded: decoded, nil) }
  }

  /// Fills `cells` and `gradient`. Each of the probes is an adjoint pass of random signs instead of errors: `probe` gets
  /// its number, a row of the latent, and its result there, [width][channels] in units of 2^-8.
  func differentiate(
    _ latent: Latent, probes: Int = 0, _ probe: (Int, _ y: Int, UnsafePointer<Float>) -> Void = { _, _, _ in }
  ) {
    cells.withUnsafeMutableBufferPointer { $0.update(repeating: 0) }
    for band in bands {
      let work = kept ?? Band(self, band)
      if band.count == layout.height { kept = work }
      if isDecoded { measure(work, band) } else { forward(latent, units: work.adjoint.outputUnits, own: band, work) }
      isDecoded = false
      let size = layout.width * channels
      let unit = 1 / Float(1 << work.scaleErrors())
      work.adjoint.propagate()
      for y in band { work.takeRow(y, unit: unit, into: gradient.base + y * size) }
      let row = AlignedBuffer<Float>(count: size, zero: 0)
      for i in 0..<probes {
        work.fillProbe(i, planes)
        work.adjoint.propagate()
        for y in band {
          work.takeRow(y, unit: 1 / 256, into: row.base)
          probe(i, y, row.base)
        }
      }
    }
  }

  /// Fraction bits of the outputs' errors before they are scaled: a grey picture's are parts of an integer.
  private static let errorBits: Int32 = 5

  /// Adds the errors of a band that was decoded to `cells`.
  private func measure(_ work: Band, _ band: Range<Int>) {
    cells.withUnsafeMutableBufferPointer { cells in
      // Every row of the latent has cells of its own.
      nonisolated(unsafe) let cells = cells.baseAddress!
      parallel(threads: execution.threads, count: band.count) { i in
        let row = cells + (band.lowerBound + i) * layout.width
        for (output, plane) in planes.enumerated() {
          for y in plane.rows(ofCell: band.lowerBound + i) {
            plane.addErrors(work.decodedRow(output, y), y, to: row, work.adjoint.outputRow(y, output: output))
          }
        }
      }
    }
  }

  /// Decodes units of the outputs; errors of the latent's rows `own` are added to `cells` if it `measures`, and what they
  /// decode to goes to `decoded`.
  private func forward(
    _ latent: Latent, units: Range<Int>, own: Range<Int>, decoded: PictureView? = nil, measures: Bool = true,
    _ work: Band?
  ) {
    isDecoded = false
    // Threads take whole rows of the latent: cells are theirs alone.
    let first = units.lowerBound * program.unit / divisor
    let last = (units.upperBound * program.unit + divisor - 1) / divisor
    let parts = max(1, min(execution.threads, last - first))
    cells.withUnsafeMutableBufferPointer { cells in
      // Every part writes rows of its own.
      nonisolated(unsafe) let cells = cells.baseAddress!
      parallel(threads: parts, count: parts) { i in
        let part = (first + i * (last - first) / parts)..<(first + (i + 1) * (last - first) / parts)
        let all = self.units(part)
        let band = max(all.lowerBound, units.lowerBound)..<min(all.upperBound, units.upperBound)
        if band.isEmpty { return }
        let width = layout.width
        let unused = AlignedBuffer<UInt64>(count: width, zero: 0)
        NetworkRunner(
          program, width: layout.paddedWidth, height: layout.paddedHeight, band: band,
          stripeRows: execution.stripeRows
        ).run(
          source: { input, y, row in program.loadSynthesisInput(input, y, row, latent, reference) },
          sink: { output, y, row in
            guard output < planes.count else { return }
            let plane = planes[output]
            // A unit of rows that two threads make lies in cells of both.
            let cell = y * plane.divisor / plane.latentDivisor
            guard part.contains(cell) else { return }
            work?.keepOutput(output, row, y)
            if let decoded, own.contains(cell) { _ = program.store(program.outputs[output], y, row, into: decoded) }
            guard y < plane.height, measures else { return }
            plane.addErrors(
              row, y, to: own.contains(cell) ? cells + cell * width : unused.base,
              work?.adjoint.outputRow(y, output: output))
          },
          tap: work.map { work in { tensor, y, row in work.adjoint.keepMask(tensor, y, row, output: band) } })
      }
    }
  }

  /// An output of the synthesis and what it is compared with.
  private struct ErrorPlane {
    let components: [sc_component]
    let channels: Int
    let q: Int
    let width: Int
    let height: Int
    /// Pixels to a row and column, and to one of the latent: with 4:2:0, one need not divide the other.
    let divisor: Int
    let latentDivisor: Int
    let weight: Int

    static func planes(of picture: PictureView, _ program: NetworkProgram) -> [ErrorPlane] {
      let groups = picture.format == .yuv420 ? [picture.first, picture.chroma] : [picture.first]
      return groups.enumerated().map { i, group in
        let tensor = program.tensors[program.outputs[i].tensor]
        return ErrorPlane(
          components: Array(picture.components[group.components]), channels: tensor.channels, q: tensor.q,
          width: group.width, height: group.height, divisor: tensor.divisor, latentDivisor: program.tensors[0].divisor,
          weight: picture.format != .yuv420 ? 1 : i == 0 ? Int(SC_LUMA_WEIGHT) : Int(SC_CHROMA_WEIGHT))
      }
    }

    /// Those whose errors are a row's of cells.
    func rows(ofCell y: Int) -> Range<Int> {
      func first(_ y: Int) -> Int { min((y * latentDivisor + divisor - 1) / divisor, height) }
      return first(y)..<first(y + 1)
    }

    /// Adds the errors of a decoded row to those of its cells, and writes them to `errors`, if that is there.
    func addErrors(
      _ row: UnsafePointer<Int16>, _ y: Int, to cells: UnsafeMutablePointer<UInt64>,
      _ errors: UnsafeMutablePointer<Int16>?
    ) {
      withC { plane in
        sc_plane_error_row(row, Int32(plane.q), &plane.c, y, cells, errors, DistortionMeter.errorBits)
      }
    }

    struct C {
      var c: sc_plane_error
      let q: Int
    }

    func withC(_ body: (inout C) -> Void) {
      components.withUnsafeBufferPointer { components in
        var plane = C(
          c: sc_plane_error(
            components: components.baseAddress, count: Int32(components.count), channels: Int32(channels), width: width,
            divisor: divisor, cell: latentDivisor, weight: Int32(weight),
            probe: Int32((256 * Double(weight).squareRoot()).rounded())), q: q)
        body(&plane)
      }
    }
  }

  /// One band of the latent: errors of what it decodes to, taken back to it.
  private final class Band {
    let adjoint: AdjointPass
    private let width: Int
    private let channels: Int
    private let band: Range<Int>
    /// Elements of a row of each plane's output.
    private let rowSizes: [Int]
    /// The decoded rows of each plane, which probes need.
    private let decoded: [AlignedBuffer<Int16>]

    init(_ meter: DistortionMeter, _ band: Range<Int>) {
      self.band = band
      width = meter.layout.width
      channels = meter.channels
      let layout = meter.layout
      let program = meter.program
      let adjoint = AdjointPass(
        meter.adjoint, width: layout.paddedWidth, height: layout.paddedHeight, rows: band,
        filling: meter.planes.count, threads: meter.execution.threads, meter.execution.pool)
      self.adjoint = adjoint
      let rowSizes = meter.planes.indices.map { i in
        let tensor = program.tensors[program.outputs[i].tensor]
        return layout.paddedWidth / tensor.divisor * tensor.channels
      }
      self.rowSizes = rowSizes
      decoded = rowSizes.indices.map { i in
        AlignedBuffer(count: adjoint.outputRows(i).count * rowSizes[i], zero: 0, meter.execution.pool)
      }
    }

    func decodedRow(_ output: Int, _ y: Int) -> UnsafeMutablePointer<Int16> {
      decoded[output].base + (y - adjoint.outputRows(output).lowerBound) * rowSizes[output]
    }

    func keepOutput(_ output: Int, _ row: UnsafePointer<Int16>, _ y: Int) {
      guard adjoint.outputRows(output).contains(y) else { return }
      decodedRow(output, y).update(from: row, count: rowSizes[output])
      adjoint.outputRow(y, output: output).update(repeating: 0, count: rowSizes[output])
    }

    private func forEachRow(_ body: (_ output: Int, _ y: Int, _ row: UnsafeMutablePointer<Int16>) -> Void) {
      for output in rowSizes.indices {
        for y in adjoint.outputRows(output) { body(output, y, adjoint.outputRow(y, output: output)) }
      }
    }

    /// Multiplies the outputs' errors by a power of two that gives them a spread of 2^8 to 2^9; returns the logarithm of
    /// their unit's inverse.
    func scaleErrors() -> Int32 {
      var power: Int64 = 0
      var samples: Int64 = 0
      forEachRow { output, _, row in
        power += sc_gradient_power(row, rowSizes[output])
        samples += Int64(rowSizes[output])
      }
      var scale: Int32 = 9
      while scale > -DistortionMeter.errorBits, power >= samples {
        power /= 4
        scale -= 1
      }
      forEachRow { output, _, row in sc_gradient_scale(row, rowSizes[output], scale) }
      return scale + DistortionMeter.errorBits
    }

    func fillProbe(_ index: Int, _ planes: [ErrorPlane]) {
      forEachRow { output, y, row in
        let plane = planes[output]
        row.update(repeating: 0, count: rowSizes[output])
        guard y < plane.height else { return }
        plane.withC { plane in
          sc_plane_probe_row(
            decodedRow(output, y), Int32(plane.q), &plane.c, row, 8,
            UInt64(index) << 40 ^ UInt64(output) << 50 ^ UInt64(y) << 17)
        }
      }
    }

    /// Of the latent's gradient, which the adjoint pass has, row `y`: [width][channels].
    func takeRow(_ y: Int, unit: Float, into out: UnsafeMutablePointer<Float>) {
      let units = adjoint.inputScales.map { unit / Float($0) }
      let row = adjoint.inputRow(y)
      var at = out
      for x in 0..<width {
        for c in 0..<channels { at[c] = Float(row[x * channels + c]) * units[c] }
        at += channels
      }
    }
  }
}
