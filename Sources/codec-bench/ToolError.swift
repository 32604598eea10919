// SPDX-License-Identifier: BSD-3-Clause

/// Why the tool stops. The exit codes are those of sysexits.h.
enum ToolError: Error {
  /// The command line makes no sense.
  case usage(String)
  /// A file's content is not what it should be.
  case badData(file: String, String)
  /// Two measurements that must agree do not.
  case inconsistent(String)
  /// Of several files some failed, as has been said; the exit code is that of the first.
  case several(failed: Int, of: Int, code: Int32)
  /// The system refused to read or write.
  case inputOutput(file: String, String)

  var exitCode: Int32 {
    switch self {
    case .usage: 64
    case .badData: 65
    case .inconsistent: 70
    case .several(_, _, let code): code
    case .inputOutput: 74
    }
  }

  /// Escaped: texts quote names from files and command lines.
  var message: String { printable(text, keepsLines: true) }

  private var text: String {
    switch self {
    case .usage(let text), .inconsistent(let text): text
    case .several(let failed, let count, _): "\(failed) of \(count) files failed"
    case .badData(let file, let text), .inputOutput(let file, let text):
      "\(file == "-" ? "standard input or output" : file): \(text)"
    }
  }
}
