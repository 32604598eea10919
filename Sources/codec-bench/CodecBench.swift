// SPDX-License-Identifier: BSD-3-Clause

import SwiftCodec

/// One subcommand. To add one, write a type like this in a file of its own and name it in `CodecBench.commands`.
protocol Command {
  static var name: String { get }
  /// One line for the list of commands.
  static var summary: String { get }
  /// The operands as the user should write them, such as `IN OUT.sci`.
  static var operands: String { get }
  static var operandCount: ClosedRange<Int> { get }
  static var options: [OptionSpec] { get }
  /// What `--help` says below the options.
  static var notes: String { get }
  static func run(_ arguments: Arguments) throws(ToolError)
}

extension Command {
  static var notes: String { "" }
}

@main
enum CodecBench {
  static let name = "codec-bench"

  static var commands: [any Command.Type] {
    [
      EncodeCommand.self,
      DecodeCommand.self,
      InfoCommand.self,
      EvalCommand.self,
      BenchCommand.self,
      FitCommand.self,
      BDRateCommand.self,
      PlotCommand.self,
    ]
  }

  static func main() {
    do throws(ToolError) {
      try run(Array(CommandLine.arguments.dropFirst()))
    } catch {
      printError("\(name): \(error.message)")
      exitProcess(error.exitCode)
    }
  }

  private static func run(_ words: [String]) throws(ToolError) {
    if words.first == "--version" { return try printOutput("\(name) \(libraryVersion)\n") }
    guard let first = words.first else { throw .usage("no command given; \(name) --help lists them") }
    if first == "--help" || first == "-h" || first == "help" && words.count == 1 {
      return try printOutput(help)
    }
    let isHelp = first == "help"
    let wanted = isHelp ? words[1] : first
    guard let command = commands.first(where: { $0.name == wanted }) else {
      throw .usage(
        "unknown \(wanted.hasPrefix("-") ? "option" : "command") \(printable(wanted)); \(name) --help lists the commands"
      )
    }
    let rest = words.dropFirst(isHelp ? 2 : 1)
    if isHelp || rest.prefix(while: { $0 != "--" }).contains(where: { $0 == "--help" || $0 == "-h" }) {
      return try printOutput(helpText(of: command))
    }
    let arguments = try Arguments(rest, of: command)
    Progress.begin(quiet: arguments.has("quiet"))
    try command.run(arguments)
  }

  private static let exitCodes = """
    Exit codes: 0 success, 64 wrong usage, 65 bad input data, 70 a result that contradicts itself, 74 input or output \
    failed.

    """

  private static var help: String {
    var text = "usage: \(name) COMMAND …\n\n"
    let width = commands.map { $0.name.count }.max() ?? 0
    for command in commands {
      text += "  \(command.name.padded(to: width))  \(command.summary)\n"
    }
    return text + "\n\(name) COMMAND --help tells more. A file name of - is standard input or output.\n"
      + "--version prints the version.\n" + exitCodes
  }

  private static func helpText(of command: any Command.Type) -> String {
    var text = "usage: \(name) \(command.name) \(command.operands)\(command.options.isEmpty ? "" : " [options]")\n"
    text += "\(command.summary)\n\n"
    let rows = command.options.map { option in
      let short = option.short.map { "-\($0), " } ?? ""
      let value = option.value.map { " \($0)" } ?? ""
      return ("  \(short)--\(option.name)\(value)", option.help)
    }
    let width = rows.map { $0.0.count }.max() ?? 0
    for (left, right) in rows {
      text += "\(left.padded(to: width))  \(right)\n"
    }
    text += rows.isEmpty ? "" : "\n"
    text += command.notes.isEmpty ? "" : command.notes + "\n\n"
    return text + exitCodes
  }
}
