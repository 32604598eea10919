// SPDX-License-Identifier: BSD-3-Clause

/// A rectangle of a picture, in pixels from the top left.
public struct PictureRegion: Sendable, Equatable {
  /// Its left column.
  public var x: Int
  /// Its top row.
  public var y: Int
  /// In pixels.
  public var width: Int
  /// In pixels.
  public var height: Int

  /// Any rectangle: `isValid` tells whether a picture has it.
  public init(x: Int, y: Int, width: Int, height: Int) {
    self.x = x
    self.y = y
    self.width = width
    self.height = height
  }

  /// Whether it is a part of a picture of this size, not empty, whose samples are whole ones: in 4:2:0 it starts at even
  /// coordinates.
  public func isValid(width: Int, height: Int, format: PixelFormat) -> Bool {
    guard x >= 0, y >= 0, self.width > 0, self.height > 0 else { return false }
    guard x < width, self.width <= width - x, y < height, self.height <= height - y else { return false }
    return format != .yuv420 || x % 2 == 0 && y % 2 == 0
  }
}

extension Picture {
  /// A part of the picture; the region must be valid in it.
  public func cropped(to region: PictureRegion) -> Picture {
    precondition(region.isValid(width: width, height: height, format: format))
    var out: [UInt8] = []
    out.reserveCapacity(format.sampleCount(width: region.width, height: region.height))
    for (i, plane) in planes.enumerated() {
      let part = format.planes(width: region.width, height: region.height)[i]
      let (x, y) = i == 0 ? (region.x, region.y) : (region.x / 2, region.y / 2)
      for row in y..<(y + part.height) {
        let start = plane.offset + row * plane.rowSize + x * plane.components
        out += samples[start..<(start + part.rowSize)]
      }
    }
    return Picture(unchecked: region.width, region.height, format, out)
  }
}
