// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// Executes a network depth-first for a band of its outputs' rows: the picture passes in stripes, and each tensor keeps
/// just the rows that later ones still need, in a ring.
///
/// The result does not depend on the band or the stripe: rows near a band's edge are computed by both neighbours.
final class NetworkRunner {
  /// Fills row `row` of input `input`: [width][channels] samples.
  typealias Source = (_ input: Int, _ row: Int, _ out: UnsafeMutablePointer<Int16>) -> Void
  /// Takes row `row` of output `output` (a position in the program's outputs).
  typealias Sink = (_ output: Int, _ row: Int, _ samples: UnsafePointer<Int16>) -> Void
  /// Sees row `row` of any tensor, inputs included, when it comes to be.
  typealias Tap = (_ tensor: Int, _ row: Int, _ samples: UnsafePointer<Int16>) -> Void

  private let program: NetworkProgram
  private let band: Range<Int>
  private let stripeUnits: Int
  private let heights: [Int]
  /// The first row of each tensor that the band needs.
  private let firstRows: [Int]
  private let rows: RowStore

  /// `width` × `height` is the padded picture; `band` are rows of the outputs in the program's units. A stripe has
  /// `stripeRows` rows of the finest output, rounded up to whole units; 0 for the default.
  init(_ program: NetworkProgram, width: Int, height: Int, band: Range<Int>, stripeRows: Int) {
    self.program = program
    self.band = band
    precondition(band.lowerBound >= 0 && band.upperBound <= height / program.unit && !band.isEmpty)
    let finest = program.outputs.indices.reduce(1) { max($0, program.rowsPerUnit(output: $1)) }
    stripeUnits =
      stripeRows > 0 ? (stripeRows + finest - 1) / finest : NetworkRunner.defaultStripeUnits(program)
    let heights = program.tensors.map { height / $0.divisor }
    self.heights = heights

    var first = [Int](repeating: Int.max, count: program.tensors.count)
    for (i, output) in program.outputs.enumerated() {
      first[output.tensor] = min(first[output.tensor], band.lowerBound * program.rowsPerUnit(output: i))
    }
    for step in program.layers.reversed() where first[step.output] != Int.max {
      // A row whose taps all lie outside of the picture still needs the nearest row inside.
      let row = max(0, step.layer.inputRows(first[step.output]).lowerBound)
      for input in step.inputs { first[input] = min(first[input], row, heights[input] - 1) }
    }
    firstRows = first

    // The schedule is played through once without computing: how many rows of each tensor live at the same time.
    var capacities = [Int](repeating: 1, count: program.tensors.count)
    NetworkRunner.forEachStripe(program, heights, first, band, stripeUnits) { units, produced, needed in
      var oldest = produced
      for (i, output) in program.outputs.enumerated() {
        oldest[output.tensor] = min(oldest[output.tensor], units.lowerBound * program.rowsPerUnit(output: i))
      }
      for step in program.layers where needed[step.output] >= produced[step.output] {
        let row = max(0, step.layer.inputRows(produced[step.output]).lowerBound)
        for input in step.inputs { oldest[input] = min(oldest[input], row, heights[input] - 1) }
      }
      for t in capacities.indices { capacities[t] = max(capacities[t], needed[t] - oldest[t] + 1) }
    }
    rows = RowStore(program.tensors, width: width, height: height, capacities: capacities, program.kernels)
  }

  /// Two rows of the coarsest tensor: few enough for the second-level cache, enough to use a weight several times.
  static func defaultStripeUnits(_ program: NetworkProgram) -> Int {
    let coarsest = program.tensors.reduce(1) { max($0, $1.divisor) }
    return max(1, 2 * coarsest / program.unit)
  }

  /// Plays the schedule: `units` are those of the stripe, `produced` is the next row of each tensor, `needed` the last row
  /// that the stripe asks for.
  private static func forEachStripe(
    _ program: NetworkProgram, _ heights: [Int], _ first: [Int], _ band: Range<Int>, _ stripeUnits: Int,
    _ body: (_ units: Range<Int>, _ produced: [Int], _ needed: [Int]) -> Void
  ) {
    var produced = first
    for start in stride(from: band.lowerBound, to: band.upperBound, by: stripeUnits) {
      let units = start..<min(start + stripeUnits, band.upperBound)
      var needed = produced.map { $0 - 1 }
      for (i, output) in program.outputs.enumerated() {
        let last = units.upperBound * program.rowsPerUnit(output: i) - 1
        needed[output.tensor] = max(needed[output.tensor], last)
      }
      for step in program.layers.reversed() where needed[step.output] >= produced[step.output] {
        let row = step.layer.inputRows(needed[step.output]).upperBound
        for input in step.inputs { needed[input] = max(needed[input], min(row, heights[input] - 1)) }
      }
      body(units, produced, needed)
      for t in produced.indices { produced[t] = max(produced[t], needed[t] + 1) }
    }
  }

  /// `profile`, if given, has an element for each layer, to which the nanoseconds spent in it are added.
  func run(source: Source, sink: Sink, tap: Tap? = nil, profile: UnsafeMutablePointer<UInt64>? = nil) {
    NetworkRunner.forEachStripe(program, heights, firstRows, band, stripeUnits) { units, produced, needed in
      for input in 0..<program.inputCount where produced[input] <= needed[input] {
        let ring = rows.rings[input]
        for y in produced[input]...needed[input] {
          source(input, y, ring.row(y))
          rows.finish(input, y)
          tap?(input, y, UnsafePointer(ring.row(y)))
        }
      }
      for (i, step) in program.layers.enumerated() where produced[step.output] <= needed[step.output] {
        let start = profile == nil ? 0 : sc_thread_clock_ns()
        let ring = rows.rings[step.output]
        for y in produced[step.output]...needed[step.output] {
          step.layer.run(y, rows)
          rows.finish(step.output, y)
          tap?(step.output, y, UnsafePointer(ring.row(y)))
        }
        if let profile { profile[i] += sc_thread_clock_ns() - start }
      }
      for (i, output) in program.outputs.enumerated() {
        let ring = rows.rings[output.tensor]
        let perUnit = program.rowsPerUnit(output: i)
        for y in (units.lowerBound * perUnit)..<(units.upperBound * perUnit) { sink(i, y, UnsafePointer(ring.row(y))) }
      }
    }
  }
}

extension NetworkProgram {
  /// Runs the network on a whole padded picture, whose sides are whole multiples of all divisors; every thread takes one
  /// band of the outputs.
  ///
  /// `source` and `sink` are called from all threads, for a row by one or, near a band's edge, two of them (`source`).
  /// A profile and a tap are for one thread.
  func run(
    width: Int, height: Int, _ execution: Execution, profile: UnsafeMutablePointer<UInt64>? = nil,
    source: NetworkRunner.Source, sink: NetworkRunner.Sink, tap: NetworkRunner.Tap? = nil
  ) {
    let units = height / unit
    let bands = max(1, min(execution.threads, units))
    parallel(threads: bands, count: bands) { i in
      let band = (i * units / bands)..<((i + 1) * units / bands)
      NetworkRunner(self, width: width, height: height, band: band, stripeRows: execution.stripeRows)
        .run(source: source, sink: sink, tap: tap, profile: profile)
    }
  }
}
