// SPDX-License-Identifier: BSD-3-Clause

import SwiftCodec

/// What can be wrong with a JPEG file (ITU-T T.81).
public enum JPEGError: Error, Equatable, CustomStringConvertible {
  /// The file does not start with SOI.
  case signature
  /// The file ends, or a marker comes, before the data of a scan or segment are complete.
  case truncated
  /// A kind of JPEG that is not read, in words.
  case unsupported(String)
  /// A segment with impossible content, named by its marker.
  case segment(String)
  /// A marker that may not stand where it does.
  case order(String)
  /// Width and height are 1…65535, and there are at most as many pixels as the caller allows.
  case dimensions(Int, Int)
  /// Sampling factors are 1…4, and whole multiples of each other.
  case sampling
  /// A quantisation or Huffman table that a scan names and no segment defines.
  case noTable(String)
  /// A Huffman code without a meaning, or a coefficient beyond the last of its block.
  case code
  /// A scan that refines what no scan has begun, repeats what one has sent, or has impossible parameters.
  case scan
  /// At most `JPEG.maximumScans`.
  case tooManyScans
  /// Restart markers are numbered 0 to 7 in turn.
  case restart(expected: Int)
  /// A component of which no scan has the data.
  case missingScan

  /// The fault in words, for people; without a full stop.
  public var description: String {
    switch self {
    case .signature: "not a JPEG file"
    case .truncated: "the JPEG file ends too early"
    case .unsupported(let name): "\(name) is not read"
    case .segment(let name): "malformed JPEG segment \(name)"
    case .order(let name): "JPEG marker \(name) is out of place"
    case .dimensions(let width, let height):
      "a JPEG picture of \(width)x\(height) is not within 1x1 to 65535x65535 and the pixels allowed"
    case .sampling: "the JPEG file's sampling factors are impossible"
    case .noTable(let name): "a \(name) table of the JPEG file is missing"
    case .code: "the JPEG file has an invalid code"
    case .scan: "a scan of the JPEG file has impossible parameters"
    case .tooManyScans: "the JPEG file has more than \(JPEG.maximumScans) scans"
    case .restart(let number): "JPEG restart marker \(number) is missing"
    case .missingScan: "the JPEG file lacks a component's data"
    }
  }
}

/// Reads JPEG files: baseline and progressive, 8 bits, Huffman codes (ITU-T T.81, JFIF, Exif).
public enum JPEG {
  /// Scans of a file at most: each goes over the whole picture, whatever its size in bytes.
  public static let maximumScans = 200

  /// Reads a baseline, extended or progressive JPEG file of 8 bits with Huffman codes.
  ///
  /// 4:2:0 gives a `yuv420` picture as it is, with `metadata.colour`; one component gives grey. Any other sampling gives
  /// RGB: chroma of half the columns or rows is interpolated with the weights 3/4 and 1/4, as libjpeg does, chroma of a
  /// quarter is repeated, and JFIF's equations convert it. Data that end early are an error, a missing end marker behind
  /// complete data a warning. An orientation in EXIF is applied.
  ///
  /// Memory: two bytes a coefficient, at most 1024 for each byte of the file, and the picture.
  public static func load(
    _ bytes: [UInt8], maximumPixels: Int = PictureFile.defaultMaximumPixels
  ) throws(JPEGError) -> LoadedPicture {
    var file = try JPEGFile(bytes, maximumPixels: maximumPixels)
    try file.readSegments()
    return try file.result()
  }

  /// Index of a coefficient in its block of rows, by its place in the file.
  static let zigzag: [UInt8] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47,
    55, 62, 63,
  ]
}

/// A component of the frame.
struct JPEGComponent {
  let id: UInt8
  /// Sampling factors across and down.
  let h: Int
  let v: Int
  let tableNumber: Int
  /// In samples.
  var width = 0
  var height = 0
  /// Blocks that hold samples: the extent of a scan of this component alone.
  var blocksWide: Int { (width + 7) / 8 }
  var blocksHigh: Int { (height + 7) / 8 }
  /// Blocks of a row with those that fill up the last unit of an interleaved scan.
  var stride = 0
  var rows = 0
  /// Index of the first block.
  var start = 0
  /// The quantisation table in force when its first scan began, in the file's order.
  var table: [UInt16]?
  /// By place in the file: the lowest bit that has come, −1 for none.
  var lowestBits = [Int](repeating: -1, count: 64)
}

/// Markers, segments and frame of a JPEG file, as far as they are read.
struct JPEGFile {
  let bytes: [UInt8]
  var position = 2
  private let maximumPixels: Int
  private(set) var width = 0
  private(set) var height = 0
  private(set) var isProgressive = false
  var components: [JPEGComponent] = []
  private(set) var unitsWide = 0
  private(set) var unitsHigh = 0
  /// 64 of each block in rows, block after block, component after component.
  var coefficients: [Int16] = []
  private var quantisation = [[UInt16]?](repeating: nil, count: 4)
  var dcTables = [JPEGHuffmanTable?](repeating: nil, count: 4)
  var acTables = [JPEGHuffmanTable?](repeating: nil, count: 4)
  /// Units between restart markers, 0 for none.
  private(set) var restartInterval = 0
  private var scans = 0

  private var metadata = PictureMetadata()
  private var warnings: [PictureWarning] = []
  private var hasJFIF = false
  /// Adobe's APP14: 0 nothing converted, 1 YCbCr, 2 YCCK.
  private var adobeTransform: UInt8?
  /// Parts of the ICC profile by their number.
  private var profile: [Int: ArraySlice<UInt8>] = [:]
  private var profileParts = 0

  init(_ bytes: [UInt8], maximumPixels: Int) throws(JPEGError) {
    guard bytes.starts(with: [0xFF, 0xD8]) else { throw .signature }
    self.bytes = bytes
    self.maximumPixels = maximumPixels
  }

  mutating func warn(_ warning: PictureWarning) {
    if !warnings.contains(warning) { warnings.append(warning) }
  }

  /// Reads all segments and scans up to the end marker.
  mutating func readSegments() throws(JPEGError) {
    while let marker = try nextMarker() {
      switch marker {
      case 0xD9:
        if position < bytes.count { warn(.trailingBytes(bytes.count - position)) }
        return try checkScans(hasEnd: true)
      case 0xD8: throw .order("SOI")
      case 0x01, 0xD0...0xD7: warn(.strayBytes(2))
      default:
        let data = try segment(marker)
        switch marker {
        case 0xC4: try huffmanTables(data)
        case 0xC0...0xC3, 0xC5...0xC7, 0xC9...0xCB, 0xCD...0xCF, 0xF7: try frame(marker, data)
        case 0xCC: throw .unsupported("a JPEG file with arithmetic coding")
        case 0xDA: try scan(data)
        case 0xDB: try quantisationTables(data)
        case 0xDC: throw .unsupported("a JPEG file that gives its height behind the first scan")
        case 0xDD:
          guard data.count == 2 else { throw .segment("DRI") }
          restartInterval = Int(data[data.startIndex]) << 8 | Int(data[data.startIndex + 1])
        case 0xDE, 0xDF: throw .unsupported("a hierarchical JPEG file")
        case 0xE0...0xEF: application(Int(marker) - 0xE0, data)
        case 0xFE: warn(.segmentNotKept("a comment"))
        default: throw .segment("0xFF\(hexadecimal(marker))")
        }
      }
    }
    try checkScans(hasEnd: false)
    warn(.noEndMarker)
  }

  /// The next marker's second byte; nil at the end of the file.
  private mutating func nextMarker() throws(JPEGError) -> UInt8? {
    var stray = 0
    while position < bytes.count {
      if bytes[position] == 0xFF, position + 1 < bytes.count, bytes[position + 1] != 0 {
        // Any number of 0xFF may come before a marker.
        position += 1
        if bytes[position] == 0xFF { continue }
        position += 1
        if stray > 0 { warn(.strayBytes(stray)) }
        return bytes[position - 1]
      }
      stray += 1
      position += 1
    }
    if stray > 0 { warn(.strayBytes(stray)) }
    return nil
  }

  private mutating func segment(_ marker: UInt8) throws(JPEGError) -> ArraySlice<UInt8> {
    guard position + 2 <= bytes.count else { throw .truncated }
    let size = Int(bytes[position]) << 8 | Int(bytes[position + 1])
    guard size >= 2 else { throw .segment("0xFF\(hexadecimal(marker))") }
    guard position + size <= bytes.count else { throw .truncated }
    defer { position += size }
    return bytes[position + 2..<position + size]
  }

  // MARK: Tables

  private mutating func quantisationTables(_ data: ArraySlice<UInt8>) throws(JPEGError) {
    var rest = data
    while let first = rest.popFirst() {
      let (precision, number) = (Int(first >> 4), Int(first & 15))
      guard precision <= 1, number <= 3, rest.count >= 64 * (precision + 1) else { throw .segment("DQT") }
      let at = rest.startIndex
      let table = (0..<64).map { i in
        precision == 0 ? UInt16(rest[at + i]) : UInt16(rest[at + 2 * i]) << 8 | UInt16(rest[at + 2 * i + 1])
      }
      guard !table.contains(0) else { throw .segment("DQT") }
      quantisation[number] = table
      rest = rest.dropFirst(64 * (precision + 1))
    }
  }

  private mutating func huffmanTables(_ data: ArraySlice<UInt8>) throws(JPEGError) {
    var rest = data
    while let first = rest.popFirst() {
      let (kind, number) = (first >> 4, Int(first & 15))
      guard kind <= 1, number <= 3, rest.count >= 16 else { throw .segment("DHT") }
      let counts = rest.prefix(16).map(Int.init)
      rest = rest.dropFirst(16)
      let total = counts.reduce(0, +)
      guard total <= 256, rest.count >= total else { throw .segment("DHT") }
      guard let table = JPEGHuffmanTable(counts: counts, symbols: Array(rest.prefix(total))) else {
        throw .segment("DHT")
      }
      rest = rest.dropFirst(total)
      if kind == 0 { dcTables[number] = table } else { acTables[number] = table }
    }
  }

  // MARK: Frame

  private mutating func frame(_ marker: UInt8, _ data: ArraySlice<UInt8>) throws(JPEGError) {
    switch marker {
    case 0xC3: throw .unsupported("a lossless JPEG file")
    case 0xC5...0xC7: throw .unsupported("a hierarchical JPEG file")
    case 0xCB: throw .unsupported("a lossless JPEG file with arithmetic coding")
    case 0xC9, 0xCA: throw .unsupported("a JPEG file with arithmetic coding")
    case 0xCD...0xCF: throw .unsupported("a hierarchical JPEG file with arithmetic coding")
    case 0xF7: throw .unsupported("a JPEG-LS file")
    default: break
    }
    guard components.isEmpty else { throw .order("SOF") }
    let at = data.startIndex
    guard data.count >= 6, data.count == 6 + 3 * Int(data[at + 5]) else { throw .segment("SOF") }
    guard data[at] == 8 else { throw .unsupported("a JPEG file of \(data[at]) bits a sample") }
    height = Int(data[at + 1]) << 8 | Int(data[at + 2])
    width = Int(data[at + 3]) << 8 | Int(data[at + 4])
    guard height != 0 || width == 0 else {
      throw .unsupported("a JPEG file that gives its height behind the first scan")
    }
    guard width > 0, height > 0, width * height <= maximumPixels else { throw .dimensions(width, height) }
    switch data[at + 5] {
    case 1, 3: break
    case 4:
      throw .unsupported(adobeTransform == 2 ? "a YCCK JPEG file (four inks)" : "a CMYK JPEG file (four inks)")
    default: throw .unsupported("a JPEG file of \(data[at + 5]) components")
    }
    isProgressive = marker == 0xC2
    var components: [JPEGComponent] = []
    for i in 0..<Int(data[at + 5]) {
      let entry = at + 6 + 3 * i
      var (h, v) = (Int(data[entry + 1] >> 4), Int(data[entry + 1] & 15))
      guard 1...4 ~= h, 1...4 ~= v else { throw .sampling }
      guard data[entry + 2] <= 3 else { throw .segment("SOF") }
      guard !components.contains(where: { $0.id == data[entry] }) else { throw .segment("SOF") }
      // The factors of an only component have no effect.
      if data[at + 5] == 1 { (h, v) = (1, 1) }
      components.append(JPEGComponent(id: data[entry], h: h, v: v, tableNumber: Int(data[entry + 2])))
    }
    try layOut(components)
  }

  /// Sizes of the components, and memory for their coefficients.
  private mutating func layOut(_ list: [JPEGComponent]) throws(JPEGError) {
    var components = list
    let h = components.map(\.h).max() ?? 1
    let v = components.map(\.v).max() ?? 1
    guard components.allSatisfy({ h % $0.h == 0 && v % $0.v == 0 }) else { throw .sampling }
    unitsWide = (width + 8 * h - 1) / (8 * h)
    unitsHigh = (height + 8 * v - 1) / (8 * v)
    var blocks = 0
    for i in components.indices {
      components[i].width = (width * components[i].h + h - 1) / h
      components[i].height = (height * components[i].v + v - 1) / v
      components[i].stride = unitsWide * components[i].h
      components[i].rows = unitsHigh * components[i].v
      components[i].start = blocks
      blocks += components[i].stride * components[i].rows
    }
    // Each block that holds samples has at least one bit for its constant part; those that fill up a unit at most
    // make sixteen times as many of them in a picture of one block.
    let least = components.reduce(0) { $0 + $1.blocksWide * $1.blocksHigh }
    guard least <= 8 * bytes.count else { throw .truncated }
    self.components = components
    coefficients = [Int16](repeating: 0, count: 64 * blocks)
  }

  // MARK: Scans

  private mutating func scan(_ data: ArraySlice<UInt8>) throws(JPEGError) {
    guard !components.isEmpty else { throw .order("SOS") }
    scans += 1
    guard scans <= JPEG.maximumScans else { throw .tooManyScans }
    let at = data.startIndex
    guard let count = data.first.map(Int.init), 1...components.count ~= count, data.count == 2 * count + 4 else {
      throw .segment("SOS")
    }
    var parts: [JPEGScan.Part] = []
    for i in 0..<count {
      let (id, tables) = (data[at + 1 + 2 * i], data[at + 2 + 2 * i])
      guard let index = components.firstIndex(where: { $0.id == id }), tables >> 4 <= 3, tables & 15 <= 3,
        !parts.contains(where: { $0.component == index })
      else { throw .segment("SOS") }
      if components[index].table == nil {
        guard let table = quantisation[components[index].tableNumber] else { throw .noTable("quantisation") }
        components[index].table = table
      }
      parts.append(JPEGScan.Part(component: index, dcTable: Int(tables >> 4), acTable: Int(tables & 15)))
    }
    let end = at + 1 + 2 * count
    var scan = JPEGScan(
      parts: parts, first: Int(data[end]), last: Int(data[end + 1]), high: Int(data[end + 2] >> 4),
      low: Int(data[end + 2] & 15), reader: JPEGBitReader(bytes, position))
    try scan.check(&self)
    try scan.run(&self)
    let left = scan.reader.finish()
    if left > 0 { warn(.strayBytes(left)) }
    position = scan.reader.position
  }

  /// Whether all that must have come has.
  private mutating func checkScans(hasEnd: Bool) throws(JPEGError) {
    guard !components.isEmpty else { throw hasEnd ? .order("EOI") : .truncated }
    guard components.allSatisfy({ $0.lowestBits[0] >= 0 }) else { throw hasEnd ? .missingScan : .truncated }
    if !components.allSatisfy({ $0.lowestBits.allSatisfy { $0 == 0 } }) {
      guard hasEnd else { throw .truncated }
      warn(.coarseScans)
    }
  }

  // MARK: Metadata

  private mutating func application(_ number: Int, _ data: ArraySlice<UInt8>) {
    func content(_ name: String) -> ArraySlice<UInt8>? {
      data.starts(with: name.utf8) ? data.dropFirst(name.utf8.count) : nil
    }
    switch number {
    case 0:
      if let rest = content("JFIF\0"), rest.count >= 7 {
        hasJFIF = true
        density(rest.dropFirst(2))
      } else if content("JFXX\0") == nil {
        warn(.segmentNotKept("segment APP0"))
      }
    case 1:
      if let rest = content("Exif\0\0") ?? content("Exif\0\u{1}") {
        if rest.isEmpty {
          warn(.damagedMetadata("the EXIF block"))
        } else if metadata.exif == nil {
          metadata.exif = Array(rest)
        } else {
          warn(.segmentNotKept("a second EXIF block"))
        }
      } else if let rest = content("http://ns.adobe.com/xap/1.0/\0") {
        if metadata.xmp == nil { metadata.xmp = Array(rest) } else { warn(.segmentNotKept("a second XMP packet")) }
      } else if content("http://ns.adobe.com/xmp/extension/\0") != nil {
        warn(.segmentNotKept("the extension of the XMP packet"))
      } else {
        warn(.segmentNotKept("segment APP1"))
      }
    case 2:
      if let rest = content("ICC_PROFILE\0"), rest.count >= 2 {
        let at = rest.startIndex
        profile[Int(rest[at])] = rest.dropFirst(2)
        profileParts = Int(rest[at + 1])
      } else {
        warn(.segmentNotKept(content("MPF\0") != nil ? "a further picture (MPF)" : "segment APP2"))
      }
    case 14:
      if let rest = content("Adobe"), rest.count >= 7 {
        adobeTransform = rest[rest.startIndex + 6]
      } else {
        warn(.segmentNotKept("segment APP14"))
      }
    default: warn(.segmentNotKept("segment APP\(number)"))
    }
  }

  /// Unit, then horizontal and vertical density.
  private mutating func density(_ data: ArraySlice<UInt8>) {
    let at = data.startIndex
    let (x, y) = (Int(data[at + 1]) << 8 | Int(data[at + 2]), Int(data[at + 3]) << 8 | Int(data[at + 4]))
    // 1 : 1 without a unit says nothing.
    guard x > 0, y > 0, data[at] != 0 || x != y else { return }
    let unit: PictureResolution.Unit = data[at] == 1 ? .inch : data[at] == 2 ? .centimetre : .none
    metadata.resolution = PictureResolution(horizontal: UInt32(x), vertical: UInt32(y), unit: unit)
  }

  private mutating func assembleProfile() {
    guard !profile.isEmpty else { return }
    var whole: [UInt8] = []
    for number in 1...max(1, profileParts) {
      guard let part = profile[number] else { return warn(.damagedMetadata("the ICC profile")) }
      whole += part
    }
    guard profile.count == profileParts, !whole.isEmpty else { return warn(.damagedMetadata("the ICC profile")) }
    metadata.icc = whole
  }

  // MARK: Picture

  /// libjpeg's rules: JFIF is YCbCr, then Adobe's word counts, then the names of the components.
  private var isRGB: Bool {
    if hasJFIF { return false }
    if let adobeTransform { return adobeTransform == 0 }
    return components.map(\.id) == Array("RGB".utf8)
  }

  mutating func result() throws(JPEGError) -> LoadedPicture {
    assembleProfile()
    let picture: Picture
    if components.count == 1 {
      picture = makePicture(width, height, .grey, fullPlanes()[0].samples)
    } else if !isRGB, isHalved {
      let planes = components.map { JPEGTransform.plane($0, coefficients) }
      picture = makePicture(width, height, .yuv420, planes[0].samples + planes[1].samples + planes[2].samples)
      // A profile says more than code points can.
      metadata.colour =
        metadata.icc == nil ? .jfif : ColourDescription(primaries: 2, transfer: 2, matrix: 6, isFullRange: true)
    } else {
      let full = fullPlanes().map(\.samples)
      var samples: [UInt8]
      if isRGB {
        samples = []
        samples.reserveCapacity(3 * full[0].count)
        for i in full[0].indices { for plane in full { samples.append(plane[i]) } }
      } else {
        samples = Chroma.rgb(full[0], full[1], full[2], .jfif)
      }
      picture = makePicture(width, height, .rgb, samples)
    }
    coefficients = []
    var result = LoadedPicture(picture: picture, metadata: metadata, warnings: warnings)
    result.applyOrientation()
    return result
  }

  /// Whether chroma has half the columns and rows of luma.
  private var isHalved: Bool {
    components.dropFirst().allSatisfy { components[0].h == 2 * $0.h && components[0].v == 2 * $0.v }
  }

  /// The components before colour conversion, all of the picture's size.
  func fullPlanes() -> [Plane] {
    components.map { fullSize($0, JPEGTransform.plane($0, coefficients)) }
  }

  private func fullSize(_ component: JPEGComponent, _ plane: Plane) -> Plane {
    let across = (components.map(\.h).max() ?? 1) / component.h
    let down = (components.map(\.v).max() ?? 1) / component.v
    switch (across, down) {
    case (1, 1): return plane
    case (2, 1): return Chroma.doubleColumns(plane, width: width)
    case (1, 2): return Chroma.doubleRows(plane, height: height)
    case (2, 2): return Chroma.doubleBoth(plane, width: width, height: height)
    default: return Chroma.repeated(plane, width: width, height: height, across: across, down: down)
    }
  }
}

private func hexadecimal(_ byte: UInt8) -> String {
  let digits = String(byte, radix: 16, uppercase: true)
  return digits.count == 1 ? "0" + digits : digits
}
