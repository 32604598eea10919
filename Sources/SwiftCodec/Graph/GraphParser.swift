// SPDX-License-Identifier: BSD-3-Clause

/// Parses and validates one GRPH section (docs/format/model.md): tensors, layers and the names of inputs and outputs, but not
/// what its role asks of these.
struct GraphParser {
  private(set) var reader: LayerReader

  /// `reader` stands at the section's first byte; its proofs are those of the graphs before.
  init(_ reader: LayerReader) { self.reader = reader }

  mutating func parse() throws(ModelError) -> Graph {
    guard let role = GraphRole(rawValue: try reader.bytes.u8()) else {
      throw .section(reader.place, "unknown role of a graph")
    }
    reader.place = ModelLocation(section: "GRPH", item: "\(role.name) graph")
    let formats = role.hasFormats ? 0...2 : 0...0
    guard let format = PixelFormat(rawValue: UInt8(try reader.u8("format", formats))) else {
      throw .section(reader.place, "unknown pixel format")
    }
    let graphPlace = ModelLocation(section: "GRPH", item: Graph.name(role, format) + " graph")
    reader.place = graphPlace
    var inputs: [Port] = []
    var tensors: [TensorInfo] = []
    for i in 0..<(try reader.u8("inputs", 1...8)) {
      inputs.append(try port(among: inputs) { _ in i })
      let channels = try reader.u16("channels", 1...4096)
      let widthClass = try reader.widthClass(channels: channels)
      let bits = try reader.u8("bits", 1...15)
      let q = try reader.i8("q", -64...64)
      let divisor = try reader.u16("divisor", TensorInfo.divisors)
      tensors.append(TensorInfo(channels: channels, widthClass: widthClass, bits: bits, q: q, divisor: divisor))
    }
    var layers: [Layer] = []
    for index in 0..<(try reader.u16("layers", 1...1024)) {
      reader.place = ModelLocation(section: "GRPH", item: graphPlace.item + ", layer \(index)")
      let (layer, tensor) = try self.layer(tensors)
      layers.append(layer)
      tensors.append(tensor)
    }
    reader.place = graphPlace
    var outputs: [Port] = []
    for _ in 0..<(try reader.u8("outputs", 1...8)) {
      outputs.append(
        try port(among: outputs) { reader throws(ModelError) in
          let tensor = Int(try reader.bytes.u16())
          guard tensor < tensors.count else {
            throw .tensor(reader.place, tensor: tensor, defined: tensors.count)
          }
          return tensor
        })
    }
    guard reader.bytes.isAtEnd else { throw .section(reader.place, "bytes behind the graph") }
    return Graph(role: role, format: format, inputs: inputs, tensors: tensors, layers: layers, outputs: outputs)
  }

  /// A name that `others` do not have.
  private mutating func port(
    among others: [Port], _ tensor: (inout LayerReader) throws(ModelError) -> Int
  ) throws(ModelError) -> Port {
    guard let name = TensorName(rawValue: UInt8(try reader.u8("name", 0...13))) else {
      throw .section(reader.place, "unknown name of an input or output")
    }
    let index = try reader.u8("index", name.hasIndex ? 0...7 : 0...0)
    guard !others.contains(where: { $0.name == name && $0.index == index }) else {
      throw .shape(reader.place, "two inputs or two outputs of one name")
    }
    return Port(name: name, index: index, tensor: try tensor(&reader))
  }

  private mutating func layer(_ tensors: [TensorInfo]) throws(ModelError) -> (Layer, TensorInfo) {
    let op = UInt8(try reader.u8("op", LayerKind.ops))
    guard let kind = LayerKind.of(op: op) else { throw .section(reader.place, "unknown kind of layer") }
    let nameLength = Int(try reader.bytes.u8())
    guard nameLength <= 64 else { throw .text(reader.place, field: "name", length: nameLength, limit: 64) }
    let nameBytes = reader.bytes.bytes[try reader.bytes.range(count: nameLength)]
    guard isUTF8(nameBytes) else { throw .text(reader.place, field: "name", length: nameLength, limit: 64) }
    let name = String(decoding: nameBytes, as: UTF8.self)
    reader.place = ModelLocation(section: "GRPH", item: reader.place.item + " \"" + name + "\"")

    var inputs: [Int] = []
    for _ in 0..<(try reader.u8("inputs", kind.inputs)) {
      let tensor = Int(try reader.bytes.u16())
      guard tensor < tensors.count else { throw .tensor(reader.place, tensor: tensor, defined: tensors.count) }
      inputs.append(tensor)
    }
    let code = try reader.u8("activation", 0...2)
    let slope = try reader.u8("slope", code == 2 ? 1...15 : 0...0)
    let activation: Activation = code == 0 ? .none : code == 1 ? .relu : .leakyReLU(shift: slope)
    let q = try reader.i8("q", -64...64)
    let bits = try reader.u8("bits", 1...15)
    switch (kind.activations, activation) {
    case (.none, .relu), (.none, .leakyReLU): throw .shape(reader.place, "this operation has no activation")
    case (.relu, .leakyReLU): throw .shape(reader.place, "this operation has no leaky activation")
    default: break
    }
    let header = LayerHeader(op: op, inputs: inputs.map { tensors[$0] }, activation: activation, q: q, bits: bits)
    let (operation, output) = try kind.parse(&reader, header)
    return (Layer(name: name, operation: operation, inputs: inputs, activation: activation), output)
  }
}
