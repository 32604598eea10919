// SPDX-License-Identifier: BSD-3-Clause

import CSwiftCodec
import Testing

@testable import SwiftCodec
@testable import SwiftCodecFitting

/// Models that have grown by a domain: tiny-grown.scm is tiny-hyper.scm with two more rate points, at which hidden layers of
/// analysis, hyper-analysis and slices have more units.
@Suite struct DomainTests {
  let model = Fixtures.tinyGrown
  let source = Fixtures.tinyHyper

  static func settings(_ position: RatePosition, choosesDomain: Bool = false) -> EncoderSettings {
    var settings = EncoderSettings(position: position)
    settings.choosesDomain = choosesDomain
    return settings
  }

  @Test func domainsHaveQualitiesOfTheirOwn() {
    let domains = model.domains
    #expect(domains.map(\.lowerBound) == [RatePosition(ratePoint: 0), RatePosition(ratePoint: 3)])
    #expect(domains.map(\.upperBound) == [RatePosition(ratePoint: 2), RatePosition(ratePoint: 4)])
    #expect(model.positions == domains[0] && source.domains == [source.positions])
    for (domain, positions) in domains.enumerated() {
      for index in positions.lowerBound.index...positions.upperBound.index {
        let position = RatePosition(index: index)
        #expect(model.domain(of: position) == domain)
        #expect(model.position(quality: model.quality(of: position), domain: domain) == position)
        #expect(model.bitstreamID(at: position) == (domain == 0 ? source : model).shortID)
        #expect(model.decodes(model: source.shortID, at: position) == (domain == 0))
        #expect(model.decodes(model: model.shortID, at: position))
        #expect(source.decodes(model: source.shortID, at: position) == (domain == 0))
      }
      #expect(model.position(quality: -1, domain: domain) == positions.lowerBound)
      #expect(model.position(quality: 101, domain: domain) == positions.upperBound)
    }
    for fraction in 1..<RatePosition.steps {
      let between = RatePosition(ratePoint: 2, fraction: fraction)
      #expect(model.domain(of: between) == nil && !model.decodes(model: model.shortID, at: between))
    }
    #expect(model.decoderMACPerPixel(ratePoint: 0) == source.decoderMACPerPixel(ratePoint: 0))
    #expect(model.encoderMACPerPixel(ratePoint: 2) == source.encoderMACPerPixel(ratePoint: 2))
    #expect(model.decoderMACPerPixel(ratePoint: 3) > source.decoderMACPerPixel(ratePoint: 2))
  }

  /// What the source model coded decodes to the same samples; what is coded in its domain are its files, byte for byte.
  @Test func oldFilesDecodeAsBefore() throws {
    var files = 0
    for line in try Fixtures.lines("golden/golden.txt") where line[1] == "models/tiny-hyper.scm" {
      let picture = try Decoder(model: model).decode(try Fixtures.bytes("golden/\(line[0])"))
      #expect(hexadecimal32(Fixtures.hash(picture)) == line[5], "\(line[0])")
      files += 1
    }
    #expect(files > 5)
    let picture = try Fixtures.picture("scene")
    for cpu in CPU.available {
      for index in stride(from: 0, through: model.positions.upperBound.index, by: 7) {
        var settings = Self.settings(RatePosition(index: index))
        settings.execution.cpu = cpu
        settings.rdoq = index % 2 == 0 ? .quick : .off
        let (new, old) = (Encoder(model: model), Encoder(model: source))
        #expect(try new.encode(picture, settings).bytes == old.encode(picture, settings).bytes, "\(index), \(cpu.name)")
      }
    }
  }

  @Test func newDomainDecodes() throws {
    let picture = try Fixtures.picture("weave")
    for position in [(3, 0), (3, 1), (3, 16), (3, 31), (4, 0)].map({ RatePosition(ratePoint: $0, fraction: $1) }) {
      for rdoq in [RDOQ.off, .full] {
        var settings = Self.settings(position)
        settings.rdoq = rdoq
        let encoded = try Encoder(model: model).encode(picture, settings)
        #expect(encoded.position == position)
        #expect(try Decoder(model: model).decode(encoded.bytes) == encoded.reconstruction)
        #expect(throws: DecodeError.model(wanted: model.shortID, loaded: source.shortID)) {
          try Decoder(model: source).decode(encoded.bytes)
        }
      }
    }
  }

  @Test func theCheapestDomainIsTaken() throws {
    var taken: Set<Int> = []
    // Nothing but bits count with the smallest lambda.
    for (name, lambda) in [
      ("scene", nil), ("weave", nil), ("noise-17x33", nil), ("scene-grey", 1e-9), ("black-16x16", 1e-9),
    ] {
      let picture = try Fixtures.picture(name)
      for quality in [0.0, 50, 100] {
        var settings = Self.settings(model.position(quality: quality), choosesDomain: true)
        settings.lambda = lambda
        let weight =
          (lambda ?? model.lambda(at: settings.position)) * Double(picture.width * picture.height)
          / Double(picture.samples.count)
        let costs = try model.domains.indices.map { domain in
          let encoded = try Encoder(model: model).encode(
            picture, Self.settings(model.position(quality: quality, domain: domain)))
          return encoded.idealBits + weight * Double(try #require(encoded.squaredError))
        }
        let cheapest = costs[1] < costs[0] ? 1 : 0
        taken.insert(cheapest)
        for rdoq in [RDOQ.off, .quick] {
          var searched = settings
          searched.rdoq = rdoq
          let encoded = try Encoder(model: model).encode(picture, searched)
          #expect(
            encoded.position == model.position(quality: quality, domain: cheapest), "\(name), \(quality): \(costs)")
          (searched.position, searched.choosesDomain) = (encoded.position, false)
          #expect(try Encoder(model: model).encode(picture, searched).bytes == encoded.bytes)
        }
      }
    }
    #expect(taken == [0, 1])
  }

  @Test func targetsStayInADomain() throws {
    let picture = try Fixtures.picture("scene")
    let all = try (0...1).map { try Encoder(model: model).encode(picture, Self.settings(model.domains[$0].upperBound)) }
    for domain in 0...1 {
      let settings = Self.settings(model.domains[domain].lowerBound)
      let size = all[domain].bytes.count - 1
      let small = try Encoder(model: model).encode(picture, settings, target: .bytes(size))
      #expect(small.bytes.count <= size && model.domain(of: small.position) == domain)
      let psnr = try #require(small.psnr)
      let good = try Encoder(model: model).encode(picture, settings, target: .psnr(psnr))
      #expect(try #require(good.psnr) >= psnr && model.domain(of: good.position) == domain)
    }
    let middle = Self.settings(model.position(quality: 50), choosesDomain: true)
    let cheapest = model.domain(of: try Encoder(model: model).encode(picture, middle).position)
    let chosen = try Encoder(model: model).encode(picture, middle, target: .bitsPerPixel(8))
    #expect(model.domain(of: chosen.position) == cheapest)
  }

  @Test func positionsBetweenDomainsAreRefused() throws {
    let picture = Fixtures.formulaPicture(width: 20, height: 20)
    for index in [2 * 32 + 1, 3 * 32 - 1, 4 * 32 + 1, 5 * 32] {
      let position = RatePosition(index: index)
      for chooses in [false, true] {
        #expect(throws: EncodeError.position(position, count: 5)) {
          try Encoder(model: model).encode(picture, Self.settings(position, choosesDomain: chooses))
        }
      }
    }
    let old = try Encoder(model: model).encode(picture, Self.settings(RatePosition(ratePoint: 2)))
    func decode(position: Int, model id: UInt32) throws -> Picture {
      var bytes = old.bytes
      GoldenTests.patchHeader(&bytes) {
        $0[8] = UInt8(position)
        Mending.store(id, &$0, at: 4)
      }
      return try Decoder(model: model).decode(bytes)
    }
    // The model's own id names all positions that it has; that of the model before, those that it had.
    #expect(try decode(position: 64, model: source.shortID) == old.reconstruction)
    #expect(try decode(position: 64, model: model.shortID) == old.reconstruction)
    #expect(throws: DecodeError.position(RatePosition(index: 65), count: 5)) {
      try decode(position: 65, model: model.shortID)
    }
    for index in [65, 96, 100] {
      #expect(throws: DecodeError.position(RatePosition(index: index), count: 3)) {
        try decode(position: index, model: source.shortID)
      }
    }
    #expect(throws: DecodeError.model(wanted: 7, loaded: model.shortID)) { try decode(position: 64, model: 7) }
  }

  @Test func wrongGrowths() {
    let small = ModelTests.small().sections()
    func growth(_ bytes: [UInt8], at place: Int = 2) -> [UInt8] {
      var sections = small
      sections.insert(("GROW", bytes), at: place)
      return ModelFileWriter.file(sections)
    }
    let right: [UInt8] = [1, 1, 9, 9, 9, 9]
    #expect(ModelTests.error(growth(right)) == nil && ModelTests.error(growth(right, at: 3)) == nil)
    ModelTests.refuses(growth(right, at: 1), ["GROW", "out of order"])
    ModelTests.refuses(growth(right, at: 4), ["GROW", "out of order"])
    var twice = small
    twice.insert(contentsOf: [("GROW", right), ("GROW", right)], at: 2)
    ModelTests.refuses(ModelFileWriter.file(twice), ["GROW", "twice"])
    ModelTests.refuses(growth([0]), ["GROW", "growths is 0"])
    ModelTests.refuses(growth([8]), ["GROW", "growths is 8"])
    ModelTests.refuses(growth([1, 0, 9, 9, 9, 9]), ["GROW", "first rate point is 0"])
    ModelTests.refuses(growth([1, 2, 9, 9, 9, 9]), ["GROW", "first rate point is 2"])
    ModelTests.refuses(growth([2, 1, 9, 9, 9, 9, 1, 9, 9, 9, 9]), ["GROW", "first rate point is 1"])
    ModelTests.refuses(growth([2, 1, 9, 9, 9, 9, 2, 9, 9, 9, 9]), ["GROW", "first rate point is 2"])
    ModelTests.refuses(growth(right + [0]), ["GROW", "behind"])
    for count in 0..<right.count { ModelTests.refuses(growth(Array(right[..<count])), ["GROW", "too early"]) }
  }

  /// The proof that no accumulator overflows counts the input channels that are in use, at each rate point.
  @Test func theBoundIsThatOfChannelsInUse() {
    var file = ModelTests.small()
    guard case .i16(var weights) = file.arrays[5].values else { return }
    // 25 · 2^12 · 2^15 is more than 2^31; the fourth input channel of the first output channel.
    for tap in 0..<25 { weights[4 * tap + 3] = 4096 }
    file.arrays[5].values = .i16(weights)
    ModelTests.refuses(file.file(), ["\"up\"", "channel 0"])
    file.widths = [[3], [3]]
    file.entropy = [ModelFileWriter.flatEntropy(channels: [3, 3])]
    #expect(ModelTests.error(file.file())?.description == nil)
    for tap in 0..<25 { weights[4 * tap + 2] = 4096 }
    file.arrays[5].values = .i16(weights)
    ModelTests.refuses(file.file(), ["\"up\"", "channel 0"])
  }

  /// Fitting one domain leaves everything else as it stands in the file.
  @Test func oneDomainIsFitted() throws {
    let bytes = try Fixtures.bytes("models/tiny-grown.scm")
    let pictures = try ["scene", "weave"].map { try Fixtures.picture($0) }
    func fits(_ kind: EntropyKind) -> [FittedEntropy] {
      (3...4).map { k in
        var set = FittingSet(model: model, ratePoint: k)
        for picture in pictures { LatentAnalyser(model: model).add(picture, ratePoint: k, to: &set) }
        return EntropyFitter(set, threads: 2).fit(kind)
      }
    }
    let file = try modelFile(bytes, replacingEntropyBy: [fits(.static)], from: 3)
    let (before, after) = (ModelFileWriter.sections(of: bytes), ModelFileWriter.sections(of: file))
    #expect(before.map(\.tag) == after.map(\.tag))
    for (a, b) in zip(before, after) { #expect((a.payload == b.payload) == (a.tag != "ENTR"), "\(a.tag)") }
    func tables(_ model: Model, _ points: Range<Int>) -> [UInt8] {
      let all = model.entropyModels[0]
      return EntropyModel(
        kind: all.kind, magnitude: all.magnitude, hyperTables: points.map { all.hyperTables[$0] },
        tables: points.map { all.tables[$0] }
      ).serialised()
    }
    let fitted = try Model(file)
    #expect(tables(model, 0..<3) == tables(fitted, 0..<3) && tables(model, 3..<5) != tables(fitted, 3..<5))
    #expect(tables(model, 0..<3) == tables(source, 0..<3))
    #expect(fitted.bitstreamID(at: RatePosition(ratePoint: 0)) == source.shortID)
    // There are no tables of this kind for the other domain.
    #expect(throws: ModelError.self) { try modelFile(bytes, replacingEntropyBy: [fits(.weighted)], from: 3) }
  }

  /// A stream of frames names the model before, too, and decodes with both.
  @Test func streamsAreThoseOfTheModelBefore() throws {
    var sections = ModelFileWriter.sections(of: try Fixtures.bytes("models/tiny-formats.scm"))
    let id = Fixtures.tinyFormats.shortID
    sections.insert(("GROW", [1, 2] + (0..<4).map { UInt8(truncatingIfNeeded: id >> UInt32(8 * $0)) }), at: 2)
    let grown = try Model(ModelFileWriter.file(sections))
    #expect(grown.shortID != id)
    let encoder = try VideoEncoder(
      intra: grown, inter: Fixtures.tinyInter, width: 40, height: 32, VideoTests.settings { $0.rate = .quality(60) })
    let packets = try (0..<3).map { try encoder.encode(Fixtures.movingFrame($0, width: 40, height: 32)).bytes }
    for intra in [grown, Fixtures.tinyFormats] {
      let decoder = try VideoDecoder(header: encoder.header, intra: intra, inter: Fixtures.tinyInter)
      for packet in packets { #expect(try decoder.decode(packet) != nil) }
    }
    // Of the model before, but beyond what the grown one shares with it.
    let old = try VideoEncoder(
      intra: Fixtures.tinyFormats, inter: nil, width: 40, height: 32, VideoTests.settings { $0.rate = .quality(100) })
    let packet = try old.encode(Fixtures.movingFrame(0, width: 40, height: 32)).bytes
    let decoder = try VideoDecoder(header: old.header, intra: grown, inter: nil)
    #expect(throws: DecodeError.position(RatePosition(ratePoint: 2), count: 2)) { try decoder.decode(packet) }
  }

  @Test func theInterfaceInC() throws {
    let handle = try CInterfaceTests.makeModel(try Fixtures.bytes("models/tiny-grown.scm"))
    defer { sc_model_destroy(handle) }
    #expect(sc_model_domains(handle) == 2 && sc_model_domains(nil) == 0 && sc_model_rate_points(handle) == 5)
    var (point, fraction): (UInt32, UInt32) = (99, 99)
    #expect(sc_model_quality(handle, 100, &point, &fraction) == SC_OK && (point, fraction) == (2, 0))
    #expect(sc_model_domain_quality(handle, 1, 50, &point, &fraction) == SC_OK && (point, fraction) == (3, 16))
    #expect(sc_model_domain_quality(handle, 2, 50, &point, &fraction) == SC_ERROR_ARGUMENT)
    #expect(sc_model_domain_quality(handle, .max, 50, &point, &fraction) == SC_ERROR_ARGUMENT)
    #expect(sc_model_domain_quality(handle, 1, 101, &point, &fraction) == SC_ERROR_ARGUMENT)
    #expect(sc_model_domain_quality(nil, 0, 50, &point, &fraction) == SC_ERROR_ARGUMENT && (point, fraction) == (3, 16))
    var settings = CInterfaceTests.encoderSettings
    var encoder: OpaquePointer?
    settings.choose_domain = 2
    #expect(sc_encoder_create(handle, &settings, &encoder) == SC_ERROR_ARGUMENT)
    (settings.choose_domain, settings.rate_point, settings.rate_fraction) = (1, 2, 1)
    #expect(sc_encoder_create(handle, &settings, &encoder) == SC_ERROR_RATE_POINT)
    (settings.rate_point, settings.rate_fraction) = (1, 0)
    #expect(sc_encoder_create(handle, &settings, &encoder) == SC_OK)
    defer { sc_encoder_destroy(encoder) }
    let picture = try Fixtures.picture("weave")
    var samples = picture.samples
    let bytes = try CInterfaceTests.withPicture(&samples, picture.width, picture.height, SC_PIXEL_RGB) { argument in
      var memory: UnsafeMutablePointer<UInt8>?
      var size = 0
      try #require(sc_encode(encoder, &argument, &memory, &size) == SC_OK)
      defer { sc_free(memory) }
      return Array(UnsafeBufferPointer(start: memory, count: size))
    }
    let expected = try Encoder(model: model).encode(
      picture, Self.settings(RatePosition(ratePoint: 1), choosesDomain: true))
    #expect(bytes == expected.bytes)
  }
}
