// SPDX-License-Identifier: BSD-3-Clause

/// Which rows of each tensor a band of a network's outputs is made of, and when each of them is.
struct Schedule {
  /// Rows of the outputs, in the program's units.
  let band: Range<Int>
  let stripeUnits: Int
  /// Of each tensor in the whole picture.
  private let heights: [Int]
  /// The first row of each tensor that the band needs; Int.max for a tensor that no output is made of.
  let first: [Int]
  /// The first row of each layer's output that is taken from the band below, Int.max if there is none.
  private let limits: [Int]
  /// Rows of each tensor that live at the same time.
  private(set) var capacities: [Int]
  /// Rows of each tensor that are taken from the band below.
  private(set) var taken: [Int]
  /// The row after the last one of each tensor that the band needs.
  private var end: [Int]

  /// `below` are the first rows of the band below, if one hands its rows over.
  init(_ program: NetworkProgram, height: Int, band: Range<Int>, stripeRows: Int, below: [Int]? = nil) {
    self.band = band
    stripeUnits = Self.stripeUnits(program, rows: stripeRows)
    heights = program.tensors.map { height / $0.divisor }
    first = Self.firstRows(program, heights, band)
    let count = program.tensors.count
    // Every band loads inputs by itself.
    limits = (0..<count).map { $0 < program.inputCount ? Int.max : below?[$0] ?? Int.max }
    capacities = [Int](repeating: 1, count: count)
    taken = [Int](repeating: 0, count: count)
    end = first
    // The schedule is played through once without computing.
    var capacities = capacities
    var end = end
    forEachStripe(program) { units, produced, needed in
      var oldest = produced
      for (i, output) in program.outputs.enumerated() {
        oldest[output.tensor] = min(oldest[output.tensor], units.lowerBound * program.rowsPerUnit(output: i))
      }
      for step in program.layers where makes(step.output, produced, needed) {
        let row = max(0, step.layer.inputRows(produced[step.output]).lowerBound)
        for input in step.inputs { oldest[input] = min(oldest[input], row, heights[input] - 1) }
      }
      for t in capacities.indices {
        capacities[t] = max(capacities[t], needed[t] - oldest[t] + 1)
        end[t] = max(end[t], needed[t] + 1)
      }
    }
    self.capacities = capacities
    self.end = end
    for t in 0..<count where limits[t] != Int.max { taken[t] = max(0, end[t] - limits[t]) }
  }

  /// Whether a stripe computes rows of a layer's output.
  private func makes(_ tensor: Int, _ produced: [Int], _ needed: [Int]) -> Bool {
    min(needed[tensor], limits[tensor] - 1) >= produced[tensor]
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
  static func stripeUnits(_ program: NetworkProgram, rows: Int) -> Int {
    guard rows > 0 else { return defaultStripeUnits(program) }
    let finest = program.outputs.indices.reduce(1) { max($0, program.rowsPerUnit(output: $1)) }
    return (rows + finest - 1) / finest
  }

  /// Two rows of the coarsest tensor: few enough for the second-level cache, enough to use a weight several times.
  private static func defaultStripeUnits(_ program: NetworkProgram) -> Int {
    let coarsest = program.tensors.reduce(1) { max($0, $1.divisor) }
    return max(1, 2 * coarsest / program.unit)
  }

  /// Plays the schedule: `units` are those of the stripe, `produced` is the next row of each tensor, `needed` the last row
  /// that the stripe asks for.
  func forEachStripe(
    _ program: NetworkProgram, _ body: (_ units: Range<Int>, _ produced: [Int], _ needed: [Int]) -> Void
  ) {
    var produced = first
    for start in stride(from: band.lowerBound, to: band.upperBound, by: stripeUnits) {
      let units = start..<min(start + stripeUnits, band.upperBound)
      var needed = produced.map { $0 - 1 }
      for (i, output) in program.outputs.enumerated() {
        let last = units.upperBound * program.rowsPerUnit(output: i) - 1
        needed[output.tensor] = max(needed[output.tensor], last)
      }
      for step in program.layers.reversed() where makes(step.output, produced, needed) {
        let row = step.layer.inputRows(min(needed[step.output], limits[step.output] - 1)).upperBound
        for input in step.inputs { needed[input] = max(needed[input], min(row, heights[input] - 1)) }
      }
      body(units, produced, needed)
      for t in produced.indices { produced[t] = max(produced[t], needed[t] + 1) }
    }
  }

  // MARK: Bands side by side

  /// Bands for a thread: more than one, since threads are not always equally fast.
  private static let bandsPerThread = 2

  /// Cuts a band into some for all threads, from top to bottom, each of which takes rows from the one below it.
  static func divide(_ program: NetworkProgram, height: Int, band: Range<Int>, _ execution: Execution) -> [Schedule] {
    let threads = max(1, execution.threads)
    var count = threads == 1 ? 1 : min(band.count, bandsPerThread * threads)
    while count > 1 {
      if let schedules = divide(program, height: height, band: band, into: count, execution.stripeRows) {
        return schedules
      }
      count -= 1
    }
    return [Schedule(program, height: height, band: band, stripeRows: execution.stripeRows)]
  }

  /// nil where the bands are so low that one would take rows from another one than the next.
  private static func divide(
    _ program: NetworkProgram, height: Int, band: Range<Int>, into count: Int, _ stripeRows: Int
  ) -> [Schedule]? {
    // The first band has what others leave to the next above it, the last one hands over: borders lie higher by that.
    let shift = overlap(program, height: height, band)
    let borders = (0...count).map { i in
      i == 0 || i == count
        ? band.lowerBound + i / count * band.count
        : max(band.lowerBound + i, band.lowerBound + i * band.count / count - shift)
    }
    for i in 0..<count where borders[i] >= borders[i + 1] { return nil }
    var schedules: [Schedule] = []
    var below: Schedule?
    for i in (0..<count).reversed() {
      let schedule = Schedule(
        program, height: height, band: borders[i]..<borders[i + 1], stripeRows: stripeRows, below: below?.first)
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
