// SPDX-License-Identifier: BSD-3-Clause

/// One trade-off between rate and distortion that a model was trained for.
public struct RatePoint: Sendable {
  /// λ of λ·255²·MSE + bits per pixel, with MSE of samples in [0, 1]; 10⁻⁹…10⁹, between which no cost leaves what doubles
  /// tell apart.
  public let lambda: Float
  /// Channels of each width class in use, 1…4096.
  public let widths: [Int]

  static let lambdas = 1e-9...1e9
}

/// How a model came by a domain, pictures of another kind than those that it was made for: by more rate points (model.md §3.1).
struct Growth: Sendable {
  /// The first rate point of the domain, which goes on to the next domain's first or to the last of all.
  let firstPoint: Int
  /// What bitstreams name the model by that this one was before, with the rate points below `firstPoint`.
  let ancestor: UInt32
}

/// A place on a model's rate scale: a rate point, or some of the way from one to the next (model.md §9).
public struct RatePosition: Sendable, Hashable, Comparable {
  /// Positions from one rate point to the next.
  public static let steps = 32

  /// Counts the positions from rate point 0.
  public var index: Int

  /// `index` counts from rate point 0, ≥ 0.
  public init(index: Int) { self.index = index }

  /// `fraction` is 0 ..< steps: how many steps beyond the rate point.
  public init(ratePoint: Int, fraction: Int = 0) {
    precondition(0..<Self.steps ~= fraction)
    index = Self.steps * ratePoint + fraction
  }

  /// The rate point below, or the one that it is.
  public var ratePoint: Int { index >> 5 }
  /// Steps beyond that rate point, 0 ..< `steps`.
  public var fraction: Int { index & (Self.steps - 1) }

  /// Whether a has the lower rate.
  public static func < (a: RatePosition, b: RatePosition) -> Bool { a.index < b.index }

  /// The rate point and the steps beyond it.
  public var description: String { fraction == 0 ? "\(ratePoint)" : "\(ratePoint) + \(fraction)/\(Self.steps)" }
}
