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

/// Larger files are not read as a whole: no picture that is read has so many bytes. Streams have no limit.
private let largestFile = Int(clamping: Int64(1) << 31)

/// The whole file, or standard input for `-`.
func readFile(_ name: String) throws(ToolError) -> [UInt8] {
  let descriptor = name == "-" ? 0 : open(name, O_RDONLY | O_CLOEXEC)
  guard descriptor >= 0 else { throw .inputOutput(file: name, lastError()) }
  defer { if name != "-" { close(descriptor) } }
  var information = stat()
  let size = fstat(descriptor, &information) == 0 ? Int(information.st_size) : 0
  guard size <= largestFile else {
    throw .inputOutput(file: name, "\(size) bytes are more than are read, \(largestFile)")
  }
  var bytes: [UInt8] = []
  bytes.reserveCapacity(size + 1)
  var buffer = [UInt8](repeating: 0, count: size > 0 ? min(size + 1, 1 << 18) : 1 << 18)
  while true {
    let count = read(descriptor, &buffer, buffer.count)
    if count < 0 {
      if errno == EINTR { continue }
      throw .inputOutput(file: name, lastError())
    }
    if count == 0 { return bytes }
    guard bytes.count + count <= largestFile else {
      throw .inputOutput(file: name, "more bytes than are read, \(largestFile)")
    }
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

/// A lock for what several threads write: standard streams, lists of results.
final class Lock: @unchecked Sendable {
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let change = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

  init() {
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(change, nil)
  }

  deinit {
    pthread_cond_destroy(change)
    pthread_mutex_destroy(mutex)
    change.deallocate()
    mutex.deallocate()
  }

  /// Within `with`: lets others have the lock until `wake` was called, or sooner.
  func wait() { pthread_cond_wait(change, mutex) }

  /// Ends every `wait`.
  func wake() { pthread_cond_broadcast(change) }

  func with<T, E: Error>(_ body: () throws(E) -> T) throws(E) -> T {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return try body()
  }
}

/// The temporary files that a signal must not leave behind: names as C strings that are never freed, for a handler that may
/// do little and comes at any time.
private enum TemporaryFiles {
  /// As many files as threads can have open.
  private static let count = 1024
  private static let nameSize = 4096
  private static let lock = Lock()
  /// Pages that no name came to are never touched.
  nonisolated(unsafe) private static let names: UnsafeMutablePointer<CChar> =
    mmap(nil, count * nameSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0)!
    .bindMemory(to: CChar.self, capacity: count * nameSize)
  nonisolated(unsafe) private static var isHandling = false

  /// The slot that the name got; nil if there is none for it.
  static func add(_ name: String) -> Int? {
    lock.with {
      handleSignals()
      let bytes = Array(name.utf8CString)
      guard bytes.count <= nameSize, let slot = (0..<count).first(where: { names[$0 * nameSize] == 0 }) else {
        return nil
      }
      let place = names + slot * nameSize
      // The first byte last: until then the slot is empty.
      for i in stride(from: bytes.count - 1, through: 0, by: -1) { place[i] = bytes[i] }
      return slot
    }
  }

  static func remove(_ slot: Int?) {
    if let slot { lock.with { names[slot * nameSize] = 0 } }
  }

  private static func handleSignals() {
    if isHandling { return }
    isHandling = true
    for number in [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGXCPU, SIGXFSZ] {
      signal(number) { number in
        for slot in 0..<TemporaryFiles.count where TemporaryFiles.names[slot * TemporaryFiles.nameSize] != 0 {
          unlink(TemporaryFiles.names + slot * TemporaryFiles.nameSize)
        }
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
  private var slot: Int?
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
      slot = TemporaryFiles.add(path)
      descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, exists ? information.st_mode & 0o777 : 0o666)
    }
    guard descriptor >= 0 else {
      let reason = lastError()
      TemporaryFiles.remove(slot)
      slot = nil
      throw .inputOutput(file: name, reason)
    }
  }

  deinit {
    if descriptor >= 0, name != "-" { close(descriptor) }
    if let temporary, descriptor >= 0 { unlink(temporary) }
    TemporaryFiles.remove(slot)
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
    let isClosed = close(descriptor) == 0
    descriptor = -1
    guard let temporary else { return }
    let target = realpath(name, nil).map { path in
      defer { free(path) }
      return String(cString: path)
    }
    guard isClosed, rename(temporary, target ?? name) == 0 else {
      let reason = lastError()
      unlink(temporary)
      throw .inputOutput(file: name, reason)
    }
  }
}

/// Whether bytes written there come out where standard output does.
func isStandardOutput(_ name: String) -> Bool {
  var (file, output) = (stat(), stat())
  guard name != "-" else { return true }
  guard stat(name, &file) == 0, fstat(1, &output) == 0 else { return false }
  return file.st_dev == output.st_dev && file.st_ino == output.st_ino
}

/// An error now if a file of that name could not be written later: no folder, or a folder that may not be written to.
func checkTarget(_ name: String) throws(ToolError) {
  if name == "-" { return }
  if isFolder(name) { throw .inputOutput(file: name, "is a folder") }
  var information = stat()
  if stat(name, &information) == 0 {
    if access(name, W_OK) != 0 { throw .inputOutput(file: name, lastError()) }
    // Devices and pipes are written to as they are.
    if information.st_mode & S_IFMT != S_IFREG { return }
  }
  let target = realpath(name, nil).map { path in
    defer { free(path) }
    return String(cString: path)
  }
  let path = target ?? name
  let slash = path.lastIndex(of: "/")
  let folder = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
  if access(folder, W_OK | X_OK) != 0 { throw .inputOutput(file: name, lastError()) }
  guard isFolder(folder) else { throw .inputOutput(file: name, "\(folder) is no folder") }
}

/// Processors of this machine.
var processorCount: Int { min(max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))), 1024) }

/// Replaces the file as a whole, or appends to standard output for `-`.
func writeFile(_ name: String, _ bytes: [UInt8]) throws(ToolError) {
  let file = try OutputFile(name)
  try file.write(bytes)
  try file.finish()
}

/// Writes to a file that is there and stays the same one, as those of /proc.
func writeInPlace(_ name: String, _ text: StaticString) throws(ToolError) {
  let descriptor = open(name, O_WRONLY)
  guard descriptor >= 0 else { throw .inputOutput(file: name, lastError()) }
  defer { close(descriptor) }
  guard write(descriptor, text.utf8Start, text.utf8CodeUnitCount) == text.utf8CodeUnitCount else {
    throw .inputOutput(file: name, lastError())
  }
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

/// Picture files of a folder and its subfolders by their endings, sorted, as paths within it.
func listPictures(_ folder: String) throws(ToolError) -> [String] {
  var files: [String] = []
  func visit(_ prefix: String, depth: Int) throws(ToolError) {
    for name in try listFolder(folder + "/" + prefix) {
      let path = prefix + name
      if isFolder("\(folder)/\(path)") {
        // Deeper is a link that leads back.
        if depth < 32 { try visit(path + "/", depth: depth + 1) }
      } else if let dot = name.lastIndex(of: "."), pictureEndings.contains(name[dot...].lowercased()) {
        files.append(path)
      }
    }
  }
  try visit("", depth: 0)
  guard !files.isEmpty else {
    throw .badData(file: folder, "no PNG, JPEG, PNM, PAM, BMP or Y4M files in this folder")
  }
  return files.sorted()
}

/// The names that a file has, a line each; empty lines and those that start with # are none.
func readNames(_ file: String) throws(ToolError) -> Set<String> {
  guard let text = String(validating: try readFile(file), as: UTF8.self) else {
    throw .badData(file: file, "not UTF-8 text")
  }
  let lines = text.split(whereSeparator: \.isNewline).map(String.init)
  return Set(lines.filter { !$0.hasPrefix("#") })
}

private let pictureEndings = [
  ".png", ".jpg", ".jpeg", ".ppm", ".pgm", ".pnm", ".pbm", ".pam", ".bmp", ".y4m",
]

/// Bytes of a file; nil for what is none.
func fileSize(_ name: String) -> Int? {
  var information = stat()
  guard name != "-", stat(name, &information) == 0, information.st_mode & S_IFMT == S_IFREG else { return nil }
  return Int(information.st_size)
}

func isFolder(_ name: String) -> Bool {
  var information = stat()
  return stat(name, &information) == 0 && information.st_mode & S_IFMT == S_IFDIR
}

func fileExists(_ name: String) -> Bool { access(name, F_OK) == 0 }

private let outputLock = Lock()

func printOutput(_ text: String) throws(ToolError) {
  try outputLock.with { () throws(ToolError) in try writeFile("-", Array(text.utf8)) }
}

/// A line on standard error. Nobody can be told if that fails.
func printError(_ text: String) {
  Progress.clear()
  outputLock.with { writeError(text + "\n") }
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

/// A line on standard error that replaces itself: only on a terminal, and only when a second has passed.
enum Progress {
  private static let isTerminal = isatty(2) != 0
  static var isPossible: Bool { isTerminal }
  private static let lock = Lock()
  nonisolated(unsafe) private static var isQuiet = false
  nonisolated(unsafe) private static var isShown = false
  private static let start = ContinuousClock.now

  /// Begins the count of time, and says whether anything is to be shown.
  static func begin(quiet: Bool) {
    lock.with { isQuiet = quiet }
    _ = start
  }

  /// `done` is the part of the work that is behind, 0…1, from which the time left follows.
  static func show(_ text: String, done: Double? = nil) {
    let seconds = start.duration(to: .now).seconds
    guard isTerminal, seconds > 1 else { return }
    var line = text
    if let done, done > 0 {
      line += ", \(duration(seconds * (1 / min(done, 1) - 1))) left"
    } else {
      line += ", \(duration(seconds))"
    }
    lock.with {
      if isQuiet { return }
      isShown = true
      outputLock.with { writeError("\r\u{1B}[K\(line)") }
    }
  }

  static func clear() {
    lock.with {
      if isShown { outputLock.with { writeError("\r\u{1B}[K") } }
      isShown = false
    }
  }

  private static func duration(_ seconds: Double) -> String {
    let whole = Int(min(seconds, 1e9).rounded(.up))
    if whole < 60 { return "\(whole) s" }
    if whole < 3600 { return "\(whole / 60) min \(whole % 60) s" }
    return "\(whole / 3600) h \(whole % 3600 / 60) min"
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
