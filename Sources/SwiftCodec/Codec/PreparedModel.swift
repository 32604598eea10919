// SPDX-License-Identifier: BSD-3-Clause

/// What encoders and decoders prepare once and use for every picture: all of it for rate points, and for the last few
/// positions between them.
package struct PreparedModel {
  /// What one position needs.
  private struct Entry {
    let position: RatePosition
    var programs: [(role: GraphRole, format: PixelFormat, program: NetworkProgram)] = []
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
  /// Bytes of all that is kept, about; beyond the limit everything is forgotten, and made anew where it is asked for.
  private var keptBytes = 0.0
  private static let mostBytes = 0x1p27

  package init(_ model: Model) {
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

  /// What was asked for last of `cost` and `leastPayload`: entropy tables are read anew for them.
  private struct Known {
    let isEncoder: Bool
    let format: PixelFormat
    let kind: EntropyKind
    let position: RatePosition
    let cost: ModelCost
    let least: LeastPayload
  }
  private var known: [Known] = []

  private mutating func known(
    isEncoder: Bool, _ format: PixelFormat, _ kind: EntropyKind, at position: RatePosition
  ) -> Known? {
    let found = known.first {
      $0.isEncoder == isEncoder && $0.format == format && $0.kind == kind && $0.position == position
    }
    if let found { return found }
    let roles = isEncoder ? model.encoderRoles : model.decoderRoles
    guard let cost = model.cost(roles, format, kind, at: position), let least = LeastPayload(model, kind, at: position)
    else { return nil }
    if known.count == 16 { known.removeFirst() }
    let new = Known(isEncoder: isEncoder, format: format, kind: kind, position: position, cost: cost, least: least)
    known.append(new)
    return new
  }

  /// nil if the model has no such entropy model.
  mutating func cost(
    isEncoder: Bool = false, _ format: PixelFormat, _ kind: EntropyKind, at position: RatePosition
  ) -> ModelCost? {
    known(isEncoder: isEncoder, format, kind, at: position)?.cost
  }

  /// nil if the model has no such entropy model.
  mutating func leastPayload(_ format: PixelFormat, _ kind: EntropyKind, at position: RatePosition) -> LeastPayload? {
    known(isEncoder: false, format, kind, at: position)?.least
  }

  private mutating func makeRoom(_ bytes: Double) {
    if keptBytes > 0, keptBytes + bytes > Self.mostBytes {
      let cpu = cpu
      self = PreparedModel(model)
      self.cpu = cpu
    }
    keptBytes += bytes
  }

  /// The index of the position's entry, which is made if it is not there. Valid until the next call.
  private mutating func entry(_ position: RatePosition) -> Int {
    if let i = entries.firstIndex(where: { $0.position == position }) {
      if position.fraction == 0 { return i }
      entries.append(entries.remove(at: i))
      return entries.count - 1
    }
    let entry = Entry(
      position: position, codecs: [SegmentCodec?](repeating: nil, count: model.entropyModels.count))
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

  /// The model must have the role, and networks that code pictures of the format.
  package mutating func program(
    _ role: GraphRole, _ format: PixelFormat = .rgb, at position: RatePosition, cpu: CPU
  ) -> NetworkProgram {
    use(cpu)
    let format = role.hasFormats ? model.networkFormat(format) : .rgb
    guard let graph = model.graph(role, format) else { preconditionFailure("the model has no such network") }
    let programs = entries[entry(position)].programs
    if let known = programs.first(where: { $0.role == role && $0.format == format }) { return known.program }
    makeRoom(GraphCost(graph, model.weights, at: position).preparedBytes)
    let program = NetworkProgram(graph, of: model.weights, at: position, cpu: cpu)
    entries[entry(position)].programs.append((role, format, program))
    return program
  }

  package mutating func program(
    _ role: GraphRole, _ format: PixelFormat = .rgb, ratePoint: Int, cpu: CPU
  ) -> NetworkProgram {
    program(role, format, at: RatePosition(ratePoint: ratePoint), cpu: cpu)
  }

  /// nil if the model has no such entropy model.
  mutating func segmentCodec(_ kind: EntropyKind, at position: RatePosition, cpu: CPU) -> SegmentCodec? {
    use(cpu)
    guard let i = model.entropyModels.firstIndex(where: { $0.kind == kind }) else { return nil }
    if let codec = entries[entry(position)].codecs[i] { return codec }
    let entropy = model.entropyModels[i]
    makeRoom(ModelCost(model, [], .rgb, entropy, at: position).preparedBytes)
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
        sliceChannels: prior.sliceChannels(model.weights, model.weights.widthPoint(position)),
        latentDivisor: model.latentDivisor, hyperDivisor: model.hyperDivisor,
        q: model.latentExponent)
    }
    let codec = SegmentCodec(coder: coder(&coders[i][table], entropy.tables[table]), hyper: hyper)
    entries[entry(position)].codecs[i] = codec
    return codec
  }

  package mutating func segmentCodec(_ kind: EntropyKind, ratePoint: Int, cpu: CPU) -> SegmentCodec? {
    segmentCodec(kind, at: RatePosition(ratePoint: ratePoint), cpu: cpu)
  }

  /// The quantised hyper-latent, if the model has one; of an inter frame with what its networks read of the frame before.
  mutating func hyperLatent(
    of latent: Latent, at position: RatePosition, reference: ReferenceInputs? = nil, _ execution: Execution
  ) -> Latent? {
    guard model.hyperprior != nil else { return nil }
    let program = program(.hyperAnalysis, at: position, cpu: execution.cpu)
    let layout = latent.layout
    let result = Latent(
      uninitialised: layout.reduced(by: model.hyperDivisor / model.latentDivisor),
      channels: model.hyperChannels(ratePoint: model.weights.widthPoint(position)), execution.pool)
    program.run(
      width: layout.paddedWidth, height: layout.paddedHeight, execution,
      source: { input, y, row in
        if input == 0 { return latent.read(row: y, row) }
        reference?.load(
          program.inputs[input], row: y, row, width: layout.paddedWidth / program.tensors[input].divisor)
      },
      sink: { _, y, row in result.write(row: y, row) })
    return result
  }

  package mutating func hyperLatent(of latent: Latent, ratePoint: Int, _ execution: Execution) -> Latent? {
    hyperLatent(of: latent, at: RatePosition(ratePoint: ratePoint), execution)
  }
}
