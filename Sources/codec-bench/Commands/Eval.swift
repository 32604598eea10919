// SPDX-License-Identifier: BSD-3-Clause

import PictureFiles
import SwiftCodec

enum EvalCommand: Command {
  static let name = "eval"
  static let summary = "Encode and decode every picture of a folder and measure rate, quality and time."
  static let operands = "DIR --json OUT"
  static let operandCount = 1...1
  static let options =
    [
      OptionSpec("json", value: "OUT", "where to write all results; - for standard output instead of the table"),
      OptionSpec("csv", value: "OUT", "a line for each picture and rate"),
      OptionSpec("rate-points", short: "k", value: "LIST", "such as 0,3,6 or 0-6; all by default"),
      OptionSpec("qualities", short: "q", value: "LIST", "such as 0,12.5,100, instead of rate points"),
      OptionSpec(
        "domain", value: "D",
        "of a model with several domains: the rate points or qualities of this one, 0 upwards; with qualities auto, the default, takes the cheapest"
      ),
      OptionSpec("name", value: "TEXT", "the codec's name in the results"),
      OptionSpec("only", value: "FILE", "only the pictures that this file names, a line each"),
      OptionSpec("anchor", value: "FILE", "tell BD-rates over the curve of this file, as bdrate does"),
      OptionSpec("anchor-codec", value: "NAME", "the codec of that file, if it has several"),
      CodecOptions.model, CodecOptions.quiet, CodecOptions.oneThread,
    ] + CodecOptions.encoderOptions + CodecOptions.kernelOptions
  static let notes = """
    PNG, JPEG, PNM, PAM, BMP and Y4M files, also those in subfolders; those that cannot be read are named at the end. Measured
    are real bitstreams and the pictures decoded from them. PSNR of RGB is over all samples; of luma and YUV
    4:2:0 (weighted 6:1:1) in BT.709, full range, unrounded, chroma as means of 2x2; MS-SSIM is the mean over the
    channels, with fewer scales where a side is 160 or less. Means over pictures are of bit/pixel and of dB.
    Exit code 70 if a decoded picture has another PSNR than its encoder reported, or if a pass of RDOQ made the cost rise.
    """

  static func run(_ arguments: Arguments) throws(ToolError) {
    guard let jsonFile = arguments.string("json") else {
      throw .usage("expected \(name) \(operands); see \(CodecBench.name) \(name) --help")
    }
    let folder = arguments.operands[0]
    var files = try listPictures(folder)
    if let list = arguments.string("only") {
      let names = try readNames(list)
      files = files.filter { names.contains($0) }
      if files.isEmpty { throw .badData(file: list, "no picture of \(printable(folder))") }
    }
    let anchor: Curve? =
      if let file = arguments.string("anchor") {
        try readCurves(file).choose(arguments.string("anchor-codec"), from: file)
      } else { nil }
    if anchor == nil { try arguments.refuse(["anchor-codec"], "without --anchor") }
    try checkTarget(jsonFile)
    if let file = arguments.string("csv") { try checkTarget(file) }

    let model = try loadModel(arguments)
    let positions = try positions(arguments, of: model)
    var settings = try CodecOptions.encoderSettings(arguments, of: model, threads: 1)
    let hasQualities = arguments.has("qualities")
    if hasQualities { settings.choosesDomain = try CodecOptions.domain(arguments, of: model) == nil }
    let entropy = settings.entropy
    let search = settings.rdoq == .off ? "" : ", RDOQ \(settings.rdoq.name)"
    let codec = arguments.string("name") ?? printable(model.name) + (entropy.map { " (\($0.name)\(search))" } ?? "")

    var results: [Result] = []
    var contradictions: [String] = []
    var unreadable = UnreadableFiles()
    let encoder = Encoder(model: model)
    let decoder = Decoder(model: model, execution: settings.execution)
    for (number, file) in files.enumerated() {
      guard let picture = unreadable.read("\(folder)/\(file)") else { continue }
      for (i, position) in positions.enumerated() {
        Progress.show(
          "\(printable(file)) (\(number + 1) of \(files.count)), rate point \(position.description)",
          done: (Double(number) + Double(i) / Double(positions.count)) / Double(files.count))
        settings.position = position
        // As encode does.
        settings.holdsQuality = hasQualities
        let (result, reported) = try measure(picture, "\(folder)/\(file)", file, encoder, decoder, settings)
        results.append(result)
        if let reported, reported != result.quality.psnrRGB {
          contradictions.append("\(file), rate point \(position.description): \(reported) dB reported")
        }
        if let costs = result.rdoq?.passes.map(\.cost), zip(costs, costs.dropFirst()).contains(where: { $0 < $1 }) {
          contradictions.append("\(file), rate point \(position.description): the cost rose from pass to pass")
        }
      }
    }
    Progress.clear()
    if results.isEmpty { try unreadable.report() }

    let means = positions.map { position in Mean(results.filter { $0.position == position }, model) }
    let json: JSON = [
      "codec": .string(codec), "model": .string(model.name), "model_id": .string(hexadecimal(model.id)),
      "entropy": entropy.map { .string("\($0.name)") } ?? .null, "rdoq": .string("\(settings.rdoq.name)"),
      "threads": JSON(settings.execution.threads),
      "cpu": .string(settings.execution.cpu.name), "rate_points": .array(means.map(\.json)),
      "pictures": .array(results.map { $0.json(model) }),
    ]
    let text = json.text
    try writeFile(jsonFile, Array(text.utf8))
    if let file = arguments.string("csv") {
      let rows = [["codec"] + Result.columns] + results.map { [codec] + $0.cells(model) }
      try writeFile(file, Array(CSV.text(rows).utf8))
    }
    if jsonFile != "-" {
      try printOutput(
        "\(codec), \(results.count / positions.count) pictures\n" + table([Mean.header] + means.map(\.row)))
      if let anchor, let test = try curvesFromJSON(Array(text.utf8), jsonFile).first {
        let result: Comparison
        do { result = try Comparison(anchor: anchor, test: test, .psnrRGB) } catch {
          throw .badData(file: arguments.string("anchor") ?? "", "psnr_rgb: \(error.description)")
        }
        try printOutput("\nBD-rate over \(anchor.codec), psnr_rgb: \(result.text)\n")
      }
    }
    guard contradictions.isEmpty else {
      throw .inconsistent("decoded pictures differ from the encoder's: " + contradictions.joined(separator: "; "))
    }
    try unreadable.report()
  }

  private static func positions(_ arguments: Arguments, of model: Model) throws(ToolError) -> [RatePosition] {
    let points = try arguments.integers("rate-points", in: model.ratePoints.indices)
    let qualities = try arguments.numbers("qualities", in: 0...100)
    guard points == nil || qualities == nil else { throw .usage("either --rate-points or --qualities, not both") }
    if points != nil { try arguments.refuse(["domain"], "with --rate-points, which are of one domain each") }
    let domain = try CodecOptions.domain(arguments, of: model)
    guard let qualities else {
      let all = model.ratePoints.indices.filter {
        domain == nil || model.domain(of: RatePosition(ratePoint: $0)) == domain
      }
      return (points ?? all).map { RatePosition(ratePoint: $0) }
    }
    var positions: [RatePosition] = []
    // Qualities that lie close together may be one position.
    for quality in qualities {
      let position = model.position(quality: quality, domain: domain ?? 0)
      if !positions.contains(position) { positions.append(position) }
    }
    return positions
  }

  private static func measure(
    _ picture: Picture, _ path: String, _ file: String, _ encoder: Encoder, _ decoder: Decoder,
    _ settings: EncoderSettings
  ) throws(ToolError) -> (Result, reportedPSNR: Double?) {
    let encoded: Encoded
    let decoded: Picture
    let times: (encode: Double, decode: Double)
    do {
      (encoded, times.encode) = try timed { () throws(EncodeError) in try encoder.encode(picture, settings) }
    } catch {
      throw .badData(file: path, error.description)
    }
    do {
      (decoded, times.decode) = try timed { () throws(DecodeError) in try decoder.decode(encoded.bytes) }
    } catch {
      throw .inconsistent(
        "\(path), rate point \(settings.position.description): the bitstream does not decode: \(error.description)")
    }
    guard (decoded.width, decoded.height, decoded.channels) == (picture.width, picture.height, picture.channels) else {
      throw .inconsistent("\(path), rate point \(settings.position.description): the decoded picture has another size")
    }
    let result = Result(
      name: file, position: settings.position, width: picture.width, height: picture.height,
      bytes: encoded.bytes.count, quality: Quality(of: decoded, against: picture), idealBits: encoded.idealBits,
      rdoq: encoded.rdoq, encodeSeconds: times.encode, decodeSeconds: times.decode)
    return (result, encoded.psnr)
  }
}

/// A rate point, with its fraction.
private func number(_ position: RatePosition) -> Double { Double(position.index) / Double(RatePosition.steps) }

/// One picture at one position.
private struct Result {
  let name: String
  let position: RatePosition
  let width: Int
  let height: Int
  let bytes: Int
  let quality: Quality
  let idealBits: Double
  let rdoq: RDOQReport?
  let encodeSeconds: Double
  let decodeSeconds: Double

  var bitsPerPixel: Double { Double(8 * bytes) / Double(width * height) }

  private func members(_ model: Model) -> [JSON.Member] {
    let members: KeyValuePairs<String, JSON> = [
      "picture": .string(name), "rate_point": .number(number(position)),
      "lambda": .number(lambda(model, position)), "width": JSON(width), "height": JSON(height),
      "bytes": JSON(bytes), "bpp": .number(bitsPerPixel), "psnr_rgb": .finite(quality.psnrRGB),
      "psnr_y": .finite(quality.psnrY), "psnr_yuv": .finite(quality.psnrYUV), "ms_ssim_rgb": .finite(quality.msSSIM),
      "ideal_bits": .number(idealBits), "encode_seconds": .number(encodeSeconds),
      "decode_seconds": .number(decodeSeconds),
      "decoder_mac_per_pixel": .number(model.decoderMACPerPixel(at: position)),
      "encoder_mac_per_pixel": .number(model.encoderMACPerPixel(at: position)),
      "rdoq_cost_before": rdoq.map { .number($0.initialCost) } ?? .null,
      "rdoq_cost_after": rdoq.map { .number($0.finalCost) } ?? .null,
    ]
    return members.map { JSON.Member(name: $0.key, value: $0.value) }
  }

  func json(_ model: Model) -> JSON { .object(members(model)) }

  static let columns = [
    "picture", "rate_point", "lambda", "width", "height", "bytes", "bpp", "psnr_rgb", "psnr_y", "psnr_yuv",
    "ms_ssim_rgb", "ideal_bits", "encode_seconds", "decode_seconds", "decoder_mac_per_pixel", "encoder_mac_per_pixel",
    "rdoq_cost_before", "rdoq_cost_after",
  ]

  /// In the order of `columns`; a quality that is not finite is an empty cell.
  func cells(_ model: Model) -> [String] {
    members(model).map { member in
      switch member.value {
      case .string(let text): text
      case .number(let value): compact(value)
      default: ""
      }
    }
  }
}

/// Means over the pictures at one position.
private struct Mean {
  private let members: KeyValuePairs<String, Double>

  init(_ results: [Result], _ model: Model) {
    func mean(_ value: (Result) -> Double) -> Double { results.reduce(0) { $0 + value($1) } / Double(results.count) }
    let position = results[0].position
    members = [
      "rate_point": number(position), "lambda": lambda(model, position),
      "bpp": mean(\.bitsPerPixel), "psnr_rgb": mean(\.quality.psnrRGB), "psnr_y": mean(\.quality.psnrY),
      "psnr_yuv": mean(\.quality.psnrYUV), "ms_ssim_rgb": mean(\.quality.msSSIM),
      "bits_over_ideal": mean { Double(8 * $0.bytes) / $0.idealBits }, "encode_seconds": mean(\.encodeSeconds),
      "decode_seconds": mean(\.decodeSeconds), "decoder_mac_per_pixel": model.decoderMACPerPixel(at: position),
      "encoder_mac_per_pixel": model.encoderMACPerPixel(at: position),
    ]
  }

  var json: JSON { .object(members.map { JSON.Member(name: $0.key, value: .finite($0.value)) }) }

  static let header = [
    "rate point", "lambda", "bit/pixel", "PSNR RGB", "PSNR Y", "PSNR YUV", "MS-SSIM", "bits/ideal", "encode s",
    "decode s", "dec MAC/px", "enc MAC/px",
  ]

  var row: [String] {
    let digits = [-1, -1, 4, 3, 3, 3, 5, 4, 4, 4, 0, 0]
    return zip(members, digits).map { $1 < 0 ? compact($0.value) : fixed($0.value, $1) }
  }
}
