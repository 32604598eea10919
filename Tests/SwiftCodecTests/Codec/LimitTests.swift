// SPDX-License-Identifier: BSD-3-Clause
import CCodecKernels
import Foundation
import PictureFiles
import Testing

@testable import SwiftCodec

/// What files may ask for: work and memory are counted before they are spent, and numbers are held against their ranges.
@Suite struct LimitTests {
  /// What a body throws, and that it took little of this thread's time. Debug builds and busy machines get more.
  private static func quickly<T>(
    _ what: String, sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> T
  ) -> (any Error)? {
    let start = sc_thread_clock_ns()
    var thrown: (any Error)?
    do { _ = try body() } catch { thrown = error }
    let seconds = Double(sc_thread_clock_ns() - start) * 1e-9
    #expect(seconds < 2, "\(what) takes \(seconds) s", sourceLocation: sourceLocation)
    return thrown
  }

  @Test func proofsOfSharedArrays() {
    let bytes = HostileFiles.sharedProofs()
    #expect(bytes.count < 1 << 20)
    let error = Self.quickly("a model of shared proofs") { try Model(bytes) }
    #expect((error as? ModelError)?.description.contains("too long") == true, "\(String(describing: error))")
  }

  @Test func modelsOfSharedWeights() throws {
    for isChain in [false, true] {
      let model = try Model(HostileFiles.sharedWeights(isChain: isChain))
      let bytes = HostileFiles.flat(model, width: 256, height: 256)
      #expect(bytes.count < 64)
      let decoder = Decoder(model: model)
      guard
        case .macPerPixel(let needed, let limit)? = Self.quickly("decoding", { try decoder.decode(bytes) })
          as? DecodeError
      else {
        Issue.record("is decoded")
        continue
      }
      #expect(needed > 1e7 && limit == 524288)
      decoder.limits.macPerPixel = .infinity
      guard
        case .memory(let needed, let limit)? = Self.quickly("decoding", { try decoder.decode(bytes) }) as? DecodeError
      else {
        Issue.record("is decoded")
        continue
      }
      #expect(needed > 600 << 20 && limit == 384 << 20)
      decoder.limits.memory = .max
      guard case .work? = Self.quickly("decoding", { try decoder.decode(bytes) }) as? DecodeError else {
        Issue.record("is decoded")
        continue
      }
      // Encoders, too, before they make anything ready.
      let encoder = Encoder(model: model)
      let picture = Fixtures.formulaPicture(width: 16, height: 16)
      guard
        case .macPerPixel? = Self.quickly("encoding", { try encoder.encode(picture, EncoderSettings(ratePoint: 0)) })
          as? EncodeError
      else {
        Issue.record("is encoded")
        continue
      }
      encoder.limits.macPerPixel = .infinity
      guard
        case .memory? = Self.quickly("encoding", { try encoder.encode(picture, EncoderSettings(ratePoint: 0)) })
          as? EncodeError
      else {
        Issue.record("is encoded")
        continue
      }
    }
    let wide = try Model(HostileFiles.wideTensors())
    let bytes = HostileFiles.flat(wide, width: 256, height: 256)
    let error = Self.quickly("wide tensors") { try Decoder(model: wide).decode(bytes) } as? DecodeError
    #expect(error != nil, "is decoded")
  }

  @Test func flatPictures() throws {
    let model = Fixtures.embedded
    for (width, height) in [(16384, 16384), (65535, 65535), (65535, 4096)] {
      let bytes = HostileFiles.flat(model, width: width, height: height)
      #expect(bytes.count < 200)
      let error = Self.quickly("a flat picture") { try Decoder(model: model).decode(bytes) } as? DecodeError
      #expect(error == .tooLarge(width: width, height: height, limit: 1 << 26))
    }
    let bytes = HostileFiles.flat(model, width: 8000, height: 8000)
    guard
      case .work(let needed, let limit)? = Self.quickly("a flat picture", { try Decoder(model: model).decode(bytes) })
        as? DecodeError
    else {
      Issue.record("is decoded")
      return
    }
    #expect(needed > limit)
    // The tiny model decodes such a file.
    let small = HostileFiles.flat(Fixtures.tiny, width: 31, height: 17)
    #expect(try Decoder(model: Fixtures.tiny).decode(small).width == 31)
  }

  /// The library's models stay within the default bounds by far.
  @Test func shippedModels() throws {
    for model in [Fixtures.embedded, Fixtures.base] {
      let kind = try #require(model.preferredEntropyKind)
      let cost = try #require(model.cost(model.decoderRoles, .rgb, kind, at: model.positions.upperBound))
      let limits = Limits()
      #expect(8 * cost.macPerPixel < limits.macPerPixel)
      #expect(8 * cost.preparedBytes < Double(limits.memory(size: 0)))
      let (width, height) = model.id == Fixtures.base.id ? (2000, 2000) : (6000, 4000)
      #expect(cost.work(model, width: width, height: height) < limits.work(size: 0))
      let encoding = try #require(model.cost(model.encoderRoles, .rgb, kind, at: model.positions.upperBound))
      #expect(4 * encoding.macPerPixel < limits.macPerPixel)
    }
  }

  /// A payload that no encoder can have made is refused by its size; every one that was made is longer.
  @Test func leastPayloads() throws {
    for model in [Fixtures.tiny, Fixtures.tinyHyper, Fixtures.embedded] {
      let kind = try #require(model.preferredEntropyKind)
      let least = try #require(LeastPayload(model, kind, at: RatePosition(index: 0)))
      for (width, height) in [(1, 1), (64, 64), (300, 200)] {
        let layout = LatentLayout(model, width: width, height: height, segmentRows: nil)
        let bytes = least.bytes(layout, segment: 0)
        #expect(bytes >= 16)
        #expect(HostileFiles.flat(model, width: width, height: height).count - 15 >= bytes)
      }
    }
    let header = BitstreamHeader(
      modelID: Fixtures.tiny.shortID, position: RatePosition(index: 0), entropy: .static, format: .rgb, width: 8,
      height: 8, segments: nil)
    var writer = BitstreamWriter(header)
    let bytes = writer.finish(segment: [1, 2, 3])
    #expect(throws: DecodeError.payloadSize(segment: 0, size: 3, least: 16)) { try decode(bytes, model: Fixtures.tiny) }
  }

  @Test func gainsInARow() throws {
    for (gain, shift) in [(Int16.max, UInt8(1)), (Int16.min, 1), (1, 30)] {
      let model = try Model(HostileFiles.gains(gain, shift: shift))
      for rdoq in [RDOQ.quick, .full] {
        var settings = EncoderSettings(ratePoint: 0)
        settings.rdoq = rdoq
        settings.rdoqShare = 0.1
        let encoded = try encode(Fixtures.formulaPicture(width: 20, height: 12), model: model, settings: settings)
        #expect(try decode(encoded.bytes, model: model) == encoded.reconstruction)
      }
    }
  }

  @Test func lambdas() throws {
    let picture = Fixtures.formulaPicture(width: 20, height: 12)
    for lambda in [0, -1, 1e-320, 3e-40, 1e-10, 1e10, 1e308, .infinity, -.infinity, .nan] {
      var settings = EncoderSettings(ratePoint: 0)
      settings.rdoq = .quick
      settings.lambda = lambda
      #expect(throws: EncodeError.self) { try encode(picture, model: Fixtures.tiny, settings: settings) }
    }
    var plain = EncoderSettings(ratePoint: 2)
    let reference = try #require(try encode(picture, model: Fixtures.tinyHyper, settings: plain).squaredError)
    for lambda in [1e-9, 1e9] {
      plain.rdoq = .quick
      plain.lambda = lambda
      let encoded = try encode(picture, model: Fixtures.tinyHyper, settings: plain)
      if lambda > 1 { #expect(try #require(encoded.squaredError) <= reference) }
    }
    for lambda in [Float(0), -1, 1e-40, 1e-30, 1e20, .infinity, .nan] {
      var sections = ModelTests.small().sections()
      let at = try #require(sections.firstIndex { $0.tag == "RATE" })
      for i in 0..<4 { sections[at].payload[2 + i] = UInt8(truncatingIfNeeded: lambda.bitPattern >> UInt32(8 * i)) }
      ModelTests.refuses(ModelFileWriter.file(sections), ["RATE", "lambda"])
    }
  }

  @Test func segmentHeights() {
    let encoder = Encoder(model: Fixtures.tiny)
    for rows in [-8, 0, 4, 7, 12, 2048, .max, .min] {
      encoder.segmentRows = rows
      #expect(throws: EncodeError.segmentRows(rows)) {
        try encoder.encode(Fixtures.formulaPicture(width: 8, height: 8), EncoderSettings(ratePoint: 0))
      }
    }
  }

  /// A picture file of few bytes that stands for very many pixels is refused before it is inflated.
  @Test func pictureFiles() throws {
    var out: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
    func chunk(_ type: String, _ data: [UInt8]) {
      let body = Array(type.utf8) + data
      let crc = crc32(body[...])
      out += (0..<4).map { UInt8(truncatingIfNeeded: data.count >> (24 - 8 * $0)) } + body
      out += (0..<4).map { UInt8(truncatingIfNeeded: crc >> UInt32(24 - 8 * $0)) }
    }
    chunk("IHDR", [0, 0, 0x40, 0, 0, 0, 0x40, 0, 1, 0, 0, 0, 0])
    chunk("IDAT", [UInt8](repeating: 0, count: 33000))
    chunk("IEND", [])
    let error = Self.quickly("a PNG file") { try PictureFile.read(out) }
    #expect("\(try #require(error))".contains("16384"))
    #expect(PictureFile.defaultMaximumPixels(size: 3 << 20) > 100_000_000)
  }
}
