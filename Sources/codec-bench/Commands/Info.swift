// SPDX-License-Identifier: BSD-3-Clause

import SwiftCodec
import SwiftCodecDefaultModel

enum InfoCommand: Command {
  static let name = "info"
  static let summary = "Describe a bitstream, a video stream or a model file."
  static let operands = "FILE | --default-model"
  static let operandCount = 0...1
  static let options = [
    OptionSpec("default-model", "describe the model in the library"),
    OptionSpec(
      "rate-point", short: "k", value: "K", "list a model's layers at this rate point; the default is the last"),
    OptionSpec("model", value: "FILE", "the model of a bitstream; the default is the model in the library"),
    OptionSpec("json", "print JSON"),
  ]
  static let notes = """
    The JSON of a model has decoder_mac_per_pixel and encoder_mac_per_pixel at the rate point that is listed, those of
    all others in rate_points, and in mac_per_pixel those of each network at each rate point.
    """

  static func run(_ arguments: Arguments) throws(ToolError) {
    guard arguments.has("default-model") != (arguments.operands.count == 1) else {
      throw .usage("expected either a file or --default-model; see \(CodecBench.name) \(name) --help")
    }
    let file = arguments.operands.first ?? "the default model"
    let bytes =
      try arguments.operands.first.map { name throws(ToolError) in try readFile(name) } ?? Model.embeddedBytes()
    if bytes.starts(with: Array("SCI".utf8)) {
      try describe(bitstream: bytes, file, arguments)
    } else if bytes.starts(with: Array("SCV".utf8)) {
      try describe(stream: bytes, file, arguments)
    } else if bytes.starts(with: Array("SCMODEL".utf8)) {
      try describe(model: bytes, file, arguments)
    } else {
      throw .badData(file: file, "neither a bitstream nor a stream nor a model file")
    }
  }

  // MARK: Bitstreams

  private static func describe(bitstream bytes: [UInt8], _ file: String, _ arguments: Arguments) throws(ToolError) {
    let parts: BitstreamParts
    do { parts = try BitstreamParts(parsing: bytes) } catch { throw .badData(file: file, error.description) }
    let header = parts.header
    let position = header.position
    let given = try loadModel(arguments)
    let model = given.decodes(model: header.modelID, at: position) ? given : nil
    if model == nil, arguments.has("model"), header.segmentCount > 0 {
      throw .usage("\(file) was made with model \(hexadecimal(header.modelID)), not with that of --model")
    }
    let pixels = header.width * header.height
    let bitsPerPixel = Double(8 * bytes.count) / Double(pixels)
    let segments = parts.payloads.map { $0.count }
    func layer(_ range: Range<Int>?) -> (bytes: Int, maximumError: Int?)? {
      range.flatMap { $0.isEmpty ? nil : ($0.count, ResidualCodec.maximumError(firstByte: bytes[$0.lowerBound])) }
    }
    let layers = [("residual", layer(parts.residual)), ("transparency", layer(parts.alpha))]
    if arguments.has("json") {
      var json: [JSON.Member] = []
      json.add("type", "bitstream")
      json.add("width", JSON(header.width))
      json.add("height", JSON(header.height))
      json.add("format", .string("\(header.format.name)"))
      json.add("bytes", JSON(bytes.count))
      json.add("bpp", .number(bitsPerPixel))
      json.add("model_id", .string(hexadecimal(header.modelID)))
      json.add("rate_point", .number(Double(position.index) / Double(RatePosition.steps)))
      json.add("entropy", .string("\(header.entropy.name)"))
      json.add("segment_rows", header.segmentRows.map { JSON($0) } ?? .null)
      json.add("segment_bytes", .array(segments.map { JSON($0) }))
      for (name, layer) in layers {
        guard let layer else { continue }
        json.add("\(name)_bytes", JSON(layer.bytes))
        json.add("\(name)_maximum_error", layer.maximumError.map { JSON($0) } ?? .null)
      }
      let metadata = parts.metadata.map { JSON.Member(name: $0.kind.tag.description, value: JSON($0.range.count)) }
      json.add("metadata", .object(metadata))
      if let model {
        json.add("model", .string(model.name))
        json.add("quality", .number(model.quality(of: position)))
        if model.domains.count > 1, let domain = model.domain(of: position) { json.add("domain", JSON(domain)) }
        json.add("lambda", .number(lambda(model, position)))
        json.add("decoder_mac_per_pixel", .number(model.decoderMACPerPixel(at: position)))
        json.add("encoder_mac_per_pixel", .number(model.encoderMACPerPixel(at: position)))
      }
      return try printOutput(JSON.object(json).text)
    }
    var rows = [
      ["picture", "\(header.width)x\(header.height), \(header.format.name)"],
      ["size", "\(bytes.count) bytes, \(fixed(bitsPerPixel, 4)) bit/pixel"],
    ]
    let latent = [
      [
        "model",
        hexadecimal(header.modelID) + "…" + (model.map { ", \(printable($0.name))" } ?? ", not the one loaded"),
      ],
      [
        "rate point",
        position.description
          + (model.map { ", quality \(fixed($0.quality(of: position), 1)), lambda \(compact(lambda($0, position)))" }
            ?? ""),
      ],
      ["entropy model", "\(header.entropy.name)"],
    ]
    if header.segmentCount > 0 { rows += latent }
    if let model, header.segmentCount > 0, model.domains.count > 1, let domain = model.domain(of: position) {
      rows.append(["domain", "\(domain)"])
    }
    if let model, header.segmentCount > 0 {
      rows.append(["decoder", "\(fixed(model.decoderMACPerPixel(at: position), 1)) MAC/pixel"])
    }
    if header.segmentCount > 0 {
      rows.append(["segments", header.segmentRows.map { "\(header.segmentCount) of \($0) rows of the latent" } ?? "1"])
    }
    for (name, layer) in layers {
      guard let layer else { continue }
      let error = layer.maximumError.map { $0 == 0 ? "exact" : "largest error \($0)" }
      rows.append([name, "\(layer.bytes) bytes, \(error ?? "exact in parts of the picture")"])
    }
    var text = rows.map { "\($0[0].padded(to: 15))\($0[1])\n" }.joined()
    for item in parts.metadata { text += "\("\(item.kind)".padded(to: 15))\(item.range.count) bytes\n" }
    text += segments.enumerated().map { "\("  segment \($0)".padded(to: 15))\($1) bytes\n" }.joined()
    try printOutput(text)
  }

  // MARK: Models

  private static func describe(model bytes: [UInt8], _ file: String, _ arguments: Arguments) throws(ToolError) {
    let model = try parseModel(bytes, file)
    let last = model.ratePoints.count - 1
    // Of models of inter frames there are networks for 4:2:0 alone.
    let format = model.formats.contains(.rgb) ? PixelFormat.rgb : model.formats[0]
    let ratePoint = try arguments.integer("rate-point", in: 0...last) ?? last
    if arguments.has("json") {
      let points = model.ratePoints.indices.map { k -> JSON in
        [
          "rate_point": JSON(k), "lambda": .number(exactly(model.ratePoints[k].lambda)),
          "widths": .array(model.ratePoints[k].widths.map { JSON($0) }),
          "latent_channels": JSON(model.latentChannels(ratePoint: k)),
          "decoder_mac_per_pixel": .number(model.decoderMACPerPixel(format, ratePoint: k)),
          "encoder_mac_per_pixel": .number(model.encoderMACPerPixel(format, ratePoint: k)),
        ]
      }
      let layers = model.roles(format).map { role in
        JSON.Member(
          name: role.name,
          value: .array(
            model.layers(role, format, ratePoint: ratePoint).map { layer in
              [
                "name": .string(layer.name), "operation": .string(layer.operation), "channels": JSON(layer.channels),
                "divisor": JSON(layer.divisor), "mac_per_pixel": .number(layer.macPerPixel),
              ]
            }))
      }
      let json: JSON = [
        "type": "model", "name": .string(model.name), "description": .string(model.summary),
        "id": .string(hexadecimal(model.id)), "bytes": JSON(bytes.count),
        "decoder_mac_per_pixel": .number(model.decoderMACPerPixel(format, ratePoint: ratePoint)),
        "encoder_mac_per_pixel": .number(model.encoderMACPerPixel(format, ratePoint: ratePoint)),
        "entropy": .array(model.entropyKinds.map { .string("\($0.name)") }),
        "sections": .array(model.sections.map { ["tag": .string($0.tag), "bytes": JSON($0.size)] }),
        "mac_per_pixel": .object(
          model.roles(format).map { role in
            JSON.Member(name: role.name, value: .array(macPerPixel(model, role, format).map { .number($0) }))
          }),
        "domains": .array(
          model.domains.map { domain in
            [
              "first_rate_point": JSON(domain.lowerBound.ratePoint),
              "last_rate_point": JSON(domain.upperBound.ratePoint),
              "bitstream_id": .string(hexadecimal(model.bitstreamID(at: domain.lowerBound))),
            ]
          }),
        "rate_points": .array(points), "rate_point": JSON(ratePoint), "layers": .object(layers),
      ]
      return try printOutput(json.text)
    }
    var text = "\(printable(model.name))\n\(printable(model.summary, keepsLines: true))\n\n"
    text += "id             \(hexadecimal(model.id))\nsize           \(bytes.count) bytes\n"
    text += "entropy models \(model.entropyKinds.map { "\($0.name)" }.joined(separator: ", "))\n\n"
    text += table([["section", "bytes"]] + model.sections.map { [$0.tag, "\($0.size)"] }) + "\n"
    if model.domains.count > 1 {
      let domains = model.domains.enumerated().map { number, domain in
        [
          "\(number)", "\(domain.lowerBound.ratePoint) to \(domain.upperBound.ratePoint)",
          hexadecimal(model.bitstreamID(at: domain.lowerBound)) + "…",
        ]
      }
      text += table([["domain", "rate points", "model in bitstreams"]] + domains) + "\n"
    }
    var rows = [["rate point", "lambda", "latent", "decoder MAC/pixel", "encoder MAC/pixel"]]
    for (k, point) in model.ratePoints.enumerated() {
      rows.append([
        "\(k)", "\(point.lambda)", "\(model.latentChannels(ratePoint: k)) channels",
        fixed(model.decoderMACPerPixel(format, ratePoint: k), 1),
        fixed(model.encoderMACPerPixel(format, ratePoint: k), 1),
      ])
    }
    text += table(rows)
    rows = [["10^9 MAC, 1920x1080"] + model.ratePoints.indices.map { "\($0)" }]
    for role in model.roles(format) {
      rows.append([role.name] + macPerPixel(model, role, format).map { fixed($0 * 1920 * 1080 / 1e9, 1) })
    }
    text += "\n" + table(rows)
    for role in model.roles(format) {
      rows = [["\(role.name), rate point \(ratePoint)", "operation", "channels", "1/size", "MAC/pixel"]]
      for layer in model.layers(role, format, ratePoint: ratePoint) {
        rows.append([
          printable(layer.name), layer.operation, "\(layer.channels)", "\(layer.divisor)", fixed(layer.macPerPixel, 1),
        ])
      }
      text += "\n" + table(rows)
    }
    try printOutput(text)
  }
}

/// Multiply-adds per pixel of a network at each rate point.
private func macPerPixel(_ model: Model, _ role: GraphRole, _ format: PixelFormat) -> [Double] {
  model.ratePoints.indices.map { k in
    model.layers(role, format, ratePoint: k).reduce(0) { $0 + $1.macPerPixel }
  }
}

/// The trade-off at a position, at a rate point as people wrote it.
func lambda(_ model: Model, _ position: RatePosition) -> Double {
  position.fraction == 0 ? exactly(model.ratePoints[position.ratePoint].lambda) : model.lambda(at: position)
}

/// The decimal that people wrote for a single-precision number, as a double.
func exactly(_ value: Float) -> Double { Double("\(value)") ?? Double(value) }
