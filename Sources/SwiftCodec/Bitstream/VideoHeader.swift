// SPDX-License-Identifier: BSD-3-Clause

/// Code points of ITU-T H.273: what the samples' colours are.
public struct ColourDescription: Sendable, Equatable {
  /// ColourPrimaries: table 2 of H.273.
  public var primaries: UInt8
  /// TransferCharacteristics: table 3 of H.273.
  public var transfer: UInt8
  /// MatrixCoefficients: table 4 of H.273.
  public var matrix: UInt8
  /// Whether samples use 0…255, not 16…235 and 16…240.
  public var isFullRange: Bool

  /// Any code points: they are carried, not interpreted.
  public init(primaries: UInt8, transfer: UInt8, matrix: UInt8, isFullRange: Bool) {
    self.primaries = primaries
    self.transfer = transfer
    self.matrix = matrix
    self.isFullRange = isFullRange
  }

  /// 2: nothing is said.
  public static let unspecified = ColourDescription(primaries: 2, transfer: 2, matrix: 2, isFullRange: false)
  /// High-definition video.
  public static let bt709 = ColourDescription(primaries: 1, transfer: 1, matrix: 1, isFullRange: false)

  /// Primaries, transfer, matrix, and 1 for full range.
  public var bytes: [UInt8] { [primaries, transfer, matrix, isFullRange ? 1 : 0] }

  init?(_ bytes: some Collection<UInt8>) {
    let b = Array(bytes)
    guard b.count == 4, b[3] <= 1 else { return nil }
    self.init(primaries: b[0], transfer: b[1], matrix: b[2], isFullRange: b[3] == 1)
  }
}

/// The header of a video stream (docs/format/bitstream.md).
public struct VideoHeader: Sendable, Equatable {
  static let magic: [UInt8] = [0x53, 0x43, 0x56]
  static let version: UInt8 = 2
  /// No header is longer, its checksum included.
  public static let maximumSize = 48

  /// The first half of the id of the model of intra frames.
  public var intraModelID: UInt32
  /// That of inter frames; nil for a stream of intra frames alone.
  public var interModelID: UInt32?
  /// The kind of entropy model of all frames.
  public var entropy: EntropyKind
  /// Of all frames; streams are 4:2:0.
  public var format: PixelFormat
  /// Of all frames in pixels, 1…65535.
  public var width: Int
  /// Of all frames in pixels, 1…65535.
  public var height: Int
  /// Frames a second as a fraction; 0/1 if it is not known.
  public var rate: (numerator: Int, denominator: Int)
  /// What the samples' colours are.
  public var colour: ColourDescription
  /// Height of a segment in rows of the latent: a multiple of 8, 8…2040; 0 for one segment.
  public var segmentRows: Int

  /// Whether they are the same bytes.
  public static func == (a: VideoHeader, b: VideoHeader) -> Bool {
    a.serialised() == b.serialised()
  }

  init(
    intraModelID: UInt32, interModelID: UInt32?, entropy: EntropyKind, format: PixelFormat, width: Int, height: Int,
    rate: (numerator: Int, denominator: Int), colour: ColourDescription, segmentRows: Int
  ) {
    self.intraModelID = intraModelID
    self.interModelID = interModelID
    self.entropy = entropy
    self.format = format
    self.width = width
    self.height = height
    self.rate = rate
    self.colour = colour
    self.segmentRows = segmentRows
  }

  /// Reads the header and verifies its checksum; `size` is what it takes of the bytes.
  public init(parsing bytes: [UInt8], size: inout Int) throws(DecodeError) {
    self = try bytes.withUnsafeBufferPointer { bytes throws(DecodeError) in
      try VideoHeader(parsing: bytes, size: &size)
    }
  }

  init(parsing bytes: UnsafeBufferPointer<UInt8>, size: inout Int) throws(DecodeError) {
    var reader = ByteReader<DecodeError>(bytes, in: 0..<bytes.count) { .truncated(offset: $0) }
    let magic = try reader.range(count: 3)
    guard bytes[magic].elementsEqual(Self.magic) else { throw .notABitstream }
    let flags = try reader.u8()
    guard flags & 7 == Self.version else { throw .version(flags & 7) }
    guard let entropy = EntropyKind(rawValue: flags >> 3 & 3), let format = PixelFormat(rawValue: flags >> 5 & 3)
    else { throw .unknownFlags(flags) }
    let intra = try reader.u32()
    let inter = flags & 0x80 != 0 ? try reader.u32() : nil
    let width = try reader.varint() ?? 0
    let height = try reader.varint() ?? 0
    let rate = (numerator: try reader.varint() ?? 0, denominator: try reader.varint() ?? 0)
    let colour = try reader.range(count: 4)
    let rows = 8 * Int(try reader.u8())
    let end = reader.offset
    guard try reader.u32() == crc32c(bytes, in: 0..<end) else { throw .checksum(part: 0) }
    guard 1...65535 ~= width, 1...65535 ~= height else { throw .sides(width: width, height: height) }
    guard let colour = ColourDescription(bytes[colour]), rate.denominator > 0 else { throw .unknownFlags(flags) }
    size = reader.offset
    self.init(
      intraModelID: intra, interModelID: inter, entropy: entropy, format: format, width: width, height: height,
      rate: rate, colour: colour, segmentRows: rows)
  }

  func serialised() -> [UInt8] {
    var out = ByteWriter()
    out.append(Self.magic)
    out.u8(Self.version | entropy.rawValue << 3 | format.rawValue << 5 | (interModelID == nil ? 0 : 0x80))
    out.u32(intraModelID)
    if let interModelID { out.u32(interModelID) }
    out.varint(width)
    out.varint(height)
    out.varint(rate.numerator)
    out.varint(rate.denominator)
    out.append(colour.bytes)
    out.u8(UInt8(segmentRows / 8))
    out.u32(crc32c(out.bytes, in: 0..<out.bytes.count))
    return out.bytes
  }
}
