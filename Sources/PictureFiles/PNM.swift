// SPDX-License-Identifier: BSD-3-Clause

import SwiftCodec

/// What can be wrong with a PNM file (PBM, PGM, PPM or PAM).
public enum PNMError: Error, Equatable, CustomStringConvertible {
  /// The file does not start with P1…P7.
  case signature
  /// A number is missing, too large, or followed by something else than white space.
  case header
  /// Width and height are 1…65535, and there are at most as many pixels as the caller allows.
  case dimensions(Int, Int)
  /// The largest sample value is 1…65535.
  case maximum(Int)
  /// PAM: samples of a pixel are 1…4, as many as the tuple type says.
  case depth(Int)
  /// PAM: BLACKANDWHITE, GRAYSCALE, RGB, the same with _ALPHA, or none.
  case tupleType(String)
  /// The file ends before the picture does.
  case truncated
  /// A sample that is no number.
  case sample
  /// A sample above the file's largest value.
  case range(Int, maximum: Int)

  /// The fault in words, for people; without a full stop.
  public var description: String {
    switch self {
    case .signature: "not a PNM file"
    case .header: "malformed PNM header"
    case .dimensions(let width, let height):
      "a PNM picture of \(width)x\(height) is not within 1x1 to 65535x65535 and the pixels allowed"
    case .maximum(let maximum): "the PNM file's largest value, \(maximum), is not within 1 to 65535"
    case .depth(let depth): "a PAM file of \(depth) samples a pixel is not read"
    case .tupleType(let type): "a PAM file of tuple type \(type) is not read"
    case .truncated: "the PNM file ends too early"
    case .sample: "a PNM sample is not a number"
    case .range(let value, let maximum): "PNM sample \(value) is above the file's largest value, \(maximum)"
    }
  }
}

/// Reads and writes the formats of Netpbm: PBM, PGM, PPM and PAM.
public enum PNM {
  /// The picture of a PNM file alone, transparent parts on white.
  public static func read(_ bytes: [UInt8]) throws(PNMError) -> Picture { try load(bytes).onWhite() }

  /// Reads P1…P7 (PBM, PGM, PPM, PAM). Samples become round(v · 255 / maximum). Of several pictures the first is read.
  ///
  /// Where lines of the header end in CR LF, the samples begin behind the LF, if enough bytes follow.
  public static func load(
    _ bytes: [UInt8], maximumPixels: Int = PictureFile.defaultMaximumPixels
  ) throws(PNMError) -> LoadedPicture {
    var reader = try PNMReader(bytes, maximumPixels)
    let samples = try reader.samples()
    let (depth, width, height) = (reader.depth, reader.width, reader.height)
    let warnings = reader.warnings + reader.remainder()
    let colours = depth < 3 ? 1 : 3
    let format: PixelFormat = depth < 3 ? .grey : .rgb
    guard depth % 2 == 0 else {
      return LoadedPicture(picture: makePicture(width, height, format, samples), warnings: warnings)
    }
    var colour: [UInt8] = []
    var alpha: [UInt8] = []
    colour.reserveCapacity(width * height * colours)
    alpha.reserveCapacity(width * height)
    for i in 0..<width * height {
      for k in 0..<colours { colour.append(samples[i * depth + k]) }
      alpha.append(samples[i * depth + colours])
    }
    return LoadedPicture(
      picture: makePicture(width, height, format, colour), alpha: makePicture(width, height, .grey, alpha),
      warnings: warnings)
  }

  /// A binary PGM or PPM file, or a PAM file if there is alpha. 4:2:0 is converted to RGB by JFIF's equations or
  /// those of `colour`.
  public static func write(
    _ picture: Picture, alpha: Picture? = nil, colour: ColourDescription? = nil
  ) -> [UInt8] {
    let picture = picture.rgbOrGrey(colour)
    let (width, height, channels) = (picture.width, picture.height, picture.format == .rgb ? 3 : 1)
    guard let alpha else {
      return Array("P\(channels == 1 ? 5 : 6)\n\(width) \(height)\n255\n".utf8) + picture.samples
    }
    precondition(alpha.format == .grey && alpha.width == width && alpha.height == height)
    let type = channels == 1 ? "GRAYSCALE_ALPHA" : "RGB_ALPHA"
    let header = "P7\nWIDTH \(width)\nHEIGHT \(height)\nDEPTH \(channels + 1)\nMAXVAL 255\nTUPLTYPE \(type)\nENDHDR\n"
    var file = Array(header.utf8)
    file.reserveCapacity(file.count + picture.samples.count + alpha.samples.count)
    for (i, a) in alpha.samples.enumerated() {
      for k in 0..<channels { file.append(picture.samples[i * channels + k]) }
      file.append(a)
    }
    return file
  }
}

private struct PNMReader {
  private let bytes: [UInt8]
  private var position = 2
  /// The digit behind the P: 1, 2, 3 are bits, grey and RGB as text, 4, 5, 6 in binary, 7 is PAM.
  private let kind: UInt8
  private(set) var width = 0
  private(set) var height = 0
  private var maximum = 1
  /// Samples of a pixel.
  private(set) var depth: Int
  private(set) var warnings: [PictureWarning] = []
  private var rowBytes: Int { kind == 4 ? (width + 7) / 8 : width * depth * (maximum > 255 ? 2 : 1) }

  init(_ bytes: [UInt8], _ maximumPixels: Int) throws(PNMError) {
    guard bytes.count >= 2, bytes[0] == UInt8(ascii: "P"), (0x31...0x37).contains(bytes[1]) else { throw .signature }
    self.bytes = bytes
    kind = bytes[1] - 0x30
    depth = kind % 3 == 0 ? 3 : 1
    if kind == 7 {
      try arbitraryMap()
    } else {
      guard let width = try number(), let height = try number() else { throw .header }
      (self.width, self.height) = (width, height)
      if kind % 3 != 1 {
        guard let maximum = try number() else { throw .header }
        self.maximum = maximum
      }
    }
    guard (1...65535).contains(width), (1...65535).contains(height), width * height <= maximumPixels else {
      throw .dimensions(width, height)
    }
    guard (1...65535).contains(maximum) else { throw .maximum(maximum) }
    if maximum > 255 { warnings.append(.bitsReduced(from: 16 - UInt16(maximum).leadingZeroBitCount)) }
    if kind >= 4 {
      // One byte of white space ends the header.
      guard position < bytes.count, isSpace(bytes[position]) else { throw .header }
      position += 1
      skipLineFeed()
    }
  }

  /// Behind a CR that ends the header: an LF belongs to it if all lines of the header end so and enough bytes follow.
  private mutating func skipLineFeed() {
    guard bytes[position - 1] == 0x0D, position < bytes.count, bytes[position] == 0x0A else { return }
    let header = bytes[..<(position - 1)]
    let isConsistent = header.indices.allSatisfy { header[$0] != 0x0A || header[$0 - 1] == 0x0D }
    guard isConsistent, bytes.count - position - 1 >= rowBytes * height else { return }
    position += 1
    warnings.append(.carriageReturns)
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

  /// The lines of a PAM header, up to the end of ENDHDR.
  private mutating func arbitraryMap() throws(PNMError) {
    var type: String?
    var (hasDepth, hasMaximum) = (false, false)
    while true {
      skipSpace()
      let start = position
      while position < bytes.count, !isSpace(bytes[position]) { position += 1 }
      let word = String(decoding: bytes[start..<position], as: UTF8.self)
      switch word {
      case "WIDTH": width = try field()
      case "HEIGHT": height = try field()
      case "DEPTH":
        depth = try field()
        hasDepth = true
      case "MAXVAL":
        maximum = try field()
        hasMaximum = true
      case "TUPLTYPE":
        // Several lines make one name.
        let name = line()
        type = type.map { $0 + " " + name } ?? name
      case "ENDHDR":
        guard hasDepth, hasMaximum else { throw .header }
        return try check(type)
      default: throw position < bytes.count ? .header : .truncated
      }
    }
  }

  private mutating func field() throws(PNMError) -> Int {
    guard let value = try number() else { throw .truncated }
    return value
  }

  /// The rest of the line without spaces around it, at most 64 bytes.
  private mutating func line() -> String {
    while position < bytes.count, bytes[position] == 0x20 || bytes[position] == 0x09 { position += 1 }
    let start = position
    while position < bytes.count, bytes[position] != 0x0A { position += 1 }
    var text = bytes[start..<position].prefix(64)
    while let last = text.last, isSpace(last) { text.removeLast() }
    return String(decoding: text, as: UTF8.self)
  }

  private func check(_ type: String?) throws(PNMError) {
    guard 1...4 ~= depth else { throw .depth(depth) }
    guard let type, !type.isEmpty else { return }
    let depths = [
      "BLACKANDWHITE": 1, "GRAYSCALE": 1, "RGB": 3, "BLACKANDWHITE_ALPHA": 2, "GRAYSCALE_ALPHA": 2, "RGB_ALPHA": 4,
    ]
    guard let expected = depths[type] else { throw .tupleType(type) }
    guard depth == expected else { throw .depth(depth) }
  }

  mutating func samples() throws(PNMError) -> [UInt8] {
    let count = width * height * depth
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
      position += least
    default:
      let start = position
      position += least
      if maximum == 255 { return Array(bytes[start..<position]) }
      for i in 0..<count {
        let value =
          maximum > 255 ? Int(bytes[start + 2 * i]) << 8 | Int(bytes[start + 2 * i + 1]) : Int(bytes[start + i])
        try result.append(scaled(value))
      }
    }
    return result
  }

  private func scaled(_ value: Int) throws(PNMError) -> UInt8 {
    guard value <= maximum else { throw .range(value, maximum: maximum) }
    return UInt8((value * 255 + maximum / 2) / maximum)
  }

  /// What lies behind the samples. Behind text of P1 to P3 anything may follow.
  func remainder() -> [PictureWarning] {
    var rest = bytes[position...]
    let isBinary = kind >= 4
    if !isBinary { rest = rest.drop { isSpace($0) } }
    guard !rest.isEmpty else { return [] }
    let digit = rest.dropFirst().first ?? 0
    let isPicture = rest.first == UInt8(ascii: "P") && (0x31...0x37).contains(digit)
    return [isPicture ? .furtherPictures : .trailingBytes(rest.count)]
  }
}
