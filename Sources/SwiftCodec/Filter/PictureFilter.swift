// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// The filters of one plane. Each 4×4 block has the filter of its class.
struct FilterSet: Equatable {
  static let mostFilters = 16
  /// Each of `PictureFilter.Plane.taps` taps, in 1/64.
  var filters: [[Int8]] = []
  /// For each class which filter, from 1; 0 for none.
  var map = [UInt8](repeating: 0, count: Int(SC_FILTER_CLASSES))
}

/// The filters of a decoded picture (sc_filter.h), as its bitstream carries them.
struct PictureFilter: Equatable {
  /// Which plane: that of luma, or one of chroma, for RGB that of R and that of B.
  enum Plane: Int, CaseIterable {
    case luma = 0
    case first = 1
    case second = 2
    var taps: Int { self == .luma ? Int(SC_FILTER_LUMA_TAPS) : Int(SC_FILTER_CHROMA_TAPS) }
    /// SC_FILTER_SUMS(taps)
    var sums: Int { taps * (taps + 3) / 2 }
  }

  /// By plane; nil for one that is not filtered.
  var sets: [FilterSet?] = [nil, nil, nil]

  var isEmpty: Bool { sets.allSatisfy { $0 == nil } }

  /// The planes of a picture of this format.
  static func planes(_ format: PixelFormat) -> [Plane] { format == .grey ? [.luma] : Plane.allCases }
}

// MARK: - Application

extension PictureFilter {
  /// The part of a picture that the filtered samples of a region depend on, beginning at a block of any plane.
  static func region(seenBy region: PictureRegion, width: Int, height: Int) -> PictureRegion {
    // 8 samples of a plane on all sides, of which one of chroma covers two of the picture, and the rest of a block.
    let (before, behind) = (16, 20)
    let (x, y) = (max(0, region.x - before) & ~7, max(0, region.y - before) & ~7)
    return PictureRegion(
      x: x, y: y, width: min(width, region.x + region.width + behind) - x,
      height: min(height, region.y + region.height + behind) - y)
  }
}

extension PictureFilter {
  /// The parts that a picture is filtered in, in their order: chroma of 4:2:0 sees luma before it is filtered.
  static func kinds(_ format: PixelFormat) -> [sc_filter_kind] {
    switch format {
    case .rgb: [SC_FILTER_RGB]
    case .grey: [SC_FILTER_LUMA]
    case .yuv420: [SC_FILTER_CHROMA, SC_FILTER_LUMA]
    }
  }

  /// What a job of a kind filters.
  static func planes(of kind: sc_filter_kind) -> [Plane] {
    switch kind {
    case SC_FILTER_RGB: Plane.allCases
    case SC_FILTER_CHROMA: [.first, .second]
    default: [.luma]
    }
  }

  /// Calls `body` with a picture's job, whose components are there as long as it runs.
  static func withJob<T>(
    _ kind: sc_filter_kind, _ picture: PictureView, _ cpu: CPU, _ body: (inout sc_filter_job) -> T
  ) -> T {
    picture.components.withUnsafeBufferPointer { components in
      var job = sc_filter_job()
      job.kernels = sc_filter_kernels_get(sc_cpu(UInt32(cpu.rawValue)))
      job.kind = kind
      job.width = Int32(picture.width)
      job.height = Int32(picture.height)
      job.components = components.baseAddress
      return body(&job)
    }
  }

  /// The bands of a job that threads work on, and the memory of each.
  struct Bands {
    let rows: Int
    let count: Int
    let memory: AlignedBuffer<UInt8>
    private let size: Int

    init(_ job: inout sc_filter_job, measures: Bool, _ execution: Execution) {
      rows = Int(sc_filter_block_rows(&job))
      count = max(1, min(execution.threads, rows / 4))
      size = sc_filter_memory(&job, measures ? 1 : 0)
      memory = AlignedBuffer(uninitialised: count * size, execution.pool)
    }

    func range(_ band: Int) -> (first: Int32, end: Int32) {
      (Int32(band * rows / count), Int32((band + 1) * rows / count))
    }

    func memory(_ band: Int) -> UnsafeMutableRawPointer { UnsafeMutableRawPointer(memory.base + band * size) }
  }

  /// Bytes that filtering takes, or measuring, on some threads.
  static func bytes(width: Int, threads: Int, measures: Bool = false) -> Int64 {
    var job = sc_filter_job()
    (job.kind, job.width) = (SC_FILTER_RGB, Int32(width))
    // And taps or sums of all planes.
    return Int64(max(1, threads)) * (Int64(sc_filter_memory(&job, measures ? 1 : 0)) + 1 << 17)
  }

  /// Filters a picture in place. `filtersChroma` is false for a picture that is decoded to another format than was coded.
  func apply(to picture: PictureView, filtersChroma: Bool = true, _ execution: Execution) {
    for kind in Self.kinds(picture.format) {
      let used = Self.planes(of: kind).filter { sets[$0.rawValue] != nil && ($0 == .luma || filtersChroma) }
      if used.isEmpty { continue }
      let taps = AlignedBuffer<sc_filter_taps>(uninitialised: used.count, execution.pool)
      Self.withJob(kind, picture, execution.cpu) { job in
        for (i, plane) in used.enumerated() {
          sets[plane.rawValue]?.prepare(plane, taps.base + i)
          switch plane {
          case .luma: job.luma = UnsafePointer(taps.base)
          case .first: job.chroma.0 = UnsafePointer(taps.base + i)
          case .second: job.chroma.1 = UnsafePointer(taps.base + i)
          }
        }
        let bands = Bands(&job, measures: false, execution)
        if bands.count > 1 {
          parallel(threads: execution.threads, count: bands.count) { band in
            var own = job
            let (first, end) = bands.range(band)
            sc_filter_begin(&own, first, end, bands.memory(band))
          }
        }
        parallel(threads: execution.threads, count: bands.count) { band in
          var own = job
          let (first, end) = bands.range(band)
          if bands.count == 1 { sc_filter_begin(&own, first, end, bands.memory(band)) }
          sc_filter_apply(&own, first, end, bands.memory(band))
        }
      }
    }
  }
}

extension FilterSet {
  fileprivate func prepare(_ plane: PictureFilter.Plane, _ out: UnsafeMutablePointer<sc_filter_taps>) {
    let none = [Int8](repeating: 0, count: plane.taps)
    let all = map.flatMap { $0 == 0 ? none : filters[Int($0) - 1] }
    sc_filter_prepare(all, Int32(plane.taps), out)
  }
}

// MARK: - Code

/// The syntax of filters (docs/format/bitstream.md §7), once for both directions.
private struct FilterCoder {
  /// Writes the flag, or reads one and ignores what it is given; nil at the end of a damaged payload.
  let flag: (_ one: UInt32, _ value: Bool) -> Bool?
  /// P(1) in 1/2^15.
  private var isZero = [UInt32](repeating: 1 << 14, count: 5)
  private var isLonger = [UInt32](repeating: 1 << 14, count: 5 * 8)

  init(flag: @escaping (UInt32, Bool) -> Bool?) { self.flag = flag }

  private func adaptive(_ value: Bool, _ one: inout UInt32) -> Bool? {
    guard let value = flag(one, value) else { return nil }
    one = value ? one + (32768 - one) >> 4 : one - one >> 4
    return value
  }

  private func bits(_ count: Int, _ value: Int) -> Int? {
    var result = 0
    for i in 0..<count {
      guard let bit = flag(1 << 14, value >> (count - 1 - i) & 1 == 1) else { return nil }
      result = 2 * result + (bit ? 1 : 0)
    }
    return result
  }

  /// How far the pair of a tap lies from the middle, of the plane or of the guide.
  private static func context(_ tap: Int, of count: Int) -> Int {
    let own = count - Int(SC_FILTER_GUIDE_TAPS)
    if tap >= own { return tap - own == 0 || tap - own == 3 ? 3 : 4 }
    if own == 12 { return [0, 1, 2, 2, 1, 0, 1, 2, 2, 1, 2, 2][tap] }
    return tap == 0 || tap == 3 ? 0 : 1
  }

  private mutating func tap(_ value: Int, _ context: Int) -> Int? {
    guard let zero = adaptive(value == 0, &isZero[context]) else { return nil }
    if zero { return 0 }
    guard let isNegative = flag(1 << 14, value < 0) else { return nil }
    // Bits of the magnitude, and those below its first.
    let magnitude = abs(value)
    let wanted = max(1, Int.bitWidth - magnitude.leadingZeroBitCount)
    var length = 1
    while length < 6 {
      guard let isMore = adaptive(wanted > length, &isLonger[8 * context + length]) else { return nil }
      if !isMore { break }
      length += 1
    }
    guard let rest = bits(length - 1, magnitude & (1 << (length - 1) - 1)) else { return nil }
    let read = 1 << (length - 1) + rest
    return isNegative ? -read : read
  }

  /// nil for a damaged payload.
  mutating func set(_ value: FilterSet?, _ plane: PictureFilter.Plane) -> FilterSet?? {
    guard let isUsed = flag(1 << 14, value != nil) else { return nil }
    guard isUsed else { return .some(nil) }
    guard let count = bits(4, max(0, (value?.filters.count ?? 1) - 1)).map({ $0 + 1 }) else { return nil }
    let width = Int.bitWidth - count.leadingZeroBitCount
    var set = FilterSet()
    var last: UInt8 = 0
    var isSame: UInt32 = 1 << 14
    for i in set.map.indices {
      let wanted = value?.map[i] ?? 0
      guard let same = adaptive(wanted == last, &isSame) else { return nil }
      if !same {
        guard let index = bits(width, Int(wanted)), index <= count else { return nil }
        last = UInt8(index)
      }
      set.map[i] = last
    }
    for i in 0..<count {
      var taps = [Int8](repeating: 0, count: plane.taps)
      for k in taps.indices {
        let wanted = value.map { Int($0.filters[i][k]) } ?? 0
        guard let tap = tap(wanted, Self.context(k, of: plane.taps)) else { return nil }
        taps[k] = Int8(tap)
      }
      guard sc_filter_is_valid(taps, Int32(plane.taps)) == 1 else { return nil }
      set.filters.append(taps)
    }
    return set
  }
}

extension PictureFilter {
  /// More symbols than the filters of a picture take.
  private static let mostSymbols = 1 << 14

  /// Reads the filters of a picture; `previous` are those of the frame before, which may stand for this one's, too.
  /// nil for a damaged payload.
  static func decode(_ decoder: inout PayloadDecoder, _ format: PixelFormat, previous: PictureFilter?) -> PictureFilter?
  {
    var state = decoder.state
    defer { decoder.state = state }
    return withUnsafeMutablePointer(to: &state) { state in
      coded(nil, format, previous: previous) { one, _ in
        let flag = sc_rans_decode_flag(state, 1, one)
        return flag < 0 ? nil : flag == 1
      }
    }
  }

  func encode(_ encoder: PayloadEncoder, _ format: PixelFormat, previous: PictureFilter?) {
    encoder.reserve(Self.mostSymbols)
    _ = Self.coded(self, format, previous: previous) { one, value in
      sc_rans_encode_flag(&encoder.state, 1, one, value ? 1 : 0)
      return value
    }
  }

  private static func coded(
    _ value: PictureFilter?, _ format: PixelFormat, previous: PictureFilter?,
    _ flag: @escaping (UInt32, Bool) -> Bool?
  ) -> PictureFilter? {
    guard let isUsed = flag(1 << 14, value?.isEmpty == false) else { return nil }
    guard isUsed else { return PictureFilter() }
    if let previous, !previous.isEmpty {
      guard let isSame = flag(1 << 14, value == previous) else { return nil }
      if isSame { return previous }
    }
    var coder = FilterCoder(flag: flag)
    var result = PictureFilter()
    for plane in planes(format) {
      guard let set = coder.set(value?.sets[plane.rawValue], plane) else { return nil }
      result.sets[plane.rawValue] = set
    }
    return result
  }
}
