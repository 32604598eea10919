// SPDX-License-Identifier: BSD-3-Clause

import PictureFiles
import SwiftCodec

/// Picture files: told apart by their first bytes when read, by the extension of their name when written.
enum PictureFormat: Sendable {
  case png, ppm, pgm, pnm, pam, y4m

  static let words: KeyValuePairs<String, PictureFormat> = [
    "png": .png, "ppm": .ppm, "pgm": .pgm, "pnm": .pnm, "pam": .pam, "y4m": .y4m,
  ]

  static let option = OptionSpec(
    "format", value: "F", "png, ppm, pgm, pnm, pam or y4m; the default follows from the name, pnm for standard output")

  /// The format asked for, or else the one of the file name.
  static func choose(_ arguments: Arguments, for file: String) throws(ToolError) -> PictureFormat {
    if let format = try arguments.choice("format", words) { return format }
    if file == "-" { return .pnm }
    let ending = file.split(separator: "/").last?.split(separator: ".", omittingEmptySubsequences: false)
      .dropFirst().last?.lowercased()
    guard let format = words.first(where: { $0.key == ending })?.value else {
      throw .usage("\(printable(file)): the name ends in none of .png, .ppm, .pgm, .pnm, .pam, .y4m; say --format")
    }
    return format
  }
}

/// What to do where something is not kept, and how much to read.
struct ReadingOptions {
  var isStrict = false
  var isQuiet = false
  var limits = Limits()

  init() {}

  init(_ arguments: Arguments) throws(ToolError) {
    isStrict = arguments.has("strict")
    limits = try CodecOptions.limits(arguments)
  }

  /// A line of warning; an error if something is lost and nothing may be.
  func warn(_ file: String, _ text: String, isLoss: Bool) throws(ToolError) {
    if isLoss, isStrict { throw .badData(file: file, text) }
    printError("\(printable(file)): warning: \(text)")
  }
}

/// Reads a picture with all that belongs to it and prints its warnings, one line each; chunks that are not kept share one.
func loadPicture(_ file: String, _ options: ReadingOptions = ReadingOptions()) throws(ToolError) -> LoadedPicture {
  let bytes = try readFile(file)
  let loaded: LoadedPicture
  do { loaded = try PictureFile.read(bytes, maximumPixels: options.limits.pixels) } catch {
    throw .badData(file: file, error.description)
  }
  var chunks: [String] = []
  var texts: [(String, isLoss: Bool)] = []
  for warning in loaded.warnings {
    if case .chunkNotKept(let type) = warning {
      if !chunks.contains(type) { chunks.append(type) }
    } else if !texts.contains(where: { $0.0 == warning.description }) {
      texts.append((warning.description, warning.isLoss))
    }
  }
  if !chunks.isEmpty {
    let isOne = chunks.count == 1
    texts.append(("PNG chunk\(isOne ? "" : "s") \(list(chunks)) \(isOne ? "is" : "are") not kept", true))
  }
  for (text, isLoss) in texts { try options.warn(file, printable(text), isLoss: isLoss) }
  return loaded
}

/// `a`, `a and b`, `a, b and c`.
func list(_ words: [String]) -> String {
  guard let last = words.last, words.count > 1 else { return words.first ?? "" }
  return words.dropLast().joined(separator: ", ") + " and " + last
}

/// Files of a folder that could not be read, to be named at the end.
struct UnreadableFiles {
  private var errors: [ToolError] = []
  private(set) var count = 0

  /// The picture, or nil for one that cannot be read.
  mutating func read(_ file: String) -> Picture? {
    count += 1
    do throws(ToolError) { return try readPicture(file) } catch {
      errors.append(error)
      return nil
    }
  }

  /// Names them, and fails if there are any.
  func report() throws(ToolError) {
    guard let first = errors.first else { return }
    for error in errors { printError("not read: \(error.message)") }
    throw .several(failed: errors.count, of: count, code: first.exitCode)
  }
}

/// The picture alone as RGB or grey, transparent parts on white.
func readPicture(_ file: String) throws(ToolError) -> Picture { try loadPicture(file).onWhite() }

/// A name or text with control characters written as escapes, so that it cannot lead a terminal astray.
func printable(_ name: String, keepsLines: Bool = false) -> String {
  var text = ""
  for scalar in name.unicodeScalars {
    if keepsLines, scalar == "\n" {
      text.unicodeScalars.append(scalar)
      continue
    }
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator: text += scalar.escaped(asASCII: true)
    default: text.unicodeScalars.append(scalar)
    }
  }
  return text
}

extension MetadataKind {
  /// As people call it.
  var title: String {
    switch self {
    case .icc: "the ICC profile"
    case .exif: "Exif"
    case .xmp: "XMP"
    case .cicp: "the colour description (cICP)"
    case .gamma: "gAMA"
    case .chromaticities: "cHRM"
    case .renderingIntent: "sRGB"
    case .resolution: "the resolution"
    }
  }
}

/// The bytes of a decoded picture as a file. A grey picture becomes R = G = B in a PPM; an RGB picture is not written as PGM,
/// and Y4M files have grey and 4:2:0. What the format has no place for is warned of, or an error.
func pictureFile(
  _ decoded: Decoded, _ file: String, as format: PictureFormat, _ options: ReadingOptions
) throws(ToolError) -> [UInt8] {
  let picture = decoded.picture
  let metadata = PictureMetadata(boxes: decoded.metadata, of: picture.format)
  if format == .png { return PNG.write(picture, alpha: decoded.alpha, metadata: metadata) }
  let name = PictureFormat.words.first { $0.value == format }?.key.uppercased() ?? ""
  var lost = decoded.metadata.map(\.kind).filter { $0 != .cicp || metadata.cicp != nil }.map(\.title)
  let keepsAlpha = format == .pam || format == .pnm
  if decoded.alpha != nil, !keepsAlpha { lost.insert("transparency", at: 0) }
  if !lost.isEmpty { try options.warn(file, "a \(name) file does not keep \(list(lost))", isLoss: true) }
  if format == .y4m {
    do { return try Y4M.write(picture, colour: metadata.colour) } catch {
      throw .usage("\(printable(file)): a Y4M file holds 4:2:0 or grey pictures, and this one is RGB")
    }
  }
  if keepsAlpha {
    let alpha = decoded.alpha ?? (format == .pam ? picture.opaque : nil)
    return PNM.write(picture, alpha: alpha, colour: metadata.colour)
  }
  let opaque = LoadedPicture(picture: picture, alpha: decoded.alpha, metadata: metadata).onWhite()
  if format == .ppm { return PNM.write(opaque.rgb) }
  guard opaque.channels == 1 else {
    throw .usage("\(printable(file)): a PGM file holds grey pictures, and this one is RGB")
  }
  return PNM.write(opaque)
}

extension Picture {
  /// Its opacity: 255 everywhere.
  fileprivate var opaque: Picture? {
    try? Picture(
      width: width, height: height, format: .grey, samples: [UInt8](repeating: 255, count: width * height))
  }
}

extension Picture {
  /// `self` with three channels.
  var rgb: Picture {
    guard channels == 1 else { return self }
    let samples = samples.flatMap { [$0, $0, $0] }
    guard let picture = try? Picture(width: width, height: height, channels: 3, samples: samples) else {
      preconditionFailure("a grey picture of this size exists, so an RGB one does")
    }
    return picture
  }
}
