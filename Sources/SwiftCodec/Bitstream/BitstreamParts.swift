// SPDX-License-Identifier: BSD-3-Clause

/// A bitstream cut into its parts, all checksums verified. The model is not needed for that.
public struct BitstreamParts: Sendable {
  /// The header, its fields in their ranges.
  public let header: BitstreamHeader
  /// Ranges of the segments' payloads in the bytes.
  public let payloads: [Range<Int>]
  /// Of the box of the picture's transparency.
  public let alpha: Range<Int>?
  /// Of the box of differences to the decoded picture.
  public let residual: Range<Int>?
  /// What is known of the metadata; other optional boxes are skipped.
  public let metadata: [(kind: MetadataKind, range: Range<Int>)]

  /// Cuts a whole bitstream; payloads are not looked into. Throws `truncated`, `checksum`, `unknownBox`, `misplacedBox`,
  /// `boxContent`, `segmentCount` and the errors of the header.
  public init(parsing bytes: [UInt8]) throws(DecodeError) {
    self = try bytes.withUnsafeBufferPointer { bytes throws(DecodeError) in try BitstreamParts(parsing: bytes) }
  }

  init(parsing bytes: UnsafeBufferPointer<UInt8>) throws(DecodeError) {
    var reader = ByteReader<DecodeError>(bytes, in: 0..<bytes.count) { .truncated(offset: $0) }
    header = try BitstreamHeader(&reader)
    var checksum = RunningChecksum()
    guard let segments = header.segments else {
      let payload = try reader.range(count: reader.remaining - 4)
      try checksum.verify(&reader, to: payload.upperBound)
      payloads = [payload]
      (alpha, residual, metadata) = (nil, nil, [])
      return
    }
    var payloads: [Range<Int>] = []
    var alpha: Range<Int>?
    var residual: Range<Int>?
    var metadata: [(kind: MetadataKind, range: Range<Int>)] = []
    while true {
      let tagRange = try reader.range(count: 4)
      guard let size = try reader.varint() else { throw .truncated(offset: reader.offset) }
      let payload = try reader.range(count: size)
      try checksum.verify(&reader, to: payload.upperBound)
      guard let tag = BoxTag(bytes[tagRange]) else { throw .unknownBox(BoxTag("????")) }
      switch tag {
      case .segment:
        guard payloads.count < segments.count else { throw .misplacedBox(tag) }
        payloads.append(payload)
      case .alpha:
        guard alpha == nil else { throw .misplacedBox(tag) }
        alpha = payload
      case .residual:
        guard residual == nil else { throw .misplacedBox(tag) }
        residual = payload
      case .end:
        guard size == 0 else { throw .boxContent(tag, size: size) }
        guard reader.isAtEnd else { throw .misplacedBox(tag) }
        guard payloads.count == segments.count, payloads.count > 0 || residual != nil else {
          throw .segmentCount(payloads.count, expected: max(1, segments.count))
        }
        (self.payloads, self.alpha, self.residual, self.metadata) = (payloads, alpha, residual, metadata)
        return
      default:
        guard tag.isOptional else { throw .unknownBox(tag) }
        guard let kind = MetadataKind(tag) else { continue }
        guard !metadata.contains(where: { $0.kind == kind }) else { throw .misplacedBox(tag) }
        metadata.append((kind, payload))
      }
    }
  }
}

/// Every checksum covers all bytes before it but the checksums (over data and its own CRC, a CRC is constant): parts cannot
/// be exchanged between files, and the first one protects the header.
private struct RunningChecksum {
  private var crc: UInt32 = 0
  private var checked = 0
  private var part = 0

  mutating func verify(_ reader: inout ByteReader<DecodeError>, to end: Int) throws(DecodeError) {
    crc = crc32c(reader.bytes, in: checked..<end, continuing: crc)
    guard try reader.u32() == crc else { throw .checksum(part: part) }
    checked = reader.offset
    part += 1
  }
}

/// Writes a bitstream part by part.
struct BitstreamWriter {
  private var out = ByteWriter()
  private var crc: UInt32 = 0
  private var checked = 0

  init(_ header: BitstreamHeader) { out.append(header.serialised()) }

  private mutating func seal() {
    crc = crc32c(out.bytes, in: checked..<out.bytes.count, continuing: crc)
    out.u32(crc)
    checked = out.bytes.count
  }

  mutating func box(_ tag: BoxTag, _ payload: [UInt8]) {
    out.append(tag.bytes)
    out.varint(payload.count)
    out.append(payload)
    seal()
  }

  /// A bitstream without boxes: the only segment.
  mutating func finish(segment payload: [UInt8]) -> [UInt8] {
    out.append(payload)
    seal()
    return out.bytes
  }

  mutating func finish() -> [UInt8] {
    box(.end, [])
    return out.bytes
  }
}
