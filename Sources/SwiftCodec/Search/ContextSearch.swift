// SPDX-License-Identifier: BSD-3-Clause

/// The search without a hyperprior: lowers bits + weight · squared error by steps of ±1 of the latent's values, whose rate
/// is known exactly (Galpin et al., §3.2).
///
/// A gradient pass makes all changes that look good under gradient, curvature and exact rates, a few at each place.
struct ContextSearch {
  let state: SearchState

  private var effort: SearchEffort { state.effort }
  private var channels: Int { state.channels }

  /// A change of a value that was made, to learn from.
  private struct Step {
    let index: Int
    let delta: Float
    let gradient: Float
  }

  func run() {
    let meter = state.meter
    state.probeCurvature()
    state.smoothCurvature()
    state.report(.start, changes: 0)
    let first = Int(effort.changesPerPlace)
    var perPlace = first
    var steps = sweep(perPlace)
    var worse = 0
    for i in 0..<effort.gradientPasses {
      if steps.isEmpty { break }
      guard state.begins(.gradient) else { return }
      let last = i + 1 == effort.gradientPasses
      if last { meter.measure(state.latent) } else { meter.differentiate(state.latent) }
      worse = state.report(.gradient, changes: steps.count) ? 0 : worse + 1
      if last || worse == effort.patience { break }
      for step in steps { state.learn(step.index, (meter.gradient.base[step.index] - step.gradient) / step.delta) }
      // Many changes at once help while there is much to gain, and disturb each other later.
      if worse > 0 || (i + 1) * first >= effort.gradientPasses * (first + 1 - perPlace) {
        perPlace = max(1, perPlace - 1)
      }
      steps = sweep(perPlace)
    }
    state.restore()
    state.decodePicture()
    if effort.exactPasses > 0 {
      state.refine {
        var queue = [[SearchCandidate]](repeating: [], count: state.width * state.height)
        for segment in state.segments {
          for (place, candidate) in candidates(segment, limit: effort.slack).reversed() {
            queue[segment.firstPlace + place].append(candidate)
          }
        }
        return queue
      }
    }
  }

  /// What a change of a value does to the squared error, in bits.
  private func distortion(_ at: Int, _ delta: Int) -> Float {
    Float(state.weight) * (2 * state.meter.gradient.base[at] * Float(delta) + state.curvature.base[at])
  }

  /// Changes of a segment that lose less than `limit` bits, best first, with their places in the segment.
  private func candidates(_ segment: SearchState.Segment, limit: Float) -> [(place: Int, SearchCandidate)] {
    let rate = segment.rate
    var found: [(place: Int, SearchCandidate)] = []
    for c in 0..<channels where rate.active[c] {
      for place in 0..<segment.places {
        let (y, x) = (place / state.width, place % state.width)
        let at = (segment.firstPlace + place) * channels + c
        let value = rate.value(c, y, x)
        for delta in [-1, 1] where -32768...32767 ~= value + delta {
          let distortion = self.distortion(at, delta)
          if distortion > 24 { continue }
          if distortion + Float(rate.ownChange(c, y, x, to: value + delta)) > limit + effort.contextBits { continue }
          let cost = distortion + Float(rate.change(c, y, x, to: value + delta))
          if cost < limit {
            found.append((place, SearchCandidate(gain: -cost, channel: Int32(c), step: Int32(delta))))
          }
        }
      }
    }
    found.sort {
      $0.1.gain != $1.1.gain
        ? $0.1.gain > $1.1.gain : ($0.1.channel, $0.place, $0.1.step) < ($1.1.channel, $1.place, $1.1.step)
    }
    return found
  }

  /// Makes the most promising changes, a few at each place. Segments are independent, but for their distortion.
  private func sweep(_ perPlace: Int) -> [Step] {
    var steps = [[Step]](repeating: [], count: state.segments.count)
    steps.withUnsafeMutableBufferPointer { steps in
      // Each segment writes its own.
      nonisolated(unsafe) let steps = steps.baseAddress!
      state.forEachSegment { i, _ in steps[i] = sweep(state.segments[i], perPlace) }
    }
    return steps.flatMap { $0 }
  }

  private func sweep(_ segment: SearchState.Segment, _ perPlace: Int) -> [Step] {
    let rate = segment.rate
    var taken = [Int](repeating: 0, count: segment.places)
    var steps: [Step] = []
    for (place, candidate) in candidates(segment, limit: -SearchState.margin) {
      let c = Int(candidate.channel)
      if taken[place] >= perPlace || !rate.active[c] { continue }
      let (y, x) = (place / state.width, place % state.width)
      let at = (segment.firstPlace + place) * channels + c
      let value = rate.value(c, y, x)
      let delta = Int(candidate.step)
      // Changes before may have made it worse.
      let cost = distortion(at, delta) + Float(rate.change(c, y, x, to: value + delta))
      if cost >= -SearchState.margin { continue }
      rate.apply(c, y, x, to: value + delta)
      taken[place] += 1
      steps.append(Step(index: at, delta: Float(delta), gradient: state.meter.gradient.base[at]))
    }
    return steps
  }
}
