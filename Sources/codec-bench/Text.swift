// SPDX-License-Identifier: BSD-3-Clause

/// `value` with `digits` decimals, rounded half away from zero.
func fixed(_ value: Double, _ digits: Int) -> String {
  guard value.isFinite else { return value.isNaN ? "nan" : value < 0 ? "-inf" : "inf" }
  var scale = 1.0
  for _ in 0..<digits { scale *= 10 }
  let scaled = (value.magnitude * scale).rounded()
  guard scaled < 0x1p63 else { return "\(value)" }
  var text = String(UInt64(scaled))
  if digits > 0 {
    text = String(repeating: "0", count: max(0, digits + 1 - text.count)) + text
    text.insert(".", at: text.index(text.endIndex, offsetBy: -digits))
  }
  return value < 0 && scaled > 0 ? "-" + text : text
}

/// The shortest decimal that reads back as `value`, whole numbers without a decimal point.
func compact(_ value: Double) -> String {
  value == value.rounded() && value.magnitude < 0x1p53 ? String(Int(value)) : "\(value)"
}

extension String {
  func padded(to width: Int) -> String { self + String(repeating: " ", count: Swift.max(0, width - count)) }

  func leftPadded(to width: Int) -> String { String(repeating: " ", count: Swift.max(0, width - count)) + self }
}

/// Rows of cells as aligned lines; the first column is aligned left, the others right.
func table(_ rows: [[String]]) -> String {
  var widths: [Int] = []
  for row in rows {
    for (i, cell) in row.enumerated() {
      if i == widths.count { widths.append(0) }
      widths[i] = max(widths[i], cell.count)
    }
  }
  var text = ""
  for row in rows {
    let cells = row.enumerated().map { i, cell in i == 0 ? cell.padded(to: widths[i]) : cell.leftPadded(to: widths[i]) }
    var line = cells.joined(separator: "  ")
    while line.hasSuffix(" ") { line.removeLast() }
    text += line + "\n"
  }
  return text
}
