// SPDX-License-Identifier: BSD-3-Clause
//
// Picture files and clips.

func fuzzPicture(_ input: [UInt8]) {
  var bytes = input
  let last = Int(input[input.count - 1])
  if bytes.starts(with: PNG.signature), last & 1 == 0 { mendPNG(&bytes) }
  do { writeAgain(try PictureFile.read(bytes, maximumPixels: 1 << 12), level: last >> 1 % 10) } catch {
    precondition(!error.description.isEmpty)
  }
  var position = 0
  do {
    var reader = try Y4MReader(
      maximumPixels: 1 << 12,
      pull: { count in
        defer { position = min(position + count, bytes.count) }
        return Array(bytes[position..<min(position + count, bytes.count)])
      })
    let writer = Y4MWriter(reader.header)
    precondition(!writer.start.isEmpty)
    for _ in 0..<4 {
      guard let frame = try reader.next(), frame.width > 0 else { break }
      _ = try? writer.frame(frame)
    }
  } catch { precondition(!error.description.isEmpty) }
}

/// What was read comes back from every format that is written, and its metadata from a bitstream.
private func writeAgain(_ loaded: LoadedPicture, level: Int) {
  for warning in loaded.warnings { precondition(!warning.description.isEmpty || warning.isLoss) }
  let (picture, metadata) = (loaded.picture, loaded.metadata)
  let opaque = picture.rgbOrGrey(metadata.colour)
  precondition(loaded.onWhite().samples.count == opaque.samples.count)
  let png = PNG.write(picture, alpha: loaded.alpha, metadata: metadata, level: level)
  guard let again = try? PNG.load(png) else { fatalError("a PNG file of its own is not read") }
  precondition(again.picture == opaque && again.alpha == loaded.alpha, "another picture from PNG")
  guard let again = try? PNM.load(PNM.write(picture, alpha: loaded.alpha, colour: metadata.colour)) else {
    fatalError("a PNM file of its own is not read")
  }
  precondition(again.picture == opaque && again.alpha == loaded.alpha, "another picture from PNM")
  if picture.format != .rgb {
    guard let file = try? Y4M.write(picture, colour: metadata.colour), let again = try? Y4M.load(file) else {
      fatalError("a Y4M file of its own is not read")
    }
    precondition(again.picture == picture, "another picture from Y4M")
  }
  let boxes = metadata.boxes(for: picture.format)
  let kept = PictureMetadata(boxes: boxes, of: picture.format).boxes(for: picture.format)
  precondition(kept.count == boxes.count, "other metadata")
  for (a, b) in zip(boxes, kept) { precondition(a.kind == b.kind && a.bytes == b.bytes, "other metadata") }
}

/// Kinds of PNM, metadata of PNG, segments of JPEG.
func pictureSeeds() -> [[UInt8]] {
  var seeds = [
    "P1\n3 2\n1 0 1\n001\n", "P2\n3 2\n9\n1 2 3\n4 5 9\n", "P3 2 1 65535\n1 2 3 4 5 65535\n", "P4\n9 2\nabcd",
    "P5\n2 2\n255\nabcd", "P6\n1 2\n999\nabcdefghijkl",
    "P7\nWIDTH 1\nHEIGHT 1\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\nabcd",
    "P7\nWIDTH 1\nHEIGHT 1\nDEPTH 2\nMAXVAL 65535\nTUPLTYPE GRAYSCALE_ALPHA\nENDHDR\nabcd",
    "YUV4MPEG2 W2 H2 F25:1 Ip A2:1 C420mpeg2 XCOLORRANGE=LIMITED\nFRAME\nabcdefFRAME\nabcdef",
    "YUV4MPEG2 W2 H1 F25:1 Ip A1:1 C444\nFRAME Xa\nabcdef", "YUV4MPEG2 W2 H1 Cmono XCOLORRANGE=FULL\nFRAME\nab",
  ].map { Array($0.utf8) }
  var metadata = PictureMetadata()
  metadata.icc = Array("a profile".utf8)
  metadata.xmp = Array("<x/>".utf8)
  metadata.gamma = 45455
  metadata.chromaticities = Chromaticities((1...8).map { 1000 * $0 })
  metadata.resolution = PictureResolution(horizontal: 300, vertical: 200, unit: .metre)
  seeds.append(PNG.write(drawn(9, 7, .rgb, 1), alpha: drawn(9, 7, .grey, 2), metadata: metadata))
  metadata.icc = nil
  metadata.sRGBIntent = 1
  metadata.cicp = [9, 16, 0, 1]
  seeds.append(PNG.write(drawn(9, 7, .grey, 1), metadata: metadata, level: 9))
  // What levels make of more than a few rows.
  for level in [0, 2, 5, 8] { seeds.append(PNG.write(drawn(64, 60, .grey, level), level: level) + [UInt8(2 * level)]) }
  let jpeg = readFile(fixtures + "/files/grey-baseline-8x8.jpg")
  func segment(_ number: UInt8, _ text: String) -> [UInt8] {
    [0xFF, 0xE0 + number, 0, UInt8(2 + text.utf8.count)] + Array(text.utf8)
  }
  let xmp = segment(1, "http://ns.adobe.com/xap/1.0/\0<x/>")
  let segments = [
    xmp, xmp + xmp, segment(1, "http://ns.adobe.com/xmp/extension/\0abc"), segment(1, "else"), segment(0, "JFXX\0abc"),
    segment(2, "ICC_PROFILE\0\u{1}\u{1}profile"),
    segment(2, "ICC_PROFILE\0\u{2}\u{2}b") + segment(2, "ICC_PROFILE\0\u{1}\u{2}a"),
    segment(2, "ICC_PROFILE\0\u{2}\u{2}b"), segment(2, "MPF\0abc"), segment(14, "else"), segment(13, "Photoshop"),
  ]
  for segment in segments { seeds.append(Array(jpeg[..<2]) + segment + jpeg[2...]) }
  return seeds
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
