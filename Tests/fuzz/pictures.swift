// SPDX-License-Identifier: BSD-3-Clause
//
// Picture files and clips.

func fuzzPicture(_ input: [UInt8]) {
  var bytes = input
  if bytes.starts(with: PNG.signature), input[input.count - 1] & 1 == 0 { mendPNG(&bytes) }
  if let loaded = try? PictureFile.read(bytes, maximumPixels: 1 << 12) {
    let white = loaded.onWhite()
    let written = PNG.write(
      loaded.picture.format == .yuv420 ? white : loaded.picture, alpha: loaded.alpha, metadata: loaded.metadata)
    let again = try? PNG.load(written)
    precondition(again != nil && again!.picture.width == loaded.picture.width, "a PNG file of its own is not read")
  }
  var position = 0
  if var reader = try? Y4MReader(
    maximumPixels: 1 << 12,
    pull: { count in
      defer { position = min(position + count, bytes.count) }
      return Array(bytes[position..<min(position + count, bytes.count)])
    })
  {
    for _ in 0..<4 { guard let frame = try? reader.next(), frame.width > 0 else { break } }
  }
}

/// Makes the checksums of a PNG file's chunks right.
private func mendPNG(_ bytes: inout [UInt8]) {
  var at = 8
  while at + 12 <= bytes.count {
    let size = (0..<4).reduce(0) { $0 << 8 | Int(bytes[at + $1]) }
    guard at + 12 + size <= bytes.count else { return }
    let crc = crc32(bytes[(at + 4)..<(at + 8 + size)])
    for i in 0..<4 { bytes[at + 8 + size + i] = UInt8(truncatingIfNeeded: crc >> UInt32(24 - 8 * i)) }
    at += 12 + size
  }
}
