// SPDX-License-Identifier: BSD-3-Clause

/// The size of a picture's latent and of its segments.
struct LatentLayout {
  let paddedWidth: Int
  let paddedHeight: Int
  let width: Int
  let height: Int
  let segmentRows: Int

  /// Without `segmentRows`, one segment is the whole picture.
  init(_ model: Model, width: Int, height: Int, segmentRows: Int?) {
    let unit = model.paddingUnit(.rgb)
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

  /// The same segments at a resolution that is coarser by a factor, which divides 8.
  func reduced(by factor: Int) -> LatentLayout {
    LatentLayout(
      paddedWidth: paddedWidth, paddedHeight: paddedHeight, width: width / factor, height: height / factor,
      segmentRows: segmentRows / factor)
  }

  var segmentCount: Int { (height + segmentRows - 1) / segmentRows }

  /// Rows of a segment.
  func rows(segment: Int) -> Range<Int> {
    (segment * segmentRows)..<min((segment + 1) * segmentRows, height)
  }
}
