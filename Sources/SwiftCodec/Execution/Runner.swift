// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// Executes a network depth-first for a band of its outputs' rows: the picture passes in stripes, and each tensor keeps
/// just the rows that later ones still need, in a ring.
///
/// The result does not depend on the bands or the stripe. Next to a band's borders there are rows that its neighbour needs,
/// too: the lower band makes them, and hands them over in a seam.
final class NetworkRunner {
  /// Fills row `row` of input `input`: [width][channels] samples.
  typealias Source = (_ input: Int, _ row: Int, _ out: UnsafeMutablePointer<Int16>) -> Void
  /// Takes row `row` of output `output` (a position in the program's outputs).
  typealias Sink = (_ output: Int, _ row: Int, _ samples: UnsafePointer<Int16>) -> Void
  /// Sees row `row` of any tensor, inputs included, when it comes to be.
  typealias Tap = (_ tensor: Int, _ row: Int, _ samples: UnsafePointer<Int16>) -> Void

  private let program: NetworkProgram
  private let schedule: Schedule
  private let rows: RowStore
  private let above: Seam?
  private let below: Seam?

  /// `width` × `height` is the padded picture; `band` are rows of the outputs in the program's units. A stripe has
  /// `stripeRows` rows of the finest output, rounded up to whole units; 0 for the default.
  convenience init(_ program: NetworkProgram, width: Int, height: Int, band: Range<Int>, stripeRows: Int) {
    precondition(band.lowerBound >= 0 && band.upperBound <= height / program.unit && !band.isEmpty)
    let schedule = Schedule(program, width: width, height: height, band: band, stripeRows: stripeRows)
    self.init(program, schedule, width: width, height: height, above: nil, below: nil, nil)
  }

  /// `above` and `below` are the seams at the borders to other bands.
  init(
    _ program: NetworkProgram, _ schedule: Schedule, width: Int, height: Int, above: Seam?, below: Seam?,
    _ pool: MemoryPool?
  ) {
    self.program = program
    self.schedule = schedule
    self.above = above
    self.below = below
    rows = RowStore(
      program.tensors, width: width, height: height, capacities: schedule.capacities, program.kernels, pool)
  }

  /// Rows of an input that a band of the outputs is made of; `height` is the padded picture's.
  static func rows(ofInput input: Int, _ program: NetworkProgram, height: Int, band: Range<Int>) -> Range<Int> {
    let heights = program.tensors.map { height / $0.divisor }
    let first = Schedule.firstRows(program, heights, band)[input]
    var last = [Int](repeating: -1, count: program.tensors.count)
    for (i, output) in program.outputs.enumerated() {
      last[output.tensor] = max(last[output.tensor], band.upperBound * program.rowsPerUnit(output: i) - 1)
    }
    for step in program.layers.reversed() where last[step.output] >= 0 {
      let row = step.layer.inputRows(last[step.output]).upperBound
      for input in step.inputs { last[input] = max(last[input], max(0, min(row, heights[input] - 1))) }
    }
    return first <= last[input] ? first..<(last[input] + 1) : 0..<0
  }

  /// Bytes of the rows that a runner of a band in the middle of a picture keeps.
  static func byteCount(_ program: NetworkProgram, width: Int, height: Int, stripeRows: Int) -> Int64 {
    let stripe = Schedule.stripeUnits(program, width: width, rows: stripeRows)
    // Beyond some stripes the rings grow no more.
    let band = 0..<min(height / program.unit, 8 * stripe)
    let schedule = Schedule(program, width: width, height: height, band: band, stripeRows: stripeRows)
    var bytes: Int64 = 0
    for (tensor, rows) in zip(program.tensors, schedule.capacities) {
      bytes += 2 * Int64((tensor.left + width / tensor.divisor + tensor.right) * tensor.channels) * Int64(rows)
    }
    return bytes
  }

  /// `profile`, if given, has an element for each layer, to which the nanoseconds spent in it are added.
  func run(source: Source, sink: Sink, tap: Tap? = nil, profile: UnsafeMutablePointer<UInt64>? = nil) {
    schedule.forEachStripe(program) { units, from, to in
      for input in 0..<program.inputCount where from[input] < to[input] {
        let ring = rows.rings[input]
        for y in from[input]..<to[input] {
          source(input, y, ring.row(y))
          rows.finish(input, y)
          tap?(input, y, UnsafePointer(ring.row(y)))
        }
      }
      for (i, step) in program.layers.enumerated() where from[step.output] < to[step.output] {
        let start = profile == nil ? 0 : sc_thread_clock_ns()
        let ring = rows.rings[step.output]
        for y in from[step.output]..<to[step.output] {
          let row = ring.row(y)
          if let below, y >= below.first[step.output] {
            below.take(step.output, y, row)
          } else {
            step.layer.run(y, rows)
          }
          rows.finish(step.output, y)
          above?.put(step.output, y, UnsafePointer(row))
          tap?(step.output, y, UnsafePointer(row))
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
  /// Runs the network on a padded picture, whose sides are whole multiples of all divisors: for a band of the outputs' rows
  /// in units, or all of them. Every thread takes parts of the band.
  ///
  /// `source` and `sink` are called from all threads, for a row by one or, near a band's edge, two of them (`source`).
  /// A profile and a tap are for one thread.
  func run(
    width: Int, height: Int, band: Range<Int>? = nil, _ execution: Execution,
    profile: UnsafeMutablePointer<UInt64>? = nil,
    source: NetworkRunner.Source, sink: NetworkRunner.Sink, tap: NetworkRunner.Tap? = nil
  ) {
    let whole = band ?? 0..<(height / unit)
    let schedules = schedules(width: width, height: height, band: whole, execution)
    let sizes = tensors.map { width / $0.divisor * $0.channels }
    let seams = schedules.indices.dropLast().map {
      Seam(first: schedules[$0 + 1].first, counts: schedules[$0].taken, sizes: sizes, execution.pool)
    }
    // From below: a band's lower neighbour has begun before it.
    let last = schedules.count - 1
    parallel(threads: execution.threads, count: schedules.count) { job in
      let i = last - job
      NetworkRunner(
        self, schedules[i], width: width, height: height, above: i > 0 ? seams[i - 1] : nil,
        below: i < last ? seams[i] : nil, execution.pool
      ).run(source: source, sink: sink, tap: tap, profile: profile)
    }
  }
}
