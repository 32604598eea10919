// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// An entropy model of one rate point in the layout of the C coder.
final class EntropyCoder {
  let table: EntropyTable
  let magnitude: MagnitudeRule
  private let last: AlignedBuffer<Int16>
  private let cdfs: AlignedBuffer<sc_cdf>
  private let indices: AlignedBuffer<UInt16>
  private let firstIndex: [Int]
  /// [1024] for each channel with more than one level.
  private let levels: AlignedBuffer<UInt8>
  private let levelTable: [Int]
  private let magnitudes: AlignedBuffer<UInt8>

  init(_ table: EntropyTable, _ magnitude: MagnitudeRule) {
    self.table = table
    self.magnitude = magnitude
    // Before each CDF stands its last[−1] = −1; it is padded to whole groups of 16 symbols.
    var offsets: [Int] = []
    var size = 16
    for cdf in table.cdfs {
      offsets.append(size)
      size += (cdf.frequencies.count + 15) / 16 * 16 + 16
    }
    last = AlignedBuffer(count: size, zero: 32767)
    cdfs = AlignedBuffer(count: table.cdfs.count, zero: sc_cdf())
    for (i, cdf) in table.cdfs.enumerated() {
      let base = last.base + offsets[i]
      base[-1] = -1
      var sum = -1
      for (j, f) in cdf.frequencies.enumerated() {
        sum += Int(f)
        base[j] = Int16(sum)
      }
      var entry = sc_cdf()
      entry.last = UnsafePointer(base)
      entry.minimum = Int32(cdf.minimum)
      entry.symbols = Int32(cdf.frequencies.count)
      withUnsafeMutableBytes(of: &entry.coarse) { raw in
        let coarse = raw.assumingMemoryBound(to: Int16.self)
        for group in 0..<16 {
          coarse[group] = 16 * group + 15 < cdf.frequencies.count ? base[16 * group + 15] : 32767
        }
      }
      cdfs.base[i] = entry
    }

    var first: [Int] = []
    var indexCount = 0
    var tables = 0
    var levelTable: [Int] = []
    for channel in table.channels {
      first.append(indexCount)
      indexCount += channel.cdf.count
      levelTable.append(channel.cdf.count > 1 ? tables : -1)
      if channel.cdf.count > 1 { tables += 1 }
    }
    firstIndex = first
    self.levelTable = levelTable
    indices = AlignedBuffer(count: indexCount, zero: 0)
    levels = AlignedBuffer(count: tables * 1024, zero: 0)
    for (c, channel) in table.channels.enumerated() {
      for (j, index) in channel.cdf.enumerated() { indices.base[first[c] + j] = UInt16(index) }
      guard levelTable[c] >= 0 else { continue }
      let out = levels.base + levelTable[c] * 1024
      for bound in channel.bounds { for sum in bound..<1024 { out[sum] += 1 } }
    }
    magnitudes = AlignedBuffer(count: 64, zero: 0)
    if case .table(let values) = magnitude { for i in 0..<64 { magnitudes.base[i] = values[i] } }
  }

  private var hasMagnitudes: Bool { if case .none = magnitude { false } else { true } }

  private func magnitudeStride(_ width: Int) -> Int { width + 2 * Int(SC_MAGNITUDE_MARGIN) }
  private func magnitudeSize(_ width: Int, _ height: Int) -> Int {
    (height + 2 * Int(SC_MAGNITUDE_MARGIN)) * magnitudeStride(width)
  }

  /// Everything of a plane but its contexts' base.
  private func plane(
    channel c: Int, width: Int, height: Int, values: UnsafeMutablePointer<Int16>,
    magnitudes planes: AlignedBuffer<UInt8>?
  ) -> sc_plane {
    let contexts = table.channels[c]
    var plane = sc_plane()
    plane.width = Int32(width)
    plane.height = Int32(height)
    plane.values = values + c * width * height
    if let planes { plane.magnitudes = planes.base + c * magnitudeSize(width, height) }
    switch magnitude {
    case .none: plane.magnitude_kind = Int32(SC_MAGNITUDE_NONE.rawValue)
    case .threshold: plane.magnitude_kind = Int32(SC_MAGNITUDE_THRESHOLD.rawValue)
    case .table: plane.magnitude_kind = Int32(SC_MAGNITUDE_TABLE.rawValue)
    }
    plane.threshold = Int32(contexts.threshold)
    plane.table = UnsafePointer(magnitudes.base)
    plane.cdfs = UnsafePointer(cdfs.base)
    plane.cdf_index = UnsafePointer(indices.base + firstIndex[c])
    if levelTable[c] >= 0 {
      plane.level_of = UnsafePointer(levels.base + levelTable[c] * 1024)
      withUnsafeMutableBytes(of: &plane.weight) { raw in
        let weight = raw.assumingMemoryBound(to: Int32.self)
        for i in 0..<6 { weight[i] = Int32(contexts.weights[i]) }
      }
      plane.shift = Int32(contexts.shift)
    }
    return plane
  }

  /// Walks the channels of a segment in coding order. `code` is given each active channel's plane, with its contexts'
  /// base, and returns whether to go on; the magnitudes of the others are filled here.
  private func forEachPlane(
    width: Int, height: Int, values: UnsafeMutablePointer<Int16>, active: [Bool],
    code: (inout sc_plane) -> Bool
  ) -> Bool {
    let planes =
      hasMagnitudes ? AlignedBuffer<UInt8>(count: table.channelCount * magnitudeSize(width, height), zero: 0) : nil
    let base = hasMagnitudes ? AlignedBuffer<UInt16>(count: width * height, zero: 0) : nil
    var previous = -1
    for c in table.order {
      var plane = self.plane(channel: c, width: width, height: height, values: values, magnitudes: planes)
      guard active[c] else {
        if hasMagnitudes { sc_magnitudes_fill(&plane) }
        continue
      }
      let sources = table.channels[c].sources
      if !sources.isEmpty, let base, let planes {
        base.base.update(repeating: 0, count: width * height)
        for source in sources {
          let channel = source.channel == ContextSource.previousActive ? previous : source.channel
          if channel < 0 { continue }
          source.weights.withUnsafeBufferPointer { weights in
            sc_context_accumulate(
              base.base, planes.base + channel * magnitudeSize(width, height), Int32(width), Int32(height),
              weights.baseAddress)
          }
        }
        plane.base = UnsafePointer(base.base)
      }
      guard code(&plane) else { return false }
      previous = c
    }
    return true
  }

  /// Decodes the payload of a segment into `values`: [channels][height][width]. False for a damaged payload.
  func decode(payload: [UInt8], in range: Range<Int>, width: Int, height: Int, values: UnsafeMutablePointer<Int16>)
    -> Bool
  {
    let copy = AlignedBuffer<UInt8>(count: range.count + Int(SC_RANS_SLACK), zero: 0)
    payload.withUnsafeBufferPointer { source in
      for i in 0..<range.count { copy.base[i] = source[range.lowerBound + i] }
    }
    var decoder = sc_rans_decoder()
    guard sc_rans_decoder_init(&decoder, copy.base, range.count) == 0 else { return false }
    var active = [Bool](repeating: false, count: table.channelCount)
    for (i, c) in table.order.enumerated() {
      let flag = sc_rans_decode_flag(&decoder, Int32(i & 3), UInt32(table.active[c]))
      guard flag >= 0 else { return false }
      active[c] = flag == 1
      if flag == 0 {
        (values + c * width * height).update(repeating: Int16(table.mode[c]), count: width * height)
      }
    }
    let whole = forEachPlane(width: width, height: height, values: values, active: active) { plane in
      sc_rans_decode_plane(&decoder, &plane) == 0
    }
    return whole && sc_rans_decoder_finish(&decoder) == 0
  }

  /// The payload of a segment, and its ideal code length: the sum of −log2 of the probabilities of its symbols.
  func encode(width: Int, height: Int, values: UnsafeMutablePointer<Int16>) -> (payload: [UInt8], bits: Double) {
    let size = width * height
    var active = [Bool](repeating: false, count: table.channelCount)
    var activeCount = 0
    for c in 0..<table.channelCount {
      let mode = Int16(table.mode[c])
      let plane = UnsafeBufferPointer(start: values + c * size, count: size)
      active[c] = plane.contains { $0 != mode }
      if active[c] { activeCount += 1 }
    }
    let symbols = AlignedBuffer<UInt32>(
      count: table.channelCount + activeCount * size * Int(SC_RANS_SYMBOLS_PER_VALUE), zero: 0)
    var encoder = sc_rans_encoder(symbols: symbols.base, count: 0, capacity: symbols.count)
    for (i, c) in table.order.enumerated() {
      sc_rans_encode_flag(&encoder, Int32(i & 3), UInt32(table.active[c]), active[c] ? 1 : 0)
    }
    _ = forEachPlane(width: width, height: height, values: values, active: active) { plane in
      sc_rans_encode_plane(&encoder, &plane)
      return true
    }
    let capacity = sc_rans_payload_bound(encoder.count)
    let out = AlignedBuffer<UInt8>(count: capacity, zero: 0)
    let written = sc_rans_encoder_finish(&encoder, out.base, capacity)
    let payload = Array(UnsafeBufferPointer(start: out.base + (capacity - written), count: written))
    return (payload, codeLength(symbols.base, encoder.count))
  }

  private func codeLength(_ symbols: UnsafePointer<UInt32>, _ count: Int) -> Double {
    // Few different frequencies occur often: their logarithms are counted, not summed one by one.
    var histogram = [Int](repeating: 0, count: 32768)
    for i in 0..<count { histogram[Int(symbols[i] >> 15 & 0x7fff)] += 1 }
    var bits = 0.0
    for f in 1..<32768 where histogram[f] > 0 {
      bits += Double(histogram[f]) * (15 - binaryLogarithm(Double(f)))
    }
    return bits
  }
}
