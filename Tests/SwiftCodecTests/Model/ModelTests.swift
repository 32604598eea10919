// SPDX-License-Identifier: BSD-3-Clause

import Foundation
import Testing

import SwiftCodecDefaultModel

@testable import SwiftCodec

/// Model files that are wrong are refused, with an error that says what and where.
@Suite struct ModelTests {
  /// A small model that is right: a stride-2 convolution down, a transposed one up.
  static func small() -> ModelFileWriter {
    var file = ModelFileWriter()
    file.ratePoints = 2
    file.widths = [[3], [4]]
    let e = file.array([4], .i8([5, 5, 5, 5]))
    let b = file.array([4], .i32([1, -2, 3, 100]))
    let w = file.array([4, 3, 3, 3], .i16((0..<108).map { Int16($0 % 7 - 3) }))
    let e3 = file.array([3], .i8([7, 7, 7]))
    let b3 = file.array([3], .i32([0, 0, 0]))
    let w3 = file.array([3, 5, 5, 4], .i16((0..<300).map { Int16($0 % 11 - 5) }))
    let gain = file.array([2, 4], .i16([100, 200, 300, 400, 100, 200, 300, 400]))
    let shift = file.array([2, 4], .u8([4, 5, 6, 7, 4, 5, 6, 7]))
    var analysis = ModelFileWriter.Graph(role: 0, inputs: [.init(channels: 3, bits: 8, q: 0, divisor: 1)])
    let latent = ModelFileWriter.Tensor(channels: 4, widthClass: 0, bits: 12, q: 0, divisor: 2)
    _ = analysis.append(
      .init(
        name: "down",
        operation: .convolution(.init(kh: 3, kw: 3, stride: 2, border: 1, weights: w, exponents: e, bias: b)),
        inputs: [0], output: latent))
    _ = analysis.append(
      .init(name: "scale", operation: .gain(gain: gain, shift: shift), inputs: [1], output: latent))
    var input = latent
    input.bits = 15
    var synthesis = ModelFileWriter.Graph(role: 1, inputs: [input])
    _ = synthesis.append(
      .init(
        name: "up",
        operation: .transposed(.init(kh: 5, kw: 5, stride: 2, border: 0, weights: w3, exponents: e3, bias: b3)),
        inputs: [0], output: .init(channels: 3, bits: 10, q: 2, divisor: 1)))
    file.graphs = [analysis, synthesis]
    file.entropy = [ModelFileWriter.flatEntropy(channels: [3, 4])]
    return file
  }

  /// The error of a file; nil if it is accepted.
  static func error(_ bytes: [UInt8]) -> ModelError? {
    do throws(ModelError) {
      _ = try Model(bytes)
      return nil
    } catch {
      return error
    }
  }

  /// Expects that a change is refused with a text that holds all of `words`.
  static func refuses(
    _ words: String..., sourceLocation: SourceLocation = #_sourceLocation, _ change: (inout ModelFileWriter) -> Void
  ) {
    var file = small()
    change(&file)
    refuses(file.file(), words, sourceLocation: sourceLocation)
  }

  static func refuses(_ bytes: [UInt8], _ words: [String], sourceLocation: SourceLocation = #_sourceLocation) {
    guard let text = error(bytes)?.description else {
      Issue.record("is accepted", sourceLocation: sourceLocation)
      return
    }
    for word in words where !text.contains(word) {
      Issue.record("\"\(word)\" is not in: \(text)", sourceLocation: sourceLocation)
    }
  }

  @Test func aRightFileIsRead() throws {
    let bytes = Self.small().file()
    #expect(Self.error(bytes)?.description == nil)
    let model = try Model(bytes)
    #expect(model.name == "test" && model.summary == "made by a test")
    #expect(model.ratePoints.map(\.widths) == [[3], [4]])
    #expect(model.latentChannels(ratePoint: 0) == 3 && model.latentChannels(ratePoint: 1) == 4)
    #expect(model.sections.map(\.tag) == ["META", "RATE", "WGHT", "GRPH", "GRPH", "ENTR", "END "])
    // 4·27/4 and 4/4 of the gain at full width; 3·25·4/4 upwards.
    #expect(model.encoderMACPerPixel(ratePoint: 1) == 28 && model.decoderMACPerPixel(ratePoint: 1) == 75)
    #expect(model.encoderMACPerPixel(ratePoint: 0) == 21 && model.decoderMACPerPixel(ratePoint: 0) == 56.25)
  }

  @Test func theIdIsTheHashOfTheFile() throws {
    let bytes = Self.small().file()
    var hash = UInt64(bytes.count)
    let padded = bytes + [UInt8](repeating: 0, count: (8 - bytes.count % 8) % 8)
    for at in stride(from: 0, to: padded.count, by: 8) {
      var word: UInt64 = 0
      for i in 0..<8 { word |= UInt64(padded[at + i]) << UInt64(8 * i) }
      hash = (hash ^ word) &* 0x9E37_79B9_7F4A_7C15
      hash ^= hash >> 32
    }
    #expect(try Model(bytes).id == hash)
  }

  /// Theirs are constants of the library.
  @Test func theEmbeddedModelsHaveTheIdsOfTheirFiles() throws {
    #expect(try Model.embedded().id == Model(Model.embeddedBytes()).id)
    let file = URL(filePath: #filePath).deletingLastPathComponent().appending(
      path: "../../../Sources/CDefaultModel/models/inter.scm")
    #expect(try Model.embeddedInter().id == Model(Array(Data(contentsOf: file))).id)
  }

  @Test func tooLargeWeights() {
    Self.refuses("GRPH", "synthesis graph, layer 0 \"up\"", "channel 1", "too large", "2147483647") { file in
      guard case .i16(var values) = file.arrays[5].values else { return }
      for i in 100..<200 { values[i] = 32767 }
      file.arrays[5].values = .i16(values)
    }
    Self.refuses("analysis graph, layer 0 \"down\"", "channel 3", "too large") { file in
      file.arrays[1].values = .i32([1, -2, 3, Int32.min])
    }
  }

  /// The bound is exact: the largest bias that fits is accepted, one more is not.
  @Test func theOverflowBoundIsExact() throws {
    var file = Self.small()
    guard case .i16(let weights) = file.arrays[2].values else { return }
    let sum = weights[0..<27].reduce(0) { $0 + abs(Int($1)) }
    let largest = 1 << 31 - 1 - sum << 8 - 1 << 4
    file.arrays[1].values = .i32([Int32(largest), 0, 0, 0])
    #expect(Self.error(file.file())?.description == nil)
    file.arrays[1].values = .i32([Int32(-largest), 0, 0, 0])
    #expect(Self.error(file.file())?.description == nil)
    file.arrays[1].values = .i32([Int32(largest + 1), 0, 0, 0])
    Self.refuses(file.file(), ["layer 0 \"down\"", "channel 0", "2147483648"])
  }

  @Test func missingTensorsAndCycles() {
    Self.refuses("analysis graph, layer 1 \"scale\"", "tensor 2", "cycle") { $0.graphs[0].layers[1].inputs = [2] }
    Self.refuses("analysis graph, layer 0 \"down\"", "tensor 1", "cycle") { $0.graphs[0].layers[0].inputs = [1] }
    Self.refuses("synthesis graph, layer 0 \"up\"", "tensor 65535") { $0.graphs[1].layers[0].inputs = [65535] }
    Self.refuses("synthesis graph, layer 0 \"up\"", "inputs") { $0.graphs[1].layers[0].inputs = [] }
    Self.refuses("synthesis graph, layer 0 \"up\"", "inputs") { $0.graphs[1].layers[0].inputs = [0, 0] }
  }

  @Test func missingAndWrongArrays() {
    func changeKernel(_ file: inout ModelFileWriter, _ change: (inout ModelFileWriter.Kernel) -> Void) {
      guard case .convolution(var kernel) = file.graphs[0].layers[0].operation else { return }
      change(&kernel)
      file.graphs[0].layers[0].operation = .convolution(kernel)
    }
    Self.refuses("\"down\"", "weights is weight array 99", "has 8") { changeKernel(&$0) { $0.weights = 99 } }
    Self.refuses("\"down\"", "bias is weight array 4294967295") { changeKernel(&$0) { $0.bias = 4_294_967_295 } }
    Self.refuses("\"down\"", "weights", "shape") { changeKernel(&$0) { $0.weights = 5 } }
    Self.refuses("\"down\"", "exponents", "i8") { changeKernel(&$0) { $0.exponents = 1 } }
    Self.refuses("\"down\"", "bias", "i32") { changeKernel(&$0) { $0.bias = 0 } }
    Self.refuses("\"down\"", "weights", "shape") { changeKernel(&$0) { $0.kh = 4 } }
    Self.refuses("\"down\"", "kh is 16", "1…15") { changeKernel(&$0) { $0.kh = 16 } }
    Self.refuses("\"down\"", "kw is 0") { changeKernel(&$0) { $0.kw = 0 } }
    Self.refuses("\"down\"", "stride is 5", "1…4") { changeKernel(&$0) { $0.stride = 5 } }
    Self.refuses("\"down\"", "stride is 0") { changeKernel(&$0) { $0.stride = 0 } }
    Self.refuses("\"down\"", "border is 2") { changeKernel(&$0) { $0.border = 2 } }
    Self.refuses("\"scale\"", "gain", "shape") {
      $0.graphs[0].layers[1].operation = .gain(gain: 1, shift: 7)
    }
    Self.refuses("\"scale\"", "shift", "u8") { $0.graphs[0].layers[1].operation = .gain(gain: 6, shift: 6) }
    Self.refuses("\"scale\"", "shift is 31") { $0.arrays[7].values = .u8([4, 5, 6, 31, 4, 5, 6, 7]) }
    Self.refuses("\"scale\"", "shift is 0") { $0.arrays[7].values = .u8([4, 5, 6, 7, 4, 0, 6, 7]) }
  }

  @Test func wrongFields() {
    Self.refuses("\"down\"", "shift of an output channel is -1") { $0.arrays[0].values = .i8([5, 5, -1, 5]) }
    Self.refuses("\"down\"", "shift of an output channel is 31") { $0.arrays[0].values = .i8([5, 5, 31, 5]) }
    Self.refuses("\"scale\"", "bits is 16") { $0.graphs[0].layers[1].output.bits = 16 }
    Self.refuses("\"scale\"", "bits is 0") { $0.graphs[0].layers[1].output.bits = 0 }
    Self.refuses("\"scale\"", "activation is 3") { $0.graphs[0].layers[1].activation = 3 }
    Self.refuses("\"scale\"", "slope is 1") { $0.graphs[0].layers[1].slope = 1 }
    Self.refuses("\"scale\"", "slope is 0") { $0.graphs[0].layers[1].activation = 2 }
    Self.refuses("\"scale\"", "slope is 16") {
      ($0.graphs[0].layers[1].activation, $0.graphs[0].layers[1].slope) = (2, 16)
    }
    Self.refuses("layer 1", "op is 77") { $0.graphs[0].layers[1].operation = .unknown(77) }
    Self.refuses("analysis graph", "divisor is 257", "1…256") { $0.graphs[0].inputs[0].divisor = 257 }
    Self.refuses("analysis graph", "divisor is 0") { $0.graphs[0].inputs[0].divisor = 0 }
    Self.refuses("analysis graph", "channels is 0") { $0.graphs[0].inputs[0].channels = 0 }
    Self.refuses("analysis graph", "inputs is 0") { $0.graphs[0].inputs = [] }
    Self.refuses("analysis graph", "outputs is 0") { $0.graphs[0].outputs = [] }
    Self.refuses("analysis graph", "outputs is 9") { $0.graphs[0].outputs = (0..<9).map { (.context($0), 1) } }
    Self.refuses("analysis graph", "tensor 3") { $0.graphs[0].outputs[0].tensor = 3 }
    Self.refuses("GRPH", "role") { $0.graphs[0].role = 200 }
    Self.refuses("\"scale\"", "factor is 9", "2…8") { $0.graphs[0].layers[1].operation = .unshuffle(9) }
    Self.refuses("\"scale\"", "factor is 1") { $0.graphs[0].layers[1].operation = .shuffle(1) }
  }

  @Test func wrongRoles() {
    Self.refuses("GRPH", "analysis takes one picture") { $0.graphs[0].inputs[0].bits = 9 }
    Self.refuses("GRPH", "latent") { $0.graphs[0].layers[1].output.q = 1 }
    Self.refuses("GRPH", "synthesis takes the latent") { $0.graphs[1].inputs[0].bits = 14 }
    Self.refuses("GRPH", "synthesis gives the planes") {
      $0.arrays[3].values = .i8([10, 10, 10])
      $0.graphs[1].layers[0].output.q = 8
    }
    Self.refuses("GRPH", "synthesis") { $0.graphs.removeLast() }
    Self.refuses("analysis graph", "format is 3") { $0.graphs[0].format = 3 }
    Self.refuses("GRPH", "of the same format") { $0.graphs[1].format = 1 }
    Self.refuses("GRPH", "role") { $0.graphs[0].role = 5 }
    Self.refuses("GRPH", "role") { $0.graphs[0].role = 32 }
    Self.refuses("GRPH", "two") { $0.graphs.append($0.graphs[1]) }
  }

  /// Names of inputs and outputs, and what each role asks of them.
  @Test func wrongNames() {
    Self.refuses("analysis graph", "name is 14") { $0.graphs[0].inputNames[0].name = 14 }
    Self.refuses("analysis graph", "index is 1") { $0.graphs[0].inputNames[0].index = 1 }
    Self.refuses("synthesis graph", "index is 8", "0…7") { $0.graphs[1].outputs[0].name = .state(8) }
    Self.refuses("analysis graph", "analysis takes one picture") { $0.graphs[0].inputNames[0] = .latent }
    Self.refuses("analysis graph", "analysis gives the latent") { $0.graphs[0].outputs[0].name = .hyperLatent }
    Self.refuses("analysis graph", "analysis gives the latent") { $0.graphs[0].outputs.append((.state(0), nil)) }
    Self.refuses("synthesis graph", "synthesis takes the latent") { $0.graphs[1].inputNames[0] = .latent }
    Self.refuses("synthesis graph", "synthesis gives the planes") { $0.graphs[1].outputs[0].name = .luma }
    Self.refuses("synthesis graph", "synthesis gives the planes") { $0.graphs[1].outputs.append((.context(0), nil)) }
    Self.refuses("synthesis graph", "one name") { $0.graphs[1].outputs.append(($0.graphs[1].outputs[0].name, nil)) }
    // Inputs that a reference frame gives.
    func add(_ name: ModelFileWriter.Name, _ tensor: ModelFileWriter.Tensor, _ file: inout ModelFileWriter) {
      file.graphs[1].inputs.append(tensor)
      file.graphs[1].inputNames.append(name)
      // Layers' tensors move by one.
      file.graphs[1].outputs[0].tensor = nil
    }
    let luma = ModelFileWriter.Tensor(channels: 1, bits: 8, q: 0, divisor: 1)
    var file = Self.small()
    add(.predictedLuma, luma, &file)
    #expect(Self.error(file.file())?.description == nil)
    #expect((try? Model(file.file()))?.isInter == true && (try? Model(Self.small().file()))?.isInter == false)
    let tables = ModelFileWriter.motionTables(sets: 1)
    for (motion, message) in [
      ([], "is missing"), (Array(tables.dropLast()), "not valid"), (tables + [0], "not valid"),
      ([9] + tables.dropFirst(), "not valid"), (Array(tables[..<4]) + [0, 0] + tables[6...], "not valid"),
    ] {
      file.motion = motion
      #expect(Self.error(file.file())?.description.contains(message) == true)
    }
    Self.refuses("MOTN", "no networks for inter frames") { $0.motion = tables }
    var wrong = luma
    wrong.divisor = 2
    Self.refuses("synthesis graph", "has not the shape") { add(.predictedLuma, wrong, &$0) }
    Self.refuses("synthesis graph", "has not the shape") { add(.predictedChroma, luma, &$0) }
    Self.refuses("synthesis graph", "has not the shape") { add(.referenceLatent, luma, &$0) }
    Self.refuses("synthesis graph", "context that no network makes") { add(.context(0), luma, &$0) }
    Self.refuses("synthesis graph", "not every synthesis makes") { add(.state(0), luma, &$0) }
    Self.refuses("synthesis graph", "synthesis takes the latent") { add(.features, luma, &$0) }
    Self.refuses("synthesis graph", "one name") {
      add(.predictedLuma, luma, &$0)
      add(.predictedLuma, luma, &$0)
    }
    Self.refuses("context graph", "context takes") {
      var graph = ModelFileWriter.Graph(role: 4, format: 0, inputs: [(.predictedLuma, luma)])
      graph.outputs = [(.context(1), 0)]
      graph.layers = []
      _ = graph.append(.init(operation: .add, inputs: [0, 0], output: luma))
      $0.graphs.append(graph)
    }
    // A slice without the rest of a hyperprior.
    Self.refuses("GRPH", "a hyperprior has") {
      var graph = ModelFileWriter.Graph(role: 16, inputs: [luma])
      _ = graph.append(.init(operation: .add, inputs: [0, 0], output: luma))
      $0.graphs.append(graph)
    }
  }

  @Test func wrongHardSwish() {
    func swish(_ file: inout ModelFileWriter, input: Int, q: Int, activation: Int = 0) {
      file.graphs[0].layers[0].output.q = input
      file.graphs[0].layers[1] = .init(
        name: "swish", operation: .hardSwish, inputs: [1], activation: activation,
        output: ModelFileWriter.Tensor(channels: 4, bits: 12, q: q, divisor: 2))
      file.arrays[0].values = .i8([Int8](repeating: Int8(5 + input), count: 4))
      file.graphs[0].outputs[0].tensor = 2
    }
    var file = Self.small()
    file.graphs[0].layers[1].output.widthClass = 0
    swish(&file, input: 4, q: 0)
    #expect(Self.error(file.file())?.description == nil)
    Self.refuses("\"swish\"", "q of an input is 13", "0…12") { swish(&$0, input: 13, q: 0) }
    Self.refuses("\"swish\"", "shift is 0", "1…44") { swish(&$0, input: 0, q: 16) }
    Self.refuses("\"swish\"", "no activation") { swish(&$0, input: 4, q: 0, activation: 1) }
  }

  /// Divisors that do not divide, are too large, or have a least common multiple that is.
  @Test func wrongResolutions() {
    func stride(_ file: inout ModelFileWriter, _ graph: Int, _ stride: Int) {
      switch file.graphs[graph].layers[0].operation {
      case .convolution(var kernel):
        kernel.stride = stride
        file.graphs[graph].layers[0].operation = .convolution(kernel)
      case .transposed(var kernel):
        kernel.stride = stride
        file.graphs[graph].layers[0].operation = .transposed(kernel)
      default: break
      }
    }
    Self.refuses("\"up\"", "not a whole multiple") { stride(&$0, 1, 3) }
    Self.refuses("GRPH", "synthesis takes the latent") { stride(&$0, 0, 3) }
    for divisor in 2...4 {
      var file = Self.small()
      stride(&file, 0, divisor)
      stride(&file, 1, divisor)
      file.graphs[1].inputs[0].divisor = divisor
      #expect(Self.error(file.file())?.description == nil)
      #expect((try? Model(file.file()))?.paddingUnit(.rgb) == divisor)
    }
    // Branches that nothing reads still have resolutions.
    func branch(_ file: inout ModelFileWriter, strides: [Int] = [], factors: [Int] = []) {
      file.graphs[0].outputs[0].tensor = 2
      var output = ModelFileWriter.Tensor(channels: 1, bits: 8, q: 0, divisor: 1)
      let e = file.array([1], .i8([1]))
      let b = file.array([1], .i32([0]))
      for (i, stride) in ([1] + strides).enumerated() {
        let channels = i == 0 ? 3 : 1
        let w = file.array([1, 1, 1, channels], .i16([Int16](repeating: 1, count: channels)))
        _ = file.graphs[0].append(
          .init(
            name: "one",
            operation: .convolution(.init(kh: 1, kw: 1, stride: stride, border: 0, weights: w, exponents: e, bias: b)),
            inputs: [i == 0 ? 0 : file.graphs[0].tensorCount - 1], output: output))
      }
      for factor in factors {
        output.channels *= factor * factor
        _ = file.graphs[0].append(
          .init(operation: .unshuffle(factor), inputs: [file.graphs[0].tensorCount - 1], output: output))
      }
    }
    Self.refuses("analysis graph", "divisor of the output is 1024", "1…256") { branch(&$0, strides: [4, 4, 4, 4, 4]) }
    // 7² · 5² · 2 > 1024
    Self.refuses("GRPH", "least common multiple", "2450", "1…1024") {
      branch(&$0, factors: [7, 7])
      branch(&$0, factors: [5, 5])
    }
  }

  /// A file whose layers share one array in ever new ways is refused in time that is linear in its size; one whose layers
  /// share it in one way is read as fast.
  @Test func sharedProofs() {
    func file(_ layers: Int, sharing: Bool) -> [UInt8] {
      var file = Self.small()
      file.graphs[0].outputs[0].tensor = 2
      let w = file.array([16, 5, 5, 16], .i16([Int16](repeating: 1, count: 16 * 16 * 25)))
      let e = file.array([16], .i8([Int8](repeating: 12, count: 16)))
      let b = file.array([16], .i32([Int32](repeating: 0, count: 16)))
      let w0 = file.array([16, 1, 1, 3], .i16([Int16](repeating: 1, count: 48)))
      var output = ModelFileWriter.Tensor(channels: 16, bits: 8, q: 0, divisor: 1)
      _ = file.graphs[0].append(
        .init(
          name: "wide",
          operation: .convolution(.init(kh: 1, kw: 1, stride: 1, border: 0, weights: w0, exponents: e, bias: b)),
          inputs: [0], output: output))
      for i in 0..<layers {
        output.bits = sharing ? 8 : 1 + i % 15
        output.q = sharing ? 0 : i / 15 % 10
        // Its exponents are those of q = 0.
        let own = sharing ? e : file.array([16], .i8([Int8](repeating: Int8(12 + i % 7), count: 16)))
        _ = file.graphs[0].append(
          .init(
            operation: .convolution(.init(kh: 5, kw: 5, stride: 1, border: 0, weights: w, exponents: own, bias: b)),
            inputs: [3], output: output))
      }
      return file.file()
    }
    #expect(Self.error(file(1000, sharing: true)) == nil)
    #expect(Self.error(file(20, sharing: false)) == nil)
    Self.refuses(file(1000, sharing: false), ["GRPH", "share arrays"])
  }

  @Test func wrongWidths() {
    Self.refuses("rate point 1", "width is 0") { $0.widths[1] = [0] }
    Self.refuses("\"down\"", "width at a rate point is 5") { $0.widths[1] = [5] }
    Self.refuses("\"down\"", "width class is 1") { $0.graphs[0].layers[0].output.widthClass = 1 }
    Self.refuses("ENTR", "channels is 3") { $0.widths[0] = [2] }
  }

  @Test func longNames() {
    // In the file the length is one byte: a name of 4000 bytes has to claim less.
    Self.refuses("analysis graph, layer 0", "name of 255 bytes") {
      $0.graphs[0].layers[0].name = String(repeating: "x", count: 255)
    }
    Self.refuses("GRPH", "layer 0") { $0.graphs[0].layers[0].name = String(repeating: "x", count: 4000) }
    Self.refuses("analysis graph, layer 0", "name of 65 bytes") {
      $0.graphs[0].layers[0].name = String(repeating: "x", count: 65)
    }
    var file = Self.small()
    file.graphs[0].layers[0].name = String(repeating: "é", count: 32)
    #expect(Self.error(file.file())?.description == nil)
    var sections = file.sections()
    sections[0].payload = [3, 0x61, 0xff, 0x62, 0, 0]
    Self.refuses(ModelFileWriter.file(sections), ["META", "UTF-8"])
    sections[0].payload = [0] + [0xa0, 0x0f] + [UInt8](repeating: 0x61, count: 4000)
    #expect(Self.error(ModelFileWriter.file(sections))?.description == nil)
    sections[0].payload = [0] + [0x01, 0x10] + [UInt8](repeating: 0x61, count: 4097)
    Self.refuses(ModelFileWriter.file(sections), ["META", "description of 4097 bytes"])
  }

  @Test func overlongAndSurrogateUTF8() {
    let wrong: [[UInt8]] = [
      [0xc0, 0x80], [0xe0, 0x80, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xf8, 0, 0, 0], [0x80], [0xc3],
    ]
    for bytes in wrong { #expect(!bytes.withUnsafeBufferPointer { isUTF8($0[...]) }) }
    #expect(Array("Grün, 緑, 🟩".utf8).withUnsafeBufferPointer { isUTF8($0[...]) })
  }

  @Test func wrongChecksums() {
    let sections = Self.small().sections()
    var at = 8
    for section in sections {
      var bytes = ModelFileWriter.file(sections)
      let end = at + 8 + section.payload.count + 4
      bytes[end - 1] ^= 0x80
      Self.refuses(bytes, ["section \(section.tag)", "CRC-32C"])
      if !section.payload.isEmpty {
        bytes = ModelFileWriter.file(sections)
        bytes[at + 8 + section.payload.count / 2] ^= 1
        Self.refuses(bytes, ["section \(section.tag)", "CRC-32C"])
      }
      at = end
    }
  }

  @Test func wrongOrderOfSections() {
    let sections = Self.small().sections()
    func change(_ words: String..., change: (inout [(tag: String, payload: [UInt8])]) -> Void) {
      var changed = sections
      change(&changed)
      Self.refuses(ModelFileWriter.file(changed), words)
    }
    change("XYZW", "unknown") { $0.insert(("XYZW", [1, 2, 3]), at: 1) }
    change("RATE", "twice") { $0.insert($0[1], at: 2) }
    change("WGHT", "twice") { $0.insert($0[2], at: 2) }
    change("META", "twice") { $0.insert($0[0], at: 1) }
    change("GRPH", "order") { $0.remove(at: 1) }
    change("GRPH", "order") { $0.swapAt(2, 3) }
    change("GRPH") { $0.remove(at: 3) }
    change("GRPH") { $0.swapAt(3, 5) }
    change("ENTR", "two entropy models") { $0.insert($0[5], at: 6) }
    change("END", "end") { $0.append(("END ", [])) }
    change("END", "end") { $0[6].payload = [0] }
    change("ends too early") { $0.removeLast() }
    change("RATE", "bytes behind") { $0[1].payload.append(0) }
    change("WGHT", "bytes behind") { $0[2].payload.append(0) }
    change("GRPH", "bytes behind") { $0[3].payload.append(0) }
    change("ENTR", "bytes behind") { $0[5].payload.append(0) }
    for i in 0..<(sections.count - 1) { change(sections[i].tag, "too early") { $0[i].payload.removeLast() } }
  }

  /// Sizes that the file does not hold are refused before memory is taken for them.
  @Test func hugeArrays() {
    func weights(_ header: [UInt8]) -> [UInt8] {
      var sections = Self.small().sections()
      sections[2].payload = [1, 0, 0, 0] + header
      return ModelFileWriter.file(sections)
    }
    let m: [UInt8] = [0, 0, 1, 0]
    Self.refuses(weights([0, 4, 0, 0] + m + m + m + m), ["WGHT, array 0", "elements"])
    Self.refuses(weights([0, 2, 0, 0] + m + [0, 4, 0, 0]), ["WGHT", "too early"])
    Self.refuses(weights([0, 1, 0, 0] + [1, 0, 1, 0]), ["WGHT, array 0", "dimension is 65537"])
    Self.refuses(weights([0, 1, 0, 0] + [0, 0, 0, 0]), ["WGHT, array 0", "dimension is 0"])
    Self.refuses(weights([0, 0, 0, 0]), ["WGHT, array 0", "rank is 0"])
    Self.refuses(weights([0, 5, 0, 0]), ["WGHT, array 0", "rank is 5"])
    Self.refuses(weights([4, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]), ["WGHT, array 0", "type is 4"])
    Self.refuses(weights([0, 1, 7, 0, 1, 0, 0, 0, 0, 0, 0, 0]), ["WGHT, array 0", "reserved is 7"])
    var sections = Self.small().sections()
    sections[2].payload = [0xff, 0xff, 0xff, 0xff]
    Self.refuses(ModelFileWriter.file(sections), ["WGHT", "too early"])
  }

  @Test func wrongEntropyTables() {
    // Offsets in a section of one rate point with one channel.
    func entropy(_ change: (inout [UInt8]) -> Void) -> [UInt8] {
      var file = Self.small()
      file.entropy[0] = ModelFileWriter.flatEntropy(channels: [3, 4])
      change(&file.entropy[0])
      return file.file()
    }
    Self.refuses(entropy { $0[0] = 9 }, ["ENTR", "kind"])
    Self.refuses(entropy { $0[1] = 3 }, ["ENTR", "magnitude"])
    Self.refuses(entropy { $0[2] = 2 }, ["ENTR", "rate point 0", "channels is 2"])
    Self.refuses(entropy { ($0[6], $0[7]) = (0, 0) }, ["ENTR", "active is 0"])
    Self.refuses(entropy { ($0[6], $0[7]) = (0, 0x80) }, ["ENTR", "active is 32768"])
    Self.refuses(entropy { $0[16] = 1 }, ["ENTR", "permutation"])
    Self.refuses(entropy { $0[16] = 200 }, ["ENTR", "permutation"])
    Self.refuses(entropy { ($0[22], $0[23]) = (0, 0) }, ["ENTR", "no CDFs"])
    Self.refuses(entropy { ($0[26], $0[27]) = (1, 0) }, ["ENTR", "symbols of a CDF is 1"])
    Self.refuses(entropy { ($0[24], $0[25]) = (0xff, 0x7f) }, ["ENTR", "int16"])
    Self.refuses(entropy { $0[28] ^= 1 }, ["ENTR", "sum of frequencies"])
    Self.refuses(entropy { ($0[28], $0[29]) = (0, 0) }, ["ENTR", "frequency is 0"])
    Self.refuses(entropy { $0[64] = 0 }, ["ENTR", "levels is 0"])
    Self.refuses(entropy { $0[64] = 65 }, ["ENTR", "levels is 65"])
    Self.refuses(entropy { $0[65] = 1 }, ["ENTR", "CDF is 1"])
  }

  @Test func everyTruncationIsRefused() {
    let bytes = Self.small().file()
    for count in 0..<bytes.count {
      guard let error = Self.error(Array(bytes[..<count])) else {
        Issue.record("\(count) bytes are accepted")
        continue
      }
      #expect(count < 8 || error.description.contains("too early"), "\(count): \(error.description)")
    }
    for count in stride(from: 0, to: Fixtures.tinyBytes.count, by: 997) {
      #expect(Self.error(Array(Fixtures.tinyBytes[..<count])) != nil)
    }
  }

  /// Mends all checksums behind a random change: what is then accepted can be run.
  @Test func changedFilesAreRefusedOrRun() throws {
    var random = SplitMix(SplitMix.seed)
    let sections = Self.small().sections()
    var accepted = 0
    for round in 0..<3000 {
      var changed = sections
      for _ in 0..<random.int(1...2) {
        let i = random.int(0...(changed.count - 2))
        let at = random.below(changed[i].payload.count)
        changed[i].payload[at] =
          random.below(2) == 0 ? UInt8(random.below(256)) : changed[i].payload[at] ^ 1 << UInt8(random.below(8))
      }
      let bytes = ModelFileWriter.file(changed)
      guard Self.error(bytes) == nil else { continue }
      accepted += 1
      if accepted % 20 != 0 { continue }
      let model = try Model(bytes)
      let picture = Fixtures.formulaPicture(width: 9, height: 7)
      for k in model.ratePoints.indices {
        guard model.preferredEntropyKind != nil else { break }
        let encoded = try encode(picture, model: model, settings: EncoderSettings(ratePoint: k))
        #expect(try decode(encoded.bytes, model: model) == encoded.reconstruction, "round \(round)")
      }
    }
    #expect(accepted > 0)
  }

  /// The same for a file with every operation.
  @Test func changedTinyFilesAreRefusedOrRun() throws {
    var random = SplitMix(SplitMix.seed &+ 99)
    let all = Fixtures.tinyBytes
    // Cut into sections again.
    var sections: [(tag: String, payload: [UInt8])] = []
    var at = 8
    while at < all.count {
      let size = Int(all[at + 4]) | Int(all[at + 5]) << 8 | Int(all[at + 6]) << 16
      sections.append((String(decoding: all[at..<(at + 4)], as: UTF8.self), Array(all[(at + 8)..<(at + 8 + size)])))
      at += size + 12
    }
    #expect(ModelFileWriter.file(sections) == all)
    let graphs = sections.indices.filter { sections[$0].tag == "GRPH" || sections[$0].tag == "RATE" }
    for round in 0..<2000 {
      var changed = sections
      let i = random.below(4) == 0 ? random.below(sections.count - 1) : random.pick(graphs)
      let byte = random.below(changed[i].payload.count)
      changed[i].payload[byte] = UInt8(random.below(256))
      guard let model = try? Model(ModelFileWriter.file(changed)), round % 8 == 0 else { continue }
      guard model.preferredEntropyKind != nil else { continue }
      let encoded = try encode(
        Fixtures.formulaPicture(width: 21, height: 13), model: model, settings: EncoderSettings(ratePoint: 0))
      #expect(try decode(encoded.bytes, model: model) == encoded.reconstruction, "round \(round)")
    }
  }
}
