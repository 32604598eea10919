// SPDX-License-Identifier: BSD-3-Clause

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A measure of quality, by the name that it has in files.
enum Metric: String, CaseIterable, Sendable {
  case psnrRGB = "psnr_rgb"
  case psnrY = "psnr_y"
  case psnrYUV = "psnr_yuv"
  case msSSIM = "ms_ssim_rgb"

  static let words: KeyValuePairs<String, Metric> = [
    "psnr_rgb": .psnrRGB, "psnr_y": .psnrY, "psnr_yuv": .psnrYUV, "ms_ssim_rgb": .msSSIM,
  ]

  static let option = OptionSpec(
    "metric", value: "NAME", "psnr_rgb (the default), psnr_y, psnr_yuv or ms_ssim_rgb (as -10 log10(1 - x))")

  var label: String {
    switch self {
    case .psnrRGB: "PSNR, RGB (dB)"
    case .psnrY: "PSNR, luma (dB)"
    case .psnrYUV: "PSNR, YUV 4:2:0 weighted 6:1:1 (dB)"
    case .msSSIM: "MS-SSIM, RGB (dB)"
    }
  }

  /// What a file says, in dB.
  func decibel(_ value: Double) -> Double { self == .msSSIM ? -10 * log10(1 - value) : value }
}

/// The mean rates and qualities of one codec.
struct Curve: Sendable {
  struct Point: Sendable {
    let bitsPerPixel: Double
    /// As in the file.
    let qualities: [Metric: Double]
  }

  let codec: String
  let points: [Point]
  /// Each picture's own points, by its name; empty if the file has means alone.
  var pictures: [String: [Point]] = [:]

  /// The points that have this metric, by rising rate.
  func points(_ metric: Metric) -> [(rate: Double, quality: Double)] { Curve.points(points, metric) }

  /// The same of a picture.
  func points(of picture: String, _ metric: Metric) -> [(rate: Double, quality: Double)] {
    Curve.points(pictures[picture] ?? [], metric)
  }

  private static func points(_ points: [Point], _ metric: Metric) -> [(rate: Double, quality: Double)] {
    points.compactMap { point in
      guard let value = point.qualities[metric].map(metric.decibel), value.isFinite else { return nil }
      return (point.bitsPerPixel, value)
    }.sorted { $0.rate < $1.rate }
  }
}

/// The curves of a file that `eval` wrote (JSON or CSV), or of a CSV file with the columns codec, bpp and metrics.
func readCurves(_ file: String) throws(ToolError) -> [Curve] {
  let bytes = try readFile(file)
  let isJSON = bytes.first { $0 > 0x20 } == UInt8(ascii: "{")
  let curves = isJSON ? try curvesFromJSON(bytes, file) : try curvesFromCSV(bytes, file)
  guard curves.contains(where: { !$0.points.isEmpty }) else { throw .badData(file: file, "no rate points in the file") }
  return curves
}

extension [Curve] {
  /// The curve of this codec, or the only one.
  func choose(_ codec: String?, from file: String) throws(ToolError) -> Curve {
    let names = map(\.codec).joined(separator: ", ")
    guard let codec else {
      guard count == 1 else { throw .usage("\(file) has several codecs, say which: \(names)") }
      return self[0]
    }
    guard let curve = first(where: { $0.codec == codec }) else {
      throw .usage("\(file) has no codec \(codec), only \(names)")
    }
    return curve
  }
}

func curvesFromJSON(_ bytes: [UInt8], _ file: String) throws(ToolError) -> [Curve] {
  let json: JSON
  do { json = try JSON(parsing: bytes) } catch { throw .badData(file: file, error.description) }
  guard let codec = json["codec"]?.string, let entries = json["rate_points"]?.array else {
    throw .badData(file: file, "not a result of eval: it lacks codec or rate_points")
  }
  func point(_ entry: JSON) throws(ToolError) -> Curve.Point {
    guard let rate = entry["bpp"]?.number, rate > 0 else {
      throw .badData(file: file, "a rate point without a positive bpp")
    }
    var qualities: [Metric: Double] = [:]
    for metric in Metric.allCases { qualities[metric] = entry[metric.rawValue]?.number }
    return Curve.Point(bitsPerPixel: rate, qualities: qualities)
  }
  var curve = Curve(codec: codec, points: try entries.map(point))
  for entry in json["pictures"]?.array ?? [] {
    guard let name = entry["picture"]?.string else { throw .badData(file: file, "a picture without a name") }
    curve.pictures[name, default: []].append(try point(entry))
  }
  return [curve]
}

/// Lines of pictures (columns picture and rate_point) are averaged for each rate point; other lines are points.
private func curvesFromCSV(_ bytes: [UInt8], _ file: String) throws(ToolError) -> [Curve] {
  let rows = try CSV.parse(bytes, file)
  guard let header = rows.first, let codecColumn = header.firstIndex(of: "codec"),
    let rateColumn = header.firstIndex(of: "bpp")
  else { throw .badData(file: file, "not a CSV file with the columns codec and bpp") }
  let pictureColumn = header.firstIndex(of: "picture")
  let pointColumn = pictureColumn == nil ? nil : header.firstIndex(of: "rate_point")
  var order: [String] = []
  var groups: [String: [[Curve.Point]]] = [:]
  var pointNames: [String: [String]] = [:]
  var pictures: [String: [String: [Curve.Point]]] = [:]
  for (line, row) in rows.enumerated().dropFirst() {
    guard row.count == header.count else {
      throw .badData(file: file, "row \(line + 1) has \(row.count) columns instead of \(header.count)")
    }
    guard let rate = Double(row[rateColumn]), rate > 0, rate.isFinite else {
      throw .badData(file: file, "row \(line + 1) has no positive bpp")
    }
    var qualities: [Metric: Double] = [:]
    for metric in Metric.allCases {
      guard let column = header.firstIndex(of: metric.rawValue) else { continue }
      qualities[metric] = Double(row[column])
    }
    let codec = row[codecColumn]
    if groups[codec] == nil { order.append(codec) }
    let name = pointColumn.map { row[$0] } ?? "\(line)"
    let names = pointNames[codec, default: []]
    let place = names.firstIndex(of: name) ?? names.count
    if place == names.count {
      pointNames[codec, default: []].append(name)
      groups[codec, default: []].append([])
    }
    let point = Curve.Point(bitsPerPixel: rate, qualities: qualities)
    groups[codec]?[place].append(point)
    if let pictureColumn { pictures[codec, default: [:]][row[pictureColumn], default: []].append(point) }
  }
  return order.map {
    Curve(codec: $0, points: groups[$0, default: []].map(mean), pictures: pictures[$0] ?? [:])
  }
}

/// A metric that one of the points lacks is lacking in the mean.
private func mean(_ points: [Curve.Point]) -> Curve.Point {
  let count = Double(points.count)
  var qualities: [Metric: Double] = [:]
  for metric in Metric.allCases {
    let values = points.compactMap { $0.qualities[metric] }
    if values.count == points.count { qualities[metric] = values.reduce(0, +) / count }
  }
  return Curve.Point(bitsPerPixel: points.reduce(0) { $0 + $1.bitsPerPixel } / count, qualities: qualities)
}

/// Comma-separated values (RFC 4180); lines that start with # are comments, empty lines are skipped.
enum CSV {
  static func parse(_ bytes: [UInt8], _ file: String) throws(ToolError) -> [[String]] {
    guard let text = String(validating: bytes, as: UTF8.self) else { throw .badData(file: file, "not UTF-8 text") }
    var rows: [[String]] = []
    var row: [String] = []
    var cell = ""
    var isQuoted = false
    var isComment = false
    // Characters: "\r\n" is one.
    var rest = Substring(text)
    while let character = rest.popFirst() {
      if isComment {
        isComment = !character.isNewline
      } else if isQuoted {
        if character != "\"" {
          cell.append(character)
        } else if rest.first == "\"" {
          cell.append(rest.removeFirst())
        } else {
          isQuoted = false
        }
      } else if character == "#", row.isEmpty, cell.isEmpty {
        isComment = true
      } else if character == "\"", cell.isEmpty {
        isQuoted = true
      } else if character == "," {
        row.append(cell)
        cell = ""
      } else if character.isNewline {
        if !row.isEmpty || !cell.isEmpty { rows.append(row + [cell]) }
        (row, cell) = ([], "")
      } else {
        cell.append(character)
      }
    }
    guard !isQuoted else { throw .badData(file: file, "a quoted cell does not end") }
    if !row.isEmpty || !cell.isEmpty { rows.append(row + [cell]) }
    return rows
  }

  static func text(_ rows: [[String]]) -> String {
    rows.map { row in
      row.map { cell in
        let needsQuotes = cell.hasPrefix("#") || cell.contains { $0 == "," || $0 == "\"" || $0.isNewline }
        return needsQuotes
          ? "\"" + cell.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\"" : cell
      }.joined(separator: ",") + "\n"
    }.joined()
  }
}
