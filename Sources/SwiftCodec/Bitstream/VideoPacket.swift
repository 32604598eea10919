// SPDX-License-Identifier: BSD-3-Clause

extension BoxTag {
  /// A frame that needs no other.
  static let intraFrame = BoxTag("INTR")
  /// A frame that is predicted from the one before it. Its packet has a head of its own, without a tag.
  static let interFrame = BoxTag("PRED")
  /// The same without networks: a residual layer has the frame.
  static let intraLayer = BoxTag("INTL")
  static let interLayer = BoxTag("PREL")
  /// Where intra frames start.
  static let index = BoxTag("indx")
}

/// Where a packet of a video stream ends: a box of tag, size, payload and a CRC-32C of these and of the header's checksum;
/// or, for a frame that networks predict, a byte with the lowest bits of its number in place of the tag, and two bytes of the
/// CRC in a small one.
///
/// Needs the first `prefixSize` bytes of a packet, or all of a shorter rest.
public struct VideoPacketPrefix: Sendable, Equatable {
  /// Bytes of a tag and of the longest size.
  public static let prefixSize = 9
  /// So that sizes and offsets within a packet are integers of 32 bits. No frame comes near it.
  static let maximumPayload = 1 << 30

  /// A predicted frame whose segments have fewer bytes goes into a small packet, unless it has more pixels than
  /// `mostSmallPixels`: segments of small packets are decoded on one lane of the entropy coder, which is slower.
  static let smallPayload = 512
  static let mostSmallPixels = 1 << 20
  /// Of the first byte of a predicted frame's packet: that it is one, that it is small, and the rest.
  static let (interFlag, smallFlag, numberMask): (UInt8, UInt8, UInt8) = (128, 64, 63)

  /// What the packet holds.
  public let tag: BoxTag
  /// Bytes of the tag and the size.
  public let headSize: Int
  /// Bytes of the payload.
  public let payloadSize: Int
  /// Whether the packet is a small one.
  let isSmall: Bool
  /// Bytes of the checksum.
  public var checksumSize: Int { isSmall ? 2 : 4 }
  /// Bytes of the whole packet.
  public var size: Int { headSize + payloadSize + checksumSize }
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

  /// The checksum of tag, size and payload.
  func checksum(_ bytes: [UInt8], in range: Range<Int>, seed: UInt32) -> [UInt8] {
    let crc = crc32c(bytes, in: range, continuing: seed)
    return (0..<checksumSize).map { UInt8(truncatingIfNeeded: crc >> UInt32(8 * $0)) }
  }

  /// Gives a packet of this head the right checksum.
  func seal(_ packet: inout [UInt8], seed: UInt32) {
    packet.replaceSubrange(
      (size - checksumSize)..<size, with: checksum(packet, in: 0..<(size - checksumSize), seed: seed))
  }

  /// Reads tag and size at an offset of the bytes. Throws `truncated` if there are too few of them, `unknownBox` and
  /// `boxContent`.
  public init(parsing bytes: [UInt8], at offset: Int = 0) throws(DecodeError) {
    self = try bytes.withUnsafeBufferPointer { bytes throws(DecodeError) in
      try VideoPacketPrefix(parsing: bytes, at: offset)
    }
  }

  init(parsing bytes: UnsafeBufferPointer<UInt8>, at offset: Int = 0) throws(DecodeError) {
    var reader = ByteReader<DecodeError>(bytes, in: min(offset, bytes.count)..<bytes.count) { .truncated(offset: $0) }
    let tag: BoxTag
    if reader.remaining > 0, bytes[reader.offset] & Self.interFlag != 0 {
      isSmall = bytes[reader.offset] & Self.smallFlag != 0
      _ = try reader.range(count: 1)
      tag = .interFrame
    } else {
      isSmall = false
      guard let box = BoxTag(bytes[try reader.range(count: 4)]) else { throw .unknownBox(BoxTag("????")) }
      if box == .interFrame { throw .unknownBox(box) }
      tag = box
    }
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
    let start = offset + prefix.size - prefix.checksumSize
    guard prefix.checksum(bytes, in: offset..<start, seed: seed) == Array(bytes[start..<(offset + prefix.size)]) else {
      throw .checksum(part: 1)
    }
  }

  /// Reads a packet whose checksum is right. `segmentCount` is the number of segments that a frame has, `next` the number
  /// that is expected, for a frame that has only the lowest bits of its own.
  init(
    parsing bytes: [UInt8], _ prefix: VideoPacketPrefix, at offset: Int, segmentCount: Int, next: Int
  ) throws(DecodeError) {
    self = try bytes.withUnsafeBufferPointer { bytes throws(DecodeError) in
      try VideoFrame(parsing: bytes, prefix, at: offset, segmentCount: segmentCount, next: next)
    }
  }

  private init(
    parsing bytes: UnsafeBufferPointer<UInt8>, _ prefix: VideoPacketPrefix, at offset: Int, segmentCount: Int, next: Int
  ) throws(DecodeError) {
    let first = offset + prefix.headSize
    var reader = ByteReader<DecodeError>(bytes, in: first..<(first + prefix.payloadSize)) { .truncated(offset: $0) }
    let tag = prefix.tag
    func count() throws(DecodeError) -> Int {
      guard let value = try reader.varint() else { throw .boxContent(tag, size: prefix.payloadSize) }
      return value
    }
    isIntra = prefix.isIntra == true
    if tag == .interFrame {
      // The nearest one that there is.
      let mask = Int(VideoPacketPrefix.numberMask)
      let nearest = next + ((Int(bytes[offset]) - next + mask / 2) & mask) - mask / 2
      number = nearest < 0 ? nearest + mask + 1 : nearest
    } else {
      number = try count()
    }
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

/// A frame's segments.
struct CodedSegments {
  let payloads: [[UInt8]]
  /// Whether they have one lane and go into a small packet.
  let isSmall: Bool
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

  /// `head` is a tag, or the first byte of a predicted frame.
  private mutating func packet(_ head: [UInt8], _ payload: [UInt8]) -> [UInt8] {
    var out = ByteWriter()
    out.append(head)
    out.varint(payload.count)
    out.append(payload)
    guard let prefix = try? VideoPacketPrefix(parsing: out.bytes) else { preconditionFailure("a head of its own") }
    out.append(prefix.checksum(out.bytes, in: 0..<out.bytes.count, seed: seed))
    offset += out.bytes.count
    return out.bytes
  }

  mutating func frame(isIntra: Bool, _ position: RatePosition, _ segments: CodedSegments) -> [UInt8] {
    var out = ByteWriter()
    out.varint(position.index)
    for (i, segment) in segments.payloads.enumerated() {
      if i + 1 < segments.payloads.count { out.varint(segment.count) }
      out.append(segment)
    }
    return isIntra
      ? frame(.intraFrame, isIntra: true, out.bytes) : interFrame(out.bytes, isSmall: segments.isSmall)
  }

  private mutating func interFrame(_ payload: [UInt8], isSmall: Bool) -> [UInt8] {
    var first = VideoPacketPrefix.interFlag | UInt8(frames & Int(VideoPacketPrefix.numberMask))
    if isSmall { first |= VideoPacketPrefix.smallFlag }
    frames += 1
    return packet([first], payload)
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
    return packet(tag.bytes, out.bytes)
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
    let index = packet(BoxTag.index.bytes, out.bytes)
    var end = ByteWriter()
    end.u32(UInt32(truncatingIfNeeded: frames))
    end.u64(UInt64(start))
    return index + packet(BoxTag.end.bytes, end.bytes)
  }
}
