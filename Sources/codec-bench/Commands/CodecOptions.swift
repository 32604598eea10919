// SPDX-License-Identifier: BSD-3-Clause

import SwiftCodec
import SwiftCodecDefaultModel

/// Options that several subcommands share.
enum CodecOptions {
  static let model = OptionSpec("model", value: "FILE", "a model file; the default is the model in the library")
  static let executionOptions = [
    OptionSpec("threads", value: "N", "threads, 1 by default; the result does not depend on it"),
    OptionSpec("stripe", value: "R", "rows that pass through the network at a time; nor on this"),
    OptionSpec("cpu", value: "NAME", "kernels to use: \(CPU.names.joined(separator: ", ")); nor on this"),
  ]
  private static let entropyNames = EntropyKind.allCases.map { "\($0.name)" }.joined(separator: ", ")
  /// What changes the bitstream besides the rate point.
  static let encoderOptions = [
    OptionSpec("entropy", value: "E", "\(entropyNames); the default is the model's best"),
    OptionSpec("rdoq", value: "EFFORT", "search for a cheaper latent: off (the default), quick, fast or full"),
    OptionSpec("lambda", value: "L", "the trade-off of that search; the rate point's by default"),
  ]

  static func execution(_ arguments: Arguments) throws(ToolError) -> Execution {
    var execution = Execution()
    execution.threads = try arguments.integer("threads", in: 1...1024) ?? 1
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
  static func encoderSettings(_ arguments: Arguments, of model: Model) throws(ToolError) -> EncoderSettings {
    var settings = EncoderSettings(ratePoint: 0)
    settings.entropy = try entropyKind(arguments, of: model)
    settings.execution = try execution(arguments)
    settings.rdoq = try rdoq(arguments)
    settings.lambda = try arguments.number("lambda", above: 0)
    return settings
  }

  static func rdoq(_ arguments: Arguments) throws(ToolError) -> RDOQ {
    try arguments.choice("rdoq", ["off": .off, "quick": .quick, "fast": .fast, "full": .full]) ?? .off
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
