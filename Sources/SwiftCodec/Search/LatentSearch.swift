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
  /// The result depends on neither the machine nor the number of threads. `decoded` gets the picture that the latent decodes
  /// to. `monitor` is told the share of the work that is done, at most, and ends it by saying false: then there is no result,
  /// and the latent is of no use.
  func optimise(
    _ latent: Latent, _ segments: [QuantisedSegment], of picture: PictureView, reference: ReferenceInputs? = nil,
    _ rdoq: RDOQ, share: Double = 1, lambda: Double?, decoded: PictureView? = nil, _ execution: Execution,
    progress: ((RDOQPass) -> Void)?, monitor: ((Double) -> Bool)? = nil
  ) -> RDOQReport? {
    let lambda = lambda ?? self.lambda
    let hasPrior = segments[0].prior != nil
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
    let state = SearchState(
      DistortionMeter(
        synthesis.forward, synthesis, picture, latent.layout, reference: reference, execution), tables, latent,
      segments,
      weight: lambda / DistortionMeter.unit(picture.format), effort, execution, progress: progress,
      monitor: monitor)
    state.decoded = decoded
    if hasPrior { PriorSearch(state, laterSlices).run() } else { ContextSearch(state: state).run() }
    if state.isStopped { return nil }
    if let decoded, !state.hasDecoded {
      synthesis.forward.synthesise(latent, into: decoded, reference: reference, execution)
    }
    return state.summary(lambda: lambda)
  }
}
