// SPDX-License-Identifier: BSD-3-Clause

@testable import SwiftCodec

/// Writes model files for tests, from docs/format/model.md alone; it checks nothing, so that it can write wrong ones.
struct ModelFileWriter {
  struct Tensor {
    var channels: Int
    /// 255 for none.
    var widthClass = 255
    var bits: Int
    var q: Int
    var divisor: Int
  }

  /// An input or output: a number of the table of names, and an index.
  struct Name: Equatable {
    var name: Int
    var index = 0

    static let rgb = Name(name: 0)
    static let luma = Name(name: 1)
    static let chroma = Name(name: 2)
    static let predictedLuma = Name(name: 3)
    static let predictedChroma = Name(name: 4)
    static let latent = Name(name: 5)
    static let decodedLatent = Name(name: 6)
    static let hyperLatent = Name(name: 7)
    static let features = Name(name: 8)
    static let earlierSlices = Name(name: 9)
    static let parameters = Name(name: 10)
    static let referenceLatent = Name(name: 11)
    static func state(_ i: Int) -> Name { Name(name: 12, index: i) }
    static func context(_ i: Int) -> Name { Name(name: 13, index: i) }
  }

  enum Operation {
    case convolution(Kernel)
    case transposed(Kernel)
    case depthwise(Kernel)
    case gain(gain: Int, shift: Int)
    case add
    case concatenation
    case shuffle(Int)
    case unshuffle(Int)
    case hardSwish
    /// An op that does not exist.
    case unknown(Int)
  }

  /// Indices of arrays, and the kernel's shape.
  struct Kernel {
    var kh: Int
    var kw: Int
    var stride: Int
    /// 0 zeros, 1 nearest.
    var border: Int
    var weights: Int
    var exponents: Int
    var bias: Int
    /// Of a modulated layer.
    var modulation: Int?
  }

  struct Layer {
    var name = ""
    var operation: Operation
    var inputs: [Int]
    /// 0 none, 1 ReLU, 2 leaky.
    var activation = 0
    var slope = 0
    /// Of the output; channels, class and divisor are written only where the operation has them.
    var output: Tensor
  }

  struct Graph {
    var role: Int
    var format = 0
    var inputs: [Tensor]
    var inputNames: [Name]
    var layers: [Layer] = []
    /// The last layer's tensor, if there is no other.
    var outputs: [(name: Name, tensor: Int?)]

    /// One with the names that an RGB model has.
    init(role: Int, inputs: [Tensor]) {
      self.role = role
      self.inputs = inputs
      let (given, made): ([Name], Name) =
        switch role {
        case 0: ([.rgb], .latent)
        case 1: ([.decodedLatent], .rgb)
        case 2: ([.latent], .hyperLatent)
        case 3: ([.hyperLatent], .features)
        default: ([.features, .earlierSlices], .parameters)
        }
      inputNames = Array(given.prefix(inputs.count))
      outputs = [(made, nil)]
    }

    init(role: Int, format: Int, inputs: [(name: Name, tensor: Tensor)]) {
      self.role = role
      self.format = format
      self.inputs = inputs.map { $0.tensor }
      inputNames = inputs.map { $0.name }
      outputs = []
    }

    /// The first output's tensor.
    var output: Int { outputTensor(0) }

    func outputTensor(_ i: Int) -> Int { outputs[i].tensor ?? (tensorCount - 1) }

    /// The number of the new layer's tensor.
    mutating func append(_ layer: Layer) -> Int {
      layers.append(layer)
      return tensorCount - 1
    }

    func tensor(_ i: Int) -> Tensor { i < inputs.count ? inputs[i] : layers[i - inputs.count].output }
    var tensorCount: Int { inputs.count + layers.count }
  }

  enum Values {
    case i16([Int16])
    case i32([Int32])
    case i8([Int8])
    case u8([UInt8])
  }

  var ratePoints = 1
  /// [rate point][class]
  var widths: [[Int]] = [[]]
  var arrays: [(shape: [Int], values: Values)] = []
  var graphs: [Graph] = []
  /// Payloads of ENTR sections.
  var entropy: [[UInt8]] = []
  /// Payload of the section MOTN; nil for `motionTables` in a model that reads predicted frames, empty for none at all.
  var motion: [UInt8]?

  /// The number of the new array.
  mutating func array(_ shape: [Int], _ values: Values) -> Int {
    arrays.append((shape, values))
    return arrays.count - 1
  }

  func width(_ tensor: Tensor, _ ratePoint: Int) -> Int {
    tensor.widthClass == 255 ? tensor.channels : widths[ratePoint][tensor.widthClass]
  }

  // ---- Sections ----

  static func section(_ tag: String, _ payload: [UInt8]) -> [UInt8] {
    var out = ByteWriter()
    out.append(Array(tag.utf8))
    out.u32(UInt32(payload.count))
    out.append(payload)
    out.u32(crc32c(out.bytes, in: 0..<out.bytes.count))
    return out.bytes
  }

  func meta(name: String = "test", summary: String = "made by a test") -> [UInt8] {
    var out = ByteWriter()
    out.u8(UInt8(name.utf8.count))
    out.append(Array(name.utf8))
    out.u16(UInt16(summary.utf8.count))
    out.append(Array(summary.utf8))
    return out.bytes
  }

  func rates() -> [UInt8] {
    var out = ByteWriter()
    out.u8(UInt8(ratePoints))
    out.u8(UInt8(widths.first?.count ?? 0))
    for k in 0..<ratePoints {
      out.u32((0.001 * Float(k + 1)).bitPattern)
      for width in widths[k] { out.u16(UInt16(width)) }
    }
    return out.bytes
  }

  func weights() -> [UInt8] {
    var out = ByteWriter()
    out.u32(UInt32(arrays.count))
    for array in arrays {
      let start = out.bytes.count
      let type: UInt8 =
        switch array.values {
        case .i16: 0
        case .i32: 1
        case .i8: 2
        case .u8: 3
        }
      out.u8(type)
      out.u8(UInt8(array.shape.count))
      out.u16(0)
      for d in array.shape { out.u32(UInt32(d)) }
      switch array.values {
      case .i16(let values): for v in values { out.i16(v) }
      case .i32(let values): for v in values { out.u32(UInt32(bitPattern: v)) }
      case .i8(let values): for v in values { out.u8(UInt8(bitPattern: v)) }
      case .u8(let values): out.append(values)
      }
      while (out.bytes.count - start) % 4 != 0 { out.u8(0) }
    }
    return out.bytes
  }

  func graph(_ graph: Graph) -> [UInt8] {
    var out = ByteWriter()
    func i8(_ value: Int) { out.u8(UInt8(bitPattern: Int8(value))) }
    out.u8(UInt8(graph.role))
    out.u8(UInt8(graph.format))
    out.u8(UInt8(graph.inputs.count))
    for (i, tensor) in graph.inputs.enumerated() {
      let name = i < graph.inputNames.count ? graph.inputNames[i] : .rgb
      out.u8(UInt8(name.name))
      out.u8(UInt8(name.index))
      out.u16(UInt16(tensor.channels))
      out.u8(UInt8(tensor.widthClass))
      out.u8(UInt8(tensor.bits))
      i8(tensor.q)
      out.u16(UInt16(tensor.divisor))
    }
    out.u16(UInt16(graph.layers.count))
    for layer in graph.layers {
      let op: Int =
        switch layer.operation {
        case .convolution(let kernel): kernel.modulation == nil ? 1 : 9
        case .transposed(let kernel): kernel.modulation == nil ? 2 : 10
        case .depthwise(let kernel): kernel.modulation == nil ? 3 : 11
        case .gain: 4
        case .add: 5
        case .concatenation: 6
        case .shuffle: 7
        case .unshuffle: 8
        case .hardSwish: 12
        case .unknown(let op): op
        }
      out.u8(UInt8(op))
      out.u8(UInt8(truncatingIfNeeded: layer.name.utf8.count))
      out.append(Array(layer.name.utf8))
      out.u8(UInt8(layer.inputs.count))
      for input in layer.inputs { out.u16(UInt16(input)) }
      out.u8(UInt8(layer.activation))
      out.u8(UInt8(layer.slope))
      i8(layer.output.q)
      out.u8(UInt8(layer.output.bits))
      switch layer.operation {
      case .convolution(let kernel), .transposed(let kernel), .depthwise(let kernel):
        out.u16(UInt16(layer.output.channels))
        out.u8(UInt8(layer.output.widthClass))
        for field in [kernel.kh, kernel.kw, kernel.stride, kernel.border] { out.u8(UInt8(field)) }
        for index in [kernel.weights, kernel.exponents, kernel.bias] { out.u32(UInt32(index)) }
        if let modulation = kernel.modulation { out.u32(UInt32(modulation)) }
      case .gain(let gain, let shift): for index in [gain, shift] { out.u32(UInt32(index)) }
      case .shuffle(let factor), .unshuffle(let factor): out.u8(UInt8(factor))
      case .add, .concatenation, .hardSwish, .unknown: break
      }
    }
    out.u8(UInt8(graph.outputs.count))
    for i in graph.outputs.indices {
      out.u8(UInt8(graph.outputs[i].name.name))
      out.u8(UInt8(graph.outputs[i].name.index))
      out.u16(UInt16(graph.outputTensor(i)))
    }
    return out.bytes
  }

  /// A static entropy model of uniform CDFs over −8…8.
  static func flatEntropy(channels: [Int]) -> [UInt8] {
    var out = ByteWriter()
    out.u8(0)
    out.u8(0)
    for count in channels {
      out.u16(UInt16(count))
      for _ in 0..<count {
        out.i16(0)
        out.u16(16384)
      }
      for c in 0..<count { out.u16(UInt16(c)) }
      out.u16(1)
      out.i16(-8)
      out.u16(18)
      for i in 0..<18 { out.u16(i == 0 ? 32768 - 17 * 1820 : 1820) }
      for _ in 0..<count {
        out.u8(1)
        out.u16(0)
      }
    }
    return out.bytes
  }

  func sections() -> [(tag: String, payload: [UInt8])] {
    [("META", meta()), ("RATE", rates()), ("WGHT", weights())] + graphs.map { ("GRPH", graph($0)) }
      + entropy.map { ("ENTR", $0) } + motionSection + [("END ", [])]
  }

  private var motionSection: [(tag: String, payload: [UInt8])] {
    let isNeeded = graphs.contains { $0.inputNames.contains { [3, 4].contains($0.name) } }
    let payload = motion ?? (isNeeded ? Self.motionTables(sets: 2) : [])
    return payload.isEmpty ? [] : [("MOTN", payload)]
  }

  /// Distributions of vectors' symbols: even ones in the first set, steep ones in the others.
  static func motionTables(sets: Int) -> [UInt8] {
    let alphabets = [Int](repeating: 8, count: 42) + [Int](repeating: 7, count: 24) + [Int](repeating: 32, count: 14)
    var out = ByteWriter()
    out.u8(UInt8(sets))
    out.u8(UInt8(alphabets.count))
    for set in 0..<sets {
      for n in alphabets {
        let weights = (0..<n).map { max(1, 4096 >> (set * $0)) }
        var frequencies = weights.map { 1 + (32768 - n) * $0 / weights.reduce(0, +) }
        frequencies[0] += 32768 - frequencies.reduce(0, +)
        out.u16(UInt16(n))
        for frequency in frequencies { out.u16(UInt16(frequency)) }
      }
    }
    return out.bytes
  }

  /// The sections of a file that is right.
  static func sections(of bytes: [UInt8]) -> [(tag: String, payload: [UInt8])] {
    var sections: [(tag: String, payload: [UInt8])] = []
    var at = 8
    while at < bytes.count {
      let size = (0..<4).reduce(0) { $0 | Int(bytes[at + 4 + $1]) << (8 * $1) }
      sections.append((String(decoding: bytes[at..<(at + 4)], as: UTF8.self), Array(bytes[(at + 8)..<(at + 8 + size)])))
      at += size + 12
    }
    precondition(file(sections) == bytes)
    return sections
  }

  static func file(_ sections: [(tag: String, payload: [UInt8])]) -> [UInt8] {
    Array("SCMODEL".utf8) + [2] + sections.flatMap { section($0.tag, $0.payload) }
  }

  func file() -> [UInt8] { Self.file(sections()) }
}
