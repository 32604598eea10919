// SPDX-License-Identifier: BSD-3-Clause

/// The name of a box: four characters (docs/format/bitstream.md). A lower-case first letter says that a decoder may skip
/// the box.
public struct BoxTag: Sendable, Equatable {
  /// The first character in the highest byte.
  public let code: UInt32

  init(code: UInt32) { self.code = code }

  init(_ text: StaticString) {
    precondition(text.utf8CodeUnitCount == 4)
    var code: UInt32 = 0
    for i in 0..<4 { code = code << 8 | UInt32(text.utf8Start[i]) }
    self.code = code
  }

  /// Of four bytes; nil if one is not a printable ASCII character.
  init?(_ bytes: Slice<UnsafeBufferPointer<UInt8>>) {
    var code: UInt32 = 0
    for byte in bytes {
      guard 0x20...0x7e ~= byte else { return nil }
      code = code << 8 | UInt32(byte)
    }
    self.code = code
  }

  /// The four characters in ASCII.
  public var bytes: [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: code >> UInt32(24 - 8 * $0)) } }

  /// Whether the picture can be decoded without it.
  public var isOptional: Bool { 0x61...0x7a ~= code >> 24 }

  /// The four characters.
  public var description: String { String(decoding: bytes, as: UTF8.self) }

  /// A segment of the latent.
  static let segment = BoxTag("SEGM")
  /// The picture's transparency.
  static let alpha = BoxTag("ALPH")
  /// Differences to the decoded picture.
  static let residual = BoxTag("RESD")
  static let end = BoxTag("END ")
}

/// What a picture file says beside its samples and a bitstream carries unread.
public enum MetadataKind: UInt8, Sendable, CaseIterable {
  /// An ICC profile.
  case icc
  /// Exif in TIFF form, without the JPEG marker's "Exif\0\0".
  case exif
  /// An XMP packet in UTF-8.
  case xmp
  /// Four bytes of code points of H.273: primaries, transfer, matrix, full-range flag.
  case cicp
  /// As PNG's gAMA: u32, big-endian, 100000 / gamma.
  case gamma
  /// As PNG's cHRM.
  case chromaticities
  /// As PNG's sRGB: the rendering intent.
  case renderingIntent
  /// As PNG's pHYs.
  case resolution

  /// The box that carries it.
  public var tag: BoxTag {
    switch self {
    case .icc: BoxTag("iccp")
    case .exif: BoxTag("exif")
    case .xmp: BoxTag("xmp ")
    case .cicp: BoxTag("cicp")
    case .gamma: BoxTag("gama")
    case .chromaticities: BoxTag("chrm")
    case .renderingIntent: BoxTag("srgb")
    case .resolution: BoxTag("phys")
    }
  }

  init?(_ tag: BoxTag) {
    guard let kind = Self.allCases.first(where: { $0.tag == tag }) else { return nil }
    self = kind
  }
}

/// One item of metadata.
public struct Metadata: Sendable, Equatable {
  /// What it is.
  public let kind: MetadataKind
  /// Its content, as `MetadataKind` says.
  public let bytes: [UInt8]

  /// One item; the bytes are not checked.
  public init(_ kind: MetadataKind, _ bytes: [UInt8]) {
    self.kind = kind
    self.bytes = bytes
  }
}
