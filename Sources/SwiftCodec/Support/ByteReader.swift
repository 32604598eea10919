// SPDX-License-Identifier: BSD-3-Clause

/// Little-endian integers from a range of bytes, whose memory outlives the reader. Every read is bounded; past the end it
/// throws what `endOfBytes` makes of the offset.
struct ByteReader<Failure: Error> {
  let bytes: UnsafeBufferPointer<UInt8>
  private(set) var offset: Int
  let end: Int
  let endOfBytes: (Int) -> Failure

  init(_ bytes: UnsafeBufferPointer<UInt8>, in range: Range<Int>, endOfBytes: @escaping (Int) -> Failure) {
    precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count)
    self.bytes = bytes
    offset = range.lowerBound
    end = range.upperBound
    self.endOfBytes = endOfBytes
  }

  var remaining: Int { end - offset }
  var isAtEnd: Bool { offset == end }

  mutating func range(count: Int) throws(Failure) -> Range<Int> {
    guard count >= 0, count <= remaining else { throw endOfBytes(offset) }
    defer { offset += count }
    return offset..<(offset + count)
  }

  mutating func u8() throws(Failure) -> UInt8 {
    guard remaining >= 1 else { throw endOfBytes(offset) }
    defer { offset += 1 }
    return bytes[offset]
  }

  mutating func u16() throws(Failure) -> UInt16 {
    let low = try u8()
    return UInt16(low) | UInt16(try u8()) << 8
  }

  /// Calls `body` with each of `count` numbers.
  @inline(__always)
  mutating func u16(count: Int, _ body: (Int) throws(Failure) -> Void) throws(Failure) {
    let range = try range(count: 2 * count)
    var at = range.lowerBound
    while at < range.upperBound {
      try body(Int(bytes[at]) | Int(bytes[at + 1]) << 8)
      at += 2
    }
  }

  mutating func u32() throws(Failure) -> UInt32 {
    let low = try u16()
    return UInt32(low) | UInt32(try u16()) << 16
  }

  mutating func u64() throws(Failure) -> UInt64 {
    let low = try u32()
    return UInt64(low) | UInt64(try u32()) << 32
  }

  mutating func i8() throws(Failure) -> Int8 { Int8(bitPattern: try u8()) }
  mutating func i16() throws(Failure) -> Int16 { Int16(bitPattern: try u16()) }
  mutating func f32() throws(Failure) -> Float { Float(bitPattern: try u32()) }

  /// A number of 7 bits a byte, low bits first, of at most 5 bytes; nil if it is longer or not below 2^32.
  mutating func varint() throws(Failure) -> Int? {
    var value: UInt64 = 0
    for i in 0..<5 {
      let byte = try u8()
      value |= UInt64(byte & 0x7f) << UInt64(7 * i)
      if byte & 0x80 == 0 { return value < 1 << 32 ? Int(exactly: value) : nil }
    }
    return nil
  }
}

/// Little-endian integers to an array.
struct ByteWriter {
  private(set) var bytes: [UInt8] = []

  mutating func u8(_ value: UInt8) { bytes.append(value) }
  mutating func u16(_ value: UInt16) {
    u8(UInt8(truncatingIfNeeded: value))
    u8(UInt8(truncatingIfNeeded: value >> 8))
  }
  mutating func u32(_ value: UInt32) {
    u16(UInt16(truncatingIfNeeded: value))
    u16(UInt16(truncatingIfNeeded: value >> 16))
  }
  mutating func u64(_ value: UInt64) {
    u32(UInt32(truncatingIfNeeded: value))
    u32(UInt32(truncatingIfNeeded: value >> 32))
  }
  mutating func i16(_ value: Int16) { u16(UInt16(bitPattern: value)) }
  mutating func varint(_ value: Int) {
    precondition(value >= 0 && Int64(value) < 1 << 32)
    var rest = value
    while rest >= 0x80 {
      u8(UInt8(rest & 0x7f) | 0x80)
      rest >>= 7
    }
    u8(UInt8(rest))
  }
  mutating func append(_ other: [UInt8]) { bytes.append(contentsOf: other) }
}
