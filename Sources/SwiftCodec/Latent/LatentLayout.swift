// SPDX-License-Identifier: BSD-3-Clause

/// The size of a picture's latent and of its segments: runs of rows that are coded independently of each other.
package struct LatentLayout {
  /// Of the picture in pixels, after its last row and column are repeated to whole multiples of the coarsest tensor.
  package let paddedWidth: Int
  package let paddedHeight: Int
  /// Of the latent.
  package let width: Int
  package let height: Int
  /// Height of all segments but the last, in rows of the latent.
  package let segmentRows: Int

  /// Of a picture of `width` × `height` pixels. Without `segmentRows`, one segment is the whole picture.
  package init(_ model: Model, width: Int, height: Int, format: PixelFormat = .rgb, segmentRows: Int?) {
    let unit = model.paddingUnit(model.networkFormat(format))
    paddedWidth = (width + unit - 1) / unit * unit
    paddedHeight = (height + unit - 1) / unit * unit
    self.width = paddedWidth / model.latentDivisor
    self.height = paddedHeight / model.latentDivisor
    self.segmentRows = segmentRows ?? self.height
  }

  private init(
    paddedWidth: Int, paddedHeight: Int, width: Int, height: Int, segmentRows: Int
  ) {
    self.paddedWidth = paddedWidth
    self.paddedHeight = paddedHeight
    self.width = width
    self.height = height
    self.segmentRows = segmentRows
  }

  /// The same segments at a resolution that is coarser by a factor, which divides 8: those of the hyper-latent.
  func reduced(by factor: Int) -> LatentLayout {
    LatentLayout(
      paddedWidth: paddedWidth, paddedHeight: paddedHeight, width: width / factor, height: height / factor,
      segmentRows: segmentRows / factor)
  }

  /// With as many segments, or fewer, of about the same height, a multiple of 8: threads that take one each have as much to do.
  var balanced: LatentLayout {
    let rows = (height + segmentCount - 1) / segmentCount
    return LatentLayout(
      paddedWidth: paddedWidth, paddedHeight: paddedHeight, width: width, height: height, segmentRows: (rows + 7) & ~7)
  }

  /// The last may have fewer rows than the others.
  package var segmentCount: Int { (height + segmentRows - 1) / segmentRows }

  /// Rows of the latent that a segment has.
  package func rows(segment: Int) -> Range<Int> {
    (segment * segmentRows)..<min((segment + 1) * segmentRows, height)
  }
}
