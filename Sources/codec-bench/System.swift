// SPDX-License-Identifier: BSD-3-Clause
//
// All that the tool asks of the operating system: files, folders, standard streams, the terminal, exit.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

private func lastError() -> String { String(cString: strerror(errno)) }

/// The whole file, or standard input for `-`.
func readFile(_ name: String) throws(ToolError) -> [UInt8] {
  let descriptor = name == "-" ? 0 : open(name, O_RDONLY | O_CLOEXEC)
  guard descriptor >= 0 else { throw .inputOutput(file: name, lastError()) }
  defer { if name != "-" { close(descriptor) } }
  var information = stat()
  let size = fstat(descriptor, &information) == 0 ? Int(information.st_size) : 0
  var bytes: [UInt8] = []
  bytes.reserveCapacity(size + 1)
  var buffer = [UInt8](repeating: 0, count: 1 << 18)
  while true {
    let count = read(descriptor, &buffer, buffer.count)
    if count < 0 {
      if errno == EINTR { continue }
      throw .inputOutput(file: name, lastError())
    }
    if count == 0 { return bytes }
    bytes += buffer[..<count]
  }
}

/// Replaces the file, or appends to standard output for `-`.
func writeFile(_ name: String, _ bytes: [UInt8]) throws(ToolError) {
  let descriptor = name == "-" ? 1 : open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
  guard descriptor >= 0 else { throw .inputOutput(file: name, lastError()) }
  var written = 0
  while written < bytes.count {
    let count = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress! + written, bytes.count - written) }
    if count < 0 {
      if errno == EINTR { continue }
      let reason = lastError()
      if name != "-" { close(descriptor) }
      throw .inputOutput(file: name, reason)
    }
    written += count
  }
  if name != "-", close(descriptor) != 0 { throw .inputOutput(file: name, lastError()) }
}

/// The names in a folder, sorted, without those that start with a dot.
func listFolder(_ name: String) throws(ToolError) -> [String] {
  guard let folder = opendir(name) else { throw .inputOutput(file: name, lastError()) }
  defer { closedir(folder) }
  var names: [String] = []
  while let entry = readdir(folder) {
    let text = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
      String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    if !text.hasPrefix(".") { names.append(text) }
  }
  return names.sorted()
}

func isFolder(_ name: String) -> Bool {
  var information = stat()
  return stat(name, &information) == 0 && information.st_mode & S_IFMT == S_IFDIR
}

func fileExists(_ name: String) -> Bool { access(name, F_OK) == 0 }

func printOutput(_ text: String) throws(ToolError) {
  try writeFile("-", Array(text.utf8))
}

/// A line on standard error. Nobody can be told if that fails.
func printError(_ text: String) {
  writeError(text + "\n")
}

private func writeError(_ text: String) {
  let bytes = Array(text.utf8)
  var written = 0
  while written < bytes.count {
    let count = bytes.withUnsafeBytes { write(2, $0.baseAddress! + written, bytes.count - written) }
    if count < 0, errno != EINTR { return }
    written += max(0, count)
  }
}

func exitProcess(_ code: Int32) -> Never { exit(code) }

/// A line on standard error that replaces itself, and only on a terminal.
enum Progress {
  private static let isTerminal = isatty(2) != 0

  static func show(_ text: String) {
    if isTerminal { writeError("\r\u{1B}[K\(text)") }
  }

  static func clear() {
    if isTerminal { writeError("\r\u{1B}[K") }
  }
}

extension Duration {
  var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}

/// What `body` returns, and how many seconds of a steady clock it took.
func timed<T, E: Error>(_ body: () throws(E) -> T) throws(E) -> (T, Double) {
  let start = ContinuousClock.now
  let result = try body()
  return (result, start.duration(to: .now).seconds)
}

/// Gives back what the allocator keeps for later, where that can be asked for.
func releaseFreeMemory() {
  #if canImport(Glibc)
    // Its header is not part of the module.
    if let trim = dlsym(nil, "malloc_trim") {
      _ = unsafeBitCast(trim, to: (@convention(c) (Int) -> Int32).self)(0)
    }
  #endif
}
