// SPDX-License-Identifier: BSD-3-Clause

import CCodecKernels
import Testing

/// Every variant of every kernel that this processor has against the plain C reference, through the dispatch table.
///
/// Tests/kernels/check_kernels.c does the same at length, also for other processors and under AddressSanitizer.
@Suite struct KernelTests {
  static let variants: [KernelVariant] = (1..<Int32(SC_CPU_COUNT.rawValue)).compactMap { index in
    let name = String(cString: sc_cpu_name(index))
    guard let kernels = sc_kernels_get(sc_cpu(rawValue: sc_cpu.RawValue(index))) else {
      print("SKIP \(name): not on this processor")
      return nil
    }
    return KernelVariant(name: name, table: kernels.pointee)
  }

  @Test func somethingBesidesTheReferenceRuns() {
    #if arch(x86_64) || arch(arm64)
      #expect(!Self.variants.isEmpty)
    #endif
  }

  @Test(arguments: variants) func convolutionEqualsReference(_ variant: KernelVariant) {
    var cases = KernelCases(named: "convolution", of: variant)
    for _ in 0..<120 {
      let rows = cases.int(1...5)
      let run = cases.bool() ? cases.int(1...70) : cases.pick([15, 32, 63, 64, 65, 192, 319, 640])
      let channels = cases.bool() ? cases.int(1...70) : cases.pick([1, 2, 3, 4, 8, 16, 31, 32, 33, 48, 97])
      let pixels = cases.int(1...8) > 1 ? cases.int(1...25) : cases.pick([47, 48, 49, 97])
      let inStep = cases.int(1...(run + 40))
      let outStep = channels + cases.int(0...40)
      let bits = cases.pick([8, 10, 11, 15])
      var requant = cases.requant(channels: channels)
      let weights = (0..<channels).flatMap { cases.weights(rows * run, channel: $0, bits: bits, &requant) }
      let input = (0..<rows).map { _ in cases.row((pixels - 1) * inStep + run, bits: bits) }
      let results = [cases.reference, variant.table].map { kernels in
        var out = [Int16](repeating: 0x5BAD, count: (pixels - 1) * outStep + channels + 16)
        let size = kernels.conv_packed_size(Int32(rows), Int32(run), Int32(channels))
        let packed = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 64)
        defer { packed.deallocate() }
        let elements = packed.bindMemory(to: Int16.self, capacity: size / 2)
        kernels.conv_pack(elements, weights, Int32(rows), Int32(run), Int32(channels))
        requant.withC { requant in
          var conv = sc_conv(
            weights: elements, rows: Int32(rows), run: Int32(run), out_channels: Int32(channels), requant: requant)
          withRows(input) { kernels.conv(&conv, $0, inStep, &out, outStep, pixels) }
        }
        return out
      }
      #expect(
        results[0] == results[1],
        "rows \(rows) run \(run) channels \(channels) pixels \(pixels) steps \(inStep) \(outStep), seed \(cases.seed)")
    }
  }

  @Test(arguments: variants) func depthwiseEqualsReference(_ variant: KernelVariant) {
    var cases = KernelCases(named: "depthwise", of: variant)
    for _ in 0..<100 {
      let (height, width) = (cases.pick([1, 2, 3, 3, 5]), cases.pick([1, 2, 3, 3, 5]))
      let channels = cases.bool() ? cases.int(1...70) : cases.pick([8, 16, 32, 48, 96, 100, 130])
      let pixels = cases.int(1...25)
      let inStep = cases.bool() ? channels : cases.int(1...(3 * channels))
      let outStep = channels + cases.int(0...40)
      let bits = cases.pick([8, 10, 11, 15])
      let stride = padded(channels)
      var requant = cases.requant(channels: channels)
      let weights = UnsafeMutableRawPointer.allocate(byteCount: height * width * stride * 2, alignment: 64)
        .bindMemory(to: Int16.self, capacity: height * width * stride)
      defer { weights.deallocate() }
      weights.initialize(repeating: 0, count: height * width * stride)
      for c in 0..<channels {
        for (tap, w) in cases.weights(height * width, channel: c, bits: bits, &requant).enumerated() {
          weights[tap * stride + c] = w
        }
      }
      let input = (0..<height).map { _ in cases.row((pixels - 1) * inStep + width * channels, bits: bits) }
      let results = [cases.reference, variant.table].map { kernels in
        var out = [Int16](repeating: 0x5BAD, count: (pixels - 1) * outStep + channels + 16)
        requant.withC { requant in
          var layer = sc_depthwise(
            weights: weights, kh: Int32(height), kw: Int32(width), channels: Int32(channels), requant: requant)
          withRows(input) { kernels.depthwise(&layer, $0, inStep, &out, outStep, pixels) }
        }
        return out
      }
      #expect(
        results[0] == results[1],
        "\(height)x\(width) channels \(channels) pixels \(pixels) steps \(inStep) \(outStep), seed \(cases.seed)")
    }
  }

  @Test(arguments: variants) func gainAndAddEqualReference(_ variant: KernelVariant) {
    var cases = KernelCases(named: "gain and add", of: variant)
    for _ in 0..<100 {
      let channels = cases.int(1...130)
      let pixels = cases.int(1...9)
      let bits = cases.pick([8, 10, 11, 15])
      var requant = cases.requant(channels: channels)
      var gain = (0..<channels).flatMap { cases.weights(1, channel: $0, bits: bits, &requant) }
      gain += [Int16](repeating: 0, count: padded(channels) - channels)
      let input = cases.row(pixels * channels, bits: bits)
      let other = cases.row(pixels * channels, bits: 15)
      let shifts = (Int32(cases.int(0...15)), Int32(cases.int(0...15)))
      let results = [cases.reference, variant.table].map { kernels in
        var scaled = input  // in place
        var sum = [Int16](repeating: 0x5BAD, count: pixels * channels + 16)
        requant.withC { requant in
          gain.withUnsafeBufferPointer { gain in
            scaled.withUnsafeMutableBufferPointer { scaled in
              var layer = sc_gain(gain: gain.baseAddress, channels: Int32(channels), requant: requant)
              kernels.gain(&layer, scaled.baseAddress, scaled.baseAddress, pixels)
            }
          }
          kernels.add(input, other, &sum, pixels * channels, shifts.0, shifts.1, requant.lo, requant.hi)
        }
        return scaled + sum
      }
      #expect(results[0] == results[1], "channels \(channels) pixels \(pixels), seed \(cases.seed)")
    }
  }

  @Test func checksumOfTheStandardText() {
    #expect(sc_crc32c(0, "123456789", 9) == 0xE306_9283)
    #expect(sc_crc32c(sc_crc32c(0, "1234", 4), "56789", 5) == 0xE306_9283)
  }

  @Test(arguments: [1, 2, 5]) func parallelRunsEveryJobOnce(threads: Int32) {
    var seen = [UInt8](repeating: 0, count: 1000)
    seen.withUnsafeMutableBufferPointer { seen in
      sc_parallel(threads, seen.count, { $0!.assumingMemoryBound(to: UInt8.self)[$1] += 1 }, seen.baseAddress)
    }
    #expect(seen == [UInt8](repeating: 1, count: 1000))
  }
}

struct KernelVariant: CustomTestStringConvertible, @unchecked Sendable {
  let name: String
  let table: sc_kernels
  var testDescription: String { name }
}

private func padded(_ channels: Int) -> Int {
  (channels + Int(SC_LANES) - 1) / Int(SC_LANES) * Int(SC_LANES)
}

private func withRows(_ rows: [[Int16]], _ body: (UnsafePointer<UnsafePointer<Int16>?>) -> Void) {
  func next(_ index: Int, _ pointers: [UnsafePointer<Int16>?]) {
    guard index < rows.count else { return body(pointers) }
    rows[index].withUnsafeBufferPointer { next(index + 1, pointers + [$0.baseAddress]) }
  }
  next(0, [])
}

/// Parameters of a layer, kept to the promise that the loader makes to the kernels.
private struct Requant {
  var bias, shift: [Int32]
  var low, high, leaky: Int32

  func withC(_ body: (sc_requant) -> Void) {
    bias.withUnsafeBufferPointer { bias in
      shift.withUnsafeBufferPointer { shift in
        body(sc_requant(bias: bias.baseAddress, shift: shift.baseAddress, lo: low, hi: high, leaky: leaky))
      }
    }
  }
}

/// Random shapes and values from a printed seed.
private struct KernelCases: RandomNumberGenerator {
  let seed = sc_clock_ns() | 1
  let reference = sc_kernels_get(SC_CPU_SCALAR).pointee
  private var state: UInt64

  init(named name: String, of variant: KernelVariant) {
    state = seed
    print("\(variant.name) \(name): seed \(seed)")
  }

  mutating func next() -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state
  }

  mutating func int(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &self) }
  mutating func bool() -> Bool { Bool.random(using: &self) }
  mutating func pick(_ values: [Int]) -> Int { values.randomElement(using: &self)! }

  /// Random, maximum, minimum, alternating, mostly zero.
  mutating func fill(_ count: Int, _ range: ClosedRange<Int>) -> [Int16] {
    let kind = int(0...4)
    return (0..<count).map { i in
      switch kind {
      case 0: Int16(range.upperBound)
      case 1: Int16(range.lowerBound)
      case 2: Int16(i & 1 == 0 ? range.upperBound : range.lowerBound)
      case 3: int(0...9) > 0 ? 0 : Int16(int(range))
      default: Int16(int(range))
      }
    }
  }

  /// A row with anything in its slack.
  mutating func row(_ count: Int, bits: Int) -> [Int16] {
    fill(count, -(1 << bits)...(1 << bits) - 1) + (0..<Int(SC_ROW_SLACK)).map { _ in Int16(int(-32768...32767)) }
  }

  mutating func requant(channels: Int) -> Requant {
    let leaky = bool() ? 0 : int(1...8)
    let most = leaky > 0 ? 31 - leaky : 30
    let bits = int(1...15)
    return Requant(
      bias: [Int32](repeating: 0, count: padded(channels)),
      shift: (0..<padded(channels)).map { $0 < channels ? Int32(pick([1, most, int(1...most)])) : 1 },
      low: bool() ? 0 : -(1 << Int32(bits)), high: 1 << Int32(bits) - 1, leaky: Int32(leaky))
  }

  /// Weights and a bias of one channel, with |bias| + Σ|w| * 2^bits + 2^(s + k - 1) < 2^31.
  mutating func weights(_ count: Int, channel: Int, bits: Int, _ requant: inout Requant) -> [Int16] {
    var budget = (1 << 31) - 1 - 1 << Int(requant.shift[channel] + requant.leaky - 1)
    let bias = budget / pick([1, 2, 100]) / 100 * int(-100...100)
    requant.bias[channel] = Int32(bias)
    budget -= abs(bias)
    let values = fill(count, -32768...32767)
    let sum = values.reduce(0) { $0 + abs(Int($1)) }
    let most = budget >> bits
    return sum <= most ? values : values.map { Int16(Int($0) * most / sum) }
  }
}
