// SPDX-License-Identifier: BSD-3-Clause

import PictureFiles
import SwiftCodec
import SwiftCodecDefaultModel

/// Options that several subcommands share.
enum CodecOptions {
  static let model = OptionSpec("model", value: "FILE", "a model file; the default is the model in the library")
  static let threads = OptionSpec(
    "threads", short: "j", value: "N", "threads, as many as processors by default; the result does not depend on it")
  /// Of commands that measure times.
  static let oneThread = OptionSpec(
    "threads", short: "j", value: "N", "threads, 1 by default; the result does not depend on it")
  static let kernelOptions = [
    OptionSpec("stripe", value: "R", "rows that pass through the network at a time; nor on this"),
    OptionSpec("cpu", value: "NAME", "kernels to use: \(CPU.names.joined(separator: ", ")); nor on this"),
  ]
  static let executionOptions = [threads] + kernelOptions
  static let quiet = OptionSpec("quiet", "errors and warnings alone")
  static let verbose = OptionSpec("verbose", short: "v", "say more, on standard error")
  static let strict = OptionSpec("strict", "an error where otherwise a warning says that something is not kept")
  /// What a file may ask for; `limits` reads them.
  static let limitOptions = [
    OptionSpec("max-pixels", value: "N", "refuse larger pictures; the default goes with the size of the file"),
    OptionSpec("max-memory", value: "BYTES", "refuse what takes more; so does the default of this"),
    OptionSpec("max-mac", value: "N", "refuse models of more multiply-adds a pixel; 524288 by default"),
    OptionSpec("max-work", value: "N", "refuse bitstreams that take the work of more multiply-adds in all"),
  ]

  static func limits(_ arguments: Arguments) throws(ToolError) -> Limits {
    var limits = Limits()
    limits.pixels = try arguments.integer("max-pixels", in: 1...(.max))
    limits.memory = try arguments.integer("max-memory", in: 1...(.max)).map { Int64($0) }
    if let mac = try arguments.integer("max-mac", in: 1...(.max)) { limits.macPerPixel = Double(mac) }
    limits.work = try arguments.integer("max-work", in: 1...(.max)).map { Double($0) }
    return limits
  }
  static let outputFolder = OptionSpec(
    "output-dir", value: "DIR", "any number of inputs, each to a file of its name there")
  private static let entropyNames = EntropyKind.allCases.map { "\($0.name)" }.joined(separator: ", ")
  static let effort = OptionSpec(
    "effort", value: "N",
    "0 (the default) to 9: how long to search for fewer bytes; 1 takes four times as long, 2 six, 5 20, 9 150 times")
  /// What changes the bitstream besides the rate point.
  static let encoderOptions = [
    OptionSpec("entropy", value: "E", "\(entropyNames); the default is the model's best"),
    effort,
    OptionSpec("rdoq", value: "EFFORT", "the same in words: off, quick (2), fast (5) or full (9)"),
    OptionSpec("lambda", value: "L", "the trade-off of that search; the rate point's by default"),
    OptionSpec("filter", value: "on|off", "whether decoded pictures may be filtered; on by default"),
  ]

  /// What --filter asks for.
  static func filters(_ arguments: Arguments) throws(ToolError) -> Bool {
    try arguments.choice("filter", ["on": true, "off": false]) ?? true
  }

  static func execution(
    _ arguments: Arguments, threads: Int = processorCount
  ) throws(ToolError) -> Execution {
    var execution = Execution()
    execution.threads = try arguments.integer("threads", in: 1...1024) ?? threads
    execution.stripeRows = try arguments.integer("stripe", in: 1...65536) ?? 0
    if let name = arguments.string("cpu") {
      guard let cpu = CPU(name: name) else {
        throw .usage("--cpu \(name): this processor has \(CPU.available.map(\.name).joined(separator: ", "))")
      }
      execution.cpu = cpu
    }
    return execution
  }

  /// The settings that the options ask for, at rate point 0.
  static func encoderSettings(
    _ arguments: Arguments, of model: Model, threads: Int = processorCount
  ) throws(ToolError) -> EncoderSettings {
    var settings = EncoderSettings(ratePoint: 0)
    settings.entropy = try entropyKind(arguments, of: model)
    settings.execution = try execution(arguments, threads: threads)
    (settings.rdoq, settings.rdoqShare) = try search(arguments)
    settings.lambda = try arguments.number("lambda", above: 0)
    settings.filters = try filters(arguments)
    if settings.rdoq == .off { try arguments.refuse(["lambda"], "without a search; say --effort") }
    return settings
  }

  /// The domain that `--domain` names; nil for the cheapest.
  static func domain(_ arguments: Arguments, of model: Model) throws(ToolError) -> Int? {
    if arguments.string("domain") == "auto" { return nil }
    return try arguments.integer("domain", in: 0...(model.domains.count - 1))
  }

  /// What is searched at an effort of 0…9, and the part of its passes.
  private static let efforts: [(RDOQ, Double)] = [
    (.off, 1), (.quick, 0.5), (.quick, 1), (.fast, 0.45), (.fast, 0.7), (.fast, 1), (.full, 0.1), (.full, 0.25),
    (.full, 0.5), (.full, 1),
  ]

  /// What --effort or --rdoq asks for.
  static func search(_ arguments: Arguments) throws(ToolError) -> (RDOQ, share: Double) {
    try arguments.atMostOne(of: ["effort", "rdoq"])
    if let effort = try arguments.integer("effort", in: 0...9) { return efforts[effort] }
    return (try rdoq("rdoq", arguments) ?? .off, 1)
  }

  /// That of residual layers at an effort of 0…9.
  static func residualEffort(_ effort: Int) -> Int { effort < 3 ? 0 : effort < 7 ? 1 : 2 }

  /// The kind of search that an option names.
  static func rdoq(_ option: String, _ arguments: Arguments) throws(ToolError) -> RDOQ? {
    try arguments.choice(option, ["off": .off, "quick": .quick, "fast": .fast, "full": .full])
  }

  private static func entropyKind(_ arguments: Arguments, of model: Model) throws(ToolError) -> EntropyKind? {
    guard let name = arguments.string("entropy") else { return model.preferredEntropyKind }
    guard let kind = model.entropyKinds.first(where: { "\($0.name)" == name }) else {
      let names = model.entropyKinds.map { "\($0.name)" }.joined(separator: ", ")
      throw .usage("--entropy \(name): the model has \(names.isEmpty ? "no entropy model" : names)")
    }
    return kind
  }
}

/// The model of `--model`, or else the one in the library.
func loadModel(_ arguments: Arguments) throws(ToolError) -> Model {
  guard let file = arguments.string("model") else {
    do { return try Model.embedded() } catch { throw .badData(file: "the default model", error.description) }
  }
  return try parseModel(try readFile(file), file)
}

func parseModel(_ bytes: [UInt8], _ file: String) throws(ToolError) -> Model {
  do { return try Model(bytes) } catch { throw .badData(file: file, error.description) }
}
