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

  /// Streams' encoders keep to the bounds frame by frame, and a refused frame leaves no trace.
  @Test func videoEncoders() throws {
    let (width, height) = (37, 29)
    let settings = VideoTests.settings()
    let encoder = try VideoEncoder(
      intra: Fixtures.tinyFormats, inter: Fixtures.tinyInter, width: width, height: height, settings)
    let decoder = try VideoTests.decoder(encoder.header)
    for t in 0..<3 {
      let frame = Fixtures.movingFrame(t, width: width, height: height)
      encoder.limits.macPerPixel = 1
      guard
        case .macPerPixel(let needed, limit: 1)? = Self.quickly("a frame", { try encoder.encode(frame) })
          as? EncodeError
      else {
        Issue.record("frame \(t) is encoded")
        continue
      }
      #expect(needed > 1)
      encoder.limits = Limits()
      encoder.limits.memory = 1000
      guard
        case .memory(let bytes, limit: 1000)? = Self.quickly("a frame", { try encoder.encode(frame) }) as? EncodeError
      else {
        Issue.record("frame \(t) is encoded")
        continue
      }
      #expect(bytes > 1000)
      encoder.limits = Limits()
      let packet = try encoder.encode(frame)
      #expect(packet.isIntra == (t == 0))
      #expect(try decoder.decode(packet.bytes)?.picture == encoder.reconstruction)
    }
  }

  @Test func shippedVideoModels() throws {
    let (intra, inter) = (Fixtures.embedded, try Model.embeddedInter())
    for (width, height) in [(16, 16), (1920, 1080), (8192, 8192)] {
      for model in [intra, inter] {
        let kind = try #require(model.preferredEntropyKind)
        let position = model.positions.upperBound
        let layout = LatentLayout(model, width: width, height: height, format: .yuv420, segmentRows: 24)
        let encoding = try #require(model.cost(model.encoderRoles, .yuv420, kind, at: position))
        let decoding = try #require(model.cost(model.decoderRoles, .yuv420, kind, at: position))
        try Limits().checkEncoding(
          encoding, searching: decoding,
          kept: model.keptElements(.yuv420, width: layout.paddedWidth, height: layout.paddedHeight),
          channels: model.latentChannels(at: position), layout, pixels: width * height)
      }
    }
  }

  /// Settings of streams that no header can hold or no search can be run with.
  @Test func videoSettings() throws {
    func error(_ change: (inout VideoSettings) -> Void) -> EncodeError? {
      let settings = VideoTests.settings(change)
      return Self.quickly("a stream") {
        let encoder = try VideoEncoder(
          intra: Fixtures.tinyFormats, inter: Fixtures.tinyInter, width: 18, height: 20, settings)
        for t in 0..<2 { _ = try encoder.encode(Fixtures.movingFrame(t, width: 18, height: 20)) }
      } as? EncodeError
    }
    #expect(error { $0.frameRate = (0, 1) } == nil)
    for bits in [1, 1e12] { #expect(error { $0.rate = .bitrate(bits) } == nil) }
    for rate in [(25, 0), (-1, 1), (25, -1), (1 << 32, 1), (1, 1 << 32)] {
      #expect(error { $0.frameRate = rate } == .frameRate(numerator: rate.0, denominator: rate.1))
    }
    for effort in [-1, 3, .max] { #expect(error { $0.motionEffort = effort } == .motionEffort(effort)) }
    for weight in [0, -1, 1e300, 1e-300, .infinity, .nan] {
      for isIntra in [false, true] {
        let thrown = error {
          $0.rdoq = .quick
          $0.intraRDOQ = .quick
          if isIntra { $0.intraSearchWeight = weight } else { $0.searchWeight = weight }
        }
        guard case .lambda? = thrown else {
          Issue.record("a weight of \(weight) is taken")
          continue
        }
      }
    }
    for value in [Double.nan, .infinity, -.infinity, 1e300, -1] {
      let changes: [(inout VideoSettings) -> Void] = [
        { $0.rate = .quality(value) }, { $0.intraOffset = value },
        { $0.pattern = [value] }, { $0.motionWeight = value },
      ]
      for change in changes { #expect(error(change) == nil) }
      guard case .bitrate? = error({ $0.rate = .bitrate(value) }) else {
        Issue.record("\(value) bits a second are taken")
        continue
      }
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
    for lambda in [0, -1, 0x1p-1063, 3e-40, 1e-10, 1e10, 1e308, .infinity, -.infinity, .nan] {
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
    for lambda in [Float(0), -1, 0x1p-133, 1e-30, 1e20, .infinity, .nan] {
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
