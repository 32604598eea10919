// SPDX-License-Identifier: BSD-3-Clause

@testable import SwiftCodec

/// Makes the checksums of damaged files right, so that what stands behind them sees the damage.
enum Mending {
  static func store(_ value: UInt32, _ bytes: inout [UInt8], at: Int) {
    for i in 0..<4 { bytes[at + i] = UInt8(truncatingIfNeeded: value >> UInt32(8 * i)) }
  }

  /// All checksums of a bitstream, as far as its parts can be walked.
  static func bitstream(_ bytes: inout [UInt8]) {
    let file = bytes.withUnsafeBufferPointer { FileBytes(copying: $0) }
    var reader = ByteReader<DecodeError>(file.bytes, in: 0..<bytes.count) { .truncated(offset: $0) }
    guard let header = try? BitstreamHeader(&reader) else { return }
    var crc: UInt32 = 0
    var at = 0
    while true {
      var size = reader.remaining - 4
      if header.segments != nil {
        guard (try? reader.range(count: 4)) != nil else { return }
        size = (try? reader.varint()) ?? -1
      }
      guard let payload = try? reader.range(count: size), reader.remaining >= 4 else { return }
      crc = crc32c(bytes, in: at..<payload.upperBound, continuing: crc)
      store(crc, &bytes, at: payload.upperBound)
      _ = try? reader.u32()
      at = payload.upperBound + 4
      if header.segments == nil { return }
    }
  }

  /// All checksums of a model file, as far as its sections can be walked.
  static func model(_ bytes: inout [UInt8]) {
    var at = 8
    while at + 12 <= bytes.count {
      let size = (0..<4).reduce(0) { $0 | Int(bytes[at + 4 + $1]) << (8 * $1) }
      guard size <= bytes.count - at - 12 else { return }
      store(crc32c(bytes, in: at..<(at + 8 + size)), &bytes, at: at + 8 + size)
      at += 12 + size
    }
  }
}
