// SPDX-License-Identifier: BSD-3-Clause

/// Parses and validates one GRPH section (FORMAT.md §1.4).
struct GraphParser {
  let ratePoints: [RatePoint]
  let widthClasses: Int
  let arrays: [WeightArray]
  var reader: ByteReader<ModelError>
  var place = ModelLocation(section: "GRPH", item: "")

  mutating func parse() throws(ModelError) -> Graph {
    guard let role = GraphRole(rawValue: try reader.u8()) else {
      throw .section(place, "unknown role of a graph")
    }
    place = ModelLocation(section: "GRPH", item: "\(role.name) graph")
    let inputCount = try integer("inputs", 1...8) { r throws(ModelError) in Int(try r.u8()) }
    var tensors: [TensorInfo] = []
    for _ in 0..<inputCount {
      let channels = try integer("channels", 1...4096) { r throws(ModelError) in Int(try r.u16()) }
      let widthClass = try self.widthClass(channels: channels)
      let bits = try integer("bits", 1...15) { r throws(ModelError) in Int(try r.u8()) }
      let q = try integer("q", -64...64) { r throws(ModelError) in Int(try r.i8()) }
      let level = try integer("level", 0...8) { r throws(ModelError) in Int(try r.i8()) }
      tensors.append(TensorInfo(channels: channels, widthClass: widthClass, bits: bits, q: q, level: level))
    }
    let layerCount = try integer("layers", 1...1024) { r throws(ModelError) in Int(try r.u16()) }
    var layers: [Layer] = []
    for index in 0..<layerCount {
      place = ModelLocation(section: "GRPH", item: "\(role.name) graph, layer \(index)")
      let (layer, tensor) = try self.layer(index, role, tensors)
      layers.append(layer)
      tensors.append(tensor)
    }
    place = ModelLocation(section: "GRPH", item: "\(role.name) graph")
    let output = Int(try reader.u16())
    guard output < tensors.count else { throw .tensor(place, tensor: output, defined: tensors.count) }
    guard reader.isAtEnd else { throw .section(place, "bytes behind the graph") }
    return Graph(role: role, inputCount: inputCount, tensors: tensors, layers: layers, output: output)
  }

  private mutating func integer(
    _ field: StaticString, _ valid: ClosedRange<Int>,
    _ read: (inout ByteReader<ModelError>) throws(ModelError) -> Int
  ) throws(ModelError) -> Int {
    let value = try read(&reader)
    guard valid ~= value else { throw .value(place, field: field, value: value, valid: valid) }
    return value
  }

  private mutating func widthClass(channels: Int) throws(ModelError) -> Int? {
    let value = Int(try reader.u8())
    if value == 255 { return nil }
    guard value < widthClasses else {
      throw .value(place, field: "width class", value: value, valid: 0...max(0, widthClasses - 1))
    }
    for point in ratePoints where point.widths[value] > channels {
      throw .value(place, field: "width at a rate point", value: point.widths[value], valid: 1...channels)
    }
    return value
  }

  private mutating func layer(
    _ index: Int, _ role: GraphRole, _ tensors: [TensorInfo]
  ) throws(ModelError) -> (Layer, TensorInfo) {
    let op = try integer("op", 1...11) { r throws(ModelError) in Int(try r.u8()) }
    let nameLength = Int(try reader.u8())
    guard nameLength <= 64 else { throw .text(place, field: "name", length: nameLength, limit: 64) }
    let nameBytes = reader.bytes[try reader.range(count: nameLength)]
    guard isUTF8(nameBytes) else { throw .text(place, field: "name", length: nameLength, limit: 64) }
    let name = String(decoding: nameBytes, as: UTF8.self)
    place = ModelLocation(section: "GRPH", item: place.item + " \"" + name + "\"")

    let inputCount = Int(try reader.u8())
    let wanted = op == 5 ? 2...2 : op == 6 ? 2...16 : 1...1
    guard wanted ~= inputCount else { throw .value(place, field: "inputs", value: inputCount, valid: wanted) }
    var inputs: [Int] = []
    for _ in 0..<inputCount {
      let tensor = Int(try reader.u16())
      guard tensor < tensors.count else { throw .tensor(place, tensor: tensor, defined: tensors.count) }
      inputs.append(tensor)
    }
    let activationKind = try integer("activation", 0...2) { r throws(ModelError) in Int(try r.u8()) }
    let slope = try integer("slope", activationKind == 2 ? 1...15 : 0...0) { r throws(ModelError) in Int(try r.u8()) }
    let activation: Activation =
      activationKind == 0 ? .none : activationKind == 1 ? .relu : .leakyReLU(shift: slope)
    let q = try integer("q", -64...64) { r throws(ModelError) in Int(try r.i8()) }
    let bits = try integer("bits", 1...15) { r throws(ModelError) in Int(try r.u8()) }
    let input = tensors[inputs[0]]
    if 6...8 ~= op, activation != .none { throw .shape(place, "this operation has no activation") }
    if op == 5, activationKind == 2 { throw .shape(place, "add has no leaky activation") }

    let operation: Operation
    let output: TensorInfo
    switch op {
    case 1, 2, 3, 9, 10, 11:
      let modulated = op > 8
      let op = modulated ? op - 8 : op
      let channels = try integer("channels", 1...4096) { r throws(ModelError) in Int(try r.u16()) }
      let widthClass = try self.widthClass(channels: channels)
      let kh = try integer("kh", 1...15) { r throws(ModelError) in Int(try r.u8()) }
      let kw = try integer("kw", 1...15) { r throws(ModelError) in Int(try r.u8()) }
      let stride = try integer("stride", op == 2 ? 2...2 : 1...2) { r throws(ModelError) in Int(try r.u8()) }
      let border = try integer("border", 0...1) { r throws(ModelError) in Int(try r.u8()) }
      if op == 3, channels != input.channels || widthClass != input.widthClass {
        throw .shape(place, "a depthwise convolution keeps channels and width class")
      }
      let level = input.level + (stride == 1 ? 0 : op == 2 ? -1 : 1)
      guard 0...8 ~= level else { throw .shape(place, "the output's level is outside of 0…8") }
      output = TensorInfo(channels: channels, widthClass: widthClass, bits: bits, q: q, level: level)
      operation = .convolution(
        try convolution(
          kind: op == 1 ? .convolution : op == 2 ? .transposed : .depthwise, kh: kh, kw: kw, stride: stride,
          border: border == 0 ? .zero : .replicate, modulated: modulated, input: input, output: output,
          activation: activation))
    case 4:
      let shape = [ratePoints.count, input.channels]
      let gain = try array("gain", shape)
      let shift = try array("shift", shape)
      guard case .i16 = arrays[gain].elements else { throw .arrayShape(place, field: "gain", "an array of i16") }
      guard case .u8(let shifts) = arrays[shift].elements else {
        throw .arrayShape(place, field: "shift", "an array of u8")
      }
      // |gain|·2^15 + 2^(s+k−1) ≤ 2^30 + 2^30 − 1 < 2^31 by these ranges.
      let valid = 1...(30 - activation.leakyShift)
      for s in shifts where !(valid ~= Int(s)) { throw .value(place, field: "shift", value: Int(s), valid: valid) }
      operation = .gain(gain: gain, shift: shift)
      output = TensorInfo(
        channels: input.channels, widthClass: input.widthClass, bits: bits, q: q, level: input.level)
    case 5:
      let other = tensors[inputs[1]]
      guard input.channels == other.channels, input.widthClass == other.widthClass, input.level == other.level else {
        throw .shape(place, "add needs inputs of the same channels, width class and level")
      }
      try aligned([input, other], q)
      operation = .add
      output = TensorInfo(
        channels: input.channels, widthClass: input.widthClass, bits: bits, q: q, level: input.level)
    case 6:
      let parts = inputs.map { tensors[$0] }
      guard parts.allSatisfy({ $0.level == input.level }) else {
        throw .shape(place, "concatenation needs inputs of the same level")
      }
      guard parts.allSatisfy({ $0.widthClass == nil }) else {
        throw .shape(place, "concatenation of tensors whose width depends on the rate point")
      }
      try aligned(parts, q)
      let channels = parts.reduce(0) { $0 + $1.channels }
      guard channels <= 4096 else { throw .value(place, field: "channels", value: channels, valid: 1...4096) }
      operation = .concatenation
      output = TensorInfo(channels: channels, widthClass: nil, bits: bits, q: q, level: input.level)
    default:
      let factor = Int(try reader.u8())
      guard factor == 2 || factor == 4 || factor == 8 else {
        throw .value(place, field: "factor", value: factor, valid: 2...8)
      }
      guard q == input.q, bits == input.bits else { throw .shape(place, "a shuffle keeps q and bits") }
      guard input.widthClass == nil else {
        throw .shape(place, "a shuffle of a tensor whose width depends on the rate point")
      }
      let step = factor == 2 ? 1 : factor == 4 ? 2 : 3
      if op == 7 {
        guard input.channels % (factor * factor) == 0 else {
          throw .shape(place, "pixel shuffle needs a multiple of factor² channels")
        }
        operation = .pixelShuffle(factor)
      } else {
        operation = .pixelUnshuffle(factor)
      }
      let channels = op == 7 ? input.channels / (factor * factor) : input.channels * factor * factor
      guard channels <= 4096 else { throw .value(place, field: "channels", value: channels, valid: 1...4096) }
      let level = op == 7 ? input.level - step : input.level + step
      guard 0...8 ~= level else { throw .shape(place, "the output's level is outside of 0…8") }
      output = TensorInfo(channels: channels, widthClass: nil, bits: bits, q: q, level: level)
    }
    return (Layer(name: name, operation: operation, inputs: inputs, activation: activation), output)
  }

  private func aligned(_ inputs: [TensorInfo], _ q: Int) throws(ModelError) {
    let smallest = inputs.reduce(64) { min($0, $1.q) }
    guard q == smallest else { throw .value(place, field: "q", value: q, valid: smallest...smallest) }
    for input in inputs where input.q - q > 15 {
      throw .value(place, field: "q of an input", value: input.q, valid: q...(q + 15))
    }
  }

  private mutating func array(_ field: StaticString, _ dimensions: [Int]) throws(ModelError) -> Int {
    let index = Int(try reader.u32())
    guard index < arrays.count else { throw .missingArray(place, field: field, index: index, count: arrays.count) }
    guard arrays[index].dimensions == dimensions else {
      throw .arrayShape(place, field: field, "of the shape that the layer asks for")
    }
    return index
  }

  private mutating func convolution(
    kind: ConvolutionKind, kh: Int, kw: Int, stride: Int, border: Border, modulated: Bool, input: TensorInfo,
    output: TensorInfo, activation: Activation
  ) throws(ModelError) -> Convolution {
    let taps = kind == .depthwise ? kh * kw : kh * kw * input.channels
    let shape = kind == .depthwise ? [output.channels, kh, kw] : [output.channels, kh, kw, input.channels]
    let rows = modulated ? [ratePoints.count, output.channels] : [output.channels]
    let weights = try array("weights", shape)
    let exponents = try array("exponents", rows)
    let bias = try array("bias", rows)
    let modulation = modulated ? try array("modulation", rows) : nil
    guard case .i16(let w) = arrays[weights].elements else {
      throw .arrayShape(place, field: "weights", "an array of i16")
    }
    guard case .i8(let e) = arrays[exponents].elements else {
      throw .arrayShape(place, field: "exponents", "an array of i8")
    }
    guard case .i32(let b) = arrays[bias].elements else { throw .arrayShape(place, field: "bias", "an array of i32") }
    var m: [Int16] = []
    if let modulation {
      guard case .i16(let elements) = arrays[modulation].elements else {
        throw .arrayShape(place, field: "modulation", "an array of i16")
      }
      m = elements
      for value in m where !(-16384...16384 ~= value) {
        throw .value(place, field: "modulation", value: Int(value), valid: -16384...16384)
      }
    }
    let k = activation.leakyShift
    var shifts: [UInt8] = []
    for row in b.indices {
      let o = row % output.channels
      let s = input.q + Int(e[row]) - output.q
      guard 1...(30 - k) ~= s else {
        throw .value(place, field: "shift of an output channel", value: s, valid: 1...(30 - k))
      }
      shifts.append(UInt8(s))
      var magnitude = 0
      w.withUnsafeBufferPointer { w in
        let channel = w[(o * taps)..<((o + 1) * taps)]
        if m.isEmpty {
          for weight in channel { magnitude &+= abs(Int(weight)) }
        } else {
          for weight in channel { magnitude &+= abs(Int(Convolution.modulated(weight, by: m[row]))) }
        }
      }
      let bound = abs(Int(b[row])) + magnitude << input.bits + 1 << (s + k - 1)
      guard bound < 1 << 31 else { throw .overflow(place, channel: o, bound: bound) }
    }
    var bridges: [UInt8] = []
    for row in 0..<max(0, m.count - output.channels) {
      let (o, next) = (row % output.channels, row + output.channels)
      let bridge = Convolution.bridge(
        (m[row], m[next]), (shifts[row], shifts[next]), (b[row], b[next]), w[(o * taps)..<((o + 1) * taps)],
        inputBits: input.bits, leakyShift: k)
      guard bridge.bound < 1 << 31 else { throw .overflow(place, channel: o, bound: bridge.bound) }
      bridges.append(bridge.shift)
    }
    return Convolution(
      kind: kind, kh: kh, kw: kw, stride: stride, border: border, weights: weights, modulation: modulation,
      bias: bias, shifts: shifts, bridges: bridges)
  }
}

/// Whether bytes are well-formed UTF-8.
func isUTF8(_ bytes: ArraySlice<UInt8>) -> Bool {
  var i = bytes.startIndex
  while i < bytes.endIndex {
    let lead = bytes[i]
    let (extra, least): (Int, UInt32) =
      lead < 0x80
      ? (0, 0)
      : lead & 0xe0 == 0xc0
        ? (1, 0x80)
        : lead & 0xf0 == 0xe0
          ? (2, 0x800)
          : lead & 0xf8 == 0xf0 ? (3, 0x10000) : (-1, 0)
    guard extra >= 0, bytes.endIndex - i > extra else { return false }
    var scalar = UInt32(extra == 0 ? lead : lead & (0x3f >> UInt8(extra)))
    for j in 0..<extra {
      let byte = bytes[i + 1 + j]
      guard byte & 0xc0 == 0x80 else { return false }
      scalar = scalar << 6 | UInt32(byte & 0x3f)
    }
    guard scalar >= least, scalar <= 0x10ffff, !(0xd800...0xdfff ~= scalar) else { return false }
    i += extra + 1
  }
  return true
}
