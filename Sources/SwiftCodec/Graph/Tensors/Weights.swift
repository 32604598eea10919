// SPDX-License-Identifier: BSD-3-Clause

/// What the graphs of a model share: weight arrays and rate points. Layers name arrays by their index.
struct Weights: Sendable {
  var arrays: [WeightArray] = []
  var ratePoints: [RatePoint] = []
  /// In the order of their first rate points, which are 1 ..< ratePoints.count; empty in a model of one domain.
  var growths: [Growth] = []

  /// The rate point whose widths a position has: the upper one, if it lies between two.
  func widthPoint(_ position: RatePosition) -> Int {
    position.fraction == 0 ? position.ratePoint : position.ratePoint + 1
  }

  /// Whether positions lie between a rate point and the next one: both are of one domain.
  func hasPositions(after ratePoint: Int) -> Bool { !growths.contains { $0.firstPoint == ratePoint + 1 } }

  /// Channels of a tensor in use at a rate point.
  func width(_ tensor: TensorInfo, _ ratePoint: Int) -> Int {
    tensor.widthClass.map { ratePoints[ratePoint].widths[$0] } ?? tensor.channels
  }

  /// Of an array that exists.
  func elementCount(_ index: Int) -> Int { arrays[index].dimensions.reduce(1) { $0 * $1 } }

  // Elements of arrays whose type the parser has checked.

  func int16(_ index: Int) -> FileArray<Int16> {
    guard case .i16(let elements) = arrays[index].elements else { preconditionFailure("validated by the parser") }
    return elements
  }

  func int32(_ index: Int) -> FileArray<Int32> {
    guard case .i32(let elements) = arrays[index].elements else { preconditionFailure("validated by the parser") }
    return elements
  }

  func uint8(_ index: Int) -> FileArray<UInt8> {
    guard case .u8(let elements) = arrays[index].elements else { preconditionFailure("validated by the parser") }
    return elements
  }
}
