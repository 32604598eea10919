// SPDX-License-Identifier: BSD-3-Clause

import PictureFiles
import SwiftCodec
import SwiftCodecDefaultModel
import SwiftCodecFitting

enum FitCommand: Command {
  static let name = "fit"
  static let summary = "Fit entropy models to the latents of a folder of pictures."
  static let operands = "--images DIR -o OUT.scm"
  static let operandCount = 0...0
  static let options = [
    CodecOptions.model,
    OptionSpec("images", value: "DIR", "pictures, also in subfolders; never those that results are measured on"),
    OptionSpec("without", value: "FILE", "leave out the pictures that this file names, a line each"),
    OptionSpec("clips", value: "DIR", "for a model of inter frames: Y4M files instead"),
    OptionSpec(
      "intra-model", value: "FILE", "with --clips: the model of intra frames; by default the library's"),
    OptionSpec("output", short: "o", value: "OUT.scm", "the model file with the fitted entropy models"),
    OptionSpec("entropy", value: "LIST", "what to fit, such as static,weighted; all by default; the others stay"),
    OptionSpec("rate-points", short: "k", value: "LIST", "report on these alone, such as 0,3-5, and write no file"),
    OptionSpec("domain", value: "D", "fit those of one domain of the model, 0 upwards; the others stay, byte for byte"),
    OptionSpec("hold-out", value: "N", "leave out every N-th picture, and say what it costs with each entropy model"),
    OptionSpec("rdoq", value: "EFFORT", "fit to the latents that this search finds with the model as it is"),
    CodecOptions.threads,
    CodecOptions.quiet,
  ]
  static let notes = """
    static: one CDF a channel. threshold: four contexts by thresholds on left, top and the previous channel. weighted:
    linear means, and levels by weighted sums of neighbouring magnitudes, here and in earlier channels. Tables tell the
    bits of the fitting set after each step. Pictures that were stored with losses should be reduced in size before.
    With a hyperprior, static has levels by the scale that the network gives, weighted by that and neighbouring
    magnitudes.
    """

  static func run(_ arguments: Arguments) throws(ToolError) {
    guard let folder = arguments.string("images") ?? arguments.string("clips") else {
      throw .usage("expected \(name) \(operands); see \(CodecBench.name) \(name) --help")
    }
    let modelBytes = if let file = arguments.string("model") { try readFile(file) } else { Model.embeddedBytes() }
    let model = try parseModel(modelBytes, arguments.string("model") ?? "the default model")
    let kinds = try entropyKinds(arguments, of: model)
    let someRatePoints = try arguments.integers("rate-points", in: model.ratePoints.indices)
    let output = arguments.string("output")
    guard (output == nil) == (someRatePoints != nil) else {
      throw .usage("expected either --output or --rate-points; see \(CodecBench.name) \(name) --help")
    }
    let holdOut = try arguments.integer("hold-out", in: 2...1_000_000)
    var execution = Execution()
    execution.threads = try arguments.integer("threads", in: 1...1024) ?? processorCount
    let without = if let list = arguments.string("without") { try readNames(list) } else { Set<String>() }
    let files = try listPictures(folder).filter {
      !without.contains($0) && (!model.isInter || $0.lowercased().hasSuffix(".y4m"))
    }
    if let output { try checkTarget(output) }
    guard files.count > (holdOut == nil ? 0 : 1) else {
      throw .badData(
        file: folder,
        files.isEmpty ? "no Y4M files in this folder" : "one file alone: --hold-out leaves nothing to fit to")
    }
    guard model.isInter == arguments.has("clips") else {
      throw .usage("--clips for a model of inter frames, --images for others")
    }
    let intra = model.isInter ? try VideoFiles.intraModel(arguments) : nil

    let rdoq = try CodecOptions.rdoq("rdoq", arguments) ?? .off
    guard model.preferredEntropyKind != nil || (rdoq == .off && !model.roles().contains(.hyperSynthesis)) else {
      throw .usage(
        "--rdoq \(rdoq.name): the model has no entropy model to search with yet; fit one without --rdoq first")
    }
    let analyser = LatentAnalyser(model: model, rdoq: rdoq)
    var unreadable = UnreadableFiles()
    let domain = try arguments.integer("domain", in: 0...(model.domains.count - 1)).map { model.domains[$0] }
    guard domain == nil || someRatePoints == nil else { throw .usage("either --domain or --rate-points, not both") }
    let ratePoints =
      someRatePoints ?? domain.map { Array($0.lowerBound.ratePoint...$0.upperBound.ratePoint) }
      ?? Array(model.ratePoints.indices)
    var fits = [[FittedEntropy]](repeating: [], count: kinds.count)
    for (point, ratePoint) in ratePoints.enumerated() {
      unreadable = UnreadableFiles()
      var set = FittingSet(model: model, ratePoint: ratePoint)
      var held = set
      // A few pictures for each thread at a time, so that those of many samples do not keep the others waiting for long.
      for first in stride(from: 0, to: files.count, by: 4 * execution.threads) {
        let numbers = first..<min(first + 4 * execution.threads, files.count)
        Progress.show(
          "rate point \(ratePoint): \(printable(files[first])) (\(first + 1) of \(files.count))",
          done: (Double(point) + Double(first) / Double(files.count)) / Double(ratePoints.count))
        var (fitted, heldOut): ([Picture], [Picture]) = ([], [])
        for number in numbers {
          if let intra {
            try VideoFiles.append(
              "\(folder)/\(files[number])", ratePoint, model, intra, execution,
              to: &set, held: &held, isHeld: holdOut.map { number % $0 == 0 } ?? false)
            continue
          }
          guard let picture = unreadable.read("\(folder)/\(files[number])") else { continue }
          if let holdOut, number % holdOut == 0 { heldOut.append(picture) } else { fitted.append(picture) }
        }
        analyser.add(fitted, ratePoint: ratePoint, to: &set, execution: execution)
        analyser.add(heldOut, ratePoint: ratePoint, to: &held, execution: execution)
      }
      let corpus = set.latents
      let fitter = EntropyFitter(set, threads: execution.threads)
      let heldFitter = holdOut == nil ? nil : EntropyFitter(held, threads: execution.threads)
      var rows = [["rate point \(ratePoint)", "kB", "saved", "bits/sample"]]
      var heldRows = [["held out", "kB", "saved", "bits/sample"]]
      // What a model with a hyperprior had before, from its training.
      if set.hyperLatents != nil, let old = FittedEntropy(.static, of: model, ratePoint: ratePoint) {
        append([("the model file's static", fitter.bits(old))], to: &rows, of: corpus)
        if let heldFitter {
          append([("the model file's static", heldFitter.bits(old))], to: &heldRows, of: held.latents)
        }
      }
      var shown: [FittingStep] = []
      for (i, kind) in kinds.enumerated() {
        Progress.show("rate point \(ratePoint): \(kind.name)")
        let fit = fitter.fit(kind)
        fits[i].append(fit)
        // Steps that kinds have in common are shown once.
        let steps = fit.steps.filter { step in !shown.contains { $0.name == step.name && $0.bits == step.bits } }
        shown += steps
        append(steps.map { ($0.name, $0.bits) }, to: &rows, of: corpus)
        if let heldFitter { append([("\(kind.name)", heldFitter.bits(fit))], to: &heldRows, of: held.latents) }
      }
      Progress.clear()
      try printOutput(table(rows + (holdOut == nil ? [] : heldRows)) + "\n")
    }
    guard let output else { return try unreadable.report() }
    let result: [UInt8]
    do { result = try modelFile(modelBytes, replacingEntropyBy: fits, from: ratePoints[0]) } catch {
      throw .inconsistent("the fitted model is not valid: \(error.description)")
    }
    try writeFile(output, result)
    let fitted = try parseModel(result, output)
    for (kind, fit) in zip(kinds, fits) {
      try printOutput("\(kind.name): \(fit.reduce(0) { $0 + $1.size }) bytes\n")
    }
    try printOutput("\(output): \(result.count) bytes, model \(hexadecimal(fitted.id))\n")
    try unreadable.report()
  }

  private static func entropyKinds(_ arguments: Arguments, of model: Model) throws(ToolError) -> [EntropyKind] {
    let fittable = EntropyKind.allCases.filter { $0 != .threshold || !model.roles().contains(.hyperSynthesis) }
    guard let list = arguments.string("entropy") else { return fittable }
    var kinds: [EntropyKind] = []
    for word in list.split(separator: ",") {
      guard let kind = fittable.first(where: { "\($0.name)" == word }), !kinds.contains(kind) else {
        throw .usage("--entropy \(list): a list of \(fittable.map { "\($0.name)" }.joined(separator: ", "))")
      }
      kinds.append(kind)
    }
    return kinds
  }

  /// A line for each step, with what it saves over the first line.
  private static func append(_ steps: [(String, Double)], to rows: inout [[String]], of corpus: LatentCorpus) {
    for (name, bits) in steps {
      let first = rows.count > 1 ? Double(rows[1][1]) ?? 0 : bits / 8000
      rows.append([
        name, fixed(bits / 8000, 3), first > 0 ? fixed(100 * (bits / 8000 / first - 1), 2) + " %" : "",
        fixed(bits / Double(corpus.positions * corpus.channels), 4),
      ])
    }
  }
}
