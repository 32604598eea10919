// SPDX-License-Identifier: BSD-3-Clause

/// A JSON value (RFC 8259). Objects keep the order of their members.
enum JSON: Equatable, Sendable {
  case null
  case bool(Bool)
  case number(Double)
  case string(String)
  case array([JSON])
  case object([Member])

  struct Member: Equatable, Sendable {
    var name: String
    var value: JSON
  }

  /// A number, or null if it is not finite: JSON has no way to write that.
  static func finite(_ value: Double) -> JSON { value.isFinite ? .number(value) : .null }

  subscript(name: String) -> JSON? {
    guard case .object(let members) = self else { return nil }
    return members.first { $0.name == name }?.value
  }

  var number: Double? {
    guard case .number(let value) = self else { return nil }
    return value
  }

  var string: String? {
    guard case .string(let value) = self else { return nil }
    return value
  }

  var array: [JSON]? {
    guard case .array(let values) = self else { return nil }
    return values
  }
}

extension JSON: ExpressibleByIntegerLiteral, ExpressibleByStringLiteral, ExpressibleByArrayLiteral,
  ExpressibleByDictionaryLiteral
{
  init(_ value: Int) { self = .number(Double(value)) }
  init(integerLiteral value: Int) { self.init(value) }
  init(stringLiteral value: String) { self = .string(value) }
  init(arrayLiteral elements: JSON...) { self = .array(elements) }
  init(dictionaryLiteral elements: (String, JSON)...) {
    self = .object(elements.map { Member(name: $0.0, value: $0.1) })
  }
}

// MARK: Writing

extension JSON {
  /// The value as text: containers of plain values on one line, others with one element a line.
  var text: String {
    var result = ""
    write(to: &result, indentation: "\n")
    return result + "\n"
  }

  private var isContainer: Bool {
    switch self {
    case .array, .object: true
    default: false
    }
  }

  private func write(to text: inout String, indentation: String) {
    switch self {
    case .null: text += "null"
    case .bool(let value): text += value ? "true" : "false"
    case .number(let value):
      precondition(value.isFinite, "JSON has no \(value)")
      text += compact(value)
    case .string(let value): JSON.write(string: value, to: &text)
    case .array(let values):
      let inner = values.contains(where: \.isContainer) ? indentation + "  " : ""
      JSON.write("[", values, "]", inner, indentation, to: &text) { value, text in
        value.write(to: &text, indentation: indentation + "  ")
      }
    case .object(let members):
      let isFlat = indentation != "\n" && !members.contains { $0.value.isContainer }
      JSON.write("{", members, "}", isFlat ? "" : indentation + "  ", indentation, to: &text) { member, text in
        JSON.write(string: member.name, to: &text)
        text += ": "
        member.value.write(to: &text, indentation: indentation + "  ")
      }
    }
  }

  private static func write<T>(
    _ open: String, _ elements: [T], _ close: String, _ inner: String, _ outer: String, to text: inout String,
    _ write: (T, inout String) -> Void
  ) {
    text += open
    for (i, element) in elements.enumerated() {
      if i > 0 { text += inner.isEmpty ? ", " : "," }
      text += inner
      write(element, &text)
    }
    text += (inner.isEmpty || elements.isEmpty ? "" : outer) + close
  }

  private static func write(string: String, to text: inout String) {
    text += "\""
    for scalar in string.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\t": text += "\\t"
      // Of a terminal's, too.
      case "\u{0}"..<" ", "\u{7F}"..."\u{9F}":
        let digits = String(scalar.value, radix: 16)
        text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: text.unicodeScalars.append(scalar)
      }
    }
    text += "\""
  }
}

// MARK: Reading

/// Why a text is not JSON, and at which byte.
struct JSONError: Error, Equatable {
  enum Reason: String {
    case encoding = "not UTF-8"
    case unexpected = "unexpected character"
    case end = "unexpected end"
    case depth = "nested too deeply"
    case number = "malformed number"
    case string = "malformed string"
    case repeated = "a name occurs twice in an object"
  }

  let reason: Reason
  let offset: Int

  var description: String { "not valid JSON: \(reason.rawValue) at byte \(offset)" }
}

extension JSON {
  /// Containers within containers that the parser accepts.
  static let maximumDepth = 64

  /// Parses exactly one value, strictly by RFC 8259; names in an object must differ.
  init(parsing bytes: [UInt8]) throws(JSONError) {
    var parser = JSONParser(bytes)
    self = try parser.parse()
  }
}

private struct JSONParser {
  private let bytes: [UInt8]
  private var position = 0

  init(_ bytes: [UInt8]) {
    self.bytes = bytes
  }

  mutating func parse() throws(JSONError) -> JSON {
    guard String(validating: bytes, as: UTF8.self) != nil else { throw error(.encoding) }
    let value = try value(depth: 0)
    skipSpace()
    guard position == bytes.count else { throw error(.unexpected) }
    return value
  }

  private func error(_ reason: JSONError.Reason) -> JSONError { JSONError(reason: reason, offset: position) }

  private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

  private mutating func skipSpace() {
    while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
  }

  /// Steps over one character of the grammar.
  private mutating func expect(_ character: Unicode.Scalar) throws(JSONError) {
    guard let next else { throw error(.end) }
    guard next == UInt8(ascii: character) else { throw error(.unexpected) }
    position += 1
  }

  private mutating func skip(_ character: Unicode.Scalar) -> Bool {
    guard next == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  private mutating func value(depth: Int) throws(JSONError) -> JSON {
    skipSpace()
    guard let first = next else { throw error(.end) }
    guard depth <= JSON.maximumDepth else { throw error(.depth) }
    switch Unicode.Scalar(first) {
    case "{": return try object(depth: depth)
    case "[": return try array(depth: depth)
    case "\"": return .string(try string())
    case "t": return try word("true", .bool(true))
    case "f": return try word("false", .bool(false))
    case "n": return try word("null", .null)
    case "-", "0"..."9": return .number(try number())
    default: throw error(.unexpected)
    }
  }

  private mutating func word(_ word: StaticString, _ value: JSON) throws(JSONError) -> JSON {
    for character in word.description.unicodeScalars { try expect(character) }
    return value
  }

  private mutating func array(depth: Int) throws(JSONError) -> JSON {
    try expect("[")
    var values: [JSON] = []
    skipSpace()
    if skip("]") { return .array(values) }
    while true {
      values.append(try value(depth: depth + 1))
      skipSpace()
      if skip("]") { return .array(values) }
      try expect(",")
    }
  }

  private mutating func object(depth: Int) throws(JSONError) -> JSON {
    try expect("{")
    var members: [JSON.Member] = []
    var names: Set<String> = []
    skipSpace()
    if skip("}") { return .object(members) }
    while true {
      skipSpace()
      let name = try string()
      guard names.insert(name).inserted else { throw error(.repeated) }
      skipSpace()
      try expect(":")
      members.append(JSON.Member(name: name, value: try value(depth: depth + 1)))
      skipSpace()
      if skip("}") { return .object(members) }
      try expect(",")
    }
  }

  private mutating func digits() -> Int {
    let start = position
    while let byte = next, (0x30...0x39).contains(byte) { position += 1 }
    return position - start
  }

  private mutating func number() throws(JSONError) -> Double {
    let start = position
    _ = skip("-")
    let isZero = next == UInt8(ascii: "0")
    let whole = digits()
    guard whole > 0, !isZero || whole == 1 else { throw error(.number) }
    if skip("."), digits() == 0 { throw error(.number) }
    if skip("e") || skip("E") {
      if !skip("+") { _ = skip("-") }
      if digits() == 0 { throw error(.number) }
    }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    guard let value = Double(text), value.isFinite else { throw error(.number) }
    return value
  }

  private mutating func string() throws(JSONError) -> String {
    try expect("\"")
    var units: [UInt8] = []
    while let byte = next {
      position += 1
      switch byte {
      case UInt8(ascii: "\""): return String(decoding: units, as: UTF8.self)
      case UInt8(ascii: "\\"): units += String(try escape()).utf8
      case 0..<0x20: throw error(.string)
      default: units.append(byte)
      }
    }
    throw error(.end)
  }

  private mutating func escape() throws(JSONError) -> Character {
    guard let byte = next else { throw error(.end) }
    position += 1
    switch Unicode.Scalar(byte) {
    case "\"": return "\""
    case "\\": return "\\"
    case "/": return "/"
    case "b": return "\u{8}"
    case "f": return "\u{C}"
    case "n": return "\n"
    case "r": return "\r"
    case "t": return "\t"
    case "u":
      var code = try hexadecimal()
      if (0xD800..<0xDC00).contains(code) {
        guard skip("\\"), skip("u") else { throw error(.string) }
        let low = try hexadecimal()
        guard (0xDC00..<0xE000).contains(low) else { throw error(.string) }
        code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(code) else { throw error(.string) }
      return Character(scalar)
    default: throw error(.string)
    }
  }

  private mutating func hexadecimal() throws(JSONError) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = next else { throw error(.end) }
      guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue else { throw error(.string) }
      value = value << 4 | UInt32(digit)
      position += 1
    }
    return value
  }
}

extension [JSON.Member] {
  mutating func add(_ name: String, _ value: JSON) { append(JSON.Member(name: name, value: value)) }
}
