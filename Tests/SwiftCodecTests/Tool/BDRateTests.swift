// SPDX-License-Identifier: BSD-3-Clause

import SwiftCodec
import Testing

@testable import codec_bench

private func isNear(_ a: Double, _ b: Double, within tolerance: Double = 1e-9) -> Bool {
  (a - b).magnitude <= tolerance
}

@Suite struct BDRateTests {
  private let anchor = [(0.1, 25.0), (0.25, 28.2), (0.5, 31.1), (1.1, 35.0), (2.3, 38.2)]
  private let test = [(0.08, 25.5), (0.2, 28.4), (0.45, 31.6), (0.9, 34.9), (1.6, 37.0), (2.2, 38.9)]

  /// Expected values by scipy.interpolate.PchipInterpolator.
  @Test func agreesWithSciPy() throws {
    let result = try BDRate(anchor: anchor.map { $0 }, test: test.reversed())
    #expect(isNear(result.percent, -19.346361886143658))
    #expect(result.range == 25.5...38.2)

    let curve = MonotoneCubic([0, 1, 2.5, 3, 5], [0, 2, 1, 1, 4])
    #expect(isNear(curve.integral(over: 0...5), 8.105555555555554))
    #expect(isNear(curve.integral(over: 0.3...2.7), 3.5706455555555556))
    #expect(isNear(curve.integral(over: 4...5), 2.8187499999999996))
    #expect(isNear(MonotoneCubic([0, 1], [3, 7]).integral(over: 0...0.5), 2))
  }

  @Test func isWhatTheCurvesSay() throws {
    #expect(try BDRate(anchor: anchor, test: anchor).percent == 0)
    let third = anchor.map { ($0.0 * 4 / 3, $0.1) }
    #expect(isNear(try BDRate(anchor: anchor, test: third).percent, 100.0 / 3))
    #expect(isNear(try BDRate(anchor: third, test: anchor).percent, -25))
  }

  @Test func refusesCurvesWithoutCommonRange() {
    #expect(throws: BDRateError.self) { try BDRate(anchor: [(1, 30)], test: anchor) }
    #expect(throws: BDRateError.self) { try BDRate(anchor: anchor, test: [(1, 30), (2, 30)]) }
    #expect(throws: BDRateError.self) { try BDRate(anchor: anchor, test: [(1, 40), (2, 50)]) }
    #expect(throws: BDRateError.self) { try BDRate(anchor: anchor, test: [(1, 38.2), (2, 50)]) }
  }
}

@Suite struct QualityTests {
  private func wave(_ width: Int, _ height: Int, noise: Bool) throws -> Picture {
    var samples: [UInt8] = []
    for y in 0..<height {
      for x in 0..<width {
        for c in 0..<3 {
          let value = (x * 3 + y * 5 * (c + 1) + x * y / 7) % 256
          samples.append(UInt8(min(255, max(0, value + (noise ? (x * 7 + y * 13 + c * 5) % 11 - 5 : 0)))))
        }
      }
    }
    return try Picture(width: width, height: height, channels: 3, samples: samples)
  }

  /// Expected values by pytorch-msssim 1.0 and NumPy, in double precision; the second size has odd sides on the way.
  @Test(arguments: [
    (176, 163, 38.181693614465914, 42.45608333734878, 44.17665068134852, 0.999826740461129),
    (200, 171, 38.18131521982692, 42.45561713216523, 44.176638283223625, 0.9998324818329372),
  ])
  func agreesWithReferences(_ width: Int, _ height: Int, _ rgb: Double, _ y: Double, _ yuv: Double, _ ms: Double) throws
  {
    let quality = Quality(of: try wave(width, height, noise: true), against: try wave(width, height, noise: false))
    #expect(isNear(quality.psnrRGB, rgb))
    #expect(isNear(quality.psnrY, y, within: 1e-4))
    #expect(isNear(quality.psnrYUV, yuv, within: 1e-4))
    #expect(isNear(quality.msSSIM, ms, within: 2e-6))
  }

  @Test(arguments: [(1, 1), (3, 40), (12, 11), (90, 30), (161, 170)])
  func equalPicturesArePerfect(_ width: Int, _ height: Int) {
    for channels in [1, 3] {
      let picture = drawnPicture(width: width, height: height, channels: channels)
      let quality = Quality(of: picture, against: picture)
      #expect(quality.psnrRGB == .infinity && quality.psnrYUV == .infinity)
      #expect(isNear(quality.msSSIM, 1, within: 1e-6))
    }
  }
}

@Suite struct JSONTests {
  private func parse(_ text: String) throws(JSONError) -> JSON { try JSON(parsing: Array(text.utf8)) }

  @Test func readsWhatItWrites() throws {
    let value: JSON = [
      "text": "a \"quote\", a \\, a\nline, a \u{1} and 𝄞",
      "numbers": [0, -1, .number(0.1), .number(1e300), .number(-2.5e-7)],
      "empty": [[], [:], ""], "words": [.bool(true), .bool(false), .null], "nested": [["a": [1, 2], "b": ["c": 3]]],
    ]
    #expect(try parse(value.text) == value)
  }

  @Test func readsTheWholeGrammar() throws {
    #expect(try parse(" [1, -0.5e+2 ,\"\\u0041\\ud834\\udd1e\\/\\b\"] ") == [1, .number(-50), "A𝄞/\u{8}"])
    #expect(try parse("{\"a\":{\"b\":null}}")["a"]?["b"] == .null)
    let depth = JSON.maximumDepth
    #expect(throws: Never.self) {
      try parse(String(repeating: "[", count: depth) + String(repeating: "]", count: depth))
    }
  }

  @Test func refusesEverythingElse() {
    let wrong = [
      "", " ", "[", "[1", "[1,", "[1,]", "[,1]", "{", "{\"a\"", "{\"a\":", "{\"a\":1,}", "{a:1}", "{\"a\":1,\"a\":2}",
      "01", "1.", ".5", "+1", "-", "1e", "1e999", "nan", "tru", "truely", "\"", "\"\\x\"", "\"\\u12\"", "\"\\ud800\"",
      "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"\n\"", "1 2", "[1]]", "'a'", "// c\n1",
      String(repeating: "[", count: 100_000), String(repeating: "{\"a\":", count: 100_000),
    ]
    for text in wrong {
      #expect(throws: JSONError.self, "\(text.prefix(40))") { try parse(text) }
    }
    #expect(throws: JSONError.self) { try JSON(parsing: [0x22, 0xFF, 0x22]) }
  }
}

@Suite struct CSVTests {
  @Test func readsWhatItWrites() throws {
    let rows = [["codec", "bpp"], ["a, \"b\"", "1"], ["two\nlines", ""], ["#", "x"]]
    #expect(try CSV.parse(Array(CSV.text(rows).utf8), "test") == rows)
    #expect(
      try CSV.parse(Array("# comment, \"\r\na,b\r\n\r\n1,\"2\"\r\n3,4".utf8), "test") == [
        ["a", "b"], ["1", "2"], ["3", "4"],
      ])
    #expect(throws: ToolError.self) { try CSV.parse(Array("a,\"b".utf8), "test") }
  }
}
