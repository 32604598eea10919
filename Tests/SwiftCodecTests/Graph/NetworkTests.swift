// SPDX-License-Identifier: BSD-3-Clause

import Foundation
import Testing

@testable import SwiftCodec

/// The executor against NaiveNetwork on random graphs, and against the integer simulator of Training/.
@Suite struct NetworkTests {
  /// Another seed: SC_SEED=… swift test.
  static let seed = ProcessInfo.processInfo.environment["SC_SEED"].flatMap { UInt64($0) } ?? 1

  /// The first output of a graph on its first input, rows [height][width][channels] of int16.
  static func run(
    _ program: NetworkProgram, _ input: NaiveNetwork.Tensor, width: Int, height: Int, _ execution: Execution
  ) -> [Int16] {
    run(program, [input], width: width, height: height, execution)[0]
  }

  /// All outputs of a graph. A row that is not delivered, or delivered by two bands, spoils the result.
  static func run(
    _ program: NetworkProgram, _ inputs: [NaiveNetwork.Tensor], width: Int, height: Int, _ execution: Execution
  ) -> [[Int16]] {
    let outputs = program.outputs.map { program.tensors[$0.tensor] }
    let rows = outputs.map { width / $0.divisor * $0.channels }
    let results = zip(outputs, rows).map { AlignedBuffer<Int16>(count: $1 * (height / $0.divisor), zero: 0) }
    let counts = outputs.map { AlignedBuffer<UInt8>(count: height / $0.divisor, zero: 0) }
    let sources = inputs.map { input in
      let source = AlignedBuffer<Int16>(count: input.values.count, zero: 0)
      for (i, value) in input.values.enumerated() { source.base[i] = Int16(value) }
      return source
    }
    program.run(
      width: width, height: height, execution,
      source: { i, y, to in
        let row = inputs[i].width * inputs[i].channels
        to.update(from: sources[i].base + y * row, count: row)
      },
      sink: { i, y, from in
        (results[i].base + y * rows[i]).update(from: from, count: rows[i])
        counts[i].base[y] += 1
      })
    for (i, output) in outputs.enumerated() {
      for y in 0..<(height / output.divisor) where counts[i].base[y] != 1 {
        Issue.record("row \(y) of output \(i) came \(counts[i].base[y]) times")
      }
    }
    return results.map { Array(UnsafeBufferPointer(start: $0.base, count: $0.count)) }
  }

  static func randomInput(
    _ info: ModelFileWriter.Tensor, _ file: ModelFileWriter, _ ratePoint: Int, width: Int, height: Int,
    _ random: inout SplitMix
  ) -> NaiveNetwork.Tensor {
    var tensor = NaiveNetwork.Tensor(height / info.divisor, width / info.divisor, file.width(info, ratePoint))
    let limit = 1 << info.bits
    let kind = random.below(4)
    for i in tensor.values.indices {
      let value =
        switch kind {
        case 0: random.int(-limit...(limit - 1))
        case 1: random.pick([-limit, limit - 1])
        case 2: random.int(max(-limit, -9)...min(limit - 1, 9))
        default: random.below(8) == 0 ? random.int(-limit...(limit - 1)) : 0
        }
      tensor.values[i] = Int64(value)
    }
    return tensor
  }

  static func model(_ bytes: [UInt8], _ seed: UInt64) throws -> Model {
    do throws(ModelError) { return try Model(bytes) } catch {
      Issue.record("seed \(seed): \(error.description)")
      throw error
    }
  }

  @Test(arguments: 0..<60) func equalsTheNaiveNetwork(_ number: Int) throws {
    let seed = Self.seed &* 1000 &+ UInt64(number)
    let graph = RandomGraph(seed: seed)
    let model = try Self.model(graph.file.file(), seed)
    var random = SplitMix(seed ^ 0x5eed)
    let unit = graph.unit
    for (role, description) in zip([GraphRole.analysis, .synthesis], graph.file.graphs) {
      let parsed = try #require(model.graph(role, .rgb))
      for k in 0..<graph.file.ratePoints {
        let (width, height) = (unit * random.int(1...(24 / unit)), unit * random.int(1...(40 / unit)))
        let input = Self.randomInput(
          description.inputs[0], graph.file, k, width: width, height: height, &random)
        let expected = NaiveNetwork(file: graph.file, ratePoint: k).run(description, [input]).values.map { Int16($0) }
        for cpu in CPU.available {
          let program = NetworkProgram(parsed, of: model.weights, ratePoint: k, cpu: cpu)
          var execution = Execution()
          execution.threads = random.int(1...4)
          execution.stripeRows = random.below(6)
          let result = Self.run(program, input, width: width, height: height, execution)
          let same = result == expected
          #expect(
            same,
            "seed \(seed), \(role.name), rate point \(k), \(width)×\(height), \(cpu.name), \(execution.threads) threads, stripes of \(execution.stripeRows)"
          )
        }
      }
    }
  }

  @Test(arguments: 0..<8) func stripesAndThreadsChangeNothing(_ number: Int) throws {
    let seed = Self.seed &* 7777 &+ UInt64(number)
    let graph = RandomGraph(seed: seed)
    let model = try Self.model(graph.file.file(), seed)
    var random = SplitMix(seed)
    let unit = graph.unit
    let (width, height) = (unit * random.int(1...2), unit * random.int(1...(40 / unit)))
    for (role, description) in zip([GraphRole.analysis, .synthesis], graph.file.graphs) {
      let parsed = try #require(model.graph(role, .rgb))
      let input = Self.randomInput(description.inputs[0], graph.file, 0, width: width, height: height, &random)
      let program = NetworkProgram(parsed, of: model.weights, ratePoint: 0, cpu: .best)
      let expected = NaiveNetwork(file: graph.file, ratePoint: 0).run(description, [input]).values.map { Int16($0) }
      for stripeRows in 1...40 {
        for threads in 1...4 {
          var execution = Execution()
          execution.threads = threads
          execution.stripeRows = stripeRows
          let result = Self.run(program, input, width: width, height: height, execution)
          let same = result == expected
          #expect(
            same,
            "seed \(seed), \(role.name), height \(height), \(threads) threads, stripes of \(stripeRows)")
        }
      }
    }
  }

  /// Models for video: every graph with all its inputs and outputs, which have several resolutions, in any bands.
  @Test(arguments: 0..<24) func severalInputsAndOutputs(_ number: Int) throws {
    let seed = Self.seed &* 4000 &+ UInt64(number)
    let graph = RandomGraph(interSeed: seed)
    let model = try Self.model(graph.file.file(), seed)
    #expect(model.formats.count == 2)
    let readsReference = graph.file.graphs.contains { $0.inputNames.contains { [3, 4, 11, 12, 13].contains($0.name) } }
    #expect(model.isInter == readsReference)
    var random = SplitMix(seed ^ 0x5eed)
    for description in graph.file.graphs {
      let role = try #require(GraphRole(rawValue: UInt8(description.role)))
      let format = try #require(PixelFormat(rawValue: UInt8(description.format)))
      let parsed = try #require(model.graph(role, format))
      let k = random.below(graph.file.ratePoints)
      let unit = graph.unit
      let (width, height) = (unit * random.int(1...max(1, 16 / unit)), unit * random.int(1...max(2, 40 / unit)))
      let inputs = description.inputs.map {
        Self.randomInput($0, graph.file, k, width: width, height: height, &random)
      }
      let expected = NaiveNetwork(file: graph.file, ratePoint: k).outputs(description, inputs).map {
        $0.values.map { Int16($0) }
      }
      for cpu in CPU.available {
        let program = NetworkProgram(parsed, of: model.weights, ratePoint: k, cpu: cpu)
        for _ in 0..<3 {
          var execution = Execution()
          execution.threads = random.int(1...4)
          execution.stripeRows = random.below(12)
          let same = Self.run(program, inputs, width: width, height: height, execution) == expected
          #expect(
            same,
            "seed \(seed), \(parsed.name), \(width)×\(height), \(cpu.name), \(execution.threads) threads, stripes of \(execution.stripeRows)"
          )
        }
      }
    }
  }

  /// "2", or "0+11" for 11/32 of the way from 0 to 1.
  static func position(_ text: String) throws -> RatePosition {
    let parts = try text.split(separator: "+").map { try #require(Int($0)) }
    return RatePosition(ratePoint: parts[0], fraction: parts.count > 1 ? parts[1] : 0)
  }

  /// Fixtures/models/*.txt are made by Training/integer.py, which was written from docs/format/model.md alone.
  @Test(arguments: ["tiny", "base"]) func equalsTheSimulator(_ name: String) throws {
    let model = name == "tiny" ? Fixtures.tiny : Fixtures.base
    let picture =
      name == "tiny" ? Fixtures.formulaPicture(width: 37, height: 29) : Fixtures.formulaPicture(width: 64, height: 48)
    for line in try Fixtures.lines("models/\(name).txt") {
      let k = try Self.position(line[0])
      #expect(hexadecimal32(Fixtures.hash(picture)) == line[6])
      for cpu in CPU.available {
        var execution = Execution()
        execution.cpu = cpu
        execution.threads = 2
        let layout = LatentLayout(model, width: picture.width, height: picture.height, segmentRows: 64)
        let channels = model.latentChannels(at: k)
        #expect([channels, layout.height, layout.width].map(String.init) == Array(line[1...3]))
        let analysis = NetworkProgram(
          try #require(model.graph(.analysis, .rgb)), of: model.weights, at: k, cpu: cpu)
        let latent = analysis.analyse(picture, layout, channels: channels, execution)
        #expect(Self.hash(latent) == line[7], "\(name), rate point \(line[0]), \(cpu.name): the latent")
        let synthesis = NetworkProgram(
          try #require(model.graph(.synthesis, .rgb)), of: model.weights, at: k, cpu: cpu)
        var rows = ByteWriter()
        synthesis.run(
          width: layout.paddedWidth, height: layout.paddedHeight, Execution(),
          source: { _, y, row in latent.read(row: y, row) },
          sink: { _, _, row in for i in 0..<(3 * layout.paddedWidth) { rows.i16(row[i]) } })
        #expect(
          hexadecimal32(crc32c(rows.bytes, in: 0..<rows.bytes.count)) == line[8],
          "\(name), rate point \(line[0]), \(cpu.name): the synthesis")
        var decoded = picture
        decoded.samples.withUnsafeMutableBufferPointer { out in
          synthesis.synthesise(
            latent, width: picture.width, height: picture.height, channels: 3, execution, into: out.baseAddress!,
            rowStride: 3 * picture.width)
        }
        #expect(
          hexadecimal32(Fixtures.hash(decoded)) == line[9], "\(name), rate point \(line[0]), \(cpu.name): the picture")
      }
    }
  }

  static func hash(_ latent: Latent) -> String {
    var bytes = ByteWriter()
    var row = [Int16](repeating: 0, count: latent.layout.width * latent.channels)
    for y in 0..<latent.layout.height {
      row.withUnsafeMutableBufferPointer { latent.read(row: y, $0.baseAddress!) }
      for value in row { bytes.i16(value) }
    }
    return hexadecimal32(crc32c(bytes.bytes, in: 0..<bytes.bytes.count))
  }
}
