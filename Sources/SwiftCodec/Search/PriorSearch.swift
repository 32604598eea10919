// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// What each place of the latent costs: squared errors there, and bits of all channels.
private struct PlaceCosts {
  var cells: [UInt64]
  var bits: [Double]
  let activityBits: Double

  /// Of the state that the meter has measured.
  init(_ state: SearchState) {
    cells = state.meter.cells
    bits = state.segments.flatMap { $0.rate.placeBits() }
    activityBits = state.segments.reduce(0) { $0 + $1.rate.activityBits }
  }

  /// All bits but those of the hyper-latent.
  var sum: Double { bits.reduce(activityBits, +) }
}

/// The state that changes are made to.
private final class Base {
  /// By segment.
  let symbols: [AlignedBuffer<Int16>]
  let decoded: [AlignedBuffer<Int16>]
  /// Nearly: where places of two states were put together, as they cost there.
  private(set) var costs: PlaceCosts

  var sum: Double { costs.sum }

  init(_ state: SearchState) {
    symbols = state.segments.map { AlignedBuffer(count: $0.symbols.count, zero: 0) }
    decoded = state.segments.map { AlignedBuffer(count: $0.symbols.count, zero: 0) }
    costs = PlaceCosts(state)
  }

  /// Takes the present state, which the meter has measured.
  func take(_ state: SearchState) { take(state, PlaceCosts(state)) }

  func take(_ state: SearchState, _ costs: PlaceCosts) {
    self.costs = costs
    for (i, segment) in state.segments.enumerated() {
      symbols[i].base.update(from: segment.symbols.base, count: segment.symbols.count)
      decoded[i].base.update(from: state.latent.segments[i].base, count: segment.symbols.count)
    }
  }
}

/// The search with a hyperprior: lowers bits + weight · squared error of symbols whose means and scales depend on what the
/// slices before decode to.
///
/// A gradient pass takes the derivative of the squared error at the decoded latent ŷ. Then, slice by slice, the decoder's
/// means and scales are computed from the slices before as they now are, and every symbol of the slice is chosen anew: for
/// its bits under exactly these scales and contexts and for the error that gradient and curvature predict of
/// ŷ = symbol + mean. What this does to later slices is seen in the true cost, which decides whether the pass is kept.
/// An exact pass decodes a few changes that lie far apart, later slices included, and keeps those that helped.
struct PriorSearch {
  let state: SearchState
  /// Of all slices but the first, which sees no other.
  private let laterSlices: [AdjointProgram]
  /// Exponent of the latent.
  private let q: Int
  /// Of a picture of one segment: of many they would take much memory.
  private let kept: KeptPasses?
  /// At the best state: the meter's gradient, and the same with what a move did to bits of later slices; and the
  /// curvature. [channels][places] of each segment, from its first place times the channels on.
  private let gradient: AlignedBuffer<Float>
  private let total: AlignedBuffer<Float>
  private let curvature: AlignedBuffer<Float>

  private let base: Base
  /// At a place, in a pass.
  private static let mostChanges = 16.0
  /// Passes between two looks at what moves do to later slices, which changes slowly.
  private static let laterEvery = 3

  private var effort: SearchEffort { state.effort }
  private var channels: Int { state.channels }

  init(_ state: SearchState, _ laterSlices: [AdjointProgram]) {
    self.state = state
    self.laterSlices = laterSlices
    q = state.segments[0].prior?.latentExponent ?? 0
    kept = state.segments.count == 1 ? KeptPasses() : nil
    gradient = AlignedBuffer(count: state.curvature.count, zero: 0)
    total = AlignedBuffer(count: state.curvature.count, zero: 0)
    curvature = AlignedBuffer(count: state.curvature.count, zero: 0)
    base = Base(state)
  }

  /// Segments with their priors, in parallel.
  private func forEachSegment(_ body: (Int, SearchState.Segment, SegmentPrior, Execution) -> Void) {
    state.forEachSegment { i, execution in
      guard let prior = state.segments[i].prior else { preconditionFailure("a search with a hyperprior") }
      body(i, state.segments[i], prior, execution)
    }
  }

  func run() {
    state.probeCurvature()
    for probe in 0..<effort.probes {
      forEachSegment { i, segment, prior, execution in
        prior.addLaterCurvature(
          laterSlices, segment.rate, state.latent.segments[i].base, weight: state.weight, probe: probe,
          to: state.curvature.base + segment.firstPlace * channels, kept, execution)
      }
    }
    state.smoothCurvature()
    transpose(state.curvature, to: curvature)
    base.take(state)
    state.report(.start, changes: 0, bits: base.sum)
    transpose(state.meter.gradient, to: gradient)
    takeTotal()
    // Changes that are made at the same time disturb each other: as many are made as the last passes could bear.
    var budget = effort.changesPerPlace
    // A search of many passes comes down slowly, one of few from the start.
    let down = max(0.6, 1 - 2 / Double(max(1, effort.gradientPasses)))
    let growth = effort.gradientPasses < 4 ? 0.7 : 1.2
    for pass in 1...max(1, effort.gradientPasses) where effort.gradientPasses > 0 {
      guard state.begins(.gradient) else { return }
      let changes = sweep(thresholds(budget))
      if changes == 0 { break }
      let isLast = pass == effort.gradientPasses
      if isLast { state.meter.measure(state.latent) } else { state.meter.differentiate(state.latent) }
      let trial = PlaceCosts(state)
      state.report(.gradient, changes: changes, bits: trial.sum)
      if !isLast { learn() }
      let isBetter = settle(trial, looksLater: !isLast && pass % PriorSearch.laterEvery == 0)
      budget = isBetter ? min(PriorSearch.mostChanges, growth * budget) : down * budget
    }
    if effort.gradientPasses > 0 { state.conclude(.gradient, changes: 0) }
    if effort.exactPasses > 0 {
      state.refine {
        transpose(state.meter.gradient, to: gradient)
        base.take(state)
        takeTotal()
        return candidates()
      }
    }
  }

  /// From [places][channels] of the picture to planes of the segments.
  private func transpose(_ from: AlignedBuffer<Float>, to: AlignedBuffer<Float>) {
    state.forEachSegment { i, _ in
      let segment = self.state.segments[i]
      let (source, target) = (from.base + segment.firstPlace * channels, to.base + segment.firstPlace * channels)
      // In blocks that the caches hold.
      for first in stride(from: 0, to: segment.places, by: 16) {
        let places = first..<min(first + 16, segment.places)
        for c in 0..<channels {
          for p in places { target[c * segment.places + p] = source[p * channels + c] }
        }
      }
    }
  }

  /// Adds to the gradient of the present state the later slices' part. `decodes` says of each segment whether its symbols
  /// changed, so that it is to be decoded anew.
  private func takeTotal(decodes: AlignedBuffer<UInt8>? = nil) {
    total.base.update(from: gradient.base, count: total.count)
    forEachSegment { i, segment, prior, execution in
      prior.addLaterSlices(
        laterSlices, segment.rate, state.latent.segments[i].base,
        decoding: decodes?.base[i] == 1 ? UnsafePointer(segment.symbols.base) : nil, weight: state.weight,
        to: total.base + segment.firstPlace * channels, kept, execution)
    }
  }

  /// Makes of the base and the trial, which was measured with its gradient, the next base with all that the next pass needs:
  /// at each place the cheaper one. Whether the trial as a whole was cheaper.
  ///
  /// That is nearly exact for the error, since a change at a place is seen there and hardly anywhere else. `looksLater`
  /// is whether what moves do to later slices is seen anew.
  private func settle(_ trial: PlaceCosts, looksLater: Bool) -> Bool {
    var all = 0.0
    let isKept = AlignedBuffer<UInt8>(count: trial.bits.count, zero: 1)
    for p in trial.bits.indices {
      let errors = Double(trial.cells[p]) - Double(base.costs.cells[p])
      let change = state.weight * errors + trial.bits[p] - base.costs.bits[p]
      all += change
      if change > 0 { isKept.base[p] = 0 }
    }
    let isMixed = AlignedBuffer<UInt8>(count: state.segments.count, zero: 0)
    forEachSegment { i, segment, _, _ in
      let first = segment.firstPlace
      let isKept = isKept.base + first
      if (0..<segment.places).contains(where: { isKept[$0] == 0 }) {
        isMixed.base[i] = 1
        segment.rate.take(base.symbols[i].base) { isKept[$0] == 0 }
      }
      let (old, new) = (gradient.base + first * channels, state.meter.gradient.base + first * channels)
      let total = total.base + first * channels
      for p in 0..<segment.places where isKept[p] == 1 {
        for c in 0..<channels {
          let (from, to) = (p * channels + c, c * segment.places + p)
          total[to] += new[from] - old[to]
          old[to] = new[from]
        }
      }
    }
    if looksLater {
      takeTotal(decodes: isMixed)
    } else {
      forEachSegment { i, _, _, execution in
        if isMixed.base[i] == 1 { state.decode(i, execution) }
      }
    }
    var costs = PlaceCosts(state)
    for p in costs.bits.indices where isKept.base[p] == 0 { costs.cells[p] = base.costs.cells[p] }
    base.take(state, costs)
    return all < 0
  }

  /// Where the gradient changed by more than the curvature said, the next estimate is more careful.
  private func learn() {
    let one = Float(1 << q)
    forEachSegment { i, segment, _, _ in
      let (now, before) = (state.latent.segments[i].base, base.decoded[i].base)
      let first = segment.firstPlace * channels
      let (new, old) = (state.meter.gradient.base + first, gradient.base + first)
      let curvature = curvature.base + first
      for c in 0..<channels {
        for p in 0..<segment.places {
          let at = c * segment.places + p
          let move = Float(now[at]) - Float(before[at])
          if abs(move) < 0.5 * one { continue }
          let observed = (new[p * channels + c] - old[at]) / move
          if observed > curvature[at] { curvature[at] += effort.learning * (observed - curvature[at]) }
        }
      }
    }
  }

  /// `threshold` nil for changes that save anything or nothing.
  private func requantiser(
    _ index: Int, _ prior: SegmentPrior, _ c: Int, looksAhead: Bool, threshold: UnsafePointer<Float>?,
    _ scratch: AlignedBuffer<UInt8>
  ) -> sc_requantiser {
    let segment = state.segments[index]
    let plane = c * segment.places
    let first = segment.firstPlace * channels + plane
    return sc_requantiser(
      means: prior.means.base + plane, decoded: state.latent.segments[index].base + plane,
      reference: base.decoded[index].base + plane, gradient: total.base + first,
      curvature: curvature.base + first, weight: Float(state.weight), q: Int32(q), looks_ahead: looksAhead ? 1 : 0,
      threshold: threshold, scratch: scratch.base)
  }

  /// What a change must save at each place, so that about `budget` changes a place are made, at the best state.
  private func thresholds(_ budget: Double) -> AlignedBuffer<Float> {
    let places = state.width * state.height
    let result = AlignedBuffer<Float>(count: places, zero: SearchState.margin)
    let most = max(1, Int(budget.rounded(.up)))
    var promising = [[Float]](repeating: [], count: state.segments.count)
    promising.withUnsafeMutableBufferPointer { promising in
      // Each segment writes its own.
      nonisolated(unsafe) let promising = promising.baseAddress!
      forEachSegment { i, segment, prior, _ in
        let gains = AlignedBuffer<Float>(count: segment.places, zero: 0)
        let to = AlignedBuffer<Int16>(count: segment.places, zero: 0)
        let scratch = AlignedBuffer<UInt8>(count: segment.places, zero: 0)
        // Of each place the most promising, best first.
        let top = AlignedBuffer<Float>(count: segment.places * most, zero: 0)
        let threshold = result.base + segment.firstPlace
        for c in 0..<channels where segment.rate.active[c] {
          segment.rate.propose(
            c, requantiser(i, prior, c, looksAhead: false, threshold: threshold, scratch), gains.base, to.base)
          for p in 0..<segment.places where gains.base[p] > SearchState.margin {
            var gain = gains.base[p]
            let best = top.base + p * most
            for k in 0..<most where gain > best[k] { swap(&gain, &best[k]) }
          }
        }
        for p in 0..<segment.places {
          threshold[p] = max(SearchState.margin, 0.999 * top.base[p * most + most - 1])
        }
        promising[i] = UnsafeBufferPointer(start: top.base, count: top.count).filter { $0 > 0 }
      }
    }
    var all = promising.flatMap { $0 }
    let wanted = max(1, Int(budget * Double(places)))
    if all.count > wanted {
      all.sort(by: >)
      for p in 0..<places { result.base[p] = max(result.base[p], all[wanted]) }
    }
    return result
  }

  /// Chooses all symbols anew, from the best state; returns how many changed.
  private func sweep(_ thresholds: AlignedBuffer<Float>) -> Int {
    let changes = AlignedBuffer<Int>(count: state.segments.count, zero: 0)
    forEachSegment { i, segment, prior, execution in
      let scratch = AlignedBuffer<UInt8>(count: segment.places, zero: 0)
      for (slice, range) in prior.sliceRanges.enumerated() {
        prior.predict(slice, from: state.latent.segments[i].base, execution)
        segment.rate.setScales(prior.scales.base, range)
        for c in range {
          let how = requantiser(
            i, prior, c, looksAhead: effort.countsContexts || segment.rate.hasMean(c),
            threshold: thresholds.base + segment.firstPlace, scratch)
          changes.base[i] += segment.rate.requantise(c, how)
        }
      }
      segment.rate.recount()
    }
    return (0..<state.segments.count).reduce(0) { $0 + changes.base[$1] }
  }

  /// Changes that lose little, of each place, the best last.
  private func candidates() -> [[SearchCandidate]] {
    var queue = [[SearchCandidate]](repeating: [], count: state.width * state.height)
    for (i, segment) in state.segments.enumerated() {
      guard let prior = segment.prior else { continue }
      let gains = AlignedBuffer<Float>(count: segment.places, zero: 0)
      let to = AlignedBuffer<Int16>(count: segment.places, zero: 0)
      let scratch = AlignedBuffer<UInt8>(count: segment.places, zero: 0)
      for c in 0..<channels where segment.rate.active[c] {
        segment.rate.propose(
          c, requantiser(i, prior, c, looksAhead: effort.countsContexts, threshold: nil, scratch), gains.base, to.base)
        for p in 0..<segment.places where gains.base[p] >= -effort.slack {
          let step = Int32(to.base[p]) - Int32(segment.symbols.base[c * segment.places + p])
          queue[segment.firstPlace + p].append(
            SearchCandidate(gain: gains.base[p], channel: Int32(c), step: step))
        }
      }
      for p in segment.firstPlace..<(segment.firstPlace + segment.places) {
        queue[p].sort { ($0.gain, $1.channel) < ($1.gain, $0.channel) }
      }
    }
    return queue
  }
}
