// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

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
  /// At the best state: the meter's gradient, and the same with what a move does to bits of later slices.
  private let gradient: AlignedBuffer<Float>
  private let total: AlignedBuffer<Float>

  private var effort: SearchEffort { state.effort }
  private var channels: Int { state.channels }

  init(_ state: SearchState, _ laterSlices: [AdjointProgram]) {
    self.state = state
    self.laterSlices = laterSlices
    q = state.segments[0].prior?.latentExponent ?? 0
    gradient = AlignedBuffer(count: state.curvature.count, zero: 0)
    total = AlignedBuffer(count: state.curvature.count, zero: 0)
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
          to: state.curvature.base + segment.firstPlace * channels, execution)
      }
    }
    state.smoothCurvature()
    state.report(.start, changes: 0)
    takeGradient()
    // Changes that are made at the same time disturb each other: as many are made as the last passes could bear.
    var budget = effort.changesPerPlace
    var worse = 0
    for _ in 0..<effort.gradientPasses {
      guard state.begins(.gradient) else { return }
      let changes = sweep(thresholds(budget))
      if changes == 0 { break }
      state.meter.differentiate(state.latent)
      learn()
      if state.report(.gradient, changes: changes) {
        takeGradient()
        worse = 0
        budget = min(6, 1.2 * budget)
      } else {
        worse += 1
        state.restore()
        if worse == effort.patience { break }
        budget *= 0.7
      }
    }
    state.restore()
    if effort.exactPasses > 0 {
      state.refine {
        takeGradient()
        return candidates()
      }
    }
  }

  /// Takes the gradient of the present state, which is the best, and adds the later slices' part.
  private func takeGradient() {
    gradient.base.update(from: state.meter.gradient.base, count: gradient.count)
    total.base.update(from: state.meter.gradient.base, count: total.count)
    forEachSegment { i, segment, prior, execution in
      prior.addLaterSlices(
        laterSlices, segment.rate, state.latent.segments[i].base, weight: state.weight,
        to: total.base + segment.firstPlace * channels, execution)
    }
  }

  private func learn() {
    let one = Float(1 << q)
    for (i, segment) in state.segments.enumerated() {
      let (now, before) = (state.latent.segments[i].base, state.bestDecoded[i].base)
      for c in 0..<channels {
        for p in 0..<segment.places {
          let move = Float(now[c * segment.places + p]) - Float(before[c * segment.places + p])
          if abs(move) < 0.5 * one { continue }
          let at = (segment.firstPlace + p) * channels + c
          state.learn(at, (state.meter.gradient.base[at] - gradient.base[at]) / move)
        }
      }
    }
  }

  private func requantiser(
    _ index: Int, _ prior: SegmentPrior, _ c: Int, looksAhead: Bool, threshold: UnsafePointer<Float>? = nil
  ) -> sc_requantiser {
    let segment = state.segments[index]
    let (first, plane) = (segment.firstPlace * channels + c, c * segment.places)
    return sc_requantiser(
      means: prior.means.base + plane, decoded: state.latent.segments[index].base + plane,
      reference: state.bestDecoded[index].base + plane, gradient: total.base + first,
      curvature: state.curvature.base + first, stride: channels, weight: Float(state.weight), q: Int32(q),
      looks_ahead: looksAhead ? 1 : 0, threshold: threshold)
  }

  /// What the best change of every symbol of a segment would save, and to what: [channels][places].
  private func propose(
    _ index: Int, _ prior: SegmentPrior, looksAhead: Bool
  ) -> (gains: AlignedBuffer<Float>, to: AlignedBuffer<Int16>) {
    let segment = state.segments[index]
    let gains = AlignedBuffer<Float>(count: channels * segment.places, zero: 0)
    let to = AlignedBuffer<Int16>(count: channels * segment.places, zero: 0)
    for c in 0..<channels {
      segment.rate.propose(
        c, requantiser(index, prior, c, looksAhead: looksAhead), gains.base + c * segment.places,
        to.base + c * segment.places)
    }
    return (gains, to)
  }

  /// What a change must save at each place, so that about `budget` changes a place are made, at the best state.
  private func thresholds(_ budget: Double) -> AlignedBuffer<Float> {
    let places = state.width * state.height
    let result = AlignedBuffer<Float>(count: places, zero: 0)
    let most = max(1, Int(budget.rounded(.up)))
    var promising = [[Float]](repeating: [], count: state.segments.count)
    promising.withUnsafeMutableBufferPointer { promising in
      // Each segment writes its own.
      nonisolated(unsafe) let promising = promising.baseAddress!
      forEachSegment { i, segment, prior, _ in
        let gains = propose(i, prior, looksAhead: false).gains
        var top = [Float](repeating: 0, count: most)
        for p in 0..<segment.places {
          for k in 0..<most { top[k] = 0 }
          for c in 0..<channels {
            var gain = gains.base[c * segment.places + p]
            for k in 0..<most where gain > top[k] { swap(&gain, &top[k]) }
          }
          result.base[segment.firstPlace + p] = max(SearchState.margin, 0.999 * top[most - 1])
          for gain in top where gain > 0 { promising[i].append(gain) }
        }
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
      for (slice, range) in prior.sliceRanges.enumerated() {
        prior.predict(slice, from: state.latent.segments[i].base, execution)
        segment.rate.setScales(prior.scales.base, range)
        for c in range {
          let how = requantiser(
            i, prior, c, looksAhead: effort.countsContexts || segment.rate.hasMean(c),
            threshold: thresholds.base + segment.firstPlace)
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
      let (gains, to) = propose(i, prior, looksAhead: effort.countsContexts)
      for p in 0..<segment.places {
        for c in 0..<channels where gains.base[c * segment.places + p] >= -effort.slack {
          let at = c * segment.places + p
          queue[segment.firstPlace + p].append(
            SearchCandidate(
              gain: gains.base[at], channel: Int32(c), step: Int32(to.base[at]) - Int32(segment.symbols.base[at])))
        }
        queue[segment.firstPlace + p].sort { ($0.gain, $1.channel) < ($1.gain, $0.channel) }
      }
    }
    return queue
  }
}
