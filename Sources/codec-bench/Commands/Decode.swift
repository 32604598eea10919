// SPDX-License-Identifier: BSD-3-Clause

import PictureFiles
import SwiftCodec

enum DecodeCommand: Command {
  static let name = "decode"
  static let summary = "Decode to a picture file (PNG or PNM)."
  static let operands = "IN.sci OUT"
  static let operandCount = 2...2
  static let options =
    [
      PictureFormat.option, CodecOptions.model,
      OptionSpec("max-pixels", value: "N", "refuse larger pictures; 268435456 by default"),
    ] + CodecOptions.executionOptions

  static func run(_ arguments: Arguments) throws(ToolError) {
    let (input, output) = (arguments.operands[0], arguments.operands[1])
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
