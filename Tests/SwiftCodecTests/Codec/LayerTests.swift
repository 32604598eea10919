// SPDX-License-Identifier: BSD-3-Clause

import Testing

@testable import SwiftCodec

/// Residual layers and transparency as the encoder writes them and the decoder reads them.
@Suite struct LayerTests {
  private static func picture(
    _ width: Int, _ height: Int, _ format: PixelFormat, noise: Int = 9, seed: UInt64 = SplitMix.seed
  ) -> Picture {
    var random = SplitMix(seed)
    let samples = (0..<format.sampleCount(width: width, height: height)).map { i in
      UInt8(truncatingIfNeeded: i / 7 % 200 + random.below(noise))
    }
    return Picture(unchecked: width, height, format, samples)
  }

  private static func largestError(_ a: Picture, _ b: Picture) -> Int {
    zip(a.samples, b.samples).reduce(0) { max($0, abs(Int($1.0) - Int($1.1))) }
  }

  @Test(arguments: PixelFormat.allCases, [0, 1, 3, 15])
  func errorsAreBounded(_ format: PixelFormat, _ maximumError: Int) throws {
    let decoder = Decoder(model: Fixtures.tiny)
    for (width, height) in [(1, 1), (2, 3), (33, 17), (70, 41)] {
      let picture = Self.picture(width, height, format)
      for base in [ResidualBase.none, .smallest, .position] {
        if base == .position, !Fixtures.tiny.codes(format) { continue }
        var settings = EncoderSettings(ratePoint: 1)
        settings.maximumError = maximumError
        settings.base = base
        settings.residualEffort = 2
        let encoded = try encode(picture, model: Fixtures.tiny, settings: settings)
        let decoded = try decoder.decode(encoded.bytes)
        #expect(Self.largestError(decoded, picture) <= maximumError)
        #expect(encoded.reconstruction == decoded && encoded.maximumError == maximumError)
        #expect(encoded.squaredError == decoded.squaredError(to: picture))
        if base != .smallest { #expect(encoded.hasLatent == (base == .position)) }
        let header = try BitstreamHeader(parsing: encoded.bytes)
        #expect(header.segmentCount == (encoded.hasLatent ? 1 : 0))
      }
    }
  }

  /// A picture that a layer has alone needs no model.
  @Test func anyModelDecodesALayerAlone() throws {
    let picture = Self.picture(40, 30, .rgb)
    var settings = EncoderSettings(ratePoint: 0)
    settings.maximumError = 0
    settings.base = .none
    let bytes = try encode(picture, model: Fixtures.tiny, settings: settings).bytes
    #expect(try decode(bytes, model: Fixtures.tinyHyper) == picture)
    settings.base = .position
    let based = try encode(picture, model: Fixtures.tiny, settings: settings).bytes
    #expect(throws: DecodeError.self) { try decode(based, model: Fixtures.tinyHyper) }
    let decoder = Decoder(model: Fixtures.tiny)
    decoder.limits.pixels = 1199
    for bytes in [bytes, based] {
      #expect(throws: DecodeError.tooLarge(width: 40, height: 30, limit: 1199)) { try decoder.decode(bytes) }
    }
  }

  @Test func segmentsBelowALayer() throws {
    let picture = Self.picture(21, 100, .rgb)
    let encoder = Encoder(model: Fixtures.tiny)
    encoder.segmentRows = 8
    var settings = EncoderSettings(ratePoint: 1)
    settings.maximumError = 0
    settings.base = .position
    let bytes = try encoder.encode(picture, settings).bytes
    #expect(try BitstreamHeader(parsing: bytes).segmentCount == 4)
    #expect(try decode(bytes, model: Fixtures.tiny) == picture)
  }

  @Test func everyPSNRIsReached() throws {
    for format in [PixelFormat.rgb, .grey] {
      let picture = Self.picture(45, 37, format)
      for psnr in [5, 30, 40, 50, 60, 1000] {
        let encoded = try encode(
          picture, model: Fixtures.tiny, settings: EncoderSettings(ratePoint: 0), target: .psnr(Double(psnr)))
        let decoded = try decode(encoded.bytes, model: Fixtures.tiny)
        let reached = peakSignalToNoiseRatio(
          squaredError: decoded.squaredError(to: picture), samples: picture.samples.count)
        #expect(reached >= Double(psnr) && encoded.psnr == reached)
      }
    }
  }

  @Test func transparencyComesBack() throws {
    let picture = Self.picture(50, 34, .rgb)
    var alpha = Self.picture(50, 34, .grey, noise: 80)
    for i in 0..<300 { alpha.samples[i] = i % 2 == 0 ? 0 : 255 }
    for error in [0, 1, 6, 15] {
      var settings = EncoderSettings(ratePoint: 1)
      settings.alpha = alpha
      settings.alphaError = error
      settings.metadata = BitstreamTests.metadata
      let encoded = try encode(picture, model: Fixtures.tiny, settings: settings)
      let decoded = try Decoder(model: Fixtures.tiny).decodeAll(encoded.bytes)
      let result = try #require(decoded.alpha)
      #expect(decoded.picture == encoded.reconstruction && decoded.metadata == BitstreamTests.metadata)
      #expect(Self.largestError(result, alpha) <= 2 * error)
      for (a, b) in zip(alpha.samples, result.samples) {
        #expect(a != 0 && a != 255 || a == b)
        #expect(b == 0 || b == 255 || abs(Int(a) - Int(b)) <= error)
      }
    }
    var settings = EncoderSettings(ratePoint: 1)
    settings.alpha = Self.picture(50, 33, .grey)
    #expect(throws: EncodeError.alpha(width: 50, height: 33, .grey)) {
      try encode(picture, model: Fixtures.tiny, settings: settings)
    }
    settings.alpha = alpha
    settings.alphaError = 16
    #expect(throws: EncodeError.maximumError(16)) { try encode(picture, model: Fixtures.tiny, settings: settings) }
  }

  /// Pictures that networks cannot have, and some that they have better at some lower rates.
  private static func unusual(_ size: Int) -> [Picture] {
    var random = SplitMix(SplitMix.seed)
    func picture(_ value: (Int, Int, Int) -> Int) -> Picture {
      let samples = (0..<size * size * 3).map { UInt8(truncatingIfNeeded: value($0 / 3 % size, $0 / 3 / size, $0 % 3)) }
      return Picture(unchecked: size, size, .rgb, samples)
    }
    return [
      picture { x, y, _ in (x + y) & 1 == 0 ? 0 : 255 },
      picture { x, _, _ in x & 1 == 0 ? 0 : 255 },
      picture { x, y, c in (x / 3 + y / 5) % 2 == 0 ? 255 : c == 0 ? 255 : 0 },
      picture { _, _, _ in random.below(2) * 255 },
      picture { _, _, _ in random.below(256) },
      picture { x, y, c in c == 0 ? x : c == 1 ? y : 128 },
      picture { x, y, _ in 255 * x / size & 0xF0 + y / 20 },
    ]
  }

  /// At least what the quality promises, and never less than at a lower one.
  @Test(arguments: [20, 72]) func unusualPictures(_ size: Int) throws {
    let model = Fixtures.embedded
    let decoder = Decoder(model: model)
    let encoder = Encoder(model: model)
    for (i, picture) in Self.unusual(size).enumerated() {
      #expect(picture.withView { $0.isUnusual })
      var last = 0.0
      for quality in [0.0, 30, 50, 80, 92, 100] {
        var settings = EncoderSettings(position: model.position(quality: quality))
        settings.holdsQuality = true
        let encoded = try encoder.encode(picture, settings)
        let decoded = try decoder.decode(encoded.bytes)
        #expect(encoded.reconstruction == decoded)
        let psnr = peakSignalToNoiseRatio(
          squaredError: decoded.squaredError(to: picture), samples: picture.samples.count)
        let promised = Model.minimumPSNR(quality: model.quality(of: settings.position))
        #expect(psnr == encoded.psnr && psnr >= promised)
        #expect(psnr >= last, "picture \(i) at \(quality): \(psnr) after \(last) dB")
        last = psnr
      }
      #expect(last >= 38)
    }
  }

  /// Where a lower quality reaches a PSNR, asking for that PSNR does, and in no more bytes than a layer takes for it.
  @Test func everyPSNRIsReachedOfUnusualPictures() throws {
    let model = Fixtures.embedded
    let encoder = Encoder(model: model)
    for picture in Self.unusual(72) {
      var settings = EncoderSettings(position: model.position(quality: 50))
      let plain = try #require(try encoder.encode(picture, settings).psnr)
      for psnr in [19, min(plain, 90)] {
        let encoded = try encoder.encode(picture, settings, target: .psnr(psnr))
        #expect(try #require(encoded.psnr) >= psnr)
        settings.maximumError = 0
        #expect(try encoded.bytes.count <= encoder.encode(picture, settings).bytes.count)
        settings.maximumError = nil
      }
    }
  }

  /// A photograph with a page on its right side: letters' edges of few colours on white.
  private static func page(_ width: Int, _ height: Int, _ format: PixelFormat, noise: Int = 9) -> Picture {
    var random = SplitMix(SplitMix.seed)
    let components = format == .rgb ? 3 : 1
    let samples = (0..<width * height * components).map { i in
      let (x, y) = (i / components % width, i / components / width)
      if x < width / 2 { return UInt8(90 + 40 * x / width + y * 60 / height + random.below(noise)) }
      let letter = (x / 7 * 5 + y / 11 * 3) % 4
      let isInk = letter > 0 && y % 11 < 8 && (x % 7 < 2 || (y % 11) / 2 == letter)
      return isInk ? UInt8(20 + 30 * (i % components)) : 255
    }
    return Picture(unchecked: width, height, format, samples)
  }

  /// What is drawn is exact, the photograph is the networks', and the whole is smaller and better than by the networks alone.
  @Test(arguments: [PixelFormat.rgb, .grey], [RDOQ.off, .quick])
  func mixtures(_ format: PixelFormat, _ rdoq: RDOQ) throws {
    let model = Fixtures.embedded
    let (width, height) = (320, 160)
    let picture = Self.page(width, height, format)
    // With grey samples it is a picture unlike photographs, which climbs.
    #expect(picture.withView { $0.hasDrawings && $0.isUnusual == (format == .grey) })
    let encoder = Encoder(model: model)
    var settings = EncoderSettings(position: model.position(quality: 60))
    settings.rdoq = rdoq
    let plain = try encoder.encode(picture, settings)
    settings.holdsQuality = true
    let mixture = try encoder.encode(picture, settings)
    #expect(mixture.hasLatent && mixture.maximumError == nil)
    #expect(mixture.bytes.count < plain.bytes.count)
    #expect(try #require(mixture.psnr) > plain.psnr! + 1)
    let decoder = Decoder(model: model)
    let decoded = try decoder.decode(mixture.bytes)
    #expect(decoded == mixture.reconstruction && mixture.squaredError == decoded.squaredError(to: picture))
    let parts = try BitstreamParts(parsing: mixture.bytes)
    #expect(parts.residual != nil && !parts.payloads.isEmpty)
    // Far from the photograph every sample is exact.
    let right = PictureRegion(x: 256, y: 0, width: 64, height: height)
    #expect(decoded.cropped(to: right) == picture.cropped(to: right))
    #expect(try decoder.decode(mixture.bytes, region: right) == picture.cropped(to: right))
    settings.execution.threads = 3
    #expect(try encoder.encode(picture, settings).bytes == mixture.bytes)
    // A PSNR and a size are aimed at with mixtures, too.
    let psnr = try #require(mixture.psnr) - 2
    let aimed = try encoder.encode(picture, settings, target: .psnr(psnr))
    #expect(aimed.psnr! >= psnr && aimed.bytes.count <= mixture.bytes.count)
    let small = try encoder.encode(picture, settings, target: .bytes(plain.bytes.count))
    #expect(small.bytes.count <= plain.bytes.count && small.psnr! > plain.psnr! + 1)
    // Every damaged byte is noticed.
    for at in stride(from: 0, to: mixture.bytes.count, by: 97) {
      var bytes = mixture.bytes
      bytes[at] ^= 1
      #expect(throws: DecodeError.self) { try decoder.decode(bytes) }
    }
  }

  /// Where the networks fall short of a quality beside what is drawn, a layer has it all.
  @Test func mixturesHoldTheirQuality() throws {
    let model = Fixtures.embedded
    let picture = Self.page(320, 160, .rgb, noise: 35)
    #expect(picture.withView { $0.hasDrawings && !$0.isUnusual })
    let encoder = Encoder(model: model)
    var settings = EncoderSettings(position: model.position(quality: 100))
    let mixer = try picture.withView { try #require(try Mixer($0, encoder, settings)) }
    let mixture = try picture.withView { try encoder.cheaper($0, settings, mixer) }
    let promised = Model.minimumPSNR(quality: 100)
    let psnr = peakSignalToNoiseRatio(squaredError: mixture.squaredError, samples: picture.samples.count)
    #expect(mixture.layer != nil && mixture.coded != nil && psnr < promised)
    settings.holdsQuality = true
    #expect(try #require(try encoder.encode(picture, settings).psnr) >= promised)
  }

  /// What `isUnusual` says of grain and of slopes with noise, which photographs have.
  @Test func photographsAreNotUnusual() {
    for format in PixelFormat.allCases {
      var random = SplitMix(SplitMix.seed)
      let samples = (0..<format.sampleCount(width: 80, height: 70)).map { UInt8(60 + $0 / 200 + random.below(12)) }
      #expect(!Picture(unchecked: 80, 70, format, samples).withView { $0.isUnusual || $0.hasDrawings })
    }
  }

  @Test func layersOfOtherFormats() throws {
    let decoder = Decoder(model: Fixtures.tiny)
    var settings = EncoderSettings(ratePoint: 0)
    settings.maximumError = 0
    func bytes(_ format: PixelFormat) throws -> [UInt8] {
      try encode(Self.picture(9, 7, format), model: Fixtures.tiny, settings: settings).bytes
    }
    let grey = try decoder.decode(bytes(.grey))
    #expect(try decoder.decode(bytes(.grey), as: .rgb).samples == grey.samples.flatMap { [$0, $0, $0] })
    #expect(try decoder.decode(bytes(.grey), as: .rgb).converted(to: .grey) == grey)
    #expect(throws: DecodeError.conversion(from: .yuv420, to: .rgb)) { try decoder.decode(bytes(.yuv420), as: .rgb) }
    #expect(throws: DecodeError.conversion(from: .rgb, to: .yuv420)) { try decoder.decode(bytes(.rgb), as: .yuv420) }
  }

  private static func file(base: ResidualBase) throws -> [UInt8] {
    var settings = EncoderSettings(ratePoint: 1)
    settings.maximumError = 1
    settings.base = base
    settings.alpha = picture(19, 22, .grey)
    return try encode(picture(19, 22, .rgb), model: Fixtures.tiny, settings: settings).bytes
  }

  @Test(arguments: [ResidualBase.none, .position]) func damageIsAnError(_ base: ResidualBase) throws {
    let bytes = try Self.file(base: base)
    let decoder = Decoder(model: Fixtures.tiny)
    decoder.limits.pixels = 1 << 16
    for count in 0..<bytes.count {
      #expect(throws: DecodeError.self) { try decoder.decodeAll(Array(bytes[..<count])) }
    }
    // Damage behind which the checksums are right: an error or a picture, never a trap.
    var random = SplitMix(SplitMix.seed)
    for _ in 0..<2000 {
      var changed = bytes
      for _ in 0...random.below(3) { changed[8 + random.below(bytes.count - 8)] = UInt8(random.below(256)) }
      Mending.bitstream(&changed)
      _ = try? decoder.decodeAll(changed)
    }
  }

  @Test func partsThatDoNotBelongTogether() throws {
    let alone = try Self.file(base: .none)
    let based = try Self.file(base: .position)
    func boxes(_ bytes: [UInt8]) throws -> BitstreamParts { try BitstreamParts(parsing: bytes) }
    func rewritten(_ bytes: [UInt8], residual: [UInt8]?, segments: Int? = nil) throws -> [UInt8] {
      let parts = try boxes(bytes)
      var header = parts.header
      if let segments { header.segments = .init(rows: 0, count: segments) }
      var writer = BitstreamWriter(header)
      for range in parts.payloads { writer.box(.segment, Array(bytes[range])) }
      if let residual { writer.box(.residual, residual) }
      return writer.finish()
    }
    func layer(_ bytes: [UInt8]) throws -> [UInt8] { Array(bytes[try #require(try boxes(bytes).residual)]) }
    let decoder = Decoder(model: Fixtures.tiny)
    #expect(throws: DecodeError.segmentCount(0, expected: 1)) {
      try decoder.decode(rewritten(alone, residual: nil))
    }
    #expect(throws: DecodeError.residual(.base(expected: true))) {
      try decoder.decode(rewritten(alone, residual: layer(based)))
    }
    #expect(throws: DecodeError.residual(.base(expected: false))) {
      try decoder.decode(rewritten(based, residual: layer(alone)))
    }
    #expect(throws: DecodeError.residual(.truncated)) { try decoder.decode(rewritten(alone, residual: [])) }
    #expect(throws: DecodeError.misplacedBox(.segment)) {
      try decoder.decode(rewritten(based, residual: layer(based), segments: 0))
    }
    #expect(try decoder.decode(rewritten(based, residual: layer(based))) == decoder.decode(based))
  }
}
