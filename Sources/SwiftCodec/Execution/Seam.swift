// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// The rows on both sides of the border of two bands. The lower band makes them at its start, and the upper one, which needs some
/// of them at its end, takes them from here: no row is made twice.
///
/// The lower band must have begun before the upper one, or else run on another thread.
final class Seam {
  /// The first row of each tensor that the lower band makes; the upper one makes those above it.
  let first: [Int]
  /// How many rows from there on the upper one takes.
  private let counts: [Int]
  private let sizes: [Int]
  /// Each tensor's first element.
  private let places: [Int]
  private let rows: AlignedBuffer<Int16>
  /// Rows of each tensor that are here.
  private let made: AlignedBuffer<Int32>

  /// `sizes` are elements of a row of each tensor.
  init(first: [Int], counts: [Int], sizes: [Int], _ pool: MemoryPool?) {
    self.first = first
    self.counts = counts
    self.sizes = sizes
    var places: [Int] = []
    var end = 0
    for (count, size) in zip(counts, sizes) {
      places.append(end)
      end += count * size
    }
    self.places = places
    rows = AlignedBuffer(uninitialised: end, pool)
    made = AlignedBuffer(count: counts.count, zero: 0, pool)
  }

  /// Keeps row `y`, if it is one that the upper band takes. They come in order.
  func put(_ tensor: Int, _ y: Int, _ row: UnsafePointer<Int16>) {
    let i = y - first[tensor]
    guard i >= 0, i < counts[tensor] else { return }
    (rows.base + places[tensor] + i * sizes[tensor]).update(from: row, count: sizes[tensor])
    sc_counter_set(made.base + tensor, Int32(i + 1))
  }

  /// Gives row `y`, when it is there.
  func take(_ tensor: Int, _ y: Int, _ row: UnsafeMutablePointer<Int16>) {
    let i = y - first[tensor]
    sc_counter_wait(made.base + tensor, Int32(i + 1))
    row.update(from: rows.base + places[tensor] + i * sizes[tensor], count: sizes[tensor])
  }
}
