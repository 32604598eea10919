// SPDX-License-Identifier: BSD-3-Clause

/// Rate-distortion optimised quantisation: the encoder searches for a latent that costs less, bits and errors together.
/// The decoder does not know of it.
public enum RDOQ: UInt8, CaseIterable, Sendable {
  case off
  /// Some passes with a gradient.
  case fast
  /// Passes with a gradient until they no longer help, then candidates measured by decoding.
  case full
  /// A few passes with a gradient: most of what `fast` gains in a third of its time.
  case quick

  public var name: StaticString {
    switch self {
    case .off: "off"
    case .fast: "fast"
    case .full: "full"
    case .quick: "quick"
    }
  }
}

/// What a pass of the search came to.
public struct RDOQPass: Sendable {
  public enum Kind: Sendable {
    /// The latent as the analysis network gives it.
    case start
    case gradient
    case exact
  }
  public let kind: Kind
  /// Bits + λ · squared error / channels of the latent that the pass made.
  public let tried: Double
  /// The least so far, whose latent is kept: never rises.
  public let cost: Double
  /// Of the latent that the pass made.
  public let bits: Double
  public let squaredError: UInt64
  /// Values that the pass changed.
  public let changes: Int
}

/// What the search did.
public struct RDOQReport: Sendable {
  public let lambda: Double
  public let passes: [RDOQPass]
  /// Values that differ from those of the analysis network.
  public let changedValues: Int

  public var initialCost: Double { passes.first?.cost ?? 0 }
  public var finalCost: Double { passes.last?.cost ?? 0 }
}

extension RDOQ {
  /// Passes cost as much as decoding once or twice: a network of fewer products a pixel gets more of them.
  /// Exact rates with contexts take about as long as 4000 products a pixel.
  func effort(macPerPixel: Double, hasContexts: Bool) -> RDOQEffort {
    let cheap = min(8, 37000 / max(1, macPerPixel + (hasContexts ? 4000 : 0)))
    switch self {
    case .off: return RDOQEffort(gradientPasses: 0, exactPasses: 0)
    case .fast:
      // Few passes must change much at once, and careful estimates of the curvature would hold them up.
      return RDOQEffort(
        gradientPasses: max(4, Int(8 * min(cheap, 5))), exactPasses: 0,
        changesPerPlace: cheap < 1.2 ? 8 : cheap < 3 ? 6 : 1,
        learning: cheap < 1.2 ? 0.15 : cheap < 3 ? 0.2 : 0.5, patience: 8, contextBits: cheap < 3 ? 1 : 3)
    case .full:
      return RDOQEffort(
        gradientPasses: max(20, Int(40 * min(cheap, 3))), exactPasses: max(20, Int(90 * cheap)),
        changesPerPlace: cheap < 1.2 ? 3 : cheap < 3 ? 2 : 1)
    case .quick:
      var effort = RDOQ.fast.effort(macPerPixel: macPerPixel, hasContexts: hasContexts)
      effort.gradientPasses = max(2, effort.gradientPasses / 4)
      return effort
    }
  }
}

extension RDOQ {
  /// With a hyperprior. Heavier networks get fewer passes.
  func priorEffort(macPerPixel: Double) -> PriorEffort {
    let share = min(1, 8000 / max(1, macPerPixel))
    func passes(_ most: Double) -> Int { max(4, Int(most * share)) }
    return switch self {
    case .off: PriorEffort(gradientPasses: 0, exactPasses: 0)
    case .fast: PriorEffort(gradientPasses: passes(22), exactPasses: 0, probes: 1, countsContexts: false)
    case .full: PriorEffort(gradientPasses: passes(60), exactPasses: passes(600))
    case .quick: PriorEffort(gradientPasses: passes(6), exactPasses: 0, probes: 1, countsContexts: false)
    }
  }
}

/// What RDOQ prepares once per position and entropy model.
struct RDOQProgram {
  let adjoint: AdjointProgram
  /// Of the hyperprior's slices but the first, which sees no other.
  let laterSlices: [AdjointProgram]
  let tables: RateTables

  init(
    _ model: Model, _ synthesis: NetworkProgram, slices: [NetworkProgram], at position: RatePosition,
    _ table: EntropyTable, _ magnitude: MagnitudeRule
  ) {
    adjoint = AdjointProgram(model.graph(.synthesis, .rgb)!, synthesis, of: model.weights, at: position)
    laterSlices = zip(model.hyperprior?.slices ?? [], slices).dropFirst().map {
      AdjointProgram($0, $1, of: model.weights, at: position)
    }
    tables = RateTables(table, magnitude)
  }

  /// Changes the latent in place.
  func optimise(
    _ latent: Latent, of picture: PictureView, lambda: Double, _ effort: RDOQEffort, _ execution: Execution,
    progress: ((RDOQPass) -> Void)?
  ) -> RDOQReport {
    let start = latent.segments.map { segment in Array(UnsafeBufferPointer(start: segment.base, count: segment.count)) }
    let meter = DistortionMeter(adjoint.forward, adjoint, picture, latent.layout, execution)
    let optimiser = RDOQOptimiser(
      meter, tables, latent, weight: lambda / Double(picture.first.components.count), effort, execution,
      progress: progress)
    optimiser.run()
    var changed = 0
    for (segment, old) in zip(latent.segments, start) {
      for i in old.indices where segment.base[i] != old[i] { changed += 1 }
    }
    return RDOQReport(lambda: lambda, passes: optimiser.passes, changedValues: changed)
  }

  /// With a hyperprior: changes the latent in place to what the decoder gets.
  func optimise(
    _ latent: Latent, hyperLatent: Latent, _ codec: SegmentCodec, of picture: PictureView, lambda: Double,
    _ effort: PriorEffort, _ execution: Execution, progress: ((RDOQPass) -> Void)?
  ) -> RDOQReport {
    let meter = DistortionMeter(adjoint.forward, adjoint, picture, latent.layout, execution)
    let optimiser = PriorOptimiser(
      meter, tables, codec, laterSlices, latent, hyperLatent: hyperLatent,
      weight: lambda / Double(picture.first.components.count),
      effort, execution, progress: progress)
    optimiser.run()
    return RDOQReport(lambda: lambda, passes: optimiser.passes, changedValues: optimiser.changedValues)
  }
}
