// SPDX-License-Identifier: BSD-3-Clause

/// Which of a model's entropy models codes the latent. A stronger one has a larger raw value, which is that of model files
/// and bitstreams.
public enum EntropyKind: UInt8, CaseIterable, Sendable {
  /// One CDF a channel.
  case `static` = 0
  /// Four contexts a channel: left, top and the previous channel against thresholds (Galpin et al., equation 3).
  case threshold = 1
  /// A weighted sum of neighbouring magnitudes, here and in earlier channels, chooses the CDF.
  case weighted = 2

  /// As the command line spells it.
  public var name: StaticString {
    switch self {
    case .static: "static"
    case .threshold: "threshold"
    case .weighted: "weighted"
    }
  }
}

/// A distribution over minimum … minimum + frequencies.count − 2 and, last, the escape, after which any other value follows.
package struct CDF: Sendable {
  /// The least value that is not escaped, int16.
  package var minimum: Int
  /// 2…256 of them, each ≥ 1, together 2^15.
  package var frequencies: [UInt16]

  /// Unchecked: `Model` checks what it reads.
  package init(minimum: Int, frequencies: [UInt16]) {
    self.minimum = minimum
    self.frequencies = frequencies
  }

  /// Ideal code length of a value, with what follows an escape.
  package func bits(_ value: Int) -> Double {
    let i = value - minimum
    let escape = frequencies.count - 1
    if i >= 0, i < escape { return ContextRule.bits(frequency: Int(frequencies[i])) }
    let beyond = ContextRule.escapeBits(i < 0 ? i : i - escape)
    return ContextRule.bits(frequency: Int(frequencies[escape])) + Double(beyond)
  }
}

/// The magnitudes of a channel coded before, weighted, that take part in a context.
package struct ContextSource: Sendable {
  /// `ContextSource.previousActive`: the last active channel before this one.
  package var channel: Int
  /// 3×3, row by row, 0…127.
  package var weights: [UInt8]

  /// Stands for the last active channel in coding order.
  package static let previousActive = 65535

  /// Unchecked, as above.
  package init(channel: Int, weights: [UInt8]) {
    self.channel = channel
    self.weights = weights
  }
}

/// The values of a channel coded before, weighted, that take part in a mean.
package struct MeanSource: Sendable {
  /// Earlier in coding order.
  package var channel: Int
  /// 3×3, row by row, int16.
  package var weights: [Int]

  /// Unchecked, as above.
  package init(channel: Int, weights: [Int]) {
    self.channel = channel
    self.weights = weights
  }
}

/// A linear prediction of a channel's samples.
package struct MeanPredictor: Sendable {
  /// Of the causal neighbours (`ContextRule.causalOffsets`), int16.
  package var weights: [Int]
  /// At most 16.
  package var sources: [MeanSource]
  /// The weights are in units of 2^−shift; 1…15.
  package var shift: Int
  /// The fraction of the mean chooses among 2^phaseBits CDFs of a level; 0…3, at most `shift`.
  package var phaseBits: Int

  /// Unchecked, as above.
  package init(weights: [Int], sources: [MeanSource], shift: Int, phaseBits: Int) {
    self.weights = weights
    self.sources = sources
    self.shift = shift
    self.phaseBits = phaseBits
  }

  /// What is taken off a sample, and the phase, of a sum of weighted values.
  package func split(_ sum: Int) -> (offset: Int, phase: Int) {
    let t = sum + (1 << (shift - 1))
    return (t >> shift, t >> (shift - phaseBits) & ((1 << phaseBits) - 1))
  }
}

/// How the samples of one channel choose their CDFs.
package struct ChannelContexts: Sendable {
  /// With magnitude rule threshold: magnitude 0 of the values from low up to, not including, high.
  package var low = 0
  package var high = 0
  /// nil: the mean is 0.
  package var mean: MeanPredictor?
  /// Of each level and phase of the mean, [levels][phases].
  package var cdf: [Int]
  /// Of the causal neighbours (`ContextRule.causalOffsets`), 0…127; empty if there is one level only.
  package var weights: [UInt8] = []
  /// At most 16.
  package var sources: [ContextSource] = []
  /// Weight of the scale that the hyperprior's slice network gives; 0 without a hyperprior.
  package var scaleWeight = 0
  /// Sums are shifted right by it before bounds are compared; 0…15.
  package var shift = 0
  /// Of level 1 upwards, not decreasing, 1…1023.
  package var bounds: [Int] = []

  /// Contexts that the sum chooses among, 1…64.
  package var levels: Int { bounds.count + 1 }

  /// One level without a mean; `cdf` may be filled in later.
  package init(cdf: [Int]) { self.cdf = cdf }
}

/// The entropy model of the latent at one rate point.
package struct EntropyTable: Sendable {
  /// The only value of a channel that is not active.
  package var mode: [Int]
  /// Probability that a channel is active, 1…32767 in 1/2^15 (Galpin et al., §3.1.2).
  package var active: [Int]
  /// Coding order (Galpin et al., §3.1.4): a permutation of the channels.
  package var order: [Int]
  /// Of all channels, which name them by index.
  package var cdfs: [CDF]
  /// By channel number.
  package var channels: [ChannelContexts]

  /// Of the latent.
  package var channelCount: Int { order.count }

  /// Unchecked, as above.
  package init(mode: [Int], active: [Int], order: [Int], cdfs: [CDF], channels: [ChannelContexts]) {
    self.mode = mode
    self.active = active
    self.order = order
    self.cdfs = cdfs
    self.channels = channels
  }
}

/// How a value is seen by the contexts of other samples.
package enum MagnitudeRule: Sendable, Equatable {
  /// Not at all.
  case none
  /// 0 within an interval of the channel, 1 outside (Galpin et al., equation 3, has one threshold).
  case threshold
  /// 64 entries, of min(|residual|, 63): not decreasing, at most 127.
  case table([UInt8])

  /// The largest magnitude.
  var maximum: Int {
    switch self {
    case .none: 0
    case .threshold: 1
    case .table(let table): Int(table[63])
    }
  }
}

/// One ENTR section (model.md §8).
package struct EntropyModel: Sendable {
  /// What it conditions on.
  package var kind: EntropyKind
  /// How values count in contexts.
  package var magnitude: MagnitudeRule
  /// Of the hyper-latent at each rate point; empty without a hyperprior.
  package let hyperTables: EntropyTables
  /// Of the latent at each rate point.
  package let tables: EntropyTables

  /// Unchecked, as above.
  package init(
    kind: EntropyKind, magnitude: MagnitudeRule, hyperTables: [EntropyTable] = [], tables: [EntropyTable]
  ) {
    self.init(
      kind: kind, magnitude: magnitude, hyperTables: EntropyTables(hyperTables), tables: EntropyTables(tables))
  }

  private init(
    kind: EntropyKind, magnitude: MagnitudeRule, hyperTables: EntropyTables, tables: EntropyTables
  ) {
    self.kind = kind
    self.magnitude = magnitude
    self.hyperTables = hyperTables
    self.tables = tables
  }
}

extension MeanPredictor {
  init(
    parsing reader: inout ByteReader<ModelError>, _ position: [Int], _ channel: Int,
    _ place: @autoclosure () -> ModelLocation
  ) throws(ModelError) {
    phaseBits = Int(try reader.u8())
    guard phaseBits <= 3 else { throw .value(place(), field: "phase bits", value: phaseBits, valid: 0...3) }
    shift = Int(try reader.u8())
    let valid = max(1, phaseBits)...15
    guard valid ~= shift else { throw .value(place(), field: "shift of the mean", value: shift, valid: valid) }
    // The coder's sums of weighted samples are 32 bits wide.
    var sum = 0
    func weights(_ count: Int) throws(ModelError) -> [Int] {
      var weights: [Int] = []
      for _ in 0..<count {
        let weight = Int(try reader.i16())
        sum += abs(weight)
        weights.append(weight)
      }
      guard sum <= 32767 else { throw .value(place(), field: "sum of weights", value: sum, valid: 0...32767) }
      return weights
    }
    self.weights = try weights(6)
    sources = []
    let count = Int(try reader.u8())
    guard count <= 16 else { throw .value(place(), field: "sources of the mean", value: count, valid: 0...16) }
    for _ in 0..<count {
      let source = Int(try reader.u16())
      guard source < position.count, position[source] < position[channel] else {
        throw .entropy(place(), "a source of the mean is not coded before the channel")
      }
      sources.append(MeanSource(channel: source, weights: try weights(9)))
    }
  }

  func serialise(_ out: inout ByteWriter) {
    out.u8(UInt8(phaseBits))
    out.u8(UInt8(shift))
    for w in weights { out.i16(Int16(w)) }
    out.u8(UInt8(sources.count))
    for source in sources {
      out.u16(UInt16(source.channel))
      for w in source.weights { out.i16(Int16(w)) }
    }
  }
}

extension EntropyModel {
  /// Parses and validates a section of a file, whose bytes `reader` reads; `widths` are the latent's channels at each rate
  /// point, `hyperWidths` those of the hyper-latent, if there is one. `checkOrder` sees the latent's order of channels at
  /// each rate point.
  static func parse(
    _ reader: inout ByteReader<ModelError>, of file: FileBytes, _ widths: [Int], hyperWidths: [Int]?,
    checkOrder: (EntropyKind, _ ratePoint: Int, _ order: [Int]) throws(ModelError) -> Void = { _, _, _ in }
  ) throws(ModelError) -> EntropyModel {
    let place = ModelLocation(section: "ENTR", item: "")
    guard let kind = EntropyKind(rawValue: try reader.u8()) else { throw .entropy(place, "unknown kind") }
    let magnitude: MagnitudeRule
    switch try reader.u8() {
    case 0: magnitude = .none
    case 1: magnitude = .threshold
    case 2:
      let table = Array(reader.bytes[try reader.range(count: 64)])
      for i in 1..<64 where table[i] < table[i - 1] { throw .entropy(place, "the magnitude table decreases") }
      guard table[63] <= 127 else { throw .entropy(place, "a magnitude is larger than 127") }
      magnitude = .table(table)
    default: throw .entropy(place, "unknown magnitude rule")
    }
    var (hyperOffsets, offsets): ([Int], [Int]) = ([], [])
    if let hyperWidths {
      for (k, hyperWidth) in hyperWidths.enumerated() {
        let place = ModelLocation(section: "ENTR", item: "\(kind.name), hyper-latent, rate point \(k)")
        hyperOffsets.append(reader.offset)
        _ = try table(&reader, hyperWidth, magnitude, hasScales: false, isKept: false, place)
      }
    }
    for (k, width) in widths.enumerated() {
      let place = ModelLocation(section: "ENTR", item: "\(kind.name), rate point \(k)")
      offsets.append(reader.offset)
      let order = try table(&reader, width, magnitude, hasScales: hyperWidths != nil, isKept: false, place).order
      try checkOrder(kind, k, order)
    }
    return EntropyModel(
      kind: kind, magnitude: magnitude,
      hyperTables: EntropyTables(file, offsets: hyperOffsets, magnitude, hasScales: false),
      tables: EntropyTables(file, offsets: offsets, magnitude, hasScales: hyperWidths != nil))
  }

  /// Reads one table; `width` is the number of channels that it must have, if that is not known to be right. What is not
  /// kept is looked at all the same, but the result has nothing but mode, active and order.
  static func table(
    _ reader: inout ByteReader<ModelError>, _ width: Int?, _ magnitude: MagnitudeRule, hasScales: Bool,
    isKept: Bool, _ place: ModelLocation
  ) throws(ModelError) -> EntropyTable {
    let count = Int(try reader.u16())
    if let width, count != width {
      throw .value(place, field: "channels", value: count, valid: width...width)
    }
    var mode: [Int] = []
    var active: [Int] = []
    mode.reserveCapacity(count)
    active.reserveCapacity(count)
    for _ in 0..<count {
      mode.append(Int(try reader.i16()))
      let probability = Int(try reader.u16())
      guard 1...32767 ~= probability else {
        throw .value(place, field: "active", value: probability, valid: 1...32767)
      }
      active.append(probability)
    }
    var order: [Int] = []
    order.reserveCapacity(count)
    var position = [Int](repeating: -1, count: count)
    for i in 0..<count {
      let channel = Int(try reader.u16())
      guard channel < count, position[channel] < 0 else { throw .entropy(place, "order is not a permutation") }
      position[channel] = i
      order.append(channel)
    }
    let cdfCount = Int(try reader.u16())
    guard cdfCount >= 1 else { throw .entropy(place, "no CDFs") }
    var cdfs: [CDF] = []
    if isKept { cdfs.reserveCapacity(cdfCount) }
    for _ in 0..<cdfCount {
      let cdf = try cdf(&reader, isKept: isKept, place)
      if isKept { cdfs.append(cdf) }
    }
    var channels: [ChannelContexts] = []
    if isKept { channels.reserveCapacity(count) }
    for c in 0..<count {
      let contexts = try contexts(
        &reader, magnitude, cdfCount, position, c, hasScales: hasScales, isKept: isKept, place)
      if isKept { channels.append(contexts) }
    }
    return EntropyTable(mode: mode, active: active, order: order, cdfs: cdfs, channels: channels)
  }

  private static func cdf(
    _ reader: inout ByteReader<ModelError>, isKept: Bool, _ place: ModelLocation
  ) throws(ModelError) -> CDF {
    let minimum = Int(try reader.i16())
    let n = Int(try reader.u16())
    guard 2...256 ~= n else { throw .value(place, field: "symbols of a CDF", value: n, valid: 2...256) }
    guard minimum + n - 2 <= 32767 else { throw .entropy(place, "a CDF reaches past int16") }
    var frequencies: [UInt16] = []
    if isKept { frequencies.reserveCapacity(n) }
    var sum = 0
    try reader.u16(count: n) { f throws(ModelError) in
      guard f >= 1 else { throw .entropy(place, "a frequency is 0") }
      sum += f
      if isKept { frequencies.append(UInt16(f)) }
    }
    guard sum == 32768 else { throw .value(place, field: "sum of frequencies", value: sum, valid: 32768...32768) }
    return CDF(minimum: minimum, frequencies: frequencies)
  }

  private static func contexts(
    _ reader: inout ByteReader<ModelError>, _ magnitude: MagnitudeRule, _ cdfCount: Int, _ position: [Int],
    _ channel: Int, hasScales: Bool, isKept: Bool, _ table: ModelLocation
  ) throws(ModelError) -> ChannelContexts {
    // Made for errors alone: there are thousands of channels.
    var place: ModelLocation { ModelLocation(section: "ENTR", item: table.item + ", channel \(channel)") }
    var contexts = ChannelContexts(cdf: [])
    if case .threshold = magnitude {
      contexts.low = Int(try reader.i16())
      contexts.high = Int(try reader.i16())
    }
    let levels = Int(try reader.u8())
    guard 1...64 ~= levels else { throw .value(place, field: "levels", value: levels, valid: 1...64) }
    if case .table = magnitude, try reader.u8() != 0 {
      contexts.mean = try MeanPredictor(parsing: &reader, position, channel, place)
    }
    let count = levels << (contexts.mean?.phaseBits ?? 0)
    if isKept { contexts.cdf.reserveCapacity(count) }
    try reader.u16(count: count) { index throws(ModelError) in
      guard index < cdfCount else { throw .value(place, field: "CDF", value: index, valid: 0...(cdfCount - 1)) }
      if isKept { contexts.cdf.append(index) }
    }
    if levels == 1 { return contexts }
    if case .none = magnitude, !hasScales { throw .entropy(place, "levels without magnitudes") }
    var sum = 0
    func weights(_ count: Int) throws(ModelError) -> [UInt8] {
      let range = try reader.range(count: count)
      for i in range {
        let weight = reader.bytes[i]
        guard weight <= 127 else { throw .value(place, field: "weight", value: Int(weight), valid: 0...127) }
        sum += Int(weight)
      }
      return isKept ? Array(reader.bytes[range]) : []
    }
    contexts.weights = try weights(6)
    let sources = Int(try reader.u8())
    guard sources <= 16 else { throw .value(place, field: "sources", value: sources, valid: 0...16) }
    if isKept { contexts.sources.reserveCapacity(sources) }
    for _ in 0..<sources {
      let source = Int(try reader.u16())
      if source != ContextSource.previousActive {
        guard source < position.count, position[source] < position[channel] else {
          throw .entropy(place, "a source is not coded before the channel")
        }
      }
      let weights = try weights(9)
      if isKept { contexts.sources.append(ContextSource(channel: source, weights: weights)) }
    }
    if hasScales { contexts.scaleWeight = Int(try reader.u8()) }
    // The coder's sums are 16 bits wide.
    guard sum * magnitude.maximum + 255 * contexts.scaleWeight <= 65535 else {
      throw .entropy(place, "a context's sum can exceed 65535")
    }
    contexts.shift = Int(try reader.u8())
    guard contexts.shift <= 15 else { throw .value(place, field: "shift", value: contexts.shift, valid: 0...15) }
    if isKept { contexts.bounds.reserveCapacity(levels - 1) }
    var previous = 1
    try reader.u16(count: levels - 1) { bound throws(ModelError) in
      guard previous...1023 ~= bound else { throw .value(place, field: "bound", value: bound, valid: previous...1023) }
      if isKept { contexts.bounds.append(bound) }
      previous = bound
    }
    return contexts
  }

  /// The section's payload.
  package func serialised() -> [UInt8] {
    var out = ByteWriter()
    out.u8(kind.rawValue)
    switch magnitude {
    case .none: out.u8(0)
    case .threshold: out.u8(1)
    case .table(let table):
      out.u8(2)
      out.append(table)
    }
    for (i, table) in (Array(hyperTables) + Array(tables)).enumerated() {
      let hasScales = !hyperTables.isEmpty && i >= hyperTables.count
      out.u16(UInt16(table.channelCount))
      for c in 0..<table.channelCount {
        out.i16(Int16(table.mode[c]))
        out.u16(UInt16(table.active[c]))
      }
      for c in table.order { out.u16(UInt16(c)) }
      out.u16(UInt16(table.cdfs.count))
      for cdf in table.cdfs {
        out.i16(Int16(cdf.minimum))
        out.u16(UInt16(cdf.frequencies.count))
        for f in cdf.frequencies { out.u16(f) }
      }
      for channel in table.channels {
        if case .threshold = magnitude {
          out.i16(Int16(channel.low))
          out.i16(Int16(channel.high))
        }
        out.u8(UInt8(channel.levels))
        if case .table = magnitude {
          out.u8(channel.mean == nil ? 0 : 1)
          channel.mean?.serialise(&out)
        }
        for index in channel.cdf { out.u16(UInt16(index)) }
        if channel.levels == 1 { continue }
        out.append(channel.weights)
        out.u8(UInt8(channel.sources.count))
        for source in channel.sources {
          out.u16(UInt16(source.channel))
          out.append(source.weights)
        }
        if hasScales { out.u8(UInt8(channel.scaleWeight)) }
        out.u8(UInt8(channel.shift))
        for bound in channel.bounds { out.u16(UInt16(bound)) }
      }
    }
    return out.bytes
  }
}
