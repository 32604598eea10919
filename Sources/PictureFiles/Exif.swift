// SPDX-License-Identifier: BSD-3-Clause

import SwiftCodec

/// The one field of an EXIF block that must be understood.
enum Exif {
  /// The value of the orientation field in the first directory and the index of its lower byte; nil when there is none.
  static func orientation(_ block: [UInt8]) -> (value: Int, at: Int)? {
    guard block.count >= 8 else { return nil }
    let isLittle: Bool
    switch (block[0], block[1]) {
    case (0x49, 0x49): isLittle = true
    case (0x4D, 0x4D): isLittle = false
    default: return nil
    }
    func number(_ at: Int, _ count: Int) -> Int {
      let bytes = block[at..<at + count]
      return isLittle ? bytes.reversed().reduce(0) { $0 << 8 | Int($1) } : bytes.reduce(0) { $0 << 8 | Int($1) }
    }
    guard number(2, 2) == 42 else { return nil }
    let directory = number(4, 4)
    guard directory >= 8, directory <= block.count - 2 else { return nil }
    for entry in 0..<number(directory, 2) {
      let at = directory + 2 + 12 * entry
      guard at <= block.count - 12 else { return nil }
      // Tag 0x0112, type SHORT, one value.
      guard number(at, 2) == 0x0112 else { continue }
      guard number(at + 2, 2) == 3, number(at + 4, 4) == 1 else { return nil }
      return (number(at + 8, 2), isLittle ? at + 8 : at + 9)
    }
    return nil
  }
}

extension LoadedPicture {
  /// Turns the picture as its EXIF block says and sets the orientation there to 1.
  ///
  /// Mirroring a side of odd length would move the chroma of 4:2:0 by half a sample, so such a picture becomes RGB.
  mutating func applyOrientation() {
    guard let exif = metadata.exif, let (value, at) = Exif.orientation(exif), value != 1 else { return }
    guard let orientation = Orientation(rawValue: value) else { return }
    if picture.format == .yuv420,
      orientation.mirrorsX && picture.width % 2 == 1 || orientation.mirrorsY && picture.height % 2 == 1
    {
      picture = picture.rgbOrGrey(metadata.colour)
      metadata.colour = nil
    }
    picture = orientation.upright(picture)
    alpha = alpha.map { orientation.upright($0) }
    metadata.exif?[at] = 1
    if orientation.transposes { metadata.resolution = metadata.resolution?.transposed }
  }
}

/// EXIF's orientation: where row 0 and column 0 of what is stored belong.
enum Orientation: Int, CaseIterable {
  case normal = 1
  case mirrored, upsideDown, flipped, transposed, rightTop, transverse, leftBottom

  /// Whether stored rows are columns of the picture.
  var transposes: Bool { rawValue >= 5 }
  /// Whether stored columns run from the picture's right, or from its bottom when transposed.
  var mirrorsX: Bool { [2, 3, 7, 8].contains(rawValue) }
  /// Whether stored rows run from the picture's bottom, or from its right when transposed.
  var mirrorsY: Bool { [3, 4, 6, 7].contains(rawValue) }

  func upright(_ picture: Picture) -> Picture {
    guard self != .normal else { return picture }
    let (width, height) = transposes ? (picture.height, picture.width) : (picture.width, picture.height)
    var samples = [UInt8](repeating: 0, count: picture.samples.count)
    for (from, to) in zip(picture.planes, picture.format.planes(width: width, height: height)) {
      turn(picture.samples, from, into: &samples, to)
    }
    return makePicture(width, height, picture.format, samples)
  }

  private func turn(_ source: [UInt8], _ from: PlaneLayout, into target: inout [UInt8], _ to: PlaneLayout) {
    let components = from.components
    // Steps in the target for one column and one row of the source.
    let (column, row) = transposes ? (to.rowSize, components) : (components, to.rowSize)
    let (dx, dy) = (mirrorsX ? -column : column, mirrorsY ? -row : row)
    let start =
      to.offset + (mirrorsX ? column * (from.width - 1) : 0) + (mirrorsY ? row * (from.height - 1) : 0)
    let source = source.span
    var target = target.mutableSpan
    for y in 0..<from.height {
      var (at, out) = (from.offset + y * from.rowSize, start + y * dy)
      for _ in 0..<from.width {
        for k in 0..<components { target[out + k] = source[at + k] }
        at += components
        out += dx
      }
    }
  }
}
