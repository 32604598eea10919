// SPDX-License-Identifier: BSD-3-Clause

/// What can be wrong with a PNG file (third edition of the specification).
public enum PNGError: Error, CustomStringConvertible {
  /// The file does not start with the eight bytes of a PNG file.
  case signature
  /// The file ends within a chunk or before IEND.
  case truncated
  /// CRC-32 of a chunk differs from the stored one.
  case checksum(chunk: String)
  /// A chunk that may not stand where it does, or that may not stand there again.
  case order(chunk: String)
  /// A chunk whose size its type does not allow.
  case size(chunk: String, Int)
  /// A chunk that a decoder must know, of a type that this one does not.
  case unknown(chunk: String)
  /// Width and height are 1…65535, and there are at most as many pixels as the caller allows.
  case dimensions(UInt32, UInt32)
  /// Colour types are 0, 2, 3, 4, 6; bit depths 1, 2, 4, 8, 16 as the colour type allows.
  case format(colorType: UInt8, depth: UInt8)
  /// Compression 0, filter 0, interlace 0 or 1.
  case method(UInt8, UInt8, UInt8)
  /// A palette picture without a palette.
  case noPalette
  /// Row filters are 0…4.
  case filter(UInt8)
  case compressed(InflateError)

  /// The fault in words, for people; without a full stop.
  public var description: String {
    switch self {
    case .signature: "not a PNG file"
    case .truncated: "the PNG file ends too early"
    case .checksum(let chunk): "wrong checksum in PNG chunk \(chunk)"
    case .order(let chunk): "PNG chunk \(chunk) is out of place"
    case .size(let chunk, let size): "PNG chunk \(chunk) cannot have \(size) bytes"
    case .unknown(let chunk): "unknown critical PNG chunk \(chunk)"
    case .dimensions(let width, let height):
      "a PNG picture of \(width)x\(height) is not within 1x1 to 65535x65535 and the pixels allowed"
    case .format(let colorType, let depth): "PNG colour type \(colorType) with \(depth) bits does not exist"
    case .method(let compression, let filter, let interlace):
      "unknown PNG compression, filter or interlace method (\(compression), \(filter), \(interlace))"
    case .noPalette: "the PNG file has no palette"
    case .filter(let filter): "PNG row filter \(filter) does not exist"
    case .compressed(let error): error.description
    }
  }
}

/// Reads and writes PNG files (third edition of the specification).
public enum PNG {
  /// The eight bytes that each PNG file starts with.
  public static let signature: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
}
