// SPDX-License-Identifier: BSD-3-Clause

/// Rate-distortion optimised quantisation (Galpin et al., §3.2): the encoder searches for a latent that costs less, bits
/// and errors together. The decoder does not know of it.
public enum RDOQ: UInt8, CaseIterable, Sendable {
  case off
  /// Some passes with a gradient.
  case fast
  /// Passes with a gradient until they no longer help, then candidates measured by decoding.
  case full
  /// A few passes with a gradient: most of what `fast` gains in a third of its time.
  case quick

  /// As the command line spells it.
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
  /// How the latent was made.
  public enum Kind: Sendable {
    /// The latent as the analysis network gives it.
    case start
    /// Many changes at once that gradient and curvature promise to pay.
    case gradient
    /// Changes far apart that were decoded and measured one by one.
    case exact
  }
  /// How its latent was made.
  public let kind: Kind
  /// In bits, as all costs: bits + λ · squared error / channels of the latent that the pass made.
  public let tried: Double
  /// The least so far, whose latent is kept: never rises.
  public let cost: Double
  /// Ideal code length of the latent that the pass made.
  public let bits: Double
  /// Of the latent that the pass made, summed over all samples.
  public let squaredError: UInt64
  /// Values that the pass changed.
  public let changes: Int
}

/// What the search did: with filters the last of its rounds, whose errors are to what the round aimed at, the picture less what
/// the filter adds.
public struct RDOQReport: Sendable {
  /// The trade-off, as `RatePoint.lambda`.
  public let lambda: Double
  /// In their order, from the start on.
  public let passes: [RDOQPass]
  /// Values that differ from those of the analysis network.
  public let changedValues: Int

  /// In bits, of the analysis network's latent.
  public var initialCost: Double { passes.first?.cost ?? 0 }
  /// In bits, of the latent that is coded.
  public var finalCost: Double { passes.last?.cost ?? 0 }
}

extension RDOQ {
  /// How much to search without a hyperprior. Passes cost as much as decoding once or twice: a network of fewer products a
  /// pixel gets more of them. Exact rates with contexts take about as long as 4000 products a pixel.
  func effort(macPerPixel: Double, hasContexts: Bool) -> SearchEffort {
    let cheap = min(8, 37000 / max(1, macPerPixel + (hasContexts ? 4000 : 0)))
    var effort = SearchEffort(gradientPasses: 0, exactPasses: 0, changesPerPlace: 1, learning: 0.5, patience: 4)
    switch self {
    case .off: break
    case .fast, .quick:
      // Few passes must change much at once, and careful estimates of the curvature would hold them up.
      effort.gradientPasses = max(4, Int(8 * min(cheap, 5)))
      if self == .quick { effort.gradientPasses = max(2, effort.gradientPasses / 4) }
      effort.changesPerPlace = cheap < 1.2 ? 8 : cheap < 3 ? 6 : 1
      effort.learning = cheap < 1.2 ? 0.15 : cheap < 3 ? 0.2 : 0.5
      effort.patience = 8
      effort.contextBits = cheap < 3 ? 1 : 3
    case .full:
      effort.gradientPasses = max(20, Int(40 * min(cheap, 3)))
      effort.exactPasses = max(20, Int(90 * cheap))
      effort.changesPerPlace = cheap < 1.2 ? 3 : cheap < 3 ? 2 : 1
    }
    return effort
  }

  /// How much to search with a hyperprior. Heavier networks get fewer passes.
  func priorEffort(macPerPixel: Double) -> SearchEffort {
    let share = min(1, 8000 / max(1, macPerPixel))
    func passes(_ most: Double) -> Int { max(4, Int(most * share)) }
    var effort = SearchEffort(gradientPasses: 0, exactPasses: 0, changesPerPlace: 10, learning: 0.5, patience: 8)
    switch self {
    case .off: break
    case .fast, .quick:
      effort.gradientPasses = passes(self == .fast ? 22 : 6)
      effort.probes = 1
      effort.countsContexts = false
    case .full:
      // From here on measured changes find more in the same time.
      effort.gradientPasses = passes(24)
      effort.exactPasses = passes(600)
    }
    return effort
  }
}
