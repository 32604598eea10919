// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// How much a search may do. None of it depends on the clock: the same picture always gives the same bytes.
struct SearchEffort {
  /// Passes with a gradient, at most.
  var gradientPasses: Int
  /// Passes that measure far-apart candidates exactly, at most.
  var exactPasses: Int
  /// Changes at one place of the latent (all channels together) in the first gradient passes.
  var changesPerPlace: Double
  /// How much of a change's observed excess of curvature its next estimate takes over.
  var learning: Float
  /// Gradient passes in a row without a new best before the search goes on to the next stage.
  var patience: Int
  /// Adjoint passes of random signs, for the curvature.
  var probes = 2
  /// Whether a gradient pass with a hyperprior counts what a symbol changes in the contexts of others.
  var countsContexts = true
  /// Bits that a change's effect on the contexts of others may save: without them, hopeless candidates are dropped early.
  var contextBits: Float = 3
  /// Distance between candidates that are measured at the same time, in places of the latent.
  var spacing = 3
  /// Exact passes between two gradients.
  var refresh = 36
  /// Bits by which a candidate may look worse and still be measured.
  var slack: Float = 4
}

/// A change of a symbol that may pay.
struct SearchCandidate {
  /// Predicted saving in bits.
  var gain: Float
  var channel: Int32
  /// What is added to the symbol.
  var step: Int32
}

/// What the searches with and without a hyperprior share: the picture's segments with their exact rates, the best state
/// so far, the estimate of the curvature, and the refinement by decoding.
///
/// Works on the latent and its symbols in place; the cost bits + weight · squared error of the best never rises.
final class SearchState {
  struct Segment {
    let symbols: AlignedBuffer<Int16>
    /// nil without a hyperprior, where the symbols are the decoded latent.
    let prior: SegmentPrior?
    let rate: SegmentRate
    /// Of the hyper-latent, which does not change.
    let hyperBits: Double
    let firstRow: Int
    /// Places before the segment's first.
    let firstPlace: Int
    let places: Int
  }

  let meter: DistortionMeter
  /// What a decoder gets.
  let latent: Latent
  let segments: [Segment]
  let weight: Double
  let effort: SearchEffort
  let execution: Execution
  /// Energy of the response to a unit change, [height][width][channels] as the meter's gradient.
  let curvature: AlignedBuffer<Float>
  /// Of the best state, by segment: without a hyperprior, twice the same.
  let bestSymbols: [AlignedBuffer<Int16>]
  let bestDecoded: [AlignedBuffer<Int16>]
  private let start: [[Int16]]
  private(set) var bestCost = Double.infinity
  /// Gets the picture that the final state decodes to.
  private let decoded: PictureView
  private var passes: [RDOQPass] = []
  var lastCost: Double { passes.last?.tried ?? 0 }
  private let progress: ((RDOQPass) -> Void)?
  private let monitor: ((Double) -> Bool)?
  /// Passes of both kinds so far, for the monitor.
  private var passesDone = 0
  /// Whether the monitor has ended the search, which then returns as soon as it can, in any state.
  private(set) var isStopped = false

  var channels: Int { latent.channels }
  var width: Int { latent.layout.width }
  var height: Int { latent.layout.height }

  /// Changes that save less are not made, in bits.
  static let margin: Float = 0.02

  /// `quantised` are the segments of `latent`, which is what their symbols decode to.
  init(
    _ meter: DistortionMeter, _ tables: RateTables, _ latent: Latent, _ quantised: [QuantisedSegment],
    weight: Double, _ effort: SearchEffort, decoded: PictureView, _ execution: Execution,
    progress: ((RDOQPass) -> Void)?, monitor: ((Double) -> Bool)? = nil
  ) {
    self.meter = meter
    self.decoded = decoded
    self.latent = latent
    self.weight = weight
    self.effort = effort
    self.execution = execution
    self.progress = progress
    self.monitor = monitor
    let width = latent.layout.width
    var geometry = RateGeometry(width: width, height: latent.layout.rows(segment: 0).count)
    segments = quantised.enumerated().map { i, segment in
      let rows = latent.layout.rows(segment: i)
      if geometry.height != rows.count { geometry = RateGeometry(width: width, height: rows.count) }
      let rate = SegmentRate(tables, geometry, values: segment.symbols.base)
      var hyperBits = 0.0
      if let prior = segment.prior {
        rate.setScales(prior.scales.base, 0..<latent.channels)
        let encoder = PayloadEncoder()
        prior.encodeHyperLatent(encoder)
        hyperBits = encoder.codeLength
      }
      return Segment(
        symbols: segment.symbols, prior: segment.prior, rate: rate, hyperBits: hyperBits, firstRow: rows.lowerBound,
        firstPlace: rows.lowerBound * width, places: rows.count * width)
    }
    start = segments.map { Array(UnsafeBufferPointer(start: $0.symbols.base, count: $0.symbols.count)) }
    curvature = AlignedBuffer(count: width * latent.layout.height * latent.channels, zero: 0)
    bestSymbols = segments.map { AlignedBuffer(count: $0.symbols.count, zero: 0) }
    bestDecoded =
      segments.contains { $0.prior != nil }
      ? segments.map { AlignedBuffer(count: $0.symbols.count, zero: 0) } : bestSymbols
  }

  /// What the search came to: after `restore`.
  func summary(lambda: Double) -> RDOQReport {
    var changed = 0
    for (segment, old) in zip(segments, start) {
      for i in old.indices where segment.symbols.base[i] != old[i] { changed += 1 }
    }
    return RDOQReport(lambda: lambda, passes: passes, changedValues: changed)
  }

  func forEachSegment(_ body: (Int, Execution) -> Void) {
    let inner = execution.inside(parallel: segments.count)
    parallel(threads: execution.threads, count: segments.count) { i in body(i, inner) }
  }

  /// Tells the monitor that another pass begins: whether to go on.
  func begins(_ kind: RDOQPass.Kind) -> Bool {
    if isStopped { return false }
    guard let monitor else { return true }
    if kind == .exact { passesDone = max(passesDone, effort.gradientPasses) }
    isStopped = !monitor(Double(passesDone) / Double(max(1, effort.gradientPasses + effort.exactPasses)))
    passesDone += 1
    return !isStopped
  }

  // MARK: The best state

  /// Keeps the state if it is the best so far; the meter has measured it.
  @discardableResult
  func report(_ kind: RDOQPass.Kind, changes: Int) -> Bool {
    report(kind, changes: changes, bits: segments.reduce(0) { $0 + $1.rate.bits })
  }

  /// The same where the segments' bits are known, without those of the hyper-latent.
  @discardableResult
  func report(_ kind: RDOQPass.Kind, changes: Int, bits: Double) -> Bool {
    let bits = segments.reduce(bits) { $0 + $1.hyperBits }
    let cost = bits + weight * Double(meter.squaredError)
    let improved = cost < bestCost
    if improved {
      bestCost = cost
      for (i, segment) in segments.enumerated() {
        bestSymbols[i].base.update(from: segment.symbols.base, count: segment.symbols.count)
        bestDecoded[i].base.update(from: latent.segments[i].base, count: latent.segments[i].count)
      }
    }
    let pass = RDOQPass(
      kind: kind, tried: cost, cost: bestCost, bits: bits, squaredError: meter.squaredError, changes: changes)
    passes.append(pass)
    progress?(pass)
    return improved
  }

  /// Measures the state that passes ended with and decodes it, or the best one, if that is not it.
  func conclude(_ kind: RDOQPass.Kind, changes: Int) {
    meter.measure(latent, decoded: decoded)
    if report(kind, changes: changes) { return }
    restore()
    decodePicture()
  }

  func decodePicture() { meter.decode(latent, into: decoded) }

  /// Goes back to the best state.
  func restore() {
    forEachSegment { i, execution in
      let segment = self.segments[i]
      segment.symbols.base.update(from: self.bestSymbols[i].base, count: segment.symbols.count)
      segment.rate.refresh()
      self.decode(i, execution)
    }
  }

  /// The decoder's means, scales and latent of a segment's symbols.
  func decode(_ index: Int, _ execution: Execution) {
    let segment = segments[index]
    guard let prior = segment.prior else { return }
    let decoded = latent.segments[index].base
    for (slice, range) in prior.sliceRanges.enumerated() {
      prior.predict(slice, from: decoded, execution)
      segment.rate.setScales(prior.scales.base, range)
      prior.dequantise(slice, segment.symbols.base, into: decoded)
    }
  }

  // MARK: Curvature

  /// Measures the latent with its gradient, and adds up squared responses to random signs.
  func probeCurvature() {
    let rowSize = width * channels
    meter.differentiate(latent, probes: effort.probes) { _, y, probe in
      let row = curvature.base + y * rowSize
      for i in 0..<rowSize { row[i] += probe[i] * probe[i] }
    }
  }

  func smoothCurvature() {
    fitCurvature(
      curvature.base, places: width * height, scales: meter.adjoint.scales[0], probes: effort.probes)
  }

  /// Where the gradient changed by more than the curvature said, because of kinks or of other changes nearby, the next
  /// estimate is more careful. `observed` is the change of the gradient over that of the value.
  func learn(_ at: Int, _ observed: Float) {
    let h = curvature.base[at]
    if observed > h { curvature.base[at] = h + effort.learning * (observed - h) }
  }

  // MARK: Exact refinement

  private struct Trial {
    let segment: Int
    let c: Int
    let y: Int
    let x: Int
    let old: Int
    /// What the segment's bits change by; without a hyperprior.
    let rate: Double
  }

  /// Measures candidates by decoding, many at a time that lie too far apart to disturb each other, and keeps the good
  /// (Galpin et al., §3.2, of which the gradient orders the candidates).
  ///
  /// `candidates` gives those of each place, the best last, at a state whose gradient the meter has.
  func refine(_ candidates: () -> [[SearchCandidate]]) {
    var left = effort.exactPasses
    var stalledRounds = -1
    var accepted = 0
    while left > 0, stalledRounds < 2 {
      forEachSegment { i, execution in self.decode(i, execution) }
      meter.differentiate(latent)
      let before = bestCost
      if !report(.exact, changes: accepted), passes[passes.count - 1].tried > bestCost {
        restore()
        meter.differentiate(latent)
      }
      stalledRounds = before - bestCost < 1e-4 * bestCost ? stalledRounds + 1 : 0
      var queue = candidates()
      var bits = placeBits()
      accepted = 0
      for turn in 0..<min(effort.refresh, left) {
        guard begins(.exact) else { return }
        left -= 1
        accepted += exactPass(turn / effort.spacing % effort.spacing, turn % effort.spacing, &queue, &bits)
      }
    }
    forEachSegment { i, execution in self.decode(i, execution) }
    conclude(.exact, changes: accepted)
  }

  /// Bits at each place, all segments; with a hyperprior, where a change moves the scales of later slices around it.
  private func placeBits() -> [Double] {
    segments[0].prior == nil ? [] : segments.flatMap { $0.rate.placeBits() }
  }

  /// One candidate at every place of a grid; `bits` are those of all places and are kept up to date. How many stay.
  private func exactPass(
    _ oy: Int, _ ox: Int, _ queue: inout [[SearchCandidate]], _ bits: inout [Double]
  ) -> Int {
    let reach = effort.spacing / 2
    let before = meter.cells
    var trials: [Trial] = []
    for y in stride(from: oy, to: height, by: effort.spacing) {
      let i = y / latent.layout.segmentRows
      let segment = segments[i]
      let row = y - segment.firstRow
      for x in stride(from: ox, to: width, by: effort.spacing) {
        guard let candidate = queue[y * width + x].popLast() else { continue }
        let c = Int(candidate.channel)
        let old = segment.rate.value(c, row, x)
        let value = old + Int(candidate.step)
        guard value != old, segment.rate.active[c],
          segment.rate.moved[c] > 1 || value != segment.rate.tables.table.mode[c]
        else { continue }
        let rate = segment.prior == nil ? segment.rate.change(c, row, x, to: value) : 0
        segment.rate.apply(c, row, x, to: value)
        trials.append(Trial(segment: i, c: c, y: y, x: x, old: old, rate: rate))
      }
    }
    if trials.isEmpty { return 0 }
    forEachSegment { i, execution in self.decode(i, execution) }
    meter.measure(latent)
    var after = placeBits()
    var accepted = 0
    for trial in trials {
      let rows = max(0, trial.y - reach)...min(height - 1, trial.y + reach)
      let columns = max(0, trial.x - reach)...min(width - 1, trial.x + reach)
      func forEachPlace(_ body: (Int) -> Void) {
        for y in rows { for x in columns { body(y * width + x) } }
      }
      var change = 0.0
      if after.isEmpty {
        forEachPlace { change += Double(meter.cells[$0]) - Double(before[$0]) }
        change = weight * change + trial.rate
      } else {
        forEachPlace { change += weight * (Double(meter.cells[$0]) - Double(before[$0])) + after[$0] - bits[$0] }
      }
      if change < 0 {
        accepted += 1
        continue
      }
      let segment = segments[trial.segment]
      segment.rate.apply(trial.c, trial.y - segment.firstRow, trial.x, to: trial.old)
      meter.forget(rows: trial.y - reach, columns: trial.x - reach, size: 2 * reach + 1, before)
      if !after.isEmpty { forEachPlace { after[$0] = bits[$0] } }
    }
    bits = after
    return accepted
  }
}
