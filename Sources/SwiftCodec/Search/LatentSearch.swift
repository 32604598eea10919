// SPDX-License-Identifier: BSD-3-Clause

/// The search for a cheaper latent at one position with one entropy model: what it prepares once. Immutable.
final class LatentSearch {
  private let synthesis: AdjointProgram
  /// Of the hyperprior's slices but the first, which sees no other.
  private let laterSlices: [AdjointProgram]
  private let tables: RateTables
  private let lambda: Double
  private let macPerPixel: Double

  /// `codec` is that of the position and entropy model, `synthesis` the network at the position.
  init(
    _ model: Model, _ format: PixelFormat, _ synthesis: NetworkProgram, _ codec: SegmentCodec,
    at position: RatePosition
  ) {
    guard let graph = model.graph(.synthesis, model.networkFormat(format)) else {
      preconditionFailure("the model has no networks for the format")
    }
    self.synthesis = AdjointProgram(graph, synthesis, of: model.weights, at: position)
    laterSlices = zip(model.hyperprior?.slices ?? [], codec.sliceNetworks).dropFirst().map {
      AdjointProgram($0, $1, of: model.weights, at: position)
    }
    tables = RateTables(codec.coder.table, codec.coder.magnitude)
    lambda = model.lambda(at: position)
    macPerPixel = model.decoderMACPerPixel(at: position)
  }

  /// Lowers bits + λ · squared error / channels of the picture by other symbols: the latent and its quantised segments
  /// change in place, and stay what a decoder gets. `share` is the part of the passes of `rdoq` that are done, `lambda` nil
  /// for the position's.
  ///
  /// With filters behind, it goes towards what `FilterDesign.target` says, long ones in two rounds, each towards another.
  /// The result depends on neither the machine nor the number of threads. `decoded` gets the picture that the latent decodes
  /// to, before those filters. `monitor` is told the share of the work that is done, at most, and ends it by saying false:
  /// then there is no result, and the latent is of no use.
  func optimise(
    _ latent: Latent, _ segments: [QuantisedSegment], of original: PictureView, reference: ReferenceInputs? = nil,
    _ rdoq: RDOQ, share: Double = 1, lambda: Double?, filters: Bool, decoded: PictureView, _ execution: Execution,
    progress: ((RDOQPass) -> Void)?, monitor: ((Double) -> Bool)? = nil
  ) -> RDOQReport? {
    let lambda = lambda ?? self.lambda
    let rounds = filters && (rdoq == .fast || rdoq == .full) ? 2 : 1
    let effort = effort(rdoq, share: share / Double(rounds), hasPrior: segments[0].prior != nil)
    let meter = DistortionMeter(
      synthesis.forward, synthesis, original, latent.layout, reference: reference, execution)
    var report: RDOQReport?
    for round in 0..<rounds {
      var target: Picture?
      if filters {
        if round == 0 { meter.decode(latent, into: decoded) }
        target = FilterDesign.target(of: original, decoded, lambda: lambda, execution)
      }
      func run(towards picture: PictureView) {
        meter.picture = picture
        let state = SearchState(
          meter, tables, latent, segments, weight: lambda / DistortionMeter.unit(original.format), effort,
          decoded: decoded, execution, progress: progress,
          monitor: monitor.map { monitor in { monitor((Double(round) + $0) / Double(rounds)) } })
        if segments[0].prior != nil { PriorSearch(state, laterSlices).run() } else { ContextSearch(state: state).run() }
        report = state.isStopped ? nil : state.summary(lambda: lambda)
      }
      if let target { target.withView(run) } else { run(towards: original) }
      if report == nil { return nil }
    }
    return report
  }

  private func effort(_ rdoq: RDOQ, share: Double, hasPrior: Bool) -> SearchEffort {
    var effort =
      hasPrior
      ? rdoq.priorEffort(macPerPixel: macPerPixel)
      : rdoq.effort(macPerPixel: macPerPixel, hasContexts: tables.table.channels.contains { $0.cdf.count > 1 })
    if share < 1 {
      let share = max(0, share)
      // Measured changes come after all passes with a gradient, which find more in less time.
      if effort.exactPasses == 0 {
        effort.gradientPasses = max(1, Int((Double(effort.gradientPasses) * share).rounded()))
      }
      effort.exactPasses = Int(Double(effort.exactPasses) * share)
    }
    return effort
  }
}
