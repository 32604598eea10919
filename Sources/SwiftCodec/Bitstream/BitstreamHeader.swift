// SPDX-License-Identifier: BSD-3-Clause

/// The header of a bitstream (docs/format/bitstream.md).
public struct BitstreamHeader: Sendable, Equatable {
  static let magic: [UInt8] = [0x53, 0x43, 0x49]
  static let version: UInt8 = 2
  /// No header is longer.
  static let maximumSize = 32

  /// The first half of the model's id. Without segments it says nothing, as position and entropy.
  public var modelID: UInt32
  /// The place on the model's rate scale.
  public var position: RatePosition
  /// The entropy model that the segments are coded with.
  public var entropy: EntropyKind
  /// The format of the picture that was coded.
  public var format: PixelFormat
  /// Of the picture in pixels, 1…65535.
  public var width: Int
  /// Of the picture in pixels, 1…65535.
  public var height: Int
  /// nil for a bitstream that is header, one segment and checksum; otherwise all that follows stands in boxes.
  public var segments: Segments?

  /// How the latent is cut, from top to bottom.
  public struct Segments: Sendable, Equatable {
    /// Height of a segment in rows of the latent: a multiple of 8, or 0 for one segment of any height.
    public var rows: Int
    /// 1…8192; 0 for a picture that a residual layer has alone.
    public var count: Int
  }

  /// 1 or more; 0 for a picture that a residual layer has alone.
  public var segmentCount: Int { segments?.count ?? 1 }
  /// Height of the segments in rows of the latent; nil for one segment.
  public var segmentRows: Int? { segments.flatMap { $0.rows == 0 ? nil : $0.rows } }

  init(
    modelID: UInt32, position: RatePosition, entropy: EntropyKind, format: PixelFormat, width: Int, height: Int,
    segments: Segments?
  ) {
    self.modelID = modelID
    self.position = position
    self.entropy = entropy
    self.format = format
    self.width = width
    self.height = height
    self.segments = segments
  }

  /// Reads the header alone: its fields are in their ranges, but no checksum covers it alone. `BitstreamParts` verifies
  /// those of the whole file.
  public init(parsing bytes: [UInt8]) throws(DecodeError) {
    self = try bytes.withUnsafeBufferPointer { bytes throws(DecodeError) in try BitstreamHeader(parsing: bytes) }
  }

  init(parsing bytes: UnsafeBufferPointer<UInt8>) throws(DecodeError) {
    var reader = ByteReader<DecodeError>(bytes, in: 0..<bytes.count) { .truncated(offset: $0) }
    try self.init(&reader)
  }

  init(_ reader: inout ByteReader<DecodeError>) throws(DecodeError) {
    let magic = try reader.range(count: 3)
    guard reader.bytes[magic].elementsEqual(Self.magic) else { throw .notABitstream }
    let flags = try reader.u8()
    guard flags & 7 == Self.version else { throw .version(flags & 7) }
    guard let entropy = EntropyKind(rawValue: flags >> 3 & 3), let format = PixelFormat(rawValue: flags >> 5 & 3)
    else { throw .unknownFlags(flags) }
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
      let rows = 8 * Int(try reader.u8())
      let count = try reader.varint() ?? 0
      guard rows == 0 ? 0...1 ~= count : 1...8192 ~= count else { throw .segmentCount(count, expected: 1) }
      segments = Segments(rows: rows, count: count)
    }
    self.init(
      modelID: modelID, position: RatePosition(index: position), entropy: entropy, format: format, width: width,
      height: height, segments: segments)
  }

  func serialised() -> [UInt8] {
    var out = ByteWriter()
    out.append(Self.magic)
    out.u8(Self.version | entropy.rawValue << 3 | format.rawValue << 5 | (segments == nil ? 0 : 0x80))
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
