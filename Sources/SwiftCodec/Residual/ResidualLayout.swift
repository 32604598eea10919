// SPDX-License-Identifier: BSD-3-Clause

/// Where the segments and groups of a residual layer lie in a picture.
///
/// A segment is a stripe of rows over the whole width, coded without any other. A group is one to three components of
/// equal size that are coded together: G, R, B; or luma; or U, V.
struct ResidualLayout {
  /// Segments are whole multiples of so many rows.
  static let rowUnit = 16
  /// No segment has more pixels, if it has more than `rowUnit` rows: bounds the decoder's memory.
  static let segmentPixels: Int64 = 1 << 22

  /// Components of a part of a picture: each begins at an index of the samples.
  struct Group {
    let first: [Int]
    let width: Int
    let height: Int
    /// Samples from a pixel to the next.
    let step: Int
    let pitch: Int
  }

  let width: Int
  let height: Int
  let format: PixelFormat
  /// Of a segment, in pixels: a multiple of `rowUnit`.
  let rows: Int

  /// The most rows that a segment may have in a picture of this width.
  static func mostRows(width: Int) -> Int {
    let rows = Int(segmentPixels / Int64(width)) / rowUnit * rowUnit
    return max(rowUnit, rows)
  }

  /// Rows of equal segments of about `pixels` pixels.
  static func rows(width: Int, height: Int, pixels: Int) -> Int {
    let most = min(mostRows(width: width), max(rowUnit, pixels / width / rowUnit * rowUnit))
    let count = (height + most - 1) / most
    return ((height + count - 1) / count + rowUnit - 1) / rowUnit * rowUnit
  }

  /// Of a picture, with segments of about `pixels` pixels.
  init(_ picture: Picture, pixels: Int) {
    self.init(
      width: picture.width, height: picture.height, format: picture.format,
      rows: Self.rows(width: picture.width, height: picture.height, pixels: pixels))
  }

  init(width: Int, height: Int, format: PixelFormat, rows: Int) {
    self.width = width
    self.height = height
    self.format = format
    self.rows = rows
  }

  /// Blocks of a mask of a picture of one plane that lie in a segment, but in the last one.
  var blocksOfSegment: Int { rows / BlockMask.side * BlockMask(width: width, height: rows).across }

  var segments: Int { (height + rows - 1) / rows }
  var groups: Int { format == .yuv420 ? 2 : 1 }

  func group(_ index: Int, segment: Int) -> Group {
    let planes = format.planes(width: width, height: height)
    let plane = planes[index]
    let halved = index > 0 ? 2 : 1
    let from = segment * rows / halved
    let to = min(plane.height, (segment + 1) * rows / halved)
    let start = plane.offset + from * plane.rowSize
    var first = [start]
    // Green first: it tells most about the other two.
    if format == .rgb { first = [start + 1, start, start + 2] }
    if index > 0 { first.append(planes[2].offset + from * planes[2].rowSize) }
    return Group(
      first: first, width: plane.width, height: to - from, step: plane.components, pitch: plane.rowSize)
  }
}
