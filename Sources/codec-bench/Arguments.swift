// SPDX-License-Identifier: BSD-3-Clause

/// One option of a subcommand, `--name VALUE` or, without `value`, a flag.
struct OptionSpec: Sendable {
  let name: String
  let short: Character?
  /// The placeholder of the value in the help text.
  let value: String?
  let help: String

  init(_ name: String, short: Character? = nil, value: String? = nil, _ help: String) {
    self.name = name
    self.short = short
    self.value = value
    self.help = help
  }
}

/// The parsed command line of one subcommand.
struct Arguments {
  private(set) var operands: [String] = []
  private var values: [String: String] = [:]

  /// Accepts `--name value`, `--name=value`, `-n value`, `-nvalue`, flags in one word, operands anywhere, and `--` before operands that start with `-`.
  init(_ words: some Sequence<String>, of command: any Command.Type) throws(ToolError) {
    let help = "\(CodecBench.name) \(command.name) --help"
    var rest = Array(words)[...]
    while let word = rest.popFirst() {
      if word == "--" {
        operands += rest
        break
      }
      guard word.hasPrefix("-"), word != "-" else {
        operands.append(word)
        continue
      }
      // -q50, -q=50, -q 50 and, of flags, -vj4.
      var letters = word.hasPrefix("--") ? nil : word.dropFirst()
      repeat {
        let key: String
        var attached: String?
        if let rest = letters {
          key = "-\(rest.prefix(1))"
          let value = rest.dropFirst()
          attached = value.isEmpty ? nil : String(value.first == "=" ? value.dropFirst() : value)
        } else {
          key = String(word.prefix { $0 != "=" })
          attached = key.count < word.count ? String(word.dropFirst(key.count + 1)) : nil
        }
        let option = command.options.first { option in
          key == "--" + option.name || option.short.map { key == "-" + String($0) } ?? false
        }
        guard let option else { throw .usage("unknown option \(printable(key)); see \(help)") }
        guard values[option.name] == nil else { throw .usage("--\(option.name) is given twice") }
        if option.value != nil {
          guard let value = attached ?? rest.popFirst() else {
            throw .usage("--\(option.name) needs a value; see \(help)")
          }
          values[option.name] = value
          letters = nil
        } else if let rest = letters, !rest.dropFirst().isEmpty, rest.dropFirst().first != "=" {
          values[option.name] = ""
          letters = rest.dropFirst()
        } else {
          guard attached == nil else { throw .usage("--\(option.name) takes no value") }
          values[option.name] = ""
          letters = nil
        }
      } while letters != nil
    }
    guard command.operandCount.contains(operands.count) else {
      throw .usage("expected \(command.name) \(command.operands); see \(help)")
    }
  }

  /// Options of a list that are given.
  func given(_ names: [String]) -> [String] { names.filter { has($0) } }

  /// An error if more than one of a list of options is given.
  func atMostOne(of names: [String]) throws(ToolError) {
    let given = given(names)
    guard given.count < 2 else { throw .usage("either --\(given[0]) or --\(given[1]), not both") }
  }

  /// An error for options that would change nothing.
  func refuse(_ names: [String], _ reason: String) throws(ToolError) {
    if let name = given(names).first { throw .usage("--\(name) has no effect \(reason)") }
  }

  func has(_ name: String) -> Bool { values[name] != nil }

  func string(_ name: String) -> String? { values[name] }

  func integer(_ name: String, in range: ClosedRange<Int>) throws(ToolError) -> Int? {
    guard let text = values[name] else { return nil }
    guard let value = Int(text), range.contains(value) else {
      let most = range.upperBound == .max ? "or more" : "to \(range.upperBound)"
      throw .usage("--\(name) \(text): not a whole number of \(range.lowerBound) \(most)")
    }
    return value
  }

  func number(_ name: String, above least: Double) throws(ToolError) -> Double? {
    guard let text = values[name] else { return nil }
    guard let value = Double(text), value.isFinite, value > least else {
      throw .usage("--\(name) \(text): not a number above \(compact(least))")
    }
    return value
  }

  func number(_ name: String, in range: ClosedRange<Double>) throws(ToolError) -> Double? {
    guard let text = values[name] else { return nil }
    guard let value = Double(text), range.contains(value) else {
      throw .usage("--\(name) \(text): not a number of \(compact(range.lowerBound)) to \(compact(range.upperBound))")
    }
    return value
  }

  /// Bytes, or thousands or millions of them with a k or M behind: at least 1.
  func byteCount(_ name: String) throws(ToolError) -> Int? {
    guard let text = values[name] else { return nil }
    let factor = text.hasSuffix("k") ? 1e3 : text.hasSuffix("M") ? 1e6 : 1
    let digits = factor == 1 ? Substring(text) : text.dropLast()
    if factor == 1, let value = Int(digits), value >= 1 { return value }
    guard factor > 1, let value = Double(digits), value * factor >= 1, value * factor < 1e18 else {
      throw .usage("--\(name) \(text): not a size in bytes such as 20000, 20k or 1.5M")
    }
    return Int(value * factor)
  }

  /// Numbers such as `0,12.5,100`, in the order given.
  func numbers(_ name: String, in range: ClosedRange<Double>) throws(ToolError) -> [Double]? {
    guard let text = values[name] else { return nil }
    var result: [Double] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      guard let value = Double(part), range.contains(value) else {
        throw .usage(
          "--\(name) \(text): \(part) is not a number of \(compact(range.lowerBound)) to \(compact(range.upperBound))")
      }
      result.append(value)
    }
    return result
  }

  /// One of a few words.
  func choice<T>(_ name: String, _ words: KeyValuePairs<String, T>) throws(ToolError) -> T? {
    guard let text = values[name] else { return nil }
    guard let found = words.first(where: { $0.key == text }) else {
      throw .usage("--\(name) \(text): not one of \(words.map(\.key).joined(separator: ", "))")
    }
    return found.value
  }

  /// Whole numbers and ranges such as `0,3,5-7`, in the order given.
  func integers(_ name: String, in range: Range<Int>) throws(ToolError) -> [Int]? {
    guard let text = values[name] else { return nil }
    var result: [Int] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let ends = part.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map { Int($0) }
      guard let first = ends[0], let last = ends[ends.count - 1], range.contains(first), range.contains(last),
        first <= last
      else {
        throw .usage("--\(name) \(text): \(part) is not within \(range.lowerBound) to \(range.upperBound - 1)")
      }
      result += first...last
    }
    return result
  }
}
