// SPDX-License-Identifier: BSD-3-Clause

/// Why a bitstream is not decoded.
public enum DecodeError: Error, Equatable {
  /// The first bytes are not "SCI".
  case notABitstream
  /// Versions known are 1…1.
  case version(UInt8)
  /// The bytes end inside of a field.
  case truncated(offset: Int)
  /// The CRC-32C of the header is wrong.
  case headerChecksum
  /// The CRC-32C of a segment is wrong.
  case segmentChecksum(Int)
  /// Flag bits without meaning are set, or the entropy kind is unknown.
  case unknownFlags(UInt8)
  /// Width and height are 1…65535.
  case emptySide(width: Int, height: Int)
  /// Segments have 1…255 times 8 rows.
  case emptySegments
  /// The bitstream was made with another model than the one that is loaded.
  case model(wanted: UInt64, loaded: UInt64)
  /// Rate points of this model are 0 ..< count.
  case ratePoint(Int, count: Int)
  /// The model has no such entropy model.
  case entropyModel(EntropyKind)
  /// A segment's payload does not decode, though its checksum is right.
  case payload(segment: Int)
  /// Bytes follow the last segment.
  case trailingBytes(Int)
  /// A segment cannot hold so few or so many bytes.
  case segmentSize(segment: Int, size: Int)
  /// The picture has more samples than the caller allows.
  case tooLarge(width: Int, height: Int, limit: Int)

  public var description: String {
    switch self {
    case .notABitstream: "not a SwiftCodec bitstream"
    case .version(let v): "bitstream version \(v), this library reads 1"
    case .truncated(let offset): "ends too early, at byte \(offset)"
    case .headerChecksum: "the header's CRC-32C does not match: the file is damaged"
    case .segmentChecksum(let i): "the CRC-32C of segment \(i) does not match: the file is damaged"
    case .unknownFlags(let flags): "unknown flags \(flags) in the header"
    case .emptySide(let width, let height): "a picture of \(width)×\(height) pixels"
    case .emptySegments: "segments of no rows"
    case .model(let wanted, let loaded):
      "made with model \(hexadecimal(wanted)), but model \(hexadecimal(loaded)) is loaded"
    case .ratePoint(let k, let count): "rate point \(k) where the model has 0…\(count - 1)"
    case .entropyModel(let kind): "the model has no entropy model \"\(kind.name)\""
    case .payload(let i): "segment \(i) does not decode: the file is damaged"
    case .trailingBytes(let count): "\(count) bytes behind the last segment"
    case .segmentSize(let i, let size): "segment \(i) of \(size) bytes has no valid size"
    case .tooLarge(let width, let height, let limit): "\(width)×\(height) pixels are more than the limit of \(limit)"
    }
  }
}

/// 16 hexadecimal digits.
public func hexadecimal(_ value: UInt64) -> String {
  var digits: [UInt8] = []
  for i in (0..<16).reversed() {
    let digit = UInt8(value >> UInt64(4 * i) & 15)
    digits.append(digit < 10 ? 0x30 + digit : 0x57 + digit)
  }
  return String(decoding: digits, as: UTF8.self)
}

/// The header of a bitstream (FORMAT.md §2).
public struct BitstreamHeader: Sendable, Equatable {
  static let magic: [UInt8] = [0x53, 0x43, 0x49]
  static let version: UInt8 = 1
  static let size = 23

  public var modelID: UInt64
  public var ratePoint: Int
  public var entropy: EntropyKind
  public var isGrey: Bool
  public var width: Int
  public var height: Int
  /// Height of a segment in rows of the latent: a multiple of 8.
  public var segmentRows: Int

  init(modelID: UInt64, ratePoint: Int, entropy: EntropyKind, isGrey: Bool, width: Int, height: Int, segmentRows: Int) {
    self.modelID = modelID
    self.ratePoint = ratePoint
    self.entropy = entropy
    self.isGrey = isGrey
    self.width = width
    self.height = height
    self.segmentRows = segmentRows
  }

  /// Reads and checks the header alone.
  public init(parsing bytes: [UInt8]) throws(DecodeError) {
    var reader = ByteReader<DecodeError>(bytes, in: 0..<bytes.count) { .truncated(offset: $0) }
    let magic = try reader.range(count: 3)
    guard bytes[magic].elementsEqual(Self.magic) else { throw .notABitstream }
    let version = try reader.u8()
    guard version == Self.version else { throw .version(version) }
    let modelID = try reader.u64()
    let ratePoint = try reader.u8()
    let flags = try reader.u8()
    let width = try reader.u16()
    let height = try reader.u16()
    let rows = try reader.u8()
    let end = reader.offset
    guard try reader.u32() == crc32c(bytes, in: 0..<end) else { throw .headerChecksum }
    guard flags & 0xf8 == 0, let entropy = EntropyKind(rawValue: flags & 3) else { throw .unknownFlags(flags) }
    guard width > 0, height > 0 else { throw .emptySide(width: Int(width), height: Int(height)) }
    guard rows > 0 else { throw .emptySegments }
    self.init(
      modelID: modelID, ratePoint: Int(ratePoint), entropy: entropy, isGrey: flags & 4 != 0, width: Int(width),
      height: Int(height), segmentRows: 8 * Int(rows))
  }

  func serialised() -> [UInt8] {
    var out = ByteWriter()
    out.append(Self.magic)
    out.u8(Self.version)
    out.u64(modelID)
    out.u8(UInt8(ratePoint))
    out.u8(entropy.rawValue | (isGrey ? 4 : 0))
    out.u16(UInt16(width))
    out.u16(UInt16(height))
    out.u8(UInt8(segmentRows / 8))
    out.u32(crc32c(out.bytes, in: 0..<out.bytes.count))
    return out.bytes
  }
}

/// The size of a picture's latent and of its segments.
struct LatentLayout {
  let paddedWidth: Int
  let paddedHeight: Int
  let width: Int
  let height: Int
  let segmentRows: Int

  init(_ model: Model, width: Int, height: Int, segmentRows: Int) {
    let unit = 1 << model.paddingLevel
    paddedWidth = (width + unit - 1) / unit * unit
    paddedHeight = (height + unit - 1) / unit * unit
    self.width = paddedWidth >> model.latentLevel
    self.height = paddedHeight >> model.latentLevel
    self.segmentRows = segmentRows
  }

  private init(
    paddedWidth: Int, paddedHeight: Int, width: Int, height: Int, segmentRows: Int
  ) {
    self.paddedWidth = paddedWidth
    self.paddedHeight = paddedHeight
    self.width = width
    self.height = height
    self.segmentRows = segmentRows
  }

  /// The same segments at a resolution lower by some levels.
  func reduced(by levels: Int) -> LatentLayout {
    LatentLayout(
      paddedWidth: paddedWidth, paddedHeight: paddedHeight, width: width >> levels, height: height >> levels,
      segmentRows: segmentRows >> levels)
  }

  var segmentCount: Int { (height + segmentRows - 1) / segmentRows }

  /// Rows of a segment.
  func rows(segment: Int) -> Range<Int> {
    (segment * segmentRows)..<min((segment + 1) * segmentRows, height)
  }
}

/// A bitstream cut into its parts, all checksums verified.
public struct BitstreamParts: Sendable {
  public let header: BitstreamHeader
  /// Ranges of the payloads in the bytes.
  public let payloads: [Range<Int>]

  /// `segmentCount` follows from the header and the model that the bitstream was made with.
  init(parsing bytes: [UInt8], segmentCount: Int) throws(DecodeError) {
    header = try BitstreamHeader(parsing: bytes)
    var payloads: [Range<Int>] = []
    var reader = ByteReader<DecodeError>(bytes, in: BitstreamHeader.size..<bytes.count) { .truncated(offset: $0) }
    // Every checksum covers all bytes before it but the checksums (over data and its own CRC, a CRC is constant):
    // segments cannot be exchanged between pictures.
    var checked = reader.offset
    var crc = crc32c(bytes, in: 0..<(checked - 4))
    for segment in 0..<segmentCount {
      guard let size = try reader.varint() else { throw .segmentSize(segment: segment, size: -1) }
      let payload = try reader.range(count: size)
      crc = crc32c(bytes, in: checked..<payload.upperBound, continuing: crc)
      guard try reader.u32() == crc else { throw .segmentChecksum(segment) }
      checked = reader.offset
      payloads.append(payload)
    }
    guard reader.isAtEnd else { throw .trailingBytes(reader.remaining) }
    self.payloads = payloads
  }
}
