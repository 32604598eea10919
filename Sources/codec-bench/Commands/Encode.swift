// SPDX-License-Identifier: BSD-3-Clause

import PictureFiles
import SwiftCodec

enum EncodeCommand: Command {
  static let name = "encode"
  static let summary = "Encode pictures, or a video (Y4M to .scv)."
  static let operands = "IN OUT.sci|OUT.scv"
  static let operandCount = 1...1_000_000
  static let options =
    [
      OptionSpec("quality", short: "q", value: "Q", "0 to 100, decimals allowed, evenly over the rates; 50 by default"),
      OptionSpec("rate-point", short: "k", value: "K", "a rate point of the model, 0 the lowest; decimals lie between"),
      OptionSpec(
        "domain", value: "D", "of a model with several domains: a number from 0, or auto, the default: the cheapest"),
      OptionSpec("size", value: "BYTES", "the largest file of at most so many bytes, with a k or M behind if wanted"),
      OptionSpec("bpp", value: "B", "the largest file of at most so many bits per pixel"),
      OptionSpec("psnr", value: "DB", "the smallest file of at least this PSNR, in dB"),
      OptionSpec("lossless", "every sample as it is"),
      OptionSpec("max-error", value: "N", "no sample off by more than N, 1 to 15"),
      OptionSpec("alpha-error", value: "N", "no sample of the transparency off by more, 0 (the default) to 15"),
      Batch.output, CodecOptions.outputFolder, CodecOptions.strict, CodecOptions.quiet,
      CodecOptions.verbose, CodecOptions.model,
    ] + CodecOptions.limitOptions.prefix(3) + CodecOptions.encoderOptions + VideoFiles.options
    + CodecOptions.executionOptions
  static let notes = """
    Reads PNG, JPEG, PNM, PAM, BMP and Y4M, told apart by their first bytes. Transparency, ICC profile, Exif, XMP, cICP,
    gAMA, cHRM, sRGB and resolution are kept; for anything else there is a line of warning. 16-bit samples are rounded to
    8 bits. 4:2:0 of a JPEG file is coded as it is where the model has networks for it, and always with --lossless and
    --max-error; otherwise as RGB.

    --lossless and --max-error take a residual layer, alone or, at the highest efforts, on a coarse picture of the
    networks; with --quality or --rate-point too, on their picture of that quality. With --quality alone, pictures unlike
    photographs are coded by a residual layer where that is better and smaller, and never worse than at a lower quality,
    which takes longer; from 80 on no picture has less than 26 dB, rising to 38 dB at 100. --rate-point takes the networks
    alone. --size, --bpp and --psnr encode about ten times to find the quality; a
    PSNR that the model does not reach takes a residual layer, a size that it does not reach is an error. --size
    holds for videos, too, which then are encoded nine times. Of videos --lossless and --max-error take residual layers
    of the motion-compensated frame before, without networks.

    One line about each result goes to standard output, or to standard error if the bitstream goes there. With --output-dir
    pictures are coded side by side; one that fails does not stop the others, and the exit code is that of the first.
    """

  private static let ways = [
    ["quality", "rate-point", "size", "bpp", "psnr"], ["lossless", "max-error", "size", "bpp", "psnr"],
  ]
  private static let videoOptions = VideoFiles.options.map(\.name)

  /// What the options ask for.
  private struct Plan {
    var settings: EncoderSettings
    let target: EncoderTarget?
    let reading: ReadingOptions
    let isQuiet: Bool
    let isVerbose: Bool
    /// Whether to show how far the only picture is.
    let showsProgress: Bool
  }

  static func run(_ arguments: Arguments) throws(ToolError) {
    let jobs = try Batch.jobs(arguments, of: self, ending: ".sci")
    if let job = jobs.first, VideoFiles.isStream(job.output) {
      let others = [
        "bpp", "psnr", "alpha-error", "strict", "domain", "lambda", "max-pixels", "max-memory", "max-mac",
      ]
      try arguments.refuse(others, "on videos")
      return try VideoFiles.encode(job.input, job.output, arguments)
    }
    try arguments.refuse(videoOptions, "on pictures")
    for names in ways { try arguments.atMostOne(of: names) }
    let model = try loadModel(arguments)
    let plan = try plan(arguments, model, showsProgress: jobs.count == 1)
    if plan.isVerbose {
      printError("model \(printable(model.name)), \(hexadecimal(model.id)), \(plan.settings.execution.threads) threads")
    }
    try Batch.run(jobs, plan.settings.execution, quiet: plan.isQuiet) { execution in
      let encoder = Encoder(model: model)
      encoder.limits = plan.reading.limits
      return (encoder: encoder, execution: execution)
    } work: { worker, job throws(ToolError) in
      var plan = plan
      plan.settings.execution = worker.execution
      return try encode(job, plan, worker.encoder)
    }
  }

  private static func plan(
    _ arguments: Arguments, _ model: Model, showsProgress: Bool
  ) throws(ToolError) -> Plan {
    let isLayer = arguments.has("lossless") || arguments.has("max-error")
    if isLayer { try arguments.refuse(["rdoq", "lambda"], "with a bound of the error") }
    var settings = try CodecOptions.encoderSettings(arguments, of: model)
    settings.alphaError = try arguments.integer("alpha-error", in: 0...15) ?? 0
    if let effort = try arguments.integer("effort", in: 0...9), isLayer {
      settings.rdoq = .off
      settings.residualEffort = CodecOptions.residualEffort(effort)
    }
    if arguments.has("lossless") { settings.maximumError = 0 }
    if let error = try arguments.integer("max-error", in: 1...15) { settings.maximumError = error }
    // A bound of the error over a quality is a picture of that quality and what it lacks.
    if isLayer, arguments.has("quality") || arguments.has("rate-point") { settings.base = .position }
    // Nobody is told.
    settings.measuresDistortion = !arguments.has("quiet")
    let domain = try CodecOptions.domain(arguments, of: model)
    settings.choosesDomain = domain == nil
    if let point = try arguments.number("rate-point", in: 0...Double(model.ratePoints.count - 1)) {
      try arguments.refuse(["domain"], "with --rate-point, which is of one domain")
      settings.choosesDomain = false
      settings.position = RatePosition(index: Int(Double(RatePosition.steps) * point + 0.5))
    } else {
      let quality = try arguments.number("quality", in: 0...100) ?? 50
      settings.position = model.position(quality: quality, domain: domain ?? 0)
      settings.holdsQuality = true
    }
    return Plan(
      settings: settings, target: try target(arguments), reading: try ReadingOptions(arguments),
      isQuiet: arguments.has("quiet"), isVerbose: arguments.has("verbose"), showsProgress: showsProgress)
  }

  private static func target(_ arguments: Arguments) throws(ToolError) -> EncoderTarget? {
    if let bytes = try arguments.byteCount("size") { return .bytes(bytes) }
    if let bits = try arguments.number("bpp", above: 0) { return .bitsPerPixel(bits) }
    return try arguments.number("psnr", above: 0).map { .psnr($0) }
  }

  /// Encodes one file; gives the line about it.
  private static func encode(_ job: FileJob, _ plan: Plan, _ encoder: Encoder) throws(ToolError) -> String {
    let input = printable(job.input)
    let loaded = try loadPicture(job.input, plan.reading)
    var settings = plan.settings
    var picture = loaded.picture
    if picture.format == .yuv420, settings.maximumError == nil, !encoder.model.codes(.yuv420) {
      picture = picture.rgbOrGrey(loaded.metadata.colour)
    }
    settings.metadata = loaded.metadata.boxes(for: picture.format)
    // Transparency of which there is none is none.
    if let alpha = loaded.alpha, alpha.samples.contains(where: { $0 != 255 }) { settings.alpha = alpha }
    if plan.isVerbose {
      let kept = settings.metadata.map { "\($0.kind.title) (\($0.bytes.count) bytes)" }
      let also = (settings.alpha == nil ? [] : ["transparency"]) + kept
      printError("\(input): \(picture.format.name)\(also.isEmpty ? "" : " with \(list(also))")")
    }
    if plan.isVerbose {
      settings.progress = { pass in
        printError(
          "\(input): \(fixed(pass.bits, 0)) bits, cost \(fixed(pass.cost, 0)) bits, \(pass.changes) changes")
      }
    } else if plan.showsProgress, Progress.isPossible {
      settings.monitor = { share in
        Progress.show("\(input): \(fixed(100 * share, 0)) %", done: share)
        return true
      }
    }
    let encoded: Encoded
    let seconds: Double
    do {
      (encoded, seconds) = try timed { () throws(EncodeError) in
        guard let target = plan.target else { return try encoder.encode(picture, settings) }
        return try encoder.encode(picture, settings, target: target)
      }
    } catch {
      throw .badData(file: job.input, error.description)
    }
    try writeFile(job.output, encoded.bytes)
    return line(input, picture, encoded, encoder.model, seconds)
  }

  private static func line(
    _ input: String, _ picture: Picture, _ encoded: Encoded, _ model: Model, _ seconds: Double
  ) -> String {
    let bits = Double(8 * encoded.bytes.count) / Double(picture.width * picture.height)
    var line = "\(input): \(picture.width)x\(picture.height), "
    if encoded.hasLatent {
      line += "quality \(fixed(model.quality(of: encoded.position), 1)), rate point \(encoded.position.description), "
      if model.domains.count > 1, let domain = model.domain(of: encoded.position) { line += "domain \(domain), " }
    }
    if let error = encoded.maximumError {
      line += error == 0 ? "lossless, " : "largest error \(error), "
    }
    line += "\(encoded.bytes.count) bytes, \(fixed(bits, 4)) bit/pixel"
    if let psnr = encoded.psnr, psnr.isFinite { line += ", PSNR \(fixed(psnr, 3)) dB" }
    return line + ", \(fixed(1000 * seconds, 1)) ms"
  }
}
