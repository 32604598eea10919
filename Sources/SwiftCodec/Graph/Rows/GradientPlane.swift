// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// Rows of a tensor's gradient, with zeros beside them.
///
/// The gradient of tensor t is kept as integers, gradient[c] · scales[t][c], in ±SC_GRADIENT_LIMIT.
struct GradientPlane {
  private(set) var rows: Range<Int>
  let width: Int
  let channels: Int
  let stride: Int
  private let first: UnsafeMutablePointer<Int16>
  private let owner: AlignedBuffer<Int16>

  init(rows: Range<Int>, width: Int, channels: Int, left: Int, right: Int, _ pool: MemoryPool?) {
    self.rows = rows
    self.width = width
    self.channels = channels
    stride = (max(0, left) + width + max(0, right)) * channels
    owner = AlignedBuffer(count: stride * rows.count + Int(SC_ROW_SLACK), zero: 0, pool)
    first = owner.base + max(0, left) * channels
  }

  /// Rows of another tensor, in the memory of a plane that has as many, and zeros beside them at the same places.
  init(_ rows: Range<Int>, inMemoryOf other: GradientPlane) {
    precondition(rows.count <= other.rows.count, "a plane of another size")
    self = other
    self.rows = rows
  }

  func row(_ y: Int) -> UnsafeMutablePointer<Int16> { first + (y - rows.lowerBound) * stride }
}

/// What one thread needs to make rows of one tensor's gradient.
final class AdjointScratch {
  /// A row with columns beside it.
  let row: AlignedBuffer<Int16>
  let pointers = AlignedBuffer<UnsafePointer<Int16>?>(count: 16, zero: nil)
  /// A row of zeros, as wide as the widest plane.
  let zeros: UnsafePointer<Int16>
  /// 2^16 for every channel: factors that change nothing.
  let ones: UnsafePointer<Int32>
  let kernels: UnsafePointer<sc_kernels>

  init(rowSize: Int, zeros: UnsafePointer<Int16>, ones: UnsafePointer<Int32>, _ kernels: UnsafePointer<sc_kernels>) {
    row = AlignedBuffer(count: rowSize + Int(SC_ROW_SLACK), zero: 0)
    self.zeros = zeros
    self.ones = ones
    self.kernels = kernels
  }
}
