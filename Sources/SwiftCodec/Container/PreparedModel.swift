// SPDX-License-Identifier: BSD-3-Clause

/// What encoders and decoders prepare once per rate point and use for every picture.
struct PreparedModel {
  let model: Model
  /// [roles][rate points]
  private var programs: [[NetworkProgram?]]
  /// [entropy models][rate points]
  private var codecs: [[SegmentCodec?]]
  private var cpu = CPU.best

  init(_ model: Model) {
    self.model = model
    let count = model.ratePoints.count
    programs = model.roles.map { _ in [NetworkProgram?](repeating: nil, count: count) }
    codecs = model.entropyModels.map { _ in [SegmentCodec?](repeating: nil, count: count) }
  }

  private mutating func use(_ cpu: CPU) {
    if cpu == self.cpu { return }
    self = PreparedModel(model)
    self.cpu = cpu
  }

  /// The model must have the role.
  mutating func program(_ role: GraphRole, ratePoint: Int, cpu: CPU) -> NetworkProgram {
    use(cpu)
    guard let graph = model.graph(role), let i = model.roles.firstIndex(of: role) else {
      preconditionFailure("the model has no such network")
    }
    if let program = programs[i][ratePoint] { return program }
    let program = NetworkProgram(graph, of: model, ratePoint: ratePoint, cpu: cpu)
    programs[i][ratePoint] = program
    return program
  }

  /// nil if the model has no such entropy model.
  mutating func segmentCodec(_ kind: EntropyKind, ratePoint: Int, cpu: CPU) -> SegmentCodec? {
    use(cpu)
    guard let i = model.entropyModels.firstIndex(where: { $0.kind == kind }) else { return nil }
    if let codec = codecs[i][ratePoint] { return codec }
    let entropy = model.entropyModels[i]
    var hyper: SegmentCodec.HyperPrograms?
    if let prior = model.hyperprior {
      hyper = SegmentCodec.HyperPrograms(
        coder: EntropyCoder(entropy.hyperTables[ratePoint], entropy.magnitude),
        synthesis: program(.hyperSynthesis, ratePoint: ratePoint, cpu: cpu),
        slices: prior.slices.indices.map { program(.slice($0), ratePoint: ratePoint, cpu: cpu) },
        sliceChannels: prior.sliceChannels, latentLevel: model.latentLevel, hyperLevel: model.paddingLevel,
        q: model.latentExponent)
    }
    let codec = SegmentCodec(coder: EntropyCoder(entropy.tables[ratePoint], entropy.magnitude), hyper: hyper)
    codecs[i][ratePoint] = codec
    return codec
  }

  /// The quantised hyper-latent, if the model has one.
  mutating func hyperLatent(of latent: Latent, ratePoint: Int, _ execution: Execution) -> Latent? {
    guard model.hyperprior != nil else { return nil }
    let program = program(.hyperAnalysis, ratePoint: ratePoint, cpu: execution.cpu)
    let layout = latent.layout
    let result = Latent(
      layout: layout.reduced(by: model.paddingLevel - model.latentLevel), channels: model.hyperChannels)
    program.run(
      width: layout.paddedWidth, height: layout.paddedHeight, execution,
      source: { _, y, row in latent.read(row: y, row) }, sink: { y, row in result.write(row: y, row) })
    return result
  }
}
