// SPDX-License-Identifier: BSD-3-Clause

import Foundation
import Testing

@testable import SwiftCodec

/// Positions between rate points, and files of a given size or quality.
@Suite struct RateTests {
  static func settings(_ index: Int) -> EncoderSettings { EncoderSettings(position: RatePosition(index: index)) }

  @Test func positionsAndQualities() {
    let model = Fixtures.tiny
    #expect(RatePosition(ratePoint: 3, fraction: 5).index == 101)
    #expect(RatePosition(index: 101).ratePoint == 3 && RatePosition(index: 101).fraction == 5)
    #expect(RatePosition(index: 101).description == "3 + 5/32" && RatePosition(index: 96).description == "3")
    #expect(RatePosition(index: -1).ratePoint == -1)
    #expect(model.positions.lowerBound.index == 0 && model.positions.upperBound.index == 64)
    for index in 0...64 {
      let position = RatePosition(index: index)
      #expect(model.position(quality: model.quality(of: position)) == position)
      #expect(model.tablePoint(position) == (position.fraction == 0 ? position.ratePoint : position.ratePoint + 1))
      if index > 0 { #expect(model.lambda(at: position) > model.lambda(at: RatePosition(index: index - 1))) }
    }
    #expect(model.position(quality: -3).index == 0 && model.position(quality: 1000).index == 64)
    #expect(model.lambda(at: RatePosition(ratePoint: 1)) == Double(model.ratePoints[1].lambda))
    // Without width classes the tables are those of the nearer rate point.
    #expect(Fixtures.tinyHyper.tablePoint(RatePosition(index: 32 + 15)) == 1)
    #expect(Fixtures.tinyHyper.tablePoint(RatePosition(index: 32 + 16)) == 2)
    #expect(Fixtures.tinyHyper.weights.widthPoint(RatePosition(index: 32 + 1)) == 2)
  }

  /// Halving the exponent five times, against powers.
  @Test func geometricInterpolation() {
    var random = SplitMix(SplitMix.seed)
    let squares = (0..<1000).map { _ in Int64(random.below(1 << 31)) }.map { $0 * $0 }
    for x in [0, 1, 2, 3, 4, 8, 9, 1 << 62, 1 << 62 - 1] + squares + squares.map({ $0 + 1 }) {
      let root = Interpolation.squareRoot(x)
      #expect(root * root <= x && (root + 1) * (root + 1) > x)
    }
    for _ in 0..<2000 {
      let sign: Int64 = random.pick([-1, 1])
      let a = sign * Int64(random.int(1 << 16...1 << 31))
      let b = sign * Int64(random.int(1 << 16...1 << 31))
      let c = -a
      #expect(Interpolation.scale(a, b, 0) == a && Interpolation.scale(a, c, 0) == a)
      for f in 0..<32 {
        let (t, value) = (Double(f) / 32, Double(Interpolation.scale(a, b, f)))
        #expect(abs(value / (Double(a) * pow(Double(b) / Double(a), t)) - 1) < 1e-4)
        #expect((min(a, b)...max(a, b)).contains(Interpolation.scale(a, b, f)))
        let straight = Double(a) + t * (Double(c) - Double(a))
        #expect(abs(Double(Interpolation.scale(a, c, f)) - straight) <= 0.5)
      }
    }
  }

  /// Encodes at a position with every variant of the kernels, several numbers of threads and stripes: the same bytes and
  /// pixels.
  @Test(arguments: ["tiny", "hyper", "base", "embedded"]) func positionsRoundTrip(_ name: String) throws {
    let model =
      name == "tiny"
      ? Fixtures.tiny
      : name == "hyper" ? Fixtures.tinyHyper : name == "base" ? Fixtures.base : Fixtures.embedded
    var random = SplitMix(SplitMix.seed)
    let last = model.positions.upperBound.index
    let all =
      name == "embedded" || name == "base"
      ? [1, 40, last - 1] : [1, 2, 7, 15, 16, 17, 31, 33, 40, last - 16, last - 1]
    let encoder = Encoder(model: model)
    let decoder = Decoder(model: model)
    encoder.segmentRows = 8
    for index in all {
      let picture = Fixtures.randomPicture(random.int(20...60), random.int(40...90), random.pick([1, 3]), &random)
      let expected = try encoder.encode(picture, Self.settings(index))
      #expect(try BitstreamHeader(parsing: expected.bytes).position.index == index)
      for cpu in name == "embedded" || name == "base" ? [CPU.best] : CPU.available {
        for threads in [1, 3] {
          var settings = Self.settings(index)
          settings.execution.cpu = cpu
          settings.execution.threads = threads
          settings.execution.stripeRows = random.below(7)
          let encoded = try encoder.encode(picture, settings)
          let same = encoded.bytes == expected.bytes && encoded.reconstruction == expected.reconstruction
          #expect(same, "\(name), position \(index), \(cpu.name), \(threads) threads")
          decoder.execution = settings.execution
          decoder.execution.threads = 4 - threads
          let decoded = try decoder.decode(encoded.bytes) == expected.reconstruction
          #expect(decoded, "\(name), position \(index), \(cpu.name), \(4 - threads) threads")
        }
      }
    }
  }

  /// Networks at positions against NaiveNetwork, which interpolates from the text of model.md.
  @Test(arguments: cases(20, long: 120)) func equalsTheNaiveNetwork(_ number: Int) throws {
    // Of the graphs from this seed on, the first with positions between rate points.
    var seed = SplitMix.seed &* 3000 &+ 100 &* UInt64(number)
    while RandomGraph(seed: seed).file.ratePoints == 1 { seed &+= 1 }
    let graph = RandomGraph(seed: seed)
    let model = try NetworkTests.model(graph.file.file(), seed)
    var random = SplitMix(seed ^ 0xf00d)
    let unit = graph.unit
    for (role, description) in zip([GraphRole.analysis, .synthesis], graph.file.graphs) {
      let parsed = try #require(model.graph(role, .rgb))
      for _ in 0..<3 {
        let position = RatePosition(
          ratePoint: random.below(graph.file.ratePoints - 1), fraction: random.int(1...31))
        let (width, height) = (unit * random.int(1...(24 / unit)), unit * random.int(1...(24 / unit)))
        let input = NetworkTests.randomInput(
          description.inputs[0], graph.file, position.ratePoint + 1, width: width, height: height, &random)
        let naive = NaiveNetwork(file: graph.file, ratePoint: position.ratePoint, fraction: position.fraction)
        let expected = naive.run(description, [input]).values.map { Int16($0) }
        for cpu in CPU.available {
          let program = NetworkProgram(parsed, of: model.weights, at: position, cpu: cpu)
          var execution = Execution()
          execution.threads = random.int(1...3)
          let same = NetworkTests.run(program, input, width: width, height: height, execution) == expected
          #expect(same, "seed \(seed), \(role.name), position \(position.description), \(cpu.name)")
        }
      }
    }
  }

  @Test(arguments: ["base", "embedded"]) func rateGrowsWithThePosition(_ name: String) throws {
    let picture = try Fixtures.picture("weave")
    let model = name == "base" ? Fixtures.base : Fixtures.embedded
    let encoder = Encoder(model: model)
    var settings = Self.settings(0)
    settings.measuresDistortion = false
    var sizes: [Int] = []
    for index in stride(from: 0, through: model.positions.upperBound.index, by: 4) {
      settings.position = RatePosition(index: index)
      sizes.append(try encoder.encode(picture, settings).bytes.count)
    }
    for i in sizes.indices.dropFirst() { #expect(sizes[i] > sizes[i - 1], "position \(4 * i): \(sizes)") }
  }

  @Test func searchesBetweenRatePoints() throws {
    let picture = try Fixtures.picture("blobs")
    for (model, index) in [(Fixtures.base, 40), (Fixtures.base, 41), (Fixtures.tinyHyper, 21)] {
      var settings = Self.settings(index)
      settings.rdoq = .fast
      let encoded = try encode(picture, model: model, settings: settings)
      let report = try #require(encoded.rdoq)
      #expect(report.finalCost < report.initialCost && report.lambda == model.lambda(at: settings.position))
      let same = try decode(encoded.bytes, model: model) == encoded.reconstruction
      #expect(same)
    }
  }

  @Test func preparedPositionsAreBounded() throws {
    var prepared = PreparedModel(Fixtures.tinyHyper)
    let position = RatePosition(index: 5)
    let program = prepared.program(.synthesis, at: position, cpu: .best)
    for index in [0, 7, 32, 8, 9] {
      _ = prepared.segmentCodec(.static, at: RatePosition(index: index), cpu: .best)
      #expect(prepared.program(.synthesis, at: position, cpu: .best) === program)
    }
    for index in 0...64 { _ = prepared.program(.analysis, at: RatePosition(index: index), cpu: .best) }
    #expect(prepared.positionCount == 3 + PreparedModel.positionsKept)
    #expect(prepared.program(.synthesis, at: position, cpu: .best) !== program)
  }

  /// A modulated layer whose rate points are both within the limit, but what lies between them is not: large weights at
  /// one end, a large bias at the other.
  @Test func overflowBetweenRatePoints() {
    func file(_ weight: Int16, _ bias: (Int32, Int32), _ modulation: (Int16, Int16), exponent: Int8) -> [UInt8] {
      var file = ModelTests.small()
      let w = file.array([4, 1, 1, 4], .i16([Int16](repeating: weight, count: 16)))
      let e = file.array([2, 4], .i8([Int8](repeating: exponent, count: 8)))
      let b = file.array(
        [2, 4], .i32([Int32](repeating: bias.0, count: 4) + [Int32](repeating: bias.1, count: 4)))
      let m = file.array(
        [2, 4], .i16([Int16](repeating: modulation.0, count: 4) + [Int16](repeating: modulation.1, count: 4)))
      let latent = file.graphs[0].layers[1].output
      _ = file.graphs[0].append(
        .init(
          name: "modulated",
          operation: .convolution(
            .init(kh: 1, kw: 1, stride: 1, border: 0, weights: w, exponents: e, bias: b, modulation: m)),
          inputs: [2], output: latent))
      return file.file()
    }
    // 4 · 32767 · 2^12 = 0.25 · 2^31 of weights.
    #expect(ModelTests.error(file(32767, (2_000_000_000, 0), (0, 16384), exponent: 20)) == nil)
    #expect(ModelTests.error(file(32767, (1_500_000_000, 1_500_000_000), (0, 16384), exponent: 20)) == nil)
    // At a shift of 1 there is none that is less by one.
    guard case .overflow(_, _, let bound) = ModelTests.error(file(32767, (2_000_000_000, 0), (0, 16384), exponent: 1))
    else {
      Issue.record("an overflow between rate points is accepted")
      return
    }
    #expect(bound == 2_000_000_000 + 4 * 32767 << 12 + 1)
    // Either alone is right.
    #expect(ModelTests.error(file(32767, (0, 0), (0, 16384), exponent: 1)) == nil)
    #expect(ModelTests.error(file(32767, (2_000_000_000, 0), (0, 0), exponent: 1)) == nil)
  }

  /// All positions of random modulated channels keep the limit that was checked at their ends.
  @Test func positionsKeepTheLimit() throws {
    var random = SplitMix(SplitMix.seed)
    var checked = 0
    for _ in 0..<300 {
      let weights = (0..<random.int(1...20)).map { _ in Int16(random.int(-32768...32767)) }
      let scales = (Int16(random.int(-16384...16384)), Int16(random.int(-16384...16384)))
      let shifts = (UInt8(random.int(1...30)), UInt8(random.int(1...30)))
      let biases = (Int32(random.int(-1 << 30...1 << 30)), Int32(random.int(-1 << 30...1 << 30)))
      let bits = random.int(1...15)
      let stored = weights.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)] }
      let file = FileArray<Int16>(
        stored.withUnsafeBufferPointer { FileBytes(copying: $0) }, at: 0, count: weights.count)
      #expect(Array(file) == weights)
      let magnitudes = file.magnitudes(from: 0, count: weights.count)
      #expect(magnitudes == weights.reduce(0) { $0 + Int64($1.magnitude) })
      let (s, bound) = ConvolutionWeights.shiftBetween(
        scales, shifts, biases, ConvolutionWeights.Row(file, 0, weights.count, 1, 1), sum: magnitudes, inputBits: bits,
        leakyShift: 0)
      if s == 0 { continue }
      checked += 1
      for f in 1..<32 {
        let scale = Interpolation.scale(
          Interpolation.aligned(scales.0, shifts.0, to: s), Interpolation.aligned(scales.1, shifts.1, to: s), f)
        let bias = Interpolation.straight(
          Interpolation.aligned(biases.0, shifts.0, to: s), Interpolation.aligned(biases.1, shifts.1, to: s), f)
        let m = Int16(Interpolation.rounded(scale: scale))
        let sum = weights.reduce(0) { $0 + abs(Int(ConvolutionWeights.modulated($1, by: m))) }
        let most = abs(Int(Interpolation.rounded(bias: bias))) + sum << bits + 1 << (Int(s) - 1)
        #expect(most <= Int(bound))
      }
    }
    #expect(checked > 30, "seed \(SplitMix.seed)")
  }

  @Test func targetsAreReached() throws {
    let picture = try Fixtures.picture("blobs")
    let encoder = Encoder(model: Fixtures.base)
    let last = Fixtures.base.positions.upperBound.index
    var settings = EncoderSettings(ratePoint: 0)
    let worst = try encoder.encode(picture, settings)
    let smallest = worst.bytes.count
    settings.position = RatePosition(index: last)
    let best = try encoder.encode(picture, settings)
    let largest = best.bytes.count

    for bytes in [smallest, (smallest + largest) / 3, largest - 1, largest, 10 * largest] {
      let encoded = try encoder.encode(picture, settings, target: .bytes(bytes))
      #expect(encoded.bytes.count <= bytes && encoded.reconstruction != nil)
      if encoded.position.index < last {
        let next = try encoder.encode(picture, Self.settings(encoded.position.index + 1))
        #expect(next.bytes.count > bytes)
      }
      #expect(try BitstreamHeader(parsing: encoded.bytes).position == encoded.position)
      let bits = Double(8 * bytes) / Double(picture.width * picture.height)
      #expect(try encoder.encode(picture, settings, target: .bitsPerPixel(bits)).bytes == encoded.bytes)
    }
    for psnr in [1, (2 * worst.psnr! + best.psnr!) / 3, (worst.psnr! + best.psnr!) / 2, best.psnr!] {
      let encoded = try encoder.encode(picture, settings, target: .psnr(psnr))
      #expect(encoded.psnr! >= psnr)
      if encoded.position.index > 0 {
        let below = try encoder.encode(picture, Self.settings(encoded.position.index - 1))
        #expect(below.psnr! < psnr)
      }
    }
    #expect(throws: EncodeError.target(.bytes(smallest - 1), nearest: Double(smallest))) {
      try encoder.encode(picture, settings, target: .bytes(smallest - 1))
    }
    // What the networks do not reach a residual layer does.
    for impossible in [99, Double.nan] {
      let isExact = try encoder.encode(picture, settings, target: .psnr(impossible)).squaredError == 0
      #expect(isExact)
    }
    for impossible in [EncoderTarget.bitsPerPixel(.nan), .bitsPerPixel(-1), .bytes(-5)] {
      #expect(throws: EncodeError.self) { try encoder.encode(picture, settings, target: impossible) }
    }
  }
}
