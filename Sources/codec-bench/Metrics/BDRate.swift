// SPDX-License-Identifier: BSD-3-Clause

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Why two curves have no BD-rate.
enum BDRateError: Error {
  /// A curve of fewer than two points.
  case points(Int)
  /// Two points of the same quality.
  case repeated(Double)
  /// No quality that both curves reach: the highest of one is not above the lowest of the other.
  case disjoint(ClosedRange<Double>, ClosedRange<Double>)

  var description: String {
    switch self {
    case .points(let count): "a curve of \(count) points; two are needed"
    case .repeated(let quality): "two points of the same quality, \(fixed(quality, 3)) dB"
    case .disjoint(let a, let b):
      "no common range of quality: \(fixed(a.lowerBound, 2)) to \(fixed(a.upperBound, 2)) dB and "
        + "\(fixed(b.lowerBound, 2)) to \(fixed(b.upperBound, 2)) dB"
    }
  }
}

/// Mean difference in rate at equal quality (Bjøntegaard, VCEG-M33), with the logarithm of the rate interpolated over
/// quality by a monotone piecewise cubic, on the range of quality that both curves have.
struct BDRate {
  /// In percent of the anchor's rate; negative if the test needs less.
  let percent: Double
  let range: ClosedRange<Double>

  init(anchor: [(rate: Double, quality: Double)], test: [(rate: Double, quality: Double)]) throws(BDRateError) {
    let first = try BDRate.interpolation(anchor)
    let second = try BDRate.interpolation(test)
    let low = max(first.range.lowerBound, second.range.lowerBound)
    let high = min(first.range.upperBound, second.range.upperBound)
    guard low < high else { throw .disjoint(first.range, second.range) }
    range = low...high
    percent = 100 * expm1((second.integral(over: range) - first.integral(over: range)) / (high - low))
  }

  private static func interpolation(_ points: [(rate: Double, quality: Double)]) throws(BDRateError) -> MonotoneCubic {
    guard points.count >= 2 else { throw .points(points.count) }
    let sorted = points.sorted { $0.quality < $1.quality }
    for i in 1..<sorted.count where sorted[i].quality == sorted[i - 1].quality {
      throw .repeated(sorted[i].quality)
    }
    return MonotoneCubic(sorted.map(\.quality), sorted.map { log($0.rate) })
  }
}

/// Piecewise cubic Hermite interpolation that has no extrema but the data's (Fritsch and Butland 1984; PCHIP).
struct MonotoneCubic {
  private let x: [Double]
  private let y: [Double]
  private let slopes: [Double]

  var range: ClosedRange<Double> { x[0]...x[x.count - 1] }

  /// At least two x, strictly rising.
  init(_ x: [Double], _ y: [Double]) {
    precondition(x.count >= 2 && x.count == y.count && zip(x, x.dropFirst()).allSatisfy { $0 < $1 })
    (self.x, self.y) = (x, y)
    let steps = zip(x, x.dropFirst()).map { $1 - $0 }
    let secants = zip(zip(y, y.dropFirst()).map { $1 - $0 }, steps).map { $0 / $1 }
    let last = secants.count - 1
    guard last > 0 else {
      slopes = [secants[0], secants[0]]
      return
    }
    var slopes = [MonotoneCubic.endSlope(steps[0], steps[1], secants[0], secants[1])]
    for i in 1...last {
      if secants[i - 1] * secants[i] <= 0 {
        slopes.append(0)
      } else {
        let (w1, w2) = (2 * steps[i] + steps[i - 1], steps[i] + 2 * steps[i - 1])
        slopes.append((w1 + w2) / (w1 / secants[i - 1] + w2 / secants[i]))
      }
    }
    slopes.append(MonotoneCubic.endSlope(steps[last], steps[last - 1], secants[last], secants[last - 1]))
    self.slopes = slopes
  }

  /// The slope of the parabola through three points, held to the sign and thrice the size of the outer secant.
  private static func endSlope(_ h0: Double, _ h1: Double, _ secant0: Double, _ secant1: Double) -> Double {
    let slope = ((2 * h0 + h1) * secant0 - h0 * secant1) / (h0 + h1)
    if slope * secant0 <= 0 { return 0 }
    if secant0 * secant1 <= 0, slope.magnitude > 3 * secant0.magnitude { return 3 * secant0 }
    return slope
  }

  /// The exact integral over a part of `range`.
  func integral(over part: ClosedRange<Double>) -> Double {
    var sum = 0.0
    for i in 0..<x.count - 1 {
      let (low, high) = (max(part.lowerBound, x[i]), min(part.upperBound, x[i + 1]))
      guard low < high else { continue }
      let h = x[i + 1] - x[i]
      let secant = (y[i + 1] - y[i]) / h
      // y + a t + b t² + c t³ with t counted from x[i].
      let a = slopes[i]
      let b = (3 * secant - 2 * slopes[i] - slopes[i + 1]) / h
      let c = (slopes[i] + slopes[i + 1] - 2 * secant) / (h * h)
      func antiderivative(_ t: Double) -> Double { t * (y[i] + t * (a / 2 + t * (b / 3 + t * c / 4))) }
      sum += antiderivative(high - x[i]) - antiderivative(low - x[i])
    }
    return sum
  }
}

/// How a codec compares with another one, at equal quality.
struct Comparison {
  /// Of the mean curves.
  let means: BDRate
  /// Of each picture that both curves have, in percent, by name; nil where its curves have no quality in common.
  let pictures: [(name: String, percent: Double?)]

  init(anchor: Curve, test: Curve, _ metric: Metric) throws(BDRateError) {
    means = try BDRate(anchor: anchor.points(metric), test: test.points(metric))
    pictures = anchor.pictures.keys.filter { test.pictures[$0] != nil }.sorted().map { name in
      let own = try? BDRate(anchor: anchor.points(of: name, metric), test: test.points(of: name, metric))
      return (name, own?.percent)
    }
  }

  private var own: [Double] { pictures.compactMap(\.percent) }

  /// The mean of the pictures' own, which each picture has the same say in: in the mean curve those of high rates weigh
  /// most.
  var meanOfPictures: Double? { own.isEmpty ? nil : own.reduce(0, +) / Double(own.count) }

  var text: String {
    func signed(_ percent: Double) -> String { (percent >= 0.005 ? "+" : "") + fixed(percent, 2) + " %" }
    guard let mean = meanOfPictures else { return signed(means.percent) }
    let without = pictures.count - own.count
    return signed(means.percent) + "; mean of \(own.count) pictures' own: " + signed(mean)
      + (without > 0 ? " (\(without) without a common range)" : "")
  }

  var json: [JSON.Member] {
    let members: KeyValuePairs<String, JSON> = [
      "bd_rate_percent": .finite(means.percent),
      "bd_rate_percent_mean_of_pictures": meanOfPictures.map { .finite($0) } ?? .null,
      "range": [.number(means.range.lowerBound), .number(means.range.upperBound)],
      "pictures": .array(
        pictures.map { ["picture": .string($0.name), "bd_rate_percent": $0.percent.map { .finite($0) } ?? .null] }),
    ]
    return members.map { JSON.Member(name: $0.key, value: $0.value) }
  }
}

enum BDRateCommand: Command {
  static let name = "bdrate"
  static let summary = "Compare two rate-distortion curves: mean difference in rate at equal quality."
  static let operands = "ANCHOR TEST"
  static let operandCount = 2...2
  static let options = [
    OptionSpec("anchor-codec", value: "NAME", "the codec of ANCHOR, if the file has several"),
    OptionSpec("test-codec", value: "NAME", "the codec of TEST, if the file has several"),
    Metric.option,
    OptionSpec("json", "print JSON"),
  ]
  static let notes = """
    The files are results of eval (JSON or CSV) or CSV files with the columns codec, bpp and metrics. Each point is the
    mean rate and the mean quality of all pictures; the logarithm of the rate is interpolated over quality by a
    piecewise cubic Hermite function (PCHIP) and compared on the range of quality that both curves have. Where both files
    have pictures of the same names, the mean of each picture's own BD-rate is told, too.
    """

  static func run(_ arguments: Arguments) throws(ToolError) {
    let (anchorFile, testFile) = (arguments.operands[0], arguments.operands[1])
    let metric = try arguments.choice("metric", Metric.words) ?? .psnrRGB
    let anchor = try readCurves(anchorFile).choose(arguments.string("anchor-codec"), from: anchorFile)
    let test = try readCurves(testFile).choose(arguments.string("test-codec"), from: testFile)
    let result: Comparison
    do {
      result = try Comparison(anchor: anchor, test: test, metric)
    } catch {
      throw .badData(file: "\(anchorFile) and \(testFile)", "\(metric.rawValue): \(error.description)")
    }
    if arguments.has("json") {
      let names: KeyValuePairs<String, JSON> = [
        "anchor": .string(anchor.codec), "test": .string(test.codec), "metric": .string(metric.rawValue),
      ]
      let json = JSON.object(names.map { JSON.Member(name: $0.key, value: $0.value) } + result.json)
      return try printOutput(json.text)
    }
    func describe(_ curve: Curve) -> [String] {
      let points = curve.points(metric)
      let qualities = points.map(\.quality)
      return [
        curve.codec, "\(points.count)", "\(fixed(points[0].rate, 4)) to \(fixed(points[points.count - 1].rate, 4))",
        "\(fixed(qualities.min()!, 2)) to \(fixed(qualities.max()!, 2))",
      ]
    }
    try printOutput(
      "BD-rate of \(test.codec) over \(anchor.codec), \(metric.rawValue): \(result.text)\n"
        + "common range: \(fixed(result.means.range.lowerBound, 2)) to \(fixed(result.means.range.upperBound, 2)) dB\n\n"
        + table([["codec", "points", "bit/pixel", "dB"], describe(anchor), describe(test)]))
  }
}
