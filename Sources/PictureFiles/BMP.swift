// SPDX-License-Identifier: BSD-3-Clause

import SwiftCodec

/// What can be wrong with a BMP file.
public enum BMPError: Error, Equatable, CustomStringConvertible {
  case signature
  case truncated
  /// A header of unknown size, or with impossible fields.
  case header
  /// Width and height are 1…65535, and there are at most as many pixels as the caller allows.
  case dimensions(Int, Int)
  /// A kind of BMP that is not read, in words.
  case unsupported(String)

  /// The fault in words, for people; without a full stop.
  public var description: String {
    switch self {
    case .signature: "not a BMP file"
    case .truncated: "the BMP file ends too early"
    case .header: "malformed BMP header"
    case .dimensions(let width, let height):
      "a BMP picture of \(width)x\(height) is not within 1x1 to 65535x65535 and the pixels allowed"
    case .unsupported(let name): "\(name) is not read"
    }
  }
}

/// Reads Windows bitmaps.
public enum BMP {
  /// Reads a BMP file of 1, 4, 8, 16, 24 or 32 bits a pixel without compression, with bit masks or without, as RGB.
  /// Alpha is what the mask of a header of version 4 or 5 says; without one the fourth byte is ignored.
  public static func load(
    _ bytes: [UInt8], maximumPixels: Int = PictureFile.defaultMaximumPixels
  ) throws(BMPError) -> LoadedPicture {
    let file = try BMPFile(bytes, maximumPixels)
    return try file.picture()
  }
}

private struct BMPFile {
  private let bytes: [UInt8]
  private let width: Int
  private let height: Int
  private let isTopDown: Bool
  private let bits: Int
  private let start: Int
  /// Red, green, blue, alpha; empty for a palette.
  private var masks: [UInt32] = []
  /// Blue, green, red of each entry.
  private var palette: [[UInt8]] = []
  private var metadata = PictureMetadata()

  init(_ bytes: [UInt8], _ maximumPixels: Int) throws(BMPError) {
    self.bytes = bytes
    func u32(_ at: Int) -> UInt32 { bytes[at..<at + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) } }
    func u16(_ at: Int) -> Int { Int(bytes[at]) | Int(bytes[at + 1]) << 8 }
    guard bytes.starts(with: "BM".utf8) else { throw .signature }
    guard bytes.count >= 26 else { throw .truncated }
    let headerSize = Int(u32(14))
    let isCore = headerSize == 12
    guard isCore || [40, 52, 56, 64, 108, 124].contains(headerSize) else { throw .header }
    guard bytes.count >= 14 + headerSize else { throw .truncated }
    start = Int(u32(10))
    width = isCore ? u16(18) : Int(Int32(bitPattern: u32(18)))
    let signedHeight = isCore ? u16(20) : Int(Int32(bitPattern: u32(22)))
    height = abs(signedHeight)
    isTopDown = signedHeight < 0
    bits = u16(isCore ? 24 : 28)
    guard 1...65535 ~= width, 1...65535 ~= height, width * height <= maximumPixels else {
      throw .dimensions(width, height)
    }
    let compression = isCore ? 0 : u32(30)
    switch compression {
    case 0, 3, 6: break
    case 1, 2: throw .unsupported("a BMP file with run-length coding")
    case 4: throw .unsupported("a BMP file that holds a JPEG file")
    case 5: throw .unsupported("a BMP file that holds a PNG file")
    default: throw .header
    }
    guard [1, 4, 8, 16, 24, 32].contains(bits), compression == 0 || bits == 16 || bits == 32 else { throw .header }
    // Masks stand in longer headers or behind the one of 40 bytes.
    let behind = 14 + headerSize
    let masksAtEnd = headerSize == 40 && compression != 0 ? (compression == 6 ? 16 : 12) : 0
    if bits >= 16 {
      if compression == 0 {
        masks = bits == 16 ? [0x7C00, 0x3E0, 0x1F, 0] : [0xFF0000, 0xFF00, 0xFF, 0]
      } else {
        guard headerSize != 64, bytes.count >= behind + masksAtEnd else { throw .header }
        let hasAlpha = headerSize >= 56 || compression == 6
        masks = [u32(54), u32(58), u32(62), hasAlpha ? u32(66) : 0]
        guard masks.prefix(3).allSatisfy({ $0 != 0 }) else { throw .header }
      }
    } else {
      let entry = isCore ? 3 : 4
      let used = isCore ? 0 : Int(u32(46))
      let count = used == 0 ? 1 << bits : min(used, 1 << bits)
      guard bytes.count >= behind + entry * count else { throw .truncated }
      palette = (0..<count).map { Array(bytes[behind + entry * $0..<behind + entry * $0 + 3]) }
    }
    if !isCore {
      let (x, y) = (Int32(bitPattern: u32(38)), Int32(bitPattern: u32(42)))
      if x > 0, y > 0 {
        metadata.resolution = PictureResolution(horizontal: UInt32(x), vertical: UInt32(y), unit: .metre)
      }
    }
    // A profile in the file itself ("MBED").
    if headerSize == 124, u32(70) == 0x4D42_4544 {
      let (at, size) = (14 + Int(u32(126)), Int(u32(130)))
      if size > 0, at <= bytes.count, size <= bytes.count - at { metadata.icc = Array(bytes[at..<at + size]) }
    }
  }

  func picture() throws(BMPError) -> LoadedPicture {
    let rowSize = (width * bits + 31) / 32 * 4
    // The last row may lack what fills it up.
    let least = rowSize * (height - 1) + (width * bits + 7) / 8
    guard start >= 26, start <= bytes.count, bytes.count - start >= least else { throw .truncated }
    let hasAlpha = masks.count == 4 && masks[3] != 0
    var samples = [UInt8](repeating: 0, count: 3 * width * height)
    var alpha = hasAlpha ? [UInt8](repeating: 0, count: width * height) : []
    var missing: Int?
    for y in 0..<height {
      let row = start + rowSize * (isTopDown ? y : height - 1 - y)
      for x in 0..<width {
        let pixel = y * width + x
        if bits == 24 {
          for k in 0..<3 { samples[3 * pixel + k] = bytes[row + 3 * x + 2 - k] }
        } else if bits < 16 {
          let bit = x * bits
          let index = Int(bytes[row + bit >> 3]) >> (8 - bits - bit & 7) & (1 << bits - 1)
          if index < palette.count {
            for k in 0..<3 { samples[3 * pixel + k] = palette[index][2 - k] }
          } else {
            missing = max(missing ?? 0, index)
          }
        } else {
          let at = row + x * bits / 8
          let value = (0..<bits / 8).reversed().reduce(UInt32(0)) { $0 << 8 | UInt32(bytes[at + $1]) }
          for k in 0..<3 { samples[3 * pixel + k] = BMPFile.sample(value, masks[k]) }
          if hasAlpha { alpha[pixel] = BMPFile.sample(value, masks[3]) }
        }
      }
    }
    var warnings: [PictureWarning] = []
    if let missing { warnings.append(.paletteIndex(UInt8(missing), entries: palette.count)) }
    if masks.contains(where: { $0.nonzeroBitCount > 8 }) {
      warnings.append(.bitsReduced(from: masks.map(\.nonzeroBitCount).max() ?? 0))
    }
    return LoadedPicture(
      picture: makePicture(width, height, .rgb, samples),
      alpha: hasAlpha ? makePicture(width, height, .grey, alpha) : nil, metadata: metadata, warnings: warnings)
  }

  /// The bits under a mask, stretched to 0…255.
  private static func sample(_ value: UInt32, _ mask: UInt32) -> UInt8 {
    let shift = UInt32(mask.trailingZeroBitCount)
    let largest = UInt64(mask >> shift)
    return UInt8(clamping: (UInt64((value & mask) >> shift) * 255 + largest / 2) / largest)
  }
}
