// SPDX-License-Identifier: BSD-3-Clause

import SwiftCodec

/// What can be wrong with a PNM file (PBM, PGM or PPM).
public enum PNMError: Error {
  /// The file does not start with P1…P6.
  case signature
  /// A number is missing, too large, or followed by something else than white space.
  case header
  /// Width and height are 1…65535.
  case dimensions(Int, Int)
  /// The largest sample value is 1…65535.
  case maximum(Int)
  /// The file ends before the picture does.
  case truncated
  /// A sample that is no number.
  case sample
  /// A sample above the file's largest value.
  case range(Int, maximum: Int)
  case picture(PictureError)

  public var description: String {
    switch self {
    case .signature: "not a PNM file"
    case .header: "malformed PNM header"
    case .dimensions(let width, let height): "a PNM picture of \(width)x\(height) is not within 1x1 to 65535x65535"
    case .maximum(let maximum): "the PNM file's largest value, \(maximum), is not within 1 to 65535"
    case .truncated: "the PNM file ends too early"
    case .sample: "a PNM sample is not a number"
    case .range(let value, let maximum): "PNM sample \(value) is above the file's largest value, \(maximum)"
    case .picture(let error): error.description
    }
  }
}

public enum PNM {
  /// Reads P1…P6. Samples become round(v · 255 / maximum); what follows the first picture is ignored.
  public static func read(_ bytes: [UInt8]) throws(PNMError) -> Picture {
    var reader = try PNMReader(bytes)
    let samples = try reader.samples()
    do {
      return try Picture(width: reader.width, height: reader.height, channels: reader.channels, samples: samples)
    } catch {
      throw .picture(error)
    }
  }

  /// A binary PGM or PPM file.
  public static func write(_ picture: Picture) -> [UInt8] {
    Array("P\(picture.channels == 1 ? 5 : 6)\n\(picture.width) \(picture.height)\n255\n".utf8) + picture.samples
  }
}

private struct PNMReader {
  private let bytes: [UInt8]
  private var position = 2
  /// The digit behind the P: 1, 2, 3 are bits, grey and RGB as text, 4, 5, 6 in binary.
  private let kind: UInt8
  private(set) var width = 0
  private(set) var height = 0
  private var maximum = 1
  var channels: Int { kind % 3 == 0 ? 3 : 1 }

  init(_ bytes: [UInt8]) throws(PNMError) {
    guard bytes.count >= 2, bytes[0] == UInt8(ascii: "P"), (0x31...0x36).contains(bytes[1]) else { throw .signature }
    self.bytes = bytes
    kind = bytes[1] - 0x30
    guard let width = try number(), let height = try number() else { throw .header }
    guard (1...65535).contains(width), (1...65535).contains(height) else { throw .dimensions(width, height) }
    (self.width, self.height) = (width, height)
    if kind % 3 != 1 {
      guard let maximum = try number() else { throw .header }
      guard (1...65535).contains(maximum) else { throw .maximum(maximum) }
      self.maximum = maximum
    }
    if kind >= 4 {
      // One byte of white space ends the header.
      guard position < bytes.count, isSpace(bytes[position]) else { throw .header }
      position += 1
    }
  }

  private func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }

  /// Skips white space and comments, which run from # to the end of the line.
  private mutating func skipSpace() {
    while position < bytes.count {
      if bytes[position] == UInt8(ascii: "#") {
        while position < bytes.count, bytes[position] != 0x0A, bytes[position] != 0x0D { position += 1 }
      } else if isSpace(bytes[position]) {
        position += 1
      } else {
        return
      }
    }
  }

  /// The next number, at most 9 digits; nil at the end of the file.
  private mutating func number() throws(PNMError) -> Int? {
    skipSpace()
    guard position < bytes.count else { return nil }
    var value = 0
    let start = position
    while position < bytes.count, case 0x30...0x39 = bytes[position] {
      value = value * 10 + Int(bytes[position] - 0x30)
      position += 1
      guard position - start <= 9 else { throw .sample }
    }
    guard position > start else { throw .sample }
    return value
  }

  mutating func samples() throws(PNMError) -> [UInt8] {
    let count = width * height * channels
    let rowBytes = kind == 4 ? (width + 7) / 8 : width * channels * (maximum > 255 ? 2 : 1)
    // A sample of text is at least one byte, and from P2 on has another between itself and the next.
    let least = kind >= 4 ? rowBytes * height : kind == 1 ? count : 2 * count - 1
    guard bytes.count - position >= least else { throw .truncated }
    var result: [UInt8] = []
    result.reserveCapacity(count)
    switch kind {
    case 1:
      for _ in 0..<count {
        skipSpace()
        guard position < bytes.count else { throw .truncated }
        guard bytes[position] & 0xFE == 0x30 else { throw .sample }
        result.append(bytes[position] == 0x30 ? 255 : 0)
        position += 1
      }
    case 2, 3:
      for _ in 0..<count {
        guard let value = try number() else { throw .truncated }
        try result.append(scaled(value))
      }
    case 4:
      for y in 0..<height {
        for x in 0..<width {
          let bit = bytes[position + y * rowBytes + x >> 3] >> UInt8(7 - x & 7) & 1
          result.append(bit == 0 ? 255 : 0)
        }
      }
    default:
      if maximum == 255 { return Array(bytes[position..<position + count]) }
      for i in 0..<count {
        let value =
          maximum > 255
          ? Int(bytes[position + 2 * i]) << 8 | Int(bytes[position + 2 * i + 1]) : Int(bytes[position + i])
        try result.append(scaled(value))
      }
    }
    return result
  }

  private func scaled(_ value: Int) throws(PNMError) -> UInt8 {
    guard value <= maximum else { throw .range(value, maximum: maximum) }
    return UInt8((value * 255 + maximum / 2) / maximum)
  }
}
