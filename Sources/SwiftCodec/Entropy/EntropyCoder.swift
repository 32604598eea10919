// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// An entropy model of one rate point in the layout of the C coder.
final class EntropyCoder {
  let table: EntropyTable
  let magnitude: MagnitudeRule
  private let kernels: UnsafePointer<sc_kernels>
  /// All CDFs, one after the other; the last one is the certain one.
  private let cdfs: AlignedBuffer<UInt64>
  private let startShift: Int32
  /// The CDFs of each channel's levels and phases, and the certain one: one channel after the other.
  private let pointers: AlignedBuffer<UnsafePointer<sc_cdf>?>
  private let firstPointer: [Int]
  /// For each channel with contexts.
  private let levels: AlignedBuffer<UInt16>
  private let levelTable: [Int]
  private let magnitudes: AlignedBuffer<UInt8>
  /// Weights of all sources and means; [9] each.
  private let sourceWeights: AlignedBuffer<UInt8>
  private let meanWeights: AlignedBuffer<Int16>
  private let firstSource: [Int]
  private let firstMeanSource: [Int]
  /// Place of a channel's padded samples, −1 for a channel that no mean depends on.
  private let samplePlace: [Int]
  private let samplePlanes: Int

  init(_ table: EntropyTable, _ rule: MagnitudeRule, cpu: CPU = .best) {
    self.table = table
    magnitude = rule.normalised(table)
    kernels = cpu.kernels
    magnitudes = AlignedBuffer(count: 64, zero: 0)
    if case .table(let values) = magnitude { for i in 0..<64 { magnitudes.base[i] = values[i] } }

    // The finest start tables that take a megabyte together.
    var shift: Int32 = 5
    while shift < 8 && table.cdfs.count * sc_cdf_starts(shift) > 1 << 20 { shift += 1 }
    startShift = shift
    let starts = sc_cdf_starts(shift) / 8
    let sizes = table.cdfs.map { sc_cdf_size(Int32($0.frequencies.count)) / 8 } + [sc_cdf_size(1) / 8]
    cdfs = AlignedBuffer(count: sizes.reduce(sizes.count * starts, +), zero: 0)
    var distinct: [UnsafePointer<sc_cdf>] = []
    var place = cdfs.base
    for (i, size) in sizes.enumerated() {
      let cdf = UnsafeMutableRawPointer(place + starts).assumingMemoryBound(to: sc_cdf.self)
      let frequencies = i < table.cdfs.count ? table.cdfs[i].frequencies : [1 << 15]
      let minimum = i < table.cdfs.count ? table.cdfs[i].minimum : 0
      sc_cdf_init(cdf, Int32(minimum), frequencies, Int32(frequencies.count), magnitudes.base, shift)
      distinct.append(UnsafePointer(cdf))
      place += starts + size
    }

    var first: [Int] = []
    var pointerCount = 0
    var tables = 0
    var levelTable: [Int] = []
    for channel in table.channels {
      first.append(pointerCount)
      pointerCount += channel.cdf.count + 1
      let hasContexts = channel.levels > 1 || channel.mean != nil
      levelTable.append(hasContexts ? tables : -1)
      if hasContexts { tables += 1 }
    }
    firstPointer = first
    self.levelTable = levelTable
    pointers = AlignedBuffer(count: pointerCount, zero: nil)
    levels = AlignedBuffer(count: tables * EntropyCoder.levelTableSize, zero: 0)
    for (c, channel) in table.channels.enumerated() {
      for (j, index) in channel.cdf.enumerated() { pointers.base[first[c] + j] = distinct[index] }
      pointers.base[first[c] + channel.cdf.count] = distinct[table.cdfs.count]
      guard levelTable[c] >= 0 else { continue }
      let out = levels.base + levelTable[c] * EntropyCoder.levelTableSize
      let phases = UInt16(channel.cdf.count / channel.levels)
      ContextRule.forEachLevel(channel.bounds) { level, steps in
        (out + steps.lowerBound).update(repeating: phases * UInt16(level), count: steps.count)
      }
      out[Int(SC_LEVEL_SUMS)] = UInt16(channel.cdf.count)
    }

    var firstSource: [Int] = []
    var firstMeanSource: [Int] = []
    var sources = 0
    var meanSources = 0
    var isSampled = [Bool](repeating: false, count: table.channelCount)
    for (c, channel) in table.channels.enumerated() {
      firstSource.append(sources)
      firstMeanSource.append(meanSources)
      sources += channel.sources.count
      guard let mean = channel.mean else { continue }
      isSampled[c] = true
      for source in mean.sources { isSampled[source.channel] = true }
      meanSources += mean.sources.count
    }
    sourceWeights = AlignedBuffer(count: 9 * sources, zero: 0)
    meanWeights = AlignedBuffer(count: 9 * meanSources, zero: 0)
    for (c, channel) in table.channels.enumerated() {
      for (i, source) in channel.sources.enumerated() {
        for k in 0..<9 { sourceWeights.base[9 * (firstSource[c] + i) + k] = source.weights[k] }
      }
      guard let mean = channel.mean else { continue }
      for (i, source) in mean.sources.enumerated() {
        for k in 0..<9 { meanWeights.base[9 * (firstMeanSource[c] + i) + k] = Int16(source.weights[k]) }
      }
    }
    self.firstSource = firstSource
    self.firstMeanSource = firstMeanSource
    var samplePlace: [Int] = []
    var samplePlanes = 0
    for sampled in isSampled {
      samplePlace.append(sampled ? samplePlanes : -1)
      if sampled { samplePlanes += 1 }
    }
    self.samplePlace = samplePlace
    self.samplePlanes = samplePlanes
  }

  private static var levelTableSize: Int { Int(SC_LEVEL_SUMS) + 1 }

  private var hasMagnitudes: Bool { if case .none = magnitude { false } else { true } }

  /// Bytes that coding a segment of this size takes beside its values.
  func contextBytes(width: Int, height: Int) -> Int64 {
    let size = Int64(paddedSize(width, height))
    let places = 8 * Int64(sc_wavefront_of(Int32(width), Int32(height)).line)
    var bytes = Int64(sc_plane_scratch(Int32(width), Int32(height))) + 2 * places
    if hasMagnitudes { bytes += Int64(table.channelCount) * size }
    if samplePlanes > 0 { bytes += 2 * Int64(samplePlanes) * size + 4 * places }
    return bytes
  }

  private func paddedSize(_ width: Int, _ height: Int) -> Int {
    (height + 2 * Int(SC_MAGNITUDE_MARGIN)) * (width + 2 * Int(SC_MAGNITUDE_MARGIN))
  }

  /// Everything of a plane but what its sources contribute.
  private func plane(channel c: Int, _ segment: Contexts) -> sc_plane {
    let contexts = table.channels[c]
    let size = paddedSize(segment.width, segment.height)
    var plane = sc_plane()
    plane.width = Int32(segment.width)
    plane.height = Int32(segment.height)
    plane.values = segment.values + c * segment.width * segment.height
    if let planes = segment.magnitudes { plane.magnitudes = planes.base + c * size }
    if let planes = segment.samples, samplePlace[c] >= 0 { plane.samples = planes.base + samplePlace[c] * size }
    switch magnitude {
    case .none: plane.magnitude_kind = Int32(SC_MAGNITUDE_NONE.rawValue)
    case .threshold: plane.magnitude_kind = Int32(SC_MAGNITUDE_THRESHOLD.rawValue)
    case .table: plane.magnitude_kind = Int32(SC_MAGNITUDE_TABLE.rawValue)
    }
    plane.low = Int32(contexts.low)
    plane.high = Int32(contexts.high)
    plane.table = UnsafePointer(magnitudes.base)
    plane.cdfs = UnsafePointer(pointers.base + firstPointer[c])
    plane.start_shift = startShift
    plane.scratch = UnsafeMutableRawPointer(segment.scratch.base)
    guard levelTable[c] >= 0 else { return plane }
    plane.level_of = UnsafePointer(levels.base + levelTable[c] * EntropyCoder.levelTableSize)
    if contexts.levels > 1 {
      withUnsafeMutableBytes(of: &plane.weight) { raw in
        let weight = raw.assumingMemoryBound(to: Int32.self)
        for i in 0..<6 { weight[i] = Int32(contexts.weights[i]) }
      }
      plane.shift = Int32(contexts.shift)
    }
    if let mean = contexts.mean {
      withUnsafeMutableBytes(of: &plane.mean_weight) { raw in
        let weight = raw.assumingMemoryBound(to: Int32.self)
        for i in 0..<6 { weight[i] = Int32(mean.weights[i]) }
      }
      plane.mean_shift = Int32(mean.shift)
      plane.phase_bits = Int32(mean.phaseBits)
    }
    return plane
  }

  /// The contexts of a segment while its channels are coded one after the other.
  final class Contexts {
    let width: Int
    let height: Int
    /// [channels][height][width]
    let values: UnsafeMutablePointer<Int16>
    fileprivate let scratch: AlignedBuffer<UInt8>
    /// Padded planes; the coder fills them.
    fileprivate let magnitudes: AlignedBuffer<UInt8>?
    fileprivate let samples: AlignedBuffer<Int16>?
    fileprivate let base: AlignedBuffer<UInt16>
    fileprivate let meanBase: AlignedBuffer<Int32>?
    /// The last active channel.
    fileprivate var previous = -1

    fileprivate init(
      _ coder: EntropyCoder, width: Int, height: Int, values: UnsafeMutablePointer<Int16>, _ pool: MemoryPool?
    ) {
      self.width = width
      self.height = height
      self.values = values
      let size = coder.paddedSize(width, height)
      scratch = AlignedBuffer(count: sc_plane_scratch(Int32(width), Int32(height)), zero: 0, pool)
      let places = 8 * sc_wavefront_of(Int32(width), Int32(height)).line
      let slack = Int(SC_PLANE_SLACK)
      let channels = coder.table.channelCount
      magnitudes = coder.hasMagnitudes ? AlignedBuffer(count: channels * size + slack, zero: 0, pool) : nil
      samples = coder.samplePlanes > 0 ? AlignedBuffer(count: coder.samplePlanes * size + slack, zero: 0, pool) : nil
      base = AlignedBuffer(count: places, zero: 0, pool)
      meanBase = coder.samplePlanes > 0 ? AlignedBuffer(count: places, zero: 0, pool) : nil
    }
  }

  func contexts(
    width: Int, height: Int, values: UnsafeMutablePointer<Int16>, _ pool: MemoryPool? = nil
  ) -> Contexts {
    Contexts(self, width: width, height: height, values: values, pool)
  }

  /// What earlier channels contribute to the sums of a plane. Channels that are not active contribute nothing.
  private func addSources(
    _ c: Int, _ plane: inout sc_plane, _ contexts: Contexts, active: [Bool], scales: UnsafePointer<UInt8>?
  ) {
    let channel = table.channels[c]
    let width = Int32(contexts.width)
    let height = Int32(contexts.height)
    let size = paddedSize(contexts.width, contexts.height)
    if channel.levels > 1, let magnitudes = contexts.magnitudes, !channel.sources.isEmpty || channel.scaleWeight > 0 {
      withUnsafeTemporaryAllocation(of: sc_context_source.self, capacity: channel.sources.count) { sources in
        var count = 0
        for (i, source) in channel.sources.enumerated() {
          let from = source.channel == ContextSource.previousActive ? contexts.previous : source.channel
          guard from >= 0, active[from] else { continue }
          sources[count] = sc_context_source(
            magnitudes: magnitudes.base + from * size, weight: sourceWeights.base + 9 * (firstSource[c] + i))
          count += 1
        }
        let usesScales = scales != nil && channel.scaleWeight > 0
        kernels.pointee.context_base(
          contexts.base.base, width, height, sources.baseAddress, Int32(count),
          usesScales ? scales! + c * contexts.width * contexts.height : nil, Int32(channel.scaleWeight),
          contexts.scratch.base)
      }
      plane.base = UnsafePointer(contexts.base.base)
    }
    guard let mean = channel.mean, !mean.sources.isEmpty, let samples = contexts.samples,
      let base = contexts.meanBase
    else { return }
    withUnsafeTemporaryAllocation(of: sc_mean_source.self, capacity: mean.sources.count) { sources in
      var count = 0
      for (i, source) in mean.sources.enumerated() where active[source.channel] {
        sources[count] = sc_mean_source(
          samples: samples.base + samplePlace[source.channel] * size,
          weight: meanWeights.base + 9 * (firstMeanSource[c] + i))
        count += 1
      }
      kernels.pointee.mean_base(base.base, width, height, sources.baseAddress, Int32(count), contexts.scratch.base)
    }
    plane.mean_base = UnsafePointer(base.base)
  }

  /// Walks channels at some positions of the coding order. `code` is given each active channel's plane, with what its
  /// sources contribute, and returns whether to go on.
  ///
  /// `scales` are [channels][height][width] of the hyperprior, nil without one.
  private func forEachPlane(
    _ positions: Range<Int>, _ contexts: Contexts, active: [Bool], scales: UnsafePointer<UInt8>?,
    code: (inout sc_plane) -> Bool
  ) -> Bool {
    for position in positions {
      let c = table.order[position]
      guard active[c] else { continue }
      var plane = self.plane(channel: c, contexts)
      addSources(c, &plane, contexts, active: active, scales: scales)
      guard code(&plane) else { return false }
      contexts.previous = c
    }
    return true
  }

  /// Decodes which channels are active and fills the others with their modes. nil for a damaged payload. `history` is that
  /// of a frame that follows others.
  func decodeActivity(
    _ decoder: inout PayloadDecoder, _ contexts: Contexts, _ history: ActivityHistory? = nil
  ) -> [Bool]? {
    var active = [Bool](repeating: false, count: table.channelCount)
    let size = contexts.width * contexts.height
    var frame = ActivityHistory.Frame(history, channels: table.channelCount)
    for (i, c) in table.order.enumerated() {
      let flag = sc_rans_decode_flag(&decoder.state, Int32(i & 3), frame.probability(c, model: table.active[c]))
      guard flag >= 0 else { return nil }
      frame.learn(c, flag == 1)
      active[c] = flag == 1
      if flag == 0 { (contexts.values + c * size).update(repeating: Int16(table.mode[c]), count: size) }
    }
    return active
  }

  /// Decodes channels at some positions of the coding order. False for a damaged payload.
  func decode(
    _ decoder: inout PayloadDecoder, _ positions: Range<Int>, _ contexts: Contexts, active: [Bool],
    scales: UnsafePointer<UInt8>? = nil
  ) -> Bool {
    forEachPlane(positions, contexts, active: active, scales: scales) { plane in
      kernels.pointee.decode_plane(&decoder.state, &plane) == 0
    }
  }

  /// Codes which channels are active: those with a value that is not the mode.
  func encodeActivity(
    _ encoder: PayloadEncoder, _ contexts: Contexts, _ history: ActivityHistory? = nil
  ) -> [Bool] {
    var active = [Bool](repeating: false, count: table.channelCount)
    let size = contexts.width * contexts.height
    encoder.reserve(table.channelCount)
    var frame = ActivityHistory.Frame(history, channels: table.channelCount)
    for (i, c) in table.order.enumerated() {
      let mode = Int16(table.mode[c])
      active[c] = UnsafeBufferPointer(start: contexts.values + c * size, count: size).contains { $0 != mode }
      let one = frame.probability(c, model: table.active[c])
      sc_rans_encode_flag(&encoder.state, Int32(i & 3), one, active[c] ? 1 : 0)
      frame.learn(c, active[c])
    }
    return active
  }

  /// Codes channels at some positions of the coding order.
  func encode(
    _ encoder: PayloadEncoder, _ positions: Range<Int>, _ contexts: Contexts, active: [Bool],
    scales: UnsafePointer<UInt8>? = nil
  ) {
    _ = forEachPlane(positions, contexts, active: active, scales: scales) { plane in
      encoder.reserve(contexts.width * contexts.height * Int(SC_RANS_SYMBOLS_PER_VALUE))
      kernels.pointee.encode_plane(&encoder.state, &plane)
      return true
    }
  }

  /// Decodes the payload of a segment without a hyperprior into `values`. False for a damaged payload.
  func decode(payload: [UInt8], in range: Range<Int>, width: Int, height: Int, values: UnsafeMutablePointer<Int16>)
    -> Bool
  {
    guard var decoder = PayloadDecoder(payload, in: range) else { return false }
    return decode(&decoder, width: width, height: height, values: values) && decoder.isFinished
  }

  /// The same from a payload that has been begun.
  func decode(
    _ decoder: inout PayloadDecoder, width: Int, height: Int, values: UnsafeMutablePointer<Int16>,
    history: ActivityHistory? = nil, _ pool: MemoryPool? = nil
  ) -> Bool {
    let contexts = self.contexts(width: width, height: height, values: values, pool)
    guard let active = decodeActivity(&decoder, contexts, history) else { return false }
    return decode(&decoder, 0..<table.channelCount, contexts, active: active)
  }

  /// The payload of a segment without a hyperprior, and its ideal code length.
  func encode(width: Int, height: Int, values: UnsafeMutablePointer<Int16>) -> (payload: [UInt8], bits: Double) {
    let encoder = PayloadEncoder()
    encode(encoder, width: width, height: height, values: values)
    return (encoder.finish(), encoder.codeLength)
  }

  /// Appends a segment without a hyperprior.
  func encode(
    _ encoder: PayloadEncoder, width: Int, height: Int, values: UnsafeMutablePointer<Int16>,
    history: ActivityHistory? = nil
  ) {
    let contexts = self.contexts(width: width, height: height, values: values, encoder.pool)
    let active = encodeActivity(encoder, contexts, history)
    encode(encoder, 0..<table.channelCount, contexts, active: active)
  }
}

/// Reads a segment's payload.
struct PayloadDecoder {
  var state = sc_rans_decoder()
  /// The coder reads a little past the end.
  private let bytes: AlignedBuffer<UInt8>

  /// nil for a payload that is too short. Of four lanes or one.
  init?(_ payload: [UInt8], in range: Range<Int>, lanes: Int32 = SC_RANS_LANES, _ pool: MemoryPool? = nil) {
    bytes = AlignedBuffer(count: range.count + Int(SC_RANS_SLACK), zero: 0, pool)
    let to = bytes.base
    payload.withUnsafeBufferPointer { to.update(from: $0.baseAddress! + range.lowerBound, count: range.count) }
    guard sc_rans_decoder_init(&state, lanes, bytes.base, range.count) == 0 else { return nil }
  }

  /// Whether everything was used and the final states are right.
  var isFinished: Bool {
    var copy = state
    return sc_rans_decoder_finish(&copy) == 0
  }
}

/// Collects the symbols of a segment, and codes them in reverse at the end.
final class PayloadEncoder {
  var state = sc_rans_encoder(symbols: nil, count: 0, capacity: 0)
  private var symbols: AlignedBuffer<UInt32>
  let pool: MemoryPool?

  init(_ pool: MemoryPool? = nil) {
    self.pool = pool
    symbols = AlignedBuffer(uninitialised: 0, pool)
  }

  /// Makes room for more symbols.
  func reserve(_ count: Int) {
    guard state.count + count > state.capacity else { return }
    let larger = AlignedBuffer<UInt32>(uninitialised: max(state.count + count, 2 * state.capacity), pool)
    larger.base.update(from: symbols.base, count: state.count)
    symbols = larger
    state.symbols = larger.base
    state.capacity = larger.count
  }

  /// Appends the symbols of another payload.
  func append(_ other: PayloadEncoder) {
    reserve(other.state.count)
    (symbols.base + state.count).update(from: other.symbols.base, count: other.state.count)
    state.count += other.state.count
  }

  /// The payload, of four lanes or one.
  func finish(lanes: Int32 = SC_RANS_LANES) -> [UInt8] {
    let capacity = sc_rans_payload_bound(state.count)
    let out = AlignedBuffer<UInt8>(uninitialised: capacity, pool)
    let written = sc_rans_encoder_finish(&state, lanes, out.base, capacity)
    return Array(UnsafeBufferPointer(start: out.base + (capacity - written), count: written))
  }

  /// The sum of −log2 of the probabilities of all symbols.
  var codeLength: Double {
    // Few different frequencies occur often: their logarithms are counted, not summed one by one.
    var histogram = [Int](repeating: 0, count: 32768)
    for i in 0..<state.count { histogram[Int(symbols.base[i] >> 15 & 0x7fff)] += 1 }
    var bits = 0.0
    for f in 1..<32768 where histogram[f] > 0 {
      bits += Double(histogram[f]) * ContextRule.bits(frequency: f)
    }
    return bits
  }
}
