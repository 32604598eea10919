// SPDX-License-Identifier: BSD-3-Clause

import SwiftCodec

/// What can be wrong with a YUV4MPEG2 stream.
public enum Y4MError: Error, Equatable, CustomStringConvertible {
  /// The stream does not start with "YUV4MPEG2 ".
  case signature
  /// The header line is longer than 1024 bytes, or a field of it is malformed.
  case header(String)
  /// Width and height are 1…65535, and there are at most as many pixels as the caller allows.
  case dimensions(Int, Int)
  /// A kind of stream that is not read, in words.
  case unsupported(String)
  /// A frame that does not start with "FRAME".
  case frame
  /// The stream ends within its header or a frame.
  case truncated
  /// RGB is not written, and not grey into 4:2:0 or a frame of another size.
  case picture
  /// The source of the bytes failed, in its words.
  case source(String)

  /// The fault in words, for people; without a full stop.
  public var description: String {
    switch self {
    case .signature: "not a Y4M file"
    case .header(let field): "malformed Y4M header: \(field)"
    case .dimensions(let width, let height):
      "a Y4M picture of \(width)x\(height) is not within 1x1 to 65535x65535 and the pixels allowed"
    case .unsupported(let name): "\(name) is not read"
    case .frame: "a Y4M frame does not start with FRAME"
    case .truncated: "the Y4M file ends too early"
    case .picture: "the picture does not fit the Y4M stream: it holds 4:2:0 or grey pictures of one size"
    case .source(let text): text
    }
  }
}

/// The first line of a YUV4MPEG2 stream.
public struct Y4MHeader: Sendable, Equatable {
  /// Samples of a frame, and where chroma of 4:2:0 lies.
  public enum Chroma: String, Sendable, CaseIterable {
    /// In the middle of four pixels, as in JPEG.
    case yuv420jpeg = "420jpeg"
    /// Level with the left column, as in MPEG-2.
    case yuv420mpeg2 = "420mpeg2"
    /// On the upper left pixel.
    case yuv420paldv = "420paldv"
    case yuv444 = "444"
    case mono
  }

  /// In pixels, 1…65535.
  public var width: Int
  /// In pixels, 1…65535.
  public var height: Int
  /// Frames a second as a fraction; 0:0 is unknown.
  public var frameRate: (numerator: Int, denominator: Int) {
    get { (rate[0], rate[1]) }
    set { rate = [newValue.numerator, newValue.denominator] }
  }
  /// Width to height of a pixel; 0:0 is unknown.
  public var pixelAspect: (width: Int, height: Int) {
    get { (aspect[0], aspect[1]) }
    set { aspect = [newValue.width, newValue.height] }
  }
  /// What the planes of a frame are.
  public var chroma: Chroma
  /// XCOLORRANGE; nil if not said.
  public var isFullRange: Bool?

  private var rate = [0, 0]
  private var aspect = [0, 0]

  /// A header of unknown frame rate and pixel aspect.
  public init(width: Int, height: Int, chroma: Chroma, isFullRange: Bool? = nil) {
    (self.width, self.height, self.chroma, self.isFullRange) = (width, height, chroma, isFullRange)
  }

  /// Samples of a frame, all planes together.
  public var sampleCount: Int {
    switch chroma {
    case .mono: width * height
    case .yuv444: 3 * width * height
    default: PixelFormat.yuv420.sampleCount(width: width, height: height)
    }
  }

  /// BT.601 at the range said, limited when none is, as players assume.
  public var colour: ColourDescription {
    ColourDescription(primaries: 2, transfer: 2, matrix: 6, isFullRange: isFullRange ?? false)
  }

  var line: String {
    var text = "YUV4MPEG2 W\(width) H\(height) F\(rate[0]):\(rate[1]) Ip A\(aspect[0]):\(aspect[1]) C\(chroma.rawValue)"
    if let isFullRange { text += " XCOLORRANGE=\(isFullRange ? "FULL" : "LIMITED")" }
    return text + "\n"
  }

  init(line: String) throws(Y4MError) {
    guard line.hasPrefix("YUV4MPEG2") else { throw .signature }
    self.init(width: 0, height: 0, chroma: .yuv420jpeg)
    for field in line.split(separator: " ").dropFirst() {
      let value = field.dropFirst()
      func ratio() throws(Y4MError) -> [Int] {
        let parts = value.split(separator: ":").map { Int($0) }
        guard parts.count == 2, let a = parts[0], let b = parts[1], a >= 0, b >= 0 else { throw .header(String(field)) }
        return [a, b]
      }
      func side() throws(Y4MError) -> Int {
        guard value.count <= 9, let side = Int(value) else { throw .header(String(field)) }
        return side
      }
      switch field.first {
      case "W": width = try side()
      case "H": height = try side()
      case "F": rate = try ratio()
      case "A": aspect = try ratio()
      case "I":
        guard value == "p" || value == "?" else { throw .unsupported("an interlaced Y4M file") }
      case "C": chroma = try Y4MHeader.chroma(value)
      case "X":
        if field == "XCOLORRANGE=FULL" { isFullRange = true }
        if field == "XCOLORRANGE=LIMITED" { isFullRange = false }
      default: throw .header(String(field))
      }
    }
  }

  private static func chroma(_ name: Substring) throws(Y4MError) -> Chroma {
    if name == "420" { return .yuv420jpeg }
    if let chroma = Chroma(rawValue: String(name)) { return chroma }
    let known = ["422": "4:2:2", "411": "4:1:1", "410": "4:1:0", "440": "4:4:0", "444alpha": "4:4:4 with alpha"]
    if let words = known[String(name)] { throw .unsupported("a Y4M file of \(words)") }
    if name.contains("p"), name.prefix(3).allSatisfy(\.isNumber) || name.hasPrefix("mono") {
      throw .unsupported("a Y4M file of more than 8 bits (C\(name))")
    }
    if name.hasPrefix("mono") { throw .unsupported("a Y4M file of more than 8 bits (C\(name))") }
    throw .header("C\(name)")
  }
}

/// Reads a YUV4MPEG2 stream frame by frame.
public struct Y4MReader {
  /// The stream's first line.
  public let header: Y4MHeader
  /// Of the stream as a whole.
  public let warnings: [PictureWarning]

  private let pull: (Int) throws(Y4MError) -> [UInt8]
  private var buffer: [UInt8] = []

  /// Reads the header.
  ///
  /// - Parameters:
  ///   - maximumPixels: of a frame.
  ///   - pull: gives at most as many bytes as asked for, and none only at the end of the stream.
  public init(
    maximumPixels: Int = PictureFile.defaultMaximumPixels, pull: @escaping (Int) throws(Y4MError) -> [UInt8]
  ) throws(Y4MError) {
    self.pull = pull
    var buffer: [UInt8] = []
    guard let line = try Y4MReader.line(limit: 1024, &buffer, pull) else { throw .signature }
    let header = try Y4MHeader(line: line)
    guard 1...65535 ~= header.width, 1...65535 ~= header.height, header.width * header.height <= maximumPixels else {
      throw .dimensions(header.width, header.height)
    }
    self.header = header
    self.buffer = buffer
    warnings = header.chroma == .yuv444 ? [.chromaAveraged] : []
  }

  /// The next frame: grey, or 4:2:0, to which chroma of 4:4:4 is averaged. Nil at the end of the stream.
  public mutating func next() throws(Y4MError) -> Picture? {
    guard let line = try Y4MReader.line(limit: 1024, &buffer, pull) else { return nil }
    guard line == "FRAME" || line.hasPrefix("FRAME ") else { throw .frame }
    let count = header.sampleCount
    // Grows with what comes, not with what the header promises.
    while buffer.count < count {
      let part = try pull(min(count - buffer.count, 1 << 22))
      guard !part.isEmpty else { throw .truncated }
      buffer += part
    }
    let samples = Array(buffer[..<count])
    buffer.removeFirst(count)
    switch header.chroma {
    case .mono: return makePicture(header.width, header.height, .grey, samples)
    case .yuv444: return makePicture(header.width, header.height, .yuv420, averaged(samples))
    default: return makePicture(header.width, header.height, .yuv420, samples)
    }
  }

  /// Up to the next line feed, which is taken and not returned; nil at the end of the stream.
  private static func line(
    limit: Int, _ buffer: inout [UInt8], _ pull: (Int) throws(Y4MError) -> [UInt8]
  ) throws(Y4MError) -> String? {
    while true {
      if let end = buffer.prefix(limit + 1).firstIndex(of: 0x0A) {
        let text = String(decoding: buffer[..<end], as: UTF8.self)
        buffer.removeFirst(end + 1)
        return text
      }
      guard buffer.count <= limit else { throw .header("a line without an end") }
      let part = try pull(256)
      if part.isEmpty {
        guard buffer.isEmpty else { throw .truncated }
        return nil
      }
      buffer += part
    }
  }

  /// Means of up to four chroma samples, halves rounded up.
  private func averaged(_ samples: [UInt8]) -> [UInt8] {
    let (width, height) = (header.width, header.height)
    var result = Array(samples[..<(width * height)])
    for plane in 1...2 {
      let start = plane * width * height
      for y in stride(from: 0, to: height, by: 2) {
        for x in stride(from: 0, to: width, by: 2) {
          var (sum, count) = (0, 0)
          for j in y...min(y + 1, height - 1) {
            for i in x...min(x + 1, width - 1) {
              sum += Int(samples[start + j * width + i])
              count += 1
            }
          }
          result.append(UInt8((sum + count / 2) / count))
        }
      }
    }
    return result
  }
}

/// Writes a YUV4MPEG2 stream piece by piece.
public struct Y4MWriter {
  /// The stream's first line.
  public let header: Y4MHeader

  /// A stream whose frames are all as the header says.
  public init(_ header: Y4MHeader) { self.header = header }

  /// The bytes in front of the first frame.
  public var start: [UInt8] { Array(header.line.utf8) }

  /// The bytes of a frame: a 4:2:0 picture, or a grey one of a `mono` stream, of the stream's size.
  public func frame(_ picture: Picture) throws(Y4MError) -> [UInt8] {
    guard fits(picture) else { throw .picture }
    return Y4MWriter.frameStart + picture.samples
  }

  /// What stands before the samples of a frame.
  public static let frameStart = Array("FRAME\n".utf8)

  /// Whether a picture is one that `frame` writes.
  public func fits(_ picture: Picture) -> Bool {
    let format: PixelFormat = header.chroma == .mono ? .grey : .yuv420
    return picture.format == format && header.chroma != .yuv444 && picture.width == header.width
      && picture.height == header.height
  }
}

/// YUV4MPEG2 as a file of stills: its first frame.
public enum Y4M {
  static let signature = Array("YUV4MPEG2 ".utf8)

  /// The first frame of a file.
  public static func load(
    _ bytes: [UInt8], maximumPixels: Int = PictureFile.defaultMaximumPixels
  ) throws(Y4MError) -> LoadedPicture {
    var position = 0
    var reader = try Y4MReader(maximumPixels: maximumPixels) { count in
      defer { position = min(position + count, bytes.count) }
      return Array(bytes[position..<min(position + count, bytes.count)])
    }
    guard let picture = try reader.next() else { throw .truncated }
    var result = LoadedPicture(picture: picture, warnings: reader.warnings)
    if picture.format == .yuv420 { result.metadata.colour = reader.header.colour }
    let aspect = reader.header.pixelAspect
    if aspect.width > 0, aspect.height > 0, aspect.width != aspect.height,
      let x = UInt32(exactly: aspect.height), let y = UInt32(exactly: aspect.width)
    {
      // Pixels that are wider than high are fewer to the same length.
      result.metadata.resolution = PictureResolution(horizontal: x, vertical: y, unit: .none)
    }
    if (try? reader.next()) != nil { result.warnings.append(.furtherFrames(nil)) }
    return result
  }

  /// A file of one frame. RGB pictures are not written.
  public static func write(_ picture: Picture, colour: ColourDescription? = nil) throws(Y4MError) -> [UInt8] {
    guard picture.format != .rgb else { throw .picture }
    let header = Y4MHeader(
      width: picture.width, height: picture.height, chroma: picture.format == .grey ? .mono : .yuv420jpeg,
      isFullRange: picture.format == .grey ? true : (colour ?? .jfif).isFullRange)
    let writer = Y4MWriter(header)
    return writer.start + (try writer.frame(picture))
  }
}
