// SPDX-License-Identifier: BSD-3-Clause

enum PlotCommand: Command {
  static let name = "plot"
  static let summary = "Draw rate-distortion curves as SVG."
  static let operands = "OUT.svg CURVES…"
  static let operandCount = 2...1000
  static let options = [
    Metric.option,
    OptionSpec("title", value: "TEXT", "a line above the figure"),
    OptionSpec("x-range", value: "A,B", "rates shown, in bit/pixel; the default is 0 to the highest"),
    OptionSpec("y-range", value: "A,B", "qualities shown, in dB; the default follows from the points"),
    OptionSpec("width", value: "N", "width of the figure in pixels, 720 by default"),
    OptionSpec("height", value: "N", "height of the figure in pixels, 480 by default"),
  ]
  static let notes = """
    CURVES is FILE or FILE:CODEC[=LABEL][,CODEC[=LABEL]…]: a result of eval (JSON or CSV) or a CSV file with the
    columns codec, bpp and metrics; all of its codecs, or those named, under other names if wished. The first curve is
    drawn boldest.
    """

  static func run(_ arguments: Arguments) throws(ToolError) {
    let metric = try arguments.choice("metric", Metric.words) ?? .psnrRGB
    var lines: [RateDistortionPlot.Line] = []
    for operand in arguments.operands.dropFirst() {
      for (label, curve) in try curves(operand) {
        let points = curve.points(metric)
        guard !points.isEmpty else { throw .badData(file: operand, "\(curve.codec) has no \(metric.rawValue)") }
        lines.append(RateDistortionPlot.Line(label: label, points: points.map { ($0.rate, $0.quality) }))
      }
    }
    let plot = RateDistortionPlot(
      title: arguments.string("title") ?? "", yLabel: metric.label, lines: lines,
      xRange: try range(arguments, "x-range"), yRange: try range(arguments, "y-range"),
      width: Double(try arguments.integer("width", in: 240...10000) ?? 720),
      height: Double(try arguments.integer("height", in: 180...10000) ?? 480))
    try writeFile(arguments.operands[0], Array(plot.svg().utf8))
  }

  private static func curves(_ operand: String) throws(ToolError) -> [(label: String, curve: Curve)] {
    guard !fileExists(operand), let colon = operand.lastIndex(of: ":") else {
      return try readCurves(operand).map { ($0.codec, $0) }
    }
    let file = String(operand[..<colon])
    let all = try readCurves(file)
    var result: [(String, Curve)] = []
    for choice in operand[operand.index(after: colon)...].split(separator: ",") {
      let parts = choice.split(separator: "=", maxSplits: 1).map(String.init)
      result.append((parts[parts.count - 1], try all.choose(parts[0], from: file)))
    }
    return result
  }

  private static func range(_ arguments: Arguments, _ name: String) throws(ToolError) -> ClosedRange<Double>? {
    guard let text = arguments.string(name) else { return nil }
    let ends = text.split(separator: ",", omittingEmptySubsequences: false).map { Double($0) }
    guard ends.count == 2, let low = ends[0], let high = ends[1], low.isFinite, high.isFinite, low < high else {
      throw .usage("--\(name) \(text): not two rising numbers A,B")
    }
    return low...high
  }
}

/// Curves of quality over rate, drawn for print: quiet grid, colours that colour-blind readers can tell apart, a
/// marker of its own for each curve, and a legend in the order in which the curves lie.
struct RateDistortionPlot {
  struct Line {
    let label: String
    /// By rising x.
    let points: [(x: Double, y: Double)]
  }

  let title: String
  let yLabel: String
  let lines: [Line]
  var xRange: ClosedRange<Double>?
  var yRange: ClosedRange<Double>?
  let width: Double
  let height: Double

  private static let colors = [
    "#0B5FA5", "#D1495B", "#2E8B57", "#E08A00", "#7B4EA3", "#2AA5B8", "#8C5A3C", "#5B6770", "#C2559D", "#7A8B1C",
  ]
  private static let dashes = ["", "6 3", "2 2.5", "8 3 2 3"]
  private static let fontSize = 13.0

  func svg() -> String {
    let x = Axis(covering: xRange, data: [0] + lines.flatMap { $0.points.map(\.x) }, ticks: Int(width / 85))
    let shown = lines.flatMap { line in
      line.points.filter { x.range.contains($0.x) }.map(\.y)
        + [x.range.lowerBound, x.range.upperBound].compactMap { value(of: line, at: $0) }
    }
    let y = Axis(covering: yRange, data: shown, ticks: Int(height / 50))
    var frame = Frame(
      left: 62, top: title.isEmpty ? 16 : 42, right: width - 20, bottom: height - 52, x: x, y: y)
    let legend = Legend(lines.map(\.label), order: legendOrder(), fontSize: Self.fontSize)
    // Curves rise to the right, so the corner below them is free, unless there are too many.
    var legendX = frame.right - legend.width - 12
    var legendY = frame.bottom - legend.height - 12
    let isOutside = legendX < frame.left || legendY < frame.top || covers(legendX, legendY, frame)
    if isOutside {
      frame.right = max(frame.left + 80, width - legend.width - 24)
      (legendX, legendY) = (frame.right + 12, frame.top)
    }

    let size = "\(fixed(width, 0))\" height=\"\(fixed(height, 0))"
    var text = """
      <svg xmlns="http://www.w3.org/2000/svg" width="\(size)" viewBox="0 0 \(fixed(width, 0)) \(fixed(height, 0))" \
      font-family="Helvetica, Arial, 'Liberation Sans', sans-serif" font-size="\(compact(Self.fontSize))" fill="#222">
      <rect width="100%" height="100%" fill="white"/>

      """
    if !title.isEmpty {
      text +=
        "<text x=\"\(place(frame.left))\" y=\"26\" font-size=\"16\" font-weight=\"bold\">\(escaped(title))</text>\n"
    }
    text += axes(frame)
    text += "<clipPath id=\"frame\"><rect x=\"\(place(frame.left))\" y=\"\(place(frame.top))\" "
    text += "width=\"\(place(frame.right - frame.left))\" height=\"\(place(frame.bottom - frame.top))\"/></clipPath>\n"
    for index in lines.indices.reversed() { text += curve(index, frame) }
    if !isOutside {
      text += "<rect x=\"\(place(legendX))\" y=\"\(place(legendY))\" width=\"\(place(legend.width))\" "
      text += "height=\"\(place(legend.height))\" rx=\"3\" fill=\"white\" fill-opacity=\"0.9\" stroke=\"#ccc\"/>\n"
    }
    for (row, index) in legend.order.enumerated() {
      let middle = legendY + legend.padding + (Double(row) + 0.5) * legend.rowHeight
      let left = legendX + legend.padding
      text += stroke(index, "M\(place(left)) \(place(middle))h\(place(legend.sampleWidth))")
      text += marker(index, left + legend.sampleWidth / 2, middle)
      text += "<text x=\"\(place(left + legend.sampleWidth + 8))\" y=\"\(place(middle + 4.5))\">"
      text += "\(escaped(lines[index].label))</text>\n"
    }
    return text + "</svg>\n"
  }

  /// The plot's rectangle and its axes.
  private struct Frame {
    var left: Double, top: Double, right: Double, bottom: Double
    let x: Axis, y: Axis

    func horizontal(_ value: Double) -> Double { left + x.fraction(value) * (right - left) }
    func vertical(_ value: Double) -> Double { bottom - y.fraction(value) * (bottom - top) }
  }

  private struct Axis {
    let range: ClosedRange<Double>
    let ticks: [Double]
    let decimals: Int

    /// Ticks at 1, 2 or 5 times a power of ten; without a given range it starts and ends on ticks.
    init(covering given: ClosedRange<Double>?, data: [Double], ticks wanted: Int) {
      let low = given?.lowerBound ?? data.min() ?? 0
      let high = max(given?.upperBound ?? data.max() ?? 1, low + 1e-6)
      var power = 1e-9
      while power * 10 <= (high - low) / Double(max(2, wanted)) { power *= 10 }
      let step = [1, 2, 5, 10].map { $0 * power }.first { (high - low) / $0 <= Double(max(2, wanted)) } ?? 10 * power
      let first = given == nil ? (low / step + 1e-9).rounded(.down) : (low / step - 1e-9).rounded(.up)
      let last = given == nil ? (high / step - 1e-9).rounded(.up) : (high / step + 1e-9).rounded(.down)
      ticks = stride(from: first, through: last, by: 1).map { $0 * step }
      range = given ?? first * step...last * step
      decimals =
        (0...8).first { digits in
          var scaled = step
          for _ in 0..<digits { scaled *= 10 }
          return (scaled - scaled.rounded()).magnitude < 1e-6 * scaled
        } ?? 8
    }

    func fraction(_ value: Double) -> Double { (value - range.lowerBound) / (range.upperBound - range.lowerBound) }
  }

  private struct Legend {
    let order: [Int]
    let width: Double
    let height: Double
    let rowHeight = 19.0
    let padding = 8.0
    let sampleWidth = 30.0

    init(_ labels: [String], order: [Int], fontSize: Double) {
      self.order = order
      // Nobody can measure text here: a mean advance of 0.56 em for Helvetica.
      let longest = labels.map { Double($0.count) }.max() ?? 0
      width = longest * fontSize * 0.56 + sampleWidth + 8 + 2 * padding
      height = Double(labels.count) * rowHeight + 2 * padding
    }
  }

  /// Curves from the highest to the lowest, where most of them have a value.
  private func legendOrder() -> [Int] {
    let starts = lines.map { $0.points[0].x }.sorted()
    let ends = lines.map { $0.points[$0.points.count - 1].x }.sorted()
    let middle = (starts[starts.count / 2] + ends[ends.count / 2]) / 2
    let heights = lines.map { line in
      let end = line.points[middle < line.points[0].x ? 0 : line.points.count - 1]
      return value(of: line, at: middle) ?? end.y
    }
    return lines.indices.sorted { (-heights[$0], $0) < (-heights[$1], $1) }
  }

  /// The height of a line; nil where it has none.
  private func value(of line: Line, at x: Double) -> Double? {
    for (a, b) in zip(line.points, line.points.dropFirst()) where a.x <= x && x <= b.x && a.x < b.x {
      return a.y + (b.y - a.y) * (x - a.x) / (b.x - a.x)
    }
    return nil
  }

  /// Whether a curve meets a legend whose upper left corner is here and which reaches to the frame's corner.
  private func covers(_ legendX: Double, _ legendY: Double, _ frame: Frame) -> Bool {
    for line in lines {
      let places = line.points.map { (x: frame.horizontal($0.x), y: frame.vertical($0.y)) }
      for (a, b) in zip(places, places.dropFirst() + places.suffix(1)) {
        for part in 0...20 {
          let t = Double(part) / 20
          let (x, y) = (a.x + t * (b.x - a.x), a.y + t * (b.y - a.y))
          if x > legendX - 8, x < frame.right + 8, y > legendY - 8, y < frame.bottom + 8 { return true }
        }
      }
    }
    return false
  }

  private func axes(_ frame: Frame) -> String {
    var grid = ""
    var labels = ""
    for tick in frame.x.ticks {
      let x = place(frame.horizontal(tick))
      grid += "M\(x) \(place(frame.top))V\(place(frame.bottom + 5))"
      labels += "<text x=\"\(x)\" y=\"\(place(frame.bottom + 20))\" text-anchor=\"middle\">"
      labels += "\(fixed(tick, frame.x.decimals))</text>\n"
    }
    for tick in frame.y.ticks {
      let y = frame.vertical(tick)
      grid += "M\(place(frame.left - 5)) \(place(y))H\(place(frame.right))"
      labels += "<text x=\"\(place(frame.left - 9))\" y=\"\(place(y + 4.5))\" text-anchor=\"end\">"
      labels += "\(fixed(tick, frame.y.decimals))</text>\n"
    }
    let middle = (frame.top + frame.bottom) / 2
    return """
      <path d="\(grid)" fill="none" stroke="#dfe3e6" stroke-width="0.8"/>
      <path d="M\(place(frame.left)) \(place(frame.top))V\(place(frame.bottom))H\(place(frame.right))" fill="none" \
      stroke="#333" stroke-width="1.2"/>
      \(labels)<text x="\(place((frame.left + frame.right) / 2))" y="\(place(frame.bottom + 42))" \
      text-anchor="middle">Rate (bit/pixel)</text>
      <text transform="translate(18 \(place(middle))) rotate(-90)" text-anchor="middle">\(escaped(yLabel))</text>

      """
  }

  private func curve(_ index: Int, _ frame: Frame) -> String {
    let points = lines[index].points
    let path = points.enumerated().map { i, point in
      "\(i == 0 ? "M" : "L")\(place(frame.horizontal(point.x))) \(place(frame.vertical(point.y)))"
    }.joined()
    let inside = points.filter { frame.x.range.contains($0.x) && frame.y.range.contains($0.y) }
    return "<g clip-path=\"url(#frame)\">\(stroke(index, path))</g>\n"
      + inside.map { marker(index, frame.horizontal($0.x), frame.vertical($0.y)) }.joined()
  }

  private func stroke(_ index: Int, _ path: String) -> String {
    let dash = Self.dashes[index / Self.colors.count % Self.dashes.count]
    return "<path d=\"\(path)\" fill=\"none\" stroke=\"\(color(index))\" stroke-width=\"\(index == 0 ? "2.4" : "1.5")\""
      + " stroke-linejoin=\"round\"\(dash.isEmpty ? "" : " stroke-dasharray=\"\(dash)\"")/>\n"
  }

  private func color(_ index: Int) -> String { Self.colors[index % Self.colors.count] }

  /// Circle, square, triangle, diamond, inverted triangle, cross, and the first four hollow.
  private func marker(_ index: Int, _ x: Double, _ y: Double) -> String {
    let r = index == 0 ? 4.2 : 3.4
    let kind = index % 10
    let fill = kind < 6 ? color(index) : "white"
    let style =
      "fill=\"\(fill)\" stroke=\"\(kind < 6 ? "white" : color(index))\" stroke-width=\"\(kind < 6 ? "0.7" : "1.3")\""
    func polygon(_ corners: [(Double, Double)]) -> String {
      let path = corners.map { "\(place(x + $0.0 * r)) \(place(y + $0.1 * r))" }.joined(separator: "L")
      return "<path d=\"M\(path)Z\" \(style)/>\n"
    }
    switch kind {
    case 0, 6: return "<circle cx=\"\(place(x))\" cy=\"\(place(y))\" r=\"\(fixed(r, 1))\" \(style)/>\n"
    case 1, 7: return polygon([(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)])
    case 2, 8: return polygon([(0, -1.2), (1.1, 0.8), (-1.1, 0.8)])
    case 3, 9: return polygon([(0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)])
    case 4: return polygon([(0, 1.2), (1.1, -0.8), (-1.1, -0.8)])
    default:
      let (a, b) = (0.4, 1.2)
      return polygon([
        (-a, -b), (a, -b), (a, -a), (b, -a), (b, a), (a, a), (a, b), (-a, b), (-a, a), (-b, a), (-b, -a), (-a, -a),
      ])
    }
  }
}

/// A coordinate.
private func place(_ value: Double) -> String { fixed(value, 1) }

private func escaped(_ text: String) -> String {
  var result = ""
  for character in text {
    switch character {
    case "&": result += "&amp;"
    case "<": result += "&lt;"
    case ">": result += "&gt;"
    default: result.append(character)
    }
  }
  return result
}
