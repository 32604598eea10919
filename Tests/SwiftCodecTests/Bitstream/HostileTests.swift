// SPDX-License-Identifier: BSD-3-Clause

import Foundation
import Testing

@testable import SwiftCodec

/// Damaged and malicious bitstreams: an error or the right picture, never anything else.
@Suite struct HostileTests {
  /// Without and with a hyperprior.
  enum Kind: CaseIterable {
    case plain
    case hyperprior

    var model: Model { self == .plain ? Fixtures.tiny : Fixtures.tinyHyper }
  }

  static func small(segmentRows: Int = 8, _ kind: Kind = .plain) throws -> (bytes: [UInt8], picture: Picture) {
    let encoder = Encoder(model: kind.model)
    encoder.segmentRows = segmentRows
    let encoded = try encoder.encode(
      Fixtures.formulaPicture(width: 19, height: 37), EncoderSettings(ratePoint: 2))
    return (encoded.bytes, try #require(encoded.reconstruction))
  }

  /// nil for an error.
  static func decoded(_ bytes: [UInt8], _ decoder: Decoder) -> Picture? {
    do throws(DecodeError) { return try decoder.decode(bytes) } catch {
      #expect(!error.description.isEmpty)
      return nil
    }
  }

  @Test(arguments: Kind.allCases) func everyTruncation(_ kind: Kind) throws {
    let (bytes, _) = try Self.small(segmentRows: 8, kind)
    let decoder = Decoder(model: kind.model)
    for count in 0..<bytes.count {
      #expect(Self.decoded(Array(bytes[..<count]), decoder) == nil, "\(count) of \(bytes.count) bytes decode")
    }
  }

  @Test(arguments: Kind.allCases) func everyBitFlip(_ kind: Kind) throws {
    let (bytes, picture) = try Self.small(segmentRows: 8, kind)
    let decoder = Decoder(model: kind.model)
    for bit in 0..<(8 * bytes.count) {
      var changed = bytes
      changed[bit / 8] ^= 1 << UInt8(bit % 8)
      if let result = Self.decoded(changed, decoder) { #expect(result == picture, "bit \(bit)") }
    }
  }

  /// A damaged header is not taken for that of another model, size or rate: all but magic, version and lengths are found
  /// by the checksum.
  @Test func headerBitFlips() throws {
    let (bytes, _) = try Self.small()
    for bit in 32..<(8 * 11) {
      var changed = bytes
      changed[bit / 8] ^= 1 << UInt8(bit % 8)
      do throws(DecodeError) {
        _ = try Decoder(model: Fixtures.tiny).decode(changed)
        Issue.record("bit \(bit) decodes")
      } catch {
        switch error {
        case .checksum, .truncated, .position(_, count: 64), .sides, .segmentCount: break
        default: Issue.record("bit \(bit): \(error.description)")
        }
      }
    }
  }

  /// Flips behind which all checksums are mended: the coder itself sees the damage.
  @Test(arguments: Kind.allCases) func everyBitFlipWithChecksums(_ kind: Kind) throws {
    let (bytes, _) = try Self.small(segmentRows: 8, kind)
    let decoder = Decoder(model: kind.model)
    decoder.limits.pixels = 1 << 16
    var accepted = 0
    for bit in 0..<(8 * bytes.count) {
      var changed = bytes
      changed[bit / 8] ^= 1 << UInt8(bit % 8)
      Mending.bitstream(&changed)
      guard let header = try? BitstreamHeader(parsing: changed) else { continue }
      if let result = Self.decoded(changed, decoder) {
        #expect(result.width == header.width && result.height == header.height)
        accepted += 1
      }
    }
    // Every lane's state is verified at the end, so nearly all is seen: but for bits of escapes, that states forget. With
    // f = 2^(15−b), x ← f · (x >> 15) + slot − c drops the symbol's b bits, and what they were leaves no trace.
    #expect(accepted < 8 * bytes.count / (kind == .plain ? 20 : 10), "\(accepted) of \(8 * bytes.count)")
  }

  @Test func randomBytes() {
    var random = SplitMix(SplitMix.seed)
    let decoder = Decoder(model: Fixtures.tiny)
    for _ in cases(3000, long: 60000) {
      var bytes = (0..<random.below(200)).map { _ in UInt8(random.below(256)) }
      if random.below(2) == 0 { bytes = [0x53, 0x43, 0x49, random.below(2) == 0 ? 2 : 0x82] + bytes }
      #expect(Self.decoded(bytes, decoder) == nil)
      if random.below(2) == 0 { Mending.bitstream(&bytes) }
      #expect(Self.decoded(bytes, decoder) == nil)
    }
  }

  /// Right headers of huge pictures with nothing behind, or with random payloads whose checksums are right.
  @Test func hugePictures() {
    var random = SplitMix(SplitMix.seed)
    let decoder = Decoder(model: Fixtures.tiny)
    for (width, height) in [(65535, 65535), (65535, 1), (1, 65535), (16384, 16384), (30000, 8000)] {
      for rows in [8, 2040] {
        let header = BitstreamHeader(
          modelID: Fixtures.tiny.shortID, position: RatePosition(ratePoint: 2), entropy: .static, format: .rgb,
          width: width, height: height, segments: .init(rows: rows, count: random.int(2...8192)))
        let start = ContinuousClock.now
        #expect(Self.decoded(header.serialised(), decoder) == nil)
        var bytes = header.serialised()
        for _ in 0..<4 {
          var segment = ByteWriter()
          segment.append(random.pick(["SEGM", "ALPH", "RESD", "iccp", "zzzz", "END "]).utf8.map { $0 })
          segment.varint(random.int(0...40))
          for _ in 0..<random.int(0...40) { segment.u8(UInt8(random.below(256))) }
          bytes += segment.bytes
        }
        Mending.bitstream(&bytes)
        #expect(Self.decoded(bytes, decoder) == nil)
        #expect(ContinuousClock.now - start < .seconds(10))
      }
    }
    var bytes = BitstreamHeader(
      modelID: Fixtures.tiny.shortID, position: RatePosition(ratePoint: 2), entropy: .static, format: .rgb,
      width: 65535, height: 65535, segments: nil
    ).serialised()
    #expect(throws: DecodeError.truncated(offset: bytes.count)) { try decoder.decode(bytes) }
    bytes += [0, 0, 0, 0]
    #expect(throws: DecodeError.checksum(part: 0)) { try decoder.decode(bytes) }
    Mending.bitstream(&bytes)
    #expect(throws: DecodeError.tooLarge(width: 65535, height: 65535, limit: 1 << 26)) { try decoder.decode(bytes) }
    decoder.limits.pixels = 100
    #expect(throws: DecodeError.self) { try decoder.decode(Self.small().bytes) }
  }

  @Test func anotherModel() throws {
    let (bytes, _) = try Self.small()
    #expect(throws: DecodeError.model(wanted: Fixtures.tiny.shortID, loaded: Fixtures.embedded.shortID)) {
      try decode(bytes, model: Fixtures.embedded)
    }
  }

  /// Random changes of good files; the seed is in every message, and SC_SEED=… repeats it.
  @Test(arguments: Kind.allCases) func fuzzedFiles(_ kind: Kind) throws {
    let seed = SplitMix.seed
    var random = SplitMix(seed)
    let (good, picture) = try Self.small(segmentRows: 8, kind)
    // Of another height of segments: with a hyperprior, another picture.
    let (other, otherPicture) = try Self.small(segmentRows: 64, kind)
    let decoder = Decoder(model: kind.model)
    for round in cases(4000, long: 60000) {
      var bytes = random.below(4) == 0 ? other : good
      for _ in 0..<random.int(1...4) {
        switch random.below(5) {
        case 0: bytes[random.below(bytes.count)] = UInt8(random.below(256))
        case 1: bytes.remove(at: random.below(bytes.count))
        case 2: bytes.insert(UInt8(random.below(256)), at: random.below(bytes.count))
        case 3:
          let from = random.below(bytes.count)
          let count = min(random.below(32), bytes.count - from)
          bytes.replaceSubrange(from..<(from + count), with: other.suffix(count))
        default: bytes[random.below(bytes.count)] ^= 1 << UInt8(random.below(8))
        }
      }
      let mends = random.below(2) == 0
      if mends { Mending.bitstream(&bytes) }
      if let result = Self.decoded(bytes, decoder), !mends {
        let isRight = result == picture || result == otherPicture
        #expect(isRight, "seed \(seed), round \(round)")
      }
    }
  }
}
