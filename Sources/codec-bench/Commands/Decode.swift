// SPDX-License-Identifier: BSD-3-Clause

import PictureFiles
import SwiftCodec

enum DecodeCommand: Command {
  static let name = "decode"
  static let summary = "Decode to picture files, or a video to Y4M."
  static let operands = "IN OUT"
  static let operandCount = 1...1_000_000
  private static let videoOptions = [
    OptionSpec("resync", "video: go on at the next intra frame after damage")
  ]
  static let options =
    [
      PictureFormat.option, Batch.output, CodecOptions.outputFolder, CodecOptions.strict, CodecOptions.quiet,
      CodecOptions.model,
    ] + CodecOptions.limitOptions + videoOptions + VideoFiles.options.prefix(1) + CodecOptions.executionOptions
  static let notes = """
    PNG files get everything that was kept of the picture that was encoded; of what another format has no place for a line
    of warning tells. 4:2:0 becomes RGB, but in a Y4M file. With --output-dir files are PNG unless --format says otherwise.
    """

  static func run(_ arguments: Arguments) throws(ToolError) {
    let format = try arguments.choice("format", PictureFormat.words)
    let ending = PictureFormat.words.first { $0.value == format ?? .png }?.key ?? "png"
    let jobs = try Batch.jobs(arguments, of: self, ending: "." + ending)
    if let job = jobs.first, jobs.count == 1, isVideo(job) {
      try arguments.refuse(["format", "strict"], "on videos")
      return try VideoFiles.decode(job.input, job.output, arguments)
    }
    try arguments.refuse(videoOptions.map(\.name) + ["inter-model"], "on pictures")
    var formats: [PictureFormat] = []
    for job in jobs { formats.append(try PictureFormat.choose(arguments, for: job.output)) }
    let reading = try ReadingOptions(arguments)
    let model = try loadModel(arguments)
    let chosen = formats[0]
    try Batch.run(jobs, try CodecOptions.execution(arguments), quiet: arguments.has("quiet")) { execution in
      let decoder = Decoder(model: model, execution: execution)
      decoder.limits = reading.limits
      return decoder
    } work: { decoder, job throws(ToolError) in
      try decode(job, chosen, reading, decoder)
    }
  }

  /// By the first bytes of a file; what comes through a pipe is a video if it is to become one.
  private static func isVideo(_ job: FileJob) -> Bool {
    if VideoFiles.isStream(job.input) { return true }
    guard VideoFiles.isY4M(job.output) else { return false }
    guard job.input != "-", let stream = try? InputStream(job.input), let bytes = try? stream.readAll(3) else {
      return true
    }
    return bytes == Array("SCV".utf8)
  }

  private static func decode(
    _ job: FileJob, _ format: PictureFormat, _ reading: ReadingOptions, _ decoder: Decoder
  ) throws(ToolError) -> String {
    let bytes = try readFile(job.input)
    let decoded: Decoded
    let seconds: Double
    do {
      (decoded, seconds) = try timed { () throws(DecodeError) in try decoder.decodeAll(bytes) }
    } catch {
      throw .badData(file: job.input, error.description)
    }
    try writeFile(job.output, try pictureFile(decoded, job.output, as: format, reading))
    let picture = decoded.picture
    return "\(printable(job.input)): \(picture.width)x\(picture.height), \(fixed(1000 * seconds, 1)) ms"
  }
}
