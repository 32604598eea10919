// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// The rows of all tensors that a runner keeps, each tensor's in a ring, and the borders that layers read around them.
///
/// One thread at a time may use it.
final class RowStore {
  struct Ring {
    let width: Int
    let height: Int
    let channels: Int
    /// Elements from one row to the next, margins included.
    let stride: Int
    let capacity: Int
    let first: UnsafeMutablePointer<Int16>

    func row(_ y: Int) -> UnsafeMutablePointer<Int16> { first + y % capacity * stride }
  }

  /// [tensors]
  let rings: [Ring]
  let tensors: [ProgramTensor]
  let kernels: UnsafePointer<sc_kernels>
  private let owners: [AlignedBuffer<Int16>]
  private let zeros: AlignedBuffer<Int16>
  /// As many as the highest kernel has rows.
  private let rowPointers = AlignedBuffer<UnsafePointer<Int16>?>(count: 16, zero: nil)

  /// `width` × `height` is the padded picture, a whole multiple of every tensor's divisor; `capacities` are rows of each
  /// tensor.
  init(
    _ tensors: [ProgramTensor], width: Int, height: Int, capacities: [Int], _ kernels: UnsafePointer<sc_kernels>,
    _ pool: MemoryPool? = nil
  ) {
    self.tensors = tensors
    self.kernels = kernels
    var rings: [Ring] = []
    var owners: [AlignedBuffer<Int16>] = []
    var widest = 0
    for (tensor, capacity) in zip(tensors, capacities) {
      let tensorWidth = width / tensor.divisor
      let stride = (tensor.left + tensorWidth + tensor.right) * tensor.channels
      widest = max(widest, stride)
      let owner = AlignedBuffer<Int16>(uninitialised: stride * capacity + Int(SC_ROW_SLACK), pool)
      owners.append(owner)
      let ring = Ring(
        width: tensorWidth, height: height / tensor.divisor, channels: tensor.channels, stride: stride,
        capacity: capacity, first: owner.base + tensor.left * tensor.channels)
      rings.append(ring)
      // Nothing writes zero margins later, unless both kinds are read.
      for y in 0..<capacity { Self.clearMargins(tensor, ring, y) }
    }
    self.rings = rings
    self.owners = owners
    zeros = AlignedBuffer(count: widest + Int(SC_ROW_SLACK), zero: 0, pool)
  }

  /// Margins of a row that just came to be. Zero margins are zero from the start, unless both kinds are read.
  func finish(_ tensor: Int, _ y: Int) {
    if tensors[tensor].readsReplicated, !tensors[tensor].readsZeros { replicateMargins(tensor, y) }
  }

  private func replicateMargins(_ tensor: Int, _ y: Int) {
    let ring = rings[tensor]
    let info = tensors[tensor]
    let row = ring.row(y)
    let channels = ring.channels
    for x in 1..<(info.left + 1) { (row - x * channels).update(from: row, count: channels) }
    let last = row + (ring.width - 1) * channels
    for x in 1..<(info.right + 1) { (last + x * channels).update(from: last, count: channels) }
  }

  private static func clearMargins(_ info: ProgramTensor, _ ring: Ring, _ y: Int) {
    let row = ring.row(y)
    (row - info.left * ring.channels).update(repeating: 0, count: info.left * ring.channels)
    (row + ring.width * ring.channels).update(repeating: 0, count: info.right * ring.channels)
  }

  /// Points at the rows that an output row is made of, at the column where its first tap lies. At most 16 rows; valid
  /// until the next call.
  func gather(
    _ tensor: Int, _ rows: ClosedRange<Int>, column: Int, _ border: Border
  ) -> UnsafeMutablePointer<UnsafePointer<Int16>?> {
    let ring = rings[tensor]
    let both = tensors[tensor].readsZeros && tensors[tensor].readsReplicated
    var i = 0
    for y in rows {
      let inside = min(max(y, 0), ring.height - 1)
      if both {
        if border == .zero {
          Self.clearMargins(tensors[tensor], ring, inside)
        } else {
          replicateMargins(tensor, inside)
        }
      }
      if y == inside || border == .replicate {
        rowPointers.base[i] = UnsafePointer(ring.row(inside) + column * ring.channels)
      } else {
        rowPointers.base[i] = UnsafePointer(zeros.base)
      }
      i += 1
    }
    return rowPointers.base
  }
}
