// SPDX-License-Identifier: BSD-3-Clause

extension BoxTag {
  /// A frame that needs no other.
  static let intraFrame = BoxTag("INTR")
  /// A frame that is predicted from the one before it.
  static let interFrame = BoxTag("PRED")
  /// The same without networks: a residual layer has the frame.
  static let intraLayer = BoxTag("INTL")
  static let interLayer = BoxTag("PREL")
  /// Where intra frames start.
  static let index = BoxTag("indx")
}

/// Where a packet of a video stream ends: a box of tag, size, payload and a CRC-32C of these and of the header's checksum.
///
/// Needs the first `prefixSize` bytes of a packet, or all of a shorter rest.
public struct VideoPacketPrefix: Sendable, Equatable {
  /// Bytes of a tag and of the longest size.
  public static let prefixSize = 9
  /// So that sizes and offsets within a packet are integers of 32 bits. No frame comes near it.
  static let maximumPayload = 1 << 30

  /// What the packet holds.
  public let tag: BoxTag
  /// Bytes of the tag and the size.
  public let headSize: Int
  /// Bytes of the payload.
  public let payloadSize: Int
  /// Bytes of the whole packet.
  public var size: Int { headSize + payloadSize + 4 }
  /// Whether the packet is a frame that needs no other, or one that does; nil for no frame.
  public var isIntra: Bool? {
    switch tag {
    case .intraFrame, .intraLayer: true
    case .interFrame, .interLayer: false
    default: nil
    }
  }
  /// Whether a residual layer has the frame, without networks.
  public var isLayer: Bool { tag == .intraLayer || tag == .interLayer }

  /// Reads tag and size at an offset of the bytes. Throws `truncated` if there are too few of them, `unknownBox` and
  /// `boxContent`.
  public init(parsing bytes: [UInt8], at offset: Int = 0) throws(DecodeError) {
    self = try bytes.withUnsafeBufferPointer { bytes throws(DecodeError) in
      try VideoPacketPrefix(parsing: bytes, at: offset)
    }
  }

  init(parsing bytes: UnsafeBufferPointer<UInt8>, at offset: Int = 0) throws(DecodeError) {
    var reader = ByteReader<DecodeError>(bytes, in: min(offset, bytes.count)..<bytes.count) { .truncated(offset: $0) }
    let tagRange = try reader.range(count: 4)
    guard let tag = BoxTag(bytes[tagRange]) else { throw .unknownBox(BoxTag("????")) }
    guard let payload = try reader.varint(), payload <= Self.maximumPayload else { throw .boxContent(tag, size: -1) }
    self.tag = tag
    headSize = reader.offset - offset
    payloadSize = payload
  }
}

/// What a frame's payload starts with, and where its parts lie.
struct VideoFrame {
  let isIntra: Bool
  /// Counts all frames of the stream from 0.
  let number: Int
  let content: Content

  enum Content {
    case networks(at: RatePosition, segments: [Range<Int>])
    /// Of a residual layer, and of the vectors of the motion-compensated frame that it stands on.
    case layer(Range<Int>, vectors: Range<Int>?)
  }

  /// Of the frame's model; nil for a frame that a layer has.
  var position: RatePosition? {
    guard case .networks(let position, _) = content else { return nil }
    return position
  }

  /// Whether the checksum of a packet is right: `seed` is that of the stream's header.
  static func verify(
    _ bytes: [UInt8], _ prefix: VideoPacketPrefix, at offset: Int, seed: UInt32
  ) throws(DecodeError) {
    guard prefix.size <= bytes.count - offset else { throw .truncated(offset: bytes.count) }
    let end = offset + prefix.size - 4
    try bytes.withUnsafeBufferPointer { bytes throws(DecodeError) in
      var reader = ByteReader<DecodeError>(bytes, in: end..<(end + 4)) { .truncated(offset: $0) }
      guard try reader.u32() == crc32c(bytes, in: offset..<end, continuing: seed) else { throw .checksum(part: 1) }
    }
  }

  /// Reads a packet whose checksum is right. `count` is the number of segments that a frame has.
  init(parsing bytes: [UInt8], _ prefix: VideoPacketPrefix, at offset: Int, segmentCount: Int) throws(DecodeError) {
    self = try bytes.withUnsafeBufferPointer { bytes throws(DecodeError) in
      try VideoFrame(parsing: bytes, prefix, at: offset, segmentCount: segmentCount)
    }
  }

  private init(
    parsing bytes: UnsafeBufferPointer<UInt8>, _ prefix: VideoPacketPrefix, at offset: Int, segmentCount: Int
  ) throws(DecodeError) {
    let first = offset + prefix.headSize
    var reader = ByteReader<DecodeError>(bytes, in: first..<(first + prefix.payloadSize)) { .truncated(offset: $0) }
    let tag = prefix.tag
    func count() throws(DecodeError) -> Int {
      guard let value = try reader.varint() else { throw .boxContent(tag, size: prefix.payloadSize) }
      return value
    }
    isIntra = prefix.isIntra == true
    number = try count()
    if prefix.isLayer {
      let vectors = isIntra ? nil : try reader.range(count: try count())
      content = .layer(try reader.range(count: reader.remaining), vectors: vectors)
      return
    }
    let position = RatePosition(index: try count())
    var segments: [Range<Int>] = []
    for i in 1...segmentCount {
      segments.append(try reader.range(count: i == segmentCount ? reader.remaining : try count()))
    }
    content = .networks(at: position, segments: segments)
  }
}

/// Writes the packets of a stream.
struct VideoPacketWriter {
  let header: [UInt8]
  /// Packets belong to one stream: their checksums continue the header's.
  private let seed: UInt32
  private(set) var offset: Int
  /// Number and offset of each intra frame.
  private var intraFrames: [(number: Int, offset: Int)] = []
  private var frames = 0

  init(_ header: VideoHeader) {
    self.header = header.serialised()
    offset = self.header.count
    seed = VideoPacketWriter.seed(self.header)
  }

  /// The checksum of a header's fields. (That of a header with its checksum is the same for all headers.)
  static func seed(_ header: [UInt8]) -> UInt32 { crc32c(header, in: 0..<(header.count - 4)) }

  private mutating func packet(_ tag: BoxTag, _ payload: [UInt8]) -> [UInt8] {
    var out = ByteWriter()
    out.append(tag.bytes)
    out.varint(payload.count)
    out.append(payload)
    out.u32(crc32c(out.bytes, in: 0..<out.bytes.count, continuing: seed))
    offset += out.bytes.count
    return out.bytes
  }

  mutating func frame(isIntra: Bool, _ position: RatePosition, segments: [[UInt8]]) -> [UInt8] {
    var out = ByteWriter()
    out.varint(position.index)
    for (i, segment) in segments.enumerated() {
      if i + 1 < segments.count { out.varint(segment.count) }
      out.append(segment)
    }
    return frame(isIntra ? .intraFrame : .interFrame, isIntra: isIntra, out.bytes)
  }

  /// A frame that a layer has; `vectors` is nil for one that needs no other.
  mutating func frame(layer: [UInt8], vectors: [UInt8]?) -> [UInt8] {
    var out = ByteWriter()
    if let vectors {
      out.varint(vectors.count)
      out.append(vectors)
    }
    out.append(layer)
    return frame(vectors == nil ? .intraLayer : .interLayer, isIntra: vectors == nil, out.bytes)
  }

  private mutating func frame(_ tag: BoxTag, isIntra: Bool, _ content: [UInt8]) -> [UInt8] {
    if isIntra { intraFrames.append((frames, offset)) }
    var out = ByteWriter()
    out.varint(frames)
    out.append(content)
    frames += 1
    return packet(tag, out.bytes)
  }

  /// The index and the end.
  mutating func finish() -> [UInt8] {
    let start = offset
    var out = ByteWriter()
    out.varint(intraFrames.count)
    var last = (number: 0, offset: 0)
    for frame in intraFrames {
      out.varint(frame.number - last.number)
      out.varint(min(frame.offset - last.offset, Int(UInt32.max >> 1)))
      last = frame
    }
    let index = packet(.index, out.bytes)
    var end = ByteWriter()
    end.u32(UInt32(truncatingIfNeeded: frames))
    end.u64(UInt64(start))
    return index + packet(.end, end.bytes)
  }
}
