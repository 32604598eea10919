// SPDX-License-Identifier: BSD-3-Clause

/// Adler-32 (RFC 1950).
public func adler32(_ bytes: [UInt8]) -> UInt32 {
  var low: UInt32 = 1
  var high: UInt32 = 0
  var start = 0
  while start < bytes.count {
    // 5552 is the most bytes after which `high` still fits 32 bits.
    let end = min(start + 5552, bytes.count)
    for byte in bytes[start..<end] {
      low &+= UInt32(byte)
      high &+= low
    }
    low %= 65521
    high %= 65521
    start = end
  }
  return high << 16 | low
}

/// CRC-32 (PNG, annex D).
public func crc32(_ bytes: ArraySlice<UInt8>) -> UInt32 {
  var crc: UInt32 = 0xFFFF_FFFF
  for byte in bytes { crc = crcTable[Int(UInt8(truncatingIfNeeded: crc) ^ byte)] ^ crc >> 8 }
  return ~crc
}

private let crcTable: [UInt32] = (0..<256).map { index in
  (0..<8).reduce(UInt32(index)) { crc, _ in crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
}
