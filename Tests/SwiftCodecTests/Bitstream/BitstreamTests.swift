// SPDX-License-Identifier: BSD-3-Clause

import Foundation
import Testing

@testable import SwiftCodec

/// Pictures of every shape through the whole codec.
@Suite struct BitstreamTests {
  /// Encodes, decodes with another number of threads, and compares with what the encoder promised.
  static func roundTrip(
    _ picture: Picture, _ model: Model, ratePoint: Int, segmentRows: Int = 64, _ note: String,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws -> Encoded {
    let encoder = Encoder(model: model)
    encoder.segmentRows = segmentRows
    var settings = EncoderSettings(ratePoint: ratePoint)
    settings.execution.threads = 1 + picture.width % 3
    let encoded = try encoder.encode(picture, settings)
    var execution = Execution()
    execution.threads = 1 + picture.height % 3
    execution.stripeRows = picture.width % 7
    let decoded = try Decoder(model: model, execution: execution).decode(encoded.bytes)
    #expect(decoded == encoded.reconstruction, "\(note)", sourceLocation: sourceLocation)
    #expect(decoded.squaredError(to: picture) == encoded.squaredError, "\(note)", sourceLocation: sourceLocation)
    // Four states of 32 bits and a few bytes a segment come on top of the ideal code length.
    let segments = (picture.height + segmentRows * 4 - 1) / (segmentRows * 4)
    let slack = Double(8 * (BitstreamHeader.maximumSize + 28 * segments)) + encoded.idealBits * 0.005
    #expect(
      abs(Double(8 * encoded.bytes.count) - encoded.idealBits) <= slack,
      "\(note): \(8 * encoded.bytes.count) bits for \(encoded.idealBits)", sourceLocation: sourceLocation)
    return encoded
  }

  @Test(arguments: [1, 3]) func everySmallSize(_ channels: Int) throws {
    var random = SplitMix(SplitMix.seed)
    let sizes = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 23, 31, 32, 33, 40]
    for height in sizes {
      for width in sizes {
        let picture = Fixtures.randomPicture(width, height, channels, &random)
        _ = try Self.roundTrip(
          picture, Fixtures.tiny, ratePoint: (width + height) % 3, segmentRows: height % 2 == 0 ? 8 : 64,
          "\(width)×\(height)×\(channels)")
      }
    }
  }

  @Test func severalSegments() throws {
    var random = SplitMix(SplitMix.seed)
    for height in [31, 32, 33, 64, 65, 100] {
      let picture = Fixtures.randomPicture(21, height, 3, &random)
      for rows in [8, 16, 24, 2040] {
        let encoded = try Self.roundTrip(
          picture, Fixtures.tiny, ratePoint: 1, segmentRows: rows, "height \(height), segments of \(rows)")
        let parts = try BitstreamParts(parsing: encoded.bytes)
        let count = ((height + 3) / 4 + rows - 1) / rows
        // The fewest that so many segments of one height need.
        let balanced = (((height + 3) / 4 + count - 1) / count + 7) / 8 * 8
        #expect(parts.payloads.count == count && parts.header.segmentCount == count)
        #expect(parts.header.segments?.rows == (count == 1 ? nil : balanced))
      }
    }
  }

  @Test func everyRatePointOfTheEmbeddedModel() throws {
    var last = 0
    for k in Fixtures.embedded.ratePoints.indices {
      let picture = try Fixtures.picture("weave")
      let encoded = try Self.roundTrip(picture, Fixtures.embedded, ratePoint: k, "rate point \(k)")
      #expect(encoded.bytes.count > last, "a higher rate point takes more bytes")
      last = encoded.bytes.count
    }
  }

  @Test func extremeShapes() throws {
    var random = SplitMix(SplitMix.seed)
    for (width, height) in [(1, 2000), (2000, 1), (65535, 1), (1, 65535), (700, 2)] {
      let picture = Fixtures.randomPicture(width, height, 1, &random)
      _ = try Self.roundTrip(picture, Fixtures.tiny, ratePoint: 0, segmentRows: 2040, "\(width)×\(height)")
    }
  }

  @Test func headersKeepTheirFields() throws {
    var random = SplitMix(SplitMix.seed)
    for _ in 0..<200 {
      let header = BitstreamHeader(
        modelID: UInt32(truncatingIfNeeded: random.next()), position: RatePosition(index: random.below(2048)),
        entropy: random.pick(EntropyKind.allCases), format: random.pick(PixelFormat.allCases),
        width: random.int(1...65535),
        height: random.int(1...65535),
        segments: random.below(2) == 0 ? nil : .init(rows: 8 * random.int(1...255), count: random.int(1...8192)))
      let bytes = header.serialised()
      #expect(bytes.count <= BitstreamHeader.maximumSize && (header.segments != nil || bytes.count <= 16))
      #expect(try BitstreamHeader(parsing: bytes) == header)
      #expect(try BitstreamHeader(parsing: bytes + [1, 2, 3]) == header)
      for count in 0..<bytes.count {
        #expect(throws: DecodeError.self) { try BitstreamHeader(parsing: Array(bytes[..<count])) }
      }
    }
  }

  /// What a file costs beside the entropy coder's payload.
  @Test func headersAreShort() throws {
    let header = BitstreamHeader(
      modelID: 1, position: RatePosition(ratePoint: 3, fraction: 31), entropy: .weighted, format: .rgb, width: 768,
      height: 512, segments: nil)
    #expect(header.serialised().count == 13)
  }

  static let metadata = [
    Metadata(.icc, (0..<300).map { UInt8(truncatingIfNeeded: $0 * 7) }), Metadata(.exif, [0x4d, 0x4d, 0, 42]),
    Metadata(.xmp, []), Metadata(.cicp, [9, 16, 9, 0]),
  ]

  /// Metadata come back byte for byte, and change nothing of the picture.
  @Test func metadataComesBack() throws {
    let picture = Fixtures.formulaPicture(width: 21, height: 40)
    var settings = EncoderSettings(ratePoint: 1)
    let plain = try encode(picture, model: Fixtures.tiny, settings: settings)
    settings.metadata = Self.metadata
    let encoded = try encode(picture, model: Fixtures.tiny, settings: settings)
    let decoded = try Decoder(model: Fixtures.tiny).decodeAll(encoded.bytes)
    #expect(decoded.metadata == Self.metadata)
    #expect(decoded.picture == plain.reconstruction)
  }

  /// Boxes that a decoder need not know are skipped; others, and those out of place, are errors.
  @Test func unknownBoxes() throws {
    let payload = try {
      let bytes = try encode(
        Fixtures.formulaPicture(width: 9, height: 9), model: Fixtures.tiny, settings: EncoderSettings(ratePoint: 1)
      ).bytes
      return Array(bytes[11..<(bytes.count - 4)])
    }()
    let header = BitstreamHeader(
      modelID: Fixtures.tiny.shortID, position: RatePosition(ratePoint: 1), entropy: .static, format: .rgb, width: 9,
      height: 9, segments: .init(rows: 0, count: 1))
    func file(_ tags: [StaticString]) -> [UInt8] {
      var writer = BitstreamWriter(header)
      for tag in tags {
        writer.box(BoxTag(tag), BoxTag(tag) == .segment ? payload : BoxTag(tag) == .end ? [] : [1, 2])
      }
      return writer.finish()
    }
    let picture = try decode(file(["SEGM"]), model: Fixtures.tiny)
    for tags: [StaticString] in [["abcd", "SEGM"], ["SEGM", "zzz "], ["a\u{21}~ ", "abcd", "SEGM", "abcd"]] {
      #expect(try decode(file(tags), model: Fixtures.tiny) == picture)
    }
    #expect(throws: DecodeError.unknownBox(BoxTag("Abcd"))) {
      try decode(file(["Abcd", "SEGM"]), model: Fixtures.tiny)
    }
    #expect(throws: DecodeError.misplacedBox(.segment)) { try decode(file(["SEGM", "SEGM"]), model: Fixtures.tiny) }
    #expect(throws: DecodeError.misplacedBox(BoxTag("iccp"))) {
      try decode(file(["iccp", "SEGM", "iccp"]), model: Fixtures.tiny)
    }
    #expect(throws: DecodeError.segmentCount(0, expected: 1)) { try decode(file([]), model: Fixtures.tiny) }
    #expect(throws: DecodeError.misplacedBox(.end)) { try decode(file(["SEGM", "END "]), model: Fixtures.tiny) }
  }

  @Test func segmentsCannotBeExchanged() throws {
    var random = SplitMix(SplitMix.seed)
    // Two pictures of the same size whose only segments have the same length.
    var seen: [Int: [UInt8]] = [:]
    var tried = 0
    for _ in 0..<200 where tried < 5 {
      let bytes = try encode(
        Fixtures.randomPicture(8, 8, 3, &random), model: Fixtures.tiny,
        settings: EncoderSettings(ratePoint: random.below(3))
      ).bytes
      // Byte 8 is the rate position, and the header ends with byte 10.
      if let other = seen[bytes.count], other[8] != bytes[8] {
        let mixed = Array(other[..<11] + bytes[11...])
        #expect(throws: DecodeError.checksum(part: 0)) { try decode(mixed, model: Fixtures.tiny) }
        tried += 1
      }
      seen[bytes.count] = bytes
    }
    #expect(tried > 0)
  }

  @Test func wrongSettingsAreRefused() throws {
    let picture = Fixtures.formulaPicture(width: 5, height: 5)
    #expect(throws: EncodeError.position(RatePosition(ratePoint: 3), count: 3)) {
      try encode(picture, model: Fixtures.tiny, settings: EncoderSettings(ratePoint: 3))
    }
    #expect(throws: EncodeError.position(RatePosition(index: -1), count: 3)) {
      try encode(picture, model: Fixtures.tiny, settings: EncoderSettings(position: RatePosition(index: -1)))
    }
    #expect(throws: EncodeError.position(RatePosition(index: 65), count: 3)) {
      try encode(picture, model: Fixtures.tiny, settings: EncoderSettings(position: RatePosition(index: 65)))
    }
    var settings = EncoderSettings(ratePoint: 0)
    settings.entropy = .weighted
    #expect(throws: EncodeError.entropyModel(.weighted)) {
      try encode(picture, model: Fixtures.tiny, settings: settings)
    }
    #expect(throws: PictureError.size(width: 0, height: 1)) {
      try Picture(width: 0, height: 1, channels: 1, samples: [])
    }
    #expect(throws: PictureError.samples(count: 2, expected: 3)) {
      try Picture(width: 1, height: 1, channels: 3, samples: [0, 0])
    }
  }
}
