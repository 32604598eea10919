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
  package init(_ model: Model, width: Int, height: Int, segmentRows: Int?) {
    let unit = 1 << model.paddingLevel
    paddedWidth = (width + unit - 1) / unit * unit
    paddedHeight = (height + unit - 1) / unit * unit
    self.width = paddedWidth >> model.latentLevel
    self.height = paddedHeight >> model.latentLevel
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

  /// The same segments at a resolution lower by some levels: those of the hyper-latent.
  func reduced(by levels: Int) -> LatentLayout {
    LatentLayout(
      paddedWidth: paddedWidth, paddedHeight: paddedHeight, width: width >> levels, height: height >> levels,
      segmentRows: segmentRows >> levels)
  }

  /// The last may have fewer rows than the others.
  package var segmentCount: Int { (height + segmentRows - 1) / segmentRows }

  /// Rows of the latent that a segment has.
  package func rows(segment: Int) -> Range<Int> {
    (segment * segmentRows)..<min((segment + 1) * segmentRows, height)
  }
}
