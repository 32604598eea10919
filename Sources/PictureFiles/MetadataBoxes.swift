// SPDX-License-Identifier: BSD-3-Clause

public import SwiftCodec

extension PictureMetadata {
  /// As a bitstream of a picture of `format` carries it. The colours of 4:2:0 become code points; where such a picture has
  /// been converted to RGB, so do its primaries and transfer function if they are not those of sRGB.
  public func boxes(for format: PixelFormat) -> [Metadata] {
    var boxes: [Metadata] = []
    func add(_ kind: MetadataKind, _ bytes: [UInt8]?) {
      if let bytes { boxes.append(Metadata(kind, bytes)) }
    }
    var code = cicp
    if let colour {
      code = format == .yuv420 ? colour.bytes : code ?? colour.ofRGB?.bytes
    }
    add(.cicp, code)
    add(.icc, icc)
    add(.gamma, gamma.map { bigEndian([$0]) })
    add(.chromaticities, chromaticities.map { bigEndian($0.values) })
    add(.renderingIntent, sRGBIntent.map { [$0] })
    add(.resolution, resolution?.perMetre.physBytes)
    add(.exif, exif)
    add(.xmp, xmp)
    return boxes
  }

  /// What a bitstream of a picture of `format` carries. Boxes of a wrong size are left out.
  public init(boxes: [Metadata], of format: PixelFormat) {
    self.init()
    for box in boxes {
      let bytes = box.bytes
      switch (box.kind, bytes.count) {
      case (.icc, 1...): icc = bytes
      case (.exif, 1...): exif = bytes
      case (.xmp, _): xmp = bytes
      case (.cicp, 4) where bytes[3] <= 1:
        let described = ColourDescription(
          primaries: bytes[0], transfer: bytes[1], matrix: bytes[2], isFullRange: bytes[3] == 1)
        if format == .yuv420 {
          colour = described
          cicp = described.ofRGB?.bytes
        } else {
          cicp = bytes
        }
      case (.gamma, 4): gamma = word(bytes, 0)
      case (.chromaticities, 32): chromaticities = Chromaticities((0..<8).map { word(bytes, 4 * $0) })
      case (.renderingIntent, 1): sRGBIntent = bytes[0]
      case (.resolution, 9):
        resolution = PictureResolution(
          horizontal: word(bytes, 0), vertical: word(bytes, 4), unit: bytes[8] == 1 ? .metre : .none)
      default: continue
      }
    }
  }

  private func bigEndian(_ values: [UInt32]) -> [UInt8] {
    values.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32(24 - 8 * $0)) } }
  }

  private func word(_ bytes: [UInt8], _ at: Int) -> UInt32 {
    bytes[at..<at + 4].reduce(0) { $0 << 8 | UInt32($1) }
  }
}

extension PictureResolution {
  /// As in PNG's pHYs.
  fileprivate var physBytes: [UInt8] {
    [horizontal, vertical].flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32(24 - 8 * $0)) } }
      + [unit == .none ? 0 : 1]
  }
}

extension ColourDescription {
  /// Of the RGB samples that 4:2:0 is converted to; nil if they are sRGB's or nothing is known.
  fileprivate var ofRGB: ColourDescription? {
    let isKnown = primaries != 2 || transfer != 2
    let isSRGB = primaries == 1 && transfer == 13
    guard isKnown, !isSRGB else { return nil }
    return ColourDescription(primaries: primaries, transfer: transfer, matrix: 0, isFullRange: true)
  }
}
