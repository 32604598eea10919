// SPDX-License-Identifier: BSD-3-Clause

/// Which rows of each tensor a band of a network's outputs is made of, and when each of them is.
final class Schedule {
  /// Rows of the outputs, in the program's units.
  let band: Range<Int>
  private let stripeUnits: Int
  /// The first row of each tensor that the band needs; Int.max for a tensor that no output is made of.
  let first: [Int]
  /// The first row of each layer's output that is taken from the band below, Int.max if there is none.
  private let limits: [Int]
  /// Rows of each tensor that live at the same time.
  let capacities: [Int]
  /// Rows of each tensor that are taken from the band below.
  let taken: [Int]
  /// The row after the last one of each tensor that the band needs.
  private let end: [Int]
  /// Of each tensor in the whole picture.
  private let heights: [Int]

  /// `below` are the first rows of the band below, if one hands its rows over.
  init(
    _ program: NetworkProgram, width: Int, height: Int, band: Range<Int>, stripeRows: Int, below: [Int]? = nil
  ) {
    let stripeUnits = Self.stripeUnits(program, width: width, rows: stripeRows)
    let heights = program.tensors.map { height / $0.divisor }
    let first = Self.firstRows(program, heights, band)
    let count = program.tensors.count
    // Every band loads inputs by itself.
    let limits = (0..<count).map { $0 < program.inputCount ? Int.max : below?[$0] ?? Int.max }
    // The schedule is played through once without computing.
    var capacities = [Int](repeating: 1, count: count)
    var end = first
    Self.play(program, heights, band, stripeUnits, first, limits) { units, from, to in
      var oldest = from
      for (i, output) in program.outputs.enumerated() {
        oldest[output.tensor] = min(oldest[output.tensor], units.lowerBound * program.rowsPerUnit(output: i))
      }
      for step in program.layers where min(to[step.output], limits[step.output]) > from[step.output] {
        let row = max(0, step.layer.inputRows(from[step.output]).lowerBound)
        for input in step.inputs { oldest[input] = min(oldest[input], row, heights[input] - 1) }
      }
      for t in 0..<count {
        capacities[t] = max(capacities[t], to[t] - oldest[t])
        end[t] = to[t]
      }
    }
    self.band = band
    self.stripeUnits = stripeUnits
    self.heights = heights
    self.first = first
    self.limits = limits
    self.capacities = capacities
    self.end = end
    taken = (0..<count).map { limits[$0] == Int.max ? 0 : max(0, end[$0] - limits[$0]) }
  }

  /// The first row of each tensor that a band needs; Int.max for a tensor that no output is made of.
  static func firstRows(_ program: NetworkProgram, _ heights: [Int], _ band: Range<Int>) -> [Int] {
    var first = [Int](repeating: Int.max, count: program.tensors.count)
    for (i, output) in program.outputs.enumerated() {
      first[output.tensor] = min(first[output.tensor], band.lowerBound * program.rowsPerUnit(output: i))
    }
    for step in program.layers.reversed() where first[step.output] != Int.max {
      // A row whose taps all lie outside of the picture still needs the nearest row inside.
      let row = max(0, step.layer.inputRows(first[step.output]).lowerBound)
      for input in step.inputs { first[input] = min(first[input], row, heights[input] - 1) }
    }
    return first
  }

  /// Units of a stripe of so many rows of the finest output; 0 for the default.
  static func stripeUnits(_ program: NetworkProgram, width: Int, rows: Int) -> Int {
    guard rows > 0 else { return defaultStripeUnits(program, width: width) }
    let finest = program.outputs.indices.reduce(1) { max($0, program.rowsPerUnit(output: $1)) }
    return (rows + finest - 1) / finest
  }

  /// Two rows of the coarsest tensor, enough to use a weight several times; or fewer, as many as the second-level cache holds.
  private static func defaultStripeUnits(_ program: NetworkProgram, width: Int) -> Int {
    let coarsest = program.tensors.reduce(1) { max($0, $1.divisor) }
    let elements = program.tensors.reduce(0.0) { $0 + Double($1.channels) / Double($1.divisor * $1.divisor) }
    let unitBytes = 2 * elements * Double(width) * Double(program.unit)
    return max(1, min(2 * coarsest / program.unit, Int(Double(stripeBytes) / unitBytes)))
  }

  private static let stripeBytes = 1 << 19

  /// Plays the schedule: `units` are those of the stripe, `from` is the next row of each tensor, `to` the one after the last that
  /// the stripe asks for.
  func forEachStripe(_ program: NetworkProgram, _ body: (_ units: Range<Int>, _ from: [Int], _ to: [Int]) -> Void) {
    Self.play(program, heights, band, stripeUnits, first, limits, body)
  }

  private static func play(
    _ program: NetworkProgram, _ heights: [Int], _ band: Range<Int>, _ stripeUnits: Int, _ first: [Int],
    _ limits: [Int], _ body: (_ units: Range<Int>, _ from: [Int], _ to: [Int]) -> Void
  ) {
    var (from, to) = (first, first)
    for start in stride(from: band.lowerBound, to: band.upperBound, by: stripeUnits) {
      let units = start..<min(start + stripeUnits, band.upperBound)
      for (i, output) in program.outputs.enumerated() {
        to[output.tensor] = max(to[output.tensor], units.upperBound * program.rowsPerUnit(output: i))
      }
      for step in program.layers.reversed() {
        // Rows that this band makes itself.
        let last = min(to[step.output], limits[step.output])
        guard last > from[step.output] else { continue }
        let row = step.layer.inputRows(last - 1).upperBound
        for input in step.inputs { to[input] = max(to[input], min(row, heights[input] - 1) + 1) }
      }
      body(units, from, to)
      for t in from.indices { from[t] = to[t] }
    }
  }

  // MARK: Bands side by side

  /// Bands for a thread: more than one, since threads are not always equally fast.
  private static let bandsPerThread = 2

  /// Cuts a band into some for all threads, from top to bottom, each of which takes rows from the one below it.
  static func divide(
    _ program: NetworkProgram, width: Int, height: Int, band: Range<Int>, threads: Int, stripeRows: Int
  ) -> [Schedule] {
    var count = threads <= 1 ? 1 : min(band.count, bandsPerThread * threads)
    while count > 1 {
      if let schedules = divide(program, width, height, band: band, into: count, stripeRows) { return schedules }
      count -= 1
    }
    return [Schedule(program, width: width, height: height, band: band, stripeRows: stripeRows)]
  }

  /// nil where the bands are so low that one would take rows from another one than the next.
  private static func divide(
    _ program: NetworkProgram, _ width: Int, _ height: Int, band: Range<Int>, into count: Int, _ stripeRows: Int
  ) -> [Schedule]? {
    // The first band has what others leave to the next above it, the last one hands over: borders lie higher by that.
    let shift = overlap(program, height: height, band)
    let borders = (0...count).map { i in
      let border = band.lowerBound + i * band.count / count
      return i == 0 || i == count ? border : max(band.lowerBound + i, border - shift)
    }
    for i in 0..<count where borders[i] >= borders[i + 1] { return nil }
    var schedules: [Schedule] = []
    var below: Schedule?
    for i in (0..<count).reversed() {
      let schedule = Schedule(
        program, width: width, height: height, band: borders[i]..<borders[i + 1], stripeRows: stripeRows,
        below: below?.first)
      if let below {
        for t in program.inputCount..<program.tensors.count where schedule.first[t] != Int.max {
          let last = below.first[t] + schedule.taken[t]
          guard schedule.first[t] <= below.first[t], last <= below.end[t], last <= below.limits[t] else { return nil }
        }
      }
      schedules.insert(schedule, at: 0)
      below = schedule
    }
    return schedules
  }

  /// How far above a band's border in the middle, in units, its layers begin, in the mean over the network's work.
  private static func overlap(_ program: NetworkProgram, height: Int, _ band: Range<Int>) -> Int {
    let middle = (band.lowerBound + band.upperBound) / 2
    let first = firstRows(program, program.tensors.map { height / $0.divisor }, middle..<band.upperBound)
    var (sum, all) = (0.0, 0.0)
    for step in program.layers where first[step.output] != Int.max {
      let (from, to) = (program.tensors[step.inputs[0]], program.tensors[step.output])
      let work = Double(from.channels * to.channels) / Double(to.divisor * to.divisor)
      sum += work * Double(middle * program.unit - first[step.output] * to.divisor)
      all += work
    }
    return all > 0 ? Int(sum / all / Double(program.unit) + 0.5) : 0
  }
}
