// SPDX-License-Identifier: BSD-3-Clause

/// Why a bitstream is not decoded.
public enum DecodeError: Error, Equatable {
  /// The first bytes are not "SCI".
  case notABitstream
  /// Versions known are 1…1.
  case version(UInt8)
  /// The bytes end inside of a field.
  case truncated(offset: Int)
  /// The CRC-32C at the end of a segment is not that of the header and all segments so far.
  case checksum(segment: Int)
  /// The entropy kind is unknown.
  case unknownFlags(UInt8)
  /// Width and height are 1…65535.
  case sides(width: Int, height: Int)
  /// Segments have 1…255 times 8 rows.
  case emptySegments
  /// The picture has another number of segments than the header says.
  case segmentCount(Int, expected: Int)
  /// The bitstream was made with another model than the one that is loaded: the first halves of their ids.
  case model(wanted: UInt32, loaded: UInt32)
  /// Rate points of this model are 0 ..< count, and positions lie between them.
  case position(RatePosition, count: Int)
  /// The model has no such entropy model.
  case entropyModel(EntropyKind)
  /// A segment's payload does not decode, though its checksum is right.
  case payload(segment: Int)
  /// A segment cannot hold so few or so many bytes.
  case segmentSize(segment: Int, size: Int)
  /// The picture has more samples than the caller allows.
  case tooLarge(width: Int, height: Int, limit: Int)

  public var description: String {
    switch self {
    case .notABitstream: "not a SwiftCodec bitstream"
    case .version(let v): "bitstream version \(v), this library reads 1"
    case .truncated(let offset): "ends too early, at byte \(offset)"
    case .checksum(0): "the CRC-32C of header and segment 0 does not match: the file is damaged"
    case .checksum(let i): "the CRC-32C of segment \(i) does not match: the file is damaged"
    case .unknownFlags(let flags): "unknown flags \(flags) in the header"
    case .sides(let width, let height): "a picture of \(width)×\(height) pixels: sides are 1 to 65535"
    case .emptySegments: "segments of no rows"
    case .segmentCount(let count, let expected): "\(count) segments where the picture has \(expected)"
    case .model(let wanted, let loaded):
      "made with model \(hexadecimal(wanted))…, but model \(hexadecimal(loaded))… is loaded"
    case .position(let position, let count):
      "rate position \(position.description) where the model has 0 to \(count - 1)"
    case .entropyModel(let kind): "the model has no entropy model \"\(kind.name)\""
    case .payload(let i): "segment \(i) does not decode: the file is damaged"
    case .segmentSize(let i, let size): "segment \(i) of \(size) bytes has no valid size"
    case .tooLarge(let width, let height, let limit): "\(width)×\(height) pixels are more than the limit of \(limit)"
    }
  }
}

/// All its hexadecimal digits.
public func hexadecimal<T: FixedWidthInteger & UnsignedInteger>(_ value: T) -> String {
  var digits: [UInt8] = []
  for i in (0..<(T.bitWidth / 4)).reversed() {
    let digit = UInt8(truncatingIfNeeded: value >> T(4 * i)) & 15
    digits.append(digit < 10 ? 0x30 + digit : 0x57 + digit)
  }
  return String(decoding: digits, as: UTF8.self)
}

/// The header of a bitstream (FORMAT.md §2).
public struct BitstreamHeader: Sendable, Equatable {
  static let magic: [UInt8] = [0x53, 0x43, 0x49]
  static let version: UInt8 = 1
  /// No header is longer.
  static let maximumSize = 32

  /// The first half of the model's id.
  public var modelID: UInt32
  public var position: RatePosition
  public var entropy: EntropyKind
  public var isGrey: Bool
  public var width: Int
  public var height: Int
  /// Segments of a picture that has several.
  public var segments: Segments?

  public struct Segments: Sendable, Equatable {
    /// Height of a segment in rows of the latent: a multiple of 8.
    public var rows: Int
    /// At least 2.
    public var count: Int
  }

  public var segmentCount: Int { segments?.count ?? 1 }

  init(
    modelID: UInt32, position: RatePosition, entropy: EntropyKind, isGrey: Bool, width: Int, height: Int,
    segments: Segments?
  ) {
    self.modelID = modelID
    self.position = position
    self.entropy = entropy
    self.isGrey = isGrey
    self.width = width
    self.height = height
    self.segments = segments
  }

  /// Reads the header alone: its fields are in their ranges, but no checksum covers it alone. `BitstreamParts` verifies
  /// those of the whole file.
  public init(parsing bytes: [UInt8]) throws(DecodeError) {
    var reader = ByteReader<DecodeError>(bytes, in: 0..<bytes.count) { .truncated(offset: $0) }
    try self.init(&reader)
  }

  init(_ reader: inout ByteReader<DecodeError>) throws(DecodeError) {
    let magic = try reader.range(count: 3)
    guard reader.bytes[magic].elementsEqual(Self.magic) else { throw .notABitstream }
    let flags = try reader.u8()
    guard flags & 15 == Self.version else { throw .version(flags & 15) }
    guard let entropy = EntropyKind(rawValue: flags >> 4 & 3) else { throw .unknownFlags(flags) }
    let modelID = try reader.u32()
    let position = try reader.varint() ?? .max
    guard position < RatePosition.steps * 64 else {
      throw .position(RatePosition(index: position), count: 64)
    }
    let width = try reader.varint() ?? 0
    let height = try reader.varint() ?? 0
    guard 1...65535 ~= width, 1...65535 ~= height else { throw .sides(width: width, height: height) }
    var segments: Segments?
    if flags & 0x80 != 0 {
      let rows = Int(try reader.u8())
      guard rows > 0 else { throw .emptySegments }
      let count = try reader.varint() ?? 0
      guard 2...8192 ~= count else { throw .segmentCount(count, expected: 2) }
      segments = Segments(rows: 8 * rows, count: count)
    }
    self.init(
      modelID: modelID, position: RatePosition(index: position), entropy: entropy, isGrey: flags & 0x40 != 0,
      width: width, height: height, segments: segments)
  }

  func serialised() -> [UInt8] {
    var out = ByteWriter()
    out.append(Self.magic)
    out.u8(Self.version | entropy.rawValue << 4 | (isGrey ? 0x40 : 0) | (segments == nil ? 0 : 0x80))
    out.u32(modelID)
    out.varint(position.index)
    out.varint(width)
    out.varint(height)
    if let segments {
      out.u8(UInt8(segments.rows / 8))
      out.varint(segments.count)
    }
    return out.bytes
  }
}

/// A bitstream cut into its parts, all checksums verified. The model is not needed for that.
public struct BitstreamParts: Sendable {
  public let header: BitstreamHeader
  /// Ranges of the payloads in the bytes.
  public let payloads: [Range<Int>]

  public init(parsing bytes: [UInt8]) throws(DecodeError) {
    var reader = ByteReader<DecodeError>(bytes, in: 0..<bytes.count) { .truncated(offset: $0) }
    header = try BitstreamHeader(&reader)
    var payloads: [Range<Int>] = []
    // Every checksum covers all bytes before it but the checksums (over data and its own CRC, a CRC is constant):
    // segments cannot be exchanged between pictures, and the first one protects the header.
    var checked = 0
    var crc: UInt32 = 0
    for segment in 0..<header.segmentCount {
      let size: Int
      if segment + 1 < header.segmentCount {
        guard let given = try reader.varint() else { throw .segmentSize(segment: segment, size: -1) }
        size = given
      } else {
        size = reader.remaining - 4
      }
      let payload = try reader.range(count: size)
      crc = crc32c(bytes, in: checked..<payload.upperBound, continuing: crc)
      guard try reader.u32() == crc else { throw .checksum(segment: segment) }
      checked = reader.offset
      payloads.append(payload)
    }
    self.payloads = payloads
  }
}
