// SPDX-License-Identifier: BSD-3-Clause

/// The networks that give the latent's probabilities.
struct Hyperprior: Sendable {
  let analysis: Graph
  let synthesis: Graph
  let slices: [Graph]

  /// Latent channels of each slice at a rate point.
  func sliceChannels(_ weights: Weights, _ ratePoint: Int) -> [Int] {
    slices.map { weights.width($0.outputInfo, ratePoint) / 2 }
  }
}

/// The graphs of a model, found to fit each other.
struct Networks: Sendable {
  /// In the order of the file.
  let graphs: [Graph]
  /// The pixel formats that have both an analysis and a synthesis, in the order of their raw values; at least one.
  let formats: [PixelFormat]
  let hyperprior: Hyperprior?
  /// What all analyses give.
  let latent: TensorInfo
  /// Whether any graph reads what comes from a reference frame.
  let isInter: Bool

  /// Whether any graph reads a motion-compensated frame.
  var readsMotion: Bool {
    graphs.contains { $0.inputs.contains { $0.name == .predictedLuma || $0.name == .predictedChroma } }
  }

  /// Pictures are padded to whole multiples of the least common multiple of all divisors, which is at most this.
  static let maximumPaddingUnit = 1024

  /// nil for a network that the model does not have. Only analysis and synthesis depend on the format.
  func graph(_ role: GraphRole, _ format: PixelFormat) -> Graph? {
    Self.graph(graphs, role, format)
  }

  private static func graph(_ graphs: [Graph], _ role: GraphRole, _ format: PixelFormat) -> Graph? {
    graphs.first { $0.role == role && (!role.hasFormats || $0.format == format) }
  }

  /// Pictures of a format are padded to whole multiples of this.
  func paddingUnit(_ format: PixelFormat) -> Int {
    var unit = 1
    for graph in graphs where !graph.role.hasFormats || graph.format == format {
      for tensor in graph.tensors { unit = min(leastCommonMultiple(unit, tensor.divisor), 1 << 14) }
    }
    return unit
  }

  /// None, for a model that is refused.
  init() {
    (graphs, formats, hyperprior, isInter) = ([], [], nil, false)
    latent = TensorInfo(channels: 1, widthClass: nil, bits: 1, q: 0, divisor: 1)
  }

  /// Of graphs that differ in role or format: checks what the roles ask of inputs and outputs (docs/format/model.md).
  init(_ graphs: [Graph], _ weights: Weights) throws(ModelError) {
    let place = ModelLocation(section: "GRPH", item: "")
    let formats = PixelFormat.allCases.filter {
      Self.graph(graphs, .analysis, $0) != nil && Self.graph(graphs, .synthesis, $0) != nil
    }
    guard let first = formats.first, let analysis = Self.graph(graphs, .analysis, first) else {
      throw .section(place, "an analysis and a synthesis graph of the same format are needed")
    }
    let checks = RoleChecks(graphs, latent: analysis.outputInfo)
    for graph in graphs {
      switch graph.role {
      case .analysis: try checks.analysis(graph)
      case .synthesis: try checks.synthesis(graph)
      case .context: try checks.context(graph)
      case .hyperAnalysis, .hyperSynthesis, .slice: break
      }
    }
    self.graphs = graphs
    self.formats = formats
    latent = analysis.outputInfo
    hyperprior = try checks.hyperprior(weights)
    if hyperprior == nil, latent.q != 0 { throw .shape(place, "without a hyperprior the latent's q is 0") }
    isInter = graphs.contains { $0.inputs.contains { $0.name.isOfReference } }
    for format in PixelFormat.allCases {
      let unit = paddingUnit(format)
      guard unit <= Self.maximumPaddingUnit else {
        throw .value(
          place, field: "least common multiple of the divisors", value: unit, valid: 1...Self.maximumPaddingUnit)
      }
    }
  }
}

/// What each role asks of its graph's inputs and outputs.
private struct RoleChecks {
  let graphs: [Graph]
  let latent: TensorInfo

  init(_ graphs: [Graph], latent: TensorInfo) {
    self.graphs = graphs
    self.latent = latent
  }

  private func graph(_ role: GraphRole) -> Graph? { graphs.first { $0.role == role } }

  private func place(_ graph: Graph) -> ModelLocation {
    ModelLocation(section: "GRPH", item: graph.name + " graph")
  }

  /// Planes of a format, as inputs: bits 8, q 0.
  private static func planes(_ format: PixelFormat) -> [(name: TensorName, info: TensorInfo)] {
    func plane(_ channels: Int, _ divisor: Int) -> TensorInfo {
      TensorInfo(channels: channels, widthClass: nil, bits: 8, q: 0, divisor: divisor)
    }
    return switch format {
    case .rgb: [(.rgb, plane(3, 1))]
    case .grey: [(.luma, plane(1, 1))]
    case .yuv420: [(.luma, plane(1, 1)), (.chroma, plane(2, 2))]
    }
  }

  private static func decoded(_ info: TensorInfo) -> TensorInfo {
    TensorInfo(channels: info.channels, widthClass: info.widthClass, bits: 15, q: info.q, divisor: info.divisor)
  }

  /// The first inputs are these; behind them may stand any of `extras`.
  private func checkInputs(
    _ graph: Graph, _ first: [(name: TensorName, info: TensorInfo)], extras: [TensorName], _ what: StaticString
  ) throws(ModelError) {
    guard graph.inputs.count >= first.count else { throw .shape(place(graph), what) }
    for (i, wanted) in first.enumerated() {
      guard graph.inputs[i].name == wanted.name, graph.tensors[i] == wanted.info else {
        throw .shape(place(graph), what)
      }
    }
    for port in graph.inputs[first.count...] {
      guard extras.contains(port.name) else { throw .shape(place(graph), what) }
      guard graph.tensors[port.tensor] == (try reference(port, graph)) else {
        throw .shape(place(graph), "an input from the reference frame has not the shape that its name stands for")
      }
    }
  }

  /// The shape of an input that comes from a reference frame.
  private func reference(_ port: Port, _ graph: Graph) throws(ModelError) -> TensorInfo {
    switch port.name {
    case .predictedLuma: return Self.planes(.grey)[0].info
    case .predictedChroma: return Self.planes(.yuv420)[1].info
    case .referenceLatent: return Self.decoded(latent)
    case .context:
      guard let context = self.graph(.context),
        let output = context.outputs.first(where: { $0.name == .context && $0.index == port.index })
      else { throw .shape(place(graph), "reads a context that no network makes") }
      return context.tensors[output.tensor]
    case .state:
      // Every synthesis makes the same states, so that any may decode the reference.
      var found: TensorInfo?
      for synthesis in graphs where synthesis.role == .synthesis {
        guard let output = synthesis.outputs.first(where: { $0.name == .state && $0.index == port.index }) else {
          throw .shape(place(graph), "reads a state that not every synthesis makes")
        }
        let info = synthesis.tensors[output.tensor]
        guard found == nil || found == info else { throw .shape(place(graph), "states of different shapes") }
        found = info
      }
      if let found { return found }
      throw .shape(place(graph), "reads a state that not every synthesis makes")
    default: preconditionFailure("not from a reference frame")
    }
  }

  /// The only output.
  private func checkOutput(_ graph: Graph, _ name: TensorName, _ what: StaticString) throws(ModelError) -> TensorInfo {
    guard graph.outputs.count == 1, graph.outputs[0].name == name else { throw .shape(place(graph), what) }
    return graph.outputInfo
  }

  private static let references: [TensorName] = [
    .predictedLuma, .predictedChroma, .referenceLatent, .state, .context,
  ]

  func analysis(_ graph: Graph) throws(ModelError) {
    try checkInputs(
      graph, Self.planes(graph.format), extras: Self.references,
      "analysis takes one picture: the planes of its format with bits 8 and q 0, then what comes from a reference")
    let output = try checkOutput(graph, .latent, "analysis gives the latent")
    guard output == latent else { throw .shape(place(graph), "all analyses give latents of the same shape and range") }
  }

  func synthesis(_ graph: Graph) throws(ModelError) {
    try checkInputs(
      graph, [(.decodedLatent, Self.decoded(latent))], extras: Self.references,
      "synthesis takes the latent that analysis gives, with bits 15, then what comes from a reference")
    let planes = Self.planes(graph.format)
    let what: StaticString =
      "synthesis gives the planes of its format with q 0…7 (rgb: 3 channels), then states 0, 1, … of class 255"
    guard graph.outputs.count >= planes.count else { throw .shape(place(graph), what) }
    for (port, plane) in zip(graph.outputs, planes) {
      let info = graph.tensors[port.tensor]
      guard port.name == plane.name, info.channels == plane.info.channels, info.widthClass == nil,
        info.divisor == plane.info.divisor, 0...7 ~= info.q
      else { throw .shape(place(graph), what) }
    }
    for (i, port) in graph.outputs[planes.count...].enumerated() {
      guard port.name == .state, port.index == i, graph.tensors[port.tensor].widthClass == nil else {
        throw .shape(place(graph), what)
      }
    }
  }

  func context(_ graph: Graph) throws(ModelError) {
    let what: StaticString = "context takes what comes from a reference and gives contexts"
    try checkInputs(graph, [], extras: [.predictedLuma, .predictedChroma, .referenceLatent, .state], what)
    for (i, port) in graph.outputs.enumerated() where port.name != .context || port.index != i {
      throw .shape(place(graph), what)
    }
  }

  /// nil if the model has none of its graphs.
  func hyperprior(_ weights: Weights) throws(ModelError) -> Hyperprior? {
    let all = ModelLocation(section: "GRPH", item: "")
    var slices: [Graph] = []
    while let slice = graph(.slice(slices.count)) { slices.append(slice) }
    let count = graphs.count { !$0.role.hasFormats && $0.role != .context }
    if count == 0 { return nil }
    guard let analysis = graph(.hyperAnalysis), let synthesis = graph(.hyperSynthesis), !slices.isEmpty,
      count == 2 + slices.count
    else { throw .section(all, "a hyperprior has hyper-analysis, hyper-synthesis and slices from 0 up") }
    guard 0...8 ~= latent.q else { throw .shape(all, "with a hyperprior the latent has q 0…8") }
    let extras: [TensorName] = [.referenceLatent, .state, .context]
    try checkInputs(
      analysis, [(.latent, latent)], extras: extras,
      "hyper-analysis takes the latent that analysis gives, then what comes from a reference")
    let z = try checkOutput(analysis, .hyperLatent, "hyper-analysis gives the hyper-latent")
    // Segments are whole multiples of 8 rows of the latent.
    guard z.q == 0, [1, 2, 4, 8].contains(where: { z.divisor == latent.divisor * $0 }) else {
      throw .shape(
        place(analysis), "the hyper-latent has q 0 and 1, 2, 4 or 8 times the latent's divisor")
    }
    try checkInputs(
      synthesis, [(.hyperLatent, Self.decoded(z))], extras: extras,
      "hyper-synthesis takes the hyper-latent, with bits 15 and q 0, then what comes from a reference")
    let h = try checkOutput(synthesis, .features, "hyper-synthesis gives features")
    guard h.divisor == latent.divisor else { throw .shape(place(synthesis), "features have the latent's divisor") }
    // Channels of the slices before, in all and at each rate point.
    var before = 0
    var widths = weights.ratePoints.map { _ in 0 }
    for (i, slice) in slices.enumerated() {
      var inputs = [(name: TensorName.features, info: h)]
      if i > 0, slice.inputCount > 1 {
        let earlier = TensorInfo(
          channels: before, widthClass: slice.tensors[1].widthClass, bits: 15, q: latent.q, divisor: latent.divisor)
        guard widths.indices.allSatisfy({ weights.width(earlier, $0) == widths[$0] }) else {
          throw .shape(place(slice), "the slices before have other widths")
        }
        inputs.append((.earlierSlices, earlier))
      } else if i > 0 {
        throw .shape(place(slice), "from the second slice on the slices before are an input")
      }
      try checkInputs(
        slice, inputs, extras: extras,
        "the inputs are the features, but for slice 0 the slices before with bits 15, then what comes from a reference")
      let output = try checkOutput(slice, .parameters, "a slice gives parameters")
      guard output.divisor == latent.divisor, output.q == latent.q, output.channels % 2 == 0,
        widths.indices.allSatisfy({ weights.width(output, $0) % 2 == 0 })
      else {
        throw .shape(
          place(slice), "the output has two channels for each of the slice, and the latent's divisor and q")
      }
      before += output.channels / 2
      for k in widths.indices { widths[k] += weights.width(output, k) / 2 }
    }
    guard before == latent.channels, widths.indices.allSatisfy({ widths[$0] == weights.width(latent, $0) }) else {
      throw .shape(all, "the slices' channels are not those of the latent")
    }
    // These run on segments.
    for graph in [synthesis] + slices {
      for tensor in graph.tensors where 8 * latent.divisor % tensor.divisor != 0 {
        throw .shape(place(graph), "a tensor's divisor does not divide the height of segments, 8 rows of the latent")
      }
    }
    return Hyperprior(analysis: analysis, synthesis: synthesis, slices: slices)
  }
}
