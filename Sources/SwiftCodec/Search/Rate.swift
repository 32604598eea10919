// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// Code lengths of an entropy model at one rate point. Immutable after `init`.
final class RateTables {
  let table: EntropyTable
  let magnitude: MagnitudeRule
  fileprivate let cdfs: AlignedBuffer<sc_rate_cdf>
  fileprivate let indices: AlignedBuffer<UInt16>
  fileprivate let firstIndex: [Int]
  fileprivate let levels: [AlignedBuffer<UInt8>?]
  fileprivate let magnitudes: AlignedBuffer<UInt8>
  private let bits: AlignedBuffer<Double>
  /// Bits of a channel's activation flag: [channel][not active, active].
  let flagBits: [[Double]]

  init(_ table: EntropyTable, _ magnitude: MagnitudeRule) {
    self.table = table
    self.magnitude = magnitude.normalised(table)
    // −log2(f / 2^15) of every frequency is needed often.
    let bits = AlignedBuffer<Double>(count: table.cdfs.reduce(0) { $0 + $1.frequencies.count }, zero: 0)
    let cdfs = AlignedBuffer<sc_rate_cdf>(count: table.cdfs.count, zero: sc_rate_cdf())
    var at = 0
    for (i, cdf) in table.cdfs.enumerated() {
      cdfs.base[i] = sc_rate_cdf(
        bits: UnsafePointer(bits.base + at), minimum: Int32(cdf.minimum), symbols: Int32(cdf.frequencies.count))
      for f in cdf.frequencies {
        bits.base[at] = ContextRule.bits(frequency: Int(f))
        at += 1
      }
    }
    self.bits = bits
    self.cdfs = cdfs
    flagBits = table.active.map { [ContextRule.bits(frequency: 32768 - $0), ContextRule.bits(frequency: $0)] }
    var first: [Int] = []
    var all: [UInt16] = []
    for channel in table.channels {
      first.append(all.count)
      all += channel.cdf.map { UInt16($0) }
    }
    firstIndex = first
    indices = AlignedBuffer(count: all.count, zero: 0)
    for (i, index) in all.enumerated() { indices.base[i] = index }
    levels = table.channels.map { channel in
      guard channel.levels > 1 else { return nil }
      let out = AlignedBuffer<UInt8>(count: ContextRule.sumSteps, zero: 0)
      for (step, level) in ContextRule.levels(channel.bounds).enumerated() { out.base[step] = UInt8(level) }
      return out
    }
    magnitudes = AlignedBuffer(count: 64, zero: 0)
    if case .table(let values) = self.magnitude { for i in 0..<64 { magnitudes.base[i] = values[i] } }
  }
}

/// Who sees whom: the neighbourhoods of `ContextRule`, turned round.
final class RateGeometry {
  let width: Int
  let height: Int
  fileprivate let causalStart: AlignedBuffer<Int32>
  fileprivate let boxStart: AlignedBuffer<Int32>
  fileprivate let causal: AlignedBuffer<sc_rate_neighbour>
  fileprivate let box: AlignedBuffer<sc_rate_neighbour>

  init(width: Int, height: Int) {
    self.width = width
    self.height = height
    let places = width * height
    func invert(_ count: Int, _ neighbour: (_ k: Int, _ y: Int, _ x: Int) -> Int?)
      -> (AlignedBuffer<Int32>, AlignedBuffer<sc_rate_neighbour>)
    {
      let start = AlignedBuffer<Int32>(count: places + 1, zero: 0)
      func forEach(_ body: (_ from: Int, _ k: Int, _ to: Int) -> Void) {
        for y in 0..<height {
          for x in 0..<width {
            for k in 0..<count {
              if let from = neighbour(k, y, x) { body(from, k, y * width + x) }
            }
          }
        }
      }
      forEach { from, _, _ in start.base[from + 1] += 1 }
      for p in 0..<places { start.base[p + 1] += start.base[p] }
      let list = AlignedBuffer<sc_rate_neighbour>(count: Int(start.base[places]), zero: sc_rate_neighbour())
      var next = (0..<places).map { Int(start.base[$0]) }
      forEach { from, k, to in
        list.base[next[from]] = sc_rate_neighbour(place: Int32(to), k: Int32(k))
        next[from] += 1
      }
      return (start, list)
    }
    (causalStart, causal) = invert(ContextRule.causalCount) { ContextRule.causalPlace($0, $1, $2, width: width) }
    (boxStart, box) = invert(ContextRule.boxCount) { ContextRule.boxPlace($0, $1, $2, width: width, height: height) }
  }
}

/// The code length of a segment of a latent, kept exactly while values change.
///
/// Works on the latent in place. A channel is active while a value of it differs from the mode; one that is not active
/// must stay so.
final class SegmentRate {
  let tables: RateTables
  let width: Int
  let height: Int
  let values: UnsafeMutablePointer<Int16>
  private let geometry: RateGeometry
  private let magnitudes: AlignedBuffer<UInt8>?
  private let sums: AlignedBuffer<Int32>?
  private let means: AlignedBuffer<Int32>?
  private let changes: AlignedBuffer<Int32>?
  private let touched: AlignedBuffer<UInt8>?
  private let scales: AlignedBuffer<UInt8>?
  private let list: AlignedBuffer<sc_rate_sample>
  private let channels: AlignedBuffer<sc_rate_channel>
  private var links = AlignedBuffer<sc_rate_link>(count: 0, zero: sc_rate_link())
  private var rate = sc_rate()
  /// Whether all channels count as active, whatever their values: while these are still being chosen, by `quantise` alone.
  private let countsAll: Bool
  private(set) var active: [Bool]
  /// Values of each channel that are not the mode.
  private(set) var moved: [Int]

  var channelCount: Int { tables.table.channelCount }
  private var size: Int { width * height }

  init(
    _ tables: RateTables, _ geometry: RateGeometry, values: UnsafeMutablePointer<Int16>, countsAll: Bool = false
  ) {
    self.tables = tables
    self.countsAll = countsAll
    self.geometry = geometry
    width = geometry.width
    height = geometry.height
    self.values = values
    let count = tables.table.channelCount
    let places = geometry.width * geometry.height
    var kind = SC_MAGNITUDE_NONE
    switch tables.magnitude {
    case .none: break
    case .threshold: kind = SC_MAGNITUDE_THRESHOLD
    case .table: kind = SC_MAGNITUDE_TABLE
    }
    let hasContexts = kind != SC_MAGNITUDE_NONE
    let hasMeans = tables.table.channels.contains { $0.mean != nil }
    magnitudes = hasContexts ? AlignedBuffer(count: count * places, zero: 0) : nil
    sums = hasContexts ? AlignedBuffer(count: count * places, zero: 0) : nil
    means = hasMeans ? AlignedBuffer(count: count * places, zero: 0) : nil
    changes = hasContexts && !countsAll ? AlignedBuffer(count: 2 * count * places, zero: 0) : nil
    touched = hasContexts && !countsAll ? AlignedBuffer(count: count * places, zero: 0) : nil
    let hasScales = tables.table.channels.contains { $0.scaleWeight > 0 }
    scales = hasScales ? AlignedBuffer(count: count * places, zero: 0) : nil
    list = AlignedBuffer(uninitialised: hasContexts && !countsAll ? count * places : 0)
    channels = AlignedBuffer(count: count, zero: sc_rate_channel())
    active = [Bool](repeating: false, count: count)
    moved = [Int](repeating: 0, count: count)
    rate.places = Int32(places)
    rate.width = Int32(width)
    rate.channel_count = Int32(count)
    rate.magnitude_kind = Int32(kind.rawValue)
    rate.table = UnsafePointer(tables.magnitudes.base)
    rate.causal_start = UnsafePointer(geometry.causalStart.base)
    rate.box_start = UnsafePointer(geometry.boxStart.base)
    rate.causal = UnsafePointer(geometry.causal.base)
    rate.box = UnsafePointer(geometry.box.base)
    rate.cdfs = UnsafePointer(tables.cdfs.base)
    rate.channels = channels.base
    if let changes, let touched {
      rate.sum_change = changes.base
      rate.mean_change = changes.base + count * places
      rate.touched = touched.base
    }
    rate.list = list.base
    rate.list_size = Int32(list.count)
    for c in 0..<count {
      let contexts = tables.table.channels[c]
      var channel = sc_rate_channel()
      channel.values = values + c * places
      channel.cdf = UnsafePointer(tables.indices.base + tables.firstIndex[c])
      channel.low = Int32(contexts.low)
      channel.high = Int32(contexts.high)
      if let magnitudes { channel.magnitudes = magnitudes.base + c * places }
      if let levels = tables.levels[c], let sums {
        channel.level_of = UnsafePointer(levels.base)
        channel.sums = sums.base + c * places
        channel.shift = Int32(contexts.shift)
        if let scales {
          channel.scales = scales.base + c * places
          channel.scale_weight = Int32(contexts.scaleWeight)
        }
        withUnsafeMutableBytes(of: &channel.weight) { raw in
          let weight = raw.assumingMemoryBound(to: Int32.self)
          for i in 0..<6 { weight[i] = Int32(contexts.weights[i]) }
        }
      }
      if let mean = contexts.mean, let means {
        channel.means = means.base + c * places
        channel.mean_shift = Int32(mean.shift)
        channel.phase_bits = Int32(mean.phaseBits)
        withUnsafeMutableBytes(of: &channel.mean_weight) { raw in
          let weight = raw.assumingMemoryBound(to: Int32.self)
          for i in 0..<6 { weight[i] = Int32(mean.weights[i]) }
        }
      }
      channels.base[c] = channel
    }
    refresh()
  }

  /// Starts anew from the values.
  func refresh() {
    count()
    fill()
  }

  private func count() {
    for c in 0..<channelCount {
      moved[c] = size - Int(sc_count_equal(values + c * size, size, Int16(tables.table.mode[c])))
      active[c] = countsAll || moved[c] > 0
    }
  }

  /// Takes the scales of some channels, of [channels][height][width].
  func setScales(_ new: UnsafePointer<UInt8>, _ some: Range<Int>) {
    for c in some where channels.base[c].sums != nil && channels.base[c].scales != nil {
      sc_rate_set_scales(&rate, Int32(c), new + c * size)
    }
  }

  /// First or second differences of the bits of each sample of a channel by its value and by its scale: both
  /// [height][width]. 0 where the channel is not active.
  func differences(
    _ c: Int, order: Int, byValue: UnsafeMutablePointer<Float>, byScale: UnsafeMutablePointer<Float>
  ) {
    if active[c] {
      sc_rate_differences(&rate, Int32(c), Int32(order), byValue, byScale)
    } else {
      byValue.update(repeating: 0, count: size)
      byScale.update(repeating: 0, count: size)
    }
  }

  /// Whether values of the channel move the means of others.
  func hasMean(_ c: Int) -> Bool { channels.base[c].means != nil }

  /// Chooses the values of a channel anew; how many changed. `recount` must follow before anything else is asked.
  func requantise(_ c: Int, _ how: sc_requantiser) -> Int {
    var how = how
    guard active[c] else {
      sc_dequantise(values + c * size, how.means, how.decoded, size, how.q)
      return 0
    }
    return Int(sc_rate_requantise(&rate, Int32(c), &how))
  }

  /// What the best change of every value of an active channel would save, and to what: both [height][width].
  func propose(
    _ c: Int, _ how: sc_requantiser, _ gains: UnsafeMutablePointer<Float>, _ to: UnsafeMutablePointer<Int16>
  ) {
    var how = how
    sc_rate_propose(&rate, Int32(c), &how, gains, to)
  }

  /// Chooses the values of a channel, all 0 before, by squared steps to the latent and bits.
  func quantise(_ c: Int, _ zone: sc_zone) {
    var zone = zone
    sc_rate_quantise(&rate, Int32(c), &zone)
  }

  /// Takes the values of some places from others, [channels][height][width].
  func take(_ others: UnsafePointer<Int16>, where isTaken: (Int) -> Bool) {
    let taken = (0..<size).filter(isTaken)
    for c in 0..<channelCount {
      let (from, to) = (others + c * size, values + c * size)
      for p in taken where from[p] != to[p] { sc_rate_apply(&rate, Int32(c), Int32(p), Int32(from[p])) }
    }
    recount()
  }

  /// Bits of all samples at each place.
  func placeBits() -> [Double] {
    var bits = [Double](repeating: 0, count: size)
    for c in 0..<channelCount where active[c] { sc_rate_place_bits(&rate, Int32(c), &bits) }
    return bits
  }

  /// Sees which channels are no longer active.
  func recount() {
    let before = active
    count()
    if active != before { fill() }
  }

  private func fill() {
    link()
    active.map { $0 ? 1 : 0 }.withUnsafeBufferPointer { sc_rate_fill(&rate, $0.baseAddress) }
  }

  /// Lists for every channel the active ones that see it.
  private func link() {
    var levels = [[sc_rate_link]](repeating: [], count: channelCount)
    var means = levels
    func add(_ weights: [Int], of source: Int, to c: Int, _ lists: inout [[sc_rate_link]]) {
      guard source >= 0, active[source] else { return }
      var link = sc_rate_link()
      link.channel = Int32(c)
      // The same source may be named twice.
      let known = lists[source].firstIndex { $0.channel == link.channel }
      if let known { link = lists[source][known] }
      withUnsafeMutableBytes(of: &link.weight) { raw in
        let weight = raw.assumingMemoryBound(to: Int32.self)
        for k in 0..<9 { weight[k] += Int32(weights[k]) }
      }
      if let known { lists[source][known] = link } else { lists[source].append(link) }
    }
    var previous = -1
    for c in tables.table.order where active[c] {
      let contexts = tables.table.channels[c]
      if channels.base[c].sums != nil {
        for source in contexts.sources {
          add(
            source.weights.map { Int($0) },
            of: source.channel == ContextSource.previousActive ? previous : source.channel, to: c, &levels)
        }
      }
      if let mean = contexts.mean, channels.base[c].means != nil {
        for source in mean.sources { add(source.weights, of: source.channel, to: c, &means) }
      }
      previous = c
    }
    links = AlignedBuffer(
      count: levels.reduce(0) { $0 + $1.count } + means.reduce(0) { $0 + $1.count }, zero: sc_rate_link())
    var at = 0
    for c in 0..<channelCount {
      channels.base[c].links = UnsafePointer(links.base + at)
      channels.base[c].link_count = Int32(levels[c].count)
      for link in levels[c] {
        links.base[at] = link
        at += 1
      }
      channels.base[c].mean_links = UnsafePointer(links.base + at)
      channels.base[c].mean_link_count = Int32(means[c].count)
      for link in means[c] {
        links.base[at] = link
        at += 1
      }
    }
  }

  /// Bits of the channels' activation flags.
  var activityBits: Double { (0..<channelCount).reduce(0) { $0 + tables.flagBits[$1][active[$1] ? 1 : 0] } }

  /// Bits of the segment, summed anew.
  var bits: Double {
    var sum = 0.0
    for c in 0..<channelCount {
      sum += tables.flagBits[c][active[c] ? 1 : 0]
      if active[c] { sum += sc_rate_channel_bits(&rate, Int32(c)) }
    }
    return sum
  }

  func value(_ c: Int, _ y: Int, _ x: Int) -> Int { Int(values[c * size + y * width + x]) }

  /// Bits of the sample itself after a change, less those before; its channel is active.
  func ownChange(_ c: Int, _ y: Int, _ x: Int, to value: Int) -> Double {
    sc_rate_own_change(&rate, Int32(c), Int32(y * width + x), Int32(value))
  }

  /// What a change of a value changes the segment's bits by; its channel is active. Exact, but for the last value of a
  /// channel that leaves the mode: there, what other channels lose as their source is not counted.
  func change(_ c: Int, _ y: Int, _ x: Int, to value: Int) -> Double {
    if moved[c] == 1, value == tables.table.mode[c] {
      return tables.flagBits[c][0] - tables.flagBits[c][1] - sc_rate_channel_bits(&rate, Int32(c))
    }
    return sc_rate_change(&rate, Int32(c), Int32(y * width + x), Int32(value))
  }

  func apply(_ c: Int, _ y: Int, _ x: Int, to value: Int) {
    let mode = tables.table.mode[c]
    moved[c] += (value != mode ? 1 : 0) - (self.value(c, y, x) != mode ? 1 : 0)
    sc_rate_apply(&rate, Int32(c), Int32(y * width + x), Int32(value))
    if moved[c] == 0 {
      active[c] = false
      fill()
    }
  }
}
