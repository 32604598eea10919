// SPDX-License-Identifier: BSD-3-Clause

import SwiftCodec
import Testing

@testable import PictureFiles

/// A PNG encoder that shares nothing with the tool: stored blocks, every filter in turn, any format.
private struct ReferencePNG {
  var width: Int
  var height: Int
  var depth: Int
  var colorType: UInt8
  var isInterlaced = false
  /// [height][width][samples of a pixel], each below 2^depth.
  var samples: [Int]
  var palette: [UInt8] = []
  var transparency: [UInt8] = []

  static func samplesPerPixel(_ colorType: UInt8) -> Int { [0: 1, 2: 3, 3: 1, 4: 2, 6: 4][colorType]! }
  private var stored: Int { Self.samplesPerPixel(colorType) }

  func bytes() -> [UInt8] {
    var file: [UInt8] = [137, 80, 78, 71, 13, 10, 26, 10]
    file += Self.chunk("IHDR", big(width) + big(height) + [UInt8(depth), colorType, 0, 0, isInterlaced ? 1 : 0])
    file += Self.chunk("tEXt", Array("Comment\0drawn for a test".utf8))
    if !palette.isEmpty { file += Self.chunk("PLTE", palette) }
    if !transparency.isEmpty { file += Self.chunk("tRNS", transparency) }
    let data = Self.zlib(rows())
    // Three IDAT chunks, one of them empty.
    file += Self.chunk("IDAT", Array(data[..<(data.count / 3)])) + Self.chunk("IDAT", [])
    file += Self.chunk("IDAT", Array(data[(data.count / 3)...]))
    return file + Self.chunk("IEND", [])
  }

  private func big(_ value: Int) -> [UInt8] { [24, 16, 8, 0].map { UInt8(value >> $0 & 255) } }

  static func chunk(_ type: String, _ data: [UInt8]) -> [UInt8] {
    func big(_ value: UInt32) -> [UInt8] { [24, 16, 8, 0].map { UInt8(value >> UInt32($0) & 255) } }
    var crc: UInt32 = 0xFFFF_FFFF
    for byte in Array(type.utf8) + data {
      crc ^= UInt32(byte)
      for _ in 0..<8 { crc = crc & 1 == 1 ? 0xEDB8_8320 ^ (crc >> 1) : crc >> 1 }
    }
    return big(UInt32(data.count)) + Array(type.utf8) + data + big(~crc)
  }

  static func zlib(_ data: [UInt8]) -> [UInt8] {
    var out: [UInt8] = [0x78, 0x01]
    var rest = data[...]
    repeat {
      let part = rest.prefix(1000)
      rest = rest.dropFirst(1000)
      let (low, high) = (UInt8(part.count & 255), UInt8(part.count >> 8))
      out += [rest.isEmpty ? 1 : 0, low, high, ~low, ~high] + part
    } while !rest.isEmpty
    var (a, b) = (1, 0)
    for byte in data { a = (a + Int(byte)) % 65521; b = (b + a) % 65521 }
    return out + [UInt8(b >> 8), UInt8(b & 255), UInt8(a >> 8), UInt8(a & 255)]
  }

  private func rows() -> [UInt8] {
    guard isInterlaced else {
      return filtered((0..<height).map { y in (0..<width).map { (x: $0, y: y) } })
    }
    // The pass of each pixel of an 8 x 8 tile, as the specification prints it.
    let tile = [
      "16462646", "77777777", "56565656", "77777777", "36463646", "77777777", "56565656", "77777777",
    ].map { $0.map { $0.wholeNumberValue! } }
    return (1...7).flatMap { pass -> [UInt8] in
      filtered(
        (0..<height).map { y in (0..<width).filter { tile[y % 8][$0 % 8] == pass }.map { (x: $0, y: y) } }
          .filter { !$0.isEmpty })
    }
  }

  private func filtered(_ rows: [[(x: Int, y: Int)]]) -> [UInt8] {
    let distance = max(1, stored * depth / 8)
    var out: [UInt8] = []
    var above: [UInt8] = []
    for (number, row) in rows.enumerated() {
      var bits: [Int] = []
      for (x, y) in row {
        for k in 0..<stored {
          let value = samples[(y * width + x) * stored + k]
          for bit in (0..<depth).reversed() { bits.append(value >> bit & 1) }
        }
      }
      while bits.count % 8 != 0 { bits.append(1) }
      let line = stride(from: 0, to: bits.count, by: 8).map { at in
        UInt8(bits[at..<at + 8].reduce(0) { $0 * 2 + $1 })
      }
      let filter = (number + 1) % 5
      out.append(UInt8(filter))
      for (i, byte) in line.enumerated() {
        let a = i >= distance ? Int(line[i - distance]) : 0
        let b = above.isEmpty ? 0 : Int(above[i])
        let c = i >= distance && !above.isEmpty ? Int(above[i - distance]) : 0
        let p = a + b - c
        let nearest = [a, b, c].enumerated().min { (abs(p - $0.1), $0.0) < (abs(p - $1.1), $1.0) }!.1
        out.append(UInt8((Int(byte) + 512 - [0, a, b, (a + b) / 2, nearest][filter]) & 255))
      }
      above = line
    }
    return out
  }

  /// What a reader should see, from real numbers: the picture and its alpha.
  func content() -> LoadedPicture {
    let isGrey = colorType == 0 || colorType == 4
    let largest = Double(1 << depth - 1)
    func byte(_ value: Double) -> UInt8 { UInt8((value * 255 + 1e-9).rounded()) }
    var out: [UInt8] = []
    var opacity: [UInt8] = []
    for i in 0..<width * height {
      let pixel = samples[i * stored..<(i + 1) * stored].map(Double.init)
      var color = pixel.prefix(isGrey ? 1 : 3).map { $0 / largest }
      var alpha = 1.0
      if colorType == 3 {
        let index = Int(pixel[0])
        color = palette[3 * index..<3 * index + 3].map { Double($0) / 255 }
        alpha = index < transparency.count ? Double(transparency[index]) / 255 : 1
      } else if colorType >= 4 {
        alpha = pixel.last! / largest
      } else if !transparency.isEmpty {
        let key = stride(from: 0, to: transparency.count, by: 2).map { at in
          Double(Int(transparency[at]) << 8 | Int(transparency[at + 1]))
        }
        alpha = key.elementsEqual(pixel) ? 0 : 1
      }
      out += color.map(byte)
      opacity.append(byte(alpha))
    }
    let hasAlpha = colorType >= 4 || !transparency.isEmpty
    return LoadedPicture(
      picture: makePicture(width, height, isGrey ? .grey : .rgb, out),
      alpha: hasAlpha ? makePicture(width, height, .grey, opacity) : nil)
  }
}

private let formats: [(colorType: UInt8, depth: Int)] =
  [1, 2, 4, 8, 16].map { (0, $0) } + [8, 16].map { (2, $0) } + [1, 2, 4, 8].map { (3, $0) }
  + [8, 16].flatMap { [(4, $0), (6, $0)] }

private func randomPNG(
  _ colorType: UInt8, _ depth: Int, width: Int, height: Int, interlaced: Bool, transparent: Bool, seed: UInt64
) -> ReferencePNG {
  var generator = SplitMix(seed)
  let count = width * height * ReferencePNG.samplesPerPixel(colorType)
  var limit = 1 << depth
  var palette: [UInt8] = []
  var transparency: [UInt8] = []
  if colorType == 3 {
    limit = min(limit, 200)
    palette = (0..<3 * limit).map { _ in UInt8.random(in: 0...255, using: &generator) }
    if transparent { transparency = (0..<(limit + 1) / 2).map { _ in UInt8.random(in: 0...255, using: &generator) } }
  }
  let samples = (0..<count).map { _ in Int.random(in: 0..<limit, using: &generator) }
  if transparent, colorType == 0 || colorType == 2 {
    // The colour of the last pixel.
    transparency = samples.suffix(ReferencePNG.samplesPerPixel(colorType)).flatMap {
      [UInt8($0 >> 8), UInt8($0 & 255)]
    }
  }
  return ReferencePNG(
    width: width, height: height, depth: depth, colorType: colorType, isInterlaced: interlaced, samples: samples,
    palette: palette, transparency: transparency)
}

@Suite struct PNGTests {
  @Test(arguments: formats) func readsEveryFormat(_ format: (colorType: UInt8, depth: Int)) throws {
    var seed: UInt64 = 100
    for interlaced in [false, true] {
      for transparent in [false, true] {
        for (width, height) in [(1, 1), (2, 3), (5, 1), (1, 6), (8, 8), (9, 7), (17, 13), (33, 20)] {
          seed += 1
          let png = randomPNG(
            format.colorType, format.depth, width: width, height: height, interlaced: interlaced,
            transparent: transparent, seed: seed)
          let (loaded, expected) = (try PNG.load(png.bytes()), png.content())
          let name = "\(format), \(width)x\(height), interlaced \(interlaced), transparent \(transparent), seed \(seed)"
          #expect(loaded.picture == expected.picture, "\(name)")
          #expect(loaded.alpha == expected.alpha, "\(name)")
          let warnings = [PictureWarning.chunkNotKept("tEXt")] + (format.depth == 16 ? [.bitsReduced(from: 16)] : [])
          #expect(loaded.warnings == warnings, "\(name)")
        }
      }
    }
  }

  @Test func reducesSixteenBitsByRounding() throws {
    let values = [0, 128, 129, 385, 386, 32767, 32768, 65406, 65407, 65535]
    let png = ReferencePNG(width: 10, height: 1, depth: 16, colorType: 0, samples: values)
    #expect(try PNG.read(png.bytes()).samples == [0, 0, 1, 1, 2, 127, 128, 254, 255, 255])
  }

  @Test(arguments: [(1, 1), (3, 2), (64, 48), (257, 3), (1, 300)], [1, 3])
  func writesWhatItReads(_ size: (width: Int, height: Int), _ channels: Int) throws {
    let picture = drawnPicture(width: size.width, height: size.height, channels: channels)
    let alpha = drawnPicture(width: size.width, height: size.height, channels: 1, seed: 2)
    for level in 0...9 {
      let file = PNG.write(picture, level: level)
      #expect(try PNG.load(file) == LoadedPicture(picture: picture), "level \(level)")
      if picture.samples.count > 5000, level > 0 { #expect(file.count < picture.samples.count * 2 / 3) }
      let both = PNG.write(picture, alpha: alpha, level: level)
      #expect(try PNG.load(both) == LoadedPicture(picture: picture, alpha: alpha), "level \(level)")
    }
  }

  @Test func flatPicturesBecomeSmall() throws {
    let samples = [UInt8](repeating: 77, count: 500 * 400 * 3)
    let picture = try Picture(width: 500, height: 400, channels: 3, samples: samples)
    let file = PNG.write(picture)
    #expect(file.count < 1500)
    #expect(try PNG.read(file) == picture)
  }

  // MARK: Damage

  @Test func everyTruncationIsAnError() {
    for interlaced in [false, true] {
      let file = randomPNG(6, 8, width: 9, height: 5, interlaced: interlaced, transparent: false, seed: 5).bytes()
      for count in 0..<file.count {
        #expect(throws: PNGError.self, "\(count) bytes") { try PNG.read(Array(file[..<count])) }
      }
    }
  }

  /// Or a warning of an ancillary chunk that is ignored, with the colours as they were.
  @Test func everyFlippedBitIsNoticed() throws {
    let files = [
      randomPNG(3, 4, width: 9, height: 5, interlaced: true, transparent: true, seed: 6).bytes(),
      PNG.write(drawnPicture(width: 12, height: 9)),
    ]
    for file in files {
      let whole = try PNG.load(file)
      for bit in 0..<8 * file.count {
        var damaged = file
        damaged[bit / 8] ^= 1 << UInt8(bit % 8)
        guard let loaded = try? PNG.load(damaged) else { continue }
        #expect(loaded.warnings.contains { if case .checksum = $0 { true } else { false } }, "bit \(bit)")
        #expect(loaded.picture == whole.picture, "bit \(bit)")
      }
    }
  }

  /// Damage under checksums that are right: an error or a picture of the size in the header, nothing else.
  @Test func damagedContentIsAnErrorOrAPicture() throws {
    var generator = SplitMix(7)
    let picture = drawnPicture(width: 40, height: 30)
    let chunks = split(PNG.write(picture))
    var pictures = 0
    for _ in 0..<600 {
      var damaged = chunks
      let which = Int.random(in: 0..<2, using: &generator)
      for _ in 0..<Int.random(in: 1...3, using: &generator) {
        let place = Int.random(in: 0..<damaged[which].data.count, using: &generator)
        // Sides stay below 256, so that what is allocated does too.
        if which == 0, place % 4 < 3, place < 8 { continue }
        damaged[which].data[place] = UInt8.random(in: 0...255, using: &generator)
      }
      let file = Array(PNG.signature) + damaged.flatMap { ReferencePNG.chunk($0.type, $0.data) }
      if let result = try? PNG.read(file) {
        pictures += 1
        #expect(result.width == Int(damaged[0].data[3]) && result.height == Int(damaged[0].data[7]))
      }
    }
    #expect(pictures < 600)
  }

  @Test func damagedBlocksAreAnErrorOrOutput() {
    var generator = SplitMix(8)
    let data = drawnPicture(width: 50, height: 20).samples
    let stream = deflate(zlib: data)
    for _ in 0..<1200 {
      var damaged = stream
      for _ in 0..<Int.random(in: 1...4, using: &generator) {
        let place = Int.random(in: 2..<min(damaged.count, 300), using: &generator)
        damaged[place] = UInt8.random(in: 0...255, using: &generator)
      }
      let output = try? inflate(zlib: damaged, size: data.count)
      // Adler-32 lets nothing else through here.
      if damaged != stream { #expect(output == nil || output == data) }
    }
  }

  private func split(_ file: [UInt8]) -> [(type: String, data: [UInt8])] {
    var chunks: [(String, [UInt8])] = []
    var at = 8
    while at < file.count {
      let size = file[at..<at + 4].reduce(0) { $0 << 8 | Int($1) }
      chunks.append((String(decoding: file[at + 4..<at + 8], as: UTF8.self), Array(file[at + 8..<at + 8 + size])))
      at += size + 12
    }
    return chunks
  }

  @Test func chunksOutOfPlaceAreErrors() {
    let (header, data, end) = chunksOfAGreyPixel()
    func read(_ chunks: [[UInt8]]) throws(PNGError) -> Picture { try PNG.read(PNG.signature + chunks.flatMap { $0 }) }
    #expect(throws: Never.self) { try read([header, data, end, [1, 2, 3]]) }
    let wrong = [
      [data, header, end], [header, header, data, end], [header, end], [header, data],
      [header, data, ReferencePNG.chunk("gAMA", [0, 0, 0, 1]), data, end],
      [header, ReferencePNG.chunk("ABCD", []), data, end],
    ]
    for (i, chunks) in wrong.enumerated() {
      #expect(throws: PNGError.self, "case \(i)") { try read(chunks) }
    }
  }

  /// What says nothing that a bitstream could carry is not kept, and that is said.
  @Test(
    arguments: [("cICP", [9, 16, 0, 2]), ("cICP", [9, 16, 0]), ("sRGB", [4]), ("eXIf", [])] as [(String, [UInt8])])
  func metadataOfWrongValues(_ type: String, _ bytes: [UInt8]) throws {
    let (header, data, end) = chunksOfAGreyPixel()
    let file = PNG.signature + header + ReferencePNG.chunk(type, bytes) + data + end
    let loaded = try PNG.load(file)
    #expect(loaded.metadata == PictureMetadata() && loaded.warnings == [.damagedMetadata("PNG chunk \(type)")])
  }

  private func chunksOfAGreyPixel() -> (header: [UInt8], data: [UInt8], end: [UInt8]) {
    let header = ReferencePNG.chunk("IHDR", [0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0])
    return (header, ReferencePNG.chunk("IDAT", ReferencePNG.zlib([0, 50])), ReferencePNG.chunk("IEND", []))
  }

  /// A header alone makes nobody allocate gigabytes.
  @Test func hugeHeadersNeedData() {
    for interlace: UInt8 in [0, 1] {
      let header = ReferencePNG.chunk("IHDR", [0, 0, 255, 255, 0, 0, 255, 255, 16, 6, 0, 0, interlace])
      let data = ReferencePNG.chunk("IDAT", ReferencePNG.zlib([0, 50]))
      let file = PNG.signature + header + data + ReferencePNG.chunk("IEND", [])
      #expect(throws: PNGError.self) { try PNG.read(file) }
    }
  }
}

@Suite struct DeflateTests {
  private static let text = (0..<12).flatMap { "\($0) squared is \($0 * $0), and the tool wrote it down. ".utf8 }

  /// Streams made with zlib 1.2.13: `text` at levels 1, 6, 9 and with the fixed codes.
  @Test(arguments: [
    "780185d1410a80301003c0afe40122dd5aab3e4768c18258d48adff71a2fbbf72184c4e13e9ff5ca09e586ebb01e096dcb68"
      + "b5ee78afda324a43aaefd143d88a6e3ddba0db81eda2dbc056a28e47c67ed471643c18c913e360749e1947638c85f16cac2c"
      + "8eb538ebc0ff83de48ff00bbe5b3df",
    "789c85d1510a80201004d0abcc0122d4ccf43881424128a9e1f5fb5d7f76ff1fc3ecac427bbfb3a688bb412d387344bf127a"
      + "290f462d3de1ee8865e4159a5acd5b43ade5ed466de0ad9d3a381eef149b9dc78ee24d483ea6f384ce9e62278c1128f6c2ca"
      + "5a4d7328e981f3078d90fe03bbe5b3df",
    "78da85d1510a80201004d0abcc0122d4ccf43881424128a9e1f5fb5d7f76ff1fc3ecac427bbfb3a688bb412d387344bf127a"
      + "290f462d3de1ee8865e4159a5acd5b43ade5ed466de0ad9d3a381eef149b9dc78ee24d483ea6f384ce9e62278c1128f6c2ca"
      + "5a4d7328e981f3078d90fe03bbe5b3df",
    "78013350282e2c4d2c4a4d51c82c5630d05148cc4b5128c9485528c9cfcf51282fca2f4955c82c5148c92fcfd3533044566b"
      + "885fad11b25a13fc6a8d91d55ae2576b82e20633fc8a4d91151b99e2576c86acd89880c9e628de23e0660b64c5660402c312"
      + "59b1058150363440090e034211881a8346044c0700bbe5b3df",
  ])
  func inflatesStreamsOfZlib(_ stream: String) throws {
    #expect(try inflate(zlib: bytes(stream), size: Self.text.count) == Self.text)
  }

  /// Codes of up to 12 bits: 13 letters that occur as often as Fibonacci's numbers say.
  @Test func inflatesLongCodes() throws {
    let stream = bytes(
      "780105c18101c3300cc3b0dbb6b5892d91ffbf33e0f3fdfd9ee779dff77dcf39e79c73eebdf7de7befbdf7cecccccccccccc"
        + "cccccccceeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee6e922449922449922449922449922449922449922469dbb66ddbb66ddbb6"
        + "6ddbb66ddbb66ddbb66ddbb66ddbb66ddbb66ddbb66ddbb62d00000000000000000000000000000000000000000000000000"
        + "0000000000000000000080aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        + "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa7ffe70b362")
    var (count, next) = (1, 1)
    var expected: [UInt8] = []
    for letter in 0..<13 {
      expected += [UInt8](repeating: UInt8(65 + letter), count: count)
      (count, next) = (next, count + next)
    }
    #expect(try inflate(zlib: stream, size: expected.count) == expected)
  }

  private func bytes(_ digits: String) -> [UInt8] {
    let digits = digits.map { UInt8($0.hexDigitValue!) }
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
  }

  @Test func inflatesWhatItDeflates() throws {
    var generator = SplitMix(3)
    func check(_ data: [UInt8], atMost limit: Int? = nil, _ what: Comment) throws {
      for level in data.count < 100_000 ? Array(0...9) : [1, 3, 6] {
        let stream = deflate(zlib: data, level: level)
        #expect(try inflate(zlib: stream, size: data.count) == data, what)
        if let limit, level >= 6 { #expect(stream.count <= limit, what) }
      }
    }
    for size in 0..<40 {
      try check((0..<size).map { _ in UInt8.random(in: 0...255, using: &generator) }, "\(size) random bytes")
      try check([UInt8](repeating: 9, count: size), "\(size) equal bytes")
    }
    try check([UInt8](repeating: 0, count: 1_000_000), atMost: 2000, "a million zeros")
    let noise = (0..<150_000).map { _ in UInt8.random(in: 0...255, using: &generator) }
    try check(noise, atMost: noise.count + 100, "noise")
    try check(Array(noise[..<32768] + noise[..<32768]), atMost: 34000, "noise repeated at the window's end")
    try check(Array(noise[..<40000] + noise[..<40000]), "noise repeated beyond the window")
    // Counts that double from letter to letter ask for codes of more than 15 bits.
    let skewed = (0..<200_000).map { _ in UInt8(min(30, generator.next().trailingZeroBitCount)) }
    try check(skewed, atMost: 64000, "skewed")
  }

  @Test func refusesWhatIsNotAStream() {
    func read(_ stream: [UInt8], _ size: Int) throws(InflateError) { _ = try inflate(zlib: stream, size: size) }
    let stream = ReferencePNG.zlib([1, 2, 3])
    #expect(throws: InflateError.tooLong(2)) { try read(stream, 2) }
    #expect(throws: InflateError.tooShort(4)) { try read(stream, 4) }
    #expect(throws: InflateError.truncated) { try read([0x78], 3) }
    #expect(throws: InflateError.header(0x79, 0x01)) { try read([0x79] + stream.dropFirst(), 3) }
    #expect(throws: InflateError.blockType) { try read([0x78, 0x01, 7, 0, 0, 0, 0, 0], 3) }
    #expect(throws: InflateError.storedLength(3, 0)) { try read([0x78, 0x01, 1, 3, 0, 0, 0, 1, 2, 3], 3) }
    #expect(throws: InflateError.checksum) { try read(stream.dropLast() + [99], 3) }
    // A fixed block whose first code is a match.
    #expect(throws: InflateError.distance(1)) { try read([0x78, 0x01, 0x03 | 0x40 << 1, 0, 0, 0, 0, 0, 0], 300) }
    #expect(throws: InflateError.tooShort(1 << 40)) { try read(stream, 1 << 40) }
  }
}
