// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// What the networks and an entropy model cost at a rate position, from their description alone: see `GraphCost`.
struct ModelCost {
  /// Work, and bytes that stay, of making them ready.
  private(set) var preparation = 0.0
  private(set) var preparedBytes = 0.0
  /// Multiply-adds for a pixel of the padded picture.
  private(set) var macPerPixel = 0.0
  private var graphs: [GraphCost] = []
  /// Work for a place of the latent and of the hyper-latent.
  private var latentWork = 0.0
  private var hyperLatentWork = 0.0

  init(_ model: Model, _ roles: [GraphRole], _ format: PixelFormat, _ entropy: EntropyModel, at position: RatePosition)
  {
    for role in roles {
      guard let graph = model.graph(role, role.hasFormats ? model.networkFormat(format) : .rgb) else { continue }
      let cost = GraphCost(graph, model.weights, at: position)
      graphs.append(cost)
      preparation += cost.preparation
      preparedBytes += cost.preparedBytes
      macPerPixel += cost.macPerPixel
    }
    let point = model.tablePoint(position)
    latentWork = add(entropy.tables[point])
    if model.hyperprior != nil { hyperLatentWork = add(entropy.hyperTables[point]) }
  }

  /// An entropy coder's table: work for a place of all its channels.
  private mutating func add(_ table: EntropyTable) -> Double {
    var place = 0.0
    let symbols = table.cdfs.reduce(0) { $0 + $1.frequencies.count }
    let cdfs = Double(table.cdfs.count)
    // Symbols, and tables that find them: fine ones if these take at most a megabyte together.
    preparedBytes += 8 * Double(symbols)
    preparedBytes += min(1152 * cdfs, max(2e6, 192 * cdfs))
    for channel in table.channels {
      let sources = channel.sources.count + (channel.mean?.sources.count ?? 0)
      place += 512 + 64 * Double(sources)
      preparedBytes += 8 * Double(channel.cdf.count) + 32 * Double(sources) + 64
      if channel.levels > 1 || channel.mean != nil {
        preparedBytes += 2304
        preparation += 131072
      }
    }
    preparation += 16 * preparedBytes
    return place
  }

  /// Elements of all tensors of the networks.
  func elements(width: Int, height: Int) -> Double {
    graphs.reduce(0) { $0 + $1.elements(width: width, height: height) }
  }

  /// Of networks and entropy coder over a padded picture or some of its rows. On one lane each symbol waits for the one before:
  /// that takes up to three times as long.
  func work(_ model: Model, width: Int, height: Int, lanes: Int32 = SC_RANS_LANES) -> Double {
    let symbolWork = lanes == 1 ? 3.0 : 1
    var sum = graphs.reduce(0) { $0 + $1.work(width: width, height: height) }
    func places(_ divisor: Int) -> Double { Double(width / divisor + 16) * Double(height / divisor + 8) }
    sum += symbolWork * latentWork * places(model.latentDivisor)
    if model.hyperprior != nil { sum += symbolWork * hyperLatentWork * places(model.hyperDivisor) }
    return sum
  }
}

extension Model {
  /// The networks that a decoder runs, those of the reference frame included.
  var decoderRoles: [GraphRole] {
    let slices = hyperprior?.slices.indices.map { GraphRole.slice($0) } ?? []
    return [.context, .hyperSynthesis, .synthesis] + slices
  }

  /// Elements of what a frame leaves behind for the next one, and of contexts and features.
  func keptElements(_ format: PixelFormat, width: Int, height: Int) -> Double {
    var sum = 0.0
    for role in [GraphRole.context, .hyperSynthesis, .synthesis] {
      guard let graph = graph(role, role.hasFormats ? networkFormat(format) : .rgb) else { continue }
      for port in graph.outputs where port.name == .state || port.name == .context || port.name == .features {
        let tensor = graph.tensors[port.tensor]
        sum += Double(tensor.channels) * Double(width / tensor.divisor) * Double(height / tensor.divisor)
      }
    }
    return sum
  }

  var encoderRoles: [GraphRole] { [.analysis, .hyperAnalysis] + decoderRoles }

  /// nil if the model has no such entropy model.
  func cost(
    _ roles: [GraphRole], _ format: PixelFormat, _ kind: EntropyKind, at position: RatePosition
  ) -> ModelCost? {
    guard let entropy = entropyModels.first(where: { $0.kind.rawValue == kind.rawValue }) else { return nil }
    return ModelCost(self, roles, format, entropy, at: position)
  }
}
