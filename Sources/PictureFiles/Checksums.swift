// SPDX-License-Identifier: BSD-3-Clause

/// Adler-32 (RFC 1950).
public func adler32(_ bytes: [UInt8]) -> UInt32 {
  bytes.withUnsafeBytes { buffer in
    var low: UInt32 = 1
    var high: UInt32 = 0
    var start = 0
    while start < buffer.count {
      // 5552 is the most bytes after which `high` still fits 32 bits; 5536 is a multiple of 16 below it.
      let end = min(start + 5536, buffer.count)
      // Lane i of `sums` adds bytes i, i + 16, …; `prefixes` adds up `sums` before each step. With n bytes to come,
      // a byte counts n times in `high`: 16 for each later step, and 16 − i within its own.
      var sums = SIMD16<UInt32>()
      var prefixes = SIMD16<UInt32>()
      let vectors = start + (end - start) / 16 * 16
      high &+= low &* UInt32(vectors - start)
      for at in stride(from: start, to: vectors, by: 16) {
        let values = buffer.loadUnaligned(fromByteOffset: at, as: SIMD16<UInt8>.self)
        prefixes &+= sums
        sums &+= SIMD16<UInt32>(truncatingIfNeeded: values)
      }
      let weights = SIMD16<UInt32>(16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1)
      high &+= (prefixes &* 16 &+ sums &* weights).wrappedSum()
      low &+= sums.wrappedSum()
      for at in vectors..<end {
        low &+= UInt32(buffer[at])
        high &+= low
      }
      low %= 65521
      high %= 65521
      start = end
    }
    return high << 16 | low
  }
}

/// CRC-32 (PNG, annex D), eight bytes a step ("slicing by 8", Kounavis and Berry 2005).
public func crc32(_ bytes: ArraySlice<UInt8>) -> UInt32 {
  bytes.withUnsafeBytes { buffer in
    crcTables.withUnsafeBufferPointer { tables in
      var crc: UInt32 = 0xFFFF_FFFF
      var at = 0
      while at + 8 <= buffer.count {
        let word = UInt64(littleEndian: buffer.loadUnaligned(fromByteOffset: at, as: UInt64.self)) ^ UInt64(crc)
        @inline(__always) func term(_ table: Int, _ shift: UInt64) -> UInt32 {
          tables[256 &* table &+ Int(truncatingIfNeeded: (word &>> shift) & 255)]
        }
        let first: UInt32 = term(7, 0) ^ term(6, 8)
        let second: UInt32 = term(5, 16) ^ term(4, 24)
        let third: UInt32 = term(3, 32) ^ term(2, 40)
        let fourth: UInt32 = term(1, 48) ^ term(0, 56)
        crc = (first ^ second) ^ (third ^ fourth)
        at += 8
      }
      while at < buffer.count {
        crc = tables[Int(UInt8(truncatingIfNeeded: crc) ^ buffer[at])] ^ crc >> 8
        at += 1
      }
      return ~crc
    }
  }
}

/// Table k, at 256 · k: the CRC of a byte followed by k zeros.
private let crcTables: [UInt32] = {
  var tables: [UInt32] = []
  for index in 0..<256 {
    var crc = UInt32(index)
    for _ in 0..<8 { crc = crc & 1 == 1 ? (crc >> 1) ^ 0xEDB8_8320 : crc >> 1 }
    tables.append(crc)
  }
  for at in 256..<2048 {
    let before: UInt32 = tables[at - 256]
    let low = tables[Int(before & 255)]
    tables.append(low ^ (before >> 8))
  }
  return tables
}()
