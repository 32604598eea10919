// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// CRC-32C of a range of bytes, continuing `crc` (0 to start).
func crc32c(_ bytes: UnsafeBufferPointer<UInt8>, in range: Range<Int>, continuing crc: UInt32 = 0) -> UInt32 {
  sc_crc32c(crc, bytes.baseAddress.map { $0 + range.lowerBound }, range.count)
}

func crc32c(_ bytes: [UInt8], in range: Range<Int>, continuing crc: UInt32 = 0) -> UInt32 {
  bytes.withUnsafeBufferPointer { crc32c($0, in: range, continuing: crc) }
}

/// The 64-bit hash that names a model (model.md §1).
func modelHash(_ bytes: UnsafeBufferPointer<UInt8>) -> UInt64 {
  var hash = UInt64(bytes.count)
  func mix(_ word: UInt64) {
    hash = (hash ^ word) &* 0x9E37_79B9_7F4A_7C15
    hash ^= hash >> 32
  }
  let raw = UnsafeRawBufferPointer(bytes)
  let whole = raw.count & ~7
  for offset in stride(from: 0, to: whole, by: 8) {
    mix(UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self)))
  }
  if whole < raw.count {
    var word: UInt64 = 0
    for offset in whole..<raw.count { word |= UInt64(raw[offset]) << UInt64(8 * (offset - whole)) }
    mix(word)
  }
  return hash
}
