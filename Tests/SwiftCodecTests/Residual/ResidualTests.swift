// SPDX-License-Identifier: BSD-3-Clause

import Testing

@testable import SwiftCodec

/// The residual layer through its Swift interface. The kernels have a test of their own: Tests/kernels/check_residual.c.
@Suite struct ResidualTests {
  private struct Random {
    var state: UInt64
    mutating func next() -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33)
    }
  }

  /// Smooth slopes with noise, flat areas with letters' edges, or nothing but noise.
  private func picture(_ width: Int, _ height: Int, _ format: PixelFormat, kind: Int, seed: UInt64 = 1) -> Picture {
    var random = Random(state: seed)
    var samples: [UInt8] = []
    for plane in format.planes(width: width, height: height) {
      for y in 0..<plane.height {
        for x in 0..<plane.width {
          for k in 0..<plane.components {
            let value =
              switch kind {
              case 0: 3 * x + 2 * y + 20 * k + random.next() % 7
              case 1: (x / 5 + y / 7) % 3 == 0 ? 20 : 250 - 10 * k
              default: random.next()
              }
            samples.append(UInt8(truncatingIfNeeded: value))
          }
        }
      }
    }
    return Picture(unchecked: width, height, format, samples)
  }

  private func largestError(_ a: Picture, _ b: Picture) -> Int {
    zip(a.samples, b.samples).reduce(0) { max($0, abs(Int($1.0) - Int($1.1))) }
  }

  @Test(arguments: PixelFormat.allCases, [0, 1, 4, 15])
  func errorStaysWithinTheBound(_ format: PixelFormat, _ maximumError: Int) throws {
    var settings = ResidualCodec.Settings()
    settings.maximumError = maximumError
    for (width, height) in [(1, 1), (1, 40), (53, 1), (17, 16), (67, 61)] {
      for kind in 0..<3 {
        let picture = picture(width, height, format, kind: kind)
        for base in [nil, self.picture(width, height, format, kind: 0, seed: 2)] {
          let bytes = ResidualCodec.encode(picture, base: base, settings: settings)
          let decoded = try ResidualCodec.decode(bytes, base: base, width: width, height: height, format: format)
          #expect(largestError(picture, decoded) <= maximumError)
        }
      }
    }
  }

  @Test func segmentsAndThreadsChangeNothing() throws {
    let picture = picture(150, 133, .yuv420, kind: 0)
    var settings = ResidualCodec.Settings()
    settings.segmentPixels = 150 * 32
    var execution = Execution()
    let bytes = ResidualCodec.encode(picture, settings: settings, execution: execution)
    execution.threads = 3
    #expect(ResidualCodec.encode(picture, settings: settings, execution: execution) == bytes)
    let decoded = try ResidualCodec.decode(bytes, width: 150, height: 133, format: .yuv420, execution: execution)
    #expect(decoded == picture)
  }

  @Test func aGoodBaseHelps() {
    let picture = picture(128, 96, .rgb, kind: 2)
    var base = picture
    for i in base.samples.indices { base.samples[i] ^= UInt8(i % 3 == 0 ? 1 : 0) }
    #expect(2 * ResidualCodec.encode(picture, base: base).count < ResidualCodec.encode(picture).count)
  }

  @Test func flatPicturesTakeFewBytes() throws {
    let alpha = Picture(unchecked: 1000, 1000, .grey, [UInt8](repeating: 255, count: 1_000_000))
    let bytes = ResidualCodec.encode(alpha)
    #expect(bytes.count < 64)
    #expect(try ResidualCodec.decode(bytes, width: 1000, height: 1000, format: .grey) == alpha)
  }

  @Test func everyTruncationIsAnError() {
    for kind in 0..<2 {
      let picture = picture(24, 20, .rgb, kind: kind)
      let bytes = ResidualCodec.encode(picture)
      for count in 0..<bytes.count {
        #expect(throws: ResidualError.self, "\(count) bytes") {
          try ResidualCodec.decode(Array(bytes[..<count]), width: 24, height: 20, format: .rgb)
        }
      }
      #expect(throws: ResidualError.truncated) {
        try ResidualCodec.decode(bytes + [0], width: 24, height: 20, format: .rgb)
      }
    }
  }

  @Test func refusesWhatDoesNotFit() {
    let picture = picture(24, 20, .rgb, kind: 0)
    let bytes = ResidualCodec.encode(picture, base: picture)
    #expect(throws: ResidualError.base(expected: true)) {
      try ResidualCodec.decode(bytes, width: 24, height: 20, format: .rgb)
    }
    #expect(throws: ResidualError.base(expected: false)) {
      try ResidualCodec.decode(
        ResidualCodec.encode(picture), base: picture, width: 24, height: 20, format: .rgb)
    }
    #expect(throws: ResidualError.self) {
      try ResidualCodec.decode(bytes, base: picture, width: 0, height: 20, format: .rgb)
    }
    #expect(throws: ResidualError.self) {
      try ResidualCodec.decode([0x40] + bytes[1...], base: picture, width: 24, height: 20, format: .rgb)
    }
    #expect(throws: ResidualError.base(expected: true)) {
      try ResidualCodec.decode([0x20] + ResidualCodec.encode(picture)[1...], width: 24, height: 20, format: .rgb)
    }
    #expect(throws: ResidualError.self) {
      try ResidualCodec.decode([0, 0xFF, 0xFF, 0x7F, 0], width: 65535, height: 65535, format: .rgb)
    }
  }

  /// Blocks of the mask are exact, the others those of the base, whatever threads there are.
  @Test(arguments: [PixelFormat.rgb, .grey], [(1, 1), (16, 16), (47, 33), (2000, 1100)])
  func masksLeaveTheRestToTheBase(_ format: PixelFormat, _ size: (Int, Int)) throws {
    let (width, height) = size
    let picture = picture(width, height, format, kind: 1)
    let base = self.picture(width, height, format, kind: 0, seed: 5)
    var random = Random(state: UInt64(width))
    var threads = Execution()
    threads.threads = 2
    for share in [0, 1, 2, 4] {
      var mask = BlockMask(width: width, height: height)
      for i in mask.isCoded.indices { mask.isCoded[i] = random.next() % 4 < share ? 1 : 0 }
      let bytes = try #require(ResidualCodec.encode(picture, base: base, coded: mask, execution: threads))
      #expect(bytes == ResidualCodec.encode(picture, base: base, coded: mask, execution: Execution()))
      #expect(ResidualCodec.maximumError(firstByte: bytes[0]) == nil)
      let decoded = try ResidualCodec.decode(bytes, base: base, width: width, height: height, format: format)
      let components = format == .rgb ? 3 : 1
      let isRight = decoded.samples.indices.allSatisfy { i in
        let (x, y) = (i / components % width, i / components / width)
        let isCoded = mask.isCoded[y / 16 * mask.across + x / 16] == 1
        return decoded.samples[i] == (isCoded ? picture : base).samples[i]
      }
      #expect(isRight)
      // Without the flag no payload may leave anything to the base.
      #expect(throws: ResidualError.payload(segment: 0, group: 0)) {
        try ResidualCodec.decode([16] + bytes[1...], base: base, width: width, height: height, format: format)
      }
    }
  }

  /// What blocks cost is what a layer of them all takes, but for its parameters.
  @Test(arguments: [PixelFormat.rgb, .grey]) func costsAreThoseOfTheLayer(_ format: PixelFormat) throws {
    let picture = picture(200, 180, format, kind: 0)
    var all = BlockMask(width: 200, height: 180)
    for i in all.isCoded.indices { all.isCoded[i] = 1 }
    let layer = try #require(ResidualCodec.encode(picture, base: picture, coded: all, execution: Execution()))
    let costs = try #require(ResidualCodec.patternCosts(picture, execution: Execution()))
    #expect(costs.count == all.isCoded.count && costs.allSatisfy { $0 > 0 })
    let bits = costs.reduce(0.0) { $0 + Double($1) } / 1024
    #expect(0.98...1 ~= bits / Double(8 * layer.count))
  }

  @Test func mutationsNeverTrap() {
    var random = Random(state: 7)
    for kind in 0..<3 {
      let picture = picture(40, 36, .yuv420, kind: kind)
      let bytes = ResidualCodec.encode(picture)
      for _ in 0..<200 {
        var damaged = bytes
        for _ in 0...(random.next() % 3) {
          damaged[random.next() % damaged.count] = UInt8(truncatingIfNeeded: random.next())
        }
        _ = try? ResidualCodec.decode(damaged, width: 40, height: 36, format: .yuv420)
      }
    }
  }
}
