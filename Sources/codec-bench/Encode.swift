// SPDX-License-Identifier: BSD-3-Clause

import SwiftCodec

enum EncodeCommand: Command {
  static let name = "encode"
  static let summary = "Encode a picture (PNG or PNM)."
  static let operands = "IN OUT.sci"
  static let operandCount = 2...2
  static let options =
    [
      OptionSpec("rate-point", short: "k", value: "K", "a rate point of the model, 0 being the lowest rate"),
      OptionSpec("quality", short: "q", value: "Q", "0 to 100: the nearest rate point; 50 by default"),
      CodecOptions.model,
    ] + CodecOptions.encoderOptions + CodecOptions.executionOptions
  static let notes = """
    Alpha is put on white, 16-bit samples are rounded to 8 bits, grey pictures stay grey. One line about the result goes
    to standard output, or to standard error if the bitstream goes there.
    """

  static func run(_ arguments: Arguments) throws(ToolError) {
    let (input, output) = (arguments.operands[0], arguments.operands[1])
    let picture = try readPicture(input)
    let model = try loadModel(arguments)
    var settings = try CodecOptions.encoderSettings(arguments, of: model)
    settings.ratePoint = try ratePoint(arguments, of: model)
    settings.progress = { pass in
      Progress.show("\(input): \(fixed(pass.bits, 0)) bits, cost \(fixed(pass.cost, 0)), \(pass.changes) changes")
    }
    let encoded: Encoded
    let seconds: Double
    do {
      (encoded, seconds) = try timed { () throws(EncodeError) in
        try encode(picture, model: model, settings: settings)
      }
    } catch {
      throw .badData(file: input, error.description)
    }
    Progress.clear()
    try writeFile(output, encoded.bytes)
    let bits = Double(8 * encoded.bytes.count) / Double(picture.width * picture.height)
    var line = "\(input): \(picture.width)x\(picture.height), rate point \(settings.ratePoint), "
    line += "\(encoded.bytes.count) bytes, \(fixed(bits, 4)) bit/pixel"
    if let psnr = encoded.psnr { line += ", PSNR \(fixed(psnr, 3)) dB" }
    line += ", \(fixed(1000 * seconds, 1)) ms"
    if output == "-" { printError(line) } else { try printOutput(line + "\n") }
  }

  private static func ratePoint(_ arguments: Arguments, of model: Model) throws(ToolError) -> Int {
    let last = model.ratePoints.count - 1
    let chosen = try arguments.integer("rate-point", in: 0...last)
    let quality = try arguments.integer("quality", in: 0...100)
    guard chosen == nil || quality == nil else { throw .usage("either --rate-point or --quality, not both") }
    return chosen ?? ((quality ?? 50) * last + 50) / 100
  }
}
