// SPDX-License-Identifier: BSD-3-Clause

import SwiftCodec

extension PNG {
  /// The picture of a PNG file alone, transparent parts on white.
  public static func read(_ bytes: [UInt8]) throws(PNGError) -> Picture { try load(bytes).onWhite() }

  /// Reads a PNG file of any colour type, depth and interlacing.
  ///
  /// Grey files give grey pictures, all others RGB. 16-bit samples become round(v · 255 / 65535), shorter ones are
  /// stretched to 0…255. Alpha samples, alpha of a palette and a transparent colour give `alpha`. Gamma and colour
  /// profiles are carried and not applied; an orientation in eXIf is applied.
  ///
  /// Where libpng reads on, this does, with a warning: wrong CRC-32 of an ancillary chunk, which is ignored; a palette of
  /// unneeded entries or in a grey file; samples beyond the palette, which are black and opaque; tRNS that is early, too
  /// long, repeated (the first counts), behind the image data or in a file with alpha (both ignored); compressed data
  /// that go on behind the last row; data in IEND; anything behind it.
  ///
  /// Memory: the file, its inflated rows (at most 1032 times the file, and at most `maximumPixels`) and the picture.
  public static func load(
    _ bytes: [UInt8], maximumPixels: Int = PictureFile.defaultMaximumPixels
  ) throws(PNGError) -> LoadedPicture {
    var file = try PNGFile(bytes, maximumPixels: maximumPixels)
    let size = file.passes.reduce(0) { $0 + ($1.rowBytes + 1) * $1.height }
    var rows: [UInt8]
    do {
      let (output, isWhole) = try inflate(zlib: file.compressed, first: size)
      rows = output
      if !isWhole { file.warn(.surplusRows) }
    } catch {
      throw .compressed(error)
    }
    let hasAlpha = file.hasAnyAlpha
    var samples = [UInt8](repeating: 0, count: file.width * file.height * file.channels)
    var alpha = hasAlpha ? [UInt8](repeating: 255, count: file.width * file.height) : []
    var start = 0
    for pass in file.passes {
      var span = rows.mutableSpan
      for j in 0..<pass.height {
        let row = start + j * (pass.rowBytes + 1) + 1
        try undoFilter(
          span[row - 1], &span, row: row, above: j == 0 ? nil : row - pass.rowBytes - 1, size: pass.rowBytes,
          pixel: file.pixelBytes)
      }
      file.unpack(rows, start, pass, into: &samples, &alpha)
      start += (pass.rowBytes + 1) * pass.height
    }
    rows = []
    let format: PixelFormat = file.channels == 1 ? .grey : .rgb
    var result = LoadedPicture(
      picture: makePicture(file.width, file.height, format, samples),
      alpha: hasAlpha ? makePicture(file.width, file.height, .grey, alpha) : nil,
      metadata: file.metadata, warnings: file.warnings)
    result.applyOrientation()
    return result
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

private struct Chunk {
  let type: String
  let data: ArraySlice<UInt8>
  let hasRightChecksum: Bool

  /// Bit 5 of the first letter: the chunk may be ignored.
  var isAncillary: Bool { type.utf8.first! & 0x20 != 0 }
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
  /// The content of tRNS, understood when all that stands before the image data is read.
  private var storedTransparency: ArraySlice<UInt8>?
  /// Alpha of the palette's entries.
  private var paletteAlpha: [UInt8] = []
  /// The grey or RGB sample values that are transparent.
  private var transparent: [Int]?
  /// All IDAT chunks together.
  private(set) var compressed: [UInt8] = []
  private(set) var metadata = PictureMetadata()
  private(set) var warnings: [PictureWarning] = []
  /// Ancillary chunks that may occur once and have.
  private var seen: Set<String> = []

  private var isGrey: Bool { colorType & 2 == 0 }
  private var hasAlpha: Bool { colorType & 4 != 0 }
  private var isPalette: Bool { colorType == 3 }
  /// Alpha in any of three ways.
  var hasAnyAlpha: Bool { hasAlpha || transparent != nil || !paletteAlpha.isEmpty }
  /// Channels of the picture.
  var channels: Int { isGrey ? 1 : 3 }
  /// Samples of a pixel in the file.
  private var stored: Int { isPalette ? 1 : channels + (hasAlpha ? 1 : 0) }
  /// Distance of the filters' left neighbour.
  var pixelBytes: Int { max(1, stored * depth / 8) }

  /// Adds a warning unless it is there.
  mutating func warn(_ warning: PictureWarning) {
    if !warnings.contains(warning) { warnings.append(warning) }
  }

  init(_ bytes: [UInt8], maximumPixels: Int) throws(PNGError) {
    guard bytes.starts(with: PNG.signature) else { throw .signature }
    var rest = bytes[PNG.signature.count...]
    var previous = ""
    while true {
      let chunk = try PNGFile.nextChunk(&rest)
      let type = chunk.type
      guard previous != "" || type == "IHDR" else { throw .order(chunk: type) }
      guard chunk.hasRightChecksum else {
        guard chunk.isAncillary else { throw .checksum(chunk: type) }
        warn(.checksum(chunk: type))
        previous = type
        continue
      }
      switch type {
      case "IHDR":
        guard previous == "" else { throw .order(chunk: type) }
        try header(chunk.data, maximumPixels)
      case "PLTE": try palette(chunk.data)
      case "IDAT":
        guard compressed.isEmpty || previous == "IDAT" else { throw .order(chunk: type) }
        guard !isPalette || !palette.isEmpty else { throw .noPalette }
        compressed += chunk.data
      case "IEND":
        guard !compressed.isEmpty else { throw .order(chunk: type) }
        if !chunk.data.isEmpty { warn(.chunkSize(type, chunk.data.count)) }
        if !rest.isEmpty { warn(.trailingBytes(rest.count)) }
        understandTransparency()
        if depth == 16 { warn(.bitsReduced(from: 16)) }
        return
      default:
        guard chunk.isAncillary else { throw .unknown(chunk: type) }
        ancillary(chunk)
      }
      previous = type
    }
  }

  private static func nextChunk(_ rest: inout ArraySlice<UInt8>) throws(PNGError) -> Chunk {
    guard rest.count >= 12 else { throw .truncated }
    let start = rest.startIndex
    let size = Int(bigEndian32(rest, start))
    guard size <= rest.count - 12 else { throw .truncated }
    let letters = rest[start + 4..<start + 8]
    let isType = letters.allSatisfy { (65...90).contains($0 & 0xDF) }
    guard isType else { throw .unknown(chunk: "????") }
    let type = String(decoding: letters, as: UTF8.self)
    let isRight = crc32(rest[start + 4..<start + 8 + size]) == bigEndian32(rest, start + 8 + size)
    let data = rest[start + 8..<start + 8 + size]
    rest = rest[(start + 12 + size)...]
    return Chunk(type: type, data: data, hasRightChecksum: isRight)
  }

  private mutating func header(_ data: ArraySlice<UInt8>, _ maximumPixels: Int) throws(PNGError) {
    guard data.count == 13 else { throw .size(chunk: "IHDR", data.count) }
    let at = data.startIndex
    let (width, height) = (bigEndian32(data, at), bigEndian32(data, at + 4))
    guard (1...65535).contains(width), (1...65535).contains(height), Int(width) * Int(height) <= maximumPixels else {
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

  private mutating func palette(_ data: ArraySlice<UInt8>) throws(PNGError) {
    guard !isGrey else { return warn(.chunkOutOfPlace("PLTE")) }
    guard compressed.isEmpty, palette.isEmpty else {
      // A palette of colours to quantise to is only a suggestion.
      guard !isPalette else { throw .order(chunk: "PLTE") }
      return warn(.chunkOutOfPlace("PLTE"))
    }
    guard data.count % 3 == 0, (1...256).contains(data.count / 3) else {
      guard !isPalette else { throw .size(chunk: "PLTE", data.count) }
      return warn(.chunkSize("PLTE", data.count))
    }
    let usable = isPalette ? 3 << depth : 768
    if data.count > usable { warn(.chunkSize("PLTE", data.count)) }
    palette = Array(data.prefix(usable))
  }

  // MARK: Ancillary chunks

  private mutating func ancillary(_ chunk: Chunk) {
    let (type, data) = (chunk.type, chunk.data)
    switch type {
    case "tEXt", "zTXt": return warn(.chunkNotKept(type))
    case "iTXt": return internationalText(data)
    case "fcTL", "fdAT", "IDOT", "iDOT", "sPLT": return type == "sPLT" ? warn(.chunkNotKept(type)) : ()
    default: break
    }
    let known = ["tRNS", "iCCP", "eXIf", "cICP", "gAMA", "cHRM", "sRGB", "pHYs", "acTL"]
    guard known.contains(type) else { return warn(.chunkNotKept(type)) }
    guard seen.insert(type).inserted else { return warn(.chunkRepeated(type)) }
    if !compressed.isEmpty, type != "eXIf" {
      // What describes the samples may not follow them. Only tRNS would change them.
      warn(.chunkOutOfPlace(type))
      if type == "tRNS" || type == "acTL" { return }
    }
    let sizes = ["cICP": 4, "gAMA": 4, "cHRM": 32, "sRGB": 1, "pHYs": 9, "acTL": 8]
    let at = data.startIndex
    let isRight =
      switch type {
      case _ where data.count != sizes[type] ?? data.count: false
      case "eXIf": !data.isEmpty
      case "cICP": data[at + 3] <= 1
      case "sRGB": data[at] <= 3
      default: true
      }
    guard isRight else { return warn(.damagedMetadata("PNG chunk \(type)")) }
    switch type {
    case "tRNS": transparency(data)
    case "iCCP": profile(data)
    case "eXIf": metadata.exif = Array(data)
    case "cICP": metadata.cicp = Array(data)
    case "gAMA": metadata.gamma = bigEndian32(data, at)
    case "cHRM": metadata.chromaticities = Chromaticities((0..<8).map { bigEndian32(data, at + 4 * $0) })
    case "sRGB": metadata.sRGBIntent = data[at]
    case "pHYs":
      metadata.resolution = PictureResolution(
        horizontal: bigEndian32(data, at), vertical: bigEndian32(data, at + 4), unit: data[at + 8] == 1 ? .metre : .none
      )
    default:
      let frames = bigEndian32(data, at)
      if frames > 1 { warn(.furtherFrames(Int(frames) - 1)) }
    }
  }

  /// A name, a zero, compression method 0, the profile.
  private mutating func profile(_ data: ArraySlice<UInt8>) {
    guard let zero = data.firstIndex(of: 0), zero + 1 < data.endIndex, data[zero + 1] == 0,
      let profile = try? inflate(zlib: Array(data[(zero + 2)...]), limit: PNG.metadataLimit), !profile.isEmpty
    else { return warn(.damagedMetadata("the ICC profile")) }
    metadata.icc = profile
  }

  /// A keyword, a zero, compression flag and method, language, a zero, translated keyword, a zero, the text.
  private mutating func internationalText(_ data: ArraySlice<UInt8>) {
    guard data.starts(with: Array(PNG.xmpKeyword.utf8) + [0]) else { return warn(.chunkNotKept("iTXt")) }
    let rest = data.dropFirst(PNG.xmpKeyword.utf8.count + 1)
    guard let flag = rest.first, rest.count >= 4, metadata.xmp == nil,
      let language = rest.dropFirst(2).firstIndex(of: 0),
      let keyword = rest[(language + 1)...].firstIndex(of: 0)
    else { return warn(metadata.xmp == nil ? .damagedMetadata("the XMP packet") : .chunkRepeated("iTXt")) }
    let text = Array(rest[(keyword + 1)...])
    if flag == 0 {
      metadata.xmp = text
    } else if let text = try? inflate(zlib: text, limit: PNG.metadataLimit) {
      metadata.xmp = text
    } else {
      warn(.damagedMetadata("the XMP packet"))
    }
  }

  private mutating func transparency(_ data: ArraySlice<UInt8>) {
    guard !hasAlpha else { return warn(.chunkOutOfPlace("tRNS")) }
    if isPalette, palette.isEmpty { warn(.chunkOutOfPlace("tRNS")) }
    storedTransparency = data
  }

  private mutating func understandTransparency() {
    guard let data = storedTransparency else { return }
    if isPalette {
      if data.count > palette.count / 3 || data.isEmpty { warn(.chunkSize("tRNS", data.count)) }
      paletteAlpha = Array(data.prefix(palette.count / 3))
      return
    }
    if data.count != 2 * channels { warn(.chunkSize("tRNS", data.count)) }
    guard data.count >= 2 * channels else { return }
    transparent = (0..<channels).map {
      // Bits above the depth mean nothing.
      (Int(data[data.startIndex + 2 * $0]) << 8 | Int(data[data.startIndex + 2 * $0 + 1])) & (1 << depth - 1)
    }
  }

  // MARK: Samples

  /// Writes the unfiltered rows of a pass, which begin at `start`, to their places in the picture.
  mutating func unpack(
    _ rows: [UInt8], _ start: Int, _ pass: Pass, into samples: inout [UInt8], _ alpha: inout [UInt8]
  ) {
    if isPalette { return unpackPalette(rows, start, pass, into: &samples, &alpha) }
    let isPlain = depth == 8 && transparent == nil && pass.dx == 1
    if isPlain, !hasAlpha, pass.dy == 1 { return unpackPlain(rows, start, pass, into: &samples) }
    let largest = 1 << depth - 1
    let (channels, stored) = (channels, stored)
    let source = rows.span
    var samples = samples.mutableSpan
    var alpha = alpha.mutableSpan
    for j in 0..<pass.height {
      let row = start + j * (pass.rowBytes + 1) + 1
      let outRow = (pass.y0 + j * pass.dy) * width
      if isPlain, hasAlpha {
        for i in 0..<pass.width {
          for k in 0..<channels { samples[(outRow + i) * channels + k] = source[row + i * stored + k] }
          alpha[outRow + i] = source[row + i * stored + channels]
        }
        continue
      }
      for i in 0..<pass.width {
        let pixel = outRow + pass.x0 + i * pass.dx
        var isKey = transparent != nil
        for k in 0..<channels {
          let value = sample(source, row, i * stored + k)
          if let transparent, transparent[k] != value { isKey = false }
          samples[pixel * channels + k] = reduced(value, largest)
        }
        if hasAlpha {
          alpha[pixel] = reduced(sample(source, row, i * stored + channels), largest)
        } else if isKey {
          alpha[pixel] = 0
        }
      }
    }
  }

  private func unpackPlain(_ rows: [UInt8], _ start: Int, _ pass: Pass, into samples: inout [UInt8]) {
    rows.withUnsafeBufferPointer { rows in
      samples.withUnsafeMutableBufferPointer { samples in
        let size = pass.rowBytes
        for j in 0..<pass.height {
          let row = UnsafeBufferPointer(rebasing: rows[start + j * (size + 1) + 1..<start + (j + 1) * (size + 1)])
          _ = UnsafeMutableBufferPointer(rebasing: samples[j * size..<(j + 1) * size]).update(from: row)
        }
      }
    }
  }

  private mutating func unpackPalette(
    _ rows: [UInt8], _ start: Int, _ pass: Pass, into samples: inout [UInt8], _ alpha: inout [UInt8]
  ) {
    let entries = palette.count / 3
    // Entries that do not exist are black and opaque.
    let colours = palette + [UInt8](repeating: 0, count: 768 - palette.count)
    let opacities = paletteAlpha + [UInt8](repeating: 255, count: 256 - paletteAlpha.count)
    var largest = 0
    do {
      let source = rows.span
      var samples = samples.mutableSpan
      var alpha = alpha.mutableSpan
      for j in 0..<pass.height {
        let row = start + j * (pass.rowBytes + 1) + 1
        let outRow = (pass.y0 + j * pass.dy) * width
        for i in 0..<pass.width {
          let pixel = outRow + pass.x0 + i * pass.dx
          let index = sample(source, row, i)
          largest = max(largest, index)
          for k in 0..<3 { samples[3 * pixel + k] = colours[3 * index + k] }
          if !paletteAlpha.isEmpty { alpha[pixel] = opacities[index] }
        }
      }
    }
    if largest >= entries { warn(.paletteIndex(UInt8(largest), entries: entries)) }
  }

  /// Of at most `largest`, to 8 bits.
  @inline(__always)
  private func reduced(_ value: Int, _ largest: Int) -> UInt8 {
    depth == 8 ? UInt8(value) : UInt8((value * 255 + largest / 2) / largest)
  }

  @inline(__always)
  private func sample(_ rows: borrowing Span<UInt8>, _ row: Int, _ index: Int) -> Int {
    switch depth {
    case 8: return Int(rows[row + index])
    case 16: return Int(rows[row + 2 * index]) << 8 | Int(rows[row + 2 * index + 1])
    default:
      let bit = index * depth
      return Int(rows[row + bit >> 3]) >> (8 - depth - bit & 7) & (1 << depth - 1)
    }
  }
}

extension PNG {
  /// Bytes to which a compressed profile or text is inflated at most.
  fileprivate static let metadataLimit = 1 << 26
}

private func bigEndian32(_ bytes: ArraySlice<UInt8>, _ at: Int) -> UInt32 {
  bytes[at..<at + 4].reduce(0) { $0 << 8 | UInt32($1) }
}
