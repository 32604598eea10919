// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// The bytes of a file, at one place as long as this lives: a copy, or memory that lives as long as the program.
package final class FileBytes: Sendable {
  package nonisolated(unsafe) let bytes: UnsafeBufferPointer<UInt8>
  private nonisolated(unsafe) let copy: AlignedBuffer<UInt8>?

  /// Whether it is a part of the program, which no damage of files or lines comes to.
  package var isPermanent: Bool { copy == nil }
  /// The hash that names it as a model (`modelHash`), where it is known.
  package let knownHash: UInt64?

  package init(copying bytes: UnsafeBufferPointer<UInt8>) {
    let copy = AlignedBuffer<UInt8>(uninitialised: bytes.count)
    if let base = bytes.baseAddress { copy.base.update(from: base, count: bytes.count) }
    self.copy = copy
    knownHash = nil
    self.bytes = UnsafeBufferPointer(start: copy.base, count: bytes.count)
  }

  /// The memory is never freed or changed.
  package init(permanent bytes: UnsafeBufferPointer<UInt8>, hash: UInt64) {
    self.bytes = bytes
    knownHash = hash
    copy = nil
  }
}

/// Little-endian integers of a file, read where they lie.
struct FileArray<Element: FixedWidthInteger & BitwiseCopyable & Sendable>: RandomAccessCollection, Sendable {
  private let file: FileBytes
  private let offset: Int
  let count: Int

  /// The range of bytes must lie in the file.
  init(_ file: FileBytes, at offset: Int, count: Int) {
    precondition(offset >= 0 && count >= 0 && count * MemoryLayout<Element>.size <= file.bytes.count - offset)
    self.file = file
    self.offset = offset
    self.count = count
  }

  var startIndex: Int { 0 }
  var endIndex: Int { count }

  subscript(index: Int) -> Element {
    precondition(index >= 0 && index < count)
    return elements[index]
  }

  /// Elements without a check of the index; valid as long as the array.
  var elements: Unchecked { Unchecked(start: UnsafeRawPointer(file.bytes.baseAddress!) + offset) }

  struct Unchecked {
    fileprivate let start: UnsafeRawPointer

    @inline(__always)
    subscript(index: Int) -> Element {
      Element(littleEndian: start.loadUnaligned(fromByteOffset: index * MemoryLayout<Element>.size, as: Element.self))
    }
  }
}

extension FileArray<Int16> {
  /// Copies some elements.
  func copy(from first: Int, count: Int, to out: UnsafeMutablePointer<Int16>) {
    precondition(first >= 0 && count >= 0 && first + count <= self.count)
    UnsafeMutableRawPointer(out).copyMemory(from: elements.start + 2 * first, byteCount: 2 * count)
    #if _endian(big)
      for i in 0..<count { out[i] = Int16(littleEndian: out[i]) }
    #endif
  }

  /// Σ|element| of some elements.
  func magnitudes(from first: Int, count: Int) -> Int64 {
    precondition(first >= 0 && count >= 0 && first + count <= self.count)
    return Int64(sc_magnitude_sum(elements.start + 2 * first, count))
  }
}
