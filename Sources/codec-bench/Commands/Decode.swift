// SPDX-License-Identifier: BSD-3-Clause

import PictureFiles
import SwiftCodec

enum DecodeCommand: Command {
  static let name = "decode"
  static let summary = "Decode to a picture file, or a video to Y4M."
  static let operands = "IN OUT"
  static let operandCount = 1...2
  static let options =
    [
      PictureFormat.option, CodecOptions.model,
      OptionSpec("max-pixels", value: "N", "refuse larger pictures; 268435456 by default"),
      OptionSpec("output", short: "o", value: "OUT", "instead of the second operand"),
      OptionSpec("resync", "video: go on at the next intra frame after damage"),
    ] + VideoFiles.options.prefix(1) + CodecOptions.executionOptions

  static func run(_ arguments: Arguments) throws(ToolError) {
    let (input, output) = try arguments.inputAndOutput()
    if VideoFiles.isStream(input) || VideoFiles.isY4M(output) {
      return try VideoFiles.decode(input, output, arguments)
    }
    let format = try PictureFormat.choose(arguments, for: output)
    let bytes = try readFile(input)
    let decoder = Decoder(
      model: try loadModel(arguments), execution: try CodecOptions.execution(arguments))
    if let limit = try arguments.integer("max-pixels", in: 1...(.max)) { decoder.maximumPixels = limit }
    let picture: Picture
    let seconds: Double
    do {
      (picture, seconds) = try timed { () throws(DecodeError) in try decoder.decode(bytes) }
    } catch {
      throw .badData(file: input, error.description)
    }
    try writePicture(picture, to: output, as: format)
    let line = "\(input): \(picture.width)x\(picture.height), \(fixed(1000 * seconds, 1)) ms"
    if output == "-" { printError(line) } else { try printOutput(line + "\n") }
  }
}
