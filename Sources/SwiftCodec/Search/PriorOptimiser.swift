// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// How much the search with a hyperprior may do. None of it depends on the clock.
struct PriorEffort {
  /// Passes at most that take a gradient and choose every symbol anew.
  var gradientPasses: Int
  /// Passes that measure far-apart candidates exactly.
  var exactPasses: Int
  /// Adjoint passes of random signs, for the curvature.
  var probes = 2
  /// Whether a symbol's rate counts what it changes in the contexts of others.
  var countsContexts = true
  /// Changes at one place of the latent (all channels together) in the first pass.
  var changesPerPlace = 2.0
  /// How much of a change's observed excess of curvature its next estimate takes over.
  var learning: Float = 0.25
  /// Gradient passes in a row without a new best before the search goes on to the next stage.
  var patience = 8
  /// Distance between candidates that are measured at the same time, in places of the latent.
  var spacing = 3
  /// Exact passes between two gradients.
  var refresh = 36
  /// Bits by which a candidate may look worse and still be measured.
  var slack: Float = 4
}

/// Lowers bits + weight · squared error of a latent that is coded with a hyperprior.
///
/// A gradient pass takes the derivative of the squared error at the decoded latent ŷ. Then, slice by slice, the decoder's
/// means and scales are computed from the slices before as they now are, and every symbol of the slice is chosen anew: for
/// its bits under exactly these scales and contexts and for the error that gradient and curvature predict of
/// ŷ = symbol + mean. What this does to later slices is seen in the true cost, which decides whether the pass is kept.
/// An exact pass decodes a few changes that lie far apart, later slices included, and keeps those that helped.
final class PriorOptimiser {
  private struct Segment {
    let prior: SegmentPrior
    let symbols: AlignedBuffer<Int16>
    let rate: SegmentRate
    /// Of the hyper-latent.
    let hyperBits: Double
    let firstRow: Int
    /// Places before the segment's first.
    let firstPlace: Int
    let places: Int
  }

  /// What was best so far: symbols and decoded latent of each segment, and gradients there.
  private struct State {
    let symbols: [AlignedBuffer<Int16>]
    let decoded: [AlignedBuffer<Int16>]
    /// The meter's.
    let gradient: AlignedBuffer<Float>
    /// With what a move does to bits of later slices.
    let total: AlignedBuffer<Float>
  }

  private struct Candidate {
    /// Predicted saving.
    var gain: Float
    var channel: Int32
    var value: Int16
  }

  private let meter: DistortionMeter
  private let latent: Latent
  private let segments: [Segment]
  private let laterSlices: [AdjointProgram]
  private let start: [[Int16]]
  private let weight: Double
  private let q: Int
  private let execution: Execution
  private let effort: PriorEffort
  /// Energy of the response to a unit change, [height][width][channels] as the meter's gradient.
  private let curvature: AlignedBuffer<Float>
  private let best: State
  private var bestCost = Double.infinity
  private(set) var passes: [RDOQPass] = []
  private let progress: ((RDOQPass) -> Void)?

  private var channels: Int { latent.channels }
  private var width: Int { latent.layout.width }
  private var height: Int { latent.layout.height }

  /// Changes that save less are not made, in bits.
  private static let margin: Float = 0.02

  /// `latent` is that of the analysis network; it becomes the decoded one.
  init(
    _ meter: DistortionMeter, _ tables: RateTables, _ codec: SegmentCodec, _ laterSlices: [AdjointProgram],
    _ latent: Latent, hyperLatent: Latent, weight: Double, _ effort: PriorEffort, _ execution: Execution,
    progress: ((RDOQPass) -> Void)?
  ) {
    self.meter = meter
    self.latent = latent
    self.laterSlices = laterSlices
    self.weight = weight
    self.effort = effort
    self.execution = execution
    self.progress = progress
    q = codec.hyper?.q ?? 0
    let width = latent.layout.width
    var geometry = RateGeometry(width: width, height: latent.layout.rows(segment: 0).count)
    segments = latent.segments.indices.map { i in
      let rows = latent.layout.rows(segment: i)
      if geometry.height != rows.count { geometry = RateGeometry(width: width, height: rows.count) }
      let (prior, symbols) = codec.quantise(
        segment: i, latent, hyperLatent: hyperLatent.segments[i].base, execution)
      let rate = SegmentRate(tables, geometry, values: symbols.base)
      rate.setScales(prior.scales.base, 0..<latent.channels)
      let encoder = PayloadEncoder()
      prior.encodeHyperLatent(encoder)
      return Segment(
        prior: prior, symbols: symbols, rate: rate, hyperBits: encoder.codeLength, firstRow: rows.lowerBound,
        firstPlace: rows.lowerBound * width, places: rows.count * width)
    }
    start = segments.map { Array(UnsafeBufferPointer(start: $0.symbols.base, count: $0.symbols.count)) }
    let size = latent.layout.width * latent.layout.height * latent.channels
    curvature = AlignedBuffer(count: size, zero: 0)
    best = State(
      symbols: latent.segments.map { AlignedBuffer(count: $0.count, zero: 0) },
      decoded: latent.segments.map { AlignedBuffer(count: $0.count, zero: 0) },
      gradient: AlignedBuffer(count: size, zero: 0), total: AlignedBuffer(count: size, zero: 0))
  }

  var bits: Double { segments.reduce(0) { $0 + $1.hyperBits + $1.rate.bits } }

  /// Symbols that differ from those of the analysis network.
  var changedValues: Int {
    var changed = 0
    for (segment, old) in zip(segments, start) {
      for i in old.indices where segment.symbols.base[i] != old[i] { changed += 1 }
    }
    return changed
  }

  func run() {
    let rowSize = width * channels
    meter.differentiate(latent, probes: effort.probes) { _, rows, probe in
      let first = rows.lowerBound * rowSize
      for i in 0..<(rows.count * rowSize) { curvature.base[first + i] += probe[i] * probe[i] }
    }
    for probe in 0..<effort.probes {
      forEachSegment { i, execution in
        let segment = self.segments[i]
        segment.prior.addLaterCurvature(
          self.laterSlices, segment.rate, self.latent.segments[i].base, divisor: self.meter.divisor,
          weight: self.weight,
          probe: probe, to: self.curvature.base + segment.firstPlace * self.channels, execution)
      }
    }
    smoothCurvature(
      curvature.base, places: width * height, scales: meter.adjoint.scales[0], probes: effort.probes)
    report(.start, changes: 0)
    takeGradient()
    // Changes that are made at the same time disturb each other: as many are made as the last passes could bear.
    var budget = effort.changesPerPlace
    var worse = 0
    for _ in 0..<effort.gradientPasses {
      let changes = sweep(thresholds(budget))
      if changes == 0 { break }
      meter.differentiate(latent)
      learn()
      if report(.gradient, changes: changes) {
        takeGradient()
        worse = 0
        budget = min(6, 1.2 * budget)
      } else {
        worse += 1
        restore()
        if worse == effort.patience { break }
        budget *= 0.7
      }
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
      for (i, segment) in segments.enumerated() {
        best.symbols[i].base.update(from: segment.symbols.base, count: segment.symbols.count)
        best.decoded[i].base.update(from: latent.segments[i].base, count: latent.segments[i].count)
      }
    }
    let pass = RDOQPass(
      kind: kind, tried: cost, cost: bestCost, bits: bits, squaredError: meter.squaredError, changes: changes)
    passes.append(pass)
    progress?(pass)
    return improved
  }

  /// Goes back to the best state.
  private func restore() {
    forEachSegment { i, execution in
      let segment = self.segments[i]
      segment.symbols.base.update(from: self.best.symbols[i].base, count: segment.symbols.count)
      segment.rate.refresh()
      self.decode(i, execution)
    }
  }

  /// The decoder's means, scales and latent of a segment's symbols.
  private func decode(_ index: Int, _ execution: Execution) {
    let segment = segments[index]
    let decoded = latent.segments[index].base
    for (slice, range) in segment.prior.sliceRanges.enumerated() {
      segment.prior.predict(slice, from: decoded, execution)
      segment.rate.setScales(segment.prior.scales.base, range)
      let first = range.lowerBound * segment.places
      sc_dequantise(
        segment.symbols.base + first, segment.prior.means.base + first, decoded + first, range.count * segment.places,
        Int32(q))
    }
  }

  /// Takes the gradient of the present state, which is the best, and adds the later slices' part.
  private func takeGradient() {
    best.gradient.base.update(from: meter.gradient.base, count: best.gradient.count)
    best.total.base.update(from: meter.gradient.base, count: best.total.count)
    forEachSegment { i, execution in
      let segment = self.segments[i]
      segment.prior.addLaterSlices(
        self.laterSlices, segment.rate, self.latent.segments[i].base, divisor: self.meter.divisor, weight: self.weight,
        to: self.best.total.base + segment.firstPlace * self.channels, execution)
    }
  }

  private func forEachSegment(_ body: (Int, Execution) -> Void) {
    let inner = execution.inside(parallel: segments.count)
    parallel(threads: execution.threads, count: segments.count) { i in body(i, inner) }
  }

  /// Where the gradient changed by more than the curvature said, because of kinks or of other changes nearby, the next
  /// estimate is more careful.
  private func learn() {
    let one = Float(1 << q)
    for (i, segment) in segments.enumerated() {
      let (now, before) = (latent.segments[i].base, best.decoded[i].base)
      for c in 0..<channels {
        for p in 0..<segment.places {
          let move = Float(now[c * segment.places + p]) - Float(before[c * segment.places + p])
          if abs(move) < 0.5 * one { continue }
          let at = (segment.firstPlace + p) * channels + c
          let observed = (meter.gradient.base[at] - best.gradient.base[at]) / move
          let h = curvature.base[at]
          if observed > h { curvature.base[at] = h + effort.learning * (observed - h) }
        }
      }
    }
  }

  // MARK: Gradient passes

  private func requantiser(
    _ index: Int, _ c: Int, looksAhead: Bool, threshold: UnsafePointer<Float>? = nil
  ) -> sc_requantiser {
    let segment = segments[index]
    let first = segment.firstPlace * channels + c
    return sc_requantiser(
      means: segment.prior.means.base + c * segment.places, decoded: latent.segments[index].base + c * segment.places,
      reference: best.decoded[index].base + c * segment.places, gradient: best.total.base + first,
      curvature: curvature.base + first, stride: channels, weight: Float(weight), q: Int32(q),
      looks_ahead: looksAhead ? 1 : 0, threshold: threshold)
  }

  /// What the best change of every symbol of a segment would save, and to what: [channels][places].
  private func propose(_ index: Int, looksAhead: Bool) -> (gains: AlignedBuffer<Float>, to: AlignedBuffer<Int16>) {
    let places = segments[index].places
    let gains = AlignedBuffer<Float>(count: channels * places, zero: 0)
    let to = AlignedBuffer<Int16>(count: channels * places, zero: 0)
    for c in 0..<channels {
      segments[index].rate.propose(
        c, requantiser(index, c, looksAhead: looksAhead), gains.base + c * places, to.base + c * places)
    }
    return (gains, to)
  }

  /// What a change must save at each place, so that about `budget` changes a place are made, at the best state.
  private func thresholds(_ budget: Double) -> AlignedBuffer<Float> {
    let result = AlignedBuffer<Float>(count: width * height, zero: 0)
    let most = max(1, Int(budget.rounded(.up)))
    var promising = [[Float]](repeating: [], count: segments.count)
    promising.withUnsafeMutableBufferPointer { promising in
      // Each segment writes its own.
      nonisolated(unsafe) let promising = promising.baseAddress!
      forEachSegment { i, _ in
        let segment = segments[i]
        let gains = propose(i, looksAhead: false).gains
        var top = [Float](repeating: 0, count: most)
        for p in 0..<segment.places {
          for k in 0..<most { top[k] = 0 }
          for c in 0..<channels {
            var gain = gains.base[c * segment.places + p]
            for k in 0..<most where gain > top[k] { swap(&gain, &top[k]) }
          }
          result.base[segment.firstPlace + p] = max(PriorOptimiser.margin, 0.999 * top[most - 1])
          for gain in top where gain > 0 { promising[i].append(gain) }
        }
      }
    }
    var all = promising.flatMap { $0 }
    let wanted = max(1, Int(budget * Double(width * height)))
    if all.count > wanted {
      all.sort(by: >)
      for p in 0..<(width * height) { result.base[p] = max(result.base[p], all[wanted]) }
    }
    return result
  }

  /// Chooses all symbols anew, from the best state; returns how many changed.
  private func sweep(_ thresholds: AlignedBuffer<Float>) -> Int {
    let changes = AlignedBuffer<Int>(count: segments.count, zero: 0)
    forEachSegment { i, execution in
      let segment = segments[i]
      for (slice, range) in segment.prior.sliceRanges.enumerated() {
        segment.prior.predict(slice, from: latent.segments[i].base, execution)
        segment.rate.setScales(segment.prior.scales.base, range)
        for c in range {
          let how = requantiser(
            i, c, looksAhead: effort.countsContexts || segment.rate.hasMean(c),
            threshold: thresholds.base + segment.firstPlace)
          changes.base[i] += segment.rate.requantise(c, how)
        }
      }
      segment.rate.recount()
    }
    return (0..<segments.count).reduce(0) { $0 + changes.base[$1] }
  }

  // MARK: Exact refinement

  /// Measures candidates by decoding, many at a time that lie too far apart to disturb each other, and keeps the good.
  private func refine() {
    var left = effort.exactPasses
    var barren = -1
    var accepted = 0
    while left > 0, barren < 2 {
      forEachSegment { i, execution in decode(i, execution) }
      meter.differentiate(latent)
      let before = bestCost
      if !report(.exact, changes: accepted), accepted > 0 {
        restore()
        meter.differentiate(latent)
      }
      takeGradient()
      barren = before - bestCost < 1e-4 * bestCost ? barren + 1 : 0
      // Of each place, best last.
      var queue = [[Candidate]](repeating: [], count: width * height)
      var bits: [Double] = []
      for (i, segment) in segments.enumerated() {
        let (gains, to) = propose(i, looksAhead: effort.countsContexts)
        for p in 0..<segment.places {
          for c in 0..<channels {
            let gain = gains.base[c * segment.places + p]
            if gain < -effort.slack { continue }
            queue[segment.firstPlace + p].append(
              Candidate(gain: gain, channel: Int32(c), value: to.base[c * segment.places + p]))
          }
          queue[segment.firstPlace + p].sort { ($0.gain, $1.channel) < ($1.gain, $0.channel) }
        }
        bits += segment.rate.placeBits()
      }
      accepted = 0
      for turn in 0..<min(effort.refresh, left) {
        left -= 1
        accepted += exactPass(turn / effort.spacing % effort.spacing, turn % effort.spacing, &queue, &bits)
      }
    }
    forEachSegment { i, execution in decode(i, execution) }
    meter.measure(latent)
    report(.exact, changes: accepted)
    restore()
  }

  /// One candidate at every place of a grid; `bits` are those of all places and are kept up to date. How many stay.
  private func exactPass(_ oy: Int, _ ox: Int, _ queue: inout [[Candidate]], _ bits: inout [Double]) -> Int {
    struct Trial {
      let segment: Int
      let c: Int
      let y: Int
      let x: Int
      let old: Int
    }
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
        let value = Int(candidate.value)
        guard value != old, segment.rate.active[c],
          segment.rate.moved[c] > 1 || value != segment.rate.tables.table.mode[c]
        else { continue }
        segment.rate.apply(c, row, x, to: value)
        trials.append(Trial(segment: i, c: c, y: y, x: x, old: old))
      }
    }
    if trials.isEmpty { return 0 }
    forEachSegment { i, execution in decode(i, execution) }
    meter.measure(latent)
    var after: [Double] = []
    for segment in segments { after += segment.rate.placeBits() }
    var accepted = 0
    for trial in trials {
      let (rows, columns) = (
        max(0, trial.y - reach)...min(height - 1, trial.y + reach),
        max(0, trial.x - reach)...min(width - 1, trial.x + reach)
      )
      var change = 0.0
      for p in rows.lazy.flatMap({ y in columns.lazy.map { y * self.width + $0 } }) {
        change += weight * (Double(meter.cells[p]) - Double(before[p])) + after[p] - bits[p]
      }
      if change < 0 {
        accepted += 1
        continue
      }
      let segment = segments[trial.segment]
      segment.rate.apply(trial.c, trial.y - segment.firstRow, trial.x, to: trial.old)
      meter.forget(rows: trial.y - reach, columns: trial.x - reach, size: 2 * reach + 1, before)
      for p in rows.lazy.flatMap({ y in columns.lazy.map { y * self.width + $0 } }) { after[p] = bits[p] }
    }
    bits = after
    return accepted
  }
}
