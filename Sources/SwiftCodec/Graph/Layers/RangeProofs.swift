// SPDX-License-Identifier: BSD-3-Clause

/// Proofs that accumulators do not overflow, each made once: layers that share arrays share them.
///
/// All work is charged to a budget that grows with the file: a file whose layers share arrays in ever new ways is refused
/// in a time that is linear in its size. A file in which every array serves one layer never needs all of it: an element of
/// a weight array has two bytes and is looked at up to four times for every rate point, and a row of biases and exponents
/// has five and costs 32 more.
struct RangeProofs {
  /// What a proof depends on.
  struct Key: Equatable {
    let weights: Int
    let exponents: Int
    let bias: Int
    let modulation: Int?
    /// Of what is summed over; nil if all of it is at every rate point.
    let inputClass: Int?
    let inputBits: Int
    let leakyShift: Int
    /// q(input) − q(output)
    let qDifference: Int
  }

  /// The shifts of all output channels: see `ConvolutionWeights`.
  struct Proof {
    let shifts: [UInt8]
    let shiftsBetween: [UInt8]
  }

  private var budget: Int64
  /// Of each weight array.
  private var proofs: [[(key: Key, proof: Proof)]] = []

  init(fileSize: Int, ratePoints: Int) { budget = Int64(16 + 2 * ratePoints) * Int64(fileSize) }

  /// `work` is in elements of arrays that are looked at.
  mutating func charge(_ work: Int64, _ place: ModelLocation) throws(ModelError) {
    budget -= work
    guard budget >= 0 else {
      throw .section(place, "too many layers share arrays: proofs of their range take too long")
    }
  }

  mutating func find(_ key: Key, _ place: ModelLocation) throws(ModelError) -> Proof? {
    guard key.weights < proofs.count else { return nil }
    try charge(Int64(proofs[key.weights].count), place)
    return proofs[key.weights].first { $0.key == key }?.proof
  }

  mutating func keep(_ proof: Proof, _ key: Key) {
    while proofs.count <= key.weights { proofs.append([]) }
    proofs[key.weights].append((key, proof))
  }
}
