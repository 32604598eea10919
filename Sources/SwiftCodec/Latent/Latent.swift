// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// A quantised latent, cut into segments: [channels][rows][width] int16 each.
package final class Latent {
  /// The size of the picture and of its segments.
  package let layout: LatentLayout
  package let channels: Int
  /// Of each segment [channels][rows][width].
  package let segments: [AlignedBuffer<Int16>]

  /// All zeros. Without the segments that are not `present`, of which nothing may be read.
  package convenience init(layout: LatentLayout, channels: Int, present: Range<Int>? = nil) {
    self.init(layout: layout, channels: channels, present: present, nil)
  }

  init(layout: LatentLayout, channels: Int, present: Range<Int>? = nil, _ pool: MemoryPool?) {
    self.layout = layout
    self.channels = channels
    segments = (0..<layout.segmentCount).map {
      let isPresent = present?.contains($0) ?? true
      return AlignedBuffer(
        count: isPresent ? channels * layout.rows(segment: $0).count * layout.width : 0, zero: 0, pool)
    }
  }

  /// Without content: everything is written before it is read.
  init(uninitialised layout: LatentLayout, channels: Int, _ pool: MemoryPool?) {
    self.layout = layout
    self.channels = channels
    segments = (0..<layout.segmentCount).map {
      AlignedBuffer(uninitialised: channels * layout.rows(segment: $0).count * layout.width, pool)
    }
  }

  /// Row y of channel 0, and the distance from one channel to the next.
  private func planes(row y: Int) -> (UnsafeMutablePointer<Int16>, Int) {
    let segment = y / layout.segmentRows
    let rows = layout.rows(segment: segment)
    return (segments[segment].base + (y - rows.lowerBound) * layout.width, rows.count * layout.width)
  }

  /// Writes row y as [width][channels].
  func read(row y: Int, _ out: UnsafeMutablePointer<Int16>) {
    let (base, size) = planes(row: y)
    sc_planes_to_row(base, size, out, Int32(channels), layout.width)
  }

  /// Takes row y from [width][channels].
  func write(row y: Int, _ row: UnsafePointer<Int16>) {
    let (base, size) = planes(row: y)
    sc_row_to_planes(row, base, size, Int32(channels), layout.width)
  }

  /// Another one with the same values.
  package func copy() -> Latent {
    let copy = Latent(layout: layout, channels: channels)
    for (to, from) in zip(copy.segments, segments) { to.base.update(from: from.base, count: from.count) }
    return copy
  }

  /// Whether the values are the same; the layouts are those of the same picture.
  package func isEqual(to other: Latent) -> Bool {
    guard channels == other.channels, segments.count == other.segments.count else { return false }
    for (a, b) in zip(segments, other.segments) {
      guard a.count == b.count else { return false }
      for i in 0..<a.count where a.base[i] != b.base[i] { return false }
    }
    return true
  }
}
