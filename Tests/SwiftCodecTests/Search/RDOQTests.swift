// SPDX-License-Identifier: BSD-3-Clause

import Foundation
import Testing

@testable import SwiftCodec
@testable import SwiftCodecFitting

/// The encoder's search: its gradient, its rate, and that what it reports is what a decoder gives.
@Suite struct RDOQTests {
  static func encoded(
    _ picture: Picture, _ model: Model, _ ratePoint: Int, _ rdoq: RDOQ, threads: Int = 1, segmentRows: Int = 64,
    hasDeadZone: Bool = true
  ) throws -> Encoded {
    let encoder = Encoder(model: model)
    encoder.segmentRows = segmentRows
    var settings = EncoderSettings(ratePoint: ratePoint)
    settings.filters = false
    settings.rdoq = rdoq
    settings.hasDeadZone = hasDeadZone
    settings.execution.threads = threads
    return try encoder.encode(picture, settings)
  }

  /// What a file costs, from its bytes alone: bits of its payloads, and the squared error of the picture that it decodes to.
  ///
  /// `bits` is the ideal code length of its symbols, one by one from the definition (`EntropyTests.definedSymbols`); nil
  /// with a hyperprior, and for latents where that takes long.
  static func measured(
    _ bytes: [UInt8], _ model: Model, _ picture: Picture
  ) throws -> (payload: Double, bits: Double?, squaredError: Double) {
    let parts = try BitstreamParts(parsing: bytes)
    let decoded = try decode(bytes, model: model)
    var error = 0
    for (a, b) in zip(decoded.samples, picture.samples) { error += (Int(a) - Int(b)) * (Int(a) - Int(b)) }
    let payload = Double(8 * parts.payloads.reduce(0) { $0 + $1.count })
    guard model.hyperprior == nil else { return (payload, nil, Double(error)) }
    let header = parts.header
    var prepared = PreparedModel(model)
    let maybeCodec = prepared.segmentCodec(header.entropy, at: header.position, cpu: .scalar)
    let codec = try #require(maybeCodec)
    let layout = LatentLayout(
      model, width: header.width, height: header.height, segmentRows: header.segments.map { $0.rows })
    let latent = Latent(layout: layout, channels: model.latentChannels(at: header.position))
    guard latent.channels * layout.width * layout.height <= 600 else { return (payload, nil, Double(error)) }
    let entropy = try #require(model.entropyModels.first { $0.kind.rawValue == header.entropy.rawValue })
    var bits = 0.0
    for (i, range) in parts.payloads.enumerated() {
      let begun = PayloadDecoder(bytes, in: range)
      var decoder = try #require(begun)
      if i == 0 { #expect(PictureFilter.decode(&decoder, header.format, previous: nil)?.isEmpty == true) }
      try #require(codec.decode(&decoder, segment: i, latent, reference: nil, Execution()) && decoder.isFinished)
      let values = Array(UnsafeBufferPointer(start: latent.segments[i].base, count: latent.segments[i].count))
      bits += EntropyTests.bits(
        EntropyTests.definedSymbols(
          entropy.tables[model.tablePoint(header.position)], entropy.magnitude, values, layout.width,
          layout.rows(segment: i).count))
    }
    return (payload, bits, Double(error))
  }

  /// Encodes with a search and without: what it reports is what the two files cost.
  @discardableResult
  static func check(_ picture: Picture, _ model: Model, _ ratePoint: Int, _ rdoq: RDOQ) throws -> RDOQReport {
    let plain = try encoded(picture, model, ratePoint, .off)
    let result = try encoded(picture, model, ratePoint, rdoq)
    #expect(plain.rdoq == nil)
    let report = try #require(result.rdoq)
    #expect(report.passes.count > 0)
    for (a, b) in zip(report.passes, report.passes.dropFirst()) { #expect(b.cost <= a.cost) }
    let weight = report.lambda / Double(picture.channels)
    for (encoded, cost) in [(plain, report.initialCost), (result, report.finalCost)] {
      let (payload, bits, error) = try measured(encoded.bytes, model, picture)
      let reported = cost - weight * error
      // The final states of a segment and its last words are rounded up.
      #expect(reported - 1 <= payload && payload < 1.005 * reported + 600)
      if let bits { #expect(abs(reported - bits) <= 1e-9 * cost + 1e-6) }
      // One bit says that there is no filter.
      #expect(abs(reported + 1 - encoded.idealBits) <= 1e-9 * cost + 1e-6)
      #expect(encoded.squaredError.map { Double($0) } == error)
    }
    #expect(report.finalCost <= report.initialCost)
    #expect(try decode(result.bytes, model: model) == result.reconstruction)
    return report
  }

  @Test func costNeverRises() throws {
    var random = SplitMix.test(11)
    for (width, height, channels) in [(1, 1, 3), (1, 70, 1), (37, 29, 3), (64, 48, 3), (90, 17, 1)] {
      let picture =
        channels == 3 && width > 1
        ? Fixtures.formulaPicture(width: width, height: height)
        : Fixtures.randomPicture(width, height, channels, &random)
      for k in Fixtures.tiny.ratePoints.indices {
        for rdoq in [RDOQ.quick, .fast, .full] { try Self.check(picture, Fixtures.tiny, k, rdoq) }
      }
      if width > 37 { continue }
      for k in Fixtures.base.ratePoints.indices { try Self.check(picture, Fixtures.base, k, .fast) }
      if width == 37 { try Self.check(picture, Fixtures.base, 2, .full) }
    }
  }

  /// A model with a hyperprior, with contexts beside its scales.
  static func fittedHyper() throws -> Model {
    let analyser = LatentAnalyser(model: Fixtures.tinyHyper)
    let fits = try Fixtures.tinyHyper.ratePoints.indices.map { k in
      var set = FittingSet(model: Fixtures.tinyHyper, ratePoint: k)
      for name in ["scene", "weave"] { analyser.add(try Fixtures.picture(name), ratePoint: k, to: &set) }
      return EntropyFitter(set, threads: 2).fit(.weighted)
    }
    return try Model(modelFile(Fixtures.bytes("models/tiny-hyper.scm"), replacingEntropyBy: [fits]))
  }

  /// What entropy models are fitted to is what the encoder codes.
  @Test func fittingSeesWhatTheSearchFinds() throws {
    let picture = try Fixtures.picture("scene")
    for (model, k) in [(Fixtures.tiny, 2), (try Self.fittedHyper(), 1)] {
      var sets = [RDOQ.off, .fast].map { _ in FittingSet(model: model, ratePoint: k) }
      for (i, rdoq) in [RDOQ.off, .fast].enumerated() {
        let analyser = LatentAnalyser(model: model, rdoq: rdoq)
        analyser.hasDeadZone = true
        analyser.filters = false
        analyser.add(picture, ratePoint: k, to: &sets[i])
      }
      var changed = 0
      for (before, after) in zip(sets[0].latents.values, sets[1].latents.values) {
        for i in before.indices where before[i] != after[i] { changed += 1 }
      }
      #expect(changed > 0)
      #expect(changed == (try Self.encoded(picture, model, k, .fast).rdoq?.changedValues))
    }
  }

  @Test func costNeverRisesWithAHyperprior() throws {
    let fitted = try Self.fittedHyper()
    var random = SplitMix.test(17)
    for (width, height, channels) in [(1, 1, 3), (1, 70, 1), (37, 29, 3), (64, 48, 3), (90, 170, 1)] {
      let picture =
        channels == 3 && width > 1
        ? Fixtures.formulaPicture(width: width, height: height)
        : Fixtures.randomPicture(width, height, channels, &random)
      for k in fitted.ratePoints.indices {
        try Self.check(picture, Fixtures.tinyHyper, k, .fast)
        try Self.check(picture, fitted, k, .fast)
        if height < 100 { try Self.check(picture, fitted, k, .full) }
      }
    }
    // A picture of the kind that the networks are for gains.
    let picture = try Fixtures.picture("scene")
    let report = try Self.check(picture, fitted, 1, .fast)
    #expect(report.finalCost < 0.97 * report.initialCost)
    #expect(report.changedValues > 0)
  }

  @Test func threadsAndBandsGiveTheSameBytes() throws {
    let picture = Fixtures.formulaPicture(width: 83, height: 301)
    for (model, k) in [(Fixtures.base, 1), (Fixtures.tiny, 2), (Fixtures.tinyHyper, 1)] {
      let one = try Self.encoded(picture, model, k, .fast, segmentRows: 8)
      for threads in [2, 3] {
        let several = try Self.encoded(picture, model, k, .fast, threads: threads, segmentRows: 8)
        #expect(several.bytes == one.bytes)
      }
    }
  }

  /// Counted from rounding. Where the gradient promises what it cannot keep, passes fail and little is gained beyond the dead
  /// zone.
  @Test func theEmbeddedModelGains() throws {
    let picture = try Fixtures.picture("scene")
    for (k, bound) in [(5, 0.95), (7, 0.93)] {
      let report = try Self.check(picture, Fixtures.embedded, k, .fast)
      let rounded = try #require(try Self.encoded(picture, Fixtures.embedded, k, .quick, hasDeadZone: false).rdoq)
      #expect(report.finalCost < bound * rounded.initialCost)
    }
  }

  /// Without a search a value takes the nearest integer or the next one toward 0, and that costs less.
  @Test func deadZoneCostsLess() throws {
    let picture = try Fixtures.picture("scene")
    for k in [0, 3, 6] {
      let position = RatePosition(ratePoint: k)
      let model = Fixtures.embedded
      let execution = Execution()
      var prepared = PreparedModel(model)
      let layout = LatentLayout(model, width: picture.width, height: picture.height, segmentRows: 64)
      let program = prepared.program(.analysis, at: position, cpu: execution.cpu)
      let maybeCodec = prepared.segmentCodec(.weighted, at: position, cpu: execution.cpu)
      let codec = try #require(maybeCodec)
      var costs: [Double] = []
      for choice in [nil, DeadZone(codec).choice] {
        let latent = program.analyse(picture, layout, channels: model.latentChannels(at: position), execution)
        let target = Array(UnsafeBufferPointer(start: latent.segments[0].base, count: latent.segments[0].count))
        let maybeHyperLatent = prepared.hyperLatent(of: latent, at: position, execution)
        let hyperLatent = try #require(maybeHyperLatent)
        let segment = codec.quantise(
          segment: 0, latent, hyperLatent: hyperLatent.segments[0].base, reference: nil, execution, choice: choice)
        let prior = try #require(segment.prior)
        var moved = 0
        for i in target.indices {
          let one = 1 << prior.latentExponent
          let nearest = (Int(target[i]) - Int(prior.means.base[i]) + one / 2) >> prior.latentExponent
          let value = Int(segment.symbols.base[i])
          if value != nearest {
            moved += 1
            #expect(value == nearest - nearest.signum())
          }
        }
        #expect((moved > 0) == (choice != nil))
        var decoded = Picture(blank: picture.width, picture.height, picture.format)
        prepared.program(.synthesis, at: position, cpu: execution.cpu).synthesise(latent, into: &decoded, execution)
        costs.append(
          codec.encode(segment).bits + model.lambda(at: position) * Double(decoded.squaredError(to: picture)) / 3)
      }
      #expect(costs[1] < 0.995 * costs[0])
    }
  }

  /// `quick` gains most of what `fast` gains, in a third of its passes.
  @Test func quickIsQuick() throws {
    let picture = try Fixtures.picture("scene")
    let reports = try [RDOQ.quick, .fast].map {
      try #require(try Self.encoded(picture, Fixtures.embedded, 3, $0).rdoq)
    }
    let gains = reports.map { 1 - $0.finalCost / $0.initialCost }
    #expect(gains[0] > 0.6 * gains[1])
    #expect(3 * reports[0].passes.count <= reports[1].passes.count)
  }

  /// A grey picture's errors are parts of an integer at each of the three outputs: without fraction bits nothing is gained here.
  @Test func greyPicturesGain() throws {
    let picture = try Fixtures.picture("scene-grey")
    for (model, k) in [(Fixtures.embedded, 5), (Fixtures.embedded, 7), (Fixtures.base, 6)] {
      let report = try Self.check(picture, model, k, .fast)
      #expect(report.finalCost < 0.96 * report.initialCost)
    }
  }

  @Test func lambdaIsATradeOff() throws {
    let picture = Fixtures.formulaPicture(width: 80, height: 64)
    let encoder = Encoder(model: Fixtures.base)
    var settings = EncoderSettings(ratePoint: 3)
    settings.rdoq = .fast
    var bits: [Double] = []
    for lambda in [0.002, 0.013, 0.08] {
      settings.lambda = lambda
      let result = try encoder.encode(picture, settings)
      #expect(result.rdoq?.lambda == lambda)
      bits.append(result.idealBits)
    }
    #expect(bits[0] < bits[1] && bits[1] < bits[2])
    for lambda in [0, -1, .infinity, .nan] {
      settings.lambda = lambda
      #expect(throws: EncodeError.self) { try encoder.encode(picture, settings) }
    }
  }

  /// Correlation of the gradient with differences of the squared error, over values of the latent at random.
  static func gradientCorrelation(_ model: Model, _ picture: Picture, _ ratePoint: Int, step: Int) -> Double {
    var prepared = PreparedModel(model)
    let execution = Execution()
    let layout = LatentLayout(model, width: picture.width, height: picture.height, segmentRows: 64)
    let latent = prepared.program(.analysis, ratePoint: ratePoint, cpu: execution.cpu)
      .analyse(picture, layout, channels: model.latentChannels(ratePoint: ratePoint), execution)
    let program = prepared.program(.synthesis, ratePoint: ratePoint, cpu: execution.cpu)
    let adjoint = AdjointProgram(
      model.graph(.synthesis, .rgb)!, program, of: model.weights, at: RatePosition(ratePoint: ratePoint))
    let meter = DistortionMeter(program, adjoint, picture.lastingView, layout, execution)
    meter.differentiate(latent)
    let n = latent.channels
    var random = SplitMix(5)
    var (ab, aa, bb) = (0.0, 0.0, 0.0)
    for i in 0..<150 {
      let c = random.below(n)
      // Borders are half of them.
      let y = i % 4 == 0 ? (i % 8 == 0 ? 0 : layout.height - 1) : random.below(layout.height)
      let x = i % 4 == 1 ? (i % 8 == 1 ? 0 : layout.width - 1) : random.below(layout.width)
      let at = latent.segments[0].base + (c * layout.height + y) * layout.width + x
      at.pointee += Int16(step)
      meter.measure(latent)
      let above = Double(meter.squaredError)
      at.pointee -= Int16(2 * step)
      meter.measure(latent)
      let below = Double(meter.squaredError)
      at.pointee += Int16(step)
      let expected = (above - below) / Double(4 * step)
      let gradient = Double(meter.gradient.base[(y * layout.width + x) * n + c])
      ab += expected * gradient
      aa += gradient * gradient
      bb += expected * expected
    }
    let slope = ab / aa
    #expect(0.7...1.4 ~= slope)
    return ab / (aa * bb).squareRoot()
  }

  @Test func gradientIsThatOfTheDecoder() {
    var random = SplitMix(3)
    var samples: [UInt8] = []
    for i in 0..<(76 * 60 * 3) { samples.append(UInt8(100 + (i / 180) % 50 + random.below(20))) }
    let picture = Picture(unchecked: 76, 60, 3, samples)
    // Every operation, borders of both kinds; and the network that it is for.
    for k in Fixtures.tiny.ratePoints.indices {
      #expect(Self.gradientCorrelation(Fixtures.tiny, picture, k, step: 1) > 0.9)
    }
    // Modulated layers and a latent with fractional bits.
    for k in Fixtures.tinyHyper.ratePoints.indices {
      #expect(Self.gradientCorrelation(Fixtures.tinyHyper, picture, k, step: 16) > 0.9)
    }
    for k in [0, 3] { #expect(Self.gradientCorrelation(Fixtures.base, picture, k, step: 1) > 0.8) }
  }

  /// Sums over pairs of numbers that should be equal.
  struct Agreement {
    private var (ab, aa, bb) = (0.0, 0.0, 0.0)

    mutating func add(expected: Double, found: Double) {
      ab += expected * found
      aa += found * found
      bb += expected * expected
    }

    var slope: Double { ab / aa }
    var correlation: Double { ab / (aa * bb).squareRoot() }
  }

  /// What later slices add to gradient and curvature against differences: first and second ones of the rate times moves of
  /// means and scales, over decoded values at random.
  static func laterSlices(_ model: Model, _ ratePoint: Int, step: Int) throws -> (
    gradient: Agreement, curvature: Agreement
  ) {
    let picture = Fixtures.formulaPicture(width: 256, height: 192)
    let position = RatePosition(ratePoint: ratePoint)
    let execution = Execution()
    var prepared = PreparedModel(model)
    let layout = LatentLayout(model, width: picture.width, height: picture.height, segmentRows: 64)
    let latent = prepared.program(.analysis, at: position, cpu: execution.cpu)
      .analyse(picture, layout, channels: model.latentChannels(at: position), execution)
    let maybeHyperLatent = prepared.hyperLatent(of: latent, at: position, execution)
    let hyperLatent = try #require(maybeHyperLatent)
    let kind = try #require(model.preferredEntropyKind)
    let maybeCodec = prepared.segmentCodec(kind, at: position, cpu: execution.cpu)
    let codec = try #require(maybeCodec)
    let entropy = try #require(model.entropyModels.first { $0.kind == kind })
    let quantised = codec.quantise(segment: 0, latent, hyperLatent: hyperLatent.segments[0].base, execution)
    let (prior, symbols) = (try #require(quantised.prior), quantised.symbols)
    let rate = SegmentRate(
      RateTables(entropy.tables[model.tablePoint(position)], entropy.magnitude),
      RateGeometry(width: layout.width, height: layout.height), values: symbols.base)
    rate.setScales(prior.scales.base, 0..<latent.channels)
    let laterSlices = zip(try #require(model.hyperprior).slices, try #require(codec.hyper).slices).dropFirst().map {
      AdjointProgram($0, $1, of: model.weights, at: position)
    }
    let values = latent.segments[0].base
    let places = layout.width * layout.height
    let weight = 0.03
    let size = latent.channels * places
    let gradient = AlignedBuffer<Float>(count: size, zero: 0)
    prior.addLaterSlices(laterSlices, rate, values, decoding: nil, weight: weight, to: gradient.base, nil, execution)
    let curvature = AlignedBuffer<Float>(count: size, zero: 0)
    let probes = 64
    for probe in 0..<probes {
      prior.addLaterCurvature(
        laterSlices, rate, values, weight: weight, probe: probe, to: curvature.base, nil, execution)
    }
    // By value and by scale, of order 1 and 2.
    let differences = (0..<4).map { _ in AlignedBuffer<Float>(count: size, zero: 0) }
    for c in 0..<latent.channels {
      for order in [1, 2] {
        rate.differences(
          c, order: order, byValue: differences[2 * order - 2].base + c * places,
          byScale: differences[2 * order - 1].base + c * places)
      }
    }
    /// Means and scales of later slices, beside zeros.
    func parameters(after slice: Int) -> (means: [Double], scales: [Double]) {
      var (means, scales) = ([Double](repeating: 0, count: size), [Double](repeating: 0, count: size))
      for later in (slice + 1)..<prior.sliceRanges.count {
        prior.predict(later, from: values, execution)
        let range = prior.sliceRanges[later]
        for i in (range.lowerBound * places)..<(range.upperBound * places) {
          means[i] = Double(prior.means.base[i]) / Double(1 << prior.latentExponent)
          scales[i] = Double(prior.scales.base[i])
        }
      }
      return (means, scales)
    }
    for i in (prior.sliceRanges[prior.sliceRanges.count - 1].lowerBound * places)..<size {
      #expect(gradient.base[i] == 0, "nothing follows the last slice")
      #expect(curvature.base[i % places * latent.channels + i / places] == 0)
    }
    var random = SplitMix(8)
    var result = (gradient: Agreement(), curvature: Agreement())
    for _ in 0..<80 {
      let slice = random.below(prior.sliceRanges.count - 1)
      let range = prior.sliceRanges[slice]
      let c = range.lowerBound + random.below(range.count)
      let p = random.below(places)
      let at = values + c * places + p
      at.pointee += Int16(step)
      let above = parameters(after: slice)
      at.pointee -= Int16(2 * step)
      let below = parameters(after: slice)
      at.pointee += Int16(step)
      var (slope, bend) = (0.0, 0.0)
      for i in 0..<size {
        let mean = (above.means[i] - below.means[i]) / Double(2 * step)
        let scale = (above.scales[i] - below.scales[i]) / Double(2 * step)
        slope += scale * Double(differences[1].base[i]) - mean * Double(differences[0].base[i])
        bend += mean * mean * max(0, Double(differences[2].base[i]))
        bend += scale * scale * max(0, Double(differences[3].base[i]))
      }
      // Half the squared error costs 2 · weight.
      let found = p * latent.channels + c
      result.gradient.add(expected: slope / (2 * weight), found: Double(gradient.base[c * places + p]))
      result.curvature.add(expected: bend / (2 * weight), found: Double(curvature.base[found]) / Double(probes))
    }
    return result
  }

  @Test func laterSlicesAnswerAMove() throws {
    for k in [0, 1] {
      let (gradient, curvature) = try Self.laterSlices(Fixtures.tinyHyper, k, step: 8)
      #expect(gradient.correlation > 0.9)
      #expect(0.8...1.25 ~= gradient.slope)
      #expect(curvature.correlation > 0.9)
      #expect(0.7...1.4 ~= curvature.slope)
    }
  }

  @Test func rateIsThatOfTheCoder() {
    var random = SplitMix.test(21)
    var changes = 0
    for (width, height) in [(1, 1), (1, 9), (2, 3), (7, 1), (13, 10)] {
      for rule in EntropyTests.rules(&random) {
        let table = EntropyTests.randomTable(rule, channels: 6, &random)
        let coder = EntropyCoder(table, rule)
        let size = width * height
        var values = EntropyTests.randomValues(table, size, &random)
        values.withUnsafeMutableBufferPointer { buffer in
          let base = buffer.baseAddress!
          func coded() -> Double { coder.encode(width: width, height: height, values: base).bits }
          let rate = SegmentRate(
            RateTables(table, rule), RateGeometry(width: width, height: height), values: base)
          #expect(abs(rate.bits - coded()) < 1e-6)
          var bits = rate.bits
          for _ in 0..<60 {
            let c = random.below(6)
            let (y, x) = (random.below(height), random.below(width))
            let value = rate.value(c, y, x) + (random.below(2) == 0 ? 1 : -1)
            guard rate.active[c], -32768...32767 ~= value else { continue }
            changes += 1
            let last = rate.moved[c] == 1 && value == table.mode[c]
            let change = rate.change(c, y, x, to: value)
            #expect(abs(rate.bits - bits) < 1e-6, "asking changes nothing")
            rate.apply(c, y, x, to: value)
            if !last { #expect(abs(rate.bits - bits - change) < 1e-6) }
            bits = rate.bits
            #expect(abs(bits - coded()) < 1e-6)
          }
        }
      }
    }
    #expect(changes > 300)
  }

  /// Models whose outputs do not depend on all rows of the latent, or of the slices before, or on none: what the search
  /// finds decodes to what the encoder says, and its passes stay within their memory (`make test-asan`).
  @Test(arguments: 0..<12 as Range<UInt64>) func randomModels(_ seed: UInt64) throws {
    let model = try Model(RandomGraph(hyperpriorSeed: seed).file.file())
    let picture = Fixtures.formulaPicture(width: 11, height: 21)
    let encoder = Encoder(model: model)
    encoder.limits.macPerPixel = .infinity
    encoder.segmentRows = 8
    var settings = EncoderSettings(ratePoint: 0)
    settings.rdoq = .quick
    let encoded = try encoder.encode(picture, settings)
    let report = try #require(encoded.rdoq)
    #expect(report.finalCost <= report.initialCost)
    let decoder = Decoder(model: model)
    decoder.limits = encoder.limits
    #expect(try decoder.decode(encoded.bytes) == encoded.reconstruction)
  }

  /// A picture of several bands with filters: what the search's last measurement decodes on the way is what a decoder gives,
  /// after one round and after two.
  @Test(arguments: [(RDOQ.quick, 1), (.fast, 2)]) func severalBands(_ rdoq: RDOQ, threads: Int) throws {
    let picture = Fixtures.formulaPicture(width: 1100, height: 1000)
    #expect(picture.width * picture.height > DistortionMeter.bandSamples)
    var settings = EncoderSettings(ratePoint: 0)
    settings.rdoq = rdoq
    settings.rdoqShare = 0.1
    settings.execution.threads = threads
    let encoded = try encode(picture, model: Fixtures.tinyHyper, settings: settings)
    #expect(try decode(encoded.bytes, model: Fixtures.tinyHyper) == encoded.reconstruction)
  }

  @Test(arguments: 0..<12 as Range<UInt64>) func randomModelsOfInterFrames(_ seed: UInt64) throws {
    let model = try Model(RandomGraph(interSeed: seed).file.file())
    guard model.formats.contains(.yuv420) else { return }
    let settings = VideoTests.settings {
      $0.rdoq = .quick
      $0.intraRDOQ = .off
      $0.rate = .quality(0)
    }
    let encoder = try VideoEncoder(
      intra: Fixtures.tinyFormats, inter: model, width: 18, height: 20, settings)
    let decoder = try VideoDecoder(header: encoder.header, intra: Fixtures.tinyFormats, inter: model)
    encoder.limits.macPerPixel = .infinity
    decoder.limits.macPerPixel = .infinity
    for t in 0..<3 {
      let packet = try encoder.encode(Fixtures.movingFrame(t, width: 18, height: 20))
      #expect(try decoder.decode(packet.bytes)?.picture == encoder.reconstruction)
    }
  }
}
