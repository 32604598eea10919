// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// How much the search may do. None of it depends on the clock: the same picture always gives the same bytes.
struct RDOQEffort {
  /// Passes with a gradient, at most.
  var gradientPasses: Int
  /// Passes that measure far-apart candidates exactly, at most.
  var exactPasses: Int
  /// Adjoint passes of random signs, for the curvature.
  var probes = 2
  /// Changes at one place of the latent (all channels together) in the first gradient passes; 1 in the last.
  var changesPerPlace = 1
  /// How much of a change's observed excess of curvature its next estimate takes over.
  var learning: Float = 0.5
  /// Gradient passes without a new best before the search goes on to the next stage.
  var patience = 4
  /// Distance between candidates that are measured at the same time, in places of the latent.
  var spacing = 3
  /// Exact passes between two gradients.
  var refresh = 36
  /// Bits that a change's effect on the contexts of others may save: without them, hopeless candidates are dropped early.
  var contextBits: Float = 3
  /// Bits by which a candidate may look worse and still be measured.
  var slack: Float = 4
}

/// Lowers bits + weight · squared error of a quantised latent by steps of ±1 of its values.
///
/// Works on the latent in place; its cost never rises from one reported pass to the next.
final class RDOQOptimiser {
  private let meter: DistortionMeter
  private let latent: Latent
  private let segments: [SegmentRate]
  private let weight: Double
  private let execution: Execution
  private let effort: RDOQEffort
  /// Energy of the response to a unit change, [height][width][channels] as the meter's gradient.
  private let curvature: AlignedBuffer<Float>
  private var best: [AlignedBuffer<Int16>]
  private var bestCost = Double.infinity
  private(set) var passes: [RDOQPass] = []
  private let progress: ((RDOQPass) -> Void)?

  private var width: Int { latent.layout.width }
  private var height: Int { latent.layout.height }
  private var channels: Int { latent.channels }

  /// Changes that gain less are not made, in bits.
  private static let margin: Float = 0.02

  /// A change of a value that was made, to learn from.
  private struct Step {
    let index: Int
    let delta: Float
    let gradient: Float
  }

  private struct Candidate {
    /// Predicted change of the cost.
    var gain: Float
    /// In the segment: (channel · height + row) · width + column.
    var index: Int32
    var delta: Int8
  }

  init(
    _ meter: DistortionMeter, _ tables: RateTables, _ latent: Latent, weight: Double, _ effort: RDOQEffort,
    _ execution: Execution, progress: ((RDOQPass) -> Void)?
  ) {
    self.meter = meter
    self.latent = latent
    self.weight = weight
    self.effort = effort
    self.execution = execution
    self.progress = progress
    var geometry = RateGeometry(width: latent.layout.width, height: latent.layout.rows(segment: 0).count)
    segments = latent.segments.enumerated().map { i, buffer in
      let rows = latent.layout.rows(segment: i).count
      if geometry.height != rows { geometry = RateGeometry(width: latent.layout.width, height: rows) }
      return SegmentRate(tables, geometry, values: buffer.base)
    }
    curvature = AlignedBuffer(count: latent.layout.width * latent.layout.height * latent.channels, zero: 0)
    best = latent.segments.map { AlignedBuffer(count: $0.count, zero: 0) }
  }

  /// Bits of the latent.
  var bits: Double { segments.reduce(0) { $0 + $1.bits } }

  func run() {
    meter.differentiate(latent, probes: effort.probes) { i, rows, probe in addProbe(rows, probe) }
    smoothCurvature(
      curvature.base, places: width * height, scales: meter.adjoint.scales[0], probes: effort.probes)
    report(.start, changes: 0)
    var perPlace = effort.changesPerPlace
    var steps = sweep(perPlace)
    var worse = 0
    for i in 0..<effort.gradientPasses {
      if steps.isEmpty { break }
      let last = i + 1 == effort.gradientPasses
      if last { meter.measure(latent) } else { meter.differentiate(latent) }
      worse = report(.gradient, changes: steps.count) ? 0 : worse + 1
      if last || worse == effort.patience { break }
      learn(steps)
      // Many changes at once help while there is much to gain, and disturb each other later.
      if worse > 0
        || (i + 1) * effort.changesPerPlace >= effort.gradientPasses * (effort.changesPerPlace + 1 - perPlace)
      {
        perPlace = max(1, perPlace - 1)
      }
      steps = sweep(perPlace)
    }
    restore()
    if effort.exactPasses > 0 { refine() }
  }

  // MARK: Bookkeeping

  /// Keeps the state if it is the best so far; the meter has measured it.
  @discardableResult
  private func report(_ kind: RDOQPass.Kind, changes: Int) -> Bool {
    let bits = self.bits
    let cost = bits + weight * Double(meter.squaredError)
    let improved = cost < bestCost
    if improved {
      bestCost = cost
      for (from, to) in zip(latent.segments, best) { to.base.update(from: from.base, count: from.count) }
    }
    let pass = RDOQPass(
      kind: kind, tried: cost, cost: bestCost, bits: bits, squaredError: meter.squaredError, changes: changes)
    passes.append(pass)
    progress?(pass)
    return improved
  }

  /// Goes back to the best state.
  private func restore() {
    for (i, segment) in segments.enumerated() {
      let to = latent.segments[i]
      to.base.update(from: best[i].base, count: to.count)
      segment.refresh()
    }
  }

  // MARK: Curvature

  private func addProbe(_ rows: Range<Int>, _ probe: UnsafePointer<Float>) {
    let first = rows.lowerBound * width * channels
    for i in 0..<(rows.count * width * channels) { curvature.base[first + i] += probe[i] * probe[i] }
  }

  /// Where the gradient changed by more than the curvature said, because of kinks or of other changes nearby, the next
  /// estimate is more careful.
  private func learn(_ steps: [Step]) {
    for step in steps {
      let observed = (meter.gradient.base[step.index] - step.gradient) / step.delta
      let h = curvature.base[step.index]
      if observed > h { curvature.base[step.index] = h + effort.learning * (observed - h) }
    }
  }

  // MARK: Candidates

  private func distortion(_ gradient: Float, _ curvature: Float, _ delta: Int) -> Float {
    Float(weight) * (2 * gradient * Float(delta) + curvature)
  }

  /// Changes of a segment that look better than `limit` bits, best first.
  private func candidates(_ segment: SegmentRate, firstRow: Int, limit: Float) -> [Candidate] {
    let size = segment.width * segment.height
    var found: [Candidate] = []
    for c in 0..<channels where segment.active[c] {
      for y in 0..<segment.height {
        for x in 0..<width {
          let at = ((firstRow + y) * width + x) * channels + c
          let value = segment.value(c, y, x)
          for delta in [-1, 1] where -32768...32767 ~= value + delta {
            let distortion = self.distortion(meter.gradient.base[at], curvature.base[at], delta)
            if distortion > 24 { continue }
            if distortion + Float(segment.ownChange(c, y, x, to: value + delta)) > limit + effort.contextBits {
              continue
            }
            let gain = distortion + Float(segment.change(c, y, x, to: value + delta))
            if gain < limit {
              found.append(Candidate(gain: gain, index: Int32(c * size + y * width + x), delta: Int8(delta)))
            }
          }
        }
      }
    }
    found.sort { $0.gain != $1.gain ? $0.gain < $1.gain : ($0.index, $0.delta) < ($1.index, $1.delta) }
    return found
  }

  /// Makes the most promising changes, a few at each place. Segments are independent, but for their distortion.
  private func sweep(_ perPlace: Int) -> [Step] {
    var steps = [[Step]](repeating: [], count: segments.count)
    steps.withUnsafeMutableBufferPointer { steps in
      nonisolated(unsafe) let steps = steps.baseAddress!
      parallel(threads: execution.threads, count: segments.count) { i in steps[i] = sweep(segment: i, perPlace) }
    }
    return steps.flatMap { $0 }
  }

  private func sweep(segment index: Int, _ perPlace: Int) -> [Step] {
    let segment = segments[index]
    let firstRow = latent.layout.rows(segment: index).lowerBound
    let size = segment.width * segment.height
    var taken = [Int](repeating: 0, count: size)
    var steps: [Step] = []
    for candidate in candidates(segment, firstRow: firstRow, limit: -RDOQOptimiser.margin) {
      let c = Int(candidate.index) / size
      let place = Int(candidate.index) % size
      if taken[place] >= perPlace || !segment.active[c] { continue }
      let (y, x) = (place / width, place % width)
      let at = (firstRow * width + place) * channels + c
      let value = segment.value(c, y, x)
      let delta = Int(candidate.delta)
      let gradient = meter.gradient.base[at]
      let gain =
        distortion(gradient, curvature.base[at], delta) + Float(segment.change(c, y, x, to: value + delta))
      if gain >= -RDOQOptimiser.margin { continue }
      segment.apply(c, y, x, to: value + delta)
      taken[place] += 1
      steps.append(Step(index: at, delta: Float(delta), gradient: gradient))
    }
    return steps
  }

  // MARK: Exact refinement

  /// Measures candidates by decoding, many at a time that lie too far apart to disturb each other, and keeps the good.
  private func refine() {
    let spacing = effort.spacing
    let reach = spacing / 2
    var left = effort.exactPasses
    // Of each segment: candidates of each place, best first.
    var queue: [[Candidate]] = []
    var barren = -1
    var accepted = 0
    while left > 0, barren < 2 {
      meter.differentiate(latent)
      let before = bestCost
      if !report(.exact, changes: accepted), bits + weight * Double(meter.squaredError) > bestCost {
        restore()
        meter.differentiate(latent)
      }
      barren = before - bestCost < 1e-4 * bestCost ? barren + 1 : 0
      queue = [[Candidate]](repeating: [], count: width * height)
      for (i, segment) in segments.enumerated() {
        let rows = latent.layout.rows(segment: i)
        let size = segment.width * segment.height
        for candidate in candidates(segment, firstRow: rows.lowerBound, limit: effort.slack).reversed() {
          queue[rows.lowerBound * width + Int(candidate.index) % size].append(candidate)
        }
      }
      accepted = 0
      for turn in 0..<min(effort.refresh, left) {
        let (oy, ox) = (turn / spacing % spacing, turn % spacing)
        left -= 1
        accepted += exactPass(oy, ox, reach, &queue)
      }
    }
    meter.measure(latent)
    report(.exact, changes: accepted)
    restore()
  }

  private func exactPass(_ oy: Int, _ ox: Int, _ reach: Int, _ queue: inout [[Candidate]]) -> Int {
    struct Trial {
      let segment: Int
      let c: Int
      let y: Int
      let x: Int
      let delta: Int
      let rate: Double
    }
    let before = meter.cells
    var trials: [Trial] = []
    for y in stride(from: oy, to: height, by: effort.spacing) {
      for x in stride(from: ox, to: width, by: effort.spacing) {
        guard let candidate = queue[y * width + x].popLast() else { continue }
        let i = y / latent.layout.segmentRows
        let segment = segments[i]
        let row = y - latent.layout.rows(segment: i).lowerBound
        let c = Int(candidate.index) / (segment.width * segment.height)
        let delta = Int(candidate.delta)
        let value = segment.value(c, row, x)
        guard segment.active[c], segment.moved[c] > 1 || value + delta != segment.tables.table.mode[c] else { continue }
        let rate = segment.change(c, row, x, to: value + delta)
        segment.apply(c, row, x, to: value + delta)
        trials.append(Trial(segment: i, c: c, y: y, x: x, delta: delta, rate: rate))
      }
    }
    if trials.isEmpty { return 0 }
    meter.measure(latent)
    var accepted = 0
    for trial in trials {
      var change = 0.0
      for y in max(0, trial.y - reach)...min(height - 1, trial.y + reach) {
        for x in max(0, trial.x - reach)...min(width - 1, trial.x + reach) {
          change += Double(meter.cells[y * width + x]) - Double(before[y * width + x])
        }
      }
      if weight * change + trial.rate < 0 {
        accepted += 1
        continue
      }
      let segment = segments[trial.segment]
      let row = trial.y - latent.layout.rows(segment: trial.segment).lowerBound
      segment.apply(trial.c, row, trial.x, to: segment.value(trial.c, row, trial.x) - trial.delta)
      meter.forget(rows: trial.y - reach, columns: trial.x - reach, size: 2 * reach + 1, before)
    }
    return accepted
  }
}
