// SPDX-License-Identifier: BSD-3-Clause

import PictureFiles
import SwiftCodec

enum EncodeCommand: Command {
  static let name = "encode"
  static let summary = "Encode a picture, or a video (Y4M to .scv)."
  static let operands = "IN OUT.sci|OUT.scv"
  static let operandCount = 1...2
  static let options =
    [
      OptionSpec("rate-point", short: "k", value: "K", "a rate point of the model, 0 being the lowest rate"),
      OptionSpec("quality", short: "q", value: "Q", "0 to 100, decimals allowed, evenly over the rates; 50 by default"),
      OptionSpec("size", value: "BYTES", "the largest file of at most so many bytes"),
      OptionSpec("bpp", value: "B", "the largest file of at most so many bits per pixel"),
      OptionSpec("psnr", value: "DB", "the smallest file of at least this PSNR"),
      OptionSpec("output", short: "o", value: "OUT", "instead of the second operand"),
      OptionSpec("quiet", "video: no PSNR, which takes a little time"),
      CodecOptions.model,
    ] + CodecOptions.encoderOptions + VideoFiles.options + CodecOptions.executionOptions
  static let notes = """
    Alpha is put on white, 16-bit samples are rounded to 8 bits, grey pictures stay grey. One line about the result goes
    to standard output, or to standard error if the bitstream goes there. --size, --bpp and --psnr encode about ten times
    to find the quality; a target that the model does not reach is an error.
    """

  static func run(_ arguments: Arguments) throws(ToolError) {
    let (input, output) = try arguments.inputAndOutput()
    if VideoFiles.isStream(output) { return try VideoFiles.encode(input, output, arguments) }
    let picture = try readPicture(input)
    let model = try loadModel(arguments)
    var settings = try CodecOptions.encoderSettings(arguments, of: model)
    let target = try target(arguments)
    if target == nil { settings.position = try position(arguments, of: model) }
    settings.progress = { pass in
      Progress.show("\(input): \(fixed(pass.bits, 0)) bits, cost \(fixed(pass.cost, 0)), \(pass.changes) changes")
    }
    let encoded: Encoded
    let seconds: Double
    do {
      (encoded, seconds) = try timed { () throws(EncodeError) in
        guard let target else { return try encode(picture, model: model, settings: settings) }
        return try encode(picture, model: model, settings: settings, target: target)
      }
    } catch {
      throw .badData(file: input, error.description)
    }
    Progress.clear()
    try writeFile(output, encoded.bytes)
    let bits = Double(8 * encoded.bytes.count) / Double(picture.width * picture.height)
    var line =
      "\(input): \(picture.width)x\(picture.height), quality \(fixed(model.quality(of: encoded.position), 1)), "
    line += "rate point \(encoded.position.description), "
    line += "\(encoded.bytes.count) bytes, \(fixed(bits, 4)) bit/pixel"
    if let psnr = encoded.psnr { line += ", PSNR \(fixed(psnr, 3)) dB" }
    line += ", \(fixed(1000 * seconds, 1)) ms"
    if output == "-" { printError(line) } else { try printOutput(line + "\n") }
  }

  private static let ways = ["rate-point", "quality", "size", "bpp", "psnr"]

  private static func target(_ arguments: Arguments) throws(ToolError) -> EncoderTarget? {
    let given = ways.filter { arguments.has($0) }
    guard given.count < 2 else { throw .usage("either --\(given[0]) or --\(given[1]), not both") }
    if let bytes = try arguments.integer("size", in: 1...(.max)) { return .bytes(bytes) }
    if let bits = try arguments.number("bpp", above: 0) { return .bitsPerPixel(bits) }
    return try arguments.number("psnr", above: 0).map { .psnr($0) }
  }

  private static func position(_ arguments: Arguments, of model: Model) throws(ToolError) -> RatePosition {
    if let point = try arguments.integer("rate-point", in: 0...(model.ratePoints.count - 1)) {
      return RatePosition(ratePoint: point)
    }
    return model.position(quality: try arguments.number("quality", in: 0...100) ?? 50)
  }
}
