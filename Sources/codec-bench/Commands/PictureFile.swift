// SPDX-License-Identifier: BSD-3-Clause

import PictureFiles
import SwiftCodec

/// Picture files: told apart by their first bytes when read, by the extension of their name when written.
enum PictureFormat: Sendable {
  case png, ppm, pgm, pnm

  static let words: KeyValuePairs<String, PictureFormat> = ["png": .png, "ppm": .ppm, "pgm": .pgm, "pnm": .pnm]

  static let option = OptionSpec(
    "format", value: "F", "png, ppm, pgm or pnm; the default follows from the name, pnm for standard output")

  /// The format asked for, or else the one of the file name.
  static func choose(_ arguments: Arguments, for file: String) throws(ToolError) -> PictureFormat {
    if let format = try arguments.choice("format", words) { return format }
    if file == "-" { return .pnm }
    let ending = file.split(separator: "/").last?.split(separator: ".", omittingEmptySubsequences: false)
      .dropFirst().last?.lowercased()
    guard let format = words.first(where: { $0.key == ending })?.value else {
      throw .usage("\(file): the name ends in none of .png, .ppm, .pgm, .pnm; say --format")
    }
    return format
  }
}

/// Reads a picture with all that belongs to it and prints its warnings, one line each.
func loadPicture(_ file: String) throws(ToolError) -> LoadedPicture {
  let bytes = try readFile(file)
  let loaded: LoadedPicture
  do { loaded = try PictureFile.read(bytes) } catch { throw .badData(file: file, error.description) }
  if !loaded.warnings.isEmpty { Progress.clear() }
  for warning in loaded.warnings { printError("\(printable(file)): warning: \(warning.description)") }
  return loaded
}

/// The picture alone as RGB or grey, transparent parts on white.
func readPicture(_ file: String) throws(ToolError) -> Picture { try loadPicture(file).onWhite() }

/// A name with control characters written as escapes, so that it cannot lead a terminal astray.
func printable(_ name: String) -> String {
  var text = ""
  for scalar in name.unicodeScalars {
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator: text += scalar.escaped(asASCII: true)
    default: text.unicodeScalars.append(scalar)
    }
  }
  return text
}

/// A grey picture becomes R = G = B in a PPM; an RGB picture is not written as PGM.
func writePicture(_ picture: Picture, to file: String, as format: PictureFormat) throws(ToolError) {
  switch format {
  case .png: try writeFile(file, PNG.write(picture))
  case .pnm: try writeFile(file, PNM.write(picture))
  case .ppm: try writeFile(file, PNM.write(picture.rgb))
  case .pgm:
    guard picture.channels == 1 else { throw .usage("\(file): a PGM file holds grey pictures, and this one is RGB") }
    try writeFile(file, PNM.write(picture))
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
