// SPDX-License-Identifier: BSD-3-Clause

/// Whether bytes are well-formed UTF-8.
func isUTF8(_ bytes: Slice<UnsafeBufferPointer<UInt8>>) -> Bool {
  var i = bytes.startIndex
  while i < bytes.endIndex {
    let lead = bytes[i]
    let (extra, least): (Int, UInt32) =
      lead < 0x80
      ? (0, 0)
      : lead & 0xe0 == 0xc0
        ? (1, 0x80)
        : lead & 0xf0 == 0xe0
          ? (2, 0x800)
          : lead & 0xf8 == 0xf0 ? (3, 0x10000) : (-1, 0)
    guard extra >= 0, bytes.endIndex - i > extra else { return false }
    var scalar = UInt32(extra == 0 ? lead : lead & (0x3f >> UInt8(extra)))
    for j in 0..<extra {
      let byte = bytes[i + 1 + j]
      guard byte & 0xc0 == 0x80 else { return false }
      scalar = scalar << 6 | UInt32(byte & 0x3f)
    }
    guard scalar >= least, scalar <= 0x10ffff, !(0xd800...0xdfff ~= scalar) else { return false }
    i += extra + 1
  }
  return true
}
