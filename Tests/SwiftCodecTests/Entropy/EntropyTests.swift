// SPDX-License-Identifier: BSD-3-Clause

import CCodecKernels
import Testing

@testable import SwiftCodec
@testable import SwiftCodecFitting

/// Entropy models on made-up latents: the coder against the definition in docs/format, hostile payloads, fitting.
@Suite struct EntropyTests {
  // MARK: Made-up models and latents

  static func randomCDF(_ random: inout SplitMix) -> CDF {
    let n = random.pick([2, 3, 9, 16, 17, 33, 100, 255, 256])
    var weights = (0..<n).map { _ in Double(1 + random.below(random.pick([2, 50, 5000]))) }
    if random.below(4) == 0 { weights[random.below(n)] = 1e6 }
    let total = weights.reduce(0, +)
    var frequencies = weights.map { max(1, Int($0 / total * Double(32768 - n))) }
    frequencies[random.below(n)] += 32768 - frequencies.reduce(0, +)
    let minimum = random.pick([-n / 2, -n / 2, 0, -32768, 32767 - n + 2])
    return CDF(minimum: minimum, frequencies: frequencies.map { UInt16($0) })
  }

  static func randomTable(_ rule: MagnitudeRule, channels: Int, _ random: inout SplitMix) -> EntropyTable {
    let cdfs = (0..<random.int(1...12)).map { _ in randomCDF(&random) }
    var order = Array(0..<channels)
    order.shuffle(using: &random)
    var contexts = [ChannelContexts](repeating: ChannelContexts(cdf: [0]), count: channels)
    for (position, c) in order.enumerated() {
      let earlier = Array(order[0..<position])
      var phases = 1
      if case .table = rule, random.below(2) == 0 {
        let bits = random.int(0...3)
        let sources = earlier.shuffled(using: &random).prefix(random.below(3)).map { channel in
          MeanSource(channel: channel, weights: (0..<9).map { _ in random.int(-700...700) })
        }
        contexts[c].mean = MeanPredictor(
          weights: (0..<6).map { _ in random.int(-2000...2000) }, sources: Array(sources),
          shift: random.int(max(1, bits)...15), phaseBits: bits)
        phases = 1 << bits
      }
      var levels = 1
      if case .none = rule {} else { levels = random.pick([1, 2, 4, 11, 64]) }
      contexts[c].low = random.pick([-32768, -2, 0, 3])
      contexts[c].high = contexts[c].low + random.int(1...4)
      if levels > 1 {
        let most = min(127, 65535 / max(1, rule.maximum) / (6 + 9 * 3))
        func weights(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(random.int(0...most)) } }
        contexts[c].weights = weights(6)
        for channel in earlier.shuffled(using: &random).prefix(random.below(3)) {
          contexts[c].sources.append(ContextSource(channel: channel, weights: weights(9)))
        }
        if random.below(2) == 0 {
          contexts[c].sources.append(ContextSource(channel: ContextSource.previousActive, weights: weights(9)))
        }
        contexts[c].shift = random.int(0...8)
        contexts[c].bounds = (1..<levels).map { _ in random.int(1...1023) }.sorted()
      }
      contexts[c].cdf = (0..<(levels * phases)).map { _ in random.below(cdfs.count) }
    }
    return EntropyTable(
      mode: (0..<channels).map { _ in random.pick([0, 0, -3, 32767]) },
      active: (0..<channels).map { _ in random.int(1...32767) }, order: order, cdfs: cdfs, channels: contexts)
  }

  static func rules(_ random: inout SplitMix) -> [MagnitudeRule] {
    let table = (0..<64).map { _ in UInt8(random.below(128)) }.sorted()
    return [.none, .threshold, .table((0..<64).map { UInt8(min($0, 31)) }), .table(table)]
  }

  static func randomValues(_ table: EntropyTable, _ size: Int, _ random: inout SplitMix) -> [Int16] {
    (0..<table.channelCount).flatMap { c -> [Int16] in
      switch random.below(5) {
      case 0: return [Int16](repeating: Int16(table.mode[c]), count: size)
      case 1: return (0..<size).map { _ in Int16(truncatingIfNeeded: random.below(65536)) }
      case 2: return (0..<size).map { _ in random.pick([-32768, 32767, 0]) }
      default: return (0..<size).map { _ in Int16(random.int(-9...9) * random.below(2)) }
      }
    }
  }

  static func encoded(_ coder: EntropyCoder, _ values: [Int16], _ width: Int, _ height: Int) -> ([UInt8], Double) {
    var values = values
    return values.withUnsafeMutableBufferPointer {
      let result = coder.encode(width: width, height: height, values: $0.baseAddress!)
      return (result.payload, result.bits)
    }
  }

  static func decoded(_ coder: EntropyCoder, _ payload: [UInt8], _ width: Int, _ height: Int) -> [Int16]? {
    var values = [Int16](repeating: 0x5555, count: coder.table.channelCount * width * height)
    let whole = values.withUnsafeMutableBufferPointer {
      coder.decode(
        payload: payload, in: 0..<payload.count, width: width, height: height, values: $0.baseAddress!)
    }
    return whole ? values : nil
  }

  // MARK: model.md §8, literally

  /// A symbol: its first slot, its frequency, and the lane it is on.
  typealias Symbol = (start: Int, frequency: Int, lane: Int)

  /// The symbols of a segment in the order of the bitstream, sample by sample from the definition (§1.6, §2.1).
  static func definedSymbols(
    _ table: EntropyTable, _ rule: MagnitudeRule, _ values: [Int16], _ width: Int, _ height: Int
  ) -> [Symbol] {
    let size = width * height
    func value(_ c: Int, _ y: Int, _ x: Int) -> Int { Int(values[c * size + y * width + x]) }
    /// A neighbour in the same channel; nil for 0.
    func causal(_ y: Int, _ x: Int) -> (y: Int, x: Int)? {
      if y < 0 { return x + 2 * y >= 0 ? (0, x + 2 * y) : nil }
      if x < 0 { return y > 0 ? causal(y - 1, 0) : nil }
      return (y, min(x, width - 1))
    }
    let neighbours = [(0, -1), (0, -2), (-1, -1), (-1, 0), (-1, 1), (-2, 0)]
    func around(_ y: Int, _ x: Int, _ k: Int) -> (y: Int, x: Int) {
      (min(max(y + k / 3 - 1, 0), height - 1), min(max(x + k % 3 - 1, 0), width - 1))
    }
    let active = (0..<table.channelCount).map { c in
      values[(c * size)..<((c + 1) * size)].contains { Int($0) != table.mode[c] }
    }
    func split(_ c: Int, _ y: Int, _ x: Int) -> (residual: Int, phase: Int) {
      guard let mean = table.channels[c].mean else { return (value(c, y, x), 0) }
      var sum = 0
      for (w, (dy, dx)) in zip(mean.weights, neighbours) {
        if let at = causal(y + dy, x + dx) { sum += w * value(c, at.y, at.x) }
      }
      for source in mean.sources where active[source.channel] {
        for k in 0..<9 {
          let at = around(y, x, k)
          sum += source.weights[k] * value(source.channel, at.y, at.x)
        }
      }
      let (offset, phase) = mean.split(sum)
      return (Int(Int16(truncatingIfNeeded: value(c, y, x) - offset)), phase)
    }
    func magnitude(_ c: Int, _ y: Int, _ x: Int) -> Int {
      switch rule {
      case .none: return 0
      case .threshold:
        return table.channels[c].low..<max(table.channels[c].low, table.channels[c].high) ~= value(c, y, x) ? 0 : 1
      case .table(let entries): return Int(entries[min(abs(split(c, y, x).residual), 63)])
      }
    }
    var symbols: [Symbol] = []
    var isCausal = true
    func append(_ value: Int, of cdf: CDF, lane: Int) {
      let escape = cdf.frequencies.count - 1
      let i = cdf.minimum..<(cdf.minimum + escape) ~= value ? value - cdf.minimum : escape
      symbols.append((cdf.frequencies[..<i].reduce(0) { $0 + Int($1) }, Int(cdf.frequencies[i]), lane))
      guard i == escape else { return }
      func append(_ value: Int, bits: Int) { symbols.append((value << (15 - bits), 32768 >> bits, lane)) }
      let above = value - cdf.minimum - escape
      let e = above >= 0 ? 2 * above : 2 * (cdf.minimum - 1 - value) + 1
      let length = Int.bitWidth - e.leadingZeroBitCount
      append(length, bits: 5)
      var left = max(0, length - 1)
      while left > 0 {
        let bits = min(15, left)
        left -= bits
        append(e >> left & ((1 << bits) - 1), bits: bits)
      }
    }
    for (i, c) in table.order.enumerated() {
      let one = table.active[c]
      symbols.append(active[c] ? (32768 - one, one, i % 4) : (0, 32768 - one, i % 4))
    }
    let period = max(width, 16)
    func step(_ at: (y: Int, x: Int)) -> Int { at.y / 8 * period + 2 * (at.y % 8) + at.x }
    let walk = (0..<size).map { (y: $0 / width, x: $0 % width) }
      .sorted { (step($0), $0.y % 8) < (step($1), $1.y % 8) }
    var previous = -1
    for c in table.order where active[c] {
      let contexts = table.channels[c]
      for (y, x) in walk {
        var sum = 0
        for (w, (dy, dx)) in zip(contexts.weights, neighbours) {
          if let at = causal(y + dy, x + dx) {
            isCausal = isCausal && step(at) < step((y, x))
            sum += Int(w) * magnitude(c, at.y, at.x)
          }
        }
        for source in contexts.sources {
          let from = source.channel == ContextSource.previousActive ? previous : source.channel
          guard from >= 0, active[from] else { continue }
          for k in 0..<9 where source.weights[k] > 0 {
            let at = around(y, x, k)
            sum += Int(source.weights[k]) * magnitude(from, at.y, at.x)
          }
        }
        let shifted = min(1023, sum >> contexts.shift)
        let level = contexts.bounds.count { $0 <= shifted }
        let (residual, phase) = split(c, y, x)
        let cdf = table.cdfs[contexts.cdf[level << (contexts.mean?.phaseBits ?? 0) + phase]]
        append(residual, of: cdf, lane: y % 4)
      }
      previous = c
    }
    #expect(isCausal)
    return symbols
  }

  static func bits(_ symbols: [Symbol]) -> Double {
    symbols.reduce(0) { $0 + 15 - binaryLogarithm(Double($1.frequency)) }
  }

  /// The rANS coder of §2.1, turned round.
  static func payload(_ symbols: [Symbol]) -> [UInt8] {
    var states = [Int](repeating: 1 << 16, count: 4)
    var words: [Int] = []
    for (start, frequency, lane) in symbols.reversed() {
      if states[lane] >= frequency << 17 {
        words.append(states[lane] & 0xffff)
        states[lane] >>= 16
      }
      states[lane] = (states[lane] / frequency) << 15 + states[lane] % frequency + start
    }
    let all = states.flatMap { [$0 & 0xffff, $0 >> 16] } + words.reversed()
    return all.flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }
  }

  static let sizes = [(1, 1), (1, 9), (9, 1), (2, 2), (3, 7), (15, 8), (16, 9), (17, 3), (23, 16), (40, 5)]

  @Test(arguments: 0..<12) func roundTripsAsDefined(seed: Int) throws {
    var random = SplitMix.test(UInt64(seed) &* 7919 &+ 1)
    for rule in Self.rules(&random) {
      for (width, height) in Self.sizes {
        let table = Self.randomTable(rule, channels: random.int(1...5), &random)
        let coder = EntropyCoder(table, rule)
        let values = Self.randomValues(table, width * height, &random)
        let (payload, bits) = Self.encoded(coder, values, width, height)
        #expect(Self.decoded(coder, payload, width, height) == values, "\(rule) \(width)×\(height)")
        let symbols = Self.definedSymbols(table, rule, values, width, height)
        let defined = Self.bits(symbols)
        let isDefined = payload == Self.payload(symbols)
        #expect(isDefined, "\(rule) \(width)×\(height)")
        #expect(abs(bits - defined) < 1e-6 * defined + 1e-6, "\(rule) \(width)×\(height)")
        #expect(Double(8 * payload.count) >= bits - 1)
        #expect(Double(8 * payload.count) < 1.001 * bits + 8 * 16 + 64)
      }
    }
  }

  /// Every width around the walk's period and every number of rows in its last group, with every kind of model.
  @Test(arguments: 1...70) func everySize(width: Int) throws {
    var random = SplitMix.test(UInt64(width) &* 104729)
    let rules = Self.rules(&random)
    let tables = rules.map { Self.randomTable($0, channels: 2, &random) }
    let coders = zip(tables, rules).map { EntropyCoder($0, $1) }
    // All heights in the long run, every second one else: all widths together see each of them.
    for height in 1...20 where cases(0, long: 1).count == 1 || (height + width / 2) % 2 == 0 {
      for (i, rule) in rules.enumerated() {
        let values = Self.randomValues(tables[i], width * height, &random)
        let (payload, _) = Self.encoded(coders[i], values, width, height)
        let isBack = Self.decoded(coders[i], payload, width, height) == values
        #expect(isBack, "\(rule) \(width)×\(height)")
        guard height % 4 == (i + width) % 4 else { continue }
        let isDefined = payload == Self.payload(Self.definedSymbols(tables[i], rule, values, width, height))
        #expect(isDefined, "\(rule) \(width)×\(height)")
      }
    }
  }

  @Test func everyValueRoundTrips() throws {
    let values = (-32768...32767).map { Int16($0) }
    var random = SplitMix.test(11)
    for rule in Self.rules(&random) {
      for _ in 0..<4 {
        let coder = EntropyCoder(Self.randomTable(rule, channels: 1, &random), rule)
        let (payload, _) = Self.encoded(coder, values, 256, 256)
        #expect(Self.decoded(coder, payload, 256, 256) == values)
      }
    }
  }

  /// A long payload is as good as its ideal length.
  @Test func payloadIsIdeal() throws {
    var random = SplitMix(3)
    let cdf = CDF(Histogram(minimum: -3, counts: [1, 20, 300, 4000, 300, 20, 1]), parent: nil, strength: 0)
    let table = EntropyTable(
      mode: [0], active: [32767], order: [0], cdfs: [cdf], channels: [ChannelContexts(cdf: [0])])
    let values = (0..<65536).map { _ in Int16(random.below(16) == 0 ? random.int(-2...2) : 0) }
    let (payload, bits) = Self.encoded(EntropyCoder(table, .none), values, 256, 256)
    #expect(Double(8 * payload.count) < 1.0005 * bits + 8 * 16)
  }

  // MARK: Hostile payloads

  @Test(arguments: 0..<4) func damagedPayloads(rule: Int) throws {
    var random = SplitMix.test(UInt64(rule) + 100)
    let rule = Self.rules(&random)[rule]
    let table = Self.randomTable(rule, channels: 4, &random)
    let coder = EntropyCoder(table, rule)
    let (width, height) = (11, 9)
    let values = Self.randomValues(table, width * height, &random)
    let (payload, _) = Self.encoded(coder, values, width, height)
    // Less is always noticed, and so is more.
    for count in 0..<payload.count { #expect(Self.decoded(coder, Array(payload[..<count]), width, height) == nil) }
    #expect(Self.decoded(coder, payload + [0, 0], width, height) == nil)
    // Anything else is an error or some other values: what counts is that it ends.
    for bit in 0..<(8 * payload.count) {
      var changed = payload
      changed[bit / 8] ^= 1 << UInt8(bit % 8)
      _ = Self.decoded(coder, changed, width, height)
    }
    for _ in 0..<200 {
      let noise = (0..<random.int(0...400)).map { _ in UInt8(random.below(256)) }
      _ = Self.decoded(coder, noise, width, height)
    }
  }

  // MARK: Pieces

  @Test(arguments: CPU.available) func sumsAreThoseOfPlainC(_ cpu: CPU) throws {
    let kernels = [cpu.kernels.pointee, sc_kernels_get(SC_CPU_SCALAR).pointee]
    var random = SplitMix.test(17)
    for (width, height) in [(1, 1), (1, 40), (15, 4), (16, 3), (17, 5), (31, 2), (48, 9), (67, 3)] {
      for count in [0, 1, 3, 16] {
        let size = (width + 4) * (height + 4)
        let slack = Int(SC_PLANE_SLACK)
        let planes = (0..<(count * size + slack)).map { _ in UInt8(random.below(128)) }
        let weights = (0..<(count * 9)).map { _ in UInt8(random.below(2) == 0 ? 0 : random.below(128)) }
        let scales = (0..<(width * height)).map { _ in UInt8(random.below(256)) }
        let samples = (0..<(count * size + slack)).map { _ in Int16(truncatingIfNeeded: random.below(65536)) }
        let most = 32767 / max(1, 9 * count)
        let signed = (0..<(count * 9)).map { _ in Int16(random.below(2) == 0 ? 0 : random.int(-most...most)) }
        let places = 8 * sc_wavefront_of(Int32(width), Int32(height)).line
        let scratch = AlignedBuffer<UInt8>(count: sc_plane_scratch(Int32(width), Int32(height)), zero: 0)
        var sums = [[UInt16]](repeating: [UInt16](repeating: 1, count: places), count: 2)
        var means = [[Int32]](repeating: [Int32](repeating: 1, count: places), count: 2)
        planes.withUnsafeBufferPointer { planes in
          weights.withUnsafeBufferPointer { weights in
            let sources = (0..<count).map {
              sc_context_source(magnitudes: planes.baseAddress! + $0 * size, weight: weights.baseAddress! + 9 * $0)
            }
            let (w, h, n) = (Int32(width), Int32(height), Int32(count))
            let scale = count == 3 ? nil : scales
            for i in 0..<2 { kernels[i].context_base(&sums[i], w, h, sources, n, scale, 3, scratch.base) }
          }
        }
        samples.withUnsafeBufferPointer { samples in
          signed.withUnsafeBufferPointer { weights in
            let sources = (0..<count).map {
              sc_mean_source(samples: samples.baseAddress! + $0 * size, weight: weights.baseAddress! + 9 * $0)
            }
            let (w, h, n) = (Int32(width), Int32(height), Int32(count))
            for i in 0..<2 { kernels[i].mean_base(&means[i], w, h, sources, n, scratch.base) }
          }
        }
        #expect(sums[0] == sums[1] && means[0] == means[1], "\(width)×\(height), \(count) sources")
      }
    }
  }

  @Test func frequenciesSumUp() throws {
    var random = SplitMix.test(23)
    for _ in 0..<300 {
      let n = random.int(1...400)
      let scale = random.pick([0, 1, 30, 1_000_000])
      let counts = (0..<n).map { _ in random.below(2) == 0 ? 0 : Double(random.int(0...scale)) }
      let histogram = Histogram(minimum: random.int(-200...0), counts: counts)
      let parent = random.below(2) == 0 ? Self.randomCDF(&random) : nil
      let cdf = CDF(histogram, parent: parent, strength: 8)
      #expect(2...256 ~= cdf.frequencies.count)
      #expect(cdf.frequencies.allSatisfy { $0 >= 1 })
      #expect(cdf.frequencies.reduce(0) { $0 + Int($1) } == 32768)
      #expect(cdf.minimum >= histogram.minimum)
    }
  }

  @Test func sectionsRoundTrip() throws {
    var random = SplitMix.test(29)
    for rule in Self.rules(&random) {
      let kind: EntropyKind =
        if case .none = rule { .static } else if case .threshold = rule { .threshold } else { .weighted }
      let tables = (0..<3).map { _ in Self.randomTable(rule, channels: 4, &random) }
      let bytes = EntropyModel(kind: kind, magnitude: rule, tables: tables).serialised()
      let place = ModelLocation(section: "ENTR", item: "")
      let file = bytes.withUnsafeBufferPointer { FileBytes(copying: $0) }
      var reader = ByteReader<ModelError>(file.bytes, in: 0..<bytes.count) { .truncated(place, offset: $0) }
      let back = try EntropyModel.parse(&reader, of: file, [4, 4, 4], hyperWidths: nil)
      #expect(reader.isAtEnd)
      #expect(back.serialised() == bytes)
      for count in 0..<bytes.count {
        var reader = ByteReader<ModelError>(file.bytes, in: 0..<count) { .truncated(place, offset: $0) }
        #expect(throws: ModelError.self) { try EntropyModel.parse(&reader, of: file, [4, 4, 4], hyperWidths: nil) }
      }
    }
  }

  // MARK: Fitting

  /// Channels whose variance follows a common map, the first with a smooth mean.
  static func corpus(channels: Int, pictures: Int, _ random: inout SplitMix) -> (LatentCorpus, [[Int16]]) {
    var corpus = LatentCorpus(channels: channels)
    var all: [[Int16]] = []
    let (width, height) = (24, 19)
    for _ in 0..<pictures {
      let phase = random.below(100)
      let values = (0..<channels).flatMap { c in
        (0..<(width * height)).map { i -> Int16 in
          let (y, x) = (i / width, i % width)
          let loud = (x + phase) / 8 % 2 == 0
          let noise = random.int(-4...4) * random.below(2) / (loud ? 1 : 4) / (1 + c / 2)
          return Int16((c == 0 ? (x * x + y * (phase - 50)) / 12 : 0) + noise)
        }
      }
      values.withUnsafeBufferPointer { corpus.append($0.baseAddress!, width: width, height: height) }
      all.append(values)
    }
    return (corpus, all)
  }

  @Test func fitsAreWhatTheCoderDoes() throws {
    var random = SplitMix(31)
    let (corpus, pictures) = Self.corpus(channels: 6, pictures: 24, &random)
    let fitter = EntropyFitter(corpus, threads: 2)
    var costs: [Double] = []
    for kind in [EntropyKind.static, .threshold, .weighted] {
      let fit = fitter.fit(kind)
      let coder = EntropyCoder(fit.table, fit.magnitude)
      var bits = 0.0
      for values in pictures {
        let (payload, ideal) = Self.encoded(coder, values, 24, 19)
        #expect(Self.decoded(coder, payload, 24, 19) == values)
        bits += ideal
      }
      let predicted = fitter.bits(fit)
      #expect(abs(bits - predicted) < 1e-6 * bits, "\(kind.name): \(bits), predicted \(predicted)")
      let last = try #require(fit.steps.last)
      #expect(abs(bits - last.bits) < 1e-6 * bits, "\(kind.name): \(bits), reported \(last.bits)")
      costs.append(bits)
    }
    #expect(costs[1] < costs[0])
    #expect(costs[2] < 0.9 * costs[1])
  }

  /// The result depends on neither the threads nor the run.
  @Test func fitsAreDeterministic() throws {
    var random = SplitMix(37)
    let (corpus, _) = Self.corpus(channels: 4, pictures: 8, &random)
    for kind in [EntropyKind.threshold, .weighted] {
      let fits = [1, 3].map { EntropyFitter(corpus, threads: $0).fit(kind) }
      let sections = fits.map { EntropyModel(kind: kind, magnitude: $0.magnitude, tables: [$0.table]).serialised() }
      #expect(sections[0] == sections[1])
    }
  }

  /// A picture of constant channels, and one of a single sample.
  @Test func fitsDegenerateCorpora() throws {
    for size in [1, 12] {
      var corpus = LatentCorpus(channels: 3)
      let values = [Int16](repeating: 0, count: 2 * size) + [Int16](repeating: 7, count: size)
      values.withUnsafeBufferPointer { corpus.append($0.baseAddress!, width: size, height: 1) }
      for kind in [EntropyKind.static, .threshold, .weighted] {
        let fit = EntropyFitter(corpus, threads: 1).fit(kind)
        let coder = EntropyCoder(fit.table, fit.magnitude)
        let other = (0..<(3 * size)).map { Int16($0 - 3) }
        #expect(Self.decoded(coder, Self.encoded(coder, other, size, 1).0, size, 1) == other)
      }
    }
  }

  @Test func modelFilesTakeFittedModels() throws {
    let model = Fixtures.tiny
    try #require(model.entropyKinds.contains(.static))
    let analyser = LatentAnalyser(model: model)
    let kinds: [EntropyKind] = [.static, .threshold, .weighted]
    var fits = [[FittedEntropy]](repeating: [], count: kinds.count)
    for k in model.ratePoints.indices {
      var set = FittingSet(model: model, ratePoint: k)
      for width in [40, 64] {
        analyser.add(Fixtures.formulaPicture(width: width, height: 48), ratePoint: k, to: &set)
      }
      let fitter = EntropyFitter(set, threads: 1)
      for (i, kind) in kinds.enumerated() { fits[i].append(fitter.fit(kind)) }
    }
    let bytes = try modelFile(Fixtures.tinyBytes, replacingEntropyBy: fits)
    let fitted = try Model(bytes)
    #expect(fitted.entropyKinds.filter { kinds.contains($0) } == kinds)
    // Again gives the same file.
    #expect(try modelFile(bytes, replacingEntropyBy: fits) == bytes)
    let picture = Fixtures.formulaPicture(width: 61, height: 43)
    for kind in kinds {
      var settings = EncoderSettings(ratePoint: 0)
      settings.entropy = kind
      let encoded = try Encoder(model: fitted).encode(picture, settings)
      #expect(try Decoder(model: fitted).decode(encoded.bytes) == encoded.reconstruction)
    }
  }

  /// With a hyperprior: what fitting reports is what the encoder then spends, whatever the number of threads.
  @Test func fitsWithAHyperprior() throws {
    let model = Fixtures.tinyHyper
    let pictures = try ["scene", "weave", "gradient", "noise-17x33"].map { try Fixtures.picture($0) }
    let kinds: [EntropyKind] = [.static, .weighted]
    let analyser = LatentAnalyser(model: model)
    var fits = [[FittedEntropy]](repeating: [], count: kinds.count)
    for k in model.ratePoints.indices {
      var set = FittingSet(model: model, ratePoint: k)
      for picture in pictures { analyser.add(picture, ratePoint: k, to: &set) }
      var together = FittingSet(model: model, ratePoint: k)
      var execution = Execution()
      execution.threads = 3
      analyser.add(pictures, ratePoint: k, to: &together, execution: execution)
      #expect(together.latents.values == set.latents.values && together.latents.scales == set.latents.scales)
      #expect(together.latents.sizes.elementsEqual(set.latents.sizes, by: ==))
      #expect(together.hyperLatents?.values == set.hyperLatents?.values)
      let old = try #require(FittedEntropy(.static, of: model, ratePoint: k))
      var costs = [EntropyFitter(set, threads: 1).bits(old)]
      for (i, kind) in kinds.enumerated() {
        let both = [1, 3].map { EntropyFitter(set, threads: $0).fit(kind) }
        let sections = both.map { fit in
          EntropyModel(
            kind: kind, magnitude: fit.magnitude, hyperTables: fit.hyperTable.map { [$0] } ?? [], tables: [fit.table]
          ).serialised()
        }
        #expect(sections[0] == sections[1])
        let bits = EntropyFitter(set, threads: 2).bits(both[0])
        let last = try #require(both[0].steps.last)
        #expect(abs(last.bits - bits) < 1e-9 * bits)
        costs.append(bits)
        fits[i].append(both[0])
      }
      #expect(costs[2] < costs[1] && costs[1] < costs[0], "rate point \(k): \(costs)")
      #expect(fits[0][k].table.channels.allSatisfy { $0.mean == nil })
    }
    // What follows covers means, those with sources among them, and a hyper-latent with contexts.
    #expect(fits[1].contains { $0.table.channels.contains { $0.mean != nil } })
    #expect(fits[1].contains { $0.table.channels.contains { $0.mean?.sources.isEmpty == false } })
    #expect(fits[1].contains { $0.hyperTable?.channels.contains { $0.levels > 1 || $0.mean != nil } == true })
    let fitted = try Model(modelFile(Fixtures.bytes("models/tiny-hyper.scm"), replacingEntropyBy: fits))
    #expect(fitted.entropyKinds == kinds)
    for (i, kind) in kinds.enumerated() {
      for k in fitted.ratePoints.indices {
        var settings = EncoderSettings(ratePoint: k)
        settings.entropy = kind
        settings.hasDeadZone = false
        settings.filters = false
        var bits = 0.0
        for picture in pictures {
          let encoded = try Encoder(model: fitted).encode(picture, settings)
          #expect(try Decoder(model: fitted).decode(encoded.bytes) == encoded.reconstruction)
          // One says that there is no filter.
          bits += encoded.idealBits - 1
        }
        let predicted = try #require(fits[i][k].steps.last).bits
        #expect(abs(bits - predicted) < 1e-6 * bits, "\(kind.name), rate point \(k): \(bits), predicted \(predicted)")
      }
    }
  }
}
