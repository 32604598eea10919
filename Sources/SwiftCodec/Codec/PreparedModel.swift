// SPDX-License-Identifier: BSD-3-Clause

/// What encoders and decoders prepare once and use for every picture: all of it for rate points, and for the last few
/// positions between them.
struct PreparedModel {
  /// What one position needs.
  private struct Entry {
    let position: RatePosition
    /// [roles]
    var programs: [NetworkProgram?]
    /// [entropy models]
    var codecs: [SegmentCodec?]
  }

  /// How many positions between rate points are kept.
  static let positionsKept = 4

  let model: Model
  /// Rate points in any order, then positions between them, the last used one at the end.
  private var entries: [Entry] = []
  /// [entropy models][rate points], of the latent and of the hyper-latent.
  private var coders: [[EntropyCoder?]]
  private var hyperCoders: [[EntropyCoder?]]
  private var cpu = CPU.best
  /// The last one used.
  private var search: (program: RDOQProgram, kind: EntropyKind, position: RatePosition)?

  init(_ model: Model) {
    self.model = model
    let none = [EntropyCoder?](repeating: nil, count: model.ratePoints.count)
    coders = model.entropyModels.map { _ in none }
    hyperCoders = coders
  }

  private mutating func use(_ cpu: CPU) {
    if cpu == self.cpu { return }
    self = PreparedModel(model)
    self.cpu = cpu
  }

  /// The index of the position's entry, which is made if it is not there. Valid until the next call.
  private mutating func entry(_ position: RatePosition) -> Int {
    if let i = entries.firstIndex(where: { $0.position == position }) {
      if position.fraction == 0 { return i }
      entries.append(entries.remove(at: i))
      return entries.count - 1
    }
    let entry = Entry(
      position: position, programs: [NetworkProgram?](repeating: nil, count: model.roles.count),
      codecs: [SegmentCodec?](repeating: nil, count: model.entropyModels.count))
    if position.fraction == 0 {
      entries.insert(entry, at: 0)
      return 0
    }
    let between = entries.indices.filter { entries[$0].position.fraction != 0 }
    if between.count == Self.positionsKept { entries.remove(at: between[0]) }
    entries.append(entry)
    return entries.count - 1
  }

  /// The number of positions that are kept.
  var positionCount: Int { entries.count }

  /// The model must have the role.
  mutating func program(_ role: GraphRole, at position: RatePosition, cpu: CPU) -> NetworkProgram {
    use(cpu)
    guard let graph = model.graph(role), let i = model.roles.firstIndex(of: role) else {
      preconditionFailure("the model has no such network")
    }
    let entry = entry(position)
    if let program = entries[entry].programs[i] { return program }
    let program = NetworkProgram(graph, of: model, at: position, cpu: cpu)
    entries[entry].programs[i] = program
    return program
  }

  mutating func program(_ role: GraphRole, ratePoint: Int, cpu: CPU) -> NetworkProgram {
    program(role, at: RatePosition(ratePoint: ratePoint), cpu: cpu)
  }

  /// nil if the model has no such entropy model.
  mutating func segmentCodec(_ kind: EntropyKind, at position: RatePosition, cpu: CPU) -> SegmentCodec? {
    use(cpu)
    guard let i = model.entropyModels.firstIndex(where: { $0.kind == kind }) else { return nil }
    if let codec = entries[entry(position)].codecs[i] { return codec }
    let entropy = model.entropyModels[i]
    let table = model.tablePoint(position)
    func coder(_ kept: inout EntropyCoder?, _ table: EntropyTable) -> EntropyCoder {
      if let kept { return kept }
      let coder = EntropyCoder(table, entropy.magnitude, cpu: cpu)
      kept = coder
      return coder
    }
    var hyper: SegmentCodec.HyperPrograms?
    if let prior = model.hyperprior {
      hyper = SegmentCodec.HyperPrograms(
        coder: coder(&hyperCoders[i][table], entropy.hyperTables[table]),
        synthesis: program(.hyperSynthesis, at: position, cpu: cpu),
        slices: prior.slices.indices.map { program(.slice($0), at: position, cpu: cpu) },
        sliceChannels: prior.sliceChannels, latentLevel: model.latentLevel, hyperLevel: model.paddingLevel,
        q: model.latentExponent)
    }
    let codec = SegmentCodec(coder: coder(&coders[i][table], entropy.tables[table]), hyper: hyper)
    entries[entry(position)].codecs[i] = codec
    return codec
  }

  /// Searches for a latent that is cheaper with this kind of entropy model, and changes the latent in place. `lambda` is nil
  /// for the position's. nil if no search is asked for.
  mutating func optimise(
    _ latent: Latent, _ hyperLatent: Latent?, _ kind: EntropyKind, of picture: Picture, at position: RatePosition,
    _ rdoq: RDOQ, lambda: Double?, _ execution: Execution, progress: ((RDOQPass) -> Void)?
  ) -> RDOQReport? {
    use(execution.cpu)
    guard rdoq != .off, let entropy = model.entropyModels.first(where: { $0.kind == kind }) else { return nil }
    let table = entropy.tables[model.tablePoint(position)]
    let codec = segmentCodec(kind, at: position, cpu: execution.cpu)
    if search == nil || search!.kind != kind || search!.position != position {
      let program = RDOQProgram(
        model, program(.synthesis, at: position, cpu: execution.cpu), slices: codec?.hyper?.slices ?? [],
        at: position, table, entropy.magnitude)
      search = (program, kind, position)
    }
    let lambda = lambda ?? model.lambda(at: position)
    let macPerPixel = model.decoderMACPerPixel(at: position)
    if let hyperLatent, let codec {
      return search!.program.optimise(
        latent, hyperLatent: hyperLatent, codec, of: picture, lambda: lambda,
        rdoq.priorEffort(macPerPixel: macPerPixel), execution, progress: progress)
    }
    return search!.program.optimise(
      latent, of: picture, lambda: lambda,
      rdoq.effort(macPerPixel: macPerPixel, hasContexts: table.channels.contains { $0.cdf.count > 1 }), execution,
      progress: progress)
  }

  mutating func segmentCodec(_ kind: EntropyKind, ratePoint: Int, cpu: CPU) -> SegmentCodec? {
    segmentCodec(kind, at: RatePosition(ratePoint: ratePoint), cpu: cpu)
  }

  /// The quantised hyper-latent, if the model has one.
  mutating func hyperLatent(of latent: Latent, at position: RatePosition, _ execution: Execution) -> Latent? {
    guard model.hyperprior != nil else { return nil }
    let program = program(.hyperAnalysis, at: position, cpu: execution.cpu)
    let layout = latent.layout
    let result = Latent(
      layout: layout.reduced(by: model.paddingLevel - model.latentLevel), channels: model.hyperChannels)
    program.run(
      width: layout.paddedWidth, height: layout.paddedHeight, execution,
      source: { _, y, row in latent.read(row: y, row) }, sink: { y, row in result.write(row: y, row) })
    return result
  }

  mutating func hyperLatent(of latent: Latent, ratePoint: Int, _ execution: Execution) -> Latent? {
    hyperLatent(of: latent, at: RatePosition(ratePoint: ratePoint), execution)
  }
}
