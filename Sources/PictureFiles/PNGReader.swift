// SPDX-License-Identifier: BSD-3-Clause

import SwiftCodec

extension PNG {
  /// Reads a PNG file of any colour type, depth and interlacing.
  ///
  /// Grey files give grey pictures, all others RGB. 16-bit samples become round(v · 255 / 65535), shorter ones are
  /// stretched to 0…255. Pixels with alpha are put on white. Gamma and colour profiles are not applied, and what
  /// follows IEND is ignored.
  ///
  /// Memory: the file, its inflated rows (at most 1032 times the file, and at most 2^28 pixels) and the picture.
  public static func read(_ bytes: [UInt8]) throws(PNGError) -> Picture {
    let file = try PNGFile(bytes)
    let size = file.passes.reduce(0) { $0 + ($1.rowBytes + 1) * $1.height }
    var rows: [UInt8]
    do {
      rows = try inflate(zlib: file.compressed, size: size)
    } catch {
      throw .compressed(error)
    }
    var samples = [UInt8](repeating: 0, count: file.width * file.height * file.channels)
    var start = 0
    for pass in file.passes {
      try unfilter(&rows, start, pass, file.pixelBytes)
      try file.unpack(rows, start, pass, into: &samples)
      start += (pass.rowBytes + 1) * pass.height
    }
    do {
      return try Picture(width: file.width, height: file.height, channels: file.channels, samples: samples)
    } catch {
      throw .picture(error)
    }
  }
}

/// The pixels x = x0 + i · dx, y = y0 + j · dy, stored as rows of their own.
private struct Pass {
  let x0: Int, y0: Int, dx: Int, dy: Int
  let width: Int, height: Int
  let rowBytes: Int

  init?(_ x0: Int, _ y0: Int, _ dx: Int, _ dy: Int, width: Int, height: Int, pixelBits: Int) {
    (self.x0, self.y0, self.dx, self.dy) = (x0, y0, dx, dy)
    self.width = (width - x0 + dx - 1) / dx
    self.height = (height - y0 + dy - 1) / dy
    rowBytes = (self.width * pixelBits + 7) / 8
    if self.width <= 0 || self.height <= 0 { return nil }
  }
}

/// The chunks of a PNG file, checked.
private struct PNGFile {
  private(set) var width = 0
  private(set) var height = 0
  private var depth = 0
  private var colorType: UInt8 = 0
  private(set) var passes: [Pass] = []
  /// RGB triples.
  private var palette: [UInt8] = []
  /// Alpha of the palette's entries.
  private var paletteAlpha: [UInt8] = []
  /// The grey or RGB sample values that are transparent.
  private var transparent: [Int]?
  /// All IDAT chunks together.
  private(set) var compressed: [UInt8] = []

  private var isGrey: Bool { colorType & 2 == 0 }
  private var hasAlpha: Bool { colorType & 4 != 0 }
  private var isPalette: Bool { colorType == 3 }
  /// Channels of the picture.
  var channels: Int { isGrey ? 1 : 3 }
  /// Samples of a pixel in the file.
  private var stored: Int { isPalette ? 1 : channels + (hasAlpha ? 1 : 0) }
  /// Distance of the filters' left neighbour.
  var pixelBytes: Int { max(1, stored * depth / 8) }

  init(_ bytes: [UInt8]) throws(PNGError) {
    guard bytes.starts(with: PNG.signature) else { throw .signature }
    var rest = bytes[PNG.signature.count...]
    var previous = ""
    while true {
      let (type, data) = try PNGFile.nextChunk(&rest)
      guard previous != "" || type == "IHDR" else { throw .order(chunk: type) }
      switch type {
      case "IHDR":
        guard previous == "" else { throw .order(chunk: type) }
        try header(data)
      case "PLTE":
        guard palette.isEmpty, compressed.isEmpty, !isGrey else { throw .order(chunk: type) }
        guard data.count % 3 == 0, (1...(isPalette ? 1 << depth : 256)).contains(data.count / 3) else {
          throw .size(chunk: type, data.count)
        }
        palette = Array(data)
      case "tRNS":
        guard transparent == nil, paletteAlpha.isEmpty, compressed.isEmpty, !hasAlpha else {
          throw .order(chunk: type)
        }
        try transparency(data)
      case "IDAT":
        guard compressed.isEmpty || previous == "IDAT" else { throw .order(chunk: type) }
        guard !isPalette || !palette.isEmpty else { throw .noPalette }
        compressed += data
      case "IEND":
        guard data.isEmpty else { throw .size(chunk: type, data.count) }
        guard !compressed.isEmpty else { throw .order(chunk: type) }
        return
      default:
        // Bit 5 of the first letter: the chunk may be ignored.
        guard type.utf8.first! & 0x20 != 0 else { throw .unknown(chunk: type) }
      }
      previous = type
    }
  }

  private static func nextChunk(
    _ rest: inout ArraySlice<UInt8>
  ) throws(PNGError) -> (type: String, data: ArraySlice<UInt8>) {
    guard rest.count >= 12 else { throw .truncated }
    let start = rest.startIndex
    let size = Int(bigEndian32(rest, start))
    guard size <= rest.count - 12 else { throw .truncated }
    let letters = rest[start + 4..<start + 8]
    let isType = letters.allSatisfy { (65...90).contains($0 & 0xDF) }
    let type = isType ? String(decoding: letters, as: UTF8.self) : "????"
    guard isType else { throw .unknown(chunk: type) }
    guard crc32(rest[start + 4..<start + 8 + size]) == bigEndian32(rest, start + 8 + size) else {
      throw .checksum(chunk: type)
    }
    let data = rest[start + 8..<start + 8 + size]
    rest = rest[(start + 12 + size)...]
    return (type, data)
  }

  private mutating func header(_ data: ArraySlice<UInt8>) throws(PNGError) {
    guard data.count == 13 else { throw .size(chunk: "IHDR", data.count) }
    let at = data.startIndex
    let (width, height) = (bigEndian32(data, at), bigEndian32(data, at + 4))
    guard (1...65535).contains(width), (1...65535).contains(height), width * height <= 1 << 28 else {
      throw .dimensions(width, height)
    }
    (self.width, self.height) = (Int(width), Int(height))
    let depths: [UInt8]
    switch data[at + 9] {
    case 0: depths = [1, 2, 4, 8, 16]
    case 3: depths = [1, 2, 4, 8]
    case 2, 4, 6: depths = [8, 16]
    default: depths = []
    }
    guard depths.contains(data[at + 8]) else { throw .format(colorType: data[at + 9], depth: data[at + 8]) }
    depth = Int(data[at + 8])
    colorType = data[at + 9]
    guard data[at + 10] == 0, data[at + 11] == 0, data[at + 12] <= 1 else {
      throw .method(data[at + 10], data[at + 11], data[at + 12])
    }
    let adam7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    let layout = data[at + 12] == 1 ? adam7 : [(0, 0, 1, 1)]
    passes = layout.compactMap { x0, y0, dx, dy in
      Pass(x0, y0, dx, dy, width: self.width, height: self.height, pixelBits: stored * depth)
    }
  }

  private mutating func transparency(_ data: ArraySlice<UInt8>) throws(PNGError) {
    if isPalette {
      guard !palette.isEmpty else { throw .order(chunk: "tRNS") }
      guard (1...palette.count / 3).contains(data.count) else { throw .size(chunk: "tRNS", data.count) }
      paletteAlpha = Array(data)
      return
    }
    guard data.count == 2 * channels else { throw .size(chunk: "tRNS", data.count) }
    transparent = (0..<channels).map {
      Int(data[data.startIndex + 2 * $0]) << 8 | Int(data[data.startIndex + 2 * $0 + 1])
    }
  }

  /// Writes the unfiltered rows of a pass, which begin at `start`, to their places in the picture.
  func unpack(_ rows: [UInt8], _ start: Int, _ pass: Pass, into samples: inout [UInt8]) throws(PNGError) {
    let lookup = try isPalette ? paletteOnWhite() : []
    let largest = 1 << depth - 1
    var values = [Int](repeating: 0, count: stored)
    var samples = samples.mutableSpan
    for j in 0..<pass.height {
      let row = start + j * (pass.rowBytes + 1) + 1
      let outRow = (pass.y0 + j * pass.dy) * width
      if depth == 8, !isPalette, !hasAlpha, transparent == nil, pass.dx == 1 {
        for i in 0..<pass.rowBytes { samples[outRow * channels + i] = rows[row + i] }
        continue
      }
      for i in 0..<pass.width {
        let out = (outRow + pass.x0 + i * pass.dx) * channels
        for k in 0..<stored { values[k] = sample(rows, row, i * stored + k) }
        if isPalette {
          guard 3 * values[0] < lookup.count else { throw .paletteIndex(UInt8(values[0])) }
          for k in 0..<3 { samples[out + k] = lookup[3 * values[0] + k] }
          continue
        }
        let alpha = hasAlpha ? values[stored - 1] : transparent.map { values.elementsEqual($0) } == true ? 0 : largest
        for k in 0..<channels {
          // On white, at the depth of the file; then to 8 bits.
          let value =
            alpha == largest
            ? values[k] : (values[k] * alpha + largest * (largest - alpha) + largest / 2) / largest
          samples[out + k] = depth == 8 ? UInt8(value) : UInt8((value * 255 + largest / 2) / largest)
        }
      }
    }
  }

  @inline(__always)
  private func sample(_ rows: [UInt8], _ row: Int, _ index: Int) -> Int {
    switch depth {
    case 8: return Int(rows[row + index])
    case 16: return Int(rows[row + 2 * index]) << 8 | Int(rows[row + 2 * index + 1])
    default:
      let bit = index * depth
      return Int(rows[row + bit >> 3]) >> (8 - depth - bit & 7) & (1 << depth - 1)
    }
  }

  private func paletteOnWhite() throws(PNGError) -> [UInt8] {
    palette.enumerated().map { i, value in
      let alpha = i / 3 < paletteAlpha.count ? Int(paletteAlpha[i / 3]) : 255
      return UInt8((Int(value) * alpha + 255 * (255 - alpha) + 127) / 255)
    }
  }
}

private func bigEndian32(_ bytes: ArraySlice<UInt8>, _ at: Int) -> UInt32 {
  bytes[at..<at + 4].reduce(0) { $0 << 8 | UInt32($1) }
}

/// Undoes the filters of a pass in place; a row is a filter type and `rowBytes` bytes.
private func unfilter(_ rows: inout [UInt8], _ start: Int, _ pass: Pass, _ pixelBytes: Int) throws(PNGError) {
  let size = pass.rowBytes
  let left = min(pixelBytes, size)
  var bytes = rows.mutableSpan
  for j in 0..<pass.height {
    let row = start + j * (size + 1) + 1
    let isFirst = j == 0
    let above = isFirst ? row : row - size - 1
    switch (bytes[row - 1], isFirst) {
    case (0, _), (2, true): break
    case (1, _), (4, true):
      for i in left..<size { bytes[row + i] &+= bytes[row + i - pixelBytes] }
    case (2, false):
      for i in 0..<size { bytes[row + i] &+= bytes[above + i] }
    case (3, true):
      for i in left..<size { bytes[row + i] &+= bytes[row + i - pixelBytes] >> 1 }
    case (3, false):
      for i in 0..<left { bytes[row + i] &+= bytes[above + i] >> 1 }
      for i in left..<size {
        bytes[row + i] &+= UInt8((UInt16(bytes[row + i - pixelBytes]) + UInt16(bytes[above + i])) >> 1)
      }
    case (4, false):
      for i in 0..<left { bytes[row + i] &+= bytes[above + i] }
      for i in left..<size {
        let (a, b, c) = (bytes[row + i - pixelBytes], bytes[above + i], bytes[above + i - pixelBytes])
        bytes[row + i] &+= PNG.paeth(a, b, c)
      }
    default: throw .filter(bytes[row - 1])
    }
  }
}
