// SPDX-License-Identifier: BSD-3-Clause

/// The shape and range of a tensor of a graph.
struct TensorInfo: Sendable, Equatable {
  /// At full width, 1…4096.
  let channels: Int
  /// The width class that narrows it, nil if it has all channels at every rate point.
  let widthClass: Int?
  /// Elements lie in [−2^bits, 2^bits − 1]; 1…15.
  let bits: Int
  /// value = integer · 2^−q; −64…64.
  let q: Int
  /// Height and width are those of the padded picture divided by this; 1…256.
  let divisor: Int

  static let divisors = 1...256
}

/// What a layer reads outside of its input.
enum Border: Sendable {
  case zero
  case replicate
}

enum Activation: Sendable, Equatable {
  case none
  case relu
  /// Slope 2^−shift for negative values; 1…15.
  case leakyReLU(shift: Int)

  /// What a leaky ReLU adds to the shift of a negative accumulator.
  var leakyShift: Int { if case .leakyReLU(let shift) = self { shift } else { 0 } }
}

/// The least common multiple of two numbers from 1 to 2^15.
func leastCommonMultiple(_ a: Int, _ b: Int) -> Int {
  var (x, y) = (a, b)
  while y != 0 { (x, y) = (y, x % y) }
  return a / x * b
}
