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

/// Bytes of a file or of standard input (`-`), as they come.
final class InputStream {
  private let name: String
  private let descriptor: Int32

  init(_ name: String) throws(ToolError) {
    self.name = name
    descriptor = name == "-" ? 0 : open(name, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .inputOutput(file: name, lastError()) }
  }

  deinit { if name != "-" { close(descriptor) } }

  /// At most `count` bytes; none only at the end.
  func read(_ count: Int) throws(ToolError) -> [UInt8] {
    var failure: String?
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      while true {
        #if canImport(Darwin)
          let got = Darwin.read(descriptor, buffer.baseAddress, count)
        #elseif canImport(Musl)
          let got = Musl.read(descriptor, buffer.baseAddress, count)
        #else
          let got = Glibc.read(descriptor, buffer.baseAddress, count)
        #endif
        if got < 0, errno == EINTR { continue }
        if got < 0 { failure = lastError() }
        initialized = max(0, got)
        return
      }
    }
    if let failure { throw .inputOutput(file: name, failure) }
    return bytes
  }

  /// `count` bytes, or fewer at the end.
  func readAll(_ count: Int) throws(ToolError) -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < count {
      let part = try read(min(count - bytes.count, 1 << 22))
      if part.isEmpty { break }
      bytes += part
    }
    return bytes
  }
}

/// The temporary files that a signal must not leave behind: their names as C strings, for a handler that may do little.
private enum TemporaryFiles {
  nonisolated(unsafe) static var current: UnsafeMutablePointer<CChar>?
  nonisolated(unsafe) static var handles = false

  static func set(_ name: String?) {
    let old = current
    current = name.map { strdup($0) }
    free(old)
    if handles { return }
    handles = true
    for number in [SIGINT, SIGTERM, SIGHUP] {
      signal(number) { number in
        if let name = TemporaryFiles.current { unlink(name) }
        signal(number, SIG_DFL)
        raise(number)
      }
    }
  }
}

/// A file that comes to be as a whole: its bytes go to a temporary file beside it, which takes its name when all are
/// written. Until then a file of that name stays as it was; without `finish`, or after a signal, nothing is left. Standard
/// output (`-`), devices and pipes are written as they are.
final class OutputFile {
  private let name: String
  private let temporary: String?
  private var descriptor: Int32

  init(_ name: String) throws(ToolError) {
    self.name = name
    var information = stat()
    let exists = name != "-" && stat(name, &information) == 0
    if name == "-" || exists && information.st_mode & S_IFMT != S_IFREG {
      temporary = nil
      descriptor = name == "-" ? 1 : open(name, O_WRONLY | O_CLOEXEC)
    } else {
      // Through a link to the file itself.
      let target = realpath(name, nil).map { path in
        defer { free(path) }
        return String(cString: path)
      }
      let path = "\(target ?? name).\(getpid()).part"
      temporary = path
      descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, exists ? information.st_mode & 0o777 : 0o666)
    }
    guard descriptor >= 0 else { throw .inputOutput(file: name, lastError()) }
    if let temporary { TemporaryFiles.set(temporary) }
  }

  deinit {
    if descriptor >= 0, name != "-" { close(descriptor) }
    if let temporary, descriptor >= 0 {
      unlink(temporary)
      TemporaryFiles.set(nil)
    }
  }

  func write(_ bytes: [UInt8]) throws(ToolError) {
    var written = 0
    while written < bytes.count {
      let count = bytes.withUnsafeBytes { raw in
        #if canImport(Darwin)
          Darwin.write(descriptor, raw.baseAddress! + written, bytes.count - written)
        #elseif canImport(Musl)
          Musl.write(descriptor, raw.baseAddress! + written, bytes.count - written)
        #else
          Glibc.write(descriptor, raw.baseAddress! + written, bytes.count - written)
        #endif
      }
      if count < 0 {
        if errno == EINTR { continue }
        throw .inputOutput(file: name, lastError())
      }
      written += count
    }
  }

  /// Makes the file what was written.
  func finish() throws(ToolError) {
    guard name != "-" else { return }
    guard close(descriptor) == 0 else { throw .inputOutput(file: name, lastError()) }
    descriptor = -1
    guard let temporary else { return }
    let target = realpath(name, nil).map { path in
      defer { free(path) }
      return String(cString: path)
    }
    guard rename(temporary, target ?? name) == 0 else {
      let reason = lastError()
      unlink(temporary)
      throw .inputOutput(file: name, reason)
    }
    TemporaryFiles.set(nil)
  }
}

/// Replaces the file as a whole, or appends to standard output for `-`.
func writeFile(_ name: String, _ bytes: [UInt8]) throws(ToolError) {
  let file = try OutputFile(name)
  try file.write(bytes)
  try file.finish()
}

/// Whether two names stand for one existing file.
func isSameFile(_ a: String, _ b: String) -> Bool {
  var (first, second) = (stat(), stat())
  guard a != "-", b != "-", stat(a, &first) == 0, stat(b, &second) == 0 else { return false }
  return first.st_dev == second.st_dev && first.st_ino == second.st_ino
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
