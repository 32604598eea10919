// SPDX-License-Identifier: BSD-3-Clause

/// Makes model files with random graphs that obey model.md: every operation, odd and even kernels, borders, strides,
/// activations, width classes, exponents, and weights from tiny to as large as the overflow rule allows.
struct RandomGraph {
  var random: SplitMix
  var file = ModelFileWriter()
  /// All divisors divide it.
  let unit: Int

  /// Resolutions of strides from 2 to 4, alone and together.
  static let units = [2, 3, 4, 6, 8, 9, 12, 16, 18, 24]

  init(seed: UInt64) {
    random = SplitMix(seed)
    unit = random.pick(Self.units)
    file.ratePoints = random.int(1...3)
    let classes = random.int(0...2)
    file.widths = (0..<file.ratePoints).map { _ in (0..<classes).map { _ in random.int(1...12) } }
    let latent = makeGraph(
      role: 0, inputs: [(.rgb, Self.plane(3, 1))],
      targets: [
        Target(.latent, divisor: anyDivisor(from: 2), channels: random.int(1...10), anyClass: true, q: 0...0)
      ])[0]
    _ = makeGraph(
      role: 1, inputs: [(.decodedLatent, Self.decoded(latent))],
      targets: [Target(.rgb, divisor: 1, channels: 3, q: 0...7)])
    file.entropy = [
      ModelFileWriter.flatEntropy(channels: (0..<file.ratePoints).map { file.width(latent, $0) })
    ]
  }

  /// With a hyperprior: hyper-analysis, hyper-synthesis and one to three slices.
  init(hyperpriorSeed seed: UInt64) {
    random = SplitMix(seed)
    let divisor = random.pick([2, 3, 4, 6])
    unit = divisor * random.pick([1, 2, 4])
    file.ratePoints = random.int(1...2)
    file.widths = (0..<file.ratePoints).map { _ in [] }
    let slices = (0..<random.int(1...3)).map { _ in random.int(1...4) }
    let q = random.int(0...8)
    let y = makeGraph(
      role: 0, inputs: [(.rgb, Self.plane(3, 1))],
      targets: [Target(.latent, divisor: divisor, channels: slices.reduce(0, +), q: q...q)])[0]
    let z = makeGraph(
      role: 2, inputs: [(.latent, y)],
      targets: [Target(.hyperLatent, divisor: unit, channels: random.int(1...5), q: 0...0)])[0]
    let h = makeGraph(
      role: 3, inputs: [(.hyperLatent, Self.decoded(z))],
      targets: [Target(.features, divisor: divisor, channels: random.int(1...6), q: -3...9)])[0]
    for (i, channels) in slices.enumerated() {
      var before = Self.decoded(y)
      before.channels = slices[..<i].reduce(0, +)
      _ = makeGraph(
        role: 16 + i, inputs: i == 0 ? [(.features, h)] : [(.features, h), (.earlierSlices, before)],
        targets: [Target(.parameters, divisor: divisor, channels: 2 * channels, q: q...q)])
    }
    _ = makeGraph(
      role: 1, inputs: [(.decodedLatent, Self.decoded(y))],
      targets: [Target(.rgb, divisor: 1, channels: 3, q: 0...7)])
    let points = [Int](repeating: 0, count: file.ratePoints)
    file.entropy = [
      ModelFileWriter.flatEntropy(channels: points.map { _ in z.channels } + points.map { _ in y.channels })
    ]
  }

  /// For video: several pixel formats, contexts, states and a hyperprior, and everywhere some of the inputs that a reference
  /// frame gives. Graphs have outputs of several resolutions.
  init(interSeed seed: UInt64) {
    random = SplitMix(seed)
    let divisor = random.pick([2, 3, 4, 6])
    unit = divisor % 2 == 0 ? divisor * random.pick([1, 2]) : 2 * divisor
    file.ratePoints = random.int(1...2)
    file.widths = (0..<file.ratePoints).map { _ in [] }
    let q = random.int(0...8)
    let latent = ModelFileWriter.Tensor(
      channels: random.int(2...5), bits: random.int(9...15), q: q, divisor: divisor)
    var reference: [(name: ModelFileWriter.Name, tensor: ModelFileWriter.Tensor)] = [
      (.predictedLuma, Self.plane(1, 1)), (.predictedChroma, Self.plane(2, 2)),
      (.referenceLatent, Self.decoded(latent)),
    ]
    let states = (0..<random.int(1...2)).map { i in
      ModelFileWriter.Tensor(
        channels: random.int(1...4), bits: random.int(8...15), q: random.int(0...8), divisor: anyDivisor(from: 1))
    }
    for (i, state) in states.enumerated() { reference.append((.state(i), state)) }
    let contexts = makeGraph(
      role: 4, inputs: reference.shuffled(using: &random),
      targets: (0..<random.int(1...3)).map {
        Target(.context($0), divisor: $0 == 0 ? divisor : anyDivisor(from: 1), channels: random.int(1...4), q: -2...6)
      })
    for (i, context) in contexts.enumerated() { reference.append((.context(i), context)) }
    func some(_ random: inout SplitMix) -> [(name: ModelFileWriter.Name, tensor: ModelFileWriter.Tensor)] {
      let all = reference.shuffled(using: &random)
      return Array(all.prefix(random.int(0...4)))
    }
    let planes: [[(name: ModelFileWriter.Name, tensor: ModelFileWriter.Tensor)]] = [
      [(.rgb, Self.plane(3, 1))], [(.luma, Self.plane(1, 1))],
      [(.luma, Self.plane(1, 1)), (.chroma, Self.plane(2, 2))],
    ]
    for format in [0, 1, 2].shuffled(using: &random).prefix(2) {
      _ = makeGraph(
        role: 0, format: format, inputs: planes[format] + some(&random),
        targets: [Target(.latent, exactly: latent)])
      _ = makeGraph(
        role: 1, format: format, inputs: [(.decodedLatent, Self.decoded(latent))] + some(&random),
        targets: planes[format].map {
          Target($0.name, divisor: $0.tensor.divisor, channels: $0.tensor.channels, q: 0...7)
        } + states.enumerated().map { Target(.state($0), exactly: $1) })
    }
    let z = makeGraph(
      role: 2, inputs: [(.latent, latent)],
      targets: [Target(.hyperLatent, divisor: divisor, channels: random.int(1...5), q: 0...0)])[0]
    // The planes' resolutions may not divide that of segments.
    reference.removeFirst(2)
    reference.removeAll { 8 * divisor % $0.tensor.divisor != 0 || $0.name.name == 3 || $0.name.name == 4 }
    let h = makeGraph(
      role: 3, inputs: [(.hyperLatent, Self.decoded(z))] + some(&random),
      targets: [Target(.features, divisor: divisor, channels: random.int(1...6), q: -3...9)])[0]
    _ = makeGraph(
      role: 16, inputs: [(.features, h)] + some(&random),
      targets: [Target(.parameters, divisor: divisor, channels: 2 * latent.channels, q: q...q)])
    let points = [Int](repeating: 0, count: file.ratePoints)
    file.entropy = [
      ModelFileWriter.flatEntropy(channels: points.map { _ in z.channels } + points.map { _ in latent.channels })
    ]
  }

  private static func plane(_ channels: Int, _ divisor: Int) -> ModelFileWriter.Tensor {
    ModelFileWriter.Tensor(channels: channels, bits: 8, q: 0, divisor: divisor)
  }

  private static func decoded(_ latent: ModelFileWriter.Tensor) -> ModelFileWriter.Tensor {
    var decoded = latent
    decoded.bits = 15
    return decoded
  }

  /// A divisor that divides the unit.
  private mutating func anyDivisor(from least: Int) -> Int {
    random.pick((least...unit).filter { unit % $0 == 0 })
  }

  /// What a graph's output must be.
  struct Target {
    var name: ModelFileWriter.Name
    var divisor: Int
    var channels: Int
    var anyClass = false
    var q: ClosedRange<Int>
    var bits: Int?

    init(
      _ name: ModelFileWriter.Name = .rgb, divisor: Int, channels: Int, anyClass: Bool = false, q: ClosedRange<Int>
    ) {
      self.name = name
      self.divisor = divisor
      self.channels = channels
      self.anyClass = anyClass
      self.q = q
    }

    init(_ name: ModelFileWriter.Name, exactly tensor: ModelFileWriter.Tensor) {
      self.init(name, divisor: tensor.divisor, channels: tensor.channels, q: tensor.q...tensor.q)
      bits = tensor.bits
    }
  }

  private mutating func makeGraph(
    role: Int, format: Int = 0, inputs: [(name: ModelFileWriter.Name, tensor: ModelFileWriter.Tensor)],
    targets: [Target]
  ) -> [ModelFileWriter.Tensor] {
    var graph = ModelFileWriter.Graph(role: role, format: format, inputs: inputs)
    let layers = random.int(1...10)
    var attempts = 0
    while graph.layers.count < layers, attempts < 100 {
      addLayer(&graph)
      attempts += 1
    }
    for (i, target) in targets.enumerated() {
      // Outputs may be what other layers see.
      if i > 0 {
        for _ in 0..<random.below(3) { addLayer(&graph) }
      }
      // From a random tensor to the output: up by what its divisor has too much, then down.
      var at = random.int(0...graph.tensorCount - 1)
      while target.divisor % graph.tensor(at).divisor != 0 {
        let steps = [4, 3, 2].filter { graph.tensor(at).divisor % $0 == 0 }
        at = convolve(&graph, at, kind: 1, stride: random.pick(steps))
      }
      while target.divisor != graph.tensor(at).divisor {
        let steps = [4, 3, 2].filter { target.divisor / graph.tensor(at).divisor % $0 == 0 }
        at = convolve(&graph, at, kind: 0, stride: random.pick(steps))
      }
      let last = convolve(&graph, at, kind: 0, stride: 1, target: target)
      graph.outputs.append((target.name, last))
    }
    file.graphs.append(graph)
    return graph.outputs.indices.map { graph.tensor(graph.outputTensor($0)) }
  }

  private mutating func shape(anyClass: Bool, channels: Int? = nil) -> (channels: Int, widthClass: Int) {
    let classes = file.widths[0].count
    if anyClass, classes > 0, random.below(2) == 0 {
      let widthClass = random.below(classes)
      let most = file.widths.map { $0[widthClass] }.max() ?? 1
      return (most + random.below(4), widthClass)
    }
    return (channels ?? random.pick([1, 2, 3, 4, 4, 5, 8, 16, 17]), 255)
  }

  private mutating func addLayer(_ graph: inout ModelFileWriter.Graph) {
    let at = random.int(0...graph.tensorCount - 1)
    let tensor = graph.tensor(at)
    switch random.below(11) {
    case 0, 1: _ = convolve(&graph, at, kind: 0, stride: anyStride(tensor))
    case 2: _ = convolve(&graph, at, kind: 1, stride: random.int(2...4))
    case 3: _ = convolve(&graph, at, kind: 2, stride: anyStride(tensor))
    case 4, 5: scale(&graph, at)
    case 6:
      let partners = (0..<graph.tensorCount).filter {
        let other = graph.tensor($0)
        return other.channels == tensor.channels && other.widthClass == tensor.widthClass
          && other.divisor == tensor.divisor
          && abs(other.q - tensor.q) <= 15
      }
      let other = random.pick(partners)
      var output = tensor
      output.q = min(tensor.q, graph.tensor(other).q)
      output.bits = random.int(1...15)
      _ = graph.append(
        .init(name: "add", operation: .add, inputs: [at, other], activation: random.below(2), output: output))
    case 7:
      let partners = (0..<graph.tensorCount).filter {
        let other = graph.tensor($0)
        return other.widthClass == 255 && other.divisor == tensor.divisor && abs(other.q - tensor.q) <= 7
      }
      if tensor.widthClass != 255 { return }
      let inputs = [at] + (0..<random.int(1...3)).map { _ in random.pick(partners) }
      var output = tensor
      output.channels = inputs.reduce(0) { $0 + graph.tensor($1).channels }
      output.q = inputs.map { graph.tensor($0).q }.min() ?? 0
      output.bits = random.int(1...15)
      if output.channels <= 70 {
        _ = graph.append(.init(name: "concat", operation: .concatenation, inputs: inputs, output: output))
      }
    case 8:
      guard 0...12 ~= tensor.q else { return }
      var output = tensor
      output.q = 16 + 2 * tensor.q - random.int(max(1, 2 * tensor.q)...min(44, 2 * tensor.q + 20))
      output.bits = random.int(4...15)
      _ = graph.append(.init(name: "swish", operation: .hardSwish, inputs: [at], output: output))
    case 9:
      let factor = random.int(2...8)
      if tensor.widthClass == 255, tensor.channels % (factor * factor) == 0, tensor.divisor % factor == 0 {
        var output = tensor
        output.channels /= factor * factor
        output.divisor /= factor
        _ = graph.append(.init(name: "shuffle", operation: .shuffle(factor), inputs: [at], output: output))
      } else if let factor = [3, 2].first(where: { tensor.divisor % $0 == 0 }) {
        // One that can be shuffled next.
        let target = Target(
          divisor: tensor.divisor, channels: factor * factor * random.int(1...3), q: -3...7)
        _ = convolve(&graph, at, kind: 0, stride: 1, target: target)
      }
    default:
      let factor = random.int(2...8)
      if tensor.widthClass == 255, tensor.channels * factor * factor <= 200, unit % (tensor.divisor * factor) == 0 {
        var output = tensor
        output.channels *= factor * factor
        output.divisor *= factor
        _ = graph.append(.init(name: "unshuffle", operation: .unshuffle(factor), inputs: [at], output: output))
      }
    }
  }

  private mutating func anyStride(_ tensor: ModelFileWriter.Tensor) -> Int {
    random.pick([1, 1, 2, 3, 4].filter { unit % (tensor.divisor * $0) == 0 })
  }

  private mutating func activation() -> (Int, Int) {
    let kind = random.below(3)
    return (kind, kind == 2 ? random.pick([1, 1, 2, 3, 5, 9, 15]) : 0)
  }

  /// Weights of one output channel, its bias and its shift, within the overflow rule.
  private mutating func channel(taps: Int, inputBits: Int, outputBits: Int, slope: Int) -> (
    weights: [Int16], bias: Int32, shift: Int
  ) {
    let kind = random.below(5)
    var weights = (0..<taps).map { _ -> Int in
      switch kind {
      case 0: random.int(-32768...32767)
      case 1: random.int(-100...100)
      case 2: random.below(4) == 0 ? random.int(-3000...3000) : 0
      case 3: random.pick([-32768, 32767])
      default: random.int(-4...4)
      }
    }
    // Half of the room for the weights, a quarter for the bias.
    let room = 1 << (30 - inputBits)
    var sum = weights.reduce(0) { $0 + abs($1) }
    if sum > room {
      weights = weights.map { $0 * room / sum }
      sum = weights.reduce(0) { $0 + abs($1) }
    }
    let peak = sum << inputBits
    let biasLimit = min(1 << 29, max(8, peak / 4))
    // About as large as the output can hold; smaller and larger, too.
    let bits = Int.bitWidth - (peak + 1).leadingZeroBitCount
    let shift = min(max(1, bits - outputBits - 2 + random.int(-3...3)), min(28, 30 - slope))
    return (weights.map { Int16($0) }, Int32(random.int(-biasLimit...biasLimit)), shift)
  }

  /// kind 0 convolution, 1 transposed, 2 depthwise. Returns the new tensor.
  private mutating func convolve(
    _ graph: inout ModelFileWriter.Graph, _ at: Int, kind: Int, stride: Int, target: Target? = nil
  ) -> Int {
    let input = graph.tensor(at)
    if kind == 1, input.divisor % stride != 0 { return convolve(&graph, at, kind: 0, stride: 1, target: target) }
    let (channels, widthClass) =
      kind == 2
      ? (input.channels, input.widthClass) : shape(anyClass: target?.anyClass ?? true, channels: target?.channels)
    let (kh, kw) = (random.pick([1, 2, 3, 3, 4, 5, 6, 7]), random.pick([1, 2, 3, 3, 4, 5, 6, 7]))
    let (activation, slope) = self.activation()
    let bits = target?.bits ?? random.int(4...15)
    let taps = kh * kw * (kind == 2 ? 1 : input.channels)
    var weights: [Int16] = []
    var biases: [Int32] = []
    var shifts: [Int] = []
    for _ in 0..<channels {
      let made = channel(taps: taps, inputBits: input.bits, outputBits: bits, slope: slope)
      weights += made.weights
      biases.append(made.bias)
      shifts.append(made.shift)
    }
    let range = target?.q ?? -5...20
    let q = random.int(range)
    // A modulated layer has another scale, bias and shift at every rate point.
    var modulation: [Int16] = []
    var rows = [channels]
    if random.below(3) == 0 {
      rows = [file.ratePoints, channels]
      for k in 0..<file.ratePoints {
        for o in 0..<channels {
          modulation.append(Int16(random.pick([16384, -16384, 0, random.int(-16384...16384)])))
          if k > 0 {
            biases.append(biases[o] / Int32(k + 1))
            shifts.append(min(max(1, shifts[o] + random.int(-1...1)), min(28, 30 - slope)))
          }
        }
      }
    }
    // exponent = shift − q(input) + q
    let exponents = shifts.map { Int8($0 - input.q + q) }
    let kernel = ModelFileWriter.Kernel(
      kh: kh, kw: kw, stride: stride, border: random.below(2),
      weights: file.array(kind == 2 ? [channels, kh, kw] : [channels, kh, kw, input.channels], .i16(weights)),
      exponents: file.array(rows, .i8(exponents)), bias: file.array(rows, .i32(biases)),
      modulation: modulation.isEmpty ? nil : file.array(rows, .i16(modulation)))
    let divisor = kind == 1 ? input.divisor / stride : input.divisor * stride
    let output = ModelFileWriter.Tensor(channels: channels, widthClass: widthClass, bits: bits, q: q, divisor: divisor)
    return graph.append(
      .init(
        name: "layer \(graph.layers.count)",
        operation: kind == 0 ? .convolution(kernel) : kind == 1 ? .transposed(kernel) : .depthwise(kernel),
        inputs: [at], activation: activation, slope: slope, output: output))
  }

  private mutating func scale(_ graph: inout ModelFileWriter.Graph, _ at: Int) {
    let input = graph.tensor(at)
    let (activation, slope) = self.activation()
    var output = input
    output.bits = random.int(4...15)
    output.q = random.int(-5...20)
    var gains: [Int16] = []
    var shifts: [UInt8] = []
    for _ in 0..<(file.ratePoints * input.channels) {
      let made = channel(taps: 1, inputBits: input.bits, outputBits: output.bits, slope: slope)
      gains.append(made.weights[0])
      shifts.append(UInt8(made.shift))
    }
    let shape = [file.ratePoints, input.channels]
    let gain = file.array(shape, .i16(gains))
    let shift = file.array(shape, .u8(shifts))
    _ = graph.append(
      .init(
        name: "scale", operation: .gain(gain: gain, shift: shift), inputs: [at], activation: activation, slope: slope,
        output: output))
  }
}
