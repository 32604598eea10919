// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels
public import CSwiftCodec

extension DecodeError {
  var status: sc_status {
    switch self {
    case .notABitstream: SC_ERROR_NOT_A_BITSTREAM
    case .version: SC_ERROR_VERSION
    case .truncated: SC_ERROR_TRUNCATED
    case .checksum: SC_ERROR_CHECKSUM
    case .model: SC_ERROR_OTHER_MODEL
    case .position: SC_ERROR_RATE_POINT
    case .entropyModel: SC_ERROR_ENTROPY
    case .format, .conversion, .region: SC_ERROR_LAYOUT
    case .cancelled: SC_ERROR_CANCELLED
    case .tooLarge, .macPerPixel, .work: SC_ERROR_TOO_LARGE
    case .memory: SC_ERROR_MEMORY
    case .outOfMemory: SC_ERROR_OUT_OF_MEMORY
    case .modelKind: SC_ERROR_MODEL_KIND
    case .missingReference: SC_ERROR_REFERENCE
    case .frameNumber: SC_ERROR_FRAME
    case .unknownFlags, .sides, .segmentCount, .unknownBox, .misplacedBox, .boxContent, .payload, .payloadSize,
      .residual:
      SC_ERROR_INVALID
    }
  }
}

extension EncodeError {
  var status: sc_status {
    switch self {
    case .position: SC_ERROR_RATE_POINT
    case .format, .size, .alpha: SC_ERROR_LAYOUT
    case .segmentRows: SC_ERROR_SEGMENT_ROWS
    case .entropyModel: SC_ERROR_ENTROPY
    case .lambda, .maximumError, .bitrate, .frameRate, .motionEffort: SC_ERROR_ARGUMENT
    case .target: SC_ERROR_TARGET
    case .cancelled: SC_ERROR_CANCELLED
    case .macPerPixel: SC_ERROR_TOO_LARGE
    case .memory: SC_ERROR_MEMORY
    case .outOfMemory: SC_ERROR_OUT_OF_MEMORY
    }
  }
}

extension ModelError {
  var status: sc_status {
    switch self {
    case .notAModel: SC_ERROR_NOT_A_MODEL
    case .truncated: SC_ERROR_MODEL_TRUNCATED
    case .checksum: SC_ERROR_MODEL_CHECKSUM
    case .overflow: SC_ERROR_MODEL_OVERFLOW
    case .section, .value, .text, .tensor, .missingArray, .arrayShape, .shape, .entropy: SC_ERROR_MODEL_INVALID
    }
  }
}

/// A status and the text that goes with it.
struct CallFailure: Error {
  let status: sc_status
  let message: String

  init(_ status: sc_status, _ message: String) {
    self.status = status
    self.message = message
  }
}

/// A terminated text that C may read until it is replaced.
final class CText {
  private(set) var pointer: UnsafeMutablePointer<CChar>

  init() { pointer = CText.copy("") }
  deinit { pointer.deallocate() }

  func set(_ text: String) {
    pointer.deallocate()
    pointer = CText.copy(text)
  }

  private static func copy(_ text: String) -> UnsafeMutablePointer<CChar> {
    let utf8 = text.utf8
    let copy = UnsafeMutablePointer<CChar>.allocate(capacity: utf8.count + 1)
    var end = 0
    for byte in utf8 where byte != 0 {
      copy[end] = CChar(bitPattern: byte)
      end += 1
    }
    copy[end] = 0
    return copy
  }
}

/// The status of a call, whose message is set.
func status(_ message: CText, _ body: () throws(CallFailure) -> Void) -> sc_status {
  message.set("")
  do throws(CallFailure) {
    try body()
    return SC_OK
  } catch {
    message.set(error.message)
    return error.status
  }
}

extension EntropyKind {
  /// nil for "the best".
  static func requested(_ kind: sc_entropy_kind) throws(CallFailure) -> EntropyKind? {
    switch kind {
    case SC_ENTROPY_BEST: return nil
    case SC_ENTROPY_STATIC: return .static
    case SC_ENTROPY_THRESHOLD: return .threshold
    case SC_ENTROPY_WEIGHTED: return .weighted
    default: throw CallFailure(SC_ERROR_ENTROPY, "entropy kind \(kind.rawValue) is unknown")
    }
  }

  var cValue: sc_entropy_kind {
    switch self {
    case .static: SC_ENTROPY_STATIC
    case .threshold: SC_ENTROPY_THRESHOLD
    case .weighted: SC_ENTROPY_WEIGHTED
    }
  }
}

/// Copies a struct of the caller that starts with its size. Fields that a smaller one, of an earlier version, does not
/// have are zero; a larger one, of a later version, may only hold zeros where this version has nothing. A size that no
/// struct of that alignment has is refused: it may end within a field, whose first bytes alone are another number.
func copy<T: BitwiseCopyable>(
  _ pointer: UnsafePointer<T>?, zero: T, _ name: StaticString
) throws(CallFailure) -> T {
  guard let pointer else { return zero }
  let raw = UnsafeRawPointer(pointer)
  let size = raw.load(as: Int.self)
  guard MemoryLayout<Int>.size...4096 ~= size, size.isMultiple(of: MemoryLayout<T>.alignment) else {
    throw CallFailure(SC_ERROR_ARGUMENT, "a struct_size of \(size): \(name) has no version of that size")
  }
  let known = min(size, MemoryLayout<T>.size)
  for offset in known..<size where raw.load(fromByteOffset: offset, as: UInt8.self) != 0 {
    throw CallFailure(SC_ERROR_ARGUMENT, "\(name) sets a field that this library does not know")
  }
  var value = zero
  withUnsafeMutableBytes(of: &value) { $0.copyMemory(from: UnsafeRawBufferPointer(start: raw, count: known)) }
  return value
}

/// A callback of the caller, who answers for what it does with its context. One thread at a time uses it.
final class ProgressCallback: @unchecked Sendable {
  private let function: @convention(c) (UnsafeMutableRawPointer?, Double) -> Int32
  private let context: UnsafeMutableRawPointer?
  private var last = 0.0

  /// nil without a function; not an initialiser, which in the Embedded library would lose the object's memory.
  static func make(_ function: sc_progress?, _ context: UnsafeMutableRawPointer?) -> ProgressCallback? {
    function.map { ProgressCallback($0, context) }
  }

  private init(
    _ function: @escaping @convention(c) (UnsafeMutableRawPointer?, Double) -> Int32,
    _ context: UnsafeMutableRawPointer?
  ) {
    self.function = function
    self.context = context
  }

  /// To be called before each call of the library.
  func begin() { last = 0 }

  /// Whether to go on. Where the encoder makes several attempts its shares may fall; the caller's never do.
  func report(_ share: Double) -> Bool {
    last = min(max(share, last), 1)
    return function(context, last) == 0
  }
}

/// The number of threads that a setting asks for.
func threadCount(_ setting: UInt32) -> Int { setting == 0 ? Int(sc_cpu_count()) : Int(min(setting, 64)) }

/// See swiftcodec.h.
@c @implementation
public func sc_version() -> UInt32 { UInt32(SC_VERSION_MAJOR << 16 | SC_VERSION_MINOR << 8 | SC_VERSION_PATCH) }

/// See swiftcodec.h.
@c @implementation
public func sc_abi_version() -> UInt32 { UInt32(SC_ABI_VERSION) }

/// See swiftcodec.h.
@c @implementation
public func sc_status_string(_ status: sc_status) -> UnsafePointer<CChar>! {
  let text: StaticString =
    switch status {
    case SC_OK: "no error"
    case SC_ERROR_ARGUMENT: "an argument is missing or of an unknown size"
    case SC_ERROR_LAYOUT: "the picture's layout is not valid, or not that of the bitstream"
    case SC_ERROR_RATE_POINT: "the model has no such rate point or position"
    case SC_ERROR_ENTROPY: "the model has no such entropy model"
    case SC_ERROR_BUFFER: "the buffer is too small"
    case SC_ERROR_SEGMENT_ROWS: "segments have a multiple of 8 rows, up to 2040"
    case SC_ERROR_TARGET: "no file of the model reaches the target"
    case SC_ERROR_CANCELLED: "cancelled"
    case SC_ERROR_OUT_OF_MEMORY: "out of memory"
    case SC_ERROR_NOT_A_MODEL: "not a model file of a known version"
    case SC_ERROR_MODEL_TRUNCATED: "the model file ends too early"
    case SC_ERROR_MODEL_CHECKSUM: "the model file is damaged"
    case SC_ERROR_MODEL_INVALID: "the model file is not valid"
    case SC_ERROR_MODEL_OVERFLOW: "the model file's weights are too large"
    case SC_ERROR_NOT_A_BITSTREAM: "not a SwiftCodec bitstream"
    case SC_ERROR_VERSION: "a bitstream of an unknown version"
    case SC_ERROR_TRUNCATED: "the bitstream ends too early"
    case SC_ERROR_CHECKSUM: "the bitstream is damaged"
    case SC_ERROR_INVALID: "the bitstream is not valid"
    case SC_ERROR_OTHER_MODEL: "the bitstream was made with another model"
    case SC_ERROR_TOO_LARGE: "the picture is larger, or takes more work, than the limit"
    case SC_ERROR_MEMORY: "decoding takes more memory than the limit"
    case SC_ERROR_MODEL_KIND: "a model of inter frames where one of pictures is needed, or the other way round"
    case SC_ERROR_REFERENCE: "the frame is predicted from one that was not decoded"
    case SC_ERROR_FRAME: "the frame does not follow on the one before"
    default: "unknown status"
    }
  return UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
}

/// See swiftcodec.h.
@c @implementation
public func sc_free(_ memory: UnsafeMutableRawPointer!) { sc_memory_release(memory) }

/// See swiftcodec.h.
@c @implementation
public func sc_set_allocator(_ pointer: UnsafePointer<sc_allocator>!) -> sc_status {
  guard let pointer else { return sc_memory_set_hooks(nil) != 0 ? SC_OK : SC_ERROR_ARGUMENT }
  do throws(CallFailure) {
    let given = try copy(pointer, zero: sc_allocator(), "sc_allocator")
    guard let allocate = given.allocate, let release = given.release else { return SC_ERROR_ARGUMENT }
    var hooks = sc_memory_hooks(allocate: allocate, release: release, context: given.context)
    return sc_memory_set_hooks(&hooks) != 0 ? SC_OK : SC_ERROR_ARGUMENT
  } catch {
    return error.status
  }
}

/// Before the objects of a call are made.
func requireMemory(_ bytes: Int64) throws(CallFailure) {
  guard Memory.has(bytes) else { throw CallFailure(SC_ERROR_OUT_OF_MEMORY, "out of memory: \(bytes) bytes") }
}
